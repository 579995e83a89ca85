"""What the console reads in the structured reports that jobs made."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread

from docs.example_results import examples
from inference.errors import InputError
from node.blobs.folder import FolderBlobs
from node.console.images.reports import ReportedValue, content_of
from node.domain.profile import Kind
from node.results.port import Encoded
from tests.unit.cli.conftest import HEAD, Hospital
from tests.unit.console.conftest import Open

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def reports() -> list[Encoded]:
    return [one for example in examples() for one in example.objects if one.sop_class_uid.startswith("1.2.840.10008.5.1.4.1.1.88.")]


def test_values_and_sentences_are_those_of_the_report(reports: list[Encoded], tmp_path: Path) -> None:
    """Who observed with which software, and how large the images are, is context and no finding."""
    values: list[ReportedValue] = []
    sentences: list[str] = []
    for number, one in enumerate(reports):
        path = tmp_path / f"{number}.dcm"
        path.write_bytes(one.data)
        content = content_of(path)
        values += content.values
        sentences += content.sentences
        assert not {"hilum", "mr-example-1", "mr-example-2"} & set(content.sentences)
        if one.kind in (Kind.NARRATIVE, Kind.STATEMENT) and one.form == "en":
            assert "mr-example-" in content.sentences[0], "the conclusion leads, and says by what"
    assert ("mr-example-2 finding 1", "Volume", "1", "cm³") in [(one.of, one.name, one.value, one.unit) for one in values]
    assert not {one.name for one in values} & {
        "Pixel Data Rows",
        "Pixel Data Columns",
        "Horizontal Pixel Spacing",
        "Vertical Pixel Spacing",
    }
    assert any(one.startswith("No result: ") for one in sentences)


@pytest.mark.parametrize("content", [b"", b"no report at all" * 100], ids=["empty", "garbage"])
def test_a_report_that_is_damaged_costs_its_page_nothing_else(browser: Open, hospital: Hospital, content: bytes) -> None:
    """A disk that lost the bytes of one report: the study's page has all the rest, the report's place in the list of objects among it."""
    (job,) = hospital.journal.jobs.find(study=HEAD)
    report = next(one for one in hospital.journal.results.of_job(job.id) if one.kind == "sr")
    FolderBlobs(hospital.config.store.blobs).put(report.blob, content)
    page = browser("ada").client.get(f"/studies/{HEAD}")
    assert page.status_code == 200
    assert report.description in page.text


def test_a_value_without_its_number_is_a_damaged_report(reports: list[Encoded], tmp_path: Path) -> None:
    """It parses, and what it states does not."""
    path, damaged = tmp_path / "damaged.dcm", 0
    for one in reports:
        path.write_bytes(one.data)
        if content_of(path).values:
            report = dcmread(path)
            for each in _measured(report):
                del each.NumericValue
            report.save_as(path)
            damaged += 1
            with pytest.raises(InputError, match="damaged"):
                content_of(path)
    assert damaged


def _measured(holder: Dataset) -> Iterator[Dataset]:
    for one in holder.get("ContentSequence") or ():
        yield from one.get("MeasuredValueSequence") or ()
        yield from _measured(one)
