"""Slices, or phases, that came as a series each: which series of a study are one subject over time, by headers alone.

A series is such a slice where all of its images lie at one place. Others are of the same subject that are alike in modality, frame of
reference, orientation, matrix, spacing, image type, sequence, echo time and flip angle: the last three roughly, for a scanner fits them to
each breath-hold. What lies where a slice would, and differs in these, is named. Whether they then are one stack, and were taken at
the same times, is said by what asks it of every series (`node.routing.gate`, `inference.imaging.phases`). Which series of them a route
chose plays no part: a cine is analysed whole. Phases that came as a series each, as 4-D CT does, are found by `node.routing.phase_stacks`.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from inference.applications.port import Application, Takes
from inference.errors import InputError
from inference.imaging.geometry import DIRECTION_TOLERANCE, SAME_PLACE_MM, Plane, places_of
from node.domain.instance import first_number, texts_of
from node.domain.route import Decision
from node.routing.decisions import SeriesView, class_of, preference, seen
from node.routing.layout import planes_in
from node.routing.phase_stacks import PhaseStacks
from node.routing.port import StudyInstances
from node.routing.series import SeriesContent, contents


@dataclass(frozen=True, slots=True, kw_only=True)
class _LoneSlice:
    """A series whose images lie at one place: how many they are, where, in which space, and of what kind they are."""

    images: int
    plane: Plane
    space: tuple[str, str]
    shows: tuple[str, ...]
    sequence: str
    echo_ms: float | None
    flip_degrees: float | None

    def like(self, other: "_LoneSlice") -> bool:
        """Whether both may be slices of one subject, however many images each has."""
        return self.fits(other) and not self.unlike(other)

    def unlike(self, other: "_LoneSlice") -> list[str]:
        """In what they were made otherwise, by keyword."""
        alike = {
            "SequenceName": self.sequence == other.sequence,
            "EchoTime": _near(self.echo_ms, other.echo_ms),
            "FlipAngle": _near(self.flip_degrees, other.flip_degrees),
        }
        return [keyword for keyword, same in alike.items() if not same]

    def fits(self, other: "_LoneSlice") -> bool:
        """Whether both show the same in one space, on one grid but for the place along the normal."""
        one, two = self.plane, other.plane
        return (
            (self.space, self.shows, one.rows, one.columns) == (other.space, other.shows, two.rows, two.columns)
            and np.allclose(one.orientation, two.orientation, rtol=0, atol=DIRECTION_TOLERANCE)
            and np.allclose(one.spacing, two.spacing, rtol=DIRECTION_TOLERANCE, atol=0)
        )

    @property
    def depth_mm(self) -> float:
        """Along the normal."""
        across, down = np.array(self.plane.orientation[:3]), np.array(self.plane.orientation[3:])
        return float(np.cross(across, down) @ np.array(self.plane.position))


_ALIKE = 0.4
"""As far as echo time and flip angle may differ from breath-hold to breath-hold, of the larger: as heat and heart rate have them;
of another sequence they are others by far."""
_OF_A_STEP, _NEXT = 0.75, 1.5
"""Of the distance of slices: from where on one lies at no other's place, and up to where at the next."""
_DIGITS = re.compile(r"[0-9]+")
"""In SequenceName they count segments and echoes, which differ from breath-hold to breath-hold ("*tfi2d1_12")."""


def _near(one: float | None, other: float | None) -> bool:
    return one == other if one is None or other is None else abs(one - other) <= _ALIKE * max(abs(one), abs(other))


def _lone_slice(view: SeriesView) -> _LoneSlice | None:
    """None of what is no series of images at one place, in a space that it names."""
    planes = planes_in(view.members)
    space = " ".join(texts_of(view.header, "Modality")), " ".join(texts_of(view.header, "FrameOfReferenceUID"))
    if not planes or not space[1]:
        return None
    try:
        places = places_of(planes)
    except InputError:
        return None
    first = view.members[0]
    if len(places) > 1:
        return None
    return _LoneSlice(
        images=len(planes),
        plane=planes[0],
        space=space,
        # behind the first two values ImageType says what an image shows: magnitude or velocity, corrected or not
        shows=tuple(texts_of(first, "ImageType"))[2:],
        sequence=_DIGITS.sub("", " ".join(texts_of(first, "SequenceName"))),
        echo_ms=first_number(first, "EchoTime"),
        flip_degrees=first_number(first, "FlipAngle"),
    )


