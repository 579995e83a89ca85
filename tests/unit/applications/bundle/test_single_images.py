"""An application without code over single images: each is brought to the network's size, and answered by itself."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from inference import codes
from inference.applications.bundle.answering import AnswerChannel, single_image
from inference.applications.bundle.errors import BrokenManifest
from inference.applications.bundle.finish import Activation
from inference.applications.bundle.inferer import SlidingWindow
from inference.applications.bundle.manifest import BundleManifest, application_of, from_text, to_text
from inference.applications.bundle.steps import Resize
from inference.applications.manifest import check_manifest
from inference.applications.port import Accepts, ModelRef
from inference.findings import Evaluation
from inference.imaging.subject import Image, Images, Takes
from inference.imaging.volume import SliceSource

MANIFEST = BundleManifest(
    name="own",
    version="1.0.0",
    title="Own",
    accepts=Accepts(modality=("DX",), takes=Takes.IMAGES),
    model=ModelRef(name="own", version=1),
    input="INPUT__0",
    output="OUTPUT__0",
    channels=1,
    prepare=(Resize(size=(1, 2, 3), mode="area"),),
    inferer=SlidingWindow(roi_size=(1, 2, 3), overlap=0.0, mode="constant"),
    finish=(Activation(sigmoid=True),),
    structures=(),
    answers=(AnswerChannel(channel=0, finding=codes.PNEUMONIA, present=0.7, absent=0.3),),
)


class Brightness:
    """An `Infer` whose logit is the mean of what it sees; it keeps the shapes."""

    def __init__(self) -> None:
        self.shapes: list[tuple[int, ...]] = []

    def __call__(self, model: ModelRef, tensors: Any, /) -> dict[str, NDArray[Any]]:
        self.shapes.append(tensors["INPUT__0"].shape)
        return {"OUTPUT__0": tensors["INPUT__0"].mean(axis=(1, 2, 3))[:, None]}

    def at_once(self, model: ModelRef) -> int:
        return 1

    def call_of(self, model: ModelRef) -> None:
        return None


def image(pixels: NDArray[Any], **said: Any) -> Image:
    source = SliceSource(sop_instance_uid="1.2.3", sop_class_uid="1.2.840.10008.5.1.4.1.1.1.1")
    given: dict[str, Any] = {"series_instance_uid": "1.2", "inverted": False, "spacing_mm": None, "calibrated": False, "view": ""}
    return Image(pixels=pixels, source=source, laterality="", **{**given, **said})


def test_each_image_of_a_series_is_answered_by_itself() -> None:
    """Three images of three sizes: each at the network's size, with an answer that rests on it alone."""
    values = (2.0, -2.0, 0.0)
    pixels = [np.full((4 + at, 6), value, dtype=np.float32) for at, value in enumerate(values)]
    series = Images(images=tuple(map(image, pixels)), modality="DX", study_instance_uid="1", series_instance_uid="1.2")
    infer = Brightness()
    application = check_manifest(application_of(MANIFEST), "own", "here")
    said = application.analyse(series, infer).evaluations
    assert infer.shapes == [(1, 1, 2, 3)] * 3
    assert [one.images for one in said] == [(0,), (1,), (2,)]
    assert [one.value for one in said] == [codes.PRESENT, codes.ABSENT, codes.UNDETERMINED]
    assert [one.probability for one in said] == pytest.approx([1 / (1 + np.exp(-value)) for value in values])
    assert all(isinstance(one, Evaluation) for one in said)


def test_colours_and_windows() -> None:
    """Colours count by their luma, red less than green; of grey values what the header's window cuts off is cut off."""
    red, green = (image(np.eye(3, dtype=np.uint8)[at] * np.full((2, 2, 1), 100, dtype=np.uint8)) for at in (0, 1))
    assert single_image(red).values == pytest.approx(29.9)
    assert single_image(green).values == pytest.approx(58.7)
    grey = image(np.array([[0, 50], [200, 4000]], dtype=np.uint16), window=(40.0, 300.0))
    assert single_image(grey).values[0].tolist() == [[40, 50], [200, 300]]


def test_it_is_its_file() -> None:
    """What stands in application.json is the application again; one that would mark something on single images is none."""
    assert from_text(to_text(MANIFEST), "here") == MANIFEST
    with pytest.raises(BrokenManifest, match="marks no masks on single images"):
        from_text(to_text(replace(MANIFEST, answers=())), "here")
