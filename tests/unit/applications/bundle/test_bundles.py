"""Bundles of the three layouts, imported and run, against MONAI's own workflow over the same configuration and the same image."""

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from inference.applications import catalog
from inference.applications.bundle.errors import CodeRefused
from inference.applications.bundle.importing import Imported, Wanted, import_bundle
from inference.applications.bundle.layouts import Layout
from inference.applications.bundle.manifest import FILE, application_of, from_text, masks, to_text
from inference.applications.bundle.steps import Spacing
from inference.applications.errors import BrokenApplication
from inference.applications.manifest import check_manifest
from inference.engines.file_import import ModelFile, import_file
from inference.engines.serving import roll_back
from inference.imaging.judge.expects import BodyPart, Expects, Form, Marked, Plausible, VolumeRange
from inference.imaging.volume import Volume
from inference.translatable import say
from tests.unit.applications.bundle import made
from tests.unit.applications.bundle.images import as_slices, blobs, meta_tensor, monai_blocks, volume

pytest.importorskip("monai")
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]

# spacings of which no voxel falls midway between two of the network's grid: there the nearest voxel hangs on MONAI's last bit
IMAGE = volume(blobs((20, 34, 30), 4), (2.57, 1.1, 1.1), tilt=0.1)
SMALL = volume(blobs((9, 12, 14), 5), (3.07, 1.4, 1.4))
POST = made.INFERENCE["postprocessing"]["transforms"]
SOFTMAX, INVERT, ARGMAX = POST[0], POST[1], POST[2]
NEAREST = {**INVERT, "nearest_interp": True}
SIGMOID = {"_target_": "Activationsd", "keys": "pred", "sigmoid": True}
LARGEST = {"_target_": "KeepLargestConnectedComponentd", "keys": "pred", "applied_labels": [1]}
PRE = made.INFERENCE["preprocessing"]["transforms"]


def compose(*transforms: dict[str, Any]) -> dict[str, Any]:
    """A Compose block."""
    return {"_target_": "Compose", "transforms": list(transforms)}


def window(**settings: Any) -> dict[str, Any]:
    """The sliding window with other settings."""
    return {"_target_": "SlidingWindowInferer", "roi_size": [16, 16, 16], "sw_batch_size": 3, "overlap": 0.25, **settings}


VARIANTS: dict[str, dict[str, Any]] = {
    "as the Model Zoo's spleen": {},
    "argmax first, nearest": {"postprocessing": compose(SOFTMAX, ARGMAX, NEAREST)},
    "largest part, then back": {"postprocessing": compose(ARGMAX, LARGEST, NEAREST)},
    "back, then largest part": {"postprocessing": compose(SOFTMAX, INVERT, ARGMAX, LARGEST)},
    "gaussian, more overlap": {"inferer": window(mode="gaussian", overlap=0.625)},
    "odd overlap": {"inferer": window(overlap=0.7, sw_batch_size=1)},
    "replicate": {"inferer": window(roi_size=[48, 48, 48], padding_mode="replicate")},
    "padded with a value": {"inferer": window(roi_size=[48, 48, 48], cval=0.25)},
    "window as wide as the image": {"inferer": window(roi_size=[16, 16, -1])},
    "percentiles and normalised": {
        "preprocessing": compose(
            *PRE[:4],
            {"_target_": "ScaleIntensityRangePercentilesd", "keys": "image", "lower": 1, "upper": 99, "b_min": 0, "b_max": 1, "clip": True},
            {"_target_": "NormalizeIntensityd", "keys": "image", "nonzero": "True", "channel_wise": True},
        )
    },
    "cropped to the foreground": {
        "preprocessing": compose(*PRE[:5], {"_target_": "CropForegroundd", "keys": "image", "source_key": "image", "margin": [2, 2, 2]})
    },
    "threshold of each channel": {
        "postprocessing": compose(SIGMOID, INVERT, {"_target_": "AsDiscreted", "keys": "pred", "threshold": 0.4}),
    },
    "threshold first": {"postprocessing": compose(SIGMOID, {"_target_": "AsDiscreted", "keys": "pred", "threshold": 0.4}, NEAREST)},
    "other spacing and axes": {
        "preprocessing": compose(
            *PRE[:2],
            {"_target_": "monai.transforms.Orientationd", "keys": ["image"], "axcodes": "PLI"},
            {"_target_": "SpacingD", "keys": ["image"], "pixdim": [2.2], "mode": ["bilinear"]},
            *PRE[4:],
        )
    },
}


