"""ct-head-bleed: networks against a second definition and the publisher's own numbers; tiles, skull, agreement, ABC/2 by arithmetic."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from inference import codes
from inference.applications.accept import check, unfit
from inference.applications.ct_head_bleed import APPLICATION
from inference.applications.ct_head_bleed.abc_half import ABC_HALF, abc_half_cm3
from inference.applications.ct_head_bleed.agreement import verdict
from inference.applications.ct_head_bleed.network import MARGIN, MULTIPLE, to_onnx
from inference.applications.ct_head_bleed.reading import HAEMORRHAGES, HeadLesion, NoHeadOnCT, Reading, scaled
from inference.applications.ct_head_bleed.tiling import MOST, tiles_of, with_margin
from inference.applications.declared import check_outputs
from inference.engines.embedded.engine import EmbeddedEngine
from inference.engines.errors import WrongWeights
from inference.engines.golden import check_golden
from inference.engines.port import ModelRef, Tensors
from inference.engines.repository import Repository
from inference.engines.weights_import import import_models
from inference.findings import Findings
from inference.imaging.resample import Grid
from inference.imaging.volume import Volume
from tests.unit.applications.conftest import AXIAL, OneByOne, turned_volume

WEIGHTS = "weights/blast_ct"
STRAIGHT = ((0, 1, 2), (False, False, False))
BRAIN_HU, BONE_HU, BLOOD_HU = 32, 900, 65


# ---- the network


def second_definition() -> Any:
    """DeepMedic once more, in torch, with random weights: paths at scales 5, 3 and 1, cut by the general rule for any size."""
    import torch
    from torch import Tensor, nn

    class Block(nn.Module):
        def __init__(self, into: int, out: int, kernel: int) -> None:
            super().__init__()
            self.bn, self.prelu = nn.BatchNorm3d(into), nn.PReLU()
            self.conv = nn.Conv3d(into, out, kernel, bias=False)

        def forward(self, x: Tensor) -> Tensor:
            y: Tensor = self.conv(self.prelu(self.bn(x)))
            cut = (x.shape[-1] - y.shape[-1]) // 2
            inner = x[:, :, cut : x.shape[2] - cut, cut : x.shape[3] - cut, cut : x.shape[4] - cut]
            return y + inner if x.shape[1] == y.shape[1] else y

    def centre(x: Tensor, sides: list[int]) -> Tensor:
        for axis, side in enumerate(sides, 2):
            begin = x.shape[axis] // 2 - side // 2
            x = x.narrow(axis, begin, side)
        return x

    class Path(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            sizes = [1, 30, 30, 40, 40, 40, 40, 50, 50]
            self.path = nn.ModuleDict({str(k): Block(sizes[k - 1], sizes[k], 3) for k in range(1, 9)})

        def forward(self, x: Tensor) -> Tensor:
            for block in self.path.values():
                x = block(x)
            return x

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scales = {"path(5, 5, 5)0": 5, "path(3, 3, 3)1": 3, "path(1, 1, 1)2": 1}
            for name in self.scales:
                self.add_module(name, Path())
            self.fully_connected = nn.Sequential(Block(150, 250, 1), Block(250, 250, 1), Block(250, 5, 1))

        def forward(self, x: Tensor) -> Any:
            out = [side - 80 for side in x.shape[2:]]
            joined = []
            for name, scale in self.scales.items():
                seen = centre(x, [(-(-side // scale) + 16) * scale for side in out])
                begin = scale // 2
                found = self.get_submodule(name)(seen[:, :, begin::scale, begin::scale, begin::scale])
                joined.append(centre(nn.functional.interpolate(found, scale_factor=scale, mode="nearest"), out))
            return self.fully_connected(torch.cat(joined, dim=1))

    torch.manual_seed(5)
    network = Network()
    for name, buffer in network.named_buffers():
        if name.endswith("running_mean"):
            buffer.normal_(0, 0.2)
        elif name.endswith("running_var"):
            buffer.uniform_(0.5, 2)
    return network.eval()


def saved(state: Any) -> bytes:
    """As torch writes it."""
    import torch

    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


@pytest.mark.slow
def test_the_graph_computes_what_the_torch_network_computes() -> None:
    """Random weights, sides that are odd and even multiples of 15; the same bytes each time it is converted."""
    import onnxruntime
    import torch

    network = second_definition()
    content = to_onnx(saved(network.state_dict()))
    session = onnxruntime.InferenceSession(content)
    tile = np.random.default_rng(0).random((1, 1, 15 + 80, 30 + 80, 15 + 80), dtype=np.float32) * 2 - 1
    with torch.no_grad():
        expected = network(torch.from_numpy(tile)).numpy()
    assert expected.shape == (1, 5, 15, 30, 15)
    assert expected.std() > 0.01
    np.testing.assert_allclose(session.run(None, {"IMAGE": tile})[0], expected, atol=1e-4)
    assert to_onnx(saved(network.state_dict())) == content


def test_files_that_are_not_these_weights() -> None:
    """A layer absent, one too many, one of another kind, no state dict at all: refused, by what is wrong."""
    state = second_definition().state_dict()
    last = "fully_connected.2.conv.weight"
    for content, said in (
        (saved({name: value for name, value in state.items() if name != last}), r"no fully_connected\.2\.conv\.weight"),
        (saved(state | {"more.weight": state[last]}), r"more\.weight"),
        (saved(state | {last: state[last].flatten()}), "1 axes, not 5"),
        (b"rubbish", "not a PyTorch state dict"),
    ):
        with pytest.raises(WrongWeights, match=said):
            to_onnx(content)


@pytest.fixture(scope="session")
def engine(real: Callable[[str], list[Path]], tmp_path_factory: pytest.TempPathFactory) -> EmbeddedEngine:
    """The published weights, imported from their files, giving the known outputs for the known input."""
    repository = tmp_path_factory.mktemp("models")
    import_models(APPLICATION, repository, files=[path for path in real(WEIGHTS) if path.suffix == ".pt"])
    engine = EmbeddedEngine(repository, threads=1)
    for source in APPLICATION.sources:
        assert source.golden is not None
        check_golden(engine, Repository(repository), source.model, source.golden)
    return engine


@pytest.fixture(scope="module")
def published(real: Callable[[str], list[Path]]) -> dict[str, NDArray[Any]]:
    """A part of a real head with a planted ball, and what the authors' own classes say of it."""
    (path,) = (path for path in real(WEIGHTS) if path.suffix == ".npz")
    with np.load(path) as arrays:
        return dict(arrays)


