"""ct-lung: body, sides and the way back on phantoms; the network against a second definition of it; the whole on a real chest."""

import hashlib
import io
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from inference import codes
from inference.applications.accept import check
from inference.applications.ct_lung import APPLICATION
from inference.applications.ct_lung.anatomy import Side, body_mask, sides
from inference.applications.ct_lung.network import to_onnx
from inference.applications.ct_lung.segmentation import segment
from inference.applications.declared import check_outputs
from inference.engines.embedded.engine import EmbeddedEngine
from inference.engines.errors import NotFinite, WrongWeights
from inference.engines.golden import check_golden
from inference.engines.port import Call, ModelRef, Tensors
from inference.engines.repository import Repository
from inference.engines.weights_import import import_models
from inference.imaging.assemble import assemble
from inference.imaging.volume import Volume
from inference.imaging.write_series import from_nifti, write_series
from tests.unit.applications.conftest import AXIAL, OneByOne, turned_volume

WEIGHTS = "weights/unet_small_lung_ct/UNet_wdk24.pt"
THORAX = "labelled/ct_thorax_pulm/ct_cropped.nii.gz"
STRAIGHT = ((0, 1, 2), (False, False, False))


@OneByOne
def airy(model: ModelRef, tensors: Tensors) -> dict[str, NDArray[Any]]:
    """A network that marks everything between -984 and -400 HU, table foam and bowel gas included, as a poor one would."""
    image = tensors["IMAGE"]
    assert image.shape[0] <= 8
    assert all(side % 8 == 0 for side in image.shape[2:])
    return {"LUNG": ((image > 40) & (image < 624)).astype(np.float32)}


def chest(bridge: int = 0) -> tuple[NDArray[np.int16], NDArray[np.bool_], NDArray[np.bool_]]:
    """A chest of 1 mm voxels on a table of foam, and its left and right lung; `bridge` slices in which the lungs touch."""
    z, y, x = np.mgrid[:40, :120, :160]
    # air is never even: only what lies outside a round field of view is
    hu = np.random.default_rng(0).integers(-1010, -990, z.shape, dtype=np.int16)
    hu[((y - 55) / 45) ** 2 + ((x - 80) / 70) ** 2 < 1] = 40
    # larger x is the patient's left
    right = ((z - 20) / 15) ** 2 + ((y - 55) / 28) ** 2 + ((x - 45) / 22) ** 2 < 1
    left = ((z - 20) / 14) ** 2 + ((y - 55) / 26) ** 2 + ((x - 115) / 19) ** 2 < 1
    between = (np.abs(z - 20) * 2 < bridge) & (np.abs(y - 50) < 2) & (x > 60) & (x < 100)
    hu[left | right | between] = -800
    hu[18:22, 54:58, 78:82] = -900  # a bubble between the lungs
    hu[:, 104:106, 20:140] = 100
    hu[:, 106:116, 20:140] = -900
    hu[:, 116:118, 20:140] = 100
    return hu, left, right


@pytest.mark.parametrize(("axes", "flips"), AXIAL)
def test_left_is_left_however_the_slices_lie(axes: tuple[int, int, int], flips: tuple[bool, bool, bool]) -> None:
    """Head or feet first, prone or supine, rows for columns: the same lungs, on the grid that came in, without table and bubble."""
    hu, left, right = chest()
    masks = segment(turned_volume(hu, 1.0, axes, flips, "CT"), airy)
    assert set(masks) == {Side.LEFT, Side.RIGHT}
    for side, lung in ((Side.LEFT, left), (Side.RIGHT, right)):
        expected = turned_volume(lung, 1.0, axes, flips, "CT").voxels
        np.testing.assert_array_equal(masks[side], expected)


def test_lungs_that_touch_are_told_apart() -> None:
    """A bridge between them, as at the anterior junction: each keeps its own side of it."""
    hu, left, right = chest(bridge=6)
    masks = segment(turned_volume(hu, 1.0, *STRAIGHT, "CT"), airy)
    assert set(masks) == {Side.LEFT, Side.RIGHT}
    assert not (masks[Side.LEFT] & right).any()
    assert not (masks[Side.RIGHT] & left).any()