@pytest.fixture(autouse=True)
def _labels_by_scipy(monkeypatch: pytest.MonkeyPatch) -> None:
    """MONAI wants scikit-image to number connected parts; scipy numbers the same parts, what MONAI then does with them is MONAI's."""
    from monai.transforms import utils
    from scipy import ndimage

    def label(image: Any, connectivity: int | None, return_num: bool) -> Any:
        assert return_num
        return ndimage.label(image, ndimage.generate_binary_structure(image.ndim, connectivity or image.ndim))

    monkeypatch.setattr(utils, "has_measure", True)
    monkeypatch.setattr(utils, "measure", SimpleNamespace(label=label))


def by_monai(config: dict[str, Any], network: Any, given: Volume) -> Any:
    """What MONAI's workflow makes of the image: (C, Z, Y, X) on the series' grid."""
    import torch
    from monai.data import MetaTensor

    before, called, after = monai_blocks(config)
    data = before({"image": meta_tensor(given)})
    with torch.inference_mode():
        answer = called(inputs=data["image"].as_tensor()[None], network=network)
    data["pred"] = MetaTensor(answer[0])
    result = after(data)["pred"]
    return np.stack([as_slices(channel) for channel in result.numpy()])


def dice(a: Any, b: Any) -> float:
    """Overlap of two masks."""
    return 2 * float((a & b).sum()) / max(int(a.sum()) + int(b.sum()), 1)


def compare(imported: Imported, repository: Path, infer: Any, config: dict[str, Any], network: Any, given: Volume) -> None:
    """Labels, or every channel's mask, by us and by MONAI: Dice at least 0.999; they are not empty, nor all."""
    ours = masks(imported.manifest, given, infer)
    theirs = by_monai(config, network, given)
    if ours.ndim == 3:
        theirs, ours = theirs[0][None] == 1, ours[None] == 1
    assert 0.02 < ours[-1].mean() < 0.98
    for one, other in zip(ours, theirs.astype(bool), strict=True):
        assert dice(one, other) >= 0.999
        assert (one == other).mean() >= 0.999


@pytest.mark.slow
@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("image", [IMAGE, SMALL], ids=["larger than the window", "smaller"])
def test_a_bundle_gives_what_monai_gives(variant: str, image: Volume, tmp_path: Path, infer_of: Callable[[Path], Any]) -> None:
    """TorchScript of a network that is known, through each way of preparing, tiling and finishing.

    Not every voxel must agree: MONAI interpolates in float64, we in float32, and a voxel whose two channels are alike to the last digits
    falls to either side.
    """
    config = made.inference(**VARIANTS[variant])
    network = made.bright()
    bundle = made.folder(tmp_path / "bright_ct", {"model.ts": made.script(network)}, config=config)
    imported = import_bundle(bundle, Wanted(), tmp_path / "models")
    compare(imported, tmp_path / "models", infer_of(tmp_path / "models"), config, network, image)


