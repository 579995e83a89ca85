"""Labels of a coarser network as channels of a finer one's input: by hand, and against what nnU-Net's rules say in words."""

from dataclasses import replace

import numpy as np
import pytest

from inference.applications.bundle.errors import TooLittleMemory
from inference.applications.bundle.finish import Decision, Return
from inference.applications.bundle.manifest import BundleManifest, application_of, from_text, prepared, to_text
from inference.applications.bundle.nnunet import patches as patching
from inference.applications.bundle.nnunet.cascade import Coarser, appended, resampled
from inference.applications.bundle.nnunet.patches import Patches
from inference.applications.bundle.nnunet.plans import read_plans
from inference.applications.bundle.nnunet.preparing import CropToNonzero, Resample, ZScore
from inference.applications.bundle.steps import Orientation, source_image
from inference.applications.port import Accepts, ModelRef
from tests.unit.applications.bundle.images import blobs, volume
from tests.unit.applications.bundle.nnunet_plans import plans

BY = Coarser(model=ModelRef(name="made_3d_lowres"), prepare=(), inferer=Patches(side=(8, 8, 8), channels=3))


def test_no_label_comes_of_two_others() -> None:
    """Between 0 and 4 there is no 2: a voxel has the label whose mask is largest there, between two the nearest one's."""
    labels = np.array([[[0, 0, 4, 4]]], np.int32)
    assert resampled(labels, (1, 1, 8), 1, None, 0).ravel().tolist() == [0, 0, 0, 0, 4, 4, 4, 4]
    # of three voxels the middle one lies between a 0 and a 4, at the same distance of both: the nearest, as rounding has it
    assert set(resampled(labels, (1, 1, 3), 1, None, 0).ravel().tolist()) == {0, 4}


def test_the_largest_of_several_neighbours_wins() -> None:
    """One voxel in the middle of four: a label that has two of them, though the nearest is another."""
    labels = np.array([[[3, 1], [2, 1]]], np.int32)
    assert resampled(labels, (1, 1, 1), 1, None, 0).ravel().tolist() == [1]


def test_a_coarse_axis_keeps_its_planes() -> None:
    """Apart, a slice is the nearest one, and within a slice the rule is the same."""
    labels = np.zeros((2, 2, 4), np.int32)
    labels[1, :, 2:] = 4
    made = resampled(labels, (4, 2, 8), 1, 0, 0)
    assert made[:, 0].tolist() == [[0] * 8, [0] * 8, [0, 0, 0, 0, 4, 4, 4, 4], [0, 0, 0, 0, 4, 4, 4, 4]]


def test_labels_go_the_way_of_their_image() -> None:
    """Turned, cut to the image's own box and resampled, a channel for each label lies over the image that it was drawn on."""
    shape = (12, 20, 16)
    image = np.zeros(shape, np.int16)
    image[2:11, 4:18, 3:13] = blobs((9, 14, 10), 3) + 900
    image[4:8, 6:10, 5:9] = 3000
    marked = np.where(image == 3000, 2, 0).astype(np.uint16)
    asked: list[tuple[int, ...]] = []
    steps = (Orientation(axcodes="LAI"), CropToNonzero(), Resample(spacing_mm=(0.8, 1.5, 0.7), order=1))
    seen = appended(steps, [source_image(volume(image, (1.2, 1.0, 1.0)))], marked, [1, 2], BY, asked.append)
    assert asked == [seen.values.shape]
    assert seen.values.shape[0] == 3
    values, one, two = seen.values
    assert values.shape == seen.grid.shape
    assert one.max() == 0
    inside = values > 2900
    assert 0 < inside.sum() <= two.sum()
    assert two[inside].all()
    assert (values[two > 0] > 1900).all()


def test_what_is_marked_outside_counts_as_inside() -> None:
    """A masked z-score takes the voxels of the patient and those that the first network marked, wherever they are."""
    image = np.zeros((4, 6, 6), np.int16)
    image[:, 1:5, 1], image[:, 1:5, 4], image[0, 1:5, 1:5] = 10, 30, 20
    marked = np.zeros(image.shape, np.uint16)
    marked[2, 2, 2] = 1
    steps = (Orientation(axcodes="SPL"), CropToNonzero(), ZScore(masked=True))
    nothing, one = (
        appended(steps, [source_image(volume(image, (1.0, 1.0, 1.0)))], labels, [1], BY, lambda shape: None)
        for labels in (marked * 0, marked)
    )
    assert nothing.values[0][2, 1, 1] == 0
    assert one.values[0][2, 1, 1] < 0, "less than the mean"
    assert one.values[1].sum() == 1


def test_the_file_has_both_networks() -> None:
    """application.json keeps the first network with its own steps; the application needs both models."""
    read = read_plans(plans(coarser=(2.0, 2.0, 2.0)), "3d_cascade_fullres")
    assert (read.previous, read.labels) == ("3d_lowres", (1, 0, None))
    assert read_plans(plans(coarser=(2.0, 2.0, 2.0)), "3d_lowres").previous is None
    manifest = BundleManifest(
        name="made",
        version="1.0.0",
        title="made",
        accepts=Accepts(modality=("MR",)),
        model=ModelRef(name="made"),
        input="x",
        output="y",
        channels=3,
        prepare=(Orientation(axcodes="SPL"), *read.prepare),
        inferer=Patches(side=read.patch, channels=3),
        finish=(Return(nearest=False), Decision()),
        structures=(),
        before=replace(BY, prepare=(Orientation(axcodes="SPL"), *read.prepare), apart=True),
    )
    assert from_text(to_text(manifest), "application.json") == manifest
    assert application_of(manifest).models == (ModelRef(name="made"), ModelRef(name="made_3d_lowres"))


def test_memory_is_asked_for_before_there_is_a_channel_for_each_label(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cascade that takes more than the machine has is refused with both figures once the finer grid is known, and no channel was made."""
    monkeypatch.setattr(patching, "usable_memory", lambda: 1 << 20)
    resample = Resample(spacing_mm=(0.5, 0.5, 0.5))
    manifest = BundleManifest(
        name="made",
        version="1.0.0",
        title="made",
        accepts=Accepts(modality=("MR",)),
        model=ModelRef(name="made"),
        input="x",
        output="y",
        channels=30,
        prepare=(Orientation(axcodes="SPL"), CropToNonzero(), resample),
        inferer=Patches(side=(8, 8, 8), channels=30),
        finish=(Return(nearest=False), Decision()),
        structures=(),
        before=BY,
    )
    image = volume(blobs((12, 16, 16), 3), (1.0, 1.0, 1.0))
    monkeypatch.setattr(np, "equal", None)
    with pytest.raises(TooLittleMemory, match="30 channels of 24 × 32 × 32 voxels take"):
        prepared(manifest, image, np.zeros(image.voxels.shape, np.uint16))