@pytest.mark.slow
def test_the_publishers_numbers(engine: EmbeddedEngine, published: dict[str, NDArray[Any]]) -> None:
    """All three networks as they are served, within 1e-3. The authors' tile has sides of 15, 20 and 25, whose paths pick other voxels than
    those of a tile of multiples of 15: it lies in one that begins 10 columns earlier, where both pick the same."""
    image = np.pad(scaled(published["hu"].astype(np.float32)), ((0, 0), (0, 10), (10, 10)))
    for number in (1, 2, 3):
        logits = engine.infer(ModelRef(name=f"blast_ct_{number}"), {"IMAGE": image[None, None]})["LOGITS"][0]
        assert logits.shape == (5, 15, 30, 45)
        expected = published[f"logits_model_{number}"]
        assert np.abs(expected).max() > 5
        np.testing.assert_allclose(logits[:, :, :20, 10:35], expected, atol=1e-3)


# ---- tiles


@pytest.mark.parametrize("seed", range(3))
def test_tiles_hold_the_mask_once_and_lie_on_the_raster(seed: int) -> None:
    """Any mask: every voxel in exactly one tile; sides and origins are multiples of 15, and no side is longer than is allowed."""
    random = np.random.default_rng(seed)
    mask = np.zeros((101, 133, 97), dtype=np.bool_)
    for _ in range(4):
        z, y, x = (int(random.integers(0, side - 20)) for side in mask.shape)
        mask[z : z + 20, y : y + 15, x : x + 18] = True
    count = np.zeros([side + 60 for side in mask.shape], dtype=int)
    for tile in tiles_of(mask):
        assert all(at % MULTIPLE == 0 for at in (*tile.start, *tile.stop))
        assert all(last - first <= most for first, last, most in zip(tile.start, tile.stop, MOST, strict=True))
        count[tuple(slice(first, last) for first, last in zip(tile.start, tile.stop, strict=True))] += 1
    assert count.max() == 1
    assert (count[:101, :133, :97][mask] == 1).all()
    assert count.sum() < 0.5 * mask.size
    assert tiles_of(np.zeros_like(mask)) == ()


