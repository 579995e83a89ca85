"""mr-brain-structures: the network against a second definition and the published layers; box, sides and mirror images by hand."""

import io
from collections.abc import Callable
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
from inference.applications.mr_brain_structures.application import in_one_piece
from inference.applications.mr_brain_structures.network import DILATIONS, to_onnx
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
from inference.imaging.write_series import from_nifti, write_series
from tests.unit.applications.conftest import ORIENTATIONS, OneByOne, turned_volume

WEIGHTS = "weights/brainchop/model21_104class/model.pth"
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


def test_the_graph_answers_as_the_published_layers_do() -> None:
    """The logits of the classes that are offered, in their order, behind the highest of all others; the same bytes each time."""
    import onnxruntime

    state = made_state()
    content = to_onnx(safetensors_of(state, "made"))
    image = np.random.default_rng(0).random((1, 1, 9, 12, 10), dtype=np.float32)
    expected = in_torch(state, image)
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


@pytest.mark.slow
def test_the_published_weights_as_they_are_served(real: Callable[[str], list[Path]], tmp_path: Path) -> None:
    """Imported as an operator imports them, they give the logits of the published layers in torch, and the golden figures."""
    (file,) = real(WEIGHTS)
    import_models(APPLICATION, tmp_path, files=[file])
    image = np.random.default_rng(1).random((1, 1, 40, 44, 36), dtype=np.float32)
    expected = in_torch(read_safetensors(file.read_bytes(), "the published file"), image)
    (source,) = APPLICATION.sources
    engine = EmbeddedEngine(tmp_path)
    try:
        assert source.golden is not None
        check_golden(engine, Repository(tmp_path), source.model, source.golden)
        (found,) = engine.infer(source.model, {"IMAGE": image})["LOGITS"]
    finally:
        engine.close()
    np.testing.assert_allclose(found[1:], expected[list(CHANNELS)], atol=1e-3)
    assert ((found.argmax(axis=0) > 0) == np.isin(expected.argmax(axis=0), CHANNELS)).mean() > 0.9999


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_mirrored_head_exchanges_the_volumes_of_its_sides(
    real: Callable[[str], list[Path]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A real head of 1.75 mm and the published weights as they are served: each volume is within a tenth that of the other side of the
    mirror image, whose box lies otherwise. The box is a third of the largest, and holds the structures with what is near them."""
    monkeypatch.setattr(f"{PREPARING}.MOST", (120, 112, 168))
    (weights,), (head,) = real(WEIGHTS), real("weights/hippodeep/example_brain_t1.nii.gz")
    import_models(APPLICATION, tmp_path / "models", files=[weights])
    voxels, affine = from_nifti(head)
    volume = assemble(write_series(np.rint(voxels).astype(np.int16), affine, tmp_path / "t1", modality="MR"))
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


# ---- what it is shown, and what is made of its answers


@pytest.fixture
def small_head(monkeypatch: pytest.MonkeyPatch) -> None:
    """Heads of a quarter of the size: the same steps, in milliseconds."""
    monkeypatch.setattr(f"{PREPARING}.SIDE", 64)
    monkeypatch.setattr(f"{PREPARING}.MARGIN", 3)
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


def by_value(model: ModelRef, tensors: Tensors) -> dict[str, NDArray[Any]]:
    """A network that calls the nuclei thalami, by the side of the middle on which they lie: the first axis runs to the left."""
    (image,) = tensors["IMAGE"][0]
    nucleus = (image > 0.55) & (image < 0.85)
    logits = np.zeros((1 + len(CHANNELS), *image.shape), dtype=np.float32)
    logits[0] = 1
    half = image.shape[0] // 2
    logits[2, :half][nucleus[:half]] = 3
    logits[1, half:][nucleus[half:]] = 3
    return {"LOGITS": logits[None]}


def volumes_cm3(findings: Findings) -> dict[str, float]:
    return {one.segment: one.value for one in findings.measurements if one.segment and one.name == codes.VOLUME}


@pytest.mark.parametrize(("axes", "flips"), ORIENTATIONS)
def test_each_side_lies_on_its_side(small_head: None, axes: tuple[int, int, int], flips: tuple[bool, ...]) -> None:
    """However slices lie: the left nucleus is found where it was planted, coded as left, with its volume."""
    volume = turned_volume(phantom(), 1.0, axes, flips, "MR")
    findings = APPLICATION.analyse(volume, OneByOne(by_value))
    check_outputs(APPLICATION, findings, volume)
    found = {segment.label: segment for segment in findings.segments}
    for label, place in NUCLEI.items():
        planted = np.zeros((48, 56, 54), dtype=np.bool_)
        planted[place] = True
        np.testing.assert_array_equal(found[label].mask, turned_volume(planted, 1.0, axes, flips, "MR").voxels)
        assert volumes_cm3(findings)[label] == pytest.approx(8 * 8 * 6 / 1000)
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


def test_what_hangs_apart_is_left_out_of_one_piece_only() -> None:
    """Of a thalamus the smaller piece goes; of a ventricle, which may seem parted, it stays."""
    labels = np.zeros((8, 8, 8), dtype=np.uint8)
    for place, name in ((1, "thalamus left"), (5, "lateral ventricle left")):
        labels[place, :4, :4] = LABELS[name]
        labels[place, 6, 6] = LABELS[name]
    kept = in_one_piece(labels)
    assert [int(np.count_nonzero(kept == LABELS[name])) for name in ("thalamus left", "lateral ventricle left")] == [16, 17]
    assert np.count_nonzero(labels) == 34, "what was given is as it was"


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


def test_a_box_is_around_the_brain_and_no_larger_than_memory_allows() -> None:
    """A margin where there is room, none beyond the head, and the middle of what is too long."""
    brain = np.zeros((256, 256, 256), dtype=np.bool_)
    brain[60:180, 5:255, 100:250] = True
    start, stop = box_of(brain)
    assert start[0] < 60
    assert stop[0] > 180
    assert stop[1] - start[1] < 256
    assert start[1] + stop[1] == pytest.approx(260, abs=1)
    assert stop[2] == 256


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
    pairs: dict[str, list[Any]] = {}
    for structure in STRUCTURES:
        pairs.setdefault(structure.type.value, []).append(structure)
    assert sorted(len(each) for each in pairs.values()) == [1] + [2] * len(PAIRED)
    for left, right in (each for each in pairs.values() if len(each) == 2):
        assert (left.laterality, right.laterality) == (codes.LEFT, codes.RIGHT)
        assert left.rgb == right.rgb
