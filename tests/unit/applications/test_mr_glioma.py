"""mr-glioma: networks against a second definition and the publisher's own numbers; cascade, frame of 1 mm and brain by drawings."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from inference import codes
from inference.applications.accept import check
from inference.applications.catalog import load
from inference.applications.declared import check_outputs
from inference.applications.errors import NotAccepted
from inference.applications.mr_brain.extraction import BOUNDING_BOX, BRAIN
from inference.applications.mr_glioma import APPLICATION
from inference.applications.mr_glioma.application import ENHANCING_LESION
from inference.applications.mr_glioma.network import CONTRASTS, INPUT, to_onnx
from inference.applications.mr_glioma.preparing import NoBrainInContrasts, contrasts_on, grid_of
from inference.applications.mr_glioma.reading import MODELS, TILES, Direction, TumourPart, model_of, read_tumour, together
from inference.engines.embedded.engine import EmbeddedEngine
from inference.engines.errors import WrongWeights
from inference.engines.golden import check_golden
from inference.engines.port import ModelRef, Tensors
from inference.engines.repository import Repository
from inference.engines.weights_import import import_models
from inference.findings import Findings
from inference.imaging.subject import VolumeSet
from inference.imaging.volume import Volume
from tests.lab.checkpoint import written
from tests.lab.glioma import by_brightness, drawn
from tests.unit.applications.conftest import ORIENTATIONS, OneByOne, turned_volume

WEIGHTS = "weights/brats17"
STRAIGHT = ((0, 1, 2), (False, False, False))
SUFFIXES = {Direction.AXIAL: "ax", Direction.SAGITTAL: "sg", Direction.CORONAL: "cr"}

# ---- the networks


def random_layers(*, halved: bool) -> dict[str, NDArray[np.float32]]:
    """Layers of one network as TensorFlow names and lays them, with random numbers, and what training leaves beside them."""
    random = np.random.default_rng(2)
    made: dict[str, NDArray[np.float64]] = {}

    def layer(name: str, active: str, channels: int) -> None:
        made[f"{name}/gamma"] = random.uniform(0.5, 1.5, channels)
        made[f"{name}/beta"] = random.normal(0, 0.3, channels)
        made[f"{active}/alpha"] = random.uniform(0, 0.3, channels)

    def convolved(key: str, *shape: int) -> None:
        made[key] = random.normal(0, 0.1, shape)

    for block in ("1_1", "1_2", "2_1", "2_2", "3_1", "3_2", "3_3", "4_1", "4_2", "4_3"):
        for place in (0, 1):
            into = 4 if (block, place) == ("1_1", 0) else 32
            layer(f"block{block}/bn_{place}", f"block{block}/prelu_acti_{place}", into)
            convolved(f"block{block}/conv_{place}/w", 1, 3, 3, into, 32)
    downs = ("downsample1", "downsample2") if halved else ("downsample2",)
    ups = {"pred_up1": (32, 2), "pred_up2_1": (32, 4), "pred_up2_2": (4, 4), "pred_up3_1": (32, 8), "pred_up3_2": (8, 8)}
    for name in (*downs, *(f"fuse{number}" for number in range(1, 5)), *(ups if halved else ("pred_up2_1", "pred_up3_1"))):
        into, out = ups.get(name, (32, 32))
        layer(f"{name}_bn_prelu/bn_", f"{name}_bn_prelu/prelu_acti_", out)
        if name in ups:
            convolved(f"{name}_bn_prelu/deconv_/w", 1, 3, 3, out, into)
        else:
            convolved(f"{name}_bn_prelu/conv_/w", *((3, 1, 1) if name.startswith("fuse") else (1, 3, 3)), into, out)
    if not halved:
        convolved("pred1/w", 1, 3, 3, 32, 2)
    convolved("final_pred/w", 1, 3, 3, 14, 2)
    return {key: np.asarray(array, dtype=np.float32) for key, array in made.items()}


def published(layers: Mapping[str, NDArray[np.float32]], **more: NDArray[np.float32]) -> tuple[bytes, bytes]:
    """The data and the index of a checkpoint, in the order in which an import takes them."""
    beside = {"Net/final_pred/w/Adam": np.ones(3, dtype=np.float32), "beta1_power": np.float32(0.9) * np.ones((), dtype=np.float32)}
    index, data = written({**{f"Net/{key}": array for key, array in layers.items()}, **beside, **more})
    return data, index


def second_definition(layers: Mapping[str, NDArray[np.float32]], tiles: NDArray[np.float32]) -> NDArray[np.float32]:
    """The network once more, in torch: with a batch axis, statistics over batch and space, and TensorFlow's padding by hand."""
    import torch
    from torch import Tensor
    from torch.nn import functional

    weights = {key: torch.from_numpy(array.copy()) for key, array in layers.items()}

    def active(x: Tensor, normal: str, slope: str) -> Tensor:
        normalised = functional.batch_norm(x, None, None, weights[f"{normal}/gamma"], weights[f"{normal}/beta"], training=True, eps=1e-5)
        return functional.prelu(normalised, weights[f"{slope}/alpha"])

    def kernel(key: str) -> Tensor:
        return weights[key].permute(4, 3, 0, 1, 2)

    def plain(x: Tensor, key: str, dilation: int = 1) -> Tensor:
        padded = functional.pad(x, (dilation, dilation, dilation, dilation))
        return functional.conv3d(padded, kernel(key), dilation=(1, dilation, dilation))

    def block(x: Tensor, name: str, dilation: int = 1) -> Tensor:
        y = x
        for place in (0, 1):
            y = plain(active(y, f"{name}/bn_{place}", f"{name}/prelu_acti_{place}"), f"{name}/conv_{place}/w", dilation)
        return y + (functional.pad(x, (0, 0, 0, 0, 0, 0, 14, 14)) if x.shape[1] == 4 else x)

    def layer(x: Tensor, name: str) -> Tensor:
        return active(x, f"{name}_bn_prelu/bn_", f"{name}_bn_prelu/prelu_acti_")

    def fused(x: Tensor, name: str) -> Tensor:
        return layer(functional.conv3d(x, kernel(f"{name}_bn_prelu/conv_/w")), name)

    def down(x: Tensor, name: str) -> Tensor:
        return layer(functional.conv3d(functional.pad(x, (0, 1, 0, 1)), kernel(f"{name}_bn_prelu/conv_/w"), stride=(1, 2, 2)), name)

    def up(x: Tensor, name: str) -> Tensor:
        return layer(functional.conv_transpose3d(x, kernel(f"{name}_bn_prelu/deconv_/w"), stride=(1, 2, 2))[..., :-1, :-1], name)

    halved = "downsample1_bn_prelu/conv_/w" in weights
    x = fused(block(block(torch.from_numpy(tiles), "block1_1"), "block1_2"), "fuse1")
    near = fused(block(block(down(x, "downsample1") if halved else x, "block2_1"), "block2_2"), "fuse2")
    x = down(near, "downsample2")
    for number, dilation in ((1, 1), (2, 2), (3, 3)):
        x = block(x, f"block3_{number}", dilation)
    middle = x = fused(x, "fuse3")
    for number, dilation in ((1, 3), (2, 2), (3, 1)):
        x = block(x, f"block4_{number}", dilation)
    far = fused(x, "fuse4")
    near, middle = near[:, :, 2:-2], middle[:, :, 1:-1]
    answers = (
        [up(near, "pred_up1"), up(up(middle, "pred_up2_1"), "pred_up2_2"), up(up(far, "pred_up3_1"), "pred_up3_2")]
        if halved
        else [plain(near, "pred1/w"), up(middle, "pred_up2_1"), up(far, "pred_up3_1")]
    )
    logits: NDArray[np.float32] = plain(torch.cat(answers, dim=1), "final_pred/w").numpy()
    return logits