def test_one_lung_is_not_guessed_to_be_left_or_right() -> None:
    """A single large part: one segment "lungs", and the reader is told."""
    hu, left, _ = chest()
    hu[left] = 40
    volume = turned_volume(hu, 1.0, *STRAIGHT, "CT")
    findings = APPLICATION.analyse(volume, airy)
    check_outputs(APPLICATION, findings, volume)
    assert [(each.label, each.type) for each in findings.segments] == [("lungs", codes.LUNGS)]
    assert "Left and right lung could not be told apart: they are one segment." in findings.remarks


def test_the_numbers_by_hand() -> None:
    """1 mm³ a voxel, -800 HU throughout; the labels, codes and sides of each lung."""
    hu, left, right = chest()
    volume = turned_volume(hu, 1.0, *STRAIGHT, "CT")
    findings = APPLICATION.analyse(volume, airy)
    check_outputs(APPLICATION, findings, volume)
    told = {(each.segment, each.name): (each.value, each.unit.value) for each in findings.measurements}
    for label, lung in (("lung left", left), ("lung right", right)):
        value, unit = told[label, codes.VOLUME]
        assert value == pytest.approx(lung.sum() * 0.001)
        assert unit == "cm3"
    assert told["lung left", codes.ATTENUATION_COEFFICIENT] == (-800.0, "[hnsf'U]")
    (total,) = (each for each in findings.measurements if each.total is not None)
    assert (total.total, total.parts, total.segment) == (codes.LUNGS, ("lung left", "lung right"), None)
    assert total.value == pytest.approx((left.sum() + right.sum()) * 0.001)
    assert {each.label: each.laterality for each in findings.segments} == {"lung left": codes.LEFT, "lung right": codes.RIGHT}


def test_no_lung_is_a_result() -> None:
    """A body without air: a volume of 0, no segment, a remark; the network is not even asked."""
    hu, _, _ = chest()
    hu[(hu < -500) & (np.mgrid[:40, :120, :160][1] < 103)] = 40

    @OneByOne
    def never(model: ModelRef, tensors: Tensors) -> dict[str, NDArray[Any]]:
        raise AssertionError("nothing to look at")

    volume = turned_volume(hu, 1.0, *STRAIGHT, "CT")
    findings = APPLICATION.analyse(volume, never)
    check_outputs(APPLICATION, findings, volume)
    assert findings.segments == ()
    assert [each.value for each in findings.measurements] == [0.0]
    assert findings.remarks == ("No lung was found in these images.",)


def test_the_body_holds_the_lungs_and_not_the_table() -> None:
    """Also where the image cuts the body, so that lung touches its border."""
    hu, left, right = chest()
    body = body_mask(hu)
    assert body[left | right].all()
    assert not body[:, 106:116].any()
    assert not body[:, 2, 2].any()
    cut = (slice(None), slice(30, 80), slice(40, 120))
    assert body_mask(hu[cut])[(left | right)[cut]].all()


def test_a_thin_chest_wall_is_kept_when_the_lungs_say_so() -> None:
    """A wall of 4 to 9 mm, which opening takes away: the lungs behind it are still those of the phantom."""
    hu, left, right = chest()
    _, y, x = np.mgrid[:40, :120, :160]
    wall = ((y - 55) / 38) ** 2 + ((x - 80) / 66) ** 2
    outside = (wall > 1) & (y < 103)
    hu[outside] = np.random.default_rng(1).integers(-1010, -990, int(outside.sum()), dtype=np.int16)
    assert not body_mask(hu[::3, ::3, ::3])[left[::3, ::3, ::3]].all(), "or the phantom's wall is too thick to prove anything"
    masks = segment(turned_volume(hu, 1.0, *STRAIGHT, "CT"), airy)
    assert set(masks) == {Side.LEFT, Side.RIGHT}
    assert (masks[Side.LEFT] & left).sum() > 0.99 * left.sum()
    assert (masks[Side.RIGHT] & right).sum() > 0.99 * right.sum()


