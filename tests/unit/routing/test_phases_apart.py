"""Phases that came as a series each: not put together, and explanations say so at each of them."""

from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.uid import generate_uid

from inference.applications.catalog import load
from inference.imaging.subject import Takes
from node.dicom.header import parse
from node.dicom.part10 import take_apart
from node.routing import over_time
from node.routing.decisions import SeriesView, seen
from node.routing.gate import Fit, Gate
from node.routing.over_time import Slices, stack
from tests.lab import cine

_APPLICATIONS = Path(__file__).resolve().parents[2] / "node/applications"


@pytest.fixture
def phases(tmp_path: Path) -> list[SeriesView]:
    """A heart of which each phase came as a series of its own, and a localizer beside it."""
    by_phase: dict[float, list[Path]] = {}
    for path in cine.one_series(tmp_path).files:
        by_phase.setdefault(float(dcmread(path, stop_before_pixels=True).TriggerTime), []).append(path)
    views = []
    for time_ms, paths in sorted(by_phase.items()):
        uid = generate_uid(entropy_srcs=[str(time_ms)])
        members = []
        for path in paths:
            image = dcmread(path)
            image.SeriesInstanceUID = uid
            image.save_as(path)
            identity, header = parse(take_apart(path.read_bytes()))
            members.append((identity.sop_class_uid, header))
        views.append(seen(uid, members))
    return views


def test_phases_of_a_series_each_are_told_of(phases: list[SeriesView]) -> None:
    """Each is refused for its one phase, and says how many lie on its grid; one alone says nothing of others."""
    application = load("short-axis", (_APPLICATIONS,))
    assert application.accepts.takes is Takes.PHASES
    assert len(phases) == cine.PHASES
    gate = Gate(Slices(lambda: phases))
    others = f"{cine.PHASES - 1} other series of the study lie on its grid: phases that came as a series each are not put together"
    for view in phases:
        said = gate.answer(application, view)
        assert said.fit is Fit.REFUSES
        assert "one image at each position, at least 6 phases are needed" in said.exclusion
        assert others in said.text
    alone = Gate(Slices(lambda: phases[:1])).answer(application, phases[0])
    assert alone.fit is Fit.REFUSES
    assert "other series" not in alone.text


def test_series_of_another_modality_are_not_taken_for_phases(phases: list[SeriesView]) -> None:
    """Of a CT in three phases of its contrast none was meant for an application that takes MR."""
    application = load("short-axis", (_APPLICATIONS,))
    views = [seen(view.series_instance_uid, [("", {**header, "Modality": ("CT",)}) for header in view.members]) for view in phases[:3]]
    said = Gate(Slices(lambda: views)).answer(application, views[0])
    assert "modality is CT, not MR" in said.exclusion
    assert "other series" not in said.text


def test_each_series_is_looked_at_once(phases: list[SeriesView], monkeypatch: pytest.MonkeyPatch) -> None:
    """However many others ask whether it lies on their grid: a study has hundreds of series."""
    looked: list[str] = []

    def counted(view: SeriesView) -> tuple[object, ...] | None:
        looked.append(view.series_instance_uid)
        return stack(view)

    monkeypatch.setattr(over_time, "stack", counted)
    slices = Slices(lambda: phases)
    assert [len(slices.on_the_same_grid(view)) for view in phases] == [len(phases) - 1] * len(phases)
    assert sorted(looked) == sorted(view.series_instance_uid for view in phases)


def test_what_shows_something_else_on_the_same_grid_is_no_phase(phases: list[SeriesView]) -> None:
    """Another echo time, and fewer slices."""
    echoes = [dict(header, EchoTime=(3.0 * (number + 1),)) for number, header in enumerate(phases[1].members[:1])]
    other = seen("1.2.3", [("", header) for header in (*echoes, *phases[1].members[1:])])
    fewer = seen("1.2.4", [("", header) for header in phases[2].members[:-1]])
    slices = Slices(lambda: [phases[0], other, fewer])
    assert slices.on_the_same_grid(phases[0]) == []