@pytest.mark.slow
@pytest.mark.parametrize("halved", [True, False])
def test_the_graph_computes_what_the_torch_network_computes(halved: bool) -> None:
    """Both kinds of network, three tiles at once, sides that differ; two tiles alone give other answers; the same bytes each time."""
    import onnxruntime

    layers = random_layers(halved=halved)
    content = to_onnx(*published(layers))
    session = onnxruntime.InferenceSession(content)
    tiles = np.random.default_rng(0).standard_normal((3, 4, 19, 12, 20), dtype=np.float32)
    (answer,) = session.run(None, {INPUT: tiles})
    expected = second_definition(layers, tiles)
    assert expected.shape == (3, 2, 11, 12, 20)
    assert expected.std() > 0.1
    np.testing.assert_allclose(answer, expected, atol=1e-3)
    assert np.abs(session.run(None, {INPUT: tiles[:2]})[0] - answer[:2]).max() > 0.01
    assert to_onnx(*published(layers)) == content


def test_files_that_are_not_these_weights() -> None:
    """A layer absent, one too many, one of another kind, two networks, the index of another file, none at all: refused by what is wrong."""
    layers = random_layers(halved=False)
    last = "final_pred/w"
    data, index = published(layers)
    for content, said in (
        (published({key: array for key, array in layers.items() if key != last}), "has no final_pred/w"),
        (published({**layers, "more/w": layers[last]}), "holds layers that the network does not have: more/w"),
        (published({**layers, last: layers[last][0]}), "4 axes, not 5"),
        (published(layers, **{f"Other/{last}": layers[last]}), "final_pred/w twice"),
        ((published({**layers, last: layers[last] + 1})[0], index), "is damaged, or the data belong to another index"),
        ((index, data), "is no index of a TensorFlow checkpoint"),
    ):
        with pytest.raises(WrongWeights, match=said):
            to_onnx(*content)