def _step_mm(slices: Sequence[_LoneSlice]) -> float:
    """The least distance from place to place; of one place that at which two would be two."""
    steps = np.diff(np.sort([one.depth_mm for one in slices]))
    return float(min(steps[steps >= SAME_PLACE_MM], default=SAME_PLACE_MM / _OF_A_STEP))


def _from_mm(one: _LoneSlice, slices: Iterable[_LoneSlice]) -> float:
    return min(abs(one.depth_mm - each.depth_mm) for each in slices)


class Slices:
    """The series of a study that are slices over time, or phases: which of them belong together; each is looked at once.

    Parameters
    ----------
    study
        All series of the study, read where somebody asks.
    """

    def __init__(self, study: Callable[[], Sequence[SeriesView]] = tuple) -> None:
        self._study = study
        self._views: dict[str, SeriesView] | None = None
        self._lone: dict[str, _LoneSlice] = {}
        # by the views themselves, which are kept, so that no other gets the number of one
        self._together: dict[int, tuple[SeriesView, list[SeriesView]]] = {}
        self._whole: dict[tuple[int, ...], tuple[list[SeriesView], SeriesView]] = {}
        self._phases = PhaseStacks(lambda: self.views)

    def together(self, view: SeriesView) -> list[SeriesView]:
        """The series that are slices, or phases, of one subject with this one, by their numbers; the series alone where it is neither.

        Most slices hold as many images as each other. One that holds others, or one image, where none of those lies, is one of them that
        lacks images, or has too many: what asks the whole of it then refuses it, for without that slice the subject would be cut. A whole
        stack of other images between them, or at their places, is another subject.
        """
        if id(view) not in self._together:
            self._together[id(view)] = view, self._members(view)
        return self._together[id(view)][1]

    def _members(self, view: SeriesView) -> list[SeriesView]:
        views = self.views
        own = self._lone.get(view.series_instance_uid) if views.get(view.series_instance_uid) is view else _lone_slice(view)
        if own is None:
            group = self._phases.of(view.series_instance_uid)
            if group is None or view.series_instance_uid not in group.members:
                return [view]
            phases = [view if uid == view.series_instance_uid else views[uid] for uid in group.members]
            return sorted(phases, key=lambda one: preference(one)[2:])
        alike = {uid: one for uid, one in {**self._lone, view.series_instance_uid: own}.items() if own.like(one)}
        counts = Counter(one.images for one in alike.values() if one.images > 1)
        if not counts:
            return [view]
        usual = max(counts, key=lambda count: (counts[count], count))
        members = {uid: one for uid, one in alike.items() if one.images == usual}
        step_mm = _step_mm([*members.values()])
        away = {uid: one for uid, one in alike.items() if _from_mm(one, members.values()) >= _OF_A_STEP * step_mm}
        beyond = Counter(one.images for one in away.values())
        members |= {uid: one for uid, one in away.items() if 2 * beyond[one.images] >= counts[one.images]}
        if view.series_instance_uid not in members:
            members = {uid: one for uid, one in alike.items() if one.images == own.images > 1} or {view.series_instance_uid: own}
        found = [view if uid == view.series_instance_uid else views[uid] for uid in members]
        return sorted(found, key=lambda one: preference(one)[2:])

    def called(self, series_instance_uid: str) -> str:
        """Which phase a series is, behind how many there are; "" where nothing says so."""
        return f", this one {called}" if (called := self._phases.called(series_instance_uid)) else ""

    def told(self, members: Sequence[SeriesView]) -> list[str]:
        """What there is to say of series that are one subject: how many they are, and what lies beside them; for people."""
        first = members[0].series_instance_uid
        each = "slice" if first in self._lone else "phase"
        beside = [
            f"not with them, though it lies where the next slice would: {uid}, by {', '.join(of)}" for uid, of in self._beside(members)
        ]
        return [f"{len(members)} series of the study, a {each} each", *beside, *(self._phases.beside(first) if each == "phase" else ())]

    def _beside(self, members: Sequence[SeriesView]) -> list[tuple[str, list[str]]]:
        """Series that move, and lie where the next slice of these would, but were made otherwise: their UIDs, and in what (keywords)."""
        there = {one.series_instance_uid: self._lone[one.series_instance_uid] for one in members if one.series_instance_uid in self._lone}
        if len(there) < 2:
            return []
        first, step_mm = next(iter(there.values())), _step_mm([*there.values()])
        others = {uid: one for uid, one in self._lone.items() if uid not in there and one.images > 1 and first.fits(one)}
        next_ = {uid for uid, one in others.items() if _OF_A_STEP * step_mm <= _from_mm(one, there.values()) <= _NEXT * step_mm}
        return [(uid, unlike) for uid, one in others.items() if uid in next_ and (unlike := first.unlike(one))]

    def alone(self, view: SeriesView) -> str:
        """Why a series is no phase of what lies on its grid, for people; "" where nothing does."""
        return self._phases.alone(view)

    def as_one(self, view: SeriesView) -> SeriesView:
        """The view of a series with those that are of one subject with it."""
        members = self.together(view)
        if len(members) == 1:
            return view
        asked = tuple(map(id, members))
        if asked not in self._whole:
            images = [(class_of(header), header) for one in members for header in one.members]
            whole = replace(seen(members[0].series_instance_uid, images), counted=all(one.counted for one in members))
            self._whole[asked] = members, whole
        return self._whole[asked][1]

    @property
    def views(self) -> dict[str, SeriesView]:
        """All series of the study, by their UIDs."""
        if self._views is None:
            self._views = {one.series_instance_uid: one for one in self._study()}
            self._lone = {uid: slice_ for uid, one in self._views.items() if (slice_ := _lone_slice(one)) is not None}
        return self._views


