"""What a bundle may not do: run code unasked, lead out of itself, ask for all memory, name what nobody computes, or be coded by guess."""

import copy
import json
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from inference.applications.bundle.anatomy import Coded
from inference.applications.bundle.errors import (
    BrokenManifest,
    CodeRefused,
    HostileBundle,
    UnclearBundle,
    UncodedStructure,
    UnfitBundle,
    UnknownTransform,
    UnreadableBundle,
)
from inference.applications.bundle.importing import Wanted, import_bundle
from inference.applications.bundle.manifest import from_text, to_text
from inference.codes import ANATOMICAL_STRUCTURE, LEFT, Code
from inference.engines.errors import AlreadyThere
from inference.errors import HilumError
from tests.unit.applications.bundle import made

pytest.importorskip("monai")
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]

Change = Callable[[dict[str, Any]], object]


@pytest.fixture(scope="module")
def weights() -> dict[str, bytes]:
    """TorchScript of the known network."""
    return {"model.ts": made.script(made.bright())}


def changed(change: Change) -> dict[str, Any]:
    """The inference configuration after a change."""
    config = copy.deepcopy(made.INFERENCE)
    change(config)
    return config


def pre(config: dict[str, Any], place: int) -> dict[str, Any]:
    """One of the preparing transforms."""
    transform: dict[str, Any] = config["preprocessing"]["transforms"][place]
    return transform


def post(config: dict[str, Any], place: int) -> dict[str, Any]:
    """One of the finishing transforms."""
    transform: dict[str, Any] = config["postprocessing"]["transforms"][place]
    return transform


def refused(tmp_path: Path, files: dict[str, bytes], *, meta: Any = None, config: Any = None, **wanted: Any) -> HilumError:
    """What an import says; nothing of the bundle is in the repository then."""
    bundle = made.folder(tmp_path / "a_ct", files, meta=meta, config=config)
    with pytest.raises(HilumError) as error:
        import_bundle(bundle, Wanted(**wanted), tmp_path / "models")
    assert not (tmp_path / "models").exists()
    return error.value


UNKNOWN: dict[str, tuple[Change, str]] = {
    "a transform": (
        lambda config: config["preprocessing"]["transforms"].append({"_target_": "RandGaussianNoised", "keys": "image"}),
        "preprocessing::transforms::6 is RandGaussianNoised",
    ),
    "a setting": (lambda config: pre(config, 4).update(surprise=1), 'the setting "surprise" is not known'),
    "a mode": (lambda config: pre(config, 3).update(mode=3), "mode 3 is not computed"),
    "a diagonal affine": (lambda config: pre(config, 3).update(diagonal=True), "diagonal True is not computed here"),
    "another key": (lambda config: pre(config, 4).update(keys="label"), 'works on label, not on "image"'),
    "a Compose of its own": (
        lambda config: config["preprocessing"].update(_target_="scripts.own.Compose"),
        "preprocessing is no Compose of transforms",
    ),
    "labels of axes": (lambda config: pre(config, 2).update(labels=[["L", "R"]]), 'the setting "labels" is not known'),
    "axes twice": (lambda config: pre(config, 2).update(axcodes="RAA"), "'RAA' is not one letter of each"),
    "half precision": (lambda config: pre(config, 5).update(dtype="$torch.float16"), "dtype 'float16' is not computed here"),
    "a blend": (lambda config: config["inferer"].update(mode="triangle"), "mode 'triangle'"),
    "an inferer": (lambda config: config.update(inferer={"_target_": "SaliencyInferer"}), "inferer is SaliencyInferer"),
    "a finishing": (
        lambda config: config["postprocessing"]["transforms"].insert(1, {"_target_": "VoteEnsembled", "keys": "pred"}),
        "is VoteEnsembled",
    ),
    "no decision": (lambda config: config["postprocessing"]["transforms"].pop(2), "0 decisions"),
    "two ways back": (lambda config: config["postprocessing"]["transforms"].append(dict(post(config, 1))), "2 ways back"),
    "largest before a decision": (
        lambda config: config["postprocessing"]["transforms"].insert(1, {"_target_": "KeepLargestConnectedComponentd", "keys": "pred"}),
        "KeepLargestConnectedComponentd before",
    ),
    "largest of packed masks": (
        lambda config: config["postprocessing"].update(
            transforms=[
                {"_target_": "Activationsd", "keys": "pred", "sigmoid": True},
                {"_target_": "AsDiscreted", "keys": "pred", "threshold": 0.5},
                {"_target_": "Lambdad", "keys": "pred", "func": "$lambda x: torch.where(x[[1]] > 0, 1, torch.where(x[[0]] > 0, 2, 0))"},
                {"_target_": "KeepLargestConnectedComponentd", "keys": "pred", "applied_labels": [1, 2]},
            ]
        ),
        "KeepLargestConnectedComponentd of masks that were packed",
    ),
    "spacing of two axes": (lambda config: pre(config, 3).update(pixdim=[1, 1]), "not a number for each of three axes"),
}


