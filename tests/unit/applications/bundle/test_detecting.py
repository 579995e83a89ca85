"""Bundles that detect: boxes as MONAI's own detector finds them, where they lie on slices, what is told of them, and what is refused."""

import copy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inference import codes
from inference.applications.bundle.anatomy import Coded
from inference.applications.bundle.boxes import Anchors, Selection, suppressed
from inference.applications.bundle.detecting import (
    DEPTH,
    HEIGHT,
    TOLD,
    WIDTH,
    DetectedClass,
    Detector,
    boxes_of,
    detected,
    on_slice,
    sides_mm,
)
from inference.applications.bundle.errors import (
    CodeRefused,
    HostileBundle,
    TooLittleMemory,
    UnclearBundle,
    UncodedStructure,
    UnfitBundle,
    UnknownTransform,
)
from inference.applications.bundle.importing import Wanted, import_bundle
from inference.applications.bundle.inferer import SlidingWindow
from inference.applications.bundle.manifest import application_of, from_text, to_text
from inference.applications.bundle.names import detected_classes
from inference.applications.bundle.steps import ImageOnGrid
from inference.applications.manifest import is_label
from inference.applications.port import LocationOutput
from inference.engines.errors import NotFinite
from inference.engines.port import ModelRef, Tensors
from inference.errors import HilumError
from inference.imaging.resample import Grid
from tests.unit.applications.bundle import made, made_detector
from tests.unit.applications.bundle.images import blobs, volume

pytest.importorskip("monai")
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]

MODEL = ModelRef(name="heads")
NODULE = DetectedClass(channel=1, label="nodule", finding=codes.NODULE, site=codes.LUNG)
DETECTOR = Detector(
    anchors=Anchors(scales=(1.0, 2.0, 4.0), shapes=((6.0, 8.0, 4.0), (8.0, 6.0, 5.0))),
    selection=Selection(least=0.1, candidates=200, overlap=0.22, most=50),
    divisible=(16, 16, 8),
    always_windows=False,
    channels=2,
    classes=(NODULE,),
    told=0.1,
)
WINDOWS = SlidingWindow(roi_size=(32, 32, 16), overlap=0.25, sw_batch_size=2)


def image_of(shape: tuple[int, int, int]) -> ImageOnGrid:
    """Noise from 0 to 1 on a grid of 1 mm."""
    values = np.random.default_rng(5).random(shape, dtype=np.float32)
    return ImageOnGrid(values=values, grid=Grid(shape=shape, affine=np.eye(4)))


@pytest.mark.parametrize(
    ("shape", "always"),
    [
        pytest.param((24, 30, 13), False, id="whole, for it is smaller than a window"),
        pytest.param((24, 30, 13), True, id="in a window that is larger than it"),
        pytest.param((70, 41, 29), False, id="in windows"),
        pytest.param((90, 18, 37), False, id="in windows that are wider than it along one axis"),
    ],
)
def test_boxes_are_those_of_monais_own_detector(shape: tuple[int, int, int], always: bool) -> None:
    """Anchors, windows on every level, decoding, choice and suppression class by class: the same set in the same order."""
    import torch
    from monai.apps.detection.networks.retinanet_detector import RetinaNetDetector
    from monai.apps.detection.utils.anchor_utils import AnchorGeneratorWithAnchorShape

    network, image = made_detector.heads(), image_of(shape)
    generator = AnchorGeneratorWithAnchorShape(feature_map_scales=(1, 2, 4), base_anchor_shapes=((6, 8, 4), (8, 6, 5)))
    theirs = RetinaNetDetector(network, generator).eval()
    theirs.set_target_keys(box_key="box", label_key="label")
    theirs.set_box_selector_parameters(score_thresh=0.1, topk_candidates_per_level=200, nms_thresh=0.22, detections_per_img=50)
    theirs.set_sliding_window_inferer(roi_size=(32, 32, 16), overlap=0.25, sw_batch_size=2, mode="constant", device="cpu")
    with torch.inference_mode():
        windows = always or image.values.size >= 32 * 32 * 16
        (expected,) = theirs([torch.from_numpy(image.values)[None]], use_inferer=windows)

    detector = replace(DETECTOR, always_windows=always)
    found = boxes_of(detector, MODEL, WINDOWS, "INPUT__0", image, made_detector.HeadsInfer(network))
    assert len(found.boxes) > 10, "a comparison of few says little"
    np.testing.assert_allclose(found.probabilities, expected["label_scores"].numpy(), atol=1e-5)
    np.testing.assert_array_equal(found.classes, expected["label"].numpy())
    np.testing.assert_allclose(found.boxes, expected["box"].numpy(), atol=1e-3)