def test_both_files_of_a_checkpoint_are_asked_for(real: Callable[[str], list[Path]], tmp_path: Path) -> None:
    """Without its index a network is not imported; nothing is left of it."""
    data = [path for path in real(WEIGHTS) if path.name == "msnet_wt32_20000.ckpt.data-00000-of-00001"]
    with pytest.raises(WrongWeights, match=f"expected to have SHA-256 {APPLICATION.sources[0].joined[0]}"):
        import_models(APPLICATION, tmp_path / "models", files=data)
    assert not (tmp_path / "models").exists()


@pytest.fixture(scope="session")
def engine(real: Callable[[str], list[Path]], tmp_path_factory: pytest.TempPathFactory) -> EmbeddedEngine:
    """The published networks, imported from their files, giving the known outputs for the known input."""
    repository = tmp_path_factory.mktemp("models")
    networks = replace(APPLICATION, sources=tuple(source for source in APPLICATION.sources if source.model in MODELS))
    import_models(networks, repository, files=[path for path in real(WEIGHTS) if ".ckpt." in path.name])
    engine = EmbeddedEngine(repository, threads=1)
    for source in networks.sources:
        assert source.golden is not None
        check_golden(engine, Repository(repository), source.model, source.golden)
    return engine


@pytest.mark.slow
def test_the_publishers_numbers(engine: EmbeddedEngine, real: Callable[[str], list[Path]]) -> None:
    """All nine as they are served, on two tiles that share their statistics: within 5e-3, and every label the same."""
    (path,) = (path for path in real(WEIGHTS) if path.suffix == ".npz")
    with np.load(path) as arrays:
        oracle = dict(arrays)
    tiles = (oracle["input_int8"].astype(np.float32) / float(oracle["input_divisor"])).transpose(0, 4, 1, 2, 3)
    for part in TumourPart:
        for view in Direction:
            answer = engine.infer(model_of(part, view), {INPUT: np.ascontiguousarray(tiles)})["LOGITS"]
            expected = oracle[f"logits_{part.value}_{SUFFIXES[view]}"].transpose(0, 4, 1, 2, 3)
            assert np.abs(expected).max() > 5
            np.testing.assert_allclose(answer, expected, atol=5e-3)
            assert (answer.argmax(axis=1) == expected.argmax(axis=1)).all()


# ---- the cascade


