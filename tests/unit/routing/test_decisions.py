"""Routes over headers: what each condition means, and which series of several is run."""

import hashlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from node.domain.instance import Header, Value
from node.domain.route import DERIVED, Condition, ConditionBlock, ConditionOperator, Decision, Junction, Preference, Preferred, Route
from node.routing.conditions import try_on
from node.routing.decisions import SeriesView, about_study, decide, seen

NOW = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
DAY_S = 86400.0
HOUR = timedelta(hours=1)


def view(uid: str = "1.2", instances: int = 10, /, **header: tuple[Value, ...]) -> SeriesView:
    return seen(uid, [("", {"Modality": ("CT",), **header})] * instances)


def when(keyword: str, operator: ConditionOperator, *expected: Value, negated: bool = False) -> Route:
    condition = Condition(keyword=keyword, operator=operator, expected=expected, negated=negated)
    return Route(name="r", when=(condition,), run=("app",), send=("archive",))


def explained(routes: list[Route], *series: SeriesView, peer: str | None = "ct1", called: str = "HILUM") -> list[Decision]:
    return decide(routes, series, peer=peer, calling="CT1AE", called=called, now=NOW)


def holds(route: Route, **header: tuple[Value, ...]) -> bool:
    return explained([route], view(**header))[0].matched


@pytest.mark.parametrize(
    ("found", "expected", "held"),
    [
        (("CT",), ("CT",), True),
        (("CT",), ("ct",), False),
        (("CT",), ("C",), False),
        (("MR",), ("CT", "MR"), True),
        (("ORIGINAL", "PRIMARY", "AXIAL"), ("AXIAL",), True),
        ((5.0,), (5,), True),
        ((5.0,), (5.5,), False),
        (("007",), ("7",), False),
        (("5",), (5,), False),  # what is no number in a numeric element stays text, and equals no number
        ((), ("",), False),
    ],
)
def test_equals_compares_text_exactly_numbers_as_numbers_and_takes_any_of_several_values(
    found: tuple[Value, ...], expected: tuple[Value, ...], held: bool
) -> None:
    """Text is case-sensitive and whole; a multi-valued keyword holds if some value equals one of the expected ones."""
    assert holds(when("ImageType", ConditionOperator.EQUALS, *expected), ImageType=found) is held


@pytest.mark.parametrize(
    ("pattern", "held"),
    [("(?i)t1|mprage", True), ("^t1", False), ("MPRAGE$", False), ("MPRAGE sag$", True)],
)
def test_a_pattern_is_searched_anywhere_in_the_value(pattern: str, held: bool) -> None:
    """Anchors are the author's business."""
    assert holds(when("SeriesDescription", ConditionOperator.MATCHES, pattern), SeriesDescription=("T1 MPRAGE sag",)) is held


def test_a_value_beyond_what_is_searched_is_told_with_how_far_it_was() -> None:
    """PS3.5 6.2 allows LO 64 characters; what stands behind the first 1,024 holds nothing, and explanations say so."""
    within, beyond = "x" * 1020 + "T1", "x" * 1024 + "T1"
    condition = Condition(keyword="SeriesDescription", operator=ConditionOperator.MATCHES, expected=("T1",))
    now = datetime(2026, 1, 1, tzinfo=UTC)
    whole, cut = (try_on(condition, {"SeriesDescription": (value,)}, now) for value in (within, beyond))
    assert (whole.held, whole.found) == (True, within)
    assert (cut.held, cut.found) == (False, "x" * 1024 + "… (1,026 characters, of which the first 1,024 were searched)")


@pytest.mark.parametrize(
    ("operator", "found", "held"),
    [
        (ConditionOperator.MAX, (5.0,), True),
        (ConditionOperator.MAX, (5.01,), False),
        (ConditionOperator.MAX, (1.0, 10.0), False),
        (ConditionOperator.MAX, ("thin",), False),
        (ConditionOperator.MAX, (), False),
        (ConditionOperator.MIN, (5,), True),
        (ConditionOperator.MIN, (4.9,), False),
        (ConditionOperator.MIN, (10.0, 1.0), False),
    ],
)
def test_bounds_are_inclusive_and_hold_for_every_value(operator: ConditionOperator, found: tuple[Value, ...], held: bool) -> None:
    """A series of which one slice is too thick is too thick; what is no number is within no bound."""
    assert holds(when("SliceThickness", operator, 5), SliceThickness=found) is held