def test_of_two_boxes_that_overlap_the_likelier_stays_class_by_class() -> None:
    """By hand: two cubes of side 10, 5 apart, have 500 of 1,500 in common, a third."""
    boxes = np.array([[0, 0, 0, 10, 10, 10], [5, 0, 0, 15, 10, 10], [5, 0, 0, 15, 10, 10], [30, 0, 0, 40, 10, 10]], dtype=np.float32)
    probabilities = np.array([0.6, 0.7, 0.5, 0.2], dtype=np.float32)
    classes = np.array([0, 0, 1, 0])
    narrow, wide = Selection(least=0.1, candidates=9, overlap=0.3, most=9), Selection(least=0.1, candidates=9, overlap=0.34, most=9)
    assert suppressed(boxes, probabilities, classes, narrow).tolist() == [1, 2, 3]
    assert suppressed(boxes, probabilities, classes, wide).tolist() == [1, 0, 2, 3]
    assert suppressed(boxes, probabilities, classes, replace(wide, most=2)).tolist() == [1, 0]


def test_a_box_lies_on_the_slice_next_to_its_middle() -> None:
    """By hand: a grid (x, y, z) of 2 mm voxels over slices 4 mm apart with pixels of 1 mm; voxel centres are halves on the image."""
    source = Grid(shape=(10, 40, 30), affine=np.array([[0, 0, 1, 0], [0, 1, 0, 0], [4, 0, 0, 0], [0, 0, 0, 1]], dtype=np.float64))
    grid = Grid(shape=(15, 20, 20), affine=np.diag([2.0, 2.0, 2.0, 1.0]))
    image, shape = on_slice(np.array([2, 3, 4, 5, 7, 12], dtype=np.float32), grid, source)
    # z from 8 to 24 mm: 16 mm is the fifth slice; y from 6 to 14 mm, x from 4 to 10 mm
    assert (image, shape.top, shape.bottom, shape.left, shape.right) == (4, 6.5, 14.5, 4.5, 10.5)
    assert sides_mm(np.array([2, 3, 4, 5, 7, 12], dtype=np.float32), grid) == (6.0, 8.0, 16.0)
    image, shape = on_slice(np.array([0, 0, 19, 15, 20, 20], dtype=np.float32), grid, source)
    assert (image, shape.top, shape.bottom, shape.left, shape.right) == (9, 0.5, 40.0, 0.5, 30.0)


def test_of_an_image_that_is_turned_far_each_side_is_told_once() -> None:
    """By hand: turned by 55 degrees about an axis between all three, two of the patient's axes lie nearest to one of the image's."""
    axis, angle = np.array([2.0, -1.0, 1.0]) / np.sqrt(6), np.radians(55)
    cross = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    affine = np.eye(4)
    affine[:3, :3] = np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross
    assert sorted(sides_mm(np.array([0, 0, 0, 3, 5, 7], dtype=np.float32), Grid(shape=(9, 9, 9), affine=affine))) == [3.0, 5.0, 7.0]


def test_a_label_with_its_number_fits_whatever_the_class_is_called() -> None:
    """Of 64 characters, as an LO element takes them (PS3.5 6.2)."""
    (long,) = detected_classes({0: 20 * "nodule "}, {0: BALL})
    assert long.label.startswith("nodule nodule")
    assert is_label(f"{long.label} {TOLD}")


