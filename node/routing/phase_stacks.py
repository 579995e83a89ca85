"""Phases that came as a series each, as 4-D CT does: which series of a study are one subject over time, by headers alone.

Series lie on one grid that agree in modality, frame of reference, orientation, matrix and spacing, and hold one image at each of the same
places. What was made otherwise (image type, kernel, echo time, kV) is a subject of its own; which of the others are phases, and in what
order, is said by `inference.imaging.phase_series`.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from inference.errors import InputError
from inference.imaging.geometry import Plane, places_of
from inference.imaging.phase_series import Stack, no_phase, phase_series, stack_of, told_by
from node.domain.instance import texts_of
from node.routing.decisions import SeriesView, named
from node.routing.layout import placed_in

_GRID = ("Modality", "FrameOfReferenceUID")
_MADE = ("ImageType", "ConvolutionKernel", "SequenceName", "EchoTime", "FlipAngle", "KVP", "InversionTime", "DiffusionBValue")
_OFF = 0.1
"""Of a pixel, or of the step from slice to slice: how far an image of another phase may lie from where the first lies."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Placed:
    """A series with one image at each of two places or more: on what grid, made how, and what its images say."""

    stack: Stack
    planes: tuple[Plane, ...]
    space: tuple[str, ...]
    grid: tuple[object, ...]
    made: tuple[str, ...]

    @property
    def uid(self) -> str:
        return self.stack.series_instance_uid

    def overlaps(self, other: "_Placed") -> bool:
        """Whether the other holds images at half of the places of this one, or more."""
        one, two = self.planes[0], other.planes[0]
        across, down = np.array(one.orientation[:3]), np.array(one.orientation[3:])
        apart = np.array(two.position) - np.array(one.position)
        if max(abs(float(apart @ across)), abs(float(apart @ down))) > _OFF * min(one.spacing):
            return False
        own, others = np.array(self.stack.depths_mm), np.array(other.stack.depths_mm)
        near = np.abs(own[:, None] - others[None, :]).min(axis=1) <= _OFF * float(np.diff(own).min())
        return 2 * int(near.sum()) >= len(own)


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseGroup:
    """Series on one grid that were made alike.

    Attributes
    ----------
    members
        UIDs of those that are phases of one subject; of one alone nothing says which phase it is.
    called
        By UID which phase each is, for people, where a share or a position says so.
    left_out
        By UID what lies on the grid and is no phase, and why, for people.
    untold
        How many series lie on the grid of which nothing says which phase they are.
    elsewhere
        By UID series that say that they are a phase which is missing here, and why they are none of these.
    """

    members: tuple[str, ...]
    left_out: Mapping[str, str]
    called: Mapping[str, str] = field(default_factory=dict)
    untold: int = 0
    elsewhere: Mapping[str, str] = field(default_factory=dict)


class PhaseStacks:
    """The series of a study that are phases: which belong together; each is looked at once.

    Parameters
    ----------
    views
        All series of the study by their UIDs, read where somebody asks.
    """

    def __init__(self, views: Callable[[], Mapping[str, SeriesView]]) -> None:
        self._views = views
        self._groups: dict[str, PhaseGroup] | None = None

    def of(self, uid: str) -> PhaseGroup | None:
        """The group that a series is in, or is left out of; None of one that nothing lies with."""
        if self._groups is None:
            self._groups = _groups([one for view in self._views().values() if (one := _placed(view)) is not None])
        return self._groups.get(uid)

    def alone(self, view: SeriesView) -> str:
        """Why a series is no phase of what lies on its grid, for people; "" where nothing does."""
        group = self.of(view.series_instance_uid)
        if group is None:
            return ""
        if why := group.left_out.get(view.series_instance_uid):
            return f"it is none of the {len(group.members)} phases on its grid: {why}" if group.members else ""
        if not group.untold:
            return ""
        return f"{group.untold - 1} other series of the study lie on its grid, and nothing in their headers says which phase each is"

    def called(self, uid: str) -> str:
        """Which phase a series is, for people; "" where no share and no position says so, or it is none."""
        group = self.of(uid)
        return "" if group is None else group.called.get(uid, "")

    def beside(self, uid: str) -> list[str]:
        """What lies with the phases that a series is of, or says that it is one, and is not analysed with them; for people."""
        group = self.of(uid)
        if group is None:
            return []
        views = self._views()
        return [f"not with them: {named(views[other])}, {why}" for other, why in {**group.left_out, **group.elsewhere}.items()]