@pytest.mark.parametrize(
    ("days", "date", "held"),
    [
        (7, "20260310", True),
        (7, "20260303", True),  # seven days ago at noon lies within that day
        (7, "20260302", False),
        (7, "20260311", True),  # it is tomorrow already, 14 hours east of here
        (7, "20260312", False),
        (1, "20260309", True),
        (7, "2026-03-10", False),
        (7, "", False),
        (1_000_000, "18951108", True),  # a bound longer than the calendar
    ],
)
def test_within_looks_at_the_day(days: int, date: str, held: bool) -> None:
    """Now is 2026-03-10 12:00 UTC; the days were counted on a calendar."""
    assert holds(when("StudyDate", ConditionOperator.WITHIN, days * DAY_S), StudyDate=(date,)) is held


@pytest.mark.parametrize("seconds", [90 * 60.0, 3600.0, 36 * 3600.0, 7 * DAY_S], ids=["90 min", "1 h", "36 h", "7 d"])
@pytest.mark.parametrize("block", [False, True])
def test_a_day_that_lay_within_a_duration_a_moment_ago_may_not_any_more(seconds: float, block: bool) -> None:
    """To the microsecond, asked again and again, whatever is remembered of a moment before or behind: some moment of the day is at most so
    long ago, and its day may have begun 14 hours ahead of the UTC one."""
    condition = Condition(keyword="StudyDate", operator=ConditionOperator.WITHIN, expected=(seconds,))
    asked = ConditionBlock(junction=Junction.ANY, entries=((condition,),)) if block else condition
    route = Route(name="r", when=(asked,), run=("app",), send=("archive",))
    begins = datetime(2026, 3, 3, tzinfo=UTC)
    first, last = begins - timedelta(hours=14), begins + timedelta(days=1, seconds=seconds)
    instant = timedelta(microseconds=1)
    moments = [edge + off for edge in (first, last) for off in (-HOUR, -instant, timedelta(0), instant, HOUR, -instant, timedelta(0))]
    for now in (*moments, *reversed(moments)):
        decided = decide([route], [view(StudyDate=("20260303",))], peer="ct1", calling="", called="", now=now)
        assert decided[0].matched is (first <= now < last), now


@pytest.mark.parametrize(
    "operator",
    [ConditionOperator.EQUALS, ConditionOperator.MATCHES, ConditionOperator.MIN, ConditionOperator.MAX, ConditionOperator.WITHIN],
)
def test_an_absent_keyword_holds_only_negated_conditions(operator: ConditionOperator) -> None:
    """Network case 10: What is not there equals nothing, and is therefore not equal to anything."""
    expected: Value = "x" if operator in (ConditionOperator.EQUALS, ConditionOperator.MATCHES) else 1
    assert not holds(when("BodyPartExamined", operator, expected))
    assert holds(when("BodyPartExamined", operator, expected, negated=True))


def test_exists_asks_for_a_value() -> None:
    """An element without a value (Type 2) does not exist for a route."""
    there, missing = when("BodyPartExamined", ConditionOperator.EXISTS, 1), when("BodyPartExamined", ConditionOperator.EXISTS, 0)
    not_there = when("BodyPartExamined", ConditionOperator.EXISTS, 1, negated=True)
    for header, has in (({"BodyPartExamined": ("HEAD",)}, True), ({"BodyPartExamined": ()}, False), ({}, False)):
        assert holds(there, **header) is has
        assert holds(missing, **header) is not has
        assert holds(not_there, **header) is not has


