"""Labels of nnU-Nets decided slab by slab: those of all logits at once, voxel by voxel, and in a fraction of their memory."""

import tracemalloc
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from inference import codes
from inference.applications.bundle import finish as finishing
from inference.applications.bundle.errors import TooLittleMemory
from inference.applications.bundle.finish import Decision, Finishing, Regions, Return, finished, masks_of
from inference.applications.bundle.manifest import BundleManifest, masks
from inference.applications.bundle.nnunet.patches import Patches
from inference.applications.bundle.nnunet.preparing import CropToNonzero, Resample
from inference.applications.bundle.nnunet.returning import returned, slab_labels
from inference.applications.bundle.steps import ImageOnGrid, Orientation, Transform, source_image
from inference.applications.bundle.structures import Structure
from inference.applications.port import Accepts
from inference.engines.errors import NotFinite
from inference.engines.port import ModelRef, Tensors
from tests.unit.applications.bundle.images import blobs, volume

LABELS: tuple[Finishing, ...] = (Return(nearest=False), Decision())
REGIONS: tuple[Finishing, ...] = (Return(nearest=False), Regions(order=(2, 1, 3), members=((1, 2, 3), (1, 3), (3,))))


def _prepared(shape: tuple[int, int, int], spacing_mm: tuple[float, float, float], resample: Resample, axcodes: str = "SPL") -> ImageOnGrid:
    image = source_image(volume(blobs(shape, 3), spacing_mm))
    image.values[:, :3], image.values[-2:] = 0, 0
    for step in (Orientation(axcodes=axcodes), CropToNonzero(), resample):
        image = step.apply(image)
    return image


CASES: Mapping[str, ImageOnGrid] = {
    "same grid": _prepared((14, 20, 18), (1.0, 1.0, 1.0), Resample(spacing_mm=(1.0, 1.0, 1.0))),
    "coarser": _prepared((30, 26, 24), (1.0, 0.7, 0.8), Resample(spacing_mm=(2.3, 1.5, 1.5))),
    "finer": _prepared((9, 14, 15), (2.0, 1.5, 1.6), Resample(spacing_mm=(0.9, 0.8, 0.8))),
    "slices alone": _prepared((12, 18, 18), (2.0, 0.9, 0.9), Resample(spacing_mm=(1.1, 0.9, 0.9))),
    "turned": _prepared((13, 22, 17), (1.4, 0.9, 1.1), Resample(spacing_mm=(1.2, 1.7, 1.0)), "LAI"),
    "apart along the slices": _prepared((8, 24, 22), (5.0, 0.9, 1.1), Resample(spacing_mm=(4.0, 1.2, 1.2))),
    "apart, between slices": _prepared((8, 24, 22), (5.0, 0.9, 1.1), Resample(spacing_mm=(4.0, 1.2, 1.2), order_back_apart=1)),
    "apart along the rows": _prepared((8, 24, 22), (5.0, 0.9, 1.1), Resample(spacing_mm=(1.2, 4.0, 1.2)), "PSL"),
    "apart along the columns": _prepared((8, 24, 22), (5.0, 0.9, 1.1), Resample(spacing_mm=(1.2, 1.2, 4.0)), "PLS"),
    "one slice": _prepared((6, 20, 20), (40.0, 1.0, 1.0), Resample(spacing_mm=(200.0, 1.0, 1.0), apart=False, apart_back=False)),
}


@pytest.mark.parametrize("finishings", [LABELS, REGIONS], ids=["labels", "regions"])
@pytest.mark.parametrize("name", CASES)
def test_labels_are_those_of_all_logits_at_once(name: str, finishings: tuple[Finishing, ...]) -> None:
    """However thick the slabs are: every resampling that is linear, along each axis that may be coarse, cropped and turned."""
    image = CASES[name]
    logits = np.random.default_rng(5).standard_normal((3, *image.grid.shape)).astype(np.float16)
    expected = finished(logits, finishings, image)
    assert len(np.unique(expected)) > 1
    for thick in (1, 3, 100):
        made = slab_labels(finishings, image, 3)
        assert made is not None
        for start in range(0, logits.shape[1], thick):
            made.take(logits[:, start : start + thick])
        np.testing.assert_array_equal(returned(made.result(), finishings[1], image), expected)


