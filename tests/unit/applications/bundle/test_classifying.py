"""Bundles that say what a single image shows: what decides, what is refused, and what a grey image is to a network of colours.

That probabilities are MONAI's own is shown on the Model Zoo (test_model_zoo.py).
"""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inference import codes
from inference.applications.bundle.anatomy import Coded
from inference.applications.bundle.answering import AnswerChannel, Decides, Samples, colours, picture, stated
from inference.applications.bundle.config import Config
from inference.applications.bundle.errors import ColoursMissing, UnclearBundle, UncodedStructure, UnfitBundle, UnknownTransform
from inference.applications.bundle.finish import Activation
from inference.applications.bundle.importing import Wanted, import_bundle
from inference.applications.bundle.known import found
from inference.applications.bundle.manifest import application_of, from_text, to_text
from inference.applications.bundle.metadata import Network, network
from inference.applications.bundle.names import answers
from inference.applications.bundle.reading import Pipeline, pipeline
from inference.codes import Code
from inference.engines import exporting
from inference.engines.embedded.engine import EmbeddedEngine
from inference.engines.jail.model import Limits
from inference.errors import ModelError
from tests.unit.applications.bundle import made, onnx_nets
from tests.unit.applications.bundle.images import pictures

CLASSES = {"type": "probabilities", "format": "classes", "num_channels": 2, "spatial_shape": [1, 2], "channel_def": {"0": "a", "1": "b"}}
SINGLE = {"spatial_shape": [16, 16], "modality": "XC"}
LOADED: list[dict[str, Any]] = [
    {"_target_": "LoadImaged", "keys": "image"},
    {"_target_": "EnsureChannelFirstd", "keys": "image", "channel_dim": -1},
]
RESIZED = {"_target_": "Resized", "keys": "image", "spatial_size": [16, 16]}


def said(**inputs: Any) -> Network:
    """A network of single images of 16 × 16 pixels and two classes."""
    return network(made.metadata(inputs={**SINGLE, **inputs}, outputs=CLASSES))


def one_class() -> Network:
    """A network that gives one number."""
    outputs = {**CLASSES, "num_channels": 1, "spatial_shape": [1, 1], "channel_def": {"0": "a"}}
    return network(made.metadata(inputs=SINGLE, outputs=outputs))


def configured(
    *after: dict[str, Any], before: dict[str, Any] = RESIZED, inferer: str = "SimpleInferer", loaded: dict[str, Any] | None = None
) -> dict[str, Any]:
    """A configuration that finishes so."""
    first, *others = LOADED
    blocks = {"preprocessing": [first | (loaded or {}), *others, before], "postprocessing": [{**each, "keys": "pred"} for each in after]}
    config = {block: {"_target_": "Compose", "transforms": transforms} for block, transforms in blocks.items()}
    called: dict[str, Any] = {"_target_": inferer} | ({} if inferer == "SimpleInferer" else {"roi_size": [16, 16, 16]})
    return {**config, "inferer": called}


def read(*after: dict[str, Any], net: Network | None = None, orientation: str | None = None, **option: Any) -> Pipeline:
    """The steps of it."""
    return pipeline(Config(configured(*after, **option)), net or said(), orientation)


SIGMOID, SOFTMAX = ({"_target_": "Activationsd", name: True} for name in ("sigmoid", "softmax"))
ARGMAX, ABOVE = ({"_target_": "AsDiscreted", **said} for said in ({"argmax": True}, {"threshold": 0.3}))


@pytest.mark.parametrize(
    ("after", "decides", "limit", "note"),
    [
        ([SOFTMAX, ARGMAX], Decides.LARGEST, 0.5, ""),
        ([SOFTMAX], Decides.LARGEST, 0.5, ""),
        ([ARGMAX], Decides.LARGEST, 0.5, ""),
        ([SIGMOID, ABOVE], Decides.LIMITS, 0.3, ""),
        ([SIGMOID], Decides.NOTHING, 0.5, "decides nothing"),
    ],
)
def test_what_decides(after: list[dict[str, Any]], decides: Decides, limit: float, note: str) -> None:
    """The largest where one class alone can be, a threshold where it stands, and nothing where a bundle gives probabilities alone."""
    steps = read(*after)
    assert (steps.decides, steps.limit) == (decides, limit)
    told = [one for one in steps.notes if "picture files" not in one]
    assert note in " ".join(told)
    assert bool(told) == bool(note)


