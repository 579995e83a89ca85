"""Models with an app.yaml, imported and run on the embedded engine; what does not fit its file is refused before anything is written."""

import copy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from inference import codes
from inference.applications import catalog
from inference.applications.accept import check
from inference.applications.analysing import analyse
from inference.applications.bundle.declaring import import_declared
from inference.applications.bundle.errors import UnclearBundle, UnfitBundle, UnreadableBundle
from inference.applications.bundle.given import Given, given
from inference.applications.bundle.importing import Imported
from inference.applications.bundle.manifest import FILE, from_text, to_text
from inference.applications.errors import NotAccepted
from inference.engines.errors import HostileModel
from inference.engines.safetensors import safetensors_of
from inference.imaging.volume import Volume
from node.settings.app_yaml import load
from tests.unit.applications.bundle import made, onnx_nets
from tests.unit.applications.bundle.images import volume

APP = """
name: ct-bright
title: Bright things
model: net.onnx
accepts: {modality: CT, max_spacing_mm: 3, min_slices: 10}
prepare: {orientation: RAS, window: {from: [0, 1000]}}
run: {window: [16, 16, 16]}
output: {activation: softmax}
segments:
  - {channel: 1, label: left kidney, colour: "#010203"}
licence: {code: MIT, weights: CC-BY-NC-4.0, data: on request, commercial: no}
attribution: Somebody
grade: demonstration
"""
FINDINGS = """
name: ct-fullness
title: Fullness
model: net.onnx
accepts: {modality: CT}
prepare: {orientation: RAS, size: [8, 8, 8], window: {from: [0, 1000]}}
findings:
  - {channel: 0, code: "SCT:50960005:Hemorrhage", site: "SCT:12738006:Brain", present: 0.75, absent: 0.25}
licence: {weights: MIT}
"""


CASES: list[tuple[str, Callable[[Path], Any]]] = [(APP, onnx_nets.brighter), (FINDINGS, onnx_nets.mean_of)]


def block(value: int = 900, spacing: tuple[float, float, float] = (2.0, 1.0, 1.0)) -> Volume:
    """Air with a block of 6 × 10 × 12 voxels."""
    voxels = np.full((20, 40, 40), -1000, np.int16)
    voxels[4:10, 12:22, 8:20] = value
    return volume(voxels, spacing)


def imported(folder: Path, text: str = APP, make: Callable[[Path], Any] = onnx_nets.brighter, file: str = "net.onnx") -> Imported:
    """A described model in the repository beside the folder."""
    folder.mkdir()
    (folder / "app.yaml").write_text(text, encoding="utf-8")
    make(folder / file)
    return import_declared(load(folder), folder.parent / "models")


def test_a_described_model_is_an_application(tmp_path: Path, infer_of: Callable[[Path], Any]) -> None:
    """The block is marked voxel for voxel, in 30 windows; its volume is 6 × 10 × 12 × 2 mm³; code, side and colour are those that were
    said, and the reader is told the grade."""
    entered = imported(tmp_path / "given")
    application = catalog.load("ct-bright", [tmp_path / "models"])
    assert (entered.application, entered.found, application.models) == ("ct-bright", "app.yaml and net.onnx", (entered.model,))
    found = application.analyse(block(), infer_of(tmp_path / "models"))
    (segment,), (measured,) = found.segments, found.measurements
    np.testing.assert_array_equal(segment.mask, block().voxels == 900)
    assert (segment.type.value, segment.laterality, segment.rgb) == ("64033007", codes.LEFT, (1, 2, 3))
    assert measured.value == pytest.approx(6 * 10 * 12 * 2 / 1000)
    assert "Demonstration grade" in str(found.remarks[0])
    card = (tmp_path / "models" / "ct_bright" / "README.md").read_text("utf-8")
    assert "licences: code MIT, weights CC-BY-NC-4.0, data on request; commercial use: no" in card
    assert "licence: CC-BY-NC-4.0" in card


def test_what_is_declared_is_measured(tmp_path: Path, infer_of: Callable[[Path], Any]) -> None:
    """Of every segment and of one; the import keeps it, the manifest allows it, and what cannot be measured is told."""
    text = APP.replace('colour: "#010203"', "measure: [{share_above: 100}]") + "measure: [volume, mean, agatston]\n"
    imported(tmp_path / "given", text)
    application = catalog.load("ct-bright", [tmp_path / "models"])
    found = analyse(application, block(), infer_of(tmp_path / "models"))
    told = {(one.name.meaning, one.derivation and one.derivation.meaning): one.value for one in found.measurements}
    assert told == {
        ("Volume", None): pytest.approx(6 * 10 * 12 * 2 / 1000),
        ("Attenuation Coefficient", "Mean"): pytest.approx(900),
        ("Share of volume above 100 HU", None): pytest.approx(100),
    }
    assert "Not measured: the Agatston score, because KVP is absent." in found.remarks


