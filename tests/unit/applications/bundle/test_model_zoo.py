"""The 31 bundles of the MONAI Model Zoo, by the metadata and configurations that it published in October 2024: which import, and why not.

Weights are made by chance, windows smaller and large networks narrower than the published ones, which serve and MONAI's own run alike; the
configurations are as they stand. What only a hospital knows (how images lie, what a channel is) is said as its operator would.
"""

import copy
import json
import re
import tarfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inference import codes
from inference.applications.bundle.anatomy import Coded
from inference.applications.bundle.answering import Decides
from inference.applications.bundle.config import parse
from inference.applications.bundle.detecting import boxes_of
from inference.applications.bundle.finish import Activation, voxelwise
from inference.applications.bundle.importing import Imported, Wanted, import_bundle
from inference.applications.bundle.inferer import SlidingWindow
from inference.applications.bundle.manifest import application_of, masks, prepared
from inference.codes import ANATOMICAL_STRUCTURE, Code
from inference.engines.port import ModelRef, Tensors
from inference.errors import ModelError
from inference.findings import Box, Location
from inference.imaging.subject import VolumeSet
from inference.imaging.volume import Volume
from tests.lab import needs
from tests.unit.applications.bundle import made
from tests.unit.applications.bundle.images import as_slices, blobs, meta_tensor, monai_blocks, pictures, volume

pytest.importorskip("monai")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]


@dataclass(frozen=True, kw_only=True)
class Taken:
    """A bundle that imports.

    Attributes
    ----------
    said
        What its operator has to say of it.
    coded
        Channels whose names nobody's code is.
    window
        A smaller one than it publishes; None for the whole image.
    weights
        The file that it publishes.
    smaller
        Arguments that make a network narrower, or shorter, than the published one: of as many kinds of layers.
    searched
        Its architecture stands in a file of arrays.
    """

    window: list[int] | None = field(default_factory=lambda: [32, 32, 32])
    coded: tuple[int, ...] = ()
    left_out: tuple[int, ...] = ()
    said: Mapping[str, Any] = field(default_factory=dict)
    weights: str = "model.pt"
    smaller: Mapping[str, Any] = field(default_factory=dict)
    searched: bool = False


PLAIN: dict[str, Taken] = {
    "brats_mri_segmentation": Taken(coded=(1,), said={"orientation": "LPS"}, smaller={"init_filters": 8}),
    "multi_organ_segmentation": Taken(coded=tuple(range(1, 8)), searched=True),
    "pancreas_ct_dints_segmentation": Taken(coded=(1, 2), searched=True),
    "pediatric_abdominal_ct_segmentation": Taken(
        coded=(1, 2, 3), left_out=(0,), weights="dynunet_FT.pt", smaller={"filters": [8, 16, 32, 64, 80, 80]}
    ),
    "prostate_mri_anatomy": Taken(coded=(1, 2), smaller={"channels": [4, 8, 16, 32, 64, 128]}),
    "segmentation_template": Taken(window=None, coded=(1, 2, 3), said={"orientation": "LPS", "modality": "MR"}),
    "spleen_ct_segmentation": Taken(smaller={"channels": [4, 8, 16, 32, 64]}),
    "swin_unetr_btcv_segmentation": Taken(window=[64, 32, 32], smaller={"feature_size": 12, "depths": [2, 1, 2, 1]}),
    "ventricular_short_axis_3label": Taken(window=[64, 64], coded=(1, 2, 3), said={"orientation": "LPS"}),
    "wholeBody_ct_segmentation": Taken(smaller={"init_filters": 8}),
}


@dataclass(frozen=True, kw_only=True)
class Classifier:
    """A bundle that imports, and says what a single image shows.

    Attributes
    ----------
    said, smaller
        As of `Taken`.
    shape
        Of a picture (rows, columns).
    colours
        Whether it sees colours.
    coded
        The channels that are no background.
    decides
        What its configuration decides by.
    """

    said: Mapping[str, Any]
    shape: tuple[int, int]
    colours: bool
    coded: tuple[int, ...]
    decides: Decides
    smaller: Mapping[str, Any]