@pytest.mark.parametrize("what", UNKNOWN)
def test_what_is_not_known_is_refused_by_name(what: str, tmp_path: Path, weights: dict[str, bytes]) -> None:
    """Never skipped: a transform that is left out changes what the network sees."""
    change, said = UNKNOWN[what]
    error = refused(tmp_path, weights, config=changed(change))
    assert isinstance(error, UnknownTransform)
    assert said in str(error)


def _import(config: dict[str, Any]) -> None:
    pre(config, 4)["a_min"] = "$__import__('pathlib').Path('/tmp/hilum-was-run').touch() or -100"


CODE: dict[str, tuple[Change, str]] = {
    "an expression": (_import, "it is the expression"),
    "a reference to an expression": (
        lambda config: (config.update(low="$min(-50, 2)"), pre(config, 4).update(a_min="@low")),
        "low asks to run",
    ),
    "a class of the bundle's own": (
        lambda config: config["preprocessing"]["transforms"].insert(0, {"_target_": "scripts.own.Secret", "keys": "image"}),
        "it builds 'scripts.own.Secret'",
    ),
    "a function of Python's": (lambda config: pre(config, 4).update(_target_="os.system"), "it builds 'os.system'"),
    "a selection by code": (
        lambda config: config["preprocessing"]["transforms"].append(
            {"_target_": "CropForegroundd", "keys": "image", "source_key": "image", "margin": {"_target_": "os.getpid"}}
        ),
        "it builds os.getpid",
    ),
    "something required first": (lambda config: pre(config, 4).update(_requires_="$import os"), "its _requires_ is"),
    "another mode of building": (lambda config: pre(config, 4).update(_mode_="debug"), "its _mode_ is 'debug'"),
    "a switch by code": (lambda config: pre(config, 4).update(_disabled_="$print()"), "the expression '$print()'"),
    "a macro": (lambda config: pre(config, 4).update(a_min="%other.json::low"), "is the macro"),
    "a whole block by code": (lambda config: config.update(preprocessing="$monai.transforms.Compose([])"), "preprocessing is no Compose"),
    "one transform by code": (lambda config: config["preprocessing"]["transforms"].append("$print"), "it is the expression '$print'"),
}


@pytest.mark.parametrize("what", CODE)
def test_code_is_refused_unless_it_is_allowed(what: str, tmp_path: Path, weights: dict[str, bytes]) -> None:
    """Expressions, imports and classes of anybody's; the message says where, the remedy how an operator may allow it."""
    change, said = CODE[what]
    error = refused(tmp_path, weights, config=changed(change))
    assert isinstance(error, CodeRefused | UnknownTransform)
    assert said in str(error)
    assert what == "a whole block by code" or "--allow-code" in f"{error} {error.remedy}"
    assert not Path("/tmp/hilum-was-run").exists()


def test_a_function_cannot_be_kept_as_data(tmp_path: Path, weights: dict[str, bytes]) -> None:
    """Even where code is allowed: what it gives has to be numbers and words, for serving runs none of it."""
    config = changed(lambda config: pre(config, 4).update(a_min="$lambda: 3"))
    error = refused(tmp_path, weights, config=config, allow_code=True)
    assert "gives a function or an object, not data" in str(error)


