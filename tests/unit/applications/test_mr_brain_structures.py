"""mr-brain-structures: the network against a second definition and the published layers; box, sides and mirror images by hand."""

import io
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from inference import codes
from inference.applications.accept import check
from inference.applications.analysing import analyse
from inference.applications.declared import check_outputs
from inference.applications.errors import NotAccepted
from inference.applications.mr_brain_structures import APPLICATION
from inference.applications.mr_brain_structures.application import CUT, MODEL, in_place
from inference.applications.mr_brain_structures.hippocampi import AFFINE_MODEL, HIPPOCAMPUS_MODEL, TISSUES_MODEL, hippocampi
from inference.applications.mr_brain_structures.hippodeep import hippocampus_onnx
from inference.applications.mr_brain_structures.network import DILATIONS, LOST, to_onnx
from inference.applications.mr_brain_structures.preparing import NoBrainForStructures, box_of, brain_box, conformed
from inference.applications.mr_brain_structures.structures import CHANNELS, PAIRED, STRUCTURES
from inference.engines.embedded.engine import EmbeddedEngine
from inference.engines.errors import WrongWeights
from inference.engines.golden import check_golden
from inference.engines.port import ModelRef, Tensors
from inference.engines.repository import Repository
from inference.engines.safetensors import read_safetensors, safetensors_of
from inference.engines.weights_import import import_models
from inference.findings import Findings
from inference.imaging.assemble import assemble
from inference.imaging.measures.sides import ASYMMETRY
from inference.imaging.volume import Volume
from inference.imaging.write_series import from_nifti, write_series
from tests.unit.applications.conftest import ORIENTATIONS, OneByOne, turned_volume

WEIGHTS = "weights/brainchop/model21_104class/model.pth"
HIPPODEEP = tuple(f"weights/hippodeep/{name}.pt" for name in ("params_head_00075_00000", "paramsaffineta_00079_00000", "hippodeep"))
PREPARING = "inference.applications.mr_brain_structures.preparing"
LABELS = {structure.label: place for place, structure in enumerate(STRUCTURES, 1)}


# ---- the network


def published_layers(state: dict[str, Any]) -> Any:
    """MeshNet once more, in torch, by the publisher's model.json: 3 × 3 × 3, dilated, padded by as much, and ReLU; one 1 × 1 × 1."""
    from torch import nn

    layers: list[nn.Module] = []
    for place, dilation in enumerate(DILATIONS):
        out, into = state[f"model.{2 * place}.weight"].shape[:2]
        layers += [nn.Conv3d(into, out, 3, padding=dilation, dilation=dilation), nn.ReLU()]
    out, into = state[f"model.{2 * len(DILATIONS)}.weight"].shape[:2]
    network = nn.Sequential(*layers, nn.Conv3d(into, out, 1))
    network.load_state_dict({name.removeprefix("model."): tensor for name, tensor in state.items()})
    return network.eval()


def made_state(width: int = 3, classes: int = 104) -> dict[str, Any]:
    """Random weights of a narrow network of the same layers."""
    import torch

    torch.manual_seed(4)
    widths = [1, *[width] * len(DILATIONS)]
    state: dict[str, Any] = {}
    for place in range(len(DILATIONS)):
        state[f"model.{2 * place}.weight"] = torch.randn(widths[place + 1], widths[place], 3, 3, 3) / 3
        state[f"model.{2 * place}.bias"] = torch.randn(widths[place + 1]) / 3
    state[f"model.{2 * len(DILATIONS)}.weight"] = torch.randn(classes, width, 1, 1, 1)
    state[f"model.{2 * len(DILATIONS)}.bias"] = torch.randn(classes)
    return state


def in_torch(state: dict[str, Any], image: NDArray[np.float32]) -> NDArray[np.float32]:
    """(classes, …) the logits of all classes."""
    import torch

    with torch.no_grad():
        logits: NDArray[np.float32] = published_layers(state)(torch.from_numpy(image)).numpy()[0]
    return logits


