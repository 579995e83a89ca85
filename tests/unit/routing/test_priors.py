"""Which earlier series a series is compared with: the newest study of the same patient with one alike, and the sentence that says so."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest

from node.domain.instance import Value
from node.domain.route import Condition, ConditionBlock, ConditionOperator, Junction, Route
from node.routing.decisions import SeriesView, seen
from node.routing.priors import EarlierStudy, PriorChoice, choose
from node.settings.conditions import Conditions
from node.settings.source import Here, snippet

AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
SAGITTAL = (0.0, 1.0, 0.0, 0.0, 0.0, -1.0)
ROUTE = Route(
    name="follow-up", run=("mr-register",), when=(Condition(keyword="Modality", operator=ConditionOperator.EQUALS, expected=("MR",)),)
)


def view(uid: str, date: str, description: str = "T1 MPRAGE", *, instances: int = 100, **header: tuple[Value, ...]) -> SeriesView:
    plain: dict[str, tuple[Value, ...]] = {
        "PatientID": ("4711",),
        "Modality": ("MR",),
        "StudyDate": (date,) if date else (),
        "StudyTime": ("101500",),
        "SeriesDescription": (description,) if description else (),
        "ImageOrientationPatient": AXIAL,
        "SeriesNumber": (int(uid.rpartition(".")[2]),),
    }
    return seen(uid, [("", {**plain, **header})] * instances)


def study(*views: SeriesView, unfit: Sequence[str] = (), arriving: bool = False) -> EarlierStudy:
    uid = views[0].series_instance_uid.rpartition(".")[0]
    reasons = dict.fromkeys(unfit, "the pixels of 100 instances were deleted by retention")
    return EarlierStudy(study_instance_uid=uid, series=views, unfit=reasons, arriving=arriving)


CURRENT = view("9.1", "20260310")


def test_the_newest_earlier_study_is_taken_whatever_the_order() -> None:
    """Three earlier studies and a later one, in every order: one choice, one sentence."""
    studies = [study(view(f"{n}.2", date)) for n, date in enumerate(("20240101", "20250601", "20230101", "20260401"), start=1)]
    choices = {choose(CURRENT, order, ROUTE) for order in permutations(studies)}
    assert choices == {PriorChoice(series_instance_uid="2.2", reason="compared with series 2 of 2025-06-01 (T1 MPRAGE)")}


def test_without_an_earlier_study_the_reason_says_so() -> None:
    """First visit: no job, and why."""
    assert choose(CURRENT, [], ROUTE).reason == "no prior: no earlier study of this patient is here"
    later = study(view("1.1", "20270101"))
    assert choose(CURRENT, [later], ROUTE).reason == "no prior: no earlier study of this patient is here"


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"PatientID": ("4712",), "PatientName": ("DOE^JANE",)}, "no earlier study of this patient"),
        ({"IssuerOfPatientID": ("OTHER HOSPITAL",), "PatientName": ("DOE^JANE",)}, "no earlier study of this patient"),
        ({"PatientID": (), "PatientName": ("DOE^JANE",)}, "no earlier study of this patient"),
        ({"PatientID": ("4711", "4712")}, "no earlier study of this patient"),
        ({"PatientBirthDate": ("19600102",)}, "has the patient ID and another PatientBirthDate"),
        ({"PatientSex": ("M",)}, "has the patient ID and another PatientSex"),
    ],
)
def test_another_patient_is_never_compared_with(changed: dict[str, Any], why: str) -> None:
    """The same name is nobody's identity, the same ID of another issuer is another patient, and a birth date that differs speaks for a
    mistake: two people's heads are not compared."""
    current = view("9.1", "20260310", PatientName=("DOE^JANE",), PatientBirthDate=("19600101",), PatientSex=("F",))
    choice = choose(current, [study(view("1.1", "20250601", **changed))], ROUTE)
    assert choice.series_instance_uid is None
    assert why in choice.reason


def test_a_series_without_a_patient_id_has_no_prior() -> None:
    """De-identified in haste: every study would be everybody's prior."""
    assert choose(view("9.1", "20260310", PatientID=("",)), [study(view("1.1", "20250601", PatientID=("",)))], ROUTE) == PriorChoice(
        series_instance_uid=None, reason="no prior: the series names no patient ID, or several"
    )


def test_the_series_that_is_called_alike_is_taken_and_none_that_is_called_otherwise() -> None:
    """T1 is compared with T1; where the newest study has only T2, the one before it is."""
    newest = study(view("2.1", "20250601", "T2 TSE"))
    older = study(view("1.1", "20240601", "T2 TSE"), view("1.2", "20240601", "t1_mprage"), view("1.3", "20240601", "T1 MPRAGE Gd"))
    choice = choose(CURRENT, [newest, older], ROUTE)
    assert choice.series_instance_uid == "1.2"
    assert choice.reason.endswith("passed over: the study of 2025-06-01 has no series like this one")


def test_planes_and_modalities_are_not_mixed() -> None:
    """An axial MR is neither compared with a sagittal one nor with a CT."""
    other = study(view("1.1", "20250601", ImageOrientationPatient=SAGITTAL), view("1.2", "20250601", Modality=("CT",)))
    assert choose(CURRENT, [other], replace(ROUTE, when=())).series_instance_uid is None


