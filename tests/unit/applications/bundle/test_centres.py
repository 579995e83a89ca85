"""Detectors of single images: from maps of middles to boxes on each image's own pixels."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from inference import codes
from inference.applications.bundle.centres import EDGES, ImageDetector, boxes_in
from inference.applications.bundle.detecting import DetectedClass
from inference.applications.bundle.errors import BrokenManifest
from inference.applications.bundle.inferer import SlidingWindow
from inference.applications.bundle.manifest import BundleManifest, application_of, from_text, to_text
from inference.applications.bundle.steps import Resize
from inference.applications.declared import check_outputs
from inference.applications.manifest import check_manifest
from inference.applications.port import Accepts, LocationOutput, ModelRef
from inference.engines.errors import WrongTensors
from inference.findings import Box
from inference.imaging.subject import Image, Images, Takes
from inference.imaging.volume import SliceSource

SIDE, STRIDE = 32, 4
DETECTOR = ImageDetector(
    stride=STRIDE,
    channels=2,
    classes=(
        DetectedClass(channel=0, label="Lesion", finding=codes.LESION),
        DetectedClass(channel=1, label="Nodule", finding=codes.NODULE),
    ),
    overlap=0.5,
    told=0.5,
)
MANIFEST = BundleManifest(
    name="own",
    version="1.0.0",
    title="Own",
    accepts=Accepts(modality=("DX",), takes=Takes.IMAGES),
    model=ModelRef(name="own", version=1),
    input="INPUT__0",
    output="OUTPUT__0",
    channels=2 + EDGES,
    prepare=(Resize(size=(1, SIDE, SIDE), mode="area"),),
    inferer=SlidingWindow(roi_size=(1, SIDE, SIDE), overlap=0.0, mode="constant"),
    finish=(),
    structures=(),
    image_detector=DETECTOR,
)


def maps(*things: tuple[int, int, int, float, tuple[float, float, float, float]]) -> NDArray[np.float32]:
    """Nothing anywhere but these: class, row and column of a place, probability, and how far its edges are."""
    made = np.zeros((2 + EDGES, SIDE // STRIDE, SIDE // STRIDE), dtype=np.float32)
    made[:2] = -20
    for kind, row, column, probability, edges in things:
        made[kind, row, column] = math.log(probability / (1 - probability))
        made[2:, row, column] = edges
    return made


def series(*shapes: tuple[int, int]) -> Images:
    images = tuple(
        Image(
            pixels=np.arange(rows * columns, dtype=np.float32).reshape(rows, columns),
            source=SliceSource(sop_instance_uid=f"1.2.{at}", sop_class_uid="1.2.840.10008.5.1.4.1.1.1.1"),
            series_instance_uid="1.2",
            inverted=False,
            spacing_mm=None,
            calibrated=False,
            view="",
            laterality="",
        )
        for at, (rows, columns) in enumerate(shapes)
    )
    return Images(images=images, modality="DX", study_instance_uid="1", series_instance_uid="1.2")


class Saying:
    """An `Infer` that says the same of every image."""

    def __init__(self, said: NDArray[np.float32]) -> None:
        self.said = said

    def __call__(self, model: ModelRef, tensors: Any, /) -> dict[str, NDArray[Any]]:
        assert tensors["INPUT__0"].shape == (1, 1, SIDE, SIDE)
        return {"OUTPUT__0": self.said[None]}

    def at_once(self, model: ModelRef) -> int:
        return 1

    def call_of(self, model: ModelRef) -> None:
        return None


EIGHT_BY_FOUR = (0.0, 0.0, math.log(2), 0.0)
"""Two places high and one wide: 8 by 4 pixels."""


def test_a_middle_becomes_a_box_by_hand() -> None:
    """At place (2, 3) of stride 4 the middle is (10, 14); half a place further down and right it is (12, 16): 8 by 4 pixels around it."""
    found = boxes_in(DETECTOR, maps((1, 2, 3, 0.9, (0.5, 0.5, math.log(2), 0.0))))
    assert found.boxes == pytest.approx(np.array([[8.0, 14.0, 16.0, 18.0]]))
    assert found.classes.tolist() == [1]
    assert found.probabilities == pytest.approx([0.9])


def test_the_less_likely_of_two_that_overlap_goes_class_by_class() -> None:
    """Two places that mean one box: the surer stays. Of another class both stay; a neighbour that is no peak is never one."""
    one = (0, 2, 2, 0.9, EIGHT_BY_FOUR)
    same = (0, 4, 2, 0.8, (-2.0, 0.0, math.log(2), 0.0))
    other = (1, 4, 2, 0.7, (-2.0, 0.0, math.log(2), 0.0))
    beside = (0, 2, 3, 0.6, (0.0, 4.0, 0.0, 0.0))
    assert boxes_in(DETECTOR, maps(one, same, beside)).probabilities == pytest.approx([0.9])
    assert boxes_in(DETECTOR, maps(one, other)).classes.tolist() == [0, 1]


def test_boxes_lie_on_each_images_own_pixels() -> None:
    """Images of other sizes and shapes are seen as 32 × 32: boxes come back by their sides, cut at the border, numbered through."""
    application = check_manifest(application_of(MANIFEST), "own", "here")
    images = series((64, 32), (32, 96))
    corner = (1, 0, 0, 0.8, (-0.5, -0.5, 0.0, 0.0))
    findings = application.analyse(images, Saying(maps((0, 3, 4, 0.9, EIGHT_BY_FOUR), corner)))
    check_outputs(application, findings, images)
    assert [(one.label, one.image) for one in findings.locations] == [("Lesion 1", 0), ("Nodule 1", 0), ("Lesion 2", 1), ("Nodule 2", 1)]
    assert [one.certainty for one in findings.locations] == pytest.approx([0.9, 0.8, 0.9, 0.8])
    shapes = [one.shape for one in findings.locations]
    # rows 10 to 18 and columns 16 to 20 of 32; the corner's middle is (0, 0), half of its 4 pixels lie outside
    wanted = [(20, 16, 36, 20), (0, 0, 4, 2), (10, 48, 18, 60), (0, 0, 2, 6)]
    for shape, (top, left, bottom, right) in zip(shapes, wanted, strict=True):
        assert isinstance(shape, Box)
        assert (shape.top, shape.left, shape.bottom, shape.right) == pytest.approx((top, left, bottom, right), abs=1e-4)


def test_what_is_less_likely_than_told_is_not_said_and_the_rest_of_many_is_counted() -> None:
    """Of 32 boxes on an image the 20 surest are told, and it is said; from a higher probability on fewer are, and nothing is left out."""
    places = [(kind, row, column) for kind in range(2) for row in range(0, 8, 2) for column in range(0, 8, 2)]
    said = Saying(maps(*((*place, 0.6 + 0.01 * at, (0.0, 0.0, -1.0, -1.0)) for at, place in enumerate(places))))
    found = application_of(MANIFEST).analyse(series((32, 32)), said)
    assert [one.certainty for one in found.locations] == pytest.approx([0.91 - 0.01 * at for at in range(20)])
    assert "The 20 surest of 32 boxes are listed." in [str(one) for one in found.remarks]
    sure = application_of(replace(MANIFEST, image_detector=replace(DETECTOR, told=0.895))).analyse(series((32, 32)), said)
    assert [one.certainty for one in sure.locations] == pytest.approx([0.91, 0.90])
    assert [str(one) for one in sure.remarks] == [
        "Marked is what the network gives a probability of 0.895 or more. The sides of a box are no diameters of what it holds."
    ]


def test_it_is_its_file() -> None:
    """What stands in application.json is the application again, with what it may say."""
    assert from_text(to_text(MANIFEST), "here") == MANIFEST
    assert application_of(MANIFEST).outputs == (LocationOutput(finding=codes.LESION), LocationOutput(finding=codes.NODULE))


def test_other_files_are_refused() -> None:
    """A detector of volumes, a class without a channel, and an activation behind it."""
    with pytest.raises(BrokenManifest, match="finds boxes on single images, and nothing else"):
        from_text(to_text(replace(MANIFEST, accepts=Accepts(modality=("CT",)))), "here")
    with pytest.raises(BrokenManifest, match="each class has one of its channels"):
        from_text(to_text(replace(MANIFEST, image_detector=replace(DETECTOR, channels=1))), "here")


def test_another_shape_is_refused() -> None:
    """A network with one channel too few is not read as if it had them all."""
    with pytest.raises(WrongTensors, match="not \\(1, 6, 8, 8\\)"):
        application_of(MANIFEST).analyse(series((32, 32)), Saying(maps()[:-1]))