def chosen_together(
    decisions: Sequence[Decision], applications: Callable[[str], Mapping[str, Application]], slices: Slices
) -> list[Decision]:
    """The decisions, where a route that runs an application over time chose one series of a subject: with the others, and with how many.

    Parameters
    ----------
    applications
        Those of a route, by its name.
    """
    names = {route: _over_time(applications(route)) for route in {one.route for one in decisions if one.chosen}}
    if not any(names.values()):
        return list(decisions)
    chosen = {(one.route, one.series_instance_uid) for one in decisions if one.chosen}
    found = []
    for one in decisions:
        view = slices.views.get(one.series_instance_uid) if names.get(one.route) else None
        subject = slices.together(view) if view is not None else []
        members = {each.series_instance_uid for each in subject}
        if len(members) > 1 and any((one.route, uid) in chosen for uid in members):
            together, *beside = slices.told(subject)
            called = slices.called(one.series_instance_uid)
            said = [*(f"{name}: analysed over time, {together}{called}" for name in names[one.route]), *beside]
            first = one.reason if one.chosen or not one.matched else "all conditions hold"
            also = one.matched and not one.chosen
            one = replace(one, chosen=one.chosen or also, slices=also, reason="; ".join([first, *said]))
        found.append(one)
    return found


def _over_time(applications: Mapping[str, Application]) -> list[str]:
    return [name for name, application in applications.items() if application.accepts.takes is Takes.PHASES]


class StudySeries:
    """Every series that the study of an arrival holds, whoever sent it, read where somebody asks; those of the arrival as it has them."""

    def __init__(self, studies: StudyInstances, study_instance_uid: str, series: Sequence[SeriesContent]) -> None:
        self._studies = studies
        self._study_instance_uid = study_instance_uid
        self._own = {content.series_instance_uid: content for content in series}
        self._all: dict[str, SeriesContent] = {}
        self.slices = Slices(self.views)

    def views(self) -> list[SeriesView]:
        """As routes see them."""
        return [content.view for content in self._contents().values()]

    def with_slices(self, content: SeriesContent) -> list[SeriesContent]:
        """A series with those that are slices, or phases, of one subject over time with it, by their numbers."""
        return [self._contents()[one.series_instance_uid] for one in self.slices.together(content.view)]

    def _contents(self) -> dict[str, SeriesContent]:
        if not self._all:
            found = contents(self._studies.of_study(self._study_instance_uid))
            self._all = {content.series_instance_uid: content for content in found} | self._own
        return self._all
