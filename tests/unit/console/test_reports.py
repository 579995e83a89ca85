"""What the console reads in the structured reports that jobs made."""

from pathlib import Path

import pytest

from docs.example_results import examples
from node.console.images.reports import content_of
from node.domain.profile import Kind
from node.results.port import Encoded

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def reports() -> list[Encoded]:
    return [one for example in examples() for one in example.objects if one.sop_class_uid.startswith("1.2.840.10008.5.1.4.1.1.88.")]


def test_values_and_sentences_are_those_of_the_report(reports: list[Encoded], tmp_path: Path) -> None:
    """Who observed with which software, and how large the images are, is context and no finding."""
    values, sentences = [], []
    for number, one in enumerate(reports):
        path = tmp_path / f"{number}.dcm"
        path.write_bytes(one.data)
        content = content_of(path)
        values += content.values
        sentences += content.sentences
        assert not {"hilum", "mr-example-1", "mr-example-2"} & set(content.sentences)
        if one.kind in (Kind.NARRATIVE, Kind.STATEMENT) and one.form == "en":
            assert "mr-example-" in content.sentences[0], "the conclusion leads, and says by what"
    assert ("mr-example-2 finding 1", "Volume", "1", "cubic centimeter") in [(one.of, one.name, one.value, one.unit) for one in values]
    assert not {one.name for one in values} & {
        "Pixel Data Rows",
        "Pixel Data Columns",
        "Horizontal Pixel Spacing",
        "Vertical Pixel Spacing",
    }
    assert any(one.startswith("No result: ") for one in sentences)
