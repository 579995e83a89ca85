"""Phases that came as a series each: the gate asks of all of them together, and tells of what lies on their grid and is none."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from inference.applications.catalog import load
from inference.applications.port import Application
from inference.imaging.subject import Clock
from node.dicom.header import parse
from node.dicom.part10 import take_apart
from node.routing.decisions import SeriesView, seen
from node.routing.gate import Fit, Gate
from node.routing.over_time import Slices
from tests.lab import breathing

_APPLICATIONS = Path(__file__).resolve().parents[2] / "node/applications"
_KEPT = len(breathing.SHARES)


@pytest.fixture
def application() -> Application:
    return load("breathing", (_APPLICATIONS,))


def view_of(paths: Sequence[Path]) -> SeriesView:
    """A series as routing has it from its files."""
    members = []
    for path in paths:
        identity, header = parse(take_apart(path.read_bytes()))
        members.append((identity.sop_class_uid, header))
    return seen(str(members[0][1]["SeriesInstanceUID"][0]), members)


def views_of(made: breathing.Breath) -> list[SeriesView]:
    return [view_of(paths) for paths in made.phases]


def changed(view: SeriesView, uid: str = "", /, **said: Any) -> SeriesView:
    """A series whose images say something else; of another UID, another series."""
    uid = uid or view.series_instance_uid
    return seen(uid, [("", {**header, "SeriesInstanceUID": (uid,), **said}) for header in view.members])


@pytest.fixture(scope="module")
def phases(tmp_path_factory: pytest.TempPathFactory) -> list[SeriesView]:
    return views_of(breathing.described(tmp_path_factory.mktemp("breath")))


@pytest.mark.parametrize("form", [form for form in breathing.FORMS if form != "one series"])
def test_all_phases_are_taken_together_in_every_form(form: str, application: Application, tmp_path: Path) -> None:
    """Each is asked with the others, by their numbers, and the application takes what no series alone would be: nothing is left open."""
    views = views_of(breathing.FORMS[form](tmp_path))
    gate = Gate(Slices(lambda: views))
    for view in views:
        assert gate.answer(application, view).fit is Fit.TAKES
    together = [one.series_instance_uid for one in gate.slices.together(views[0])]
    assert together == [f"1.2.826.0.2.2.{number}" for number in sorted(breathing.NUMBERS)]


def test_a_phase_alone_is_refused_for_its_one_phase(phases: list[SeriesView], application: Application) -> None:
    said = Gate(Slices(lambda: phases[:1])).answer(application, phases[0])
    assert "one image at each position, at least 6 phases are needed" in said.exclusion


def _average(phases: list[SeriesView]) -> SeriesView:
    return changed(phases[0], "1.2.3", SeriesDescription=("Thorax 4D AVG 0-90%",), SeriesNumber=(20,))


def _typed(phases: list[SeriesView]) -> SeriesView:
    kind = ("DERIVED", "SECONDARY", "AXIAL", "AVERAGE")
    return changed(phases[0], "1.2.3", SeriesDescription=("4D",), ImageType=kind, SeriesNumber=(20,))


def _projection(phases: list[SeriesView]) -> SeriesView:
    kind = ("DERIVED", "SECONDARY", "MAX_IP")
    return changed(phases[0], "1.2.3", SeriesDescription=("4D",), ImageType=kind, SeriesNumber=(20,))


def _unsorted(phases: list[SeriesView]) -> SeriesView:
    return changed(phases[0], "1.2.3", SeriesDescription=("4D untagged ASIR 40%",), SeriesNumber=(20,))


@pytest.mark.parametrize(
    ("beside", "why"),
    [
        (_average, "SeriesDescription is «Thorax 4D AVG 0-90%»: it was computed of all phases"),
        (_typed, "ImageType has AVERAGE: it was computed of all phases"),
        (_projection, "ImageType has MAX_IP: the images were computed from others"),
        (_unsorted, "SeriesDescription does not say which phase it is, and none is missing"),
    ],
    ids=["average", "average by type", "projection", "says no phase"],
)
def test_what_is_no_phase_is_left_out_and_told(
    beside: Callable[[list[SeriesView]], SeriesView], why: str, phases: list[SeriesView], application: Application
) -> None:
    """An average lies where the phases lie: they are taken without it, and it is not applicable and says why."""
    other = beside(phases)
    gate = Gate(Slices(lambda: [other, *phases]))
    assert gate.answer(application, phases[3]).fit is Fit.TAKES
    together = gate.slices.together(phases[3])
    assert len(together) == _KEPT
    assert f"not with them: series 20, {why}" in gate.slices.told(together)
    said = gate.answer(application, other)
    assert said.fit is Fit.REFUSES
    assert f"it is none of the {_KEPT} phases on its grid: {why}" in said.exclusion


def test_a_phase_that_is_missing_refuses_the_others(phases: list[SeriesView], application: Application) -> None:
    """By what the others count; inside, and at the end of the breath."""
    for gone, lacks in ((3, "30 %"), (9, "90 %")):
        views = [view for number, view in enumerate(phases) if number != gone]
        said = Gate(Slices(lambda views=views: views)).answer(application, views[0])  # type: ignore[misc]
        assert said.fit is Fit.REFUSES
        assert f"9 phases came as a series each, told apart by SeriesDescription, and the study lacks phase {lacks}" in said.text


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"FrameOfReferenceUID": ("1.9",)}, "lies in another frame of reference"),
        ({"PixelSpacing": (1.0, 1.0)}, "lies on another grid"),
        ({"Rows": (80,)}, "lies on another grid"),
        ({"ConvolutionKernel": ("B70f",)}, "was made otherwise"),
        ({"ImageType": ("ORIGINAL", "PRIMARY", "AXIAL")}, "was made otherwise"),
    ],
    ids=["space", "spacing", "matrix", "kernel", "not derived"],
)
def test_a_phase_that_lies_otherwise_is_none_of_them_and_named(
    said: dict[str, tuple[Any, ...]], why: str, phases: list[SeriesView], application: Application
) -> None:
    """The others lack it, and explanations say which series it may be, and why it is not taken for it."""
    views = [changed(view, **(said if number == 3 else {})) for number, view in enumerate(phases)]
    gate = Gate(Slices(lambda: views))
    assert "lacks phase 30 %" in gate.answer(application, views[0]).text
    together = gate.slices.together(views[0])
    assert len(together) == _KEPT - 1
    assert f"not with them: series 5, which says that it is a phase that is missing, and {why}" in gate.slices.told(together)
    assert gate.slices.together(views[3]) == [views[3]]


def test_a_phase_that_came_twice_is_refused(phases: list[SeriesView], application: Application) -> None:
    again = changed(phases[4], "1.2.3", SeriesNumber=(20,))
    said = Gate(Slices(lambda: [*phases, again])).answer(application, phases[0])
    assert "phase 40 % by SeriesDescription came in 2 series, series 9, series 20: which counts nobody says" in said.text


def test_a_phase_that_cannot_be_told_is_refused_where_one_is_missing(phases: list[SeriesView], application: Application) -> None:
    views = [changed(view, **({"SeriesDescription": ("Thorax ASIR 40%",)} if number == 3 else {})) for number, view in enumerate(phases)]
    said = Gate(Slices(lambda: views)).answer(application, views[0])
    assert (
        "1 of the series on one grid have no SeriesDescription that says which phase they are, and 30 % is missing: series 5" in said.text
    )


def test_a_phase_with_too_few_slices_is_refused(phases: list[SeriesView], application: Application) -> None:
    short = seen(phases[3].series_instance_uid, [("", header) for header in phases[3].members[:-2]])
    views = [short if view is phases[3] else view for view in phases]
    said = Gate(Slices(lambda: views)).answer(application, views[0])
    assert "1 of 10 phases have not 8 slices as the others: series 5 has 6" in said.text


def test_series_of_which_nothing_says_the_phase_stay_alone_and_say_so(phases: list[SeriesView], application: Application) -> None:
    views = [changed(view, SeriesDescription=("Thorax",)) for view in phases]
    gate = Gate(Slices(lambda: views))
    said = gate.answer(application, views[0])
    assert gate.slices.together(views[0]) == [views[0]]
    assert "9 other series of the study lie on its grid, and nothing in their headers says which phase each is" in said.exclusion


def test_shares_of_which_nothing_says_what_they_are_of_are_refused_where_a_breath_is_asked(
    phases: list[SeriesView], application: Application
) -> None:
    """ "30%" alone may be of a beat; an application that asks for no clock takes it."""
    views = [changed(view, SeriesDescription=(f"{share}%",)) for view, share in zip(phases, breathing.SHARES, strict=True)]
    gate = Gate(Slices(lambda: views))
    assert "the time of the phases is said by no element, not breath" in gate.answer(application, views[0]).exclusion
    any_clock = replace(application, name="any", accepts=replace(application.accepts, clock=()))
    assert gate.answer(any_clock, views[0]).fit is Fit.TAKES
    hearts = [changed(view, BodyPartExamined=("HEART",)) for view in views]
    heart = replace(application, name="heart", accepts=replace(application.accepts, clock=(Clock.HEART,)))
    assert Gate(Slices(lambda: hearts)).answer(heart, hearts[0]).fit is Fit.TAKES


def test_two_kernels_of_the_same_breath_are_two_subjects(phases: list[SeriesView], application: Application) -> None:
    sharp = [changed(view, f"1.2.4.{number}", ConvolutionKernel=("B70f",)) for number, view in enumerate(phases)]
    gate = Gate(Slices(lambda: [*phases, *sharp]))
    assert {one.series_instance_uid for one in gate.slices.together(sharp[2])} == {one.series_instance_uid for one in sharp}
    assert gate.answer(application, sharp[2]).fit is Fit.TAKES


def test_each_series_is_looked_at_once(phases: list[SeriesView]) -> None:
    """However many others ask what lies with it: a study has hundreds of series, which are read once."""
    read: list[int] = []

    def study() -> list[SeriesView]:
        read.append(len(phases))
        return phases

    slices = Slices(study)
    assert [len(slices.together(view)) for view in phases] == [_KEPT] * _KEPT
    assert len({id(slices.as_one(view)) for view in phases}) == 1
    assert read == [_KEPT]


def test_series_that_were_made_one_after_another_are_of_the_time_that_passes(phases: list[SeriesView], application: Application) -> None:
    """By acquisition times headers know that it is no breath; whether all slices were taken at the same times is seen in the images."""
    said = {"SeriesDescription": ("dynamic",)}
    views = [changed(view, AcquisitionTime=(f"1011{5 * number:02d}.00",), **said) for number, view in enumerate(phases)]
    gate = Gate(Slices(lambda: views))
    assert len(gate.slices.together(views[0])) == _KEPT
    assert "the time of the phases is that which passes, not breath" in gate.answer(application, views[0]).exclusion
    perfusion = replace(application, name="perfusion", accepts=replace(application.accepts, clock=(Clock.TIME,)))
    assert gate.answer(perfusion, views[0]).fit is Fit.OPEN
    unlike = [changed(view, TriggerTime=(float(number % 3),)) for number, view in enumerate(views)]
    assert "that which passes" in Gate(Slices(lambda: unlike)).answer(application, unlike[0]).exclusion


def test_over_midnight_headers_are_told_what_images_are(phases: list[SeriesView], application: Application) -> None:
    """By their times alone they are refused with the words of reading; with the day beside each they are taken in the order of time."""
    perfusion = replace(application, name="perfusion", accepts=replace(application.accepts, clock=(Clock.TIME,)))
    half = _KEPT // 2
    views = [
        changed(view, AcquisitionTime=(f"235{number:03d}.00" if number < half else f"000{number:03d}.00",), SeriesDescription=("dynamic",))
        for number, view in enumerate(phases)
    ]
    answered = Gate(Slices(lambda: views)).answer(perfusion, views[0])
    assert answered.fit is Fit.REFUSES
    assert answered.reasons == (
        "phases run over midnight by AcquisitionTime, which has no date of its own: which of them is first nobody says",
    )
    dated = [changed(view, AcquisitionDate=("20251231" if number < half else "20260101",)) for number, view in enumerate(views)]
    assert Gate(Slices(lambda: dated)).answer(perfusion, dated[0]).fit is Fit.OPEN