def test_the_surest_are_told_with_their_sides_and_others_are_counted() -> None:
    """Of the reported class alone, from the probability on that was asked for, each with width, height and depth in mm."""
    network, given = made_detector.heads(), volume(blobs((29, 41, 70)), (1.0, 1.0, 1.0))
    seen = image_of((70, 41, 29))
    infer = made_detector.HeadsInfer(network)
    detector = replace(DETECTOR, selection=replace(DETECTOR.selection, overlap=0.8, most=500))
    all_boxes = boxes_of(detector, MODEL, WINDOWS, "INPUT__0", seen, infer)
    sure = all_boxes.probabilities[all_boxes.classes == 1]
    assert len(sure) > TOLD
    found = detected(detector, MODEL, WINDOWS, "INPUT__0", given, seen, infer)
    assert [one.certainty for one in found.locations] == pytest.approx(sure[:TOLD].tolist())
    assert [one.label for one in found.locations] == [f"nodule {number + 1}" for number in range(TOLD)]
    assert {(one.finding, one.finding_site) for one in found.locations} == {(codes.NODULE, codes.LUNG)}
    assert [one.name for one in found.measurements if one.location == "nodule 3"] == [WIDTH, HEIGHT, DEPTH]
    assert f"The {TOLD} surest of {len(sure)} boxes are listed." in [str(one) for one in found.remarks]

    found = detected(replace(detector, told=float(sure[3])), MODEL, WINDOWS, "INPUT__0", given, seen, infer)
    assert len(found.locations) == 4
    assert len(found.remarks) == 1


def test_values_that_are_no_numbers_are_no_empty_list() -> None:
    """A head with NaN in one place: refused, not "nothing found"."""
    infer = made_detector.HeadsInfer(made_detector.heads())

    class Broken(made_detector.HeadsInfer):
        def __call__(self, model: ModelRef, tensors: Tensors, /) -> dict[str, np.ndarray]:
            given = infer(model, tensors)
            given["OUTPUT__4"] = given["OUTPUT__4"].copy()
            given["OUTPUT__4"][..., 0] = np.nan
            return given

    with pytest.raises(NotFinite, match="OUTPUT__4"):
        boxes_of(DETECTOR, MODEL, WINDOWS, "INPUT__0", image_of((24, 30, 13)), Broken(None))


def test_what_no_machine_holds_is_refused_before_it_is_begun() -> None:
    """Maps of a petavoxel; the image itself is one number that is repeated."""
    shape = (65536, 65536, 32768)
    image = ImageOnGrid(values=np.broadcast_to(np.float32(0), shape), grid=Grid(shape=shape, affine=np.eye(4)))
    with pytest.raises(TooLittleMemory, match=r"65536 × 65536 × 32768 voxels takes [\d.]+ GB"):
        boxes_of(DETECTOR, MODEL, WINDOWS, "INPUT__0", image, made_detector.HeadsInfer(made_detector.heads()))


def test_a_window_whose_network_finds_no_room_is_refused_before_it_is_computed() -> None:
    """Where this machine computes: of a server elsewhere nobody knows, and of what nobody measured nothing is said."""

    class Here(made_detector.HeadsInfer):
        def __call__(self, model: ModelRef, tensors: Tensors, /) -> dict[str, np.ndarray]:
            raise AssertionError("it was computed")

        def room_of(self, model: ModelRef) -> int | None:
            return 1 << 30

    measured = replace(DETECTOR, held=1e6)
    with pytest.raises(
        TooLittleMemory, match=r"takes up to 30.5 GB for 2 windows of 32 × 32 × 16 voxels, one model may take 1.0 on this machine"
    ):
        boxes_of(measured, MODEL, WINDOWS, "INPUT__0", image_of((56, 30, 13)), Here(None))
    with pytest.raises(AssertionError, match="it was computed"):
        boxes_of(DETECTOR, MODEL, WINDOWS, "INPUT__0", image_of((24, 30, 13)), Here(None))
    boxes_of(measured, MODEL, WINDOWS, "INPUT__0", image_of((24, 30, 13)), made_detector.HeadsInfer(made_detector.heads()))
    with pytest.raises(TooLittleMemory, match=r"takes up to 15.3 GB for a window of 32 × 32 × 16 voxels"):
        # eight may go in a call, and there is one
        boxes_of(measured, MODEL, replace(WINDOWS, sw_batch_size=8), "INPUT__0", image_of((24, 30, 13)), Here(None))


BALL = Coded(category=codes.MORPHOLOGICALLY_ABNORMAL_STRUCTURE, type=codes.NODULE, site=codes.LUNG)


