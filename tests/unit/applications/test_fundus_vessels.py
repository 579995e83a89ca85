"""fundus-vessels: networks against a second definition and the publisher's own numbers; the field of view; what is told and declined."""

import io
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image as Picture
from pydicom.dataset import Dataset

from inference import codes
from inference.applications.accept import check
from inference.applications.declared import check_outputs
from inference.applications.fundus_vessels import APPLICATION
from inference.applications.fundus_vessels.application import ARTERY_SHARE, VEIN_SHARE, VESSEL_PARTS, VESSEL_SHARE, NotAFundus
from inference.applications.fundus_vessels.field import Field, field_of
from inference.applications.fundus_vessels.network import to_onnx
from inference.applications.fundus_vessels.reading import ARTERIES_AND_VEINS, VESSELS, in_kinds, probabilities, read_photograph
from inference.engines.embedded.engine import EmbeddedEngine
from inference.engines.errors import WrongWeights
from inference.engines.golden import check_golden
from inference.engines.port import ModelRef, Tensors
from inference.engines.repository import Repository
from inference.engines.weights_import import import_models
from inference.findings import Findings
from inference.imaging.subject import Images, Takes
from inference.imaging.subjects import subjects
from tests.lab.fundus import FUNDUS, by_colour, drawn
from tests.results import images as dicom
from tests.unit.applications.conftest import OneByOne

WEIGHTS = "weights/lwnet"
FOLDERS: Mapping[ModelRef, str] = dict(
    zip((VESSELS, *ARTERIES_AND_VEINS), ("wnet_drive", "big_wnet_drive_av", "big_wnet_hrf_av_1024"), strict=True)
)

# ---- the network