@pytest.mark.slow
def test_allowed_code_reaches_nothing(tmp_path: Path) -> None:
    """A script that writes a file, reads one or calls another machine: the import ends with a sentence, and nothing has happened."""
    mark = tmp_path / "was-run"
    secret = tmp_path / "secret"
    secret.write_text("secret")
    network = {"_target_": "scripts.own.Own"}
    tried = (f"open({str(mark)!r}, 'w')", f"open({str(secret)!r})", "__import__('socket').create_connection(('127.0.0.1', 9))")
    for number, line in enumerate(tried):
        bundle = made.folder(tmp_path / f"b{number}_ct", {"model.pt": made.state(made.unet())}, config=made.inference(network_def=network))
        (bundle / "scripts").mkdir()
        (bundle / "scripts/own.py").write_text(f"{line}\nOwn = dict\n")
        with pytest.raises(UnfitBundle, match=r"its own code failed: network_def: .* PermissionError"):
            import_bundle(bundle, Wanted(allow_code=True), tmp_path / "models")
    assert not mark.exists()
    assert not (tmp_path / "models").exists()


class Malice:
    """A pickle that runs something when it is read."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return (Path.touch, (self.mark,))


def test_a_pickle_that_runs_something_is_not_read(tmp_path: Path) -> None:
    """Checkpoints are data; also where code is allowed, which means the configuration's, not a pickle's."""
    mark = tmp_path / "was-run"
    for number, allow in enumerate((False, True)):
        bundle = made.folder(tmp_path / f"b{number}_ct", {"model.pt": pickle.dumps({"weight": Malice(mark)})})
        with pytest.raises(UnreadableBundle, match="weights alone"):
            import_bundle(bundle, Wanted(allow_code=allow), tmp_path / "models")
    assert not mark.exists()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda config: config["network_def"].update(channels=[10**9, 10**9]), "network_def::channels is 1000000000"),
        (lambda config: config["network_def"].update(channels=[4096, 8192], num_res_units=4), "its checkpoint"),
        (lambda config: config.update(roi=[100_000, 100_000, 100_000]), "roi_size is"),
        (lambda config: config.update(roi=[1024, 1024, 1024]), "a window of"),
        (lambda config: config["inferer"].update(sw_batch_size=10**6), "sw_batch_size"),
        (lambda config: config["inferer"].update(overlap=1.0), "overlap is 1.0"),
        (lambda config: pre(config, 3).update(pixdim=[1e-6, 1e-6, 1e-6]), "pixdim is"),
        (lambda config: pre(config, 4).update(a_min=float("nan")), "a_min is nan"),
        (lambda config: config.update(roi="@a", a="@b", b="@a"), "without end"),
        (lambda config: config.update(roi="@a", a="@a::x"), "without end"),
    ],
)
def test_numbers_that_would_take_all_memory(change: Change, said: str, tmp_path: Path) -> None:
    """Refused before anything is built: a network by the billion, windows and spacings beyond any image, endless references."""
    error = refused(tmp_path, {"model.pt": made.state(made.unet())}, config=changed(change))
    assert isinstance(error, HostileBundle)
    assert said in str(error)


@pytest.mark.parametrize("name", ["../../evil.py", "/etc/evil", "a_ct/../../evil", "C:\\evil", "a_ct\\..\\evil"])
def test_a_zip_whose_names_lead_out_of_it(name: str, tmp_path: Path, weights: dict[str, bytes]) -> None:
    """The whole archive is refused; nothing lies beside it."""
    path = made.archive(tmp_path / "a_ct.zip", weights)
    with zipfile.ZipFile(path, "a") as archive:
        info = zipfile.ZipInfo("x")
        info.filename = name
        archive.writestr(info, b"evil")
    with pytest.raises(UnreadableBundle, match="leads out of the bundle"):
        import_bundle(path, Wanted(), tmp_path / "models")
    assert {each.name for each in tmp_path.iterdir()} == {"a_ct.zip"}


def test_links_out_of_a_bundle(tmp_path: Path, weights: dict[str, bytes]) -> None:
    """A folder's link to another file, a zip's link: neither is followed."""
    secret = tmp_path / "secret"
    secret.write_text("secret")
    bundle = made.folder(tmp_path / "a_ct", weights)
    (bundle / "models/model.pt").symlink_to(secret)
    with pytest.raises(UnreadableBundle, match="leads out of the bundle"):
        import_bundle(bundle, Wanted(), tmp_path / "models")
    path = made.archive(tmp_path / "b_ct.zip", weights)
    with zipfile.ZipFile(path, "a") as archive:
        info = zipfile.ZipInfo("b_ct/models/model.pt")
        info.external_attr = 0o120777 << 16
        archive.writestr(info, str(secret))
    with pytest.raises(UnreadableBundle, match="is a link"):
        import_bundle(path, Wanted(), tmp_path / "models")


def test_a_zip_that_unpacks_to_more_than_a_configuration_has(tmp_path: Path, weights: dict[str, bytes]) -> None:
    """64 MiB of zeros in a few kilobytes: reading stops at the bound, whatever the zip says of itself."""
    path = tmp_path / "a_ct.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a_ct/configs/metadata.json", b" " * (1 << 26))
        archive.writestr("a_ct/configs/inference.json", json.dumps(made.INFERENCE))
    assert path.stat().st_size < 1 << 20
    with pytest.raises(UnreadableBundle, match="more than the"):
        import_bundle(path, Wanted(), tmp_path / "models")


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"rubbish", "none of a bundle's layouts"), (b"PK\x05\x06" + bytes(18), "it is no bundle")],
)
def test_files_that_are_no_bundle(content: bytes, said: str, tmp_path: Path) -> None:
    """With what a bundle would be."""
    path = tmp_path / "a_ct.zip"
    path.write_bytes(content)
    with pytest.raises(UnreadableBundle, match=said):
        import_bundle(path, Wanted(), tmp_path / "models")


def test_a_source_without_weights_says_where_they_are(tmp_path: Path) -> None:
    """A checkout of the Model Zoo keeps weights elsewhere: large_files.yml is read for the message, nothing is fetched."""
    bundle = made.folder(tmp_path / "a_ct", {})
    (bundle / "large_files.yml").write_text('large_files:\n- path: "models/model.pt"\n  url: "https://example.org/model.pt"\n')
    with pytest.raises(UnreadableBundle, match=r"fetch models/model.pt from https://example.org/model.pt"):
        import_bundle(bundle, Wanted(), tmp_path / "models")


@pytest.mark.parametrize(
    ("meta", "wanted", "kind", "said"),
    [
        ({"inputs": {"num_channels": 4}}, {}, UnclearBundle, "takes 4 channels, and image is all"),
        ({"inputs": {"spatial_shape": [64, 64]}}, {}, UnfitBundle, "takes images of 2 axes; slices go through SliceInferer"),
        ({"outputs": {"type": "tuples"}}, {}, UnfitBundle, "gives 'tuples'"),
        ({"outputs": {"num_channels": 10**7}}, {}, HostileBundle, "10000000 channels"),
        ({"outputs": {"channel_def": {}}}, {}, UncodedStructure, "channel 0 (without a name), 1 (without a name)"),
        ({"outputs": {"channel_def": {"0": "background", "7": "spleen"}}}, {}, UnreadableBundle, r"channel_def names [0, 7]"),
        ({"inputs": {"modality": "n/a"}}, {}, UnclearBundle, "--modality"),
        ({"outputs": {"channel_def": {"0": "background", "1": "spleen tumor"}}}, {}, UncodedStructure, '1 ("spleen tumor")'),
        ({"outputs": {"channel_def": {"0": "background", "1": "kidney left right"}}}, {}, UncodedStructure, "no code is known"),
        ({}, {"codes": {4: None}}, UncodedStructure, "channels 4"),
        ({}, {"codes": {1: None}}, UncodedStructure, "no channel is left"),
        ({}, {"name": "42"}, UnclearBundle, '"42" is no name'),
        ({}, {"weights": "models/other.pt"}, UnreadableBundle, "has no models/other.pt"),
    ],
)
def test_metadata_that_does_not_say_enough(
    meta: dict[str, Any], wanted: dict[str, Any], kind: type[HilumError], said: str, tmp_path: Path, weights: dict[str, bytes]
) -> None:
    """Which is missing, and with which option an operator says it; never another structure's code."""
    error = refused(tmp_path, weights, meta=made.metadata(**copy.deepcopy(meta)), **wanted)
    assert isinstance(error, kind)
    assert said in str(error)