def test_every_network_sees_all_of_the_brain_in_its_own_direction() -> None:
    """Each part is marked where it was drawn, from whichever side it is looked at, each view alone; with no more tiles in a call than
    there may be, sides that the networks halve, and noise that is the same each time."""
    contrasts, balls = drawn()
    brain = contrasts["T1"] > 0
    seen: dict[str, list[NDArray[np.float32]]] = {}

    def one_view(view: Direction) -> OneByOne:
        def infer(model: ModelRef, tensors: Tensors) -> dict[str, NDArray[Any]]:
            seen.setdefault(model.name, []).append(tensors[INPUT][:, :, 0, 0, :3].copy())
            assert 1 <= len(tensors[INPUT]) <= TILES
            assert all(side % 4 == 0 for side in tensors[INPUT].shape[3:])
            answer = by_brightness(model, tensors)
            return answer if model.name.endswith(view.value) else {name: logits * 0.01 for name, logits in answer.items()}

        return OneByOne(infer)

    for view in Direction:
        found = read_tumour(contrasts, brain, one_view(view))
        for part in TumourPart:
            mask = found.of(part)
            assert 2 * (mask & balls[part]).sum() / (mask.sum() + balls[part].sum()) > 0.97, (view, part)
    assert set(seen) == {model.name for model in MODELS}
    for corners in seen.values():
        third = len(corners) // 3
        for first, second, last in zip(corners[:third], corners[third : 2 * third], corners[2 * third :], strict=True):
            np.testing.assert_array_equal(first, second)
            np.testing.assert_array_equal(first, last)


def test_a_network_that_is_very_sure_is_not_warned_about() -> None:
    """Logits of which no exponential is a number are a probability of 0 or 1; the masks are what they are of smaller ones."""
    contrasts, balls = drawn()

    def sure(model: ModelRef, tensors: Tensors) -> dict[str, NDArray[Any]]:
        return {name: logits * 1000 for name, logits in by_brightness(model, tensors).items()}

    with np.errstate(over="raise"):
        found = read_tumour(contrasts, contrasts["T1"] > 0, OneByOne(sure))
    for part in TumourPart:
        mask = found.of(part)
        assert 2 * (mask & balls[part]).sum() / (mask.sum() + balls[part].sum()) > 0.97, part


def test_what_the_parts_say_together() -> None:
    """A core that lies in nothing is dropped; a core with no whole tumour around it becomes part of it where it touches; a few voxels of
    enhancing tumour are none."""
    whole, core, enhancing = (np.zeros((60, 60, 60), dtype=np.bool_) for _ in range(3))
    whole[10:30, 10:30, 10:30] = True
    core[15:33, 15:25, 15:25] = True
    core[50:55, 50:55, 50:55] = True
    enhancing[16:18, 16:18, 16:20] = True
    found = together(whole, core, enhancing)
    assert found.core[32, 20, 20]
    assert found.whole[32, 20, 20]
    assert not found.core[52, 52, 52]
    assert not found.whole[52, 52, 52]
    assert not found.enhancing.any()
    enhancing[16:24, 16:22, 16:20] = True
    assert np.array_equal(together(whole, core, enhancing).enhancing, enhancing)


def test_nothing_bright_is_no_tumour() -> None:
    """No network for the core or for enhancing tumour is asked."""
    contrasts, _ = drawn(tumour=False)
    asked = set()

    def infer(model: ModelRef, tensors: Tensors) -> dict[str, NDArray[Any]]:
        asked.add(model)
        return by_brightness(model, tensors)

    found = read_tumour(contrasts, contrasts["T1"] > 0, OneByOne(infer))
    assert not any(found.of(part).any() for part in TumourPart)
    assert asked == {model_of(TumourPart.WHOLE, view) for view in Direction}


# ---- what is said


def volumes_of(contrasts: Mapping[str, NDArray[Any]], axes: tuple[int, int, int], flips: tuple[bool, ...]) -> VolumeSet:
    """Four volumes of one grid, in the order of the roles."""
    return VolumeSet(volumes={role.name: turned_volume(contrasts[role.name], 1.0, axes, flips, "MR") for role in APPLICATION.roles})


def said(volumes: VolumeSet, infer: OneByOne) -> Findings:
    """The findings, as the manifest allows them."""
    findings = APPLICATION.analyse(volumes, infer)
    check_outputs(APPLICATION, findings, volumes)
    return findings


