"""What routes ask beside keywords: the patient's age, the plane of the images, contrast, and times of the day."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from node.console.redaction import HIDDEN, decisions, differences
from node.dicom.header import merge
from node.domain.instance import Header
from node.domain.route import DERIVED, Derived, Route, Tried, conditions_in
from node.records.decisions import condition_records
from node.routing.conditions import told, try_on
from node.settings.conditions import DERIVED_SAYS, Conditions
from node.settings.source import Here, snippet

NOW = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
AXIAL, SAGITTAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0), (0.0, 1.0, 0.0, 0.0, 0.0, -1.0)


def tried(text: str, header: Header) -> Tried:
    """The one condition of a text, as the node reads and tries it."""
    (asked,) = Conditions().read(snippet(f"{{{text}}}"), Here(file="", folder=Path()))
    return try_on(asked, header, NOW)


@pytest.mark.parametrize(
    ("header", "found", "adult", "at_most_17", "infant"),
    [
        ({"PatientAge": ("018Y",)}, "18 years (PatientAge 018Y)", True, False, False),
        ({"PatientAge": ("017y",)}, "17 years (PatientAge 017y)", False, True, False),
        ({"PatientAge": ("216M",)}, "216 months (PatientAge 216M)", True, False, False),
        ({"PatientAge": ("051W",)}, "51 weeks (PatientAge 051W)", False, True, True),
        ({"PatientAge": ("012M",)}, "12 months (PatientAge 012M)", False, True, False),
        # the age that is written wins over the calendar, and what is no age over nothing
        (
            {"PatientAge": ("044Y",), "PatientBirthDate": ("20200101",), "StudyDate": ("20260310",)},
            "44 years (PatientAge 044Y)",
            True,
            False,
            False,
        ),
        (
            {"PatientAge": ("18",), "PatientBirthDate": ("20080310",), "StudyDate": ("20260310",)},
            "18 years (PatientBirthDate 20080310, StudyDate 20260310)",
            True,
            False,
            False,
        ),
        (
            {"PatientBirthDate": ("20080311",), "StudyDate": ("20260310",)},
            "17 years (PatientBirthDate 20080311, StudyDate 20260310)",
            False,
            True,
            False,
        ),
        (
            {"PatientBirthDate": ("2008.03.11",), "StudyDate": ("2026.03.10",)},
            "17 years (PatientBirthDate 2008.03.11, StudyDate 2026.03.10)",
            False,
            True,
            False,
        ),
        (
            {"PatientAge": (), "PatientBirthDate": ("20260210",), "StudyDate": ("20260310",)},
            "1 month (PatientBirthDate 20260210, StudyDate 20260310)",
            False,
            True,
            True,
        ),
        (
            {"PatientBirthDate": ("20260310",), "StudyDate": ("20260310",)},
            "0 days (PatientBirthDate 20260310, StudyDate 20260310)",
            False,
            True,
            True,
        ),
        ({"PatientAge": ("017Y", "018Y")}, "17 years, 18 years (PatientAge 017Y, 018Y)", False, False, False),
    ],
)
def test_an_age_is_completed_years_months_weeks_or_days(header: Header, found: str, adult: bool, at_most_17: bool, infant: bool) -> None:
    """By the calendar, or as it is written; a bound holds for every value."""
    for text, held in (("age: {min: 18y}", adult), ("age: {max: 17y}", at_most_17), ("age: {max: 11m}", infant)):
        assert (tried(text, header).found, tried(text, header).held) == (found, held), text
    assert tried("age: {exists: true}", header).held is True


@pytest.mark.parametrize(
    "header",
    [
        {},
        {"PatientAge": ()},
        {"PatientAge": ("OLD",)},
        {"PatientAge": ("000Y",)},  # what was taken out, and who is not to be known
        {"PatientAge": ("999Y",)},
        {"PatientBirthDate": ("19000101",), "StudyDate": ("20260310",)},
        {"PatientBirthDate": ("19600101",)},
        {"PatientBirthDate": ("20260311",), "StudyDate": ("20260310",)},
        {"PatientBirthDate": ("19600230",), "StudyDate": ("20260310",)},
        {"PatientBirthDate": ("19600101", "20300101"), "StudyDate": ("20260310",)},
    ],
)
def test_an_age_that_nobody_says_has_no_bound(header: Header) -> None:
    """It holds what is turned around, like a keyword that is absent."""
    assert [tried(text, header).held for text in ("age: {min: 0d}", "age: {max: 150y}", "age: {not: {min: 18y}}")] == [False, False, True]
    assert tried("age: {exists: false}", header).held is True
    assert tried("age: {min: 18y}", header).found.startswith("unknown (no PatientAge")


@pytest.mark.parametrize(
    ("orientation", "found"),
    [
        (AXIAL, "axial"),
        (SAGITTAL, "sagittal"),
        ((1.0, 0.0, 0.0, 0.0, 0.0, -1.0), "coronal"),
        ((1.0, 0.0, 0.0, 0.0, 0.9397, -0.342), "axial"),  # 20 degrees
        ((1.0, 0.0, 0.0, 0.0, 0.70711, -0.70711), "oblique"),
        ((), "unknown (no ImageOrientationPatient)"),
        ((1.0, 0.0, 0.0), "unknown (no ImageOrientationPatient)"),
        (("1", "a", 0.0, 0.0, 1.0, 0.0), "unknown (no ImageOrientationPatient)"),
    ],
)
def test_the_plane_is_the_nearest_one_to_the_orientation(orientation: tuple[float | str, ...], found: str) -> None:
    """As the gate has it; half-way between two it is oblique."""
    one = tried("plane: axial", {"ImageOrientationPatient": orientation})
    assert (one.found, one.held) == (found, found == "axial")


def test_a_series_in_several_planes_has_each() -> None:
    """Three slices of a localizer that share their numbers: each orientation stays whole when headers are merged, and once."""
    headers = [{"ImageOrientationPatient": one} for one in (AXIAL, SAGITTAL, AXIAL, (0.0, 1.0, 0.0, 1.0, 0.0, 0.0), SAGITTAL)]
    merged = merge(headers)
    assert merged["ImageOrientationPatient"] == (*AXIAL, *SAGITTAL, 0.0, 1.0, 0.0, 1.0, 0.0, 0.0)
    one = tried("plane: {in: [sagittal, coronal]}", merged)
    assert (one.found, one.held) == ("axial, sagittal", True)
    assert tried("plane: {not: axial}", merged).held is False
    turning = [{"ImageOrientationPatient": (1.0, 0.0, 0.0, 0.0, number / 500, 1.0)} for number in range(500)]
    assert len(merge(turning)["ImageOrientationPatient"]) == 6 * 51


AGENT, AGENTS, SERIES, STUDY = "ContrastBolusAgent", "ContrastBolusAgentSequence", "SeriesDescription", "StudyDescription"


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ({AGENT: ("Omnipaque 350",)}, "given (ContrastBolusAgent Omnipaque 350)"),
        ({AGENT: ("Sinerem",)}, "given (ContrastBolusAgent Sinerem)"),
        ({AGENTS: ("SRT:C-B0317",), AGENT: ()}, "given (ContrastBolusAgentSequence SRT:C-B0317)"),
        (
            {AGENTS: ("SRT:C-B0317",), AGENT: ("NONE",)},
            "unknown (ContrastBolusAgent NONE, ContrastBolusAgentSequence SRT:C-B0317 contradict each other)",
        ),
        ({AGENT: ("NONE",)}, "native (ContrastBolusAgent NONE)"),
        ({AGENT: ("ohne KM",)}, "native (ContrastBolusAgent ohne KM)"),
        ({AGENT: ("无",)}, "native (ContrastBolusAgent 无)"),
        ({AGENT: ("No IV contrast",)}, "native (ContrastBolusAgent No IV contrast)"),
        ({AGENT: ("No oral contrast; IV Omnipaque",)}, "given (ContrastBolusAgent No oral contrast; IV Omnipaque)"),
        ({AGENT: ("No oral contrast",)}, "unknown (no ContrastBolusAgent, and no description says)"),
        ({AGENT: ("keine Reaktion auf Imeron 400",)}, "given (ContrastBolusAgent keine Reaktion auf Imeron 400)"),
        ({AGENT: ("造影剤なし", "조영제 없음")}, "native (ContrastBolusAgent 造影剤なし, ContrastBolusAgent 조영제 없음)"),
        ({AGENT: ("Non-ionic 300",)}, "given (ContrastBolusAgent Non-ionic 300)"),
        ({AGENT: ("碘海醇",)}, "given (ContrastBolusAgent 碘海醇)"),
        ({AGENT: ("NONE", "Omnipaque")}, "unknown (ContrastBolusAgent NONE, ContrastBolusAgent Omnipaque contradict each other)"),
        (
            {AGENT: ("APPLIED",), SERIES: ("Thorax nativ 1.0",)},
            "unknown (ContrastBolusAgent APPLIED, SeriesDescription Thorax nativ 1.0 contradict each other)",
        ),
        ({AGENT: (), SERIES: ("CT HEAD W/O",)}, "native (SeriesDescription CT HEAD W/O)"),
        ({AGENT: ("UNKNOWN",), SERIES: ("T1 ax +C",)}, "given (SeriesDescription T1 ax +C)"),
        ({SERIES: ("Lung 1.0 B60",), "ProtocolName": ("Thorax_venoes",)}, "given (ProtocolName Thorax_venoes)"),
        ({SERIES: ("Lung 1.0",), STUDY: ("CT Chest native",)}, "native (StudyDescription CT Chest native)"),
        # the series says it, whatever the study is called
        ({SERIES: ("portal venous",), STUDY: ("CT Abdomen native",)}, "given (SeriesDescription portal venous)"),
        ({STUDY: ("CT ABD WITH AND WITHOUT CONTRAST",)}, "unknown (no ContrastBolusAgent, and no description says)"),
        ({STUDY: ("CT ABD W/WO CONTRAST",)}, "unknown (no ContrastBolusAgent, and no description says)"),
        ({SERIES: ("arterial spin labeling",)}, "unknown (no ContrastBolusAgent, and no description says)"),
        ({}, "unknown (no ContrastBolusAgent, and no description says)"),
    ],
)
def test_contrast_is_given_native_or_unknown_and_says_from_what(header: Header, found: str) -> None:
    """Each answer is one word, that a route asks for."""
    word = found.partition(" ")[0]
    for asked in ("given", "native", "unknown"):
        one = tried(f"contrast: {asked}", header)
        assert (one.found, one.held) == (found, asked == word)


WORDS = {
    "native": """noncontrast CT head · Non-Con · non contrast · unenhanced · T1 pre contrast · ohne KM · o.KM · sans injection ·
        sin contraste · senza mdc · NCCT · CT ABD W/O CONTRAST · without iv contrast · THORAX NATIV 1.0 · t1_native_tra ·
        胸部平扫 · 头颅CT平扫 · 非增强 · 造影なし · 頭部単純CT · 비조영 CT ·
        造影前 T1 · 增强前 · 조영 전 · t1 vor KM · avant injection""",
    "given": """T1 ax post Gd · t1_mprage_sag_KM · t1 C+ ax · ABD PORTAL VENOUS · Thorax venös · mit KM · avec injection · CE-MRA ·
        arterial phase · T1 FS Gd · enhanced · with contrast · post-contrast · cor +KM ·
        腹部增强 · 上腹部动脉期 · 造影CT · 門脈相 · 조영증강 · 造影後 T1 · 增强前列腺 · 造影前額断 · t1 nach KM · après injection""",
    "unknown": """CT Thorax · 3D TOF · ANGIO · without fat sat · C-spine · central · Nativity · SWI veins · mit und ohne KM · CTA ·
        胸部平扫+增强 · 肺动脉 · 単純・造影 · MR血管造影 ·
        造影前後 · 增强前后 · 조영 전후 · MR脊髓造影 · MR尿路造影""",
}


@pytest.mark.parametrize(("said", "words"), WORDS.items())
def test_words_of_descriptions(said: str, words: str) -> None:
    """As people write them, in a few languages."""
    for text in map(str.strip, words.split("·")):
        assert told(Derived.CONTRAST, {SERIES: (text,)}).values == (said,), text


@pytest.mark.parametrize(
    ("value", "night", "morning"),
    [
        ("22", True, False),
        ("2159", False, False),
        ("215959.999999", False, False),
        ("220000", True, False),
        ("235960", True, False),
        ("000000.000000", True, False),
        ("055959", True, False),
        ("060000", False, True),
        ("06:00:00", False, True),
        ("9", False, False),
        ("2500", False, False),
        ("noon", False, False),
    ],
)
def test_a_time_lies_between_two_over_midnight_too(value: str, night: bool, morning: bool) -> None:
    """TM as DICOM writes it (PS3.5 6.2), a part of it, and as ACR-NEMA did; what is no time lies nowhere."""
    header: Header = {"StudyTime": (value,)}
    assert tried("StudyTime: {between: [22:00, 06:00]}", header).held is night
    assert tried("StudyTime: {between: [06:00, 08:30]}", header).held is morning
    assert tried("StudyTime: {not: {between: [22:00, 06:00]}}", header).held is not night
    assert tried("StudyTime: {between: [22:00, 06:00]}", header).expected == "from 22:00 until 06:00"


def test_a_date_is_a_day_of_the_week() -> None:
    """The eighth of March 2026 was a Sunday."""
    for day, held in (("20260308", True), ("20260307", True), ("20260309", False), ("20260230", False), ("today", False)):
        assert tried("StudyDate: {weekday: [sat, sun]}", {"StudyDate": (day,)}).held is held
        assert tried("StudyDate: {weekday: sun}", {"StudyDate": (day,)}).held is (day == "20260308")


def test_what_a_route_asks_is_read_from_keywords() -> None:
    """Which a replay loads, and a page may not show: a word is as much of the patient as what it is taken from."""
    when = Conditions().read(snippet("{age: {min: 18y}, contrast: given, plane: axial, Modality: CT}"), Here(file="", folder=Path()))
    reads = {keyword for one in conditions_in(Route(name="r", when=when).asked) for keyword in one.reads}
    assert reads == {"Modality", *(keyword for one in DERIVED.values() for keyword in one)}
    assert DERIVED.keys() == DERIVED_SAYS.keys() == set(Derived)
    header = {"Modality": ("MR",), "PatientAge": ("017Y",), AGENT: ("Jane's",)}
    records = condition_records([try_on(one, header, NOW) for one in when])
    reason = "age is 17 years (PatientAge 017Y), expected at least 18y"
    (shown,) = decisions([{"conditions": records, "reason": reason, "matched": False}])
    assert [one["found"] for one in shown["conditions"]] == [HIDDEN, HIDDEN, HIDDEN, "MR"]
    assert shown["reason"] == HIDDEN
    changed = [{"key": one["key"], "before": one, "after": None} for one in records]
    (difference,) = differences([{"conditions": changed, "before": {"reason": reason}, "after": {"reason": ""}}])
    assert [one["before"]["found"] for one in difference["conditions"]] == [HIDDEN, HIDDEN, HIDDEN, "MR"]