def test_a_network_that_gives_other_channels_than_its_metadata_says(tmp_path: Path, weights: dict[str, bytes]) -> None:
    """Found when the golden input runs: nothing is in the repository."""
    three = {"num_channels": 3, "channel_def": {"0": "background", "1": "spleen", "2": "liver"}}
    assert "config.pbtxt says" in str(refused(tmp_path, weights, meta=made.metadata(outputs=three)))


def test_weights_of_another_network(tmp_path: Path) -> None:
    """The first names that do not fit are said, and where the network stands."""
    error = refused(tmp_path, {"model.pt": made.state(made.bright())})
    assert isinstance(error, UnfitBundle | HostileBundle)
    assert str(error).startswith("configs/inference.json:1: network_def")


def test_weights_that_the_configuration_names_and_that_are_not_there(tmp_path: Path) -> None:
    """Others of the bundle are not taken for them: they may be of a training that was given up."""
    config = changed(lambda config: config.update(handlers=[{"_target_": "CheckpointLoader", "load_path": "./models/best.pt"}]))
    error = refused(tmp_path, {"model.pt": made.state(made.unet())}, config=config)
    assert isinstance(error, UnreadableBundle)
    assert "names models/best.pt as the weights, which is not there; models/model.pt is: give --weights models/model.pt" in str(error)