def test_lungs_that_the_field_of_view_cuts() -> None:
    """A cardiac scan: round, smaller than the chest, the rest filled with one value. The lungs reach its edge and are still lungs."""
    hu, left, right = chest()
    _, y, x = np.mgrid[:40, :120, :160]
    seen = (y - 55) ** 2 + (x - 80) ** 2 < 48**2
    hu[~seen] = -2000
    masks = segment(turned_volume(hu, 1.0, *STRAIGHT, "CT"), airy)
    assert set(masks) == {Side.LEFT, Side.RIGHT}
    assert (masks[Side.LEFT] & left & seen).sum() > 0.97 * (left & seen).sum()
    assert (masks[Side.RIGHT] & right & seen).sum() > 0.97 * (right & seen).sum()
    assert not (masks[Side.LEFT] & ~seen).any()


def test_sides_of_nothing() -> None:
    """No lung, no side."""
    assert not sides(np.zeros((4, 4, 4), dtype=np.bool_), np.zeros((4, 4, 4)), 3.0).any()


def second_definition() -> Any:
    """The network once more, in torch, with random weights: what the published names and shapes say."""
    import torch
    from torch import Tensor, nn

    def block(into: int, out: int) -> nn.Sequential:
        def layer(channels: int) -> tuple[nn.Module, ...]:
            return nn.Conv2d(channels, out, 3, padding=1), nn.BatchNorm2d(out), nn.ReLU()

        return nn.Sequential(*layer(into), *layer(out))

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv1, self.conv2, self.conv3, self.middle = block(1, 16), block(16, 32), block(32, 64), block(64, 128)
            for level, (deep, out) in {3: (128, 64), 2: (64, 32), 1: (32, 16)}.items():
                setattr(self, f"upsample{level}", nn.ConvTranspose2d(deep, out, 3, stride=2, padding=1, output_padding=1))
                setattr(self, f"upconv{level}", block(deep, out))
            self.final = nn.Conv2d(16, 1, 1)

        def forward(self, x: Tensor) -> Tensor:
            seen = []
            for level in (self.conv1, self.conv2, self.conv3):
                x = level(x)
                seen.append(x)
                x = nn.functional.max_pool2d(x, 2)
            x = self.middle(x)
            for up in (3, 2, 1):
                x = getattr(self, f"upconv{up}")(torch.cat([getattr(self, f"upsample{up}")(x), seen.pop()], 1))
            return torch.sigmoid(self.final(x))

    torch.manual_seed(4)
    network = Network()
    for name, buffer in network.named_buffers():
        if name.endswith("running_mean"):
            buffer.normal_()
        elif name.endswith("running_var"):
            buffer.uniform_(0.5, 2)
    return network.eval()


def saved(state: Any) -> bytes:
    """As torch writes it."""
    import torch

    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


def test_the_graph_computes_what_the_torch_network_computes() -> None:
    """Random weights, any size that is a multiple of 8, any batch; and the same bytes each time it is converted."""
    import onnxruntime
    import torch

    network = second_definition()
    content = to_onnx(saved(network.state_dict()))
    session = onnxruntime.InferenceSession(content)
    image = np.random.default_rng(0).random((3, 1, 40, 56), dtype=np.float32) * 100
    with torch.no_grad():
        expected = network(torch.from_numpy(image)).numpy()
    assert expected.std() > 0.01
    np.testing.assert_allclose(session.run(None, {"IMAGE": image})[0], expected, atol=1e-5)
    assert to_onnx(saved(network.state_dict())) == content