@pytest.mark.parametrize(
    ("finishings", "changes"),
    [
        ((Return(nearest=True), Decision()), {}),
        ((Return(nearest=False), Decision(threshold=0.5)), {}),
        (LABELS, {"order_back": 3}),
        (LABELS, {"order_back_apart": 3}),
    ],
)
def test_what_takes_whole_channels_is_done_so(finishings: tuple[Finishing, ...], changes: dict[str, Any]) -> None:
    """Cubic splines and the nearest voxel's label are not made of slabs."""
    resample = replace(Resample(spacing_mm=(4.0, 1.2, 1.2)), **changes)
    assert slab_labels(finishings, _prepared((8, 24, 22), (5.0, 0.9, 1.1), resample), 3) is None


CHANNELS = 25
DEPTH, SIDE, WINDOW = 160, 48, 16


class _Network:
    """Channel k is largest in slices k·6 to k·6 + 5 of the image, which holds the numbers of its slices."""

    def __call__(self, model: ModelRef, tensors: Tensors, /) -> dict[str, NDArray[Any]]:
        window = tensors["x"][0, 0]
        return {"y": np.stack([-np.abs(np.floor(window / 6) - channel) for channel in range(CHANNELS)])[None]}

    def at_once(self, model: ModelRef) -> int:
        return 1

    def call_of(self, model: ModelRef) -> None:
        return None


def _manifest(resample: Transform) -> BundleManifest:
    return BundleManifest(
        name="made",
        version="1",
        title="made",
        accepts=Accepts(modality=("CT",)),
        model=ModelRef(name="made"),
        input="x",
        output="y",
        channels=CHANNELS,
        prepare=(Orientation(axcodes="SPL"), resample),
        inferer=Patches(side=(WINDOW,) * 3, channels=CHANNELS),
        finish=LABELS,
        structures=tuple(
            Structure(channel=number, label=f"part {number}", type=codes.LUNG, category=codes.TISSUE, rgb=(1, 2, 3))
            for number in range(1, CHANNELS)
        ),
    )


def _peak_mib(manifest: BundleManifest) -> tuple[NDArray[Any], float]:
    voxels = np.empty((DEPTH, SIDE, SIDE), np.int16)
    voxels[...] = np.arange(DEPTH)[:, None, None]
    subject = volume(voxels, (1.0, 1.0, 1.0))
    tracemalloc.start()
    try:
        labels = masks(manifest, subject, _Network())
        return labels, tracemalloc.get_traced_memory()[1] / 2**20
    finally:
        tracemalloc.stop()


def test_half_of_the_memory_of_all_logits() -> None:
    """25 channels of 160 × 48² voxels are 18 MiB in half precision. Decided slab by slab, the whole analysis stays below half of it; the
    same with a way back that takes whole channels (a resampling that does nothing, by cubic splines) takes more than all of it."""
    whole = CHANNELS * DEPTH * SIDE**2 * 2 / 2**20
    by_slabs, least = _peak_mib(_manifest(Resample(spacing_mm=(1.0, 1.0, 1.0))))
    at_once, most = _peak_mib(_manifest(Resample(spacing_mm=(1.0, 1.0, 1.0), order_back=3)))
    np.testing.assert_array_equal(by_slabs, at_once)
    assert [int(slab[0, 0]) for slab in by_slabs[::6]] == [min(number, CHANNELS - 1) for number in range(len(by_slabs[::6]))]
    assert least < whole / 2 < whole < most


def test_values_that_are_no_numbers() -> None:
    """A network that answers NaN in one voxel is refused, and no label is made of it."""

    class Broken(_Network):
        def __call__(self, model: ModelRef, tensors: Tensors, /) -> dict[str, NDArray[Any]]:
            answer = super().__call__(model, tensors)
            answer["y"][0, 3, 5, 5, 5] = np.nan
            return answer

    voxels = np.zeros((20, 20, 20), np.int16)
    with pytest.raises(NotFinite, match="no numbers"):
        masks(_manifest(Resample(spacing_mm=(1.0, 1.0, 1.0))), volume(voxels, (1.0, 1.0, 1.0)), Broken())


def test_masks_take_memory_where_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each number's mask, also of one that no voxel has; boxes that are more than the machine has are refused with both figures."""
    labels = np.zeros((6, 8, 10), np.uint16)
    labels[1:3, 2:5, 4:6], labels[4, 6, 7] = 2, 300
    found = masks_of(labels, [0, 1, 2, 300])
    for number, mask in found.items():
        np.testing.assert_array_equal(mask, labels == number)
    monkeypatch.setattr(finishing, "usable_memory", lambda: 60)
    with pytest.raises(TooLittleMemory, match="masks of 2 structures take"):
        masks_of(labels, [2, 300])
