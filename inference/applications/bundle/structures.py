"""Structures that a network marks, one a channel: as application.json says them, as segments, and what is said of absent ones."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.codes import Code
from inference.findings import Segment
from inference.translatable import Translatable, labelled, of_the_whole, say


@dataclass(frozen=True, slots=True, kw_only=True)
class Structure:
    """One channel of the network as a segment."""

    channel: int
    label: str
    type: Code
    category: Code
    rgb: tuple[int, int, int]
    laterality: Code | None = None
    site: Code | None = None


def structure_from(said: Any) -> Structure:
    """A structure of what JSON holds; KeyError, TypeError or ValueError where it is none."""
    given = dict(said)
    type, category = Code(**given.pop("type")), Code(**given.pop("category"))
    laterality, site = (None if (one := given.pop(key, None)) is None else Code(**one) for key in ("laterality", "site"))
    red, green, blue = (int(each) for each in given.pop("rgb"))
    return Structure(type=type, category=category, laterality=laterality, site=site, rgb=(red, green, blue), **given)


def segment_of(structure: Structure, mask: NDArray[np.bool_]) -> Segment:
    """A structure where its mask (Z, Y, X) is."""
    return Segment(
        label=structure.label,
        mask=mask,
        category=structure.category,
        type=structure.type,
        rgb=structure.rgb,
        finding_site=structure.site,
        laterality=structure.laterality,
    )


def not_found(absent: Sequence[Structure]) -> tuple[Translatable, ...]:
    """What is said of structures that are not there."""
    if not absent:
        return ()
    named = ", ".join(one.label for one in absent)
    said = say(
        "Not found in these images: {labels}.",
        labels=named,
        structures=tuple(labelled(one.label, one.type, one.laterality) for one in absent),
    )
    return (of_the_whole(said),)
