"""Slices over time that came as a series each, as scanners send short axes: which series of a study are one subject, by headers alone.

A series is such a slice where all of its images lie at one place. Others are of the same subject that are alike in modality, frame of
reference, orientation, matrix and spacing, and hold as many images. Whether they then are one stack, and were taken at the same times, is
said by what asks it of every series (`node.routing.gate`, `inference.imaging.phases`). Which series of them a route chose plays no part:
a cine is analysed whole.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from inference.applications.port import Application, Takes
from inference.errors import InputError
from inference.imaging.geometry import DIRECTION_TOLERANCE, Plane, places_of
from node.domain.instance import texts_of
from node.domain.route import Decision
from node.routing.decisions import SeriesView, class_of, preference, seen
from node.routing.layout import planes_in
from node.routing.port import StudyInstances
from node.routing.series import SeriesContent, contents


@dataclass(frozen=True, slots=True, kw_only=True)
class _LoneSlice:
    """A series whose images lie at one place: how many they are, where, and in which space."""

    images: int
    plane: Plane
    space: tuple[str, str]

    def like(self, other: "_LoneSlice") -> bool:
        one, two = self.plane, other.plane
        return (
            (self.images, self.space, one.rows, one.columns) == (other.images, other.space, two.rows, two.columns)
            and np.allclose(one.orientation, two.orientation, rtol=0, atol=DIRECTION_TOLERANCE)
            and np.allclose(one.spacing, two.spacing, rtol=DIRECTION_TOLERANCE, atol=0)
        )


def _lone_slice(view: SeriesView) -> _LoneSlice | None:
    """None of what is no series of several images at one place, in a space that it names."""
    planes = planes_in(view.members)
    space = " ".join(texts_of(view.header, "Modality")), " ".join(texts_of(view.header, "FrameOfReferenceUID"))
    if planes is None or len(planes) < 2 or not space[1]:
        return None
    try:
        places = places_of(planes)
    except InputError:
        return None
    return _LoneSlice(images=len(planes), plane=planes[0], space=space) if len(places) == 1 else None


def together(view: SeriesView, study: Sequence[SeriesView]) -> list[SeriesView]:
    """The series that are slices of one subject with this one, by their numbers; the series alone where it is no lone slice.

    Parameters
    ----------
    study
        All series of its study, itself among them or not.
    """
    own = _lone_slice(view)
    if own is None:
        return [view]
    others = [one for one in study if one.series_instance_uid != view.series_instance_uid]
    alike = [one for one in others if (slice_ := _lone_slice(one)) is not None and own.like(slice_)]
    return sorted([view, *alike], key=lambda one: preference(one)[2:])


def as_one(view: SeriesView, study: Sequence[SeriesView]) -> SeriesView:
    """The view of a series with those that are of one subject with it."""
    members = together(view, study)
    if len(members) == 1:
        return view
    images = [(class_of(header), header) for one in members for header in one.members]
    return replace(seen(view.series_instance_uid, images), counted=all(one.counted for one in members))


def chosen_together(
    decisions: Sequence[Decision], applications: Callable[[str], Mapping[str, Application]], study: Callable[[], Sequence[SeriesView]]
) -> list[Decision]:
    """The decisions, where a route that runs an application over time chose one slice of a subject: with the others, and with how many.

    Parameters
    ----------
    applications
        Those of a route, by its name.
    study
        All series of the study.
    """
    names = {route: _over_time(applications(route)) for route in {one.route for one in decisions if one.chosen}}
    if not any(names.values()):
        return list(decisions)
    of_study = {one.series_instance_uid: one for one in study()}
    found = []
    for one in decisions:
        members = {one.series_instance_uid}
        if one.matched and names.get(one.route) and one.series_instance_uid in of_study:
            members = {each.series_instance_uid for each in together(of_study[one.series_instance_uid], [*of_study.values()])}
        chosen = any(other.chosen and other.route == one.route and other.series_instance_uid in members for other in decisions)
        if len(members) > 1 and chosen:
            said = [f"{name}: analysed over time, {len(members)} series of the study, a slice each" for name in names[one.route]]
            one = replace(one, chosen=True, reason="; ".join([one.reason if one.chosen else "all conditions hold", *said]))
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

    def views(self) -> list[SeriesView]:
        """As routes see them."""
        return [content.view for content in self._contents().values()]

    def with_slices(self, content: SeriesContent) -> list[SeriesContent]:
        """A series with those that are slices of one subject over time with it, by their numbers."""
        return [self._contents()[one.series_instance_uid] for one in together(content.view, self.views())]

    def _contents(self) -> dict[str, SeriesContent]:
        if not self._all:
            found = contents(self._studies.of_study(self._study_instance_uid))
            self._all = {content.series_instance_uid: content for content in found} | self._own
        return self._all