def _placed(view: SeriesView) -> _Placed | None:
    """None of what lies at one place, or has several images at one, or names no space."""
    placed = placed_in(view.members)
    space = tuple(" ".join(texts_of(view.header, keyword)) for keyword in _GRID)
    if not placed or not all(space):
        return None
    planes = [plane for plane, _ in placed]
    try:
        places = places_of(planes)
    except InputError:
        return None
    if len(places) < 2 or len(places) < len(planes):
        return None
    ordered = [placed[index] for (index,) in places]
    first, header = ordered[0]
    stack = stack_of(view.series_instance_uid, [plane for plane, _ in ordered], [one for _, one in ordered])
    turned, spacing = (tuple(round(one, 3) for one in each) for each in (first.orientation, first.spacing))
    return _Placed(
        stack=stack,
        planes=tuple(plane for plane, _ in ordered),
        space=space,
        grid=(turned, spacing, first.rows, first.columns),
        made=tuple(" ".join(texts_of(header, keyword)) for keyword in _MADE),
    )


def _groups(placed: Sequence[_Placed]) -> dict[str, PhaseGroup]:
    """By the UID of each series that others lie with."""
    found: dict[str, PhaseGroup] = {}
    for together in _together(placed):
        averages = {one.uid: why for one in together if (why := no_phase(one.stack))}
        alike: dict[tuple[str, ...], list[_Placed]] = {}
        for one in together:
            if one.uid not in averages:
                alike.setdefault(one.made, []).append(one)
        groups = [_group(each, placed) for each in alike.values() if len(each) > 1]
        for group, each in zip(groups, [each for each in alike.values() if len(each) > 1], strict=True):
            found |= {one.uid: group for one in each}
        phases = [group for group in groups if group.members]
        if len(phases) == 1:  # of several nobody says of which of them an average is
            (group,) = phases
            whole = replace(group, left_out={**averages, **group.left_out})
            found |= dict.fromkeys((*group.members, *whole.left_out), whole)
    return found


def _together(placed: Sequence[_Placed]) -> list[list[_Placed]]:
    """Series in one space and on one grid that share places: about those places that most of them have."""
    grids: dict[tuple[object, ...], list[_Placed]] = {}
    for one in placed:
        grids.setdefault((one.space, one.grid), []).append(one)
    found = []
    for rest in grids.values():
        while len(rest) > 1:
            counts = Counter(_depths(one) for one in rest)
            usual = max(rest, key=lambda one: (counts[_depths(one)], len(one.planes)))
            found.append([one for one in rest if usual.overlaps(one)])
            rest = [one for one in rest if not usual.overlaps(one)]
    return [each for each in found if len(each) > 1]


def _depths(one: _Placed) -> tuple[float, ...]:
    return tuple(round(mm, 1) for mm in one.stack.depths_mm)


def _group(alike: Sequence[_Placed], study: Sequence[_Placed]) -> PhaseGroup:
    found = phase_series([one.stack for one in alike])
    if len(found.order) < 2:
        return PhaseGroup(members=(), left_out={}, untold=len(alike))
    members = tuple(one.series_instance_uid for one in found.order)
    elsewhere = {}
    if found.missing:
        there = alike[0]
        for one in study:
            told = told_by(found.keyword, [*found.order, one.stack]) if one.uid not in {each.uid for each in alike} else {}
            if told.get(one.uid) in found.missing and not no_phase(one.stack):
                elsewhere[one.uid] = f"which says that it is a phase that is missing, and {_otherwise(one, there)}"
    return PhaseGroup(members=members, left_out=dict(found.left_out), called=found.called, elsewhere=elsewhere)


def _otherwise(one: _Placed, there: _Placed) -> str:
    """In what a series is none of those on a grid."""
    if one.space != there.space:
        return "lies in another frame of reference" if one.space[0] == there.space[0] else "is of another modality"
    if one.grid != there.grid or not there.overlaps(one):
        return "lies on another grid"
    return "was made otherwise"