def test_the_gate_goes_by_what_was_said(tmp_path: Path) -> None:
    """Another spacing and another modality are refused with the reason."""
    imported(tmp_path / "given")
    application = catalog.load("ct-bright", [tmp_path / "models"])
    assert check(application, block()) == ()
    with pytest.raises(NotAccepted, match=r"4 mm apart, at most 3 mm"):
        check(application, block(spacing=(4.0, 1.0, 1.0)))
    with pytest.raises(NotAccepted, match="modality is MR, not CT"):
        check(application, replace(block(), modality="MR"))


def test_resampled_and_turned_it_lies_where_it_lay(tmp_path: Path, infer_of: Callable[[Path], Any]) -> None:
    """On the network's grid of other axes and spacings; probabilities come back, and the block's border is at most a voxel off."""
    other = APP.replace("orientation: RAS, window: {from: [0", "orientation: LPI, spacing_mm: [1.5, 1.5, 1.5], window: {from: [-1000")
    entered = imported(tmp_path / "given", other)
    application = catalog.load(entered.application, [tmp_path / "models"])
    found = application.analyse(block(), infer_of(tmp_path / "models"))
    truth = block().voxels == 900
    (segment,) = found.segments
    both, either = (segment.mask & truth).sum(), (segment.mask | truth).sum()
    assert both / either > 0.75
    assert segment.mask[5:9, 13:21, 9:19].all()


@pytest.mark.parametrize(("value", "answer"), [(900, codes.PRESENT), (500, codes.UNDETERMINED), (100, codes.ABSENT)])
def test_a_network_that_classifies(value: int, answer: codes.Code, tmp_path: Path, infer_of: Callable[[Path], Any]) -> None:
    """The mean of an even image of 900 of 1000 is 0.9: present from 0.75 on, absent below 0.25, undetermined between."""
    imported(tmp_path / "given", FINDINGS, onnx_nets.mean_of)
    application = catalog.load("ct-fullness", [tmp_path / "models"])
    even = volume(np.full((12, 20, 20), value, np.int16), (2.0, 1.0, 1.0))
    (said,) = application.analyse(even, infer_of(tmp_path / "models")).evaluations
    assert (said.value, said.finding.value, said.finding_site) == (answer, "50960005", codes.BRAIN)
    assert said.probability == pytest.approx(value / 1000, abs=1e-4)


def test_what_is_kept_is_read_again_as_it_was(tmp_path: Path) -> None:
    """application.json holds all of it."""
    for number, (text, make) in enumerate(CASES):
        entered = imported(tmp_path / f"given{number}", text, make)
        file = tmp_path / "models" / entered.model.name / "1" / FILE
        assert from_text(file.read_bytes(), "") == entered.manifest
        assert to_text(entered.manifest) == file.read_bytes()


def test_importing_again_changes_nothing_and_other_weights_are_the_next_version(tmp_path: Path) -> None:
    """As with every model of the repository."""
    first, again = imported(tmp_path / "one"), imported(tmp_path / "two")
    other = imported(tmp_path / "three", make=lambda path: onnx_nets.brighter(path, 0.25))
    assert [each.model.version for each in (first, again, other)] == [1, 1, 2]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
def test_weights_alone_with_a_network_of_the_list(tmp_path: Path, infer_of: Callable[[Path], Any]) -> None:
    """safetensors and the network's name: what is served differs from torch's own answer by little, the card says by how much."""
    pytest.importorskip("monai")
    network = made.unet(3)
    arguments = "{spatial_dims: 3, in_channels: 1, out_channels: 2, channels: [4, 8], strides: [2], num_res_units: 0, norm: batch}"
    text = APP.replace("net.onnx", "net.safetensors").replace("run:", f"network: {{class: UNet, arguments: {arguments}}}\nrun:")
    imported(tmp_path / "given", text, lambda path: path.write_bytes(safetensors_of(network.state_dict(), "")), "net.safetensors")
    assert "differs by" in (tmp_path / "models" / "ct_bright" / "README.md").read_text("utf-8")
    catalog.load("ct-bright", [tmp_path / "models"]).analyse(block(), infer_of(tmp_path / "models"))