class Intruder:
    """A pickle that would run a program when it is loaded."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (print, ("code from the weights file ran",))


def test_files_that_are_not_these_weights(capsys: pytest.CaptureFixture[str]) -> None:
    """A layer absent, a layer too many, no state dict at all, a pickle with code in it: refused, and the code does not run."""
    state = second_definition().state_dict()
    short = {name: value for name, value in state.items() if name != "final.bias"}
    for content, said in (
        (saved(short), r"no final\.bias"),
        (saved(state | {"more.weight": state["final.bias"]}), r"more\.weight"),
        (b"rubbish", "not a PyTorch state dict"),
        (saved(Intruder()), "not a PyTorch state dict"),
        (pickle.dumps(Intruder()), "not a PyTorch state dict"),
    ):
        with pytest.raises(WrongWeights, match=said):
            to_onnx(content)
    assert capsys.readouterr().out == ""


@pytest.fixture(scope="session")
def engine(real: Callable[[str], list[Path]], tmp_path_factory: pytest.TempPathFactory) -> EmbeddedEngine:
    """The published weights, imported from their file, giving the known output for the known input."""
    repository = tmp_path_factory.mktemp("models")
    import_models(APPLICATION, repository, files=real(WEIGHTS))
    engine = EmbeddedEngine(repository, threads=2)
    source = APPLICATION.sources[0]
    assert source.golden is not None
    check_golden(engine, Repository(repository), source.model, source.golden)
    return engine


class AsTheRepositorySays:
    """What the node gives an application: the engine, calls at once, and the entry's word; counts what goes there and back."""

    def __init__(self, engine: EmbeddedEngine, repository: Repository, *, at_once: int = 1) -> None:
        self.bytes = 0
        self.called: set[str] = set()
        self.engine = engine
        self._repository = repository
        self._at_once = at_once

    def __call__(self, model: ModelRef, tensors: Tensors) -> dict[str, NDArray[Any]]:
        answer = self.engine.infer(model, tensors)
        self.bytes += sum(array.nbytes for array in (*tensors.values(), *answer.values()))
        self.called.add(model.name)
        return answer

    def at_once(self, model: ModelRef) -> int:
        return self._at_once

    def call_of(self, model: ModelRef) -> Call | None:
        return self._repository.call_of(model)


def imported(folder: Path) -> AsTheRepositorySays:
    """The second definition's random weights under the application's own names, with the steps around the network and the ensemble."""
    published = saved(second_definition().state_dict())
    network = replace(APPLICATION.sources[0], sha256=hashlib.sha256(published).hexdigest(), golden=None)
    (folder / "weights.pt").write_bytes(published)
    import_models(replace(APPLICATION, sources=(network, *APPLICATION.sources[1:])), folder / "models", files=[folder / "weights.pt"])
    return AsTheRepositorySays(EmbeddedEngine(folder / "models", threads=1), Repository(folder / "models"), at_once=2)


@pytest.mark.slow
@pytest.mark.parametrize("spacing_mm", [0.7, 1.0, 1.6])
def test_stored_slices_give_the_same_findings(tmp_path: Path, spacing_mm: float) -> None:
    """int16 HU to the ensemble and a mask back, or prepared float32 to the network: the same masks, at a fraction of the bytes."""
    infer = imported(tmp_path)
    hu, _, _ = chest()
    volume = turned_volume(hu, spacing_mm, *STRAIGHT, "CT")
    stored = segment(volume, infer)
    prepared = segment(volume, OneByOne(infer.engine.infer))
    assert infer.called == {"unet_small_lung_ct_stored"}
    assert stored.keys() == prepared.keys()
    assert sum(int(mask.sum()) for mask in stored.values()) > 1000, "or random weights mark nothing"
    for side, mask in stored.items():
        assert 2 * (mask & prepared[side]).sum() > 0.999 * (mask.sum() + prepared[side].sum())


@pytest.mark.slow
def test_what_is_no_number_within_the_ensemble_is_no_mask(tmp_path: Path) -> None:
    """A server hands what its steps give each other on without looking: of a NaN "more than one half" is false, and no lung was found."""
    infer = imported(tmp_path)

    @OneByOne
    def by_the_server(model: ModelRef, tensors: Tensors) -> dict[str, NDArray[Any]]:
        assert model.name == "unet_small_lung_ct_stored"
        before, behind = (ModelRef(name=f"unet_small_lung_ct_{step}") for step in ("before", "behind"))
        seen = infer.engine.infer(before, {"STORED": tensors["IMAGE"], "PIXELS": tensors["PIXELS"]})
        lung = infer.engine.infer(ModelRef(name="unet_small_lung_ct"), {"IMAGE": seen["IMAGE"]})["LUNG"].copy()
        lung[0, 0, 40, 40] = np.nan
        mask = infer.engine.infer(behind, {"LUNG": lung, "PIXELS": tensors["PIXELS"], "SIDES": seen["SIDES"]})["MASK"]
        return {"LUNG": mask}

    by_the_server.call_of = infer.call_of  # type: ignore[method-assign]
    hu, _, _ = chest()
    with pytest.raises(NotFinite, match='within "unet_small_lung_ct_stored" gives values that are no numbers'):
        segment(turned_volume(hu, 1.6, *STRAIGHT, "CT"), by_the_server)