def test_weights_that_the_configuration_names_in_words_nobody_reads(tmp_path: Path) -> None:
    """Of two checkpoints nobody can say which is meant: the operator does."""
    loader = {"_target_": "CheckpointLoader", "load_path": "$__import__('os').path.join(@bundle_root, 'best.pt')"}
    config = changed(lambda config: config.update(handlers=[loader]))
    state = made.state(made.unet())
    error = refused(tmp_path, {"model.pt": state, "best.pt": state}, config=config)
    assert isinstance(error, UnreadableBundle)
    assert "load_path names the weights by an expression that is not read, and there are models/best.pt, models/model.pt" in str(error)
    assert "--weights" in str(error)


def test_a_bundle_that_does_not_say_how_its_image_lies(tmp_path: Path, weights: dict[str, bytes]) -> None:
    """Refused, with the option; with it, application.json and card say whose word it was."""
    config = changed(lambda config: (config["preprocessing"]["transforms"].pop(3), config["preprocessing"]["transforms"].pop(2)))
    error = refused(tmp_path, weights, config=config)
    assert isinstance(error, UnclearBundle)
    assert "--orientation" in str(error)
    imported = import_bundle(tmp_path / "a_ct", Wanted(orientation="RAS"), tmp_path / "models")
    assert any("RAS, as the operator said" in note for note in imported.manifest.notes)
    assert "RAS, as the operator said" in (tmp_path / "models/a_ct/README.md").read_text()


def test_codes_of_the_operators(tmp_path: Path, weights: dict[str, bytes]) -> None:
    """A channel whose name is nobody's code gets what the operator says, side and all."""
    meta = made.metadata(outputs={"channel_def": {"0": "background", "1": "funny gland"}})
    bundle = made.folder(tmp_path / "a_ct", weights, meta=meta)
    gland = Code("23451007", "SCT", "Adrenal gland")
    imported = import_bundle(
        bundle, Wanted(codes={1: Coded(category=ANATOMICAL_STRUCTURE, type=gland, laterality=LEFT)}), tmp_path / "models"
    )
    (structure,) = imported.manifest.structures
    assert (structure.label, structure.type, structure.laterality) == ("funny gland", gland, LEFT)
    other = {1: Coded(category=ANATOMICAL_STRUCTURE, type=Code("1", "SCT", "Other"))}
    with pytest.raises(AlreadyThere):
        import_bundle(bundle, Wanted(codes=other), tmp_path / "models")
    again = import_bundle(bundle, Wanted(codes=other, version=2), tmp_path / "models")
    assert (again.model.version, again.manifest.version) == (2, "0.1.3+model.2")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda said: said.update(form=2), "not of form 1"),
        (lambda said: said["prepare"].append({"name": "Nothing"}), "Nothing"),
        (lambda said: said["prepare"][0].update(more=1), "Orientation has no more"),
        (lambda said: said["finish"].pop(), "0 decisions"),
        (lambda said: said.pop("structures"), "structures"),
        (lambda said: said.update(surprise=1), "surprise"),
    ],
)
def test_an_application_json_that_somebody_changed(change: Change, said: str, tmp_path: Path, weights: dict[str, bytes]) -> None:
    """It is read strictly: what is not understood is not served."""
    imported = import_bundle(made.folder(tmp_path / "a_ct", weights), Wanted(), tmp_path / "models")
    content = json.loads(to_text(imported.manifest))
    change(content)
    with pytest.raises(BrokenManifest, match=said):
        from_text(json.dumps(content).encode(), "application.json")