def second_definition(deep: int, classes: int) -> Any:
    """The W-Net once more, in torch, with random weights and statistics."""
    import torch
    from torch import Tensor, nn

    def layer(into: int, out: int) -> list[nn.Module]:
        return [nn.Conv2d(into, out, 3, padding=1), nn.ReLU(), nn.BatchNorm2d(out)]

    class Block(nn.Module):
        def __init__(self, into: int, out: int) -> None:
            super().__init__()
            self.block = nn.Sequential(*layer(into, out), *layer(out, out))
            self.shortcut = nn.Sequential(nn.Conv2d(into, out, 1, bias=False), nn.BatchNorm2d(out))

        def forward(self, x: Tensor) -> Tensor:
            y: Tensor = self.block(x) + self.shortcut(x)
            return y

    class Within(nn.Module):
        def __init__(self, *modules: nn.Module) -> None:
            super().__init__()
            self.block = nn.Sequential(*modules)

        def forward(self, x: Tensor) -> Tensor:
            y: Tensor = self.block(x)
            return y

    class Up(nn.Module):
        def __init__(self, into: int, out: int) -> None:
            super().__init__()
            self.up_layer = Within(nn.ConvTranspose2d(into, out, 2, stride=2))
            self.conv_layer = Block(2 * out, out)
            self.conv_bridge_layer = Within(*layer(out, out))

        def forward(self, x: Tensor, beside: Tensor) -> Tensor:
            y: Tensor = self.conv_layer(torch.cat([self.up_layer(x), self.conv_bridge_layer(beside)], dim=1))
            return y

    class UNet(nn.Module):
        def __init__(self, into: int) -> None:
            super().__init__()
            widths = [4 * 2**level for level in range(deep + 1)]
            self.first = Block(into, widths[0])
            self.down_path = nn.ModuleList(Block(widths[level], widths[level + 1]) for level in range(deep))
            self.up_path = nn.ModuleList(Up(widths[level + 1], widths[level]) for level in reversed(range(deep)))
            self.final = nn.Conv2d(widths[0], classes, 1)

        def forward(self, x: Tensor) -> Any:
            found = [self.first(x)]
            for block in self.down_path:
                found.append(block(nn.functional.max_pool2d(found[-1], 2)))
            x = found.pop()
            for up in self.up_path:
                x = up(x, found.pop())
            return self.final(x)

    class WNet(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.unet1, self.unet2 = UNet(3), UNet(3 + classes)

        def forward(self, x: Tensor) -> Any:
            return self.unet2(torch.cat([x, self.unet1(x)], dim=1))

    torch.manual_seed(3)
    network = WNet()
    for name, buffer in network.named_buffers():
        if name.endswith("running_mean"):
            buffer.normal_(0, 0.2)
        elif name.endswith("running_var"):
            buffer.uniform_(0.5, 2)
    return network.eval()


def saved(state: Any) -> bytes:
    """As the authors' checkpoints have it: beside an optimiser's."""
    import torch

    buffer = io.BytesIO()
    torch.save({"model_state_dict": state, "optimizer_state_dict": {"param_groups": []}, "stats": None}, buffer)
    return buffer.getvalue()


@pytest.mark.slow
@pytest.mark.parametrize(("deep", "classes"), [(2, 1), (3, 4)])
def test_the_graph_computes_what_the_torch_network_computes(deep: int, classes: int) -> None:
    """Random weights of a small and of a deeper one, sides that differ; the same bytes each time it is converted."""
    import onnxruntime
    import torch

    network = second_definition(deep, classes)
    content = to_onnx(saved(network.state_dict()))
    image = np.random.default_rng(0).random((1, 3, 40, 24), dtype=np.float32)
    with torch.no_grad():
        expected = network(torch.from_numpy(image)).numpy()
    assert expected.shape == (1, classes, 40, 24)
    assert expected.std() > 0.01
    np.testing.assert_allclose(onnxruntime.InferenceSession(content).run(None, {"IMAGE": image})[0], expected, atol=1e-4)
    assert to_onnx(saved(network.state_dict())) == content


@pytest.mark.slow
def test_files_that_are_not_these_weights() -> None:
    """A layer absent, one too many, a last layer of another kind, no checkpoint at all: refused, by what is wrong."""
    state = second_definition(2, 1).state_dict()
    last = "unet2.final.weight"
    for content, said in (
        (saved({name: value for name, value in state.items() if name != last}), r"no unet2\.final\.weight"),
        (saved({name: value for name, value in state.items() if name != "unet1.first.block.0.bias"}), r"no unet1\.first\.block\.0\.bias"),
        (saved(state | {"more.weight": state[last]}), r"more\.weight"),
        (saved(state | {last: state[last].flatten()}), "1 axes, not 4"),
        (b"rubbish", "not a PyTorch state dict"),
    ):
        with pytest.raises(WrongWeights, match=said):
            to_onnx(content)


@pytest.fixture(scope="session")
def engine(real: Callable[[str], list[Path]], tmp_path_factory: pytest.TempPathFactory) -> EmbeddedEngine:
    """The published weights, imported from files that all have one name, giving the known outputs for the known input."""
    repository = tmp_path_factory.mktemp("models")
    import_models(APPLICATION, repository, files=[path for path in real(WEIGHTS) if path.suffix == ".pth"])
    engine = EmbeddedEngine(repository, threads=1)
    for source in APPLICATION.sources:
        assert source.golden is not None
        check_golden(engine, Repository(repository), source.model, source.golden)
    return engine


def of_publisher(real: Callable[[str], list[Path]], name: str) -> Path:
    """A file of what the authors' own classes gave."""
    (path,) = (path for path in real(WEIGHTS) if path.name == name)
    return path


@pytest.mark.slow
def test_the_publishers_numbers(engine: EmbeddedEngine, real: Callable[[str], list[Path]]) -> None:
    """All three networks as they are served give the logits of the authors' classes on a piece of a real photograph, within 1e-4."""
    with np.load(of_publisher(real, "oracle.npz")) as published:
        for model, name in FOLDERS.items():
            image = published[f"rgb_{name}"].transpose(2, 0, 1)[None].astype(np.float32) / 255
            logits = engine.infer(model, {"IMAGE": image})["LOGITS"][0]
            assert np.abs(logits).max() > 5
            np.testing.assert_allclose(logits, published[f"logits_{name}"], atol=1e-4)


@pytest.mark.slow
def test_the_publishers_pictures(engine: EmbeddedEngine, real: Callable[[str], list[Path]]) -> None:
    """The whole photograph, stretched and mirrored four ways: the probabilities that the authors' code drew, to the rounding of a picture;
    arteries and veins alike on every pixel but a thousandth."""
    (photograph,) = (path for path in real("labelled/fundus_cc0") if path.suffix == ".jpg")
    pixels = np.asarray(Picture.open(photograph))
    infer = OneByOne(lambda model, tensors: dict(engine.infer(model, tensors)))
    drawn = np.asarray(Picture.open(of_publisher(real, "retina_vessels_512.png"))).astype(np.float64)
    assert np.abs(probabilities(pixels, VESSELS, infer)[0] * 255 - drawn).max() < 0.6
    for model, name in zip(ARTERIES_AND_VEINS, ("retina_av_512_drive.png", "retina_av_1024_hrf.png"), strict=True):
        kinds = np.asarray(Picture.open(of_publisher(real, name)))
        assert set(np.unique(kinds)) == {0, 100, 200}
        differing = int(np.count_nonzero(in_kinds(probabilities(pixels, model, infer)).argmax(axis=0) * 100 != kinds))
        assert differing < 0.001 * kinds.size


@pytest.mark.slow
def test_the_photograph_the_whole_way(engine: EmbeddedEngine, real: Callable[[str], list[Path]], tmp_path: Path) -> None:
    """A real fundus with a notch on its rim: the field is its disc, a sixth of it vessel, and the networks agree on most vessels' kind.
    The green channel alone of the same photograph, and a piece without its rim, are declined."""
    (photograph,) = (path for path in real("labelled/fundus_cc0") if path.suffix == ".jpg")
    pixels = np.asarray(Picture.open(photograph))
    infer = OneByOne(lambda model, tensors: dict(engine.infer(model, tensors)))
    images = received(tmp_path / "whole", pixels)
    field = field_of(images.images[0])
    assert isinstance(field, Field)
    assert field.radius == pytest.approx(696, abs=3)
    told = told_of(said(images, infer))
    assert told[VESSEL_SHARE] == pytest.approx(16.2, abs=0.3)
    assert 3 < told[ARTERY_SHARE] < told[VEIN_SHARE] < 8
    for other in (np.stack([pixels[..., 1]] * 3, axis=2), pixels[400:1000, 400:1000]):
        with pytest.raises(NotAFundus):
            APPLICATION.analyse(received(tmp_path / "other", other), infer)


# ---- drawn photographs


def received(folder: Path, pixels: NDArray[np.uint8], **attributes: Any) -> Images:
    """Sent as an OP instance, and assembled."""
    return assembled([dicom.photograph(folder, pixels, **attributes)])


def assembled(files: list[Path]) -> Images:
    (one,) = subjects(Takes.IMAGES, "refuse", files, "")
    assert isinstance(one.subject, Images)
    return one.subject


def said(images: Images, infer: OneByOne) -> Findings:
    """The findings, as the manifest allows them."""
    check(APPLICATION, images)
    findings = APPLICATION.analyse(images, infer)
    check_outputs(APPLICATION, findings, images)
    return findings


def told_of(findings: Findings) -> dict[codes.Code, float]:
    return {one.name: one.value for one in findings.measurements}


@OneByOne
def never(model: ModelRef, tensors: Tensors) -> dict[str, NDArray[Any]]:
    """No network is asked."""
    raise AssertionError("nothing to look at")


def test_shares_and_parts_are_those_of_the_drawing(tmp_path: Path) -> None:
    """Six bars of 14 or 15 of 600 rows and 360 columns in a disc of radius 288: 11.8 % of it is vessel, half of that artery; six parts.
    A share is of the field and not of the image; the two networks agree; the side is the header's."""
    findings = said(received(tmp_path, drawn()), OneByOne(by_colour))
    told = told_of(findings)
    bars = int(np.count_nonzero((drawn()[..., 1] < 60) & (drawn()[..., 0] > 140)))
    expected = 100 * bars / (np.pi * 288**2)
    assert 11 < expected < 13
    assert told[VESSEL_SHARE] == pytest.approx(expected, rel=0.05)
    assert told[ARTERY_SHARE] == pytest.approx(expected / 2, rel=0.05)
    assert told[VEIN_SHARE] == pytest.approx(expected / 2, rel=0.05)
    assert told[VESSEL_PARTS] == 6
    assert all(one.method is not None for one in findings.measurements)
    marked = {one.type: one for one in findings.segments}
    assert {one.segment for one in findings.measurements} == {one.label for one in marked.values()}
    assert {one.laterality for one in marked.values()} == {codes.LEFT}
    red, green, blue = drawn().transpose(2, 0, 1)
    for kind, of in ((codes.ARTERY, blue < 60), (codes.VEIN, blue >= 60)):
        meant = (green < 60) & (red > 140) & of
        # edges of bars are blurred on the way to the networks' size
        assert np.count_nonzero(marked[kind].mask[0] & meant) == pytest.approx(np.count_nonzero(meant), rel=0.05)
    assert "Image 1 (left eye): of what both networks call artery or vein, they name 100 % alike." in findings.remarks


def test_networks_that_name_vessels_otherwise_are_told(tmp_path: Path) -> None:
    """The second calls every vessel a vein and is surer: so are both together, and half of the pixels are named alike."""

    def infer(model: ModelRef, tensors: Tensors) -> dict[str, NDArray[Any]]:
        found = by_colour(model, tensors)["LOGITS"].copy()
        if model == ARTERIES_AND_VEINS[1]:
            found[0, 3] = np.maximum(found[0, 2], found[0, 3]) * 2
            found[0, 2] = 0
        elif model == ARTERIES_AND_VEINS[0]:
            found[0, 2] *= 0.4
        return {"LOGITS": found}

    findings = said(received(tmp_path, drawn(), ImageLaterality="B"), OneByOne(infer))
    told = told_of(findings)
    assert told[ARTERY_SHARE] < 0.1
    assert told[VEIN_SHARE] == pytest.approx(told[VESSEL_SHARE], rel=0.1)
    told_alike = re.search(r"Image 1 \(side not stated\): .* they name (\d+) % alike", " ".join(findings.remarks))
    assert told_alike is not None
    # at the edges of the bars, which the two see at two sizes, one calls background what the other does not
    assert int(told_alike[1]) == pytest.approx(50, abs=3)


def test_a_mirrored_copy_is_turned_back(tmp_path: Path) -> None:
    """A network that calls the upper left quarter of whatever it sees vessel: the mean of the four mirrored copies is a quarter
    everywhere, so that nothing is above the threshold."""

    def infer(model: ModelRef, tensors: Tensors) -> dict[str, NDArray[Any]]:
        side = tensors["IMAGE"].shape[-1]
        logits = np.full((1, 1, side, side), -20, dtype=np.float32)
        logits[..., : side // 2, : side // 2] = 20
        return {"LOGITS": logits}

    image = received(tmp_path, drawn()).images[0]
    field = field_of(image)
    assert isinstance(field, Field)
    found = probabilities(image.pixels[field.top : field.bottom, field.left : field.right], VESSELS, OneByOne(infer))
    np.testing.assert_allclose(found, 0.25, atol=1e-6)


def test_colours_are_decoded_however_they_are_stored(tmp_path: Path) -> None:
    """RGB, YBR_FULL and a palette of 256 colours of one drawing give one field, and shares within a tenth of a percent."""
    pixels = drawn()
    luma = np.asarray(Picture.fromarray(pixels).convert("YCbCr"))
    palette = Picture.fromarray(pixels).quantize(256)
    table = np.zeros((256, 3), dtype=np.uint16)
    used = np.array(palette.getpalette(), dtype=np.uint16).reshape(-1, 3)
    table[: len(used)] = used * 257
    lookup: dict[str, Any] = {"SamplesPerPixel": 1, "PhotometricInterpretation": "PALETTE COLOR", "PixelData": palette.tobytes()}
    for place, colour in enumerate(("Red", "Green", "Blue")):
        lookup[f"{colour}PaletteColorLookupTableDescriptor"] = [256, 0, 16]
        lookup[f"{colour}PaletteColorLookupTableData"] = table[:, place].astype("<u2").tobytes()
    shares = []
    for number, attributes in enumerate(({}, {"PhotometricInterpretation": "YBR_FULL", "PixelData": luma.tobytes()}, lookup)):
        image = received(tmp_path / str(number), pixels, **attributes).images[0]
        field = field_of(image)
        assert isinstance(field, Field)
        assert (field.row, field.column, field.radius) == pytest.approx((300, 300, 288), abs=2)
        reading = read_photograph(image.pixels, field, OneByOne(by_colour))
        shares.append(reading.share(reading.vessel))
    assert shares == pytest.approx([shares[0]] * 3, abs=0.1)


# ---- the field of view


def cut(pixels: NDArray[np.uint8], top: int, left: int, bottom: int, right: int) -> NDArray[np.uint8]:
    return pixels[top : pixels.shape[0] - bottom, left : pixels.shape[1] - right]


@pytest.mark.parametrize(
    ("made", "middle", "box"),
    [
        (lambda whole: whole, (300, 300), (12, 12, 588, 588)),
        # the frame cuts above and below, as many cameras do
        (lambda whole: cut(whole, 80, 0, 80, 0), (220, 300), (0, 12, 440, 588)),
        # on all four sides: only the corners are dark
        (lambda whole: cut(whole, 70, 70, 70, 70), (230, 230), (0, 0, 460, 460)),
        # a cut field that was filled up to a square
        (
            lambda whole: np.pad(cut(whole, 80, 0, 80, 0), ((80, 80), (0, 0), (0, 0)), constant_values=2),
            (300, 300),
            (80, 12, 520, 588),
        ),
        # beside the middle, letters on the ground, a notch on the rim
        (lambda whole: lettered(whole), (300, 500), (12, 212, 588, 788)),
    ],
)
def test_a_disc_whole_or_cut_is_found(
    made: Callable[[NDArray[np.uint8]], NDArray[np.uint8]],
    middle: tuple[float, float],
    box: tuple[int, int, int, int],
    tmp_path: Path,
) -> None:
    """By arithmetic: the middle and the radius of the disc that was drawn, and the box in which it is not cut, within 3 pixels."""
    field = field_of(received(tmp_path, made(drawn())).images[0])
    assert isinstance(field, Field)
    assert (field.row, field.column) == pytest.approx(middle, abs=3)
    assert field.radius == pytest.approx(288, abs=3)
    assert (field.top, field.left, field.bottom, field.right) == pytest.approx(box, abs=3)
    assert field.mask().shape == (field.bottom - field.top, field.right - field.left)


def lettered(whole: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """In a wider frame, with a notch at the right and lines as thin as letters at the left."""
    wide = np.pad(whole, ((0, 0), (200, 100), (0, 0)), constant_values=2)
    wide[280:300, 780:800] = FUNDUS
    wide[20:40:4, 20:60] = 255
    return wide


def coloured(pixels: NDArray[np.uint8], *weights: float) -> NDArray[np.uint8]:
    """The green of a photograph in other colours."""
    made: NDArray[np.uint8] = np.clip(pixels[..., 1:2] * np.array(weights), 0, 255).astype(np.uint8)
    return made


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (lambda whole: coloured(whole, 1, 1, 1), "it is grey"),
        (lambda whole: coloured(whole, 0, 1, 0), "red is not its strongest colour"),
        (lambda whole: whole[..., ::-1], "red is not its strongest colour"),
        # a rectangle full of red, as an eye from outside or a crop
        (lambda whole: cut(whole, 150, 150, 150, 150), "there is no round field on a dark ground"),
        # a rectangle on a dark ground
        (lambda whole: np.pad(cut(whole, 130, 130, 130, 130), ((90, 90), (90, 90), (0, 0))), "there is no round field on a dark ground"),
        (lambda whole: np.zeros_like(whole), "there is no round field on a dark ground"),
        (lambda whole: whole[::3, ::3], "its field has 191 × 191 pixels, fewer than 256 to a side"),
    ],
)
def test_what_is_no_fundus_is_declined(made: Callable[[NDArray[np.uint8]], NDArray[np.uint8]], reason: str, tmp_path: Path) -> None:
    """Each by a reason of its own, without asking a network."""
    with pytest.raises(NotAFundus, match=reason):
        APPLICATION.analyse(received(tmp_path, made(drawn())), never)


def test_a_greyscale_instance_is_declined(tmp_path: Path) -> None:
    """As angiograms are stored."""
    grey = drawn()[..., 1]
    attributes = {"SamplesPerPixel": 1, "PhotometricInterpretation": "MONOCHROME2", "PixelData": grey.tobytes()}
    with pytest.raises(NotAFundus, match="it is grey"):
        APPLICATION.analyse(received(tmp_path, drawn(), **attributes), never)


@pytest.mark.parametrize(
    ("keyword", "code"),
    [
        ("ContrastBolusAgentSequence", ("350086004", "SCT", "Fluorescein")),
        ("ContrastBolusAgentSequence", ("7292004", "SCT", "Indocyanine green")),
        ("ImagePathFilterTypeStackCodeSequence", ("445465004", "SCT", "Green optical filter")),
        ("LightPathFilterTypeStackCodeSequence", ("445084008", "SCT", "Blue optical filter")),
        ("ChannelDescriptionCodeSequence", ("405739002", "SCT", "Red free")),
        ("AcquisitionDeviceTypeCodeSequence", ("409900009", "SCT", "External Camera")),
        ("AcquisitionDeviceTypeCodeSequence", ("409899004", "SCT", "Slit Lamp Biomicroscope")),
    ],
)
def test_a_header_that_says_another_photograph_is_believed(keyword: str, code: tuple[str, str, str], tmp_path: Path) -> None:
    """The pixels are those of a fundus in colour; agent, filter, channel and device say otherwise, by their words."""
    images = received(tmp_path, drawn(), **{keyword: [dicom.coded(*code)]})
    with pytest.raises(NotAFundus, match=f"its header says «{code[2]}»"):
        APPLICATION.analyse(images, never)


@pytest.mark.parametrize(
    "attributes",
    [
        {"LightPathFilterTypeStackCodeSequence": [dicom.coded("111609", "DCM", "No filter")]},
        {"ChannelDescriptionCodeSequence": [dicom.coded("414298005", "SCT", "Full Spectrum")]},
        {"AcquisitionDeviceTypeCodeSequence": []},
        {"AcquisitionDeviceTypeCodeSequence": [Dataset()]},
    ],
)
def test_a_header_that_says_nothing_against_it_is_taken(attributes: dict[str, Any], tmp_path: Path) -> None:
    """No filter, the full spectrum, no device, a device without a code."""
    assert isinstance(field_of(received(tmp_path, drawn(), **attributes).images[0]), Field)


def test_only_ophthalmic_photographs_are_asked_how_they_were_taken(tmp_path: Path) -> None:
    """Of the same header, as OP and as a photograph of the skin."""
    agent = {"ContrastBolusAgentSequence": [dicom.coded("350086004", "SCT", "Fluorescein")]}
    assert received(tmp_path / "eye", drawn(), **agent).images[0].photographed == ("Fluorescein", "Fundus Camera")
    assert received(tmp_path / "skin", drawn(), Modality="XC", **agent).images[0].photographed == ()


def test_another_kind_of_instance_is_declined(tmp_path: Path) -> None:
    """A wide-field projection is round and red, and stretched towards its rim."""
    wide = "1.2.840.10008.5.1.4.1.1.77.1.5.5"
    with pytest.raises(NotAFundus, match="not stored as an Ophthalmic Photography 8 Bit Image"):
        APPLICATION.analyse(received(tmp_path, drawn(), SOPClassUID=wide), never)


def test_a_round_red_thing_without_vessels_is_declined(tmp_path: Path) -> None:
    """A disc on which the network marks nothing, and one on which it marks everything."""
    with pytest.raises(NotAFundus, match=r"0\.0 % of its field is marked as vessel, on a fundus 2 to 30 %"):
        APPLICATION.analyse(received(tmp_path / "bare", drawn(vessels=0)), OneByOne(by_colour))

    @OneByOne
    def everything(model: ModelRef, tensors: Tensors) -> dict[str, NDArray[Any]]:
        classes, side = (1 if model == VESSELS else 4), tensors["IMAGE"].shape[-1]
        return {"LOGITS": np.full((1, classes, side, side), 5, dtype=np.float32)}

    with pytest.raises(NotAFundus, match=r"100\.0 % of its field is marked"):
        APPLICATION.analyse(received(tmp_path / "full", drawn()), everything)


def test_of_several_images_those_that_fit_are_read(tmp_path: Path) -> None:
    """A fundus between an angiogram and a second fundus: the numbers are of the two, each of its own image, and why one was left out is
    told by its number."""
    angiogram = {"ContrastBolusAgentSequence": [dicom.coded("350086004", "SCT", "Fluorescein")]}
    files = [
        dicom.photograph(tmp_path, drawn(), 1),
        dicom.photograph(tmp_path, drawn(), 2, **angiogram),
        dicom.photograph(tmp_path, drawn(vessels=2), 3, ImageLaterality="R"),
    ]
    findings = said(assembled(files), OneByOne(by_colour))
    images = {one.label: one.image for one in findings.segments}
    shares = {images[one.segment or ""]: one.value for one in findings.measurements if one.name == VESSEL_SHARE}
    assert set(shares) == {0, 2}
    assert shares[2] == pytest.approx(shares[0] * 2 / 3, rel=0.05)
    assert "Image 2 was left out: its header says «Fluorescein»." in findings.remarks
    assert any(one.startswith("Image 3 (right eye)") for one in findings.remarks)


def test_what_the_gate_refuses(tmp_path: Path) -> None:
    """Photographs of the skin are not looked at: OP alone."""
    from inference.applications.errors import NotAccepted

    with pytest.raises(NotAccepted, match="modality is XC"):
        check(APPLICATION, received(tmp_path, drawn(), Modality="XC"))