def test_voxels_that_are_not_stored_as_int16_are_prepared_here(tmp_path: Path) -> None:
    """A fractional rescale leaves float32 voxels: the ensemble, which takes int16, is not asked."""
    infer = imported(tmp_path)
    hu, _, _ = chest()
    volume = turned_volume(hu.astype(np.float32) + np.float32(0.25), 1.0, *STRAIGHT, "CT")
    segment(volume, infer)
    assert infer.called == {"unet_small_lung_ct"}


@pytest.fixture(scope="module")
def thorax(real: Callable[[str], list[Path]], tmp_path_factory: pytest.TempPathFactory) -> Volume:
    """The published CT, written as a series."""
    voxels, affine = from_nifti(real(THORAX)[0])
    return assemble(write_series(voxels, affine, tmp_path_factory.mktemp("thorax"), modality="CT"))


@pytest.mark.slow
def test_a_real_chest_goes_as_it_is_stored(thorax: Volume, engine: EmbeddedEngine) -> None:
    """The published network on the published CT: Dice of at least 0.999 between the two ways, and a third of the bytes at most."""
    stored, prepared = (AsTheRepositorySays(engine, engine._repository) for _ in range(2))
    prepared.call_of = lambda model: None  # type: ignore[method-assign]
    masks = [segment(thorax, infer) for infer in (stored, prepared)]
    assert (stored.called, prepared.called) == ({"unet_small_lung_ct_stored"}, {"unet_small_lung_ct"})
    assert set(masks[0]) == set(masks[1]) == {Side.LEFT, Side.RIGHT}
    for side, mask in masks[0].items():
        assert 2 * (mask & masks[1][side]).sum() >= 0.999 * (mask.sum() + masks[1][side].sum())
    assert stored.bytes < prepared.bytes / 3


@pytest.mark.slow
def test_a_real_abdomen_holds_no_lung(real: Callable[[str], list[Path]], engine: EmbeddedEngine) -> None:
    """The network marks gas in the bowel and air under the blanket; what is said is that there is no lung."""
    volume = assemble(real("dicom/ct_abdomen_TotalSeg"))
    assert check(APPLICATION, volume) == ()
    findings = APPLICATION.analyse(volume, OneByOne(engine.infer))
    assert findings.segments == ()
    assert findings.remarks == ("No lung was found in these images.",)


@pytest.mark.slow
def test_a_real_chest(real: Callable[[str], list[Path]], thorax: Volume, engine: EmbeddedEngine) -> None:
    """Published CT, published weights: lungs where air-filled lung is, on the right sides, at the attenuation of inspired lung."""
    assert check(APPLICATION, thorax) == ()
    findings = APPLICATION.analyse(thorax, OneByOne(engine.infer))
    check_outputs(APPLICATION, findings, thorax)
    lungs = {each.label: each.mask for each in findings.segments}
    assert set(lungs) == {"lung left", "lung right"}
    marked = lungs["lung left"] | lungs["lung right"]
    # an independent look: the crop holds no air outside the body but a corner, so lung is what lies between -950 and -400 HU
    air = (thorax.voxels > -950) & (thorax.voxels < -400)
    assert (marked & air).sum() > 0.9 * marked.sum()
    assert (marked & air).sum() > 0.93 * air.sum()
    assert not (marked & (thorax.voxels > 300)).sum() > 0.01 * marked.sum()
    told = {(each.segment, each.name): each.value for each in findings.measurements}
    assert all(-900 < told[label, codes.ATTENUATION_COEFFICIENT] < -600 for label in lungs)
    # the heart label of the same publication: it lies to the left of the middle between the lungs' centres
    centres = {label: float((thorax.affine @ [*np.argwhere(mask).mean(axis=0), 1])[0]) for label, mask in lungs.items()}
    assert centres["lung left"] > centres["lung right"] + 80
    heart, _ = from_nifti(real("labelled/ct_thorax_pulm/heart.nii.gz")[0])
    assert float(np.argwhere(heart > 0).mean(axis=0)[2]) > np.mean([np.argwhere(mask).mean(axis=0)[2] for mask in lungs.values()])
    again = APPLICATION.analyse(thorax, OneByOne(engine.infer))
    assert all(one.mask.tobytes() == two.mask.tobytes() for one, two in zip(findings.segments, again.segments, strict=True))