def test_received_instances_and_series_are_keywords() -> None:
    """What the archive's query would say (PS3.4 C.3.4) is counted from what was received."""
    route = Route(
        name="r",
        when=(
            Condition(keyword="NumberOfSeriesRelatedInstances", operator=ConditionOperator.MIN, expected=(100,)),
            Condition(keyword="NumberOfStudyRelatedInstances", operator=ConditionOperator.EQUALS, expected=(160,)),
            Condition(keyword="NumberOfStudyRelatedSeries", operator=ConditionOperator.EQUALS, expected=(2,)),
        ),
        run=("app",),
    )
    long, short = explained([route], view("1.1", 100), view("1.2", 60))
    assert (long.matched, short.matched) == (True, False)
    assert [one.found for one in short.tried] == ["60", "160", "2"]


def test_sender_and_called_title_are_explained_like_conditions() -> None:
    """`from` and `to` stand first among what was tried; a stranger is shown by its AE title."""
    route = Route(name="r", peers=("ct1", "ct2"), called=("HILUM_STAT",), run=("app",))
    (decision,) = explained([route], view(), peer=None)
    assert [(one.key, one.expected, one.found, one.held) for one in decision.tried] == [
        ("from", "one of ct1, ct2", "no peer (CT1AE)", False),
        ("to", "HILUM_STAT", "HILUM", False),
    ]
    assert decision.reason == "from is no peer (CT1AE), expected one of ct1, ct2; to is HILUM, expected HILUM_STAT"
    assert explained([route], view(), peer="ct2", called="HILUM_STAT")[0].chosen


def test_every_condition_is_tried_after_one_has_failed() -> None:
    """An explanation names everything that is wrong, not only the first thing; other routes fire all the same."""
    strict = Route(
        name="strict",
        when=(
            Condition(keyword="Modality", operator=ConditionOperator.EQUALS, expected=("MR",)),
            Condition(keyword="SliceThickness", operator=ConditionOperator.MAX, expected=(5,)),
            Condition(keyword="BodyPartExamined", operator=ConditionOperator.EXISTS, expected=(1,)),
            Condition(keyword="StudyDate", operator=ConditionOperator.WITHIN, expected=(7 * DAY_S,), negated=True),
        ),
        run=("app",),
    )
    refused, taken = explained([strict, Route(name="open", run=("app",))], view(SliceThickness=(8.0,), BodyPartExamined=()))
    assert [(one.key, one.expected, one.found, one.held) for one in refused.tried] == [
        ("Modality", "MR", "CT", False),
        ("SliceThickness", "at most 5", "8", False),
        ("BodyPartExamined", "present", "empty", False),
        ("StudyDate", "not within 7 d", "absent", True),
    ]
    assert (refused.matched, refused.chosen) == (False, False)
    assert taken.chosen


def test_the_series_with_most_images_is_run() -> None:
    """200 slices beat 60; the reason says so."""
    thick, thin = explained([Route(name="r", run=("app",))], view("1.1", 60, SeriesNumber=(2,)), view("1.2", 200, SeriesNumber=(3,)))
    assert (thick.matched, thick.chosen, thin.chosen) == (True, False, True)
    assert thick.reason == "series 3 has more images (200 > 60)"
    assert thin.reason == "all conditions hold; series 3 is the best of 2 that fit"


def test_frames_count_as_images() -> None:
    """One enhanced instance with 400 frames is more than 60 single slices."""
    single, enhanced = explained([Route(name="r", run=("app",))], view("1.1", 60), view("1.2", 1, NumberOfFrames=(400,)))
    assert enhanced.chosen
    assert single.reason == "series 1.2 has more images (400 > 60)"


def test_ties_go_to_thinner_slices_then_the_lower_number_then_the_uid() -> None:
    """The choice depends on nothing but the series themselves."""
    route = [Route(name="r", run=("app",))]
    thick, thin, unknown = explained(route, view("1", SliceThickness=(5.0,)), view("2", SliceThickness=(1.0,)), view("3"))
    assert [thick.chosen, thin.chosen, unknown.chosen] == [False, True, False]
    assert thick.reason == "series 2 has thinner slices (1 mm < 5 mm)"
    assert unknown.reason == "series 2 has thinner slices (1 mm < unknown)"
    high, low = explained(route, view("1", SeriesNumber=(10,)), view("2", SeriesNumber=(9,)))
    assert low.chosen
    assert high.reason == "series 9 has the lower SeriesNumber (9 < 10)"
    first, second = explained(route, view("1.10"), view("1.9"))
    assert first.chosen
    assert second.reason == "series 1.10 is equal in all that counts and has the lower UID"