@pytest.mark.parametrize(("axes", "flips"), [ORIENTATIONS[0], ORIENTATIONS[7]])
def test_the_parts_of_a_tumour_are_marked_on_the_voxels_that_came_in(axes: tuple[int, int, int], flips: tuple[bool, bool, bool]) -> None:
    """Whatever their axes are: three masks that lie in each other, coded, with volumes of balls; what is part of the result is said."""
    contrasts, balls = drawn()
    volumes = volumes_of(contrasts, axes, flips)
    assert check(APPLICATION, volumes) == ()
    findings = said(volumes, OneByOne(by_brightness))
    assert [one.type for one in findings.segments] == [codes.LESION, codes.NEOPLASM, ENHANCING_LESION]
    whole, core, enhancing = (one.mask for one in findings.segments)
    assert not (core & ~whole).any()
    assert not (enhancing & ~core).any()
    for part, one, measured in zip(TumourPart, findings.segments, findings.measurements, strict=True):
        drawn_there = turned_volume(balls[part].astype(np.int16), 1.0, axes, flips, "MR").voxels > 0
        assert 2 * (one.mask & drawn_there).sum() / (one.mask.sum() + drawn_there.sum()) > 0.97
        assert measured.value == pytest.approx(int(balls[part].sum()) / 1000, rel=0.03)
        assert (measured.name, measured.unit, measured.segment) == (codes.VOLUME, codes.CUBIC_CENTIMETRE, one.label)
    assert any("19 slices, 11 of them kept, up to 5 to a call" in remark for remark in findings.remarks)


def test_no_tumour_is_absent() -> None:
    """No segment, no number: the manifest says that all three were looked for in the brain."""
    findings = said(volumes_of(drawn(tumour=False)[0], *STRAIGHT), OneByOne(by_brightness))
    assert (findings.segments, findings.measurements) == ((), ())
    assert all(output.searched == codes.BRAIN for output in APPLICATION.outputs if hasattr(output, "searched"))


def test_the_grid_lies_along_the_patient() -> None:
    """Of slices at an angle the box along the patient's axes that holds them, in mm; of a grid that lies so already, its own places."""
    contrasts, _ = drawn(tumour=False)
    for (first, second, third), flips in ORIENTATIONS:
        grid = grid_of(volumes_of(contrasts, (first, second, third), flips))
        assert grid.shape == contrasts["T1"].shape
        np.testing.assert_allclose(grid.affine, turned_volume(contrasts["T1"], 1.0, *STRAIGHT, "MR").affine)
    turned = np.array([[0.0, np.sin(0.3), np.cos(0.3), 5], [0.0, np.cos(0.3), -np.sin(0.3), 6], [5.0, 0, 0, 7], [0, 0, 0, 1]])
    thick = replace(volumes_of(contrasts, *STRAIGHT).reference, voxels=np.zeros((20, 100, 100), dtype=np.int16), affine=turned)
    grid = grid_of(VolumeSet(volumes={"T1c": thick}))
    side = round(100 * (np.sin(0.3) + np.cos(0.3)))
    assert grid.shape == (100, side, side)
    np.testing.assert_allclose(grid.affine[:3, :3], [[0, 0, 1], [0, 1, 0], [1, 0, 0]])
    np.testing.assert_allclose(grid.affine @ (*((length - 1) / 2 for length in grid.shape), 1), turned @ (9.5, 49.5, 49.5, 1))


def test_contrasts_on_other_voxels_are_interpolated() -> None:
    """On their own voxels, however they are turned, contrasts keep their values; halfway between two, a ramp has the mean of both; what is
    beyond the images, and dark in all directions, is 0."""
    z, y, x = np.mgrid[:12, :14, :16]
    ramp = np.where(x < 12, 10 * x + 3 * y + 5 * z, 0).astype(np.int16)
    (first, second, third), flips = ORIENTATIONS[7]
    volumes = volumes_of(dict.fromkeys(CONTRASTS, ramp), (first, second, third), flips)
    own = grid_of(volumes)
    np.testing.assert_array_equal(contrasts_on(own, volumes)["T1"], ramp)
    between = own.affine.copy()
    between[0, 3] += 0.5
    moved = contrasts_on(replace(own, affine=between), volumes)["T1"]
    np.testing.assert_allclose(moved[4:8, 4:10, 4:8], (ramp[4:8, 4:10, 4:8] + ramp[4:8, 4:10, 5:9]) / 2, atol=0.5)
    assert (moved[..., 12:] == 0).all()
    assert (contrasts_on(replace(own, shape=(12, 14, 20)), volumes)["T1"][..., 16:] == 0).all()


# ---- the brain