_SMALL = {"block_config": [2, 2], "init_features": 8}
CLASSIFIERS: dict[str, Classifier] = {
    # its network is torchvision's, which is not there; one of MONAI's stands in its place
    "breast_density_classification": Classifier(
        said={},
        shape=(420, 333),
        colours=False,
        coded=(0, 1, 2, 3),
        decides=Decides.NOTHING,
        smaller={"_target_": "DenseNet121", "spatial_dims": 2, "in_channels": 3, "out_channels": 4, **_SMALL},
    ),
    "classification_template": Classifier(
        said={"modality": "XC"}, shape=(128, 128), colours=False, coded=(1, 2, 3), decides=Decides.LARGEST, smaller=_SMALL
    ),
    "endoscopic_inbody_classification": Classifier(
        said={"modality": "ES"}, shape=(300, 410), colours=True, coded=(0, 1), decides=Decides.LARGEST, smaller={"layers": [1, 1, 1, 1]}
    ),
}

_OWN = """
from torch import nn

class UNesT(nn.Module):
    def __init__(self, in_channels, out_channels, patch_size=2, depths=(), embed_dim=(), num_heads=()):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv3d(in_channels, 8, 3, padding=1), nn.GELU(), nn.Conv3d(8, out_channels, 3, padding=1))

    def forward(self, image):
        return self.layers(image)
"""
"""A network in the place of the bundle's own, whose files are not among the configurations."""

WITH_CODE: dict[str, tuple[Taken, str]] = {
    "renalStructures_UNEST_segmentation": (Taken(coded=(1, 2, 3)), "scripts/networks/unest.py"),
    "wholeBrainSeg_Large_UNEST_segmentation": (
        Taken(coded=tuple(range(1, 133)), said={"orientation": "LPS"}),
        "scripts/networks/unest_base_patch_4.py",
    ),
}
"""With --allow-code, and the file that holds their network; without it they are refused."""

DETECTOR, WINDOW = "lung_nodule_ct_detection", (48, 48, 32)
"""The one that finds boxes, and a window smaller than the published one."""

REFUSED: dict[str, str] = {
    "brats_mri_axial_slices_generative_diffusion": r"configs/metadata\.json:\d+: .*takes 'noise'",
    "brats_mri_generative_diffusion": r"configs/metadata\.json:\d+: .*inputs are latent, condition; one is needed",
    "endoscopic_tool_segmentation": r"configs/metadata\.json:\d+: .*takes colour images",
    "maisi_ct_generative": r"configs/metadata\.json:\d+: network_data_format is missing",
    "mednist_gan": r"configs/metadata\.json:\d+: .*takes 0 channels",
    "mednist_reg": r"configs/metadata\.json:\d+: .*gives 'image' of format 'magnitude'",
    "pathology_nuclei_classification": r"configs/metadata\.json:\d+: .*takes colour images",
    "pathology_nuclei_segmentation_classification": r"configs/metadata\.json:\d+: .*outputs are nucleus_prediction",
    "pathology_nuclick_annotation": r"configs/metadata\.json:\d+: .*takes colour images",
    "pathology_tumor_detection": r"configs/inference\.json:\d+: .*ToNumpyd",
    "renalStructures_CECT_segmentation": r"configs/metadata\.json:\d+: .*takes 3 channels, and image is all",
    "renalStructures_UNEST_segmentation": r"configs/inference\.json:\d+: network_def .*builds 'scripts\.networks\.unest\.UNesT'",
    "spleen_deepedit_annotation": r"configs/metadata\.json:\d+: .*takes 3 channels, and image is all",
    "valve_landmarks": r"configs/metadata\.json:\d+: .*gives 'tuples' of format 'points'",
    "vista2d": r"configs/metadata\.json:\d+: .*takes colour images",
    "vista3d": r"configs/inference\.json:\d+: .*builds 'monai\.apps\.vista3d\.transforms\.VistaPreTransformd'",
    "wholeBrainSeg_Large_UNEST_segmentation": r"configs/inference\.json:\d+: network_def .*builds 'scripts\.networks\.unest",
}
"""The others: file, line and why."""


