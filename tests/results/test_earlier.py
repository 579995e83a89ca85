"""Earlier values beside today's: as reports, narratives and pages say them; numbers with their day, and nothing that judges."""

from collections.abc import Sequence
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pydicom
import pytest

from inference import codes
from inference.findings import Earlier, Findings, Measurement
from node.domain.profile import Kind, Language, Profile
from node.results.check import check
from node.results.encode import encode
from node.results.page.table import entries
from node.results.port import Encoded, ValuesDiffer
from node.results.reports.check import check_earlier
from node.results.sources import read_sources
from tests.results import made

EVERYTHING = Profile(name="everything", kinds=frozenset({Kind.SR, Kind.NARRATIVE, Kind.PDF, Kind.SC}), languages=tuple(Language))
BEFORE = Earlier(value=2.9, date="2025-03-04")


def _lungs() -> Findings:
    """The left lung was there before, the right one is new to the journal; together they were measured by an older version."""
    left, right = (
        made.segment(f"lung {side.meaning.lower()}", np.roll(made.blob(), at, axis=2), type=codes.LUNG, laterality=side)
        for side, at in ((codes.LEFT, 0), (codes.RIGHT, 1))
    )
    volume = Measurement(name=codes.VOLUME, value=3.0041, unit=codes.CUBIC_CENTIMETRE)
    parts = (left.label, right.label)
    older = Earlier(value=5.8, date="2024-01-01", version="1.2.0", another_model=True)
    measured = (
        replace(volume, segment=left.label, earlier=BEFORE),
        replace(volume, segment=right.label),
        replace(volume, value=6.0082, total=codes.LUNGS, parts=parts, earlier=older),
    )
    return Findings(segments=(left, right), measurements=measured)


@pytest.mark.slow
def test_every_report_says_it_beside_todays(tmp_path: Path) -> None:
    """The conclusions of the reports and the sentences of the narratives, in both languages."""
    objects = encode(made.encoding(made.series(tmp_path / "series"), _lungs(), profiles=(EVERYTHING,)))
    said = "Left lung: volume 3.00 cm³ (2.90 cm³ on 2025-03-04). Right lung: volume 3.00 cm³. "
    said += "Both lungs, in total: volume 6.01 cm³ (5.80 cm³ on 2024-01-01, by version 1.2.0, by another model). By mr-brain"
    reports = [pydicom.dcmread(BytesIO(one.data)) for one in objects if one.kind is Kind.SR]
    assert len(reports) == 2
    assert all(one.ContentSequence[0].ContentSequence[0].TextValue.startswith(said) for one in reports)
    narratives = {one.form: one.data for one in objects if one.kind is Kind.NARRATIVE}
    assert "体积 3.00 cm³（2025-03-04：2.90 cm³）".encode() in narratives["zh"]
    assert "体积 6.01 cm³（2024-01-01：5.80 cm³，软件版本1.2.0，由其他模型测得）".encode() in narratives["zh"]
    assert b"on 2025-03-04)" in narratives["en"]


def test_the_page_says_it_on_a_line_of_its_own() -> None:
    """ "2.90 cm³ on 2025-03-04" below today's value; nothing where there is none; by name where several were measured."""
    left, right, both = entries(_lungs(), ["image 1"], [])
    assert (left.values, left.earlier) == ([("Volume", "3.00 cm³")], ["2.90 cm³ on 2025-03-04"])
    assert (right.earlier, both.earlier) == ([], ["5.80 cm³ on 2024-01-01, version 1.2.0, another model"])
    found = _lungs()
    second = Measurement(name=codes.ATTENUATION_COEFFICIENT, value=-800.0, unit=codes.HOUNSFIELD_UNIT, segment="lung left")
    left, *_ = entries(replace(found, measurements=(*found.measurements, second)), ["image 1"], [])
    assert left.earlier == ["Volume 2.90 cm³ on 2025-03-04"]


@pytest.mark.parametrize(
    ("was", "now"),
    [("2.90", "9.90"), ("2025-03-04", "2023-03-04"), (" (2.90 cm³ on 2025-03-04)", "")],
    ids=["another number", "another day", "lost"],
)
def test_an_earlier_value_that_was_not_found_may_not_leave(was: str, now: str, tmp_path: Path) -> None:
    """A number, or a day, that is not the journal's, and one that was lost: each is found when the report is read back."""
    mask = made.segment("brain", made.blob())
    volume = Measurement(name=codes.VOLUME, value=3.0041, unit=codes.CUBIC_CENTIMETRE, segment="brain", earlier=BEFORE)
    encoding = made.encoding(made.series(tmp_path), Findings(segments=(mask,), measurements=(volume,)))
    objects: Sequence[Encoded] = encode(encoding)
    spoilt = []
    for one in objects:
        if one.kind is Kind.SR:
            dataset = pydicom.dcmread(BytesIO(one.data))
            sentence = dataset.ContentSequence[0].ContentSequence[0]
            assert was in sentence.TextValue
            sentence.TextValue = sentence.TextValue.replace(was, now)
            dataset.save_as(file := BytesIO())
            one = replace(one, data=file.getvalue())
        spoilt.append(one)
    with pytest.raises(ValuesDiffer, match="earlier values"):
        check(spoilt, encoding, read_sources(encoding))


@pytest.mark.parametrize("sentence", ["体积 3.00 cm³（2025-03-04：2.90 cm³）。", "Volume 3.00 cm³ (2.90 cm³ on 2025-03-04)."])
def test_sentences_of_both_languages_are_read_back(sentence: str) -> None:
    """The same number and day pass; the same sentence about a measurement without an earlier value does not."""
    volume = Measurement(name=codes.VOLUME, value=3.0, unit=codes.CUBIC_CENTIMETRE, earlier=BEFORE)
    check_earlier([sentence], Findings(measurements=(volume,)), every=True)
    with pytest.raises(ValuesDiffer):
        check_earlier([sentence], Findings(measurements=(replace(volume, earlier=None),)), every=True)