def test_each_runs_every_series_of_images() -> None:
    """Three mammography series are three jobs; the report among them is none."""
    route = Route(name="r", run=("app",), each=True)
    decisions = explained([route], view("1", 1), view("2", 1), view("3", 1), view("4", 1, Modality=("SR",)))
    assert [decision.chosen for decision in decisions] == [True, True, True, False]
    assert decisions[3].matched
    assert decisions[3].reason == "the series holds no images (SR)"


def test_the_order_of_series_does_not_change_the_choice() -> None:
    """Instances arrive in any order."""
    series = [view(f"1.{n}", n % 4 * 10, SeriesNumber=(n,)) for n in range(8)]
    chosen = {d.series_instance_uid for d in explained([Route(name="r", run=("app",))], *series) if d.chosen}
    assert chosen == {d.series_instance_uid for d in explained([Route(name="r", run=("app",))], *reversed(series)) if d.chosen} == {"1.3"}


SOFT = (Condition(keyword="ConvolutionKernel", operator=ConditionOperator.MATCHES, expected=("^B[23]|STANDARD",)),)
NATIVE = (Condition(keyword="contrast", operator=ConditionOperator.EQUALS, expected=("native", "unknown")),)


@pytest.mark.parametrize(
    ("prefer", "best"),
    [
        ((), "1.1"),  # most images
        ((Preferred.THINNEST,), "1.4"),
        ((SOFT,), "1.1"),
        ((NATIVE, Preferred.THINNEST, SOFT), "1.4"),
        (((SOFT[0], NATIVE[0]), Preferred.MOST_IMAGES), "1.1"),
        ((Preferred.NEWEST,), "1.5"),
        ((NATIVE, Preferred.NEWEST), "1.3"),
        (((replace(SOFT[0], negated=True),), Preferred.THINNEST), "1.3"),
    ],
)
def test_the_best_of_several_is_what_the_route_prefers_in_its_order(prefer: tuple[Preference, ...], best: str) -> None:
    """Of 5.0, 1.0 soft, 1.0 sharp, 0.6 soft and 1.0 with contrast, in whatever order they come; what says so of every route comes last."""
    made = [("B30", 5.0, 9, "1100", ""), ("B30", 1.0, 5, "1101", ""), ("B70", 1.0, 5, "1105", ""), ("B30", 0.6, 8, "1102", "")]
    series = [
        view(
            f"1.{number}",
            images,
            ConvolutionKernel=(kernel,),
            SliceThickness=(thick,),
            SeriesNumber=(number,),
            AcquisitionDate=("20260310",),
            AcquisitionTime=(time,),
            ContrastBolusAgent=(agent,),
        )
        for number, (kernel, thick, images, time, agent) in enumerate([*made, ("B30", 1.0, 5, "1130", "Omnipaque")], start=1)
    ]
    route = Route(name="r", run=("app",), prefer=prefer)
    for order in (series, series[::-1], [series[2], *series[:2], *series[3:]]):
        assert [one.series_instance_uid for one in explained([route], *order) if one.chosen] == [best]


def test_what_is_not_preferred_says_by_what() -> None:
    """The first preference in which the two differ, in a sentence; then the rule of every route."""
    thin, thick = view("1.1", 5, SliceThickness=(1.0,), SeriesNumber=(1,)), view("1.2", 9, SliceThickness=(5.0,), SeriesNumber=(2,))
    soft = view("1.3", 5, SliceThickness=(1.0,), SeriesNumber=(3,), ConvolutionKernel=("B30",), StudyDate=("20260310",))

    def why(*prefer: Preference, of: str) -> str:
        decisions = explained([Route(name="r", run=("app",), prefer=prefer)], thin, thick, soft)
        return next(one.reason for one in decisions if one.series_instance_uid == of)

    assert why(Preferred.THINNEST, SOFT, of="1.1") == "series 3 is preferred: ConvolutionKernel a match of ^B[23]|STANDARD"
    assert why(Preferred.THINNEST, SOFT, of="1.2") == "series 3 has thinner slices (1 mm < 5 mm)"
    assert why(Preferred.MOST_IMAGES, of="1.1") == "series 2 has more images (9 > 5)"
    assert why(Preferred.NEWEST, of="1.2") == "series 3 is newer"
    assert why(Preferred.THINNEST, of="1.3") == "series 1 has the lower SeriesNumber (1 < 3)"


