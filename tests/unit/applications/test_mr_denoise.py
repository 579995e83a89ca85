"""mr-denoise without a model: what it refuses, and that cutting into windows and putting together loses and moves nothing."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from pydicom.uid import EnhancedMRImageStorage, MRImageStorage

from inference.applications.accept import check
from inference.applications.errors import NotAccepted
from inference.applications.mr_denoise.application import APPLICATION, analyse
from inference.applications.mr_denoise.preparing import BESIDE, NotMagnitude, OtherNoise, prepare
from inference.imaging.volume import SliceSource, Volume


def head(noise: float, shape: tuple[int, int, int] = (10, 40, 36)) -> Volume:
    """An even body of 1000 in air, with Rician noise of so much of it."""
    rng = np.random.default_rng(0)
    axes = np.meshgrid(*(np.linspace(-1.2, 1.2, side) for side in shape), indexing="ij")
    clean = np.where(axes[1] ** 2 + axes[2] ** 2 <= 1, 1000.0, 0.0)
    voxels = np.hypot(clean + rng.normal(0, 1000 * noise, shape), rng.normal(0, 1000 * noise, shape))
    return Volume(
        voxels=np.rint(voxels).astype(np.int16),
        affine=np.diag([4.0, 4.0, 4.0, 1.0])[[2, 1, 0, 3]],
        sources=tuple(SliceSource(sop_instance_uid=f"1.{z + 1}", sop_class_uid=str(MRImageStorage)) for z in range(shape[0])),
        modality="MR",
        study_instance_uid="1.2",
        series_instance_uid="1.3",
        frame_of_reference_uid="1.4",
    )


class Middle:
    """A network that changes nothing: its answer is the middle slices of what it sees."""

    def __call__(self, model: Any, tensors: Any) -> Any:
        return {"OUTPUT__0": tensors["INPUT__0"][:, :, BESIDE:-BESIDE]}

    def at_once(self, model: Any) -> int:
        return 1

    def call_of(self, model: Any) -> None:
        return None


@pytest.mark.parametrize("shape", [(10, 40, 36), (17, 131, 60)])
def test_windows_are_put_together_where_they_were_cut(shape: tuple[int, int, int]) -> None:
    """A network that changes nothing gives the volume back, voxel by voxel, across the seams too."""
    volume = head(0.05, shape)
    (image,) = analyse(volume, Middle()).derived
    assert image.voxels.dtype == np.int16
    assert np.array_equal(image.voxels, volume.voxels)


@pytest.mark.parametrize("noise", [0.02, 0.05, 0.1])
def test_noise_is_estimated(noise: float) -> None:
    """Within a tenth, in an even body."""
    assert prepare(head(noise)).share == pytest.approx(noise, rel=0.1)


def test_what_it_was_not_trained_for_is_refused() -> None:
    """Enhanced images, negative values, an even image, one bright voxel, hardly any noise, and more of it than signal."""
    volume = head(0.05)
    enhanced = tuple(replace(source, sop_class_uid=str(EnhancedMRImageStorage)) for source in volume.sources)
    with pytest.raises(NotAccepted, match="the images are stored as Enhanced MR Image Storage, not as MR Image Storage"):
        check(APPLICATION, replace(volume, sources=enhanced))
    for unfit in (
        replace(volume, voxels=volume.voxels - 500),
        replace(volume, voxels=np.full_like(volume.voxels, 7)),
        replace(volume, voxels=np.where(np.arange(volume.voxels.size).reshape(volume.voxels.shape) == 0, 30000, 0).astype(np.int16)),
    ):
        with pytest.raises(NotMagnitude):
            analyse(unfit, Middle())
    for noise in (0.001, 0.3):
        with pytest.raises(OtherNoise, match="are taken"):
            analyse(head(noise), Middle())