def inner(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """(classes, …) without what the served network does not answer for."""
    return logits[(slice(None), *[slice(LOST, -LOST)] * 3)]


def test_the_graph_answers_as_the_published_layers_do() -> None:
    """The logits of the classes that are offered, in their order, behind the highest of all others, but for the outermost voxels; the same
    bytes each time."""
    import onnxruntime

    state = made_state()
    content = to_onnx(safetensors_of(state, "made"))
    image = np.random.default_rng(0).random((1, 1, 41, 44, 42), dtype=np.float32)
    expected = inner(in_torch(state, image))
    (found,) = onnxruntime.InferenceSession(content).run(None, {"IMAGE": image})[0]
    assert expected.std() > 0.1
    np.testing.assert_allclose(found[1:], expected[list(CHANNELS)], atol=1e-4)
    np.testing.assert_allclose(found[0], np.delete(expected, CHANNELS, axis=0).max(axis=0), atol=1e-4)
    assert to_onnx(safetensors_of(state, "made")) == content


def test_a_state_dict_and_safetensors_give_one_graph() -> None:
    """Publishers call either .pth."""
    import torch

    state = made_state()
    buffer = io.BytesIO()
    torch.save(state, buffer)
    assert to_onnx(buffer.getvalue()) == to_onnx(safetensors_of(state, "made"))


def test_files_that_hold_another_network() -> None:
    """A layer absent, one too many, other classes, broken safetensors, no weights at all: refused, by what is wrong."""
    state = made_state()
    last = "model.16.weight"
    whole = safetensors_of(state, "made")
    for content, said in (
        (safetensors_of({name: value for name, value in state.items() if name != last}, "made"), r"no model\.16\.weight"),
        (safetensors_of(state | {"model.18.weight": state[last]}, "made"), r"model\.18\.weight"),
        (safetensors_of(made_state(classes=18), "made"), "tells 18 classes apart, not 104"),
        (whole[:-4], "not a PyTorch state dict: .*does not lie where the header says"),
        (b"rubbish, and more of it", "not a PyTorch state dict"),
    ):
        with pytest.raises(WrongWeights, match=said):
            to_onnx(content)
    with pytest.raises(WrongWeights, match=r"no conv0a_0\.weight: it is another network's"):
        hippocampus_onnx(whole)


def published(real: Callable[[str], list[Path]]) -> list[Path]:
    """The files that an operator names, brainchop's first."""
    return [file for name in (WEIGHTS, *HIPPODEEP) for file in real(name)]


def hippodeeps_head(real: Callable[[str], list[Path]], folder: Path) -> Volume:
    """The head of 1.75 mm that is published with hippodeep, as a series."""
    (head,) = real("weights/hippodeep/example_brain_t1.nii.gz")
    voxels, affine = from_nifti(head)
    return assemble(write_series(np.rint(voxels).astype(np.int16), affine, folder / "t1", modality="MR"))


@pytest.mark.slow
def test_the_published_weights_as_they_are_served(real: Callable[[str], list[Path]], tmp_path: Path) -> None:
    """Imported as an operator imports them, they give the logits of the published layers in torch, and the golden figures."""
    file, *_ = files = published(real)
    import_models(APPLICATION, tmp_path, files=files)
    image = np.random.default_rng(1).random((1, 1, 52, 56, 50), dtype=np.float32)
    expected = inner(in_torch(read_safetensors(file.read_bytes(), "the published file"), image))
    with closing(EmbeddedEngine(tmp_path)) as engine:
        for source in APPLICATION.sources:
            assert source.golden is not None
            check_golden(engine, Repository(tmp_path), source.model, source.golden)
        (found,) = engine.infer(MODEL, {"IMAGE": image})["LOGITS"]
    np.testing.assert_allclose(found[1:], expected[list(CHANNELS)], atol=1e-3)
    assert ((found.argmax(axis=0) > 0) == np.isin(expected.argmax(axis=0), CHANNELS)).mean() > 0.9999


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_mirrored_head_exchanges_the_volumes_of_its_sides(
    real: Callable[[str], list[Path]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A real head of 1.75 mm and the published weights as they are served: each volume is within a tenth that of the other side of the
    mirror image, whose box lies otherwise; hippodeep's hippocampi too, which are asked for once. What is asked for is a third of the most,
    and holds the structures."""
    monkeypatch.setattr(f"{PREPARING}.MOST", (88, 92, 140))
    import_models(APPLICATION, tmp_path / "models", files=published(real))
    volume = hippodeeps_head(real, tmp_path)
    mirrored = replace(volume, voxels=np.ascontiguousarray(volume.voxels[..., ::-1]))
    with closing(EmbeddedEngine(tmp_path / "models")) as engine:
        infer = OneByOne(engine.infer)
        seen, exchanged = (volumes_cm3(APPLICATION.analyse(each, infer)) for each in (volume, mirrored))
    told = {f"{what} {side}": seen[f"{what} {side}"] for what, *_ in PAIRED for side in ("left", "right")}
    assert min(told.values()) > 1
    others = {
        f"{what} {side}": exchanged[f"{what} {other}"] for what, *_ in PAIRED for side, other in (("left", "right"), ("right", "left"))
    }
    assert others == pytest.approx(told, rel=0.1)


# ---- hippodeep, once more


class InTorch:
    """hippodeep's networks and what its program does around them, by torch's own layers and sampling."""

    def __init__(self, files: Sequence[Path]) -> None:
        import torch

        self._tissues, self._laid, self._marked = (torch.load(file, weights_only=True, map_location="cpu") for file in files)

    def masks(self, head: NDArray[Any]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Left and right, of a head whose axes run to the left, the front and the head."""
        import torch

        with torch.no_grad():
            level = torch.from_numpy(((head - head.mean()) / head.std()).astype(np.float32))[None, None]
            # 64 points from the first to the last voxel, and the space of the MNI's atlas as the published matrix has it
            tissues = self.tissues(self.sampled(level, self.points((64, 64, 64))))
            laid = np.eye(4)
            laid[:3] += self.laid(tissues[:, [1, 3]] * tissues[:, :1]).reshape(3, 4).numpy()
            atlas = np.diag([-180 / 63, 216 / 63, 180 / 63, 1])
            atlas[:3, 3] = 90, -126, -72
            crop = np.diag([-1.0, 1, 1, 1])
            crop[:3, 3] = 54, -59, -45
            to_unit = np.diag([2 / 63, 2 / 63, 2 / 63, 1])
            to_unit[:3, 3] = -1
            to_head = laid @ to_unit @ np.linalg.inv(atlas) @ crop
            at = np.moveaxis(np.indices((107, 72, 68)), 0, -1) @ to_head[:3, :3].T + to_head[:3, 3]
            cut = self.sampled(level, at)[0, 0]
            cut = ((cut - cut.mean()) / cut.std(unbiased=False))[:, :, 2:-2]
            right, left = self.marked(torch.stack([cut[6:54], cut.flip(0)[6:54]])[:, None])[:, 0]
            whole = torch.zeros(2, 107, 72, 68)
            told = [((each - 0.5) * 2 + 0.5).clip(0, 1) * (each > 0.5) for each in (left, right)]
            whole[0, 55:99, 2:70, 4:64] = told[0].flip(0)
            whole[1, 8:52, 2:70, 4:64] = told[1]
            back = np.linalg.inv(to_head)
            at = self.points(head.shape) @ back[:3, :3].T + back[:3, 3]
            at = 2 * at / (np.array([107, 72, 68]) - 1) - 1
            first, second = (self.sampled(each[None, None], at)[0, 0].numpy() >= 0.5 for each in whole)
        return first, second

    @staticmethod
    def points(shape: tuple[int, ...]) -> NDArray[np.float64]:
        return np.stack(np.meshgrid(*(np.linspace(-1, 1, side) for side in shape), indexing="ij"), axis=-1)

    @staticmethod
    def sampled(image: Any, at: NDArray[np.float64]) -> Any:
        import torch
        from torch.nn import functional as F

        return F.grid_sample(image, torch.from_numpy(at[None, ..., ::-1].astype(np.float32)), align_corners=True)

    def tissues(self, x: Any) -> Any:
        import torch
        from torch.nn import functional as F

        skips = []
        for level in range(4):
            x = F.elu(_conv(self._tissues, f"conv{level}a", x))
            x = F.elu(_norm(self._tissues, f"bn{level}a", _conv(self._tissues, f"conv{level}b", x)))
            skips.append(x)
            x = F.max_pool3d(x, 2)
        x = skips.pop()
        for level in (2, 1, 0):
            x = F.elu(_conv(self._tissues, f"conv{level}u", F.interpolate(x, scale_factor=2)))
            x = _conv(self._tissues, f"conv{level}v", torch.cat([x, skips.pop()], 1))
            x = F.elu(_norm(self._tissues, f"bn{level}u", x))
        return torch.sigmoid(_conv(self._tissues, "conv1x", x, 0))

    def laid(self, x: Any) -> Any:
        from torch.nn import functional as F

        x = F.max_pool3d(F.relu(_conv(self._laid, "convaff1", x)), 2)
        for level in (2, 3, 4):
            x = _conv(self._laid, f"convaff{level}", x)
            weight, bias = (self._laid[f"bnaff{level}.{each}"] for each in ("weight", "bias"))
            x = F.max_pool3d(F.relu(F.layer_norm(x, x.shape[2:], weight, bias)), 2)
        return _conv(self._laid, "convaff6", F.relu(_conv(self._laid, "convaff5", x, 0)), 0)

    def marked(self, x: Any) -> Any:
        import torch
        from torch.nn import functional as F

        for name in ("conv0a_0", "conv0a_1", "conv0a", "convf1"):
            x = F.relu(_conv(self._marked, name, x, 0))
        fine = x
        for bn, first, second in (("bn1", "convout0", "convout1"), ("bn2", "convout2p", "convout2")):
            x = F.max_pool3d(x, 2)
            x = F.relu(x + _conv(self._marked, second, F.relu(_conv(self._marked, first, _norm(self._marked, bn, x)))))
        for name in ("convlx3", "convlx5"):
            x = F.interpolate(F.relu(_conv(self._marked, name, x)), scale_factor=2)
        coarse = torch.sigmoid(_conv(self._marked, "convlx8", F.relu(_conv(self._marked, "convlx7", x)), 0))
        x = torch.sigmoid(_conv(self._marked, "blur", coarse, 3)) * fine
        x = torch.cat([coarse, F.leaky_relu(_conv(self._marked, "conv_extract", x))], 1)
        return torch.sigmoid(_conv(self._marked, "convout1x", F.relu(_conv(self._marked, "convmix", x)), 0))


def _conv(state: dict[str, Any], name: str, x: Any, padding: int = 1) -> Any:
    from torch.nn import functional as F

    return F.conv3d(x, state[f"{name}.weight"], state[f"{name}.bias"], padding=padding)


def _norm(state: dict[str, Any], name: str, x: Any) -> Any:
    from torch.nn import functional as F

    return F.batch_norm(x, *(state[f"{name}.{each}"] for each in ("running_mean", "running_var", "weight", "bias")))


@pytest.mark.slow
def test_hippocampi_are_those_of_a_second_definition_in_torch(real: Callable[[str], list[Path]], tmp_path: Path) -> None:
    """On hippodeep's own head: the same masks but for a hundredth, of 3 to 4 cm³ a side."""
    files = published(real)
    import_models(APPLICATION, tmp_path / "models", files=files)
    volume = hippodeeps_head(real, tmp_path)
    with closing(EmbeddedEngine(tmp_path / "models")) as engine:
        found = hippocampi(volume, OneByOne(engine.infer))
    # of this series columns run to the left, rows to the back and slices to the head
    head = volume.voxels.transpose(2, 1, 0)[:, ::-1].astype(np.float32)
    for mask, expected in zip((found.left, found.right), InTorch(files[1:]).masks(head), strict=True):
        other = expected[:, ::-1].transpose(2, 1, 0)
        assert 2 * (mask & other).sum() > 0.99 * (mask.sum() + other.sum())
        assert 3 < mask.sum() * volume.voxel_volume_mm3 / 1000 < 4


# ---- what it is shown, and what is made of its answers


@pytest.fixture
def small_head(monkeypatch: pytest.MonkeyPatch) -> None:
    """Heads of a quarter of the size: the same steps, in milliseconds."""
    monkeypatch.setattr(f"{PREPARING}.SIDE", 64)
    monkeypatch.setattr(f"{PREPARING}.LEAST_CM3", 10.0)


NUCLEI = {"thalamus left": (slice(20, 28), slice(24, 32), slice(30, 36)), "thalamus right": (slice(20, 28), slice(24, 32), slice(18, 24))}
"""Voxels (z to the head, y to the back, x to the left) of two nuclei, the left one to the left."""


def phantom() -> NDArray[np.int16]:
    """A bright egg of 16 mm around the middle, with two nuclei of another value: 8 × 8 × 6 voxels of 1 mm each."""
    z, y, x = np.mgrid[:48, :56, :54]
    voxels = np.where(((z - 24) / 18) ** 2 + ((y - 28) / 20) ** 2 + ((x - 27) / 18) ** 2 < 1, 1000, 0).astype(np.int16)
    for place in NUCLEI.values():
        voxels[place] = 700
    return voxels


HIPPOCAMPI = {"hippocampus right": ((13.2, 28.6, 18.7), 20), "hippocampus left": ((13.2, 28.6, 35.2), 10)}
"""What `in_the_crop` marks, by hand: of the crop's voxels 30 × 20 to the front and the head and so many to the side; where (z, y, x) of the
phantom their middle lies, if the head is taken to be as large as the affine network's space (180 × 216 × 180 mm)."""
CROPPED = 53 / 180 * 55 / 216 * 47 / 180
"""Voxels of the phantom in one of the crop's."""


def by_value(model: ModelRef, tensors: Tensors) -> dict[str, NDArray[Any]]:
    """A network that calls the nuclei thalami, by the side of the middle on which they lie: the first axis runs to the left. Those for
    the hippocampus lay every head alike, and mark nothing."""
    if model == TISSUES_MODEL:
        return {"TISSUES": np.zeros((1, 4, 64, 64, 64), dtype=np.float32)}
    if model == AFFINE_MODEL:
        return {"AFFINE": np.zeros((1, 12, 1, 1, 1), dtype=np.float32)}
    if model == HIPPOCAMPUS_MODEL:
        return {"HIPPOCAMPUS": np.zeros((2, 1, 44, 68, 60), dtype=np.float32)}
    (seen,) = tensors["IMAGE"][0]
    image = seen[tuple([slice(LOST, -LOST)] * 3)]
    nucleus = (image > 0.55) & (image < 0.85)
    logits = np.zeros((1 + len(CHANNELS), *image.shape), dtype=np.float32)
    logits[0] = 1
    half = image.shape[0] // 2
    logits[2, :half][nucleus[:half]] = 3
    logits[1, half:][nucleus[half:]] = 3
    return {"LOGITS": logits[None]}


def in_the_crop(model: ModelRef, tensors: Tensors) -> dict[str, NDArray[Any]]:
    """The same, and a hippocampus in each half, the left one half as wide."""
    answered = by_value(model, tensors)
    if model == HIPPOCAMPUS_MODEL:
        for half, (_, wide) in zip(answered["HIPPOCAMPUS"], HIPPOCAMPI.values(), strict=True):
            half[0, 10 : 10 + wide, 20:50, 10:30] = 0.9
    return answered


def volumes_cm3(findings: Findings) -> dict[str, float]:
    return {one.segment: one.value for one in findings.measurements if one.segment and one.name == codes.VOLUME}


def turned_back(mask: NDArray[np.bool_], axes: tuple[int, int, int], flips: tuple[bool, ...]) -> NDArray[np.bool_]:
    """(z, y, x) of what lies as `turned_volume` stores it."""
    return mask[tuple(slice(None, None, -1 if flip else 1) for flip in flips)].transpose(np.argsort(axes))


@pytest.mark.parametrize(("axes", "flips"), ORIENTATIONS)
def test_each_side_lies_on_its_side(small_head: None, axes: tuple[int, int, int], flips: tuple[bool, ...]) -> None:
    """However slices lie: the left nucleus is found where it was planted, coded as left, with its volume, and the hippocampi where the crop
    has them."""
    volume = turned_volume(phantom(), 1.0, axes, flips, "MR")
    findings = APPLICATION.analyse(volume, OneByOne(in_the_crop))
    check_outputs(APPLICATION, findings, volume)
    found = {segment.label: segment for segment in findings.segments}
    for label, place in NUCLEI.items():
        planted = np.zeros((48, 56, 54), dtype=np.bool_)
        planted[place] = True
        np.testing.assert_array_equal(found[label].mask, turned_volume(planted, 1.0, axes, flips, "MR").voxels)
        assert volumes_cm3(findings)[label] == pytest.approx(8 * 8 * 6 / 1000)
    for label, (middle, wide) in HIPPOCAMPI.items():
        mask = turned_back(found[label].mask, axes, flips)
        assert np.argwhere(mask).mean(axis=0) == pytest.approx(middle, abs=0.5)
        assert mask.sum() == pytest.approx(wide * 30 * 20 * CROPPED, rel=0.15)
    assert (found["thalamus left"].laterality, found["thalamus right"].laterality) == (codes.LEFT, codes.RIGHT)
    assert not found["putamen left"].mask.any()


def test_voxels_that_are_thick_and_oblique_get_what_lies_at_their_centres(small_head: None) -> None:
    """2 mm thick slices, turned by ten degrees: the volume of a nucleus is that of its voxels within what such slices can show."""
    volume = turned_volume(phantom()[::2], 1.0, (0, 1, 2), (False,) * 3, "MR")
    angle = np.radians(10)
    turned = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    affine = volume.affine.copy()
    affine[:3, 0] *= 2
    affine[:3, :3] = turned @ affine[:3, :3]
    findings = APPLICATION.analyse(replace(volume, affine=affine), OneByOne(by_value))
    for label in NUCLEI:
        assert volumes_cm3(findings)[label] == pytest.approx(8 * 8 * 6 / 1000, rel=0.15)


def uneven(model: ModelRef, tensors: Tensors) -> dict[str, NDArray[Any]]:
    """A network that makes whatever is on the right of the image larger, and misses a part of what is on its left."""
    if model != MODEL:
        return by_value(model, tensors)
    answered = by_value(model, tensors)["LOGITS"]
    half = answered.shape[2] // 2
    answered[0, 1, half:, ::2] *= 0.5
    answered[0, 2, :half] += 0.4
    return {"LOGITS": answered}


def test_a_network_that_is_not_even_measures_both_sides_alike(small_head: None) -> None:
    """Of a head and of its mirror image the volumes are the same with their sides exchanged, which the network alone does not give."""
    voxels = phantom()
    voxels[18:30, 24:32, 30:38] = 700
    found = []
    for image in (voxels, voxels[:, :, ::-1].copy()):
        volume = turned_volume(image, 1.0, (0, 1, 2), (False,) * 3, "MR")
        found.append(volumes_cm3(APPLICATION.analyse(volume, OneByOne(uneven))))
    assert found[0]["thalamus left"] == found[1]["thalamus right"] > 1.4 * found[0]["thalamus right"]
    assert found[0]["thalamus right"] == found[1]["thalamus left"] > 0


def test_asymmetry_is_measured_of_each_pair(small_head: None) -> None:
    """Left less right over the mean of both, by arithmetic; a pair that was not found has none, and the reader is told so."""
    voxels = phantom()
    voxels[18:30, 24:32, 30:38] = 700
    volume = turned_volume(voxels, 1.0, (0, 1, 2), (False,) * 3, "MR")
    findings = analyse(APPLICATION, volume, OneByOne(by_value))
    left, right = 12 * 8 * 8, 8 * 8 * 6
    (one,) = (each for each in findings.measurements if each.name == ASYMMETRY)
    assert one.parts == ("thalamus left", "thalamus right")
    assert one.value == pytest.approx(100 * (left - right) / ((left + right) / 2))


def test_what_hangs_apart_is_left_out() -> None:
    """Of a thalamus the smaller piece goes, however near. Of a ventricle, which may seem parted, it stays within 10 voxels, or beside a
    hippocampus; what is called a ventricle elsewhere goes."""
    labels, hippocampus = np.zeros((8, 8, 80), dtype=np.uint8), np.zeros((8, 8, 80), dtype=np.bool_)
    hippocampus[5, :, 40:44] = True
    for place, name, pieces in ((1, "thalamus left", [8]), (5, "lateral ventricle left", [12, 50, 70]), (3, "third ventricle", [12, 50])):
        labels[place, :4, :4] = LABELS[name]
        labels[place, 6, pieces] = LABELS[name]
    kept = in_place(labels, hippocampus)
    counts = {name: int(np.count_nonzero(kept == LABELS[name])) for name in ("thalamus left", "lateral ventricle left", "third ventricle")}
    assert counts == {"thalamus left": 16, "lateral ventricle left": 18, "third ventricle": 17}
    assert np.count_nonzero(labels) == 3 * 16 + 6, "what was given is as it was"


def test_a_head_lies_in_the_middle_of_its_conformed_voxels() -> None:
    """Of an image of 2 mm the middle keeps its place; axes run to the left, the feet and the front; beyond the images there is nothing."""
    voxels = np.zeros((40, 50, 60), dtype=np.int16)
    voxels[30:, 5:10, 40:] = 100
    head, grid = conformed(turned_volume(voxels, 2.0, (0, 1, 2), (False,) * 3, "MR"))
    assert head.shape == (256, 256, 256)
    assert grid.spacing_mm == pytest.approx((1, 1, 1))
    middle = grid.affine @ [127.5, 127.5, 127.5, 1]
    np.testing.assert_allclose(middle[:3], [59, 49, 39])
    left, feet, front = np.argwhere(head > 50).mean(axis=0)
    assert left > 140
    assert feet < 110
    assert front > 150
    assert not head[:60].any()


def test_a_box_is_no_larger_than_memory_allows() -> None:
    """What is too long is the jaw and the neck with the brain: it is cut at the feet and at the front, and on both sides alike."""
    brain = np.zeros((256, 256, 256), dtype=np.bool_)
    brain[60:180, 5:255, 100:250] = True
    assert box_of(brain) == ((60, 5, 100), (180, 141, 250))
    brain[50:206, 5:255, 60:250] = True
    assert box_of(brain) == ((52, 5, 60), (204, 141, 236))


def test_beyond_the_head_there_is_nothing(small_head: None) -> None:
    """A brain that reaches the border of the conformed voxels is seen with as much around it as any other."""
    box = brain_box(turned_volume(np.pad(phantom(), ((16, 0), (0, 0), (0, 0))), 1.0, (0, 1, 2), (False,) * 3, "MR"))
    assert box.image.shape == tuple(side + 2 * LOST for side in box.grid.shape)
    assert not box.image[:, : LOST - 1].any()
    assert (box.image[:, LOST + 1] > 0.9).any()


@pytest.mark.parametrize(
    ("taken", "cut"),
    [(np.s_[:], False), (np.s_[14:], False), (np.s_[:34], True), (np.s_[:, :, :36], True), (np.s_[:, 18:], True)],
    ids=["whole", "without the lower end", "without the upper end", "without the left end", "without the front"],
)
def test_a_brain_that_the_images_cut_is_told_of(small_head: None, taken: tuple[slice, ...], cut: bool) -> None:
    """What is marked in it reaches no border, and is too small all the same."""
    volume = turned_volume(phantom()[taken], 1.0, (0, 1, 2), (False,) * 3, "MR")
    assert (CUT in APPLICATION.analyse(volume, OneByOne(by_value)).remarks) is cut


def test_images_without_a_brain_are_declined(small_head: None) -> None:
    """Even ones, and such as show something smaller: by a sentence that says what was found."""
    small = np.zeros((48, 56, 54), dtype=np.int16)
    small[16:34, 20:38, 20:38] = 1000
    for voxels, said in (
        (np.full((48, 56, 54), 7, dtype=np.int16), "the images are even"),
        (small, "[1-6] cm³ in the images hang together .* not 10 or more"),
    ):
        with pytest.raises(NoBrainForStructures, match=said):
            brain_box(turned_volume(voxels, 1.0, (0, 1, 2), (False,) * 3, "MR"))


@pytest.mark.parametrize(("spacing_mm", "slices", "said"), [(5.0, 64, "5"), (1.0, 40, "40")])
def test_thick_slices_and_crops_are_not_taken(spacing_mm: float, slices: int, said: str) -> None:
    """A nucleus of 20 mm is four slices of 5 mm: its volume would say nothing."""
    with pytest.raises(NotAccepted, match=said):
        check(APPLICATION, turned_volume(np.zeros((slices, 130, 130), dtype=np.int16), spacing_mm, (0, 1, 2), (False,) * 3, "MR"))


def test_structures_are_told_apart_by_their_codes_and_sides() -> None:
    """Each class is in one structure; a code is one structure's, or that of a left and a right one, whose colours are the same."""
    assert len(set(CHANNELS)) == len(CHANNELS)
    assert [structure.label for structure in STRUCTURES if not structure.channels] == ["hippocampus left", "hippocampus right"]
    pairs: dict[str, list[Any]] = {}
    for structure in STRUCTURES:
        pairs.setdefault(structure.type.value, []).append(structure)
    assert sorted(len(each) for each in pairs.values()) == [1] + [2] * len(PAIRED)
    for left, right in (each for each in pairs.values() if len(each) == 2):
        assert (left.laterality, right.laterality) == (codes.LEFT, codes.RIGHT)
        assert left.rgb == right.rgb
