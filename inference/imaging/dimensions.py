"""Dimensions of a series: which attributes tell images of one place apart, and into which volumes. Nothing is guessed: what no attribute
explains stays together, and is refused by geometry."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from inference.imaging.axes import B_VALUES, DIRECTIONS, Axis, Key, axes_of, known_b_values
from inference.imaging.geometry import places_of
from inference.imaging.slices import Slice

MOST_AXES = 3
"""How many attributes together may tell images apart: b-value, direction and component do; more would be chance."""

LONGEST_LABEL = 40
"""What fits into a series description beside the application's name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """The images of one volume among several, what people call it ("b 1000 s/mm2"), and its b-value where that tells volumes apart."""

    label: str
    slices: tuple[Slice, ...]
    b_value: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """How a series with several images at a place falls into volumes.

    Attributes
    ----------
    parts
        In the order of what tells them apart, one image of each at every place; empty where nothing explains the images.
    reason
        For people: "20 time points (TemporalPositionIndex)", the b-values by name; or why there are no parts.
    plurals
        What each of the attributes that tell the parts apart counts ("time points").
    """

    parts: tuple[Part, ...]
    reason: str
    plurals: tuple[str, ...] = ()


def split(slices: Sequence[Slice]) -> Split | None:
    """How the slices fall into volumes; None where every place holds one image.

    Raises
    ------
    MissingAttribute, MixedOrientation
        The slices are not parallel: they have no places in common.
    """
    places = places_of([each.plane for each in slices])
    if all(len(place) == 1 for place in places):
        return None
    found = axes_of(slices, places)
    for count in range(1, MOST_AXES + 1):
        for chosen in itertools.combinations(found, count):
            keys = [tuple(key) for key in zip(*(axis.keys for axis in chosen), strict=True)]
            if _explained(keys, places):
                return _parted(slices, places, keys, chosen, [axis for axis in found if axis.tells and axis not in chosen])
    return Split(parts=(), reason=_unexplained(found, places))


_Keys = tuple[Key, ...]


def _explained(keys: Sequence[_Keys], places: Sequence[Sequence[int]]) -> bool:
    """Whether every place holds the same keys, each once."""
    expected = {keys[index] for index in places[0]}
    return all(len(place) == len(expected) and {keys[index] for index in place} == expected for place in places)


def _parted(
    slices: Sequence[Slice], places: Sequence[Sequence[int]], keys: Sequence[_Keys], chosen: Sequence[Axis], telling: Sequence[Axis]
) -> Split:
    members: dict[_Keys, list[int]] = {key: [] for key in sorted(set(keys))}
    for place in places:
        for index in place:
            members[keys[index]].append(index)
    # what else is one thing in each volume, and not in all of them, is worth saying: the b-value of an acquisition
    also = [axis for axis in telling if all(len({axis.keys[index] for index in indices}) == 1 for indices in members.values())]
    labels = []
    weighted = next((axis for axis in (*also, *chosen) if axis.plural == B_VALUES), None) or _weighted(slices, [*members.values()])
    if weighted is not None and weighted not in chosen:
        also = [weighted, *(axis for axis in also if axis is not weighted)]
    b_values = [None if weighted is None else next(map(float, weighted.keys[indices[0]]), None) for indices in members.values()]
    for indices in members.values():
        words = [axis.labels[axis.keys[indices[0]]] for axis in (*also, *chosen)]
        labels.append(", ".join(word for word in words if word))
    if len(set(labels)) < len(labels) or any(not 0 < len(label) <= LONGEST_LABEL for label in labels):
        labels = [f"part {number} of {len(labels)}" for number in range(1, len(labels) + 1)]
    parts = tuple(
        Part(label=label, slices=tuple(slices[index] for index in indices), b_value=b_value)
        for label, indices, b_value in zip(labels, members.values(), b_values, strict=True)
    )
    named = [weighted] if weighted is not None and weighted not in chosen else []
    reason = " and ".join(_counted(axis) for axis in (*named, *chosen))
    return Split(parts=parts, reason=reason, plurals=tuple(axis.plural for axis in chosen))


def _weighted(slices: Sequence[Slice], parts: Sequence[Sequence[int]]) -> Axis | None:
    """The b-values where not every image has one, as beside a map that was computed: they explain nothing, and are worth saying of volumes
    that have one each."""
    axis = known_b_values(slices)
    if axis is None or len(set(axis.keys)) == 1:
        return None
    return axis if all(len({axis.keys[index] for index in part}) == 1 for part in parts) else None


def _counted(axis: Axis) -> str:
    """How many there are, and of what; b-values by name, since one of them may be what is wanted."""
    keys = sorted(set(axis.keys))
    if axis.plural not in (B_VALUES, DIRECTIONS):
        return f"{len(keys)} {axis.plural} ({axis.attribute})"
    stated = [key for key in keys if key]
    values = f"{', '.join(axis.labels[key] for key in stated)}; " if axis.plural == B_VALUES else ""
    without = " and images without one" if len(stated) < len(keys) else ""
    return f"{len(stated)} {axis.plural[: -1 if len(stated) == 1 else None]}{without} ({values}{axis.attribute})"


def _unexplained(found: Sequence[Axis], places: Sequence[Sequence[int]]) -> str:
    if not found:
        return "no attribute tells them apart"
    counts = sorted({len(place) for place in places})
    named = ", ".join(axis.attribute for axis in found[:MOST_AXES])
    if len(counts) > 1:
        return f"they differ in {named}, but {counts[0]} to {counts[-1]} images lie at a place"
    return f"they differ in {named}, but not alike at every place"