def test_conditions_of_the_route_hold_for_the_prior_but_for_age_and_sender() -> None:
    """`StudyDate: {within: 7d}` and `from` say what starts a job; the prior came from the archive, last year."""
    route = replace(
        ROUTE,
        peers=("mr1",),
        called=("HILUM",),
        when=(
            Condition(keyword="StudyDate", operator=ConditionOperator.WITHIN, expected=(7 * 86400.0,)),
            Condition(keyword="SliceThickness", operator=ConditionOperator.MAX, expected=(2,)),
        ),
    )
    thick, thin = view("1.1", "20250601", SliceThickness=(5.0,)), view("1.2", "20250601", SliceThickness=(1.0,))
    current = view("9.1", "20260310", SliceThickness=(1.0,))
    assert choose(current, [study(thick, thin)], route).series_instance_uid == "1.2"
    assert choose(current, [study(thick)], route).series_instance_uid is None


@pytest.mark.parametrize(
    ("when", "fits"),
    [
        ("any_of: [{StudyDate: {within: 7d}}, {Modality: CT}]", True),  # any prior could have been of that week
        ("any_of: [{StudyDate: {within: 7d}, Modality: CT}, {Modality: US}]", False),
        ("all_of: [{StudyDate: {within: 7d}}, {Modality: MR}]", True),
        ("all_of: [{StudyDate: {within: 7d}}, {Modality: CT}]", False),
        ("none_of: [{StudyDate: {within: 7d}}]", True),
        ("none_of: [{StudyDate: {within: 7d}}, {Modality: MR}]", False),
        ("none_of: [{any_of: [{StudyDate: {within: 7d}}, {Modality: MR}]}]", False),
        ("none_of: [{all_of: [{StudyDate: {within: 7d}}, {Modality: MR}]}]", True),
        ("none_of: [{none_of: [{StudyDate: {within: 7d}}]}]", True),
        ("none_of: [{none_of: [{Modality: CT}]}]", False),
        ("StudyDate: {not: {within: 7d}}", True),
        ("StudyTime: {between: [22:00, 06:00]}, any_of: [{StudyDate: {weekday: sun}}, {Modality: CT}], age: {min: 90y}", True),
        ("plane: sagittal, age: {min: 90y}", False),
    ],
)
def test_a_prior_is_asked_what_could_hold_at_some_time(when: str, fits: bool) -> None:
    """In blocks too, whichever way round, and in a definition."""
    route = replace(ROUTE, when=Conditions().read(snippet(f"{{{when}}}"), Here(file="", folder=Path())))
    choice = choose(CURRENT, [study(view("1.2", "20250601"))], route)
    assert (choice.series_instance_uid == "1.2") is fits
    defined = ConditionBlock(junction=Junction.ALL, entries=(route.when,), definition="week")
    assert choose(CURRENT, [study(view("1.2", "20250601"))], replace(route, when=(defined,))) == choice


def test_pixels_that_are_gone_are_told_and_an_older_prior_is_taken() -> None:
    """Retention deleted the newest prior: the reason says so, whether or not there is another."""
    gone = study(view("2.1", "20250601"), unfit=["2.1"])
    alone = choose(CURRENT, [gone], ROUTE)
    why = "the pixels of 100 instances were deleted by retention"
    assert alone == PriorChoice(series_instance_uid=None, reason=f"no prior: series 1 of 2025-06-01: {why}", left_out=(("2.1", why),))
    with_older = choose(CURRENT, [gone, study(view("1.1", "20240601"))], ROUTE)
    assert with_older.series_instance_uid == "1.1"
    assert "passed over: series 1 of 2025-06-01: the pixels" in with_older.reason


def test_a_prior_that_is_still_arriving_waits() -> None:
    """Half a prior is none; when it is complete, the pair is made."""
    choice = choose(CURRENT, [study(view("1.1", "20250601"), arriving=True)], ROUTE)
    assert choice.reason == "no prior: the study of 2025-06-01 is still arriving"


def test_two_studies_of_one_day_are_ordered_by_their_times_or_not_at_all() -> None:
    """Before and after an operation on one day: the time tells; without times nobody can."""
    morning, evening = view("1.1", "20260310", StudyTime=("080000",)), view("9.1", "20260310", StudyTime=("180000.5",))
    assert choose(evening, [study(morning)], ROUTE).series_instance_uid == "1.1"
    assert choose(morning, [study(evening)], ROUTE).series_instance_uid is None
    untimed = view("1.1", "20260310", StudyTime=())
    assert choose(evening, [study(untimed)], ROUTE).series_instance_uid is None


def test_series_that_nobody_named_are_compared_by_route_and_plane() -> None:
    """No description, no protocol: what the route takes of that modality and plane is alike enough; the largest series is preferred."""
    nameless = view("9.1", "20260310", "")
    assert choose(
        nameless, [study(view("1.1", "20250601", "", instances=20), view("1.2", "20250601", "", instances=90))], ROUTE
    ) == PriorChoice(series_instance_uid="1.2", reason="compared with series 2 of 2025-06-01 (MR)")