def test_a_sample_has_its_share_of_studies_whole_and_again() -> None:
    """Of 4,000 studies 10 % within what chance allows, those of 1 % among them; told by the UID alone, for both series of one."""
    series = [view(f"1.{number}", 1, StudyInstanceUID=(f"1.2.{number // 2}",)) for number in range(8_000)]

    def of(share: float) -> list[bool]:
        decisions = explained([Route(name="r", run=("app",), sample=share, each=True)], *series)
        chosen = [one.chosen for one in decisions]
        assert chosen[::2] == chosen[1::2]
        return chosen[::2]

    tenth, hundredth = of(0.1), of(0.01)
    assert 305 < sum(tenth) < 495  # five standard deviations are 95
    assert sum(hundredth) > 0
    assert all(one for one, less in zip(tenth, hundredth, strict=True) if less)


def test_a_sample_is_told_with_where_the_study_lies() -> None:
    """By the first bytes of SHA-256, worked out here; a series that names no study is one of any sample."""
    place = int(hashlib.sha256(b"sample\n1.2.3.1").hexdigest()[:16], 16) / 2**64
    route = Route(name="r", run=("app",), sample=0.1)
    (decision,) = explained([route], view("1.1", 5, StudyInstanceUID=("1.2.3.1",)))
    assert decision.reason == f"sample is at {place * 100:.2f} %, expected the first 10 % of studies"
    (decision,) = explained([route], view("1.1", 5))
    assert (decision.chosen, decision.tried[0].found) == (True, "no StudyInstanceUID, taken to be one of them")


def test_a_disabled_route_takes_nothing_and_is_about_no_study() -> None:
    """Its conditions are told all the same; it expects nothing of a study."""
    route = replace(when("Modality", ConditionOperator.EQUALS, "MR"), disabled=True)
    (decision,) = explained([route], view("1.1", 5, Modality=("MR",)))
    assert (decision.matched, decision.chosen, decision.reason) == (False, False, "disabled is true, expected false")
    assert [(one.key, one.held) for one in decision.tried] == [("disabled", False), ("Modality", True)]
    assert not about_study([decision])


VALUES = st.tuples() | st.lists(st.text(max_size=8) | st.integers() | st.floats(allow_nan=True), max_size=3).map(tuple)
KEYWORDS = (
    "Modality",
    "SliceThickness",
    "SeriesNumber",
    "NumberOfFrames",
    "StudyDate",
    *(one for each in DERIVED.values() for one in each),
)
HEADERS = st.dictionaries(st.sampled_from(KEYWORDS), VALUES)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(headers=st.lists(HEADERS, max_size=4), operator=st.sampled_from(ConditionOperator), negated=st.booleans())
def test_no_header_stops_the_node(headers: list[Header], operator: ConditionOperator, negated: bool) -> None:
    """Whatever a sender writes into its elements, every route is decided for every series, and one series is chosen at most."""
    words = (ConditionOperator.EQUALS, ConditionOperator.MATCHES, ConditionOperator.WEEKDAY)
    expected: tuple[Value, ...] = ("22:00", "06:00") if operator is ConditionOperator.BETWEEN else ("a",) if operator in words else (1,)
    derived = ("contrast", ConditionOperator.EQUALS, ("given",)), ("plane", ConditionOperator.EQUALS, ("axial",))
    age = ("age", ConditionOperator.MIN, (1.0, "1d"))
    asked = [("StudyDate", operator, expected), ("SliceThickness", operator, expected), age, *derived]
    routes = [
        Route(name=f"{number}", run=("app",), when=(Condition(keyword=key, operator=by, expected=value, negated=negated),))
        for number, (key, by, value) in enumerate(asked)
    ]
    series = [seen(f"1.{n}", [("", header)]) for n, header in enumerate(headers)]
    decisions = explained(routes, *series)
    assert len(decisions) == len(routes) * len(series)
    assert all(sum(d.chosen for d in decisions if d.route == name) <= 1 for name in map(str, range(len(routes))))