def test_what_a_network_sees_of_a_tile() -> None:
    """40 voxels more on each side; beyond the image its outermost values go on."""
    image = np.arange(70 * 60 * 50, dtype=np.float32).reshape(70, 60, 50)
    mask = np.zeros(image.shape, dtype=np.bool_)
    mask[65:, :5, 20:25] = True
    (tile,) = tiles_of(mask)
    seen = with_margin(image, tile)
    assert (tile.start, tile.stop) == ((60, 0, 15), (75, 15, 30))
    assert seen.shape == (95, 95, 95)
    wide = np.pad(image, 100, mode="edge")
    np.testing.assert_array_equal(seen, wide[120:215, 60:155, 75:170])
    assert MARGIN == 40


# ---- what is said


def head(bleed_mm: float = 0.0) -> NDArray[np.int16]:
    """A head of 1 mm voxels: scalp, a skull of 6 mm, brain, and on request a ball of blood in it, left of the middle."""
    z, y, x = np.mgrid[:130, :180, :150]
    outward = np.sqrt(((z - 65) / 58) ** 2 + ((y - 90) / 82) ** 2 + ((x - 75) / 68) ** 2)
    hu = np.full(z.shape, -1000, dtype=np.int16)
    hu[outward < 1] = 40
    hu[outward < 0.95] = BONE_HU
    hu[outward < 0.86] = BRAIN_HU
    if bleed_mm:
        hu[(z - 70) ** 2 + (y - 90) ** 2 + (x - 100) ** 2 < (bleed_mm / 2) ** 2] = BLOOD_HU
    return hu


def networks(*classes: int) -> OneByOne:
    """Three networks that call all blood the class that is given for each, and everything else background."""

    def infer(model: ModelRef, tensors: Tensors) -> dict[str, NDArray[Any]]:
        (image,) = tensors["IMAGE"]
        hu = (image[0, 40:-40, 40:-40, 40:-40] * 115 + 85) / 2
        assert all(side % 15 == 0 for side in hu.shape)
        logits = np.zeros((1, 5, *hu.shape), dtype=np.float32)
        blood = (hu > 50) & (hu < 80)
        logits[0, 0] = 2
        logits[0, classes[int(model.name[-1]) - 1]][blood] = 6
        return {"LOGITS": logits}

    return OneByOne(infer)


def said(volume: Volume, infer: OneByOne) -> Findings:
    """The findings, as the manifest allows them."""
    assert not [remark for remark in check(APPLICATION, volume) if "mm apart" not in remark]
    findings = APPLICATION.analyse(volume, infer)
    check_outputs(APPLICATION, findings, volume)
    return findings


def answers(findings: Findings) -> dict[tuple[str, str], str]:
    """What is said of a finding in its place."""
    return {(one.finding.meaning, one.finding_site.meaning if one.finding_site else ""): one.value.meaning for one in findings.evaluations}


@pytest.mark.parametrize(("axes", "flips"), [AXIAL[0], AXIAL[5]])
def test_blood_is_marked_and_measured_where_it_lies(axes: tuple[int, int, int], flips: tuple[bool, bool, bool]) -> None:
    """A ball of 30 mm that all three call intraparenchymal: the mask is the ball, on the grid that came in, its volume that of a ball,
    ABC/2 a third below it: of a ball's thin slices those up to half the radius count whole, and up to 0.866 of it half, so that C is 1.366
    radii and not two; nothing else is present."""
    hu = head(30)
    volume = turned_volume(hu, 1.0, axes, flips, "CT")
    findings = said(volume, networks(1, 1, 1))
    (segment,) = findings.segments
    assert (segment.type, segment.finding_site, segment.category) == (
        codes.HEMORRHAGE,
        codes.BRAIN,
        codes.MORPHOLOGICALLY_ABNORMAL_STRUCTURE,
    )
    np.testing.assert_array_equal(segment.mask, volume.voxels == BLOOD_HU)
    told = {one.name: one.value for one in findings.measurements}
    ball_cm3 = np.pi / 6 * 27
    assert told[codes.VOLUME] == pytest.approx(ball_cm3, rel=0.02)
    assert told[ABC_HALF] == pytest.approx(30 * 30 * 1.366 * 15 / 2 / 1000, rel=0.1)
    assert answers(findings) == {
        ("Intracranial hemorrhage", "Head"): "Present",
        ("Hemorrhage", "Brain"): "Present",
        ("Hemorrhage", "Meninges"): "Absent",
        ("Hemorrhage", "Brain ventricle"): "Absent",
        ("Edema", "Brain"): "Absent",
    }


