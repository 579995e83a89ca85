"""A number with its prediction interval, of all images or of one: as codes, as sentences in both languages, on pages; and read back."""

from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset

from inference.applications.declared import check_outputs
from inference.applications.errors import InvalidOutput
from inference.applications.port import MeasurementOutput
from inference.codes import Code
from inference.findings import Findings, Measurement, PredictionInterval
from inference.imaging.assemble import assemble
from node.domain.profile import Kind, Language, Profile
from node.results.check import check
from node.results.encode import encode
from node.results.page.naming import interval_distances, interval_quantities
from node.results.page.naming import number as written
from node.results.page.table import entries
from node.results.page.words import PAGE_WORDS
from node.results.port import ValuesDiffer
from node.results.sources import read_sources
from tests.lab import validators
from tests.results import made
from tests.results.reports import groups, named, number, read, reports, walk

BOTH = Profile(name="both", kinds=frozenset({Kind.SR, Kind.NARRATIVE}), languages=tuple(Language))
AGE, MONTH = Code("BONE-AGE", "99HILUM", "Bone age"), Code("mo", "UCUM", "month")
UPPER, LOWER = Code("371886008", "SCT", ""), Code("371885007", "SCT", "")
OF_ALL = Measurement(name=AGE, value=84.0, unit=MONTH, interval=PredictionInterval(low=62.14, high=106.31, level=0.9))
OF_ONE = replace(OF_ALL, value=100.0, images=(2,), interval=PredictionInterval(low=99.0, high=120.5, level=0.9))
FOUND = Findings(measurements=(OF_ALL, OF_ONE))


def test_the_report_holds_both_ends_in_the_unit_of_the_number_and_the_image(tmp_path: Path) -> None:
    """TID 300 with TID 310: how far above and below; the second number in a group of its own, which rests on its image."""
    files = made.series(tmp_path)
    objects = encode(made.encoding(files, FOUND, profiles=(BOTH,)))
    (report,) = read(objects, "sr")
    whole, third = groups(report)
    for group, far in ((whole, ((22.4, "mo"), (21.9, "mo"))), (third, ((20.5, "mo"), (1.0, "mo")))):
        assert tuple(number(group, end) for end in (UPPER, LOWER)) == far
    (exact,) = named(whole, LOWER)
    assert exact.MeasuredValueSequence[0].FloatingPointValue == pytest.approx(84 - 62.14, rel=1e-12)
    images = [
        [each.ReferencedSOPSequence[0].ReferencedSOPInstanceUID for each in walk(one) if each.ValueType == "IMAGE"]
        for one in groups(report)
    ]
    assert images == [[], [assemble(files).sources[2].sop_instance_uid]]
    said = report.ContentSequence[0].ContentSequence[0].TextValue
    assert said.startswith("All images: bone age 84 mo (90 % prediction interval 62.1 to 107 mo). Image 3: bone age 100 mo (90 % pred")
    narratives = {one.form: one.data for one in objects if one.kind is Kind.NARRATIVE}
    assert "84 mo（90 %预测区间62.1至107 mo）".encode() in narratives["zh"]
    assert b"84 mo (90 % prediction interval 62.1 to 107 mo)" in narratives["en"]


@pytest.mark.peers
@pytest.mark.slow
def test_the_reports_are_valid(tmp_path: Path) -> None:
    """By the checkers of others, of modules and of templates."""
    paths = made.save(encode(made.encoding(made.series(tmp_path / "source"), FOUND)), tmp_path / "results")
    reported = [path for path in paths if pydicom.dcmread(path, stop_before_pixels=True).Modality == "SR"]
    assert len(reported) == 1
    faults = [fault for path in reported for fault in validators.faults_of(path, report=True)]
    assert faults == []


@pytest.mark.parametrize(
    ("language", "said"), [(Language.ENGLISH, "84 mo (90 %: 62.1 to 107 mo)"), (Language.CHINESE, "84 mo（90 %：62.1至107 mo）")]
)
def test_the_page_says_it_beside_the_number(language: Language, said: str) -> None:
    """Of all images, and of the one that the second number rests on."""
    whole, third = entries(FOUND, [f"image {place}" for place in range(1, 10)], [], PAGE_WORDS[language])
    assert [value for _, value in whole.values] == [said]
    assert third.name == "image 3"


@pytest.mark.parametrize(
    ("low", "high", "unit", "said"),
    [
        (62.18, 106.31, "mo", ("62.1", "107 mo")),
        (-62.18, -10.61, "mo", ("-62.2", "-10.6 mo")),
        (1.19, 9.91, "mm", ("1.1", "10 mm")),
        (0.0, 0.3 - 0.1, "kg", ("0", "0.200 kg")),
        (0.12345, 1234.5, "kg", ("0.123", "1240 kg")),
        (99.99, 1e9 + 1, "kg", ("99.9", "1.01e+09 kg")),
    ],
)
def test_what_is_read_holds_what_is_meant(low: float, high: float, unit: str, said: tuple[str, str]) -> None:
    """Ends are rounded outward, below 0 too; what binary arithmetic adds is no digit."""
    interval = PredictionInterval(low=low, high=high, level=0.9)
    assert interval_quantities(replace(OF_ALL, value=low, unit=Code(unit, "UCUM", unit), interval=interval)) == said