def in_a_head(contrasts: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """The brain in a shell of scalp, in air that is not quite dark."""
    random = np.random.default_rng(9)
    heads = {role: np.pad(values, 20) for role, values in contrasts.items()}
    sides = heads["T1"].shape
    z, y, x = np.ogrid[: sides[0], : sides[1], : sides[2]]
    outward = ((z - 84) / 78) ** 2 + ((y - 95) / 88) ** 2 + ((x - 79) / 74) ** 2
    scalp = (outward < 1) & (outward > 0.85)
    for head in heads.values():
        head[scalp] = 200
        head += random.integers(1, 8, sides, dtype=np.int16)
    return heads


def test_a_brain_in_its_head_is_found_by_the_network_of_mr_brain() -> None:
    """It is asked for the brain on T1, and scalp, as bright as it may be, is none; of a brain that was cut out it is not asked."""
    contrasts, balls = drawn()
    head = in_a_head(contrasts)
    asked: list[ModelRef] = []

    def infer(model: ModelRef, tensors: Tensors) -> dict[str, NDArray[Any]]:
        asked.append(model)
        if model in MODELS:
            return by_brightness(model, tensors)
        (values,) = tensors["INPUT__0"][0]
        x, y, z = np.ogrid[tuple(slice(-1, 1, side * 1j) for side in values.shape)]
        inside = (x**2 + y**2 + z**2 < 0.6).astype(np.float32)
        return {"OUTPUT__0": np.stack([1 - inside, inside])[None]}

    findings = said(volumes_of(head, *STRAIGHT), OneByOne(infer))
    assert asked[:2] == [BOUNDING_BOX, BRAIN]
    whole = findings.segments[0].mask[20:-20, 20:-20, 20:-20]
    assert 2 * (whole & balls[TumourPart.WHOLE]).sum() / (whole.sum() + balls[TumourPart.WHOLE].sum()) > 0.95
    asked.clear()
    said(volumes_of(contrasts, *STRAIGHT), OneByOne(infer))
    assert not {BOUNDING_BOX, BRAIN} & set(asked)


def test_what_is_too_small_for_a_brain_is_declined() -> None:
    """What the network of mr-brain takes for one has 100 cm³."""

    def infer(model: ModelRef, tensors: Tensors) -> dict[str, NDArray[Any]]:
        (values,) = tensors["INPUT__0"][0]
        x, y, z = np.ogrid[tuple(slice(-1, 1, side * 1j) for side in values.shape)]
        inside = (x**2 + y**2 + z**2 < 0.25).astype(np.float32)
        return {"OUTPUT__0": np.stack([1 - inside, inside])[None]}

    with pytest.raises(NoBrainInContrasts, match=r"cm³ look like brain, not 600 to 2200"):
        APPLICATION.analyse(volumes_of(in_a_head(drawn()[0]), *STRAIGHT), OneByOne(infer))


# ---- the manifest


def test_the_channels_are_told_by_roles_and_not_by_order() -> None:
    """The roles are the networks' contrasts; results lie on T1c; each other may be brought onto it, within limits."""
    assert load("mr-glioma") is APPLICATION
    assert {role.name for role in APPLICATION.roles} == set(CONTRASTS)
    assert APPLICATION.roles[0].name == "T1c"
    assert all(role.motion is not None and role.motion.always for role in APPLICATION.roles[1:])
    assert not any(role.optional for role in APPLICATION.roles)
    contrasts, _ = drawn()
    volumes = volumes_of(contrasts, *STRAIGHT)
    reordered = VolumeSet(volumes={name: volumes[name] for name in ("T1c", "FLAIR", "T2", "T1")})
    one, other = (said(each, OneByOne(by_brightness)) for each in (volumes, reordered))
    for here, there in zip(one.segments, other.segments, strict=True):
        np.testing.assert_array_equal(here.mask, there.mask)


def test_what_the_gate_refuses() -> None:
    """Few or far slices of any of the four."""
    volumes = volumes_of(drawn()[0], *STRAIGHT)
    few: Volume = replace(volumes["T2"], voxels=volumes["T2"].voxels[:12])
    with pytest.raises(NotAccepted, match="12 slices"):
        check(APPLICATION, replace(volumes, volumes={**volumes.volumes, "T2": few}))
