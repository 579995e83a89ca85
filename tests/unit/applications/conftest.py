"""Volumes made by hand, in any orientation, and real ones where they are present."""

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.engines.port import Call, ModelRef, Tensors
from inference.imaging.volume import SliceSource, Volume


class OneByOne:
    """The port `Infer` over a function: one call at a time, and nobody says how a model wants to be called."""

    def __init__(self, called: Callable[[ModelRef, Tensors], dict[str, NDArray[Any]]]) -> None:
        self._called = called

    def __call__(self, model: ModelRef, tensors: Tensors, /) -> dict[str, NDArray[Any]]:
        return self._called(model, tensors)

    def at_once(self, model: ModelRef) -> int:
        return 1

    def call_of(self, model: ModelRef) -> Call | None:
        return None


def turned_volume(voxels: NDArray[Any], spacing_mm: float, axes: tuple[int, int, int], flips: tuple[bool, ...], modality: str) -> Volume:
    """Voxels given as (z to the head, y to the back, x to the left) from (0, 0, 0) mm, stored with axes in another order and sense."""
    affine = np.zeros((4, 4))
    affine[3, 3] = 1
    # identity, written out: array axis 0, 1, 2 runs along patient z, y, x
    for new, (old, flip) in enumerate(zip(axes, flips, strict=True)):
        patient = 2 - old
        affine[patient, new] = -spacing_mm if flip else spacing_mm
        if flip:
            affine[patient, 3] = spacing_mm * (voxels.shape[old] - 1)
    stored = voxels.transpose(axes)[tuple(slice(None, None, -1 if flip else 1) for flip in flips)]
    sources = tuple(SliceSource(sop_instance_uid=f"1.2.{n}", sop_class_uid="1.2") for n in range(stored.shape[0]))
    return Volume(
        voxels=np.ascontiguousarray(stored),
        affine=affine,
        sources=sources,
        modality=modality,
        study_instance_uid="1.2.3",
        series_instance_uid="1.2.3.4",
        frame_of_reference_uid="1.2.3.5",
    )


ORIENTATIONS = [(axes, flips) for axes in itertools.permutations(range(3)) for flips in ((False, False, False), (True, False, True))]
AXIAL = [((0, 1, 2), flips) for flips in itertools.product((False, True), repeat=3)] + [((0, 2, 1), (False, True, False))]