@pytest.mark.slow
def test_the_three_layouts_are_one_application(tmp_path: Path, infer_of: Callable[[Path], Any]) -> None:
    """A folder with TorchScript, a zip with ONNX made of its state dict, a TorchScript file with its metadata inside: the same masks."""
    network = made.bright()
    repository = tmp_path / "models"
    layouts = [
        made.folder(tmp_path / "in_a_folder", {"model.ts": made.script(network)}, config_name="inference.yaml"),
        made.archive(tmp_path / "in_a_zip.zip", {"model.ts": made.script(network)}),
        made.torchscript(tmp_path / "in_torchscript.ts", network),
    ]
    found = [import_bundle(bundle, Wanted(), repository) for bundle in layouts]
    assert [imported.found for imported in found] == [f"a MONAI Bundle, {layout.value}" for layout in Layout]
    infer = infer_of(repository)
    labels = [masks(imported.manifest, SMALL, infer) for imported in found]
    np.testing.assert_array_equal(labels[0], labels[1])
    np.testing.assert_array_equal(labels[0], labels[2])
    for imported in found:
        application = catalog.load(imported.application, [repository])
        assert application.models == (imported.model,)
        assert check_manifest(application, imported.application, "here") is application


@pytest.mark.slow
@pytest.mark.parametrize("to", ["onnx", "pt2"])
def test_a_state_dict_is_built_loaded_and_converted(to: str, tmp_path: Path, infer_of: Callable[[Path], Any]) -> None:
    """MONAI's own network, built from `network_def`: what is served gives what MONAI gives with the checkpoint."""
    network = made.unet(4)
    loader = {"_target_": "CheckpointLoader", "load_path": "$__import__('os').path.join(@bundle_root, 'best.pt')"}
    config = made.inference(handlers=[loader])
    bundle = made.archive(tmp_path / "unet_ct.zip", {"model.pt": made.state(network)}, config=config)
    imported = import_bundle(bundle, Wanted(to=to), tmp_path / "models")
    assert imported.entry.format == {"onnx": "ONNX", "pt2": "torch.export"}[to]
    assert imported.entry.code == ()
    # which weights are meant could not be read: what was taken is said
    (card,) = (tmp_path / "models").rglob("README.md")
    assert re.search(r"inference.json:\d+: handlers::0::load_path .*; models/model.pt was taken", card.read_text("utf-8"))
    ours = masks(imported.manifest, IMAGE, infer_of(tmp_path / "models"))
    theirs = by_monai(made.inference(), network, IMAGE)[0]
    assert 0.02 < (ours == 1).mean() < 0.98
    # weights by chance leave many voxels undecided to the third digit
    assert dice(ours == 1, theirs == 1) >= 0.999
    again = import_bundle(bundle, Wanted(to=to), tmp_path / "models")
    assert (again.model, again.entry) == (imported.model, imported.entry)


def test_application_json_is_read_as_it_was_written(tmp_path: Path) -> None:
    """All of the manifest comes back; what is written twice is the same."""
    bundle = made.archive(tmp_path / "a_ct.zip", {"model.ts": made.script(made.bright())})
    imported = import_bundle(bundle, Wanted(), tmp_path / "models")
    content = (tmp_path / "models/a_ct/1" / FILE).read_bytes()
    assert from_text(content, "here") == imported.manifest
    assert to_text(imported.manifest) == content
    # what somebody declares of the picture besides goes into the file and comes back; without it borders alone are looked at
    label = imported.manifest.structures[0].label
    spans = (
        VolumeRange(from_years=None, possible=(1.0, 9.0), usual=(2.0, 8.0)),
        VolumeRange(from_years=0, possible=(1.0, 9.0), usual=(2.0, 8.0)),
    )
    expects = Expects(
        part=BodyPart.CHEST,
        marked=(Marked(segments=(label,), form=Form.LUNGS),),
        plausible=(Plausible(structure=say("a lung"), segments=(label,), spans=spans, source="a book"),),
    )
    declared = replace(imported.manifest, expects=expects)
    assert imported.manifest.expects == Expects()
    assert from_text(to_text(declared), "here") == declared
    assert application_of(declared).expects == expects