def brought(tmp_path: Path, config: dict[str, Any], files: dict[str, bytes] | None = None, **meta: Any) -> Path:
    """The bundle's folder."""
    return made.folder(tmp_path / "balls", files or {"model.pt": b"weights"}, meta=made_detector.metadata(**meta), config=config)


@pytest.mark.slow
def test_a_detector_is_imported_served_and_read_back(tmp_path: Path, infer_of: Callable[[Path], Any]) -> None:
    """From its state dict to locations by the embedded engine; the entry says what is done otherwise, and what a window takes."""
    from inference.applications.bundle.config import Config
    from inference.applications.bundle.network import build

    config = made_detector.inference()
    network = build(Config(config)).eval()
    network.classification_head.cls_logits.bias.data += 4.0
    bundle = brought(tmp_path, config, {"model.pt": made.state(network)})
    imported = import_bundle(bundle, Wanted(codes={0: None, 1: BALL}, certainty=0.2), tmp_path / "models")
    manifest = imported.manifest
    assert from_text(to_text(manifest), "application.json") == manifest
    assert "A window of 32 × 32 × 16 voxels takes up to 0.0 GB" in imported.found
    assert imported.manifest.detector is not None
    assert 10 < imported.manifest.detector.held < 1e6
    assert any("Spacingd" not in note and "is switched off for files" in note for note in manifest.notes)
    application = application_of(manifest)
    assert LocationOutput(finding=codes.NODULE, searched=codes.LUNG) in application.outputs
    found = application.analyse(volume(blobs((24, 40, 36)), (2.5, 1.5, 1.5)), infer_of(tmp_path / "models"))
    assert found.locations
    assert all(one.certainty is not None and one.certainty >= 0.2 for one in found.locations)


Change = Callable[[dict[str, Any]], object]


def ops(config: dict[str, Any], place: int, text: str) -> None:
    """What the detector is told at a place."""
    config["detector_ops"][place] = text