@pytest.mark.parametrize(
    ("last", "scale", "note"), [("", 1.0, "their softmax"), ("Softmax", 1.0, "probabilities already"), ("Softmax", 1 + 2.0**-10, "already")]
)
def test_an_argmax_of_probabilities_is_given_no_second_softmax(
    last: str, scale: float, note: str, tmp_path: Path, infer_of: Callable[[Path], Any]
) -> None:
    """The bundle takes the largest and says no more: a network that ends in a softmax gives its own 0.9, where a second one made 0.69;
    also where it computes in 16 bits, in which a probability may be the next number above 1."""
    imported = import_bundle(
        _of_argmax(tmp_path / "two", last, scale), Wanted(codes={0: _coded("a"), 1: _coded("b")}, modality="XC"), tmp_path / "models"
    )
    assert note in " ".join(imported.manifest.notes)
    application = application_of(from_text(to_text(imported.manifest), "here"))
    shown = pictures(np.full((16, 16), 255, np.uint8), modality="XC")
    said = application.analyse(shown, infer_of(tmp_path / "models")).evaluations
    assert [one.probability for one in said] == pytest.approx([0.1 * scale, 0.9 * scale], abs=1e-5)


@pytest.mark.parametrize(("last", "scale"), [("Sigmoid", 1.0), ("Softmax", 1 + 2.0**-8)])
def test_an_argmax_of_what_a_logistic_function_gives_is_refused(last: str, scale: float, tmp_path: Path) -> None:
    """Of independent probabilities the largest says nothing of the others: one of fourteen would be present in every healthy chest. Also
    of such that bfloat16 brought above 1: they are no logits, and are given no softmax."""
    bundle, wanted = _of_argmax(tmp_path / "two", last, scale), Wanted(codes={0: _coded("a"), 1: _coded("b")}, modality="XC")
    with pytest.raises(
        UnfitBundle, match=r"inference.json:1: postprocessing looks for the largest of numbers .* a logistic function .* \{.*\} before"
    ) as refused:
        import_bundle(bundle, wanted, tmp_path / "models")
    # logits may lie there by chance: the way out that the sentence names is one
    (named,) = re.findall(r"\{.*\}", str(refused.value))
    softmax = json.loads(named.replace("…", '"pred"'))
    (bundle / "configs/inference.json").write_text(json.dumps(configured(softmax, ARGMAX)))
    assert import_bundle(bundle, wanted, tmp_path / "models").manifest.finish == (Activation(softmax=True),)


