"""Every step of a bundle's preparation against MONAI's own transform of that name, on the same image; and the way back."""

from typing import Any

import numpy as np
import pytest

from inference.applications.bundle import steps
from inference.applications.bundle.errors import NothingInside, TooManyVoxels
from inference.imaging.resample import Interpolation
from inference.imaging.volume import Volume
from tests.unit.applications.bundle.images import as_slices, blobs, meta_tensor, volume

monai = pytest.importorskip("monai.transforms")

FINE = volume(blobs((18, 30, 26)), (2.5, 0.9, 0.9))
OBLIQUE = volume(blobs((15, 24, 22), 1), (3.3, 1.7, 1.1), tilt=0.3)
IMAGES = {"fine": FINE, "oblique": OBLIQUE}
INTENSITY: list[tuple[str, dict[str, Any]]] = [
    ("ScaleIntensityRange", {"a_min": -57, "a_max": 164, "b_min": 0.0, "b_max": 1.0, "clip": True}),
    ("ScaleIntensityRange", {"a_min": -57, "a_max": 164, "b_min": -1.0, "b_max": 1.0, "clip": False}),
    ("ScaleIntensityRange", {"a_min": -57, "a_max": 164, "b_min": 0.0, "clip": True}),
    ("ScaleIntensityRange", {"a_min": 5, "a_max": 5, "b_min": 1.0, "b_max": 2.0}),
    ("ScaleIntensityRangePercentiles", {"lower": 1, "upper": 99, "b_min": 0.0, "b_max": 1.0, "clip": True}),
    ("ScaleIntensityRangePercentiles", {"lower": 5, "upper": 90, "b_min": -1.0, "b_max": 3.0, "relative": True}),
    ("ScaleIntensity", {"minv": -1.0, "maxv": 1.0}),
    ("ScaleIntensity", {}),
    ("ScaleIntensity", {"minv": None, "maxv": None, "factor": 0.5}),
    ("NormalizeIntensity", {}),
    ("NormalizeIntensity", {"nonzero": True}),
    ("NormalizeIntensity", {"subtrahend": 40.0, "divisor": 12.5}),
]


def theirs(given: Volume, *transforms: Any) -> Any:
    """The image after MONAI's transforms, axes as they leave them."""
    return monai.Compose(list(transforms))({"image": meta_tensor(given)})["image"]


def ours(given: Volume, *parts: Any) -> steps.ImageOnGrid:
    """The image after our steps, from the series' own axes on."""
    image = steps.source_image(given)
    for part in parts:
        image = part.apply(image)
    return image


@pytest.mark.parametrize("image", IMAGES)
@pytest.mark.parametrize("axcodes", ["RAS", "LPS", "PIR", "SAL"])
def test_orientation(image: str, axcodes: str) -> None:
    """Voxel by voxel the same turn, and the same place in the patient."""
    expected = theirs(IMAGES[image], monai.Orientationd("image", axcodes=axcodes, labels=None))
    made = ours(IMAGES[image], steps.Orientation(axcodes=axcodes))
    np.testing.assert_array_equal(made.values, expected[0].numpy())
    np.testing.assert_allclose(np.diag([-1, -1, 1, 1]) @ made.grid.affine, expected.affine.numpy(), atol=1e-9)
    np.testing.assert_array_equal(made.undo(made.values, Interpolation.NEAREST), IMAGES[image].voxels)


@pytest.mark.parametrize("image", IMAGES)
@pytest.mark.parametrize("mode", ["bilinear", "nearest"])
@pytest.mark.parametrize("pixdim", [(1.5, 1.5, 2.0), (0.7, 0.8, 1.1), (4.0, 3.1, 7.0), (0.9, -1.0, 2.5), (1.8, 1.8, 5.0)])
def test_spacing(image: str, mode: str, pixdim: tuple[float, float, float]) -> None:
    """The same shape and place; the same values to within 1e-3 of about 600: MONAI computes in float64, we in float32.

    Where two voxels are equally near, MONAI's choice depends on the last bit of its coordinates: of the nearest neighbour, 99 % must agree.
    """
    expected = theirs(
        IMAGES[image], monai.Orientationd("image", axcodes="RAS", labels=None), monai.Spacingd("image", pixdim=pixdim, mode=mode)
    )
    made = ours(IMAGES[image], steps.Orientation(axcodes="RAS"), steps.Spacing(pixdim=pixdim, mode=mode))
    assert made.values.shape == tuple(expected.shape[1:])
    np.testing.assert_allclose(np.diag([-1, -1, 1, 1]) @ made.grid.affine, expected.affine.numpy(), atol=1e-6)
    if mode == "bilinear":
        np.testing.assert_allclose(made.values, expected[0].numpy(), atol=1e-3)
    else:
        assert (made.values == expected[0].numpy()).mean() > 0.99