_BLOCKS = 3
_PATHS = np.zeros((_BLOCKS, 10), np.int64)
_PATHS[:, 0] = _PATHS[0, 2] = _PATHS[1, 1] = _PATHS[1, 3] = _PATHS[2, 3] = 1
_ARCHITECTURE = {
    "arch_code_a": _PATHS,
    "arch_code_c": np.tile(np.arange(10), (_BLOCKS, 1)) % 5,
    "node_a": np.array([[1, 1, 1, 1], *[[1, 1, 0, 0]] * _BLOCKS], np.float64),
}
"""Of a searched network as its search writes it: which of ten paths each block has, with which operation. Published ones have twelve."""


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The published configurations; no weights are among them."""
    folder = tmp_path_factory.mktemp("zoo")
    with tarfile.open(needs.data("tables", "model_zoo.tar.gz")) as archive:
        archive.extractall(folder)
    return folder / "model_zoo"


def anything(channels: tuple[int, ...], left_out: tuple[int, ...] = ()) -> dict[int, Coded | None]:
    """A code for channels that have none here: these tests are not about which. Two that nobody named are told apart by its meaning."""
    types = {channel: Code("91723000", "SCT", f"Anatomical structure {channel}") for channel in channels}
    coded = {channel: Coded(category=ANATOMICAL_STRUCTURE, type=each) for channel, each in types.items()}
    return {**coded, **dict.fromkeys(left_out, None)}


def test_every_bundle_of_the_zoo_stands_here(zoo: Path) -> None:
    """31, each either taken or refused; how many are taken is what README says."""
    assert {each.name for each in zoo.iterdir()} == {*PLAIN, *CLASSIFIERS, DETECTOR, *REFUSED}
    plain = len(PLAIN) + len(CLASSIFIERS) + 1
    assert plain + len(REFUSED) == 31
    words = " ".join(Path("README.md").read_text(encoding="utf-8").split())
    told = f"{plain} of the 31 bundles of the Model Zoo (one of them with torchvision), {plain + len(WITH_CODE)} with `--allow-code`"
    assert told in words


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_taken_is_refused_by_file_and_line(name: str, zoo: Path, tmp_path: Path) -> None:
    """By a sentence that says why, whatever an operator says of codes, axes and modality; nothing is written."""
    bundle = zoo / name
    metadata = json.loads((bundle / "configs/metadata.json").read_text())
    outputs = metadata.get("network_data_format", {}).get("outputs", {})
    channels = max((len(each.get("channel_def", ())) for each in outputs.values()), default=0)
    (bundle / "models").mkdir(exist_ok=True)
    (bundle / "models/model.pt").write_bytes(made.state(made.unet()))
    wanted = Wanted(codes=anything(tuple(range(1, channels))), orientation="RAS", modality="MR")
    with pytest.raises(ModelError) as refused:
        import_bundle(bundle, wanted, tmp_path / "models")
    assert re.match(REFUSED[name], str(refused.value)), refused.value
    assert not (tmp_path / "models").exists()


@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", PLAIN)
def test_what_is_taken_gives_what_the_bundle_gives(name: str, zoo: Path, tmp_path: Path, infer_of: Callable[[Path], Any]) -> None:
    """Probabilities before the threshold within 1e-3 of MONAI's own run of the configuration; then masks, on the grid of the series.

    Weights by chance leave voxels undecided to the last digit, which fall to either side: 99 of 100 have to agree.
    """
    taken = PLAIN[name]
    config, bundle = _brought(zoo, name, taken, tmp_path)
    network = _network(name, config)
    (bundle / "models" / taken.weights).write_bytes(made.state(network))
    wanted = Wanted(codes=anything(taken.coded, taken.left_out), **taken.said)
    imported = import_bundle(bundle, wanted, tmp_path / "models")
    assert imported.entry.code == ()
    _compare(imported, config, network, name, tmp_path / "models", infer_of)


@pytest.mark.parametrize("name", WITH_CODE)
def test_what_is_taken_with_its_own_code(name: str, zoo: Path, tmp_path: Path, infer_of: Callable[[Path], Any]) -> None:
    """The network's class is the bundle's own; it is built in a confined process, and the entry says so."""
    import torch

    taken, file = WITH_CODE[name]
    config, bundle = _brought(zoo, name, taken, tmp_path)
    (bundle / file).parent.mkdir(parents=True)
    (bundle / file).write_text(_OWN)
    own: dict[str, Any] = {}
    exec(_OWN, own)
    torch.manual_seed(3)
    network = own["UNesT"](**{key: value for key, value in config["network_def"].items() if key != "_target_"}).eval()
    (bundle / "models" / taken.weights).write_bytes(made.state(network))
    wanted = Wanted(codes=anything(taken.coded), allow_code=True, **taken.said)
    imported = import_bundle(bundle, wanted, tmp_path / "models")
    assert imported.entry.code == (f"network_def: it builds {config['network_def']['_target_']}",)
    _compare(imported, config, network, name, tmp_path / "models", infer_of)


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_what_classifies_says_what_the_bundle_says(name: str, zoo: Path, tmp_path: Path, infer_of: Callable[[Path], Any]) -> None:
    """Probabilities of a picture within 1e-3 of MONAI's own run from a file of it, and what its configuration decides by them."""
    import torch
    from monai.bundle import ConfigParser
    from monai.transforms import Activations, AsDiscrete
    from PIL import Image as Picture

    taken = CLASSIFIERS[name]
    config, bundle = _brought(zoo, name, Taken(window=None), tmp_path)
    if "_target_" in taken.smaller:
        config["network_def"] = {}
    config["network_def"] |= taken.smaller
    (bundle / "configs/inference.json").write_text(json.dumps(config))
    network = _network(name, config)
    (bundle / "models/model.pt").write_bytes(made.state(network))
    imported = import_bundle(bundle, Wanted(codes=anything(taken.coded), **taken.said), tmp_path / "models")
    infer = infer_of(tmp_path / "models")

    pixels = np.clip(blobs((3, *taken.shape)) // 4 + 90, 0, 255).astype(np.uint8).transpose(1, 2, 0)
    pixels = pixels if taken.colours else pixels[..., 0]
    three = pixels if taken.colours or name == "classification_template" else np.stack([pixels] * 3, axis=-1)
    Picture.fromarray(three).save(tmp_path / "picture.png")
    parser = ConfigParser({**config, "device": "cpu"})
    with torch.inference_mode():
        values = network(parser.get_parsed_content("preprocessing")({"image": str(tmp_path / "picture.png")})["image"].as_tensor()[None])[0]
    activations = [each for each in config["postprocessing"]["transforms"] if each["_target_"] == "Activationsd"]
    asked = {key: True for each in activations for key in ("softmax", "sigmoid") if each.get(key)}
    known = Activations(**(asked or {"softmax": True}))(values)

    said = application_of(imported.manifest).analyse(pictures(pixels, modality=imported.manifest.accepts.modality[0]), infer).evaluations
    assert [one.probability for one in said] == pytest.approx([float(known[channel]) for channel in taken.coded], abs=1e-3)
    assert imported.manifest.decides is taken.decides
    largest = int(AsDiscrete(argmax=True)(values).item())
    by = {channel: codes.PRESENT if channel == largest else codes.ABSENT for channel in taken.coded}
    expected = [codes.UNDETERMINED if taken.decides is Decides.NOTHING else by[channel] for channel in taken.coded]
    assert [one.value for one in said] == expected


def _published_detector(published: Mapping[str, Any], window: tuple[int, int, int]) -> tuple[dict[str, Any], Any, Any]:
    """Its configuration with this window and a shorter backbone, MONAI's parser of that, and its network, always with the same weights."""
    import torch
    from monai.bundle import ConfigParser

    config = {**published, "infer_patch_size": list(window), "backbone": published["backbone"].replace("resnet50", "resnet10")}
    # what resnet_fpn_feature_extractor builds of this backbone, once torchvision has checked how much of it is trained
    features = "$monai.networks.blocks.backbone_fpn_utils.BackboneWithFPN(@backbone,{'layer1':'0','layer2':'1'},[64,128],256,3)"
    parser = ConfigParser({**config, "device": "cpu", "whether_raw_luna16": True, "feature_extractor": features})
    torch.manual_seed(3)
    network = parser.get_parsed_content("network_def").eval()
    for parameter in network.parameters():
        if parameter.ndim > 1:
            torch.nn.init.kaiming_uniform_(parameter, a=1)
    network.classification_head.cls_logits.weight.data *= 5
    return config, parser, network


@pytest.fixture(scope="module")
def detecting(zoo: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[dict[str, Any], Path, Imported]]:
    """The published configuration of the detector, and what its import with windows of `WINDOW` gave, in which repository."""
    from monai.networks.blocks import backbone_fpn_utils

    folder = tmp_path_factory.mktemp("detector")
    published = json.loads((zoo / DETECTOR / "configs/inference.json").read_text())
    bundle = folder / DETECTOR
    (bundle / "models").mkdir(parents=True)
    (bundle / "configs").mkdir()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(backbone_fpn_utils, "torchvision_models", _TorchvisionModels)
        config, _, network = _published_detector(published, WINDOW)
        (bundle / "configs/inference.json").write_text(json.dumps(config))
        (bundle / "configs/metadata.json").write_bytes((zoo / DETECTOR / "configs/metadata.json").read_bytes())
        (bundle / "models/model.pt").write_bytes(made.state(network))
        nodule = Coded(category=codes.MORPHOLOGICALLY_ABNORMAL_STRUCTURE, type=codes.NODULE, site=codes.LUNG)
        yield published, folder / "models", import_bundle(bundle, Wanted(codes={0: nodule}), folder / "models")


@pytest.mark.timeout(900)
@pytest.mark.parametrize("window", [WINDOW, (48, 64, 48)], ids=["windows", "whole"])
def test_what_detects_finds_the_boxes_that_the_bundle_finds(
    window: tuple[int, int, int], detecting: tuple[dict[str, Any], Path, Imported], infer_of: Callable[[Path], Any]
) -> None:
    """The same boxes, within 1e-3 mm and 1e-3 of their probabilities, as MONAI's own run of the configuration for images that were not
    resampled: in windows, and of an image smaller than one. The network is the published one but for a shorter backbone; it is imported
    once, for the size of a window is the inferer's alone."""
    import torch
    from monai.transforms import Compose

    published, repository, imported = detecting
    config, parser, _ = _published_detector(published, window)
    steps = config["preprocessing"]["transforms"]
    inferer = imported.manifest.inferer
    assert isinstance(inferer, SlidingWindow)
    assert inferer.roi_size == WINDOW
    inferer = replace(inferer, roi_size=window)
    manifest = replace(imported.manifest, inferer=inferer)
    assert manifest.detector is not None
    given = volume(blobs((20, 44, 36)), (2.47, 0.83, 0.79))
    infer = _Remembered(infer_of(repository))
    seen = prepared(manifest, given)
    ours = boxes_of(manifest.detector, manifest.model, inferer, manifest.input, seen, infer)

    places = [place for place, step in enumerate(steps) if step["_target_"] not in ("LoadImaged", "EnsureChannelFirstd")]
    before = Compose([parser.get_parsed_content(f"preprocessing::transforms::{place}") for place in places])
    image = before({"image": meta_tensor(given)})["image"]
    detector = parser.get_parsed_content("detector").eval()
    parser.get_parsed_content("detector_ops")
    with torch.inference_mode():
        # as the bundle's own inferer chooses
        said = detector([image], use_inferer=image.numel() >= np.prod(window))[0]
    told = parser.get_parsed_content("postprocessing")({**said, "image": image})

    assert len(told["box"]) > 20, "a comparison of few says little"
    # centre and sides in mm, LPS: its configuration turns the affine back (affine_lps_to_ras)
    theirs, sure = np.asarray(told["box"], dtype=np.float64), np.asarray(told["label_scores"])
    low, high = ((seen.grid.affine @ np.c_[ours.boxes[:, part], np.ones(len(ours.boxes))].T)[:3].T for part in (slice(3), slice(3, 6)))
    boxes = np.c_[(low + high) / 2, (ours.boxes[:, 3:] - ours.boxes[:, :3]) * seen.grid.spacing_mm]
    # of two that are equally sure either may come first
    nearest = np.abs(boxes[:, None] - theirs[None]).max(axis=2).argmin(axis=1)
    assert sorted(nearest) == list(range(len(theirs)))
    np.testing.assert_allclose(boxes, theirs[nearest], atol=1e-3)
    np.testing.assert_allclose(ours.probabilities, sure[nearest], atol=1e-3)

    found = application_of(manifest).analyse(given, infer)
    assert [one.certainty for one in found.locations] == pytest.approx(sure[nearest][:20].tolist(), abs=1e-3)
    for location, box in zip(found.locations, theirs[nearest], strict=False):
        _lies_in_patient(location, given, box)


class _Remembered:
    """An engine that computes each window once: what is compared with MONAI's is what the application sees again."""

    def __init__(self, infer: Any) -> None:
        self._infer = infer
        self._answers: dict[bytes, Any] = {}

    def __call__(self, model: ModelRef, tensors: Tensors, /) -> Any:
        asked = b"".join(array.tobytes() for array in tensors.values())
        if asked not in self._answers:
            self._answers[asked] = self._infer(model, tensors)
        return self._answers[asked]

    def at_once(self, model: ModelRef) -> int:
        return 1

    def call_of(self, model: ModelRef) -> None:
        return None


class _TorchvisionModels:
    """The one class that MONAI's pyramid takes of torchvision (torchvision.models._utils), which is not installed here: a network's parts
    until the last whose features are wanted, and these by the names that are asked for."""

    class _utils:
        @staticmethod
        def IntermediateLayerGetter(backbone: Any, return_layers: dict[str, str]) -> Any:
            from torch import nn

            class Getter(nn.ModuleDict):
                def forward(self, values: Any) -> dict[str, Any]:
                    given = {}
                    for name, part in self.items():
                        values = part(values)
                        if name in return_layers:
                            given[return_layers[name]] = values
                    return given

            parts: dict[str, Any] = {}
            for name, part in backbone.named_children():
                parts[name] = part
                if set(return_layers) <= set(parts):
                    break
            return Getter(parts)


def _lies_in_patient(location: Location, given: Volume, box: Any) -> None:
    """A location's rectangle is the middle slice of MONAI's box (centre and sides, LPS, mm), but for where the images end."""
    shape = location.shape
    assert isinstance(shape, Box)
    corners = [(location.image, shape.top - 0.5, shape.left - 0.5), (location.image, shape.bottom - 0.5, shape.right - 0.5)]
    low, high = (np.asarray(given.to_patient(np.asarray(corner))) for corner in corners)
    centre, sides = box[:3], box[3:]
    assert abs(low[2] - centre[2]) <= given.spacing_mm[0] / 2 + 1e-3
    rows, columns = given.voxels.shape[1:]
    if shape.left > 0 and shape.right < columns and shape.top > 0 and shape.bottom < rows:
        np.testing.assert_allclose(low[:2], (centre - sides / 2)[:2], atol=1e-3)
        np.testing.assert_allclose(high[:2], (centre + sides / 2)[:2], atol=1e-3)


def _compare(
    imported: Imported, config: dict[str, Any], network: Any, name: str, repository: Path, infer_of: Callable[[Path], Any]
) -> None:
    infer = _Remembered(infer_of(repository))
    given = _given(imported, name)
    near, theirs = _by_monai(config, network, given, imported)
    np.testing.assert_allclose(_probabilities(imported, given, infer), near, atol=1e-3)
    ours = masks(imported.manifest, given, infer)
    for number, other in enumerate(theirs):
        one = (ours[number] if ours.ndim == 4 else ours) > 0 if len(theirs) > 1 else ours
        assert (one == other).mean() >= 0.99


def _brought(zoo: Path, name: str, taken: Taken, folder: Path) -> tuple[dict[str, Any], Path]:
    """The bundle with a smaller window, and with a smaller network where that is said."""
    bundle = folder / name
    (bundle / "configs").mkdir(parents=True)
    (bundle / "models").mkdir()
    (published,) = (zoo / name / "configs").glob("inference.[jy]*")
    config = parse(published.name, published.read_bytes())
    if taken.window is not None:
        config["inferer"]["roi_size"] = taken.window
    config["network_def"] |= taken.smaller
    if taken.searched:
        config["dints_space"] |= {"channel_mul": 0.25, "num_blocks": _BLOCKS}
        torch = pytest.importorskip("torch")
        torch.save({**_ARCHITECTURE, "iter_num": 18590, "best_dsc": np.float64(0.8)}, bundle / "models/search_code_18590.pt")
    (bundle / "configs/inference.json").write_text(json.dumps(config))
    (bundle / "configs/metadata.json").write_bytes((zoo / name / "configs/metadata.json").read_bytes())
    return config, bundle


def _network(name: str, config: dict[str, Any]) -> Any:
    """As MONAI builds it."""
    import torch
    from monai.bundle import ConfigParser

    torch.manual_seed(3)
    config = copy.deepcopy(config)
    # an argument that decided nothing, and that MONAI has no more
    config["network_def"].pop("img_size", None)
    if "arch_ckpt" in config:
        # on the CPU, and of the arrays themselves
        config["arch_ckpt"], config["dints_space"]["device"] = _ARCHITECTURE, "cpu"
    network = ConfigParser(config).get_parsed_content("network_def").eval()
    for parameter in network.parameters():
        if parameter.ndim > 1:
            torch.nn.init.kaiming_uniform_(parameter, a=1)
    return network


def _given(imported: Imported, name: str) -> Volume | VolumeSet:
    """A small image, or one for each role on the same grid."""
    # no voxel lies midway between two of the network's, of which either is the nearest
    steps = (1.037, 0.617, 0.617) if name.startswith("prostate") else (2.57, 1.1, 1.1)
    modality = imported.manifest.accepts.modality[0]
    images = [volume(blobs((24, 32, 32), seed), steps, modality=modality) for seed, _ in enumerate(imported.manifest.roles or ("",))]
    if not imported.manifest.roles:
        return images[0]
    return VolumeSet(volumes=dict(zip(imported.manifest.roles, images, strict=True)))


def _probabilities(imported: Imported, given: Volume | VolumeSet, infer: Any) -> Any:
    """Channels after the activation, on the network's grid, as they are served."""
    manifest = imported.manifest
    activations = [each for each in manifest.finish if isinstance(each, Activation)]
    image = prepared(manifest, given)
    return manifest.inferer(
        infer, manifest.model, image.values, manifest.input, manifest.output, lambda values: voxelwise(values, activations)
    )


def _by_monai(config: dict[str, Any], network: Any, given: Volume | VolumeSet, imported: Imported) -> tuple[Any, list[Any]]:
    """Channels before the threshold, on the network's grid; and what the whole workflow gives, each channel on the series' grid."""
    import torch
    from monai.data import MetaTensor
    from monai.transforms import Activationsd

    images = list(given.volumes.values()) if isinstance(given, VolumeSet) else [given]
    tensor = meta_tensor(images[0])
    if len(images) > 1:
        tensor = MetaTensor(torch.cat([meta_tensor(each).as_tensor() for each in images]), affine=tensor.affine)
    # what packs masks into one image of numbers, for the file
    steps = [dict(each) for each in config["postprocessing"]["transforms"] if each["_target_"] != "Lambdad"]
    names = [each["_target_"] for each in steps]
    if "Invertd" in names and names.index("AsDiscreted") < names.index("Invertd"):
        # labels that were decided are never interpolated here, whatever the bundle says
        steps[names.index("Invertd")]["nearest_interp"] = True
    before, called, after = monai_blocks({**config, "postprocessing": {**config["postprocessing"], "transforms": steps}})
    data = before({"image": tensor})
    with torch.inference_mode():
        answer = called(inputs=data["image"].as_tensor()[None], network=network)
    data["pred"] = MetaTensor(answer[0])
    near = next((each for each in after.transforms if isinstance(each, Activationsd)), lambda same: same)(dict(data))["pred"].numpy()
    data = after(data)
    return near, [as_slices(channel) for channel in data["pred"].numpy()]