def _outside(path: Path) -> None:
    """A link to a file elsewhere."""
    onnx_nets.brighter(path.parent.parent / "elsewhere.onnx")
    path.symlink_to(path.parent.parent / "elsewhere.onnx")


def _external(path: Path) -> None:
    """Weights in another file, which leads out of the folder."""
    model = onnx.load(onnx_nets.brighter(path))
    (kernel, _) = model.graph.initializer
    kernel.data_location = onnx.TensorProto.EXTERNAL
    kernel.ClearField("raw_data")
    entry = kernel.external_data.add()
    entry.key, entry.value = "location", "../../etc/passwd"
    path.write_bytes(model.SerializeToString())


def _two_images(path: Path) -> None:
    """A second input."""
    model = onnx.load(onnx_nets.brighter(path))
    second = copy.deepcopy(model.graph.input[0])
    second.name = "other"
    model.graph.input.append(second)
    path.write_bytes(model.SerializeToString())


REFUSED: dict[str, tuple[str, Callable[[Path], Any], type[Exception], str]] = {
    "a link": (APP, _outside, UnreadableBundle, "is a link that leads out of the folder"),
    "external data": (APP, _external, HostileModel, r"lie in another file.*passwd.*save the model as one file"),
    "two images": (APP, _two_images, UnfitBundle, "takes 2 inputs and gives 1 outputs"),
    "another window": (
        APP,
        lambda path: onnx_nets.brighter(path, sides=(32, 32, 32)),
        UnfitBundle,
        "takes images of 32 × 32 × 32 voxels, app.yaml gives it 16 × 16 × 16",
    ),
    "no window": (
        APP.replace("run: {window: [16, 16, 16]}", ""),
        lambda path: onnx_nets.brighter(path, sides=(32, 32, 32)),
        UnfitBundle,
        "takes images of 32 × 32 × 32 voxels alone: name them in app.yaml",
    ),
    "a channel too many": (APP.replace("channel: 1", "channel: 2"), onnx_nets.brighter, UnfitBundle, "has the channels 0 to 1"),
    "segments of numbers": (APP, onnx_nets.mean_of, UnfitBundle, "app.yaml says segments"),
    "findings of images": (FINDINGS, onnx_nets.brighter, UnfitBundle, "app.yaml says findings"),
    "another number of channels": (
        APP.replace("softmax}", "softmax, channels: 3}"),
        onnx_nets.brighter,
        UnfitBundle,
        "gives 2 channels, app.yaml says 3",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_fit_is_refused(name: str, tmp_path: Path) -> None:
    """A sentence, and nothing in the repository."""
    text, make, error, told = REFUSED[name]
    with pytest.raises(error, match=told):
        imported(tmp_path / "given", text, make)
    assert not (tmp_path / "models").exists()


def test_what_is_given_is_found_out(tmp_path: Path) -> None:
    """A folder with app.yaml, a bundle, a file; of the rest it is said what was looked for."""
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "app.yaml").touch()
    (tmp_path / "bare").mkdir()
    file = onnx_nets.brighter(tmp_path / "bare" / "net.onnx")
    assert given(tmp_path / "app") is Given.APP
    assert given(file) is Given.FILE
    for path, told in (
        (tmp_path / "bare", r"it has no app.yaml beside net.onnx"),
        (tmp_path / "nothing", "is neither an application nor a file or a folder"),
        (tmp_path / "app" / "app.yaml", "is neither a model file"),
    ):
        with pytest.raises(UnreadableBundle, match=told):
            given(path)


def test_torchscript_is_asked_by_running_it(tmp_path: Path, infer_of: Callable[[Path], Any]) -> None:
    """It says neither its shapes nor its channels; app.yaml's window is what it is tried with, and without one it cannot be."""
    pytest.importorskip("monai")
    text = APP.replace("net.onnx", "net.ts")
    imported(tmp_path / "given", text, lambda path: path.write_bytes(made.script(made.bright())), "net.ts")
    found = catalog.load("ct-bright", [tmp_path / "models"]).analyse(block(), infer_of(tmp_path / "models"))
    assert found.segments
    without = text.replace("run: {window: [16, 16, 16]}", "").replace("ct-bright", "ct-other")
    with pytest.raises(UnclearBundle, match="names neither a window nor a size"):
        imported(tmp_path / "other", without, lambda path: path.write_bytes(made.script(made.bright())), "net.ts")