def test_no_blood_is_absent_and_no_mask() -> None:
    """A plain head: nothing present, nothing marked, nothing measured."""
    findings = said(turned_volume(head(), 1.0, *STRAIGHT, "CT"), networks(1, 2, 4))
    assert set(answers(findings).values()) == {"Absent"}
    assert findings.segments == ()
    assert findings.measurements == ()


def test_networks_that_disagree_on_the_kind() -> None:
    """All see blood, and two call it intraparenchymal, one intraventricular: there is haemorrhage, and its kind is undetermined."""
    findings = said(turned_volume(head(30), 1.0, *STRAIGHT, "CT"), networks(1, 1, 4))
    told = answers(findings)
    assert told["Intracranial hemorrhage", "Head"] == "Present"
    assert told["Hemorrhage", "Brain"] == told["Hemorrhage", "Brain ventricle"] == "Undetermined"
    (remark,) = (one for one in findings.remarks if "intraventricular" in one)
    assert remark == "The three networks do not agree on intraventricular haemorrhage: alone they mark 0.0, 0.0, 14.0 cm³."
    assert [one.label for one in findings.segments] == ["intraparenchymal haemorrhage"]


def test_networks_that_disagree_on_whether() -> None:
    """One alone sees blood: undetermined, neither present nor absent, and no mask of it."""
    findings = said(turned_volume(head(30), 1.0, *STRAIGHT, "CT"), networks(2, 0, 0))
    told = answers(findings)
    assert told["Intracranial hemorrhage", "Head"] == told["Hemorrhage", "Meninges"] == "Undetermined"
    assert told["Hemorrhage", "Brain"] == "Absent"
    assert findings.segments == ()
    assert "The three networks do not agree on haemorrhage of any kind: alone they mark 14.0, 0.0, 0.0 cm³." in findings.remarks


def test_oedema_without_a_lesion_is_undetermined() -> None:
    """The networks know it beside lesions only."""
    findings = said(turned_volume(head(30), 1.0, *STRAIGHT, "CT"), networks(3, 3, 3))
    told = answers(findings)
    assert told["Edema", "Brain"] == "Undetermined"
    assert told["Intracranial hemorrhage", "Head"] == "Absent"


def test_several_kinds_have_a_sum() -> None:
    """Two networks of three decide: two kinds in two places; their total is told once."""
    hu = head(30)
    z, y, x = np.mgrid[:130, :180, :150]
    hu[(z - 70) ** 2 + (y - 90) ** 2 + (x - 45) ** 2 < 12**2] = 75

    def infer(model: ModelRef, tensors: Tensors) -> dict[str, NDArray[Any]]:
        (image,) = tensors["IMAGE"]
        seen = (image[0, 40:-40, 40:-40, 40:-40] * 115 + 85) / 2
        logits = np.zeros((1, 5, *seen.shape), dtype=np.float32)
        logits[0, 0] = 2
        logits[0, 1][(seen > 50) & (seen < 70)] = 6
        logits[0, 4][(seen > 70) & (seen < 80)] = 6
        return {"LOGITS": logits}

    findings = said(turned_volume(hu, 1.0, *STRAIGHT, "CT"), OneByOne(infer))
    (total,) = (one for one in findings.measurements if one.total is not None)
    assert total.parts == ("intraparenchymal haemorrhage", "intraventricular haemorrhage")
    assert total.value == pytest.approx(((hu == BLOOD_HU).sum() + (hu == 75).sum()) / 1000, rel=1e-6)