MR_IMAGE, RAW_DATA, PRESENTATION_STATE = "1.2.840.10008.5.1.4.1.1.4", "1.2.840.10008.5.1.4.1.1.66", "1.2.840.10008.5.1.4.1.1.11.1"


def test_objects_without_images_are_set_aside_before_anything_is_counted() -> None:
    """Ten images with two raw data and a presentation state count as ten, and conditions look at the images alone. (Raw data let a series
    of one object pass as an image, and one presentation state made a whole series one without images.)"""
    thick: list[Header] = [{"Modality": ("MR",), "SliceThickness": (mm,)} for mm in (1.0, 2.0, 9.0)]
    images = [(MR_IMAGE, thick[n % 2]) for n in range(10)]
    others = [(RAW_DATA, thick[2])] * 2 + [(PRESENTATION_STATE, {"Modality": ("PR",)})]
    mixed = seen("1.1", [*others, *images])
    assert (mixed.instances, mixed.images, mixed.slices) == (13, 10, 10)
    assert mixed.without == ("Raw Data Storage", "PR")
    assert (mixed.header["Modality"], mixed.header["SliceThickness"]) == (("MR",), (1.0, 2.0))
    alone = seen("1.2", others)
    anything = Route(name="r", when=(), run=("app",), send=("archive",))
    of_mixed, of_alone = decide([anything], [mixed, alone], peer="ct1", calling="CT1AE", called="HILUM", now=NOW)
    assert (of_mixed.chosen, of_alone.chosen) == (True, False)
    assert of_alone.reason == "the series holds no images (Raw Data Storage, PR)"


def test_which_series_an_application_is_for_is_asked_of_the_series_as_they_are_given() -> None:
    """What answers knows them again: it looks at the many series of one subject together, and at that once."""
    given, asked = [view(f"1.{number}") for number in range(3)], []

    def excluded(_: Route, one: SeriesView) -> bool:
        asked.append(one)
        return False

    anything = Route(name="r", when=(), run=("app",), send=("archive",))
    decide([anything], given, peer="ct1", calling="CT1AE", called="HILUM", now=NOW, excluded=excluded)
    assert {id(one) for one in asked} == set(map(id, given))


def test_captures_of_a_screen_are_images_but_among_slices() -> None:
    """Ten slices with two screenshots count as ten, and conditions look at the slices; screenshots alone, and captures that say where they
    lie (a converted volume), are images."""
    capture = "1.2.840.10008.5.1.4.1.1.7"
    screenshot: Header = {"Modality": ("OT",), "Rows": (768,)}
    place: Header = {"ImagePositionPatient": (0.0, 0.0, 0.0), "ImageOrientationPatient": (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)}
    image: Header = {"Modality": ("MR",), "Rows": (256,)}
    mixed = seen("1.1", [(capture, screenshot)] * 2 + [(MR_IMAGE, image)] * 10)
    assert (mixed.instances, mixed.images, mixed.slices, mixed.without) == (12, 10, 10, ("Secondary Capture Image Storage",))
    assert (mixed.header["Modality"], mixed.header["Rows"]) == (("MR",), (256,))
    alone, converted = seen("1.2", [(capture, screenshot)] * 2), seen("1.3", [(capture, {**screenshot, **place})] * 2)
    assert (alone.images, alone.without, converted.images) == (2, (), 2)
    assert seen("1.4", [(capture, screenshot), (capture, {**screenshot, **place})]).images == 1


def test_a_private_class_is_an_image_where_it_has_pixels() -> None:
    """Nobody here knows the class: that the instance has rows of pixels decides."""
    private = "1.3.46.670589.2.4.1.1"
    views = [seen("1.1", [(private, {"Modality": ("MR",), **more})]) for more in ({"Rows": (256,)}, {})]
    assert [one.images for one in views] == [1, 0]