REFUSED: dict[str, tuple[Change, type[HilumError], str]] = {
    "another inferer": (
        lambda config: config["inferer"].update(_target_="scripts.inferer.OwnInferer"),
        UnknownTransform,
        "inference.json:.*: inferer is scripts.inferer.OwnInferer.*RetinaNetInferer is known",
    ),
    "another head": (
        lambda config: config["detector"].update(_target_="scripts.Detector"),
        UnknownTransform,
        "detector is scripts.Detector.*RetinaNetDetector is known",
    ),
    "two axes": (lambda config: config["network_def"].update(spatial_dims=2), UnfitBundle, "network_def: the detector is of 2 axes"),
    "flat anchors": (
        lambda config: config["anchor_generator"].update(base_anchor_shapes=[[6, 8], [8, 6]]),
        UnfitBundle,
        "anchor_generator: base_anchor_shapes",
    ),
    "anchors by ratios": (
        lambda config: config["anchor_generator"].update(_target_="AnchorGenerator"),
        UnknownTransform,
        "anchor_generator is AnchorGenerator",
    ),
    "anchors that its network does not have": (
        lambda config: config["network_def"].update(num_anchors=3),
        UnfitBundle,
        "2 anchors on 3 levels, its network 3 on 3",
    ),
    "levels that its network does not have": (
        lambda config: config.update(feature_extractor=config["feature_extractor"].replace("[1,2]", "[1,2,3]")),
        UnfitBundle,
        "2 anchors on 3 levels, its network 2 on 4",
    ),
    "anchors without end": (
        lambda config: config["anchor_generator"].update(feature_map_scales=[1, 2, 1e9]),
        HostileBundle,
        "feature_map_scales",
    ),
    "another backbone": (
        lambda config: config.update(feature_extractor="$scripts.features(@backbone)"),
        CodeRefused,
        "feature_extractor asks to run code: the features are 'scripts.features'",
    ),
    "nothing of its choice": (
        lambda config: config["evaluator"].pop("_requires_"),
        UnclearBundle,
        "does not call the detector's set_box_selector_parameters",
    ),
    "a call that is not known": (
        lambda config: ops(config, 0, "$@detector.set_atss_matcher(num_candidates=4)"),
        CodeRefused,
        "detector_ops::0 asks to run code",
    ),
    "code among the arguments": (
        lambda config: ops(config, 1, "$@detector.set_box_selector_parameters(score_thresh=open('/etc/passwd').read())"),
        CodeRefused,
        "open",
    ),
    "a setting that is not known": (
        lambda config: ops(config, 1, "$@detector.set_box_selector_parameters(score_thresh=0.1,surprise=1)"),
        UnknownTransform,
        'the setting "surprise" is not known',
    ),
    "a threshold that is none": (
        lambda config: ops(config, 1, "$@detector.set_box_selector_parameters(score_thresh=0)"),
        HostileBundle,
        "score_thresh is 0",
    ),
    "windows of another blending": (
        lambda config: ops(config, 2, "$@detector.set_sliding_window_inferer(roi_size=@roi,mode='gaussian')"),
        UnknownTransform,
        "mode 'gaussian' is not computed here for detectors",
    ),
    "windows that do not divide": (
        lambda config: config.update(roi=[40, 40, 20]),
        UnfitBundle,
        r"roi_size is \[40, 40, 20\], whose sides are no multiples of size_divisible \[16, 16, 8\]",
    ),
    "boxes that become a mask": (
        lambda config: config["postprocessing"]["transforms"].append({"_target_": "BoxToMaskd", "box_keys": "box"}),
        UnknownTransform,
        "postprocessing::transforms::4 is BoxToMaskd",
    ),
    "boxes in another order": (
        lambda config: config["postprocessing"]["transforms"][2].update(src_mode="xxyyzz"),
        UnknownTransform,
        "xyzxyz, not 'xxyyzz'",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_another_detector_is_refused_by_its_line(name: str, tmp_path: Path) -> None:
    """Each by a sentence that says where it stands; nothing is written."""
    change, kind, says = REFUSED[name]
    config = copy.deepcopy(made_detector.inference())
    change(config)
    with pytest.raises(kind, match=says):
        import_bundle(brought(tmp_path, config), Wanted(codes={0: BALL, 1: None}), tmp_path / "models")
    assert not (tmp_path / "models").exists()


@pytest.mark.parametrize(
    ("wanted", "files", "kind", "says"),
    [
        pytest.param(Wanted(), {}, UncodedStructure, r"no code is known for channel 0 \(without a name\)", id="no code"),
        pytest.param(Wanted(codes={0: BALL, 1: BALL}), {}, UncodedStructure, 'several classes are called "nodule"', id="one code twice"),
        pytest.param(Wanted(codes={0: BALL, 1: None}, certainty=0.05), {}, UnclearBundle, "not from 0.1, below which", id="unsure"),
        pytest.param(
            Wanted(codes={0: BALL, 1: None}), {"model.onnx": b"graph"}, UnfitBundle, "which output is which head", id="heads unnamed"
        ),
    ],
)
def test_what_the_operator_has_to_say(wanted: Wanted, files: dict[str, bytes], kind: type[HilumError], says: str, tmp_path: Path) -> None:
    """A code for each class, a probability that the bundle can keep to, and weights whose heads are known."""
    with pytest.raises(kind, match=says):
        import_bundle(brought(tmp_path, made_detector.inference(), files), wanted, tmp_path / "models")


def test_a_certainty_of_what_finds_no_boxes_is_refused(tmp_path: Path) -> None:
    """Somebody relies on it."""
    bundle = made.folder(tmp_path / "a_ct", {"model.pt": b"weights"})
    with pytest.raises(UnfitBundle, match="leave --certainty out"):
        import_bundle(bundle, Wanted(certainty=0.5), tmp_path / "models")


def test_two_axes_are_refused_where_metadata_says_them(tmp_path: Path) -> None:
    """By the line of metadata.json, before the configuration is looked at."""
    described = made_detector.metadata()
    described["network_data_format"]["inputs"]["image"]["spatial_shape"] = ["16*n", "16*n"]
    bundle = made.folder(tmp_path / "balls", {"model.pt": b"weights"}, meta=described, config=made_detector.inference())
    with pytest.raises(UnfitBundle, match=r"metadata.json:\d+: .*spatial_shape: the detector is of two axes"):
        import_bundle(bundle, Wanted(codes={0: BALL, 1: None}), tmp_path / "models")