def test_agreement_on_the_publishers_crop(published: dict[str, NDArray[Any]]) -> None:
    """Where the three disagree (2,703, 2,143 and 0 voxels intraparenchymal, 128, 384 and 2,884 intraventricular): haemorrhage is present,
    both kinds are undetermined."""
    logits = [published[f"logits_model_{number}"] for number in (1, 2, 3)]
    alone = tuple(one.argmax(axis=0).astype(np.uint8) for one in logits)
    together = published["prob_mean_of_3"].argmax(axis=0).astype(np.uint8)
    reading = Reading(grid=Grid(shape=(15, 20, 25), affine=np.eye(4)), together=together, alone=alone, searched_cm3=7.5)
    assert reading.alone_cm3((HeadLesion.INTRAPARENCHYMAL,)) == (2.703, 2.143, 0.0)
    assert reading.alone_cm3((HeadLesion.INTRAVENTRICULAR,)) == (0.128, 0.384, 2.884)
    assert verdict(reading, HAEMORRHAGES).value == codes.PRESENT
    assert verdict(reading, (HeadLesion.INTRAPARENCHYMAL,)).value == codes.UNDETERMINED
    assert verdict(reading, (HeadLesion.INTRAVENTRICULAR,)).value == codes.UNDETERMINED
    assert verdict(reading, (HeadLesion.EXTRA_AXIAL,)).value == codes.ABSENT


def test_abc_half_by_hand() -> None:
    """Slices 5 mm apart: two of 20 × 10 pixels, one with half and one with a tenth of that. C counts 2 + 1/2 slices; the larger of two
    parts is measured."""
    mask = np.zeros((10, 40, 40), dtype=np.bool_)
    mask[2:4, 5:25, 5:15] = True
    mask[4, 5:15, 5:15] = True
    mask[5, 5:7, 5:15] = True
    mask[8, 30:33, 30:33] = True
    # the diagonal between outermost middles, and across it the distance of the two other corners, each to the edges of pixels
    diagonal = np.hypot(19, 9)
    a_mm, b_mm, c_mm = diagonal + 1, 2 * 19 * 9 / diagonal + 1, 2.5 * 5
    assert abc_half_cm3(mask, (5.0, 1.0, 1.0)) == pytest.approx(a_mm * b_mm * c_mm / 2 / 1000)
    assert abc_half_cm3(np.zeros_like(mask), (5.0, 1.0, 1.0)) == 0.0


# ---- what is declined


def test_what_is_no_head_is_declined() -> None:
    """Soft tissue without bone around it, a head without its skull, air alone: the network is not asked."""

    @OneByOne
    def never(model: ModelRef, tensors: Tensors) -> dict[str, NDArray[Any]]:
        raise AssertionError("nothing to look at")

    bare = head()
    bare[bare == BONE_HU] = -1000
    belly = head()
    belly[belly == BONE_HU] = 40
    for hu in (bare, belly):
        with pytest.raises(NoHeadOnCT, match="0 % have bone beside them"):
            APPLICATION.analyse(turned_volume(hu, 1.0, *STRAIGHT, "CT"), never)
    with pytest.raises(NoHeadOnCT, match="0 cm³"):
        APPLICATION.analyse(turned_volume(np.full_like(bare, -1000), 1.0, *STRAIGHT, "CT"), never)


def test_what_the_gate_refuses() -> None:
    """MR, too few slices, slices too far apart, another plane: each by a reason of its own."""
    assert "modality is MR" in unfit(APPLICATION.accepts, turned_volume(head(), 1.0, *STRAIGHT, "MR"))[0]
    few = turned_volume(head()[:12], 1.0, *STRAIGHT, "CT")
    assert any("12 slices" in reason for reason in unfit(APPLICATION.accepts, few))
    assert any("apart" in reason for reason in unfit(APPLICATION.accepts, turned_volume(head()[:20, :20, :20], 9.0, *STRAIGHT, "CT")))
    assert any("sagittal" in reason for reason in unfit(APPLICATION.accepts, turned_volume(head(), 1.0, (2, 1, 0), (False,) * 3, "CT")))