def test_probabilities_that_overflow_for_the_brightest_noise_are_probabilities(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A softmax that its author wrote out gives no numbers of what no image is: it is given no second one for that."""

    @contextmanager
    def written_out(*_: Any, **__: Any) -> Iterator[Any]:
        def answer(inputs: dict[str, Any]) -> dict[str, Any]:
            (image,) = inputs.values()
            with np.errstate(over="ignore", invalid="ignore"):
                powers = np.exp(np.abs(image).max(axis=(1, 2, 3))[:, None] * np.array([0, 1], np.float32))
                return {"answer": powers / powers.sum(axis=1, keepdims=True)}

        yield answer

    monkeypatch.setattr(exporting, "on_trial", written_out)
    wanted = Wanted(codes={0: _coded("a"), 1: _coded("b")}, modality="XC")
    imported = import_bundle(_of_argmax(tmp_path / "two", "Softmax"), wanted, tmp_path / "models")
    assert imported.manifest.finish == ()


def test_code_that_is_allowed_is_allowed_when_it_is_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the kernel confines nothing, TorchScript is looked at as it is imported: with `--allow-code`."""
    told: list[bool] = []

    class Told(EmbeddedEngine):
        def __init__(self, repository: Path, *, limits: Limits) -> None:
            told.append(limits.allow_code)
            super().__init__(repository, limits=limits)

    monkeypatch.setattr(exporting, "EmbeddedEngine", Told)
    wanted = Wanted(codes={0: _coded("a"), 1: _coded("b")}, modality="XC", allow_code=True)
    import_bundle(_of_argmax(tmp_path / "two", ""), wanted, tmp_path / "models")
    assert told == [True]


def _of_argmax(folder: Path, last: str, scale: float = 1.0) -> Path:
    bundle = made.folder(folder, {}, config=configured(ARGMAX), meta=made.metadata(inputs=SINGLE, outputs=CLASSES))
    onnx_nets.one_of_two(bundle / "models/model.onnx", last, scale)
    return bundle


def test_statements() -> None:
    """By the largest, also where that is a channel of which nothing is said; by limits; or by nobody."""
    channels = [AnswerChannel(channel=at, finding=Code(str(at), "99TEST", f"Finding {at}"), present=0.4, absent=0.25) for at in (1, 2)]
    probabilities = np.array([0.45, 0.3, 0.25])
    by = {decides: [one.value for one in stated(channels, decides, probabilities)] for decides in Decides}
    assert by[Decides.LARGEST] == [codes.ABSENT, codes.ABSENT]
    assert by[Decides.LIMITS] == [codes.UNDETERMINED, codes.UNDETERMINED]
    assert by[Decides.NOTHING] == [codes.UNDETERMINED] * 2
    assert [one.value for one in stated(channels, Decides.LARGEST, np.array([0.1, 0.2, 0.7]))] == [codes.ABSENT, codes.PRESENT]
    assert [one.probability for one in stated(channels, Decides.NOTHING, probabilities)] == pytest.approx([0.3, 0.25])
    # as 16 bits round them; what is no probability stays none
    assert [one.probability for one in stated(channels, Decides.LARGEST, np.array([0.0, 1.0039, -0.001]))] == [1.0, 0.0]
    assert [one.probability for one in stated(channels, Decides.LARGEST, np.array([0.0, 1.5, -0.5]))] == [1.5, -0.5]


@pytest.mark.parametrize(
    ("wrong", "error", "words"),
    [
        (lambda: read(ABOVE), UnknownTransform, "no Activationsd makes probabilities"),
        (lambda: read(), UnknownTransform, "neither Activationsd nor AsDiscreted"),
        (lambda: read({"_target_": "Activationsd", "softmax": False}), UnknownTransform, "neither Activationsd nor AsDiscreted"),
        (lambda: read(SOFTMAX, net=one_class()), UnknownTransform, "the softmax of one channel"),
        (lambda: read(SIGMOID, {"_target_": "Invertd"}), UnknownTransform, "is Invertd, which is no finishing of what a network says"),
        (lambda: read(SIGMOID, SOFTMAX), UnknownTransform, "after another one"),
        (lambda: read(SOFTMAX, inferer="SlidingWindowInferer"), UnfitBundle, "it sees it whole"),
        (lambda: read(SOFTMAX, before={**RESIZED, "mode": "bicubic"}), UnknownTransform, "mode 'bicubic'"),
        (lambda: read(SOFTMAX, before={**RESIZED, "spatial_size": 16}), UnknownTransform, "spatial_size is 16"),
        (lambda: read(SOFTMAX, before={**RESIZED, "spatial_size": [16, 16, 16]}), UnfitBundle, "takes images of 2 axes"),
        (
            lambda: read(SOFTMAX, before={"_target_": "Spacingd", "keys": "image", "pixdim": 1.0}),
            UnknownTransform,
            "nowhere in the patient",
        ),
        (lambda: read(SOFTMAX, orientation="RAS"), UnclearBundle, "leave --orientation out"),
        (lambda: read(SOFTMAX, loaded={"reader": "$monai.data.NumpyReader()"}), UnknownTransform, "reads arrays"),
        (lambda: read(SOFTMAX, before=LOADED[0], net=said(spatial_shape=["n", "n"])), UnclearBundle, "to one size"),
        (lambda: said(num_channels=2, channel_def={"0": "T1", "1": "T2"}), UnfitBundle, "one image is taken"),
        (lambda: said(num_channels=3, channel_def={"0": "R", "1": "G", "2": "mask"}), UnfitBundle, "one image is taken"),
        (lambda: answers({0: "spleen"}, {}, 0.5), UncodedStructure, "no code is known for channel 0"),
        (lambda: answers({0: "a"}, {0: _coded(side=codes.LEFT)}, 0.5), UncodedStructure, "findings have none here"),
        (lambda: answers({0: "a", 1: "b"}, {0: _coded(), 1: _coded()}, 0.5), UncodedStructure, "Teeth is the code of several channels"),
    ],
)
def test_what_is_refused(wrong: Any, error: type[ModelError], words: str) -> None:
    """By a sentence that says what of it."""
    with pytest.raises(error, match=words):
        wrong()


def test_a_reader_that_a_list_refers_to_is_read_there() -> None:
    """`reader: ["@read"]`, as MONAI takes several: arrays are refused wherever their reader stands."""
    config = configured(SOFTMAX, loaded={"reader": ["ITKReader", "@read"]})
    pipeline(Config({**config, "read": "PILReader"}), said(), None)
    with pytest.raises(UnknownTransform, match="reads arrays"):
        pipeline(Config({**config, "read": {"_target_": "NumpyReader"}}), said(), None)


def _coded(value: str = "1", side: Code | None = None) -> Coded:
    return Coded(category=codes.ANATOMICAL_STRUCTURE, type=Code(value, "99TEST", "Teeth"), laterality=side)


@pytest.mark.parametrize(
    ("name", "setting", "value", "expected"),
    [
        ("AsDiscreted", "argmax", [True, False], True),
        ("AsDiscreted", "threshold", [0.3, 0.5], 0.3),
        ("KeepLargestConnectedComponentd", "applied_labels", [1, 2], [1, 2]),
        ("Resized", "spatial_size", [16, 24], [16, 24]),
        ("Resized", "mode", ["bilinear", "nearest"], "bilinear"),
    ],
)
def test_what_is_said_for_each_key_and_what_is_a_list_of_its_own(name: str, setting: str, value: Any, expected: Any) -> None:
    """Of two keys a list of two is one for each where MONAI reads it so; of labels and of sides it is both, for each key."""
    one = found(Config({"step": {"_target_": name, "keys": ["pred", "label"], setting: value}}), "step", "pred")
    assert one is not None
    assert one.settings[setting] == expected


def test_grey_values_are_those_that_a_picture_file_of_the_image_would_have() -> None:
    """The 12 bits of a radiograph within its window, and without one; 8 bits as they are; a bundle's range is of such a file."""
    shown = np.array([[0, 51, 102], [153, 204, 255]], dtype=np.uint8)
    beyond = np.array([[900, 1510, 2020], [2530, 3040, 4095]], dtype=np.int16)
    even = np.full((2, 3), 700, dtype=np.int16)
    of_8, of_12, windowed, flat = pictures(shown, 1000 + shown.astype(np.int16) * 10, beyond, even, modality="DX").images
    for image in (of_8, of_12, replace(windowed, window=(1000.0, 3550.0))):
        np.testing.assert_array_equal(picture(image).values[0], shown)
    np.testing.assert_array_equal(picture(flat).values[0], 0)
    rgb = {"num_channels": 3, "format": "RGB", "type": "magnitude", "channel_def": {"0": "R", "1": "G", "2": "B"}}
    told = {name: " ".join(read(SOFTMAX, net=net).notes) for name, net in {"grey": said(), "colours": said(**rgb)}.items()}
    assert "made for picture files" in told["grey"]
    assert "picture files" not in told["colours"]


def test_a_picture_smaller_or_larger_is_brought_to_the_size_that_the_bundle_names() -> None:
    """Where no transform of it says how, and the card tells that."""
    steps = read(SOFTMAX, before=LOADED[0])
    assert [type(step).__name__ for step in steps.prepare] == ["Transpose", "Resize"]
    assert "16 × 16 pixels" in steps.notes[0]


def test_colours() -> None:
    """Three channels of one name are the image in grey; a network of colours takes no grey image."""
    rgb = {"num_channels": 3, "format": "RGB", "type": "magnitude", "channel_def": {"0": "R", "1": "G", "2": "B"}}
    assert said(**rgb).samples is Samples.RGB
    assert said(num_channels=3).samples is Samples.COPIED
    assert said(**{**rgb, "channel_def": {"2": "B", "0": "R", "1": "G"}}).samples is Samples.RGB
    with pytest.raises(UnfitBundle, match="takes colour images"):
        said(**{**rgb, "channel_def": {"2": "R", "1": "G", "0": "B"}})
    grey, red = pictures(np.zeros((4, 5), np.uint16), np.full((4, 5, 3), (200, 0, 7), np.uint8), modality="XC").images
    assert [float(each.values.max()) for each in colours(red)] == [200, 0, 7]
    with pytest.raises(ColoursMissing, match="one grey value"):
        colours(grey)
