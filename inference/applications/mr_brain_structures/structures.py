"""The structures that are offered, as data: which classes of brainchop's network each has, its codes, its colour.

Names and colours are FreeSurfer's, codes those of CID 7140. Of the network's 104 classes only these are offered; why the others are not
stands in docs/howto/brain-structures.md. The hippocampi are another network's (`hippocampi`).
"""

from collections.abc import Iterator
from dataclasses import dataclass

from inference import codes
from inference.codes import Code


@dataclass(frozen=True, slots=True, kw_only=True)
class BrainStructure:
    """One structure on one side, or of the middle.

    Attributes
    ----------
    label
        For people ("thalamus left").
    channels
        Its classes among brainchop's 104; () of what another network marks.
    compact
        Whether it is one piece: what lies apart from the largest is no part of it. Ventricles may seem parted where they are thin.
    """

    label: str
    channels: tuple[int, ...]
    type: Code
    rgb: tuple[int, int, int]
    laterality: Code | None = None
    compact: bool = True


def _pair(
    name: str, left: tuple[int, ...], right: tuple[int, ...], type: Code, rgb: tuple[int, int, int], compact: bool
) -> Iterator[BrainStructure]:
    for side, channels, laterality in (("left", left, codes.LEFT), ("right", right, codes.RIGHT)):
        yield BrainStructure(label=f"{name} {side}", channels=channels, type=type, rgb=rgb, laterality=laterality, compact=compact)


PAIRED = (
    ("thalamus", (69,), (70,), Code("42695009", "SCT", "Thalamus"), (0, 118, 14), True),
    ("caudate", (71,), (72,), Code("11000004", "SCT", "Caudate nucleus"), (122, 186, 220), True),
    ("putamen", (73,), (74,), Code("89278009", "SCT", "Putamen"), (236, 13, 176), True),
    ("hippocampus", (), (), codes.HIPPOCAMPUS, (220, 216, 20), True),
    # with its inferior horn, a class of its own
    ("lateral ventricle", (87, 88), (89, 90), Code("66720007", "SCT", "Lateral ventricle"), (120, 18, 134), False),
)
"""Name, classes of the left and of the right one, code, colour, whether it is one piece."""

STRUCTURES = (
    *(each for pair in PAIRED for each in _pair(*pair)),
    BrainStructure(
        label="third ventricle", channels=(91,), type=Code("49841001", "SCT", "Third ventricle"), rgb=(204, 182, 142), compact=False
    ),
)
CHANNELS = tuple(channel for structure in STRUCTURES for channel in structure.channels)
"""Of brainchop's network, in the order in which the served one has them."""

_OTHER_SIDE = {one: other for _, left, right, *_ in PAIRED for one, other in zip((*left, *right), (*right, *left), strict=True)}
MIRRORED = tuple(_OTHER_SIDE.get(channel, channel) for channel in CHANNELS)
"""Of each of `CHANNELS` the class of the other side, of the middle its own."""