SCRIPT = '''
"""A network of the bundle author's own."""

from monai.networks.nets import UNet


class Own(UNet):
    def __init__(self, out_channels):
        super().__init__(spatial_dims=3, in_channels=1, out_channels=out_channels, channels=(4, 8), strides=(2,), norm="batch")
'''


@pytest.mark.slow
def test_code_that_the_operator_allows_runs_once(tmp_path: Path, infer_of: Callable[[Path], Any]) -> None:
    """A network class in the bundle's scripts and an expression for the spacing: computed at import, kept as data; the entry says so."""
    network = made.unet(4)
    config = made.inference(
        steps=[3, 3, 4],
        pixdim="$[step / 2 for step in @steps]",
        network_def={"_target_": "scripts.own.Own", "out_channels": 2},
    )
    config["preprocessing"]["transforms"][3]["pixdim"] = "@pixdim"
    bundle = made.folder(tmp_path / "own_ct", {"model.pt": made.state(network)}, config=config)
    (bundle / "scripts").mkdir()
    (bundle / "scripts/__init__.py").write_text("")
    (bundle / "scripts/own.py").write_text(SCRIPT)
    repository = tmp_path / "models"
    with pytest.raises(CodeRefused, match="pixdim asks to run code"):
        import_bundle(bundle, Wanted(), repository)
    imported = import_bundle(bundle, Wanted(allow_code=True), repository)
    assert imported.manifest.prepare[1] == Spacing(pixdim=(1.5, 1.5, 2.0))
    assert [line.split(":")[0] for line in imported.entry.code] == ["pixdim", "network_def"]
    assert "scripts.own.Own" in (repository / "own_ct/README.md").read_text()
    shutil.rmtree(bundle)
    plain = made.inference()
    compare(imported, repository, infer_of(repository), plain, network, IMAGE)
    # nothing of it stays in this process
    assert not any("hilum-bundle-" in entry for entry in sys.path)
    assert "scripts" not in sys.modules


def test_serving_a_bundle_imports_neither_monai_nor_torch(tmp_path: Path) -> None:
    """Reading the manifest and preparing an image take numpy; MONAI alone would take seconds of every worker's start."""
    import_bundle(made.folder(tmp_path / "a_ct", {"model.ts": made.script(made.bright())}), Wanted(), tmp_path / "models")
    program = (
        "import sys; from pathlib import Path; from inference.applications import catalog; "
        f"catalog.load('a-ct', [Path({str(tmp_path / 'models')!r})]); "
        "print([m for m in ('torch', 'monai', 'scipy', 'onnxruntime') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.strip() == "[]"


def test_a_served_version_that_is_a_model_alone(tmp_path: Path) -> None:
    """A file imported under a bundle's name has no preparation: the application says so, and how to go back."""
    repository = tmp_path / "models"
    imported = import_bundle(made.folder(tmp_path / "a_ct", {"model.ts": made.script(made.bright())}), Wanted(), repository)
    file = tmp_path / "other.ts"
    file.write_bytes(made.script(made.bright(0.3)))
    config = (repository / "a_ct/config.pbtxt").read_text()
    import_file(file, ModelFile(name="a_ct", licence="MIT", attribution="", config=config), repository)
    with pytest.raises(BrokenApplication, match="hilum models rollback a_ct"):
        catalog.load("a-ct", [repository])
    roll_back(repository, "a_ct")
    assert catalog.load("a-ct", [repository]).models == (imported.model,)


def test_a_model_folder_is_never_code(tmp_path: Path) -> None:
    """A Python package in the repository is not imported, with or without a bundle in it."""
    repository = tmp_path / "models"
    import_bundle(made.folder(tmp_path / "a_ct", {"model.ts": made.script(made.bright())}), Wanted(), repository)
    (repository / "a_ct/__init__.py").write_text("raise SystemExit('was run')")
    assert [name for name in catalog.names([repository]) if name.startswith("a-")] == ["a-ct"]
    assert catalog.load("a-ct", [repository]).name == "a-ct"
