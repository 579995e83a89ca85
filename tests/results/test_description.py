"""Series Descriptions: what stands first in a viewer's list, and what is cut where 64 characters are too few."""

from dataclasses import replace
from io import BytesIO

import pydicom
import pytest

from inference.applications import catalog
from inference.findings import Caution
from inference.translatable import say
from node.results.encode import encode
from node.results.identity import description_of
from node.results.port import Encoding
from tests.results import made


@pytest.fixture(scope="module")
def encoding(tmp_path_factory: pytest.TempPathFactory) -> Encoding:
    """One segment on a made series."""
    return made.encoding(made.series(tmp_path_factory.mktemp("series")), made.one_segment(made.AXIAL))


def _said(encoding: Encoding, what: str, *marks: str, part: str = "", **about: str) -> str:
    cautions = tuple(Caution(sentence=say("{mark}.", mark=mark), mark=mark) for mark in marks)
    findings = replace(encoding.findings, cautions=cautions)
    return description_of(replace(encoding, findings=findings, part=part, application=made.application(**about)), what)


def test_what_it_is_comes_first_then_who_made_it_then_the_part(encoding: Encoding) -> None:
    """A list that shows twenty characters shows "Brain volume SEG"."""
    about = {"noun": "Brain volume", "name": "mr-brain", "version": "1.0.0"}
    assert _said(encoding, "SEG", **about) == "Brain volume SEG, mr-brain 1.0.0"
    assert _said(encoding, "report", part="echo 1 (TE 20 ms)", **about) == "Brain volume report, mr-brain 1.0.0 [echo 1 (TE 20 ms)]"


def test_marks_lead(encoding: Encoding) -> None:
    """A reader sees in the list that the series was short."""
    about = {"noun": "Brain volume", "name": "mr-brain", "version": "1.0.0"}
    assert _said(encoding, "SEG", "INCOMPLETE 154 of 384", **about) == "INCOMPLETE 154 of 384: Brain volume SEG, mr-brain 1.0.0"
    both = _said(encoding, "SEG", "INCOMPLETE 154 of 384", "Revision 2", **about)
    assert both == "INCOMPLETE 154 of 384: Revision 2: Brain volume SEG, mr-brain"


@pytest.mark.parametrize("what", ["SEG", "explanation, no location", "narrative, English"])
@pytest.mark.parametrize("mark", ["", "INCOMPLETE 1154 of 12384"])
def test_nothing_is_longer_than_an_LO_and_the_kind_of_object_is_never_cut(encoding: Encoding, what: str, mark: str) -> None:
    """A bundle's title of 64 characters, a long name and a long part: marks and kind stand whole; no half name of an application."""
    about = {
        "title": "Whole body CT segmentation of one hundred and four structures",
        "name": "wholebody-ct-segmentation",
        "version": "0.2.6",
    }
    for part in ("", "echo 1 (TE 20 ms)"):
        said = _said(encoding, what, *([mark] if mark else []), part=part, **about)
        assert len(said) <= 64
        assert said.startswith(f"{mark}: Whole body CT" if mark else "Whole body CT")
        assert f" {what}" in said
        assert ", whole" not in said or ", wholebody-ct-segmentation" in said


def test_every_object_says_so(encoding: Encoding) -> None:
    """The data sets themselves, and what the journal is told of them."""
    marked = replace(
        encoding, findings=replace(encoding.findings, cautions=(Caution(sentence=say("It was short."), mark="INCOMPLETE 3 of 9"),))
    )
    objects = encode(marked)
    assert len(objects) == 3
    for one in objects:
        assert pydicom.dcmread(BytesIO(one.data)).SeriesDescription == one.description
        assert one.description.startswith("INCOMPLETE 3 of 9: ")


def test_every_shipped_application_has_a_noun() -> None:
    """None falls back on its title, which is a sentence about what it does."""
    assert [name for name in catalog.names() if not catalog.load(name).noun] == []