def test_what_subtraction_leaves_of_a_number_is_no_end() -> None:
    """An interval from 0, of which three numbers that are not binary left -3e-17."""
    interval = PredictionInterval(low=0.3 - 0.1 - 0.2, high=0.6, level=0.9)
    assert interval_quantities(replace(OF_ALL, value=0.3, interval=interval)) == ("0", "0.600 mo")


@pytest.mark.parametrize(
    ("low", "value", "high", "unit", "shown"),
    [
        (118.395, 123.4, 128.405, "mo", ("123", "5.41", "4.61")),
        (0.0, 2.343, 4.686, "kg", ("2.34", "2.35", "2.34")),
        (0.0, 5.1234, 100.0, "%", ("5.12", "94.88", "5.12")),
        (0.4, 1234.0, 1240.0, "{count}", ("1234", "6", "1234")),
        (123.6, 123.6, 123.7, "mo", ("124", "0", "0.400")),
        (3.0, 3.44, 3.9, "mm", ("3.4", "0.500", "0.400")),
        (0.3 - 0.1 - 0.2, 2.343, 2.343, "kg", ("2.34", "0.00300", "2.34")),
        (1.234e-5, 2.343e-5, 5e9, "kg", ("2.34e-05", "5.00000000e+9", "1.11e-5")),
    ],
)
def test_what_is_added_up_holds_what_is_meant(low: float, value: float, high: float, unit: str, shown: tuple[str, str, str]) -> None:
    """In a viewer that shows number and distances: their sums hold the interval, and are not below 0, or above 100 %, where it is not."""
    code, interval = Code(unit, "UCUM", unit), PredictionInterval(low=low, high=high, level=0.9)
    assert (written(value, code), *interval_distances(replace(OF_ALL, value=value, unit=code, interval=interval))) == shown


def test_a_report_shows_distances_from_the_number_that_it_shows(tmp_path: Path) -> None:
    """123.4 is read as 123, up to 128.405 therefore as 5.41 above it; beside each the exact number."""
    found = replace(OF_ALL, value=123.4, interval=PredictionInterval(low=118.395, high=128.405, level=0.9))
    (group,) = groups(*read(reports(made.encoding(made.series(tmp_path), Findings(measurements=(found,)))), "sr"))
    measured = [named(group, name)[0].MeasuredValueSequence[0] for name in (AGE, UPPER, LOWER)]
    assert [str(one.NumericValue) for one in measured] == ["123", "5.41", "4.61"]
    assert [one.FloatingPointValue for one in measured] == [123.4, 128.405 - 123.4, 123.4 - 118.395]


def _inward(report: Dataset) -> None:
    named(report, UPPER)[0].MeasuredValueSequence[0].NumericValue = "22.3"


def _longer(report: Dataset) -> None:
    named(report, UPPER)[0].MeasuredValueSequence[0].FloatingPointValue = 23.0


def _shorter(report: Dataset) -> None:
    (measured,) = [one for one in walk(groups(report)[0]) if one.ValueType == "NUM" and "ContentSequence" in one]
    del measured.ContentSequence[-1]


def _in_years(report: Dataset) -> None:
    named(report, UPPER)[0].MeasuredValueSequence[0].MeasurementUnitsCodeSequence[0].CodeValue = "a"


@pytest.mark.parametrize("spoil", [_inward, _longer, _shorter, _in_years])
def test_a_report_with_another_interval_does_not_leave(spoil: Callable[[Dataset], None], tmp_path: Path) -> None:
    """The end is elsewhere, is read as nearer than it is, is missing, or in another unit."""
    encoding = made.encoding(made.series(tmp_path), Findings(measurements=(OF_ALL,)))
    objects = reports(encoding)
    (report,) = read(objects, "sr")
    spoil(report)
    report.save_as(file := BytesIO())
    with pytest.raises(ValuesDiffer):
        check([replace(objects[0], data=file.getvalue())], encoding, read_sources(encoding))


@pytest.mark.parametrize(
    ("spoilt", "said"),
    [
        (replace(OF_ALL, interval=PredictionInterval(low=85.0, high=90.0, level=0.9)), "not within its interval"),
        (replace(OF_ALL, interval=PredictionInterval(low=1.0, high=float("inf"), level=0.9)), "not within its interval"),
        (replace(OF_ALL, interval=PredictionInterval(low=1.0, high=90.0, level=90)), "not between 0 and 1"),
        (replace(OF_ONE, images=(9,)), "about image 9 of 9"),
    ],
)
def test_what_no_application_may_say(spoilt: Measurement, said: str, tmp_path: Path) -> None:
    """An interval without its number, without an end, with a share in per cent; an image that there is not."""
    outputs = (MeasurementOutput(name=AGE, unit=MONTH),)
    with pytest.raises(InvalidOutput, match=said):
        check_outputs(made.application(outputs=outputs), Findings(measurements=(spoilt,)), assemble(made.series(tmp_path)))