@pytest.mark.parametrize(("name", "settings"), INTENSITY)
def test_intensity(name: str, settings: dict[str, Any]) -> None:
    """Voxel by voxel, within float32."""
    expected = theirs(FINE, getattr(monai, f"{name}d")("image", **settings))
    made = ours(FINE, getattr(steps, name)(**settings))
    np.testing.assert_allclose(made.values, as_slices(expected[0]), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"margin": (3, 0, 7)},
        {"margin": (5, 5, 5), "allow_smaller": True},
        {"k_divisible": (8, 4, 16)},
        {"margin": (2, 2, 2), "k_divisible": (16, 16, 16), "allow_smaller": True},
    ],
)
def test_crop_foreground(settings: dict[str, Any]) -> None:
    """The same box, padded with 0 where it reaches beyond the image; on the way back, 0 outside the box."""
    voxels = np.zeros((18, 30, 26), dtype=np.int16)
    voxels[4:9, 11:25, 2:13] = blobs((5, 14, 11)).clip(1)
    given = volume(voxels, (2.5, 0.9, 0.9))
    expected = theirs(
        given, monai.Orientationd("image", axcodes="RAS", labels=None), monai.CropForegroundd("image", source_key="image", **settings)
    )
    made = ours(given, steps.Orientation(axcodes="RAS"), steps.CropForeground(**settings))
    np.testing.assert_array_equal(made.values, expected[0].numpy())
    np.testing.assert_allclose(np.diag([-1, -1, 1, 1]) @ made.grid.affine, expected.affine.numpy(), atol=1e-9)
    np.testing.assert_array_equal(made.undo(made.values, Interpolation.NEAREST), voxels)


@pytest.mark.parametrize("image", IMAGES)
@pytest.mark.parametrize("nearest", [False, True])
def test_the_way_back(image: str, nearest: bool) -> None:
    """A field made on the network's grid, brought back by `Invertd` and by us."""
    import torch
    from monai.data import MetaTensor

    preprocessing = monai.Compose(
        [
            monai.Orientationd("image", axcodes="RAS", labels=None),
            monai.Spacingd("image", pixdim=(1.5, 1.5, 2.0), mode="bilinear"),
            monai.CropForegroundd("image", source_key="image", margin=2),
        ]
    )
    data = preprocessing({"image": meta_tensor(IMAGES[image])})
    made = ours(
        IMAGES[image],
        steps.Orientation(axcodes="RAS"),
        steps.Spacing(pixdim=(1.5, 1.5, 2.0)),
        steps.CropForeground(margin=(2, 2, 2)),
    )
    field = np.random.default_rng(2).random(made.values.shape).astype(np.float32)
    data["pred"] = MetaTensor(torch.from_numpy(field)[None])
    inverted = monai.Invertd("pred", transform=preprocessing, orig_keys="image", nearest_interp=nearest)(data)["pred"]
    back = made.undo(field, Interpolation.NEAREST if nearest else Interpolation.LINEAR)
    assert back.shape == IMAGES[image].voxels.shape
    if nearest:
        assert (back == as_slices(inverted[0])).mean() > 0.99
    else:
        np.testing.assert_allclose(back, as_slices(inverted[0]), atol=1e-4)


def test_a_spacing_that_needs_too_many_voxels() -> None:
    """Half a metre at 0.05 mm is refused before anything is made of it."""
    wide = volume(np.zeros((4, 20, 20), dtype=np.int16), (100.0, 25.0, 25.0))
    with pytest.raises(TooManyVoxels, match=r"0\.05 × 0\.05 × 0\.05 mm the series would have"):
        ours(wide, steps.Orientation(axcodes="RAS"), steps.Spacing(pixdim=(0.05, 0.05, 0.05)))


def test_an_image_without_foreground() -> None:
    """MONAI would hand an empty image on; here it is a reason."""
    with pytest.raises(NothingInside):
        ours(volume(np.zeros((4, 5, 6), dtype=np.int16), (1.0, 1.0, 1.0)), steps.CropForeground())


@pytest.mark.parametrize("size", [(1, 12, 10), (5, 25, 40), (18, 30, 26)])
def test_a_voxel_is_the_mean_of_what_it_covers(size: tuple[int, int, int]) -> None:
    """Resize by area is torch's own, to smaller and to larger sizes: it keeps fine patterns from turning into coarse ones."""
    torch = pytest.importorskip("torch")
    image = steps.source_image(FINE)
    made = steps.Resize(size=size, mode="area").apply(image)
    expected = torch.nn.functional.interpolate(torch.from_numpy(image.values)[None, None], size=size, mode="area")[0, 0]
    assert made.values.dtype == np.float32
    np.testing.assert_allclose(made.values, expected.numpy(), atol=2e-3)
    assert made.grid.shape == size
