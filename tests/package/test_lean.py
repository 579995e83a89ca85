"""An environment without torch: what it serves, what it weighs, and the sentence that each missing extra gets."""

import importlib.metadata
import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.lab.installed import Environment, install, size
from tests.lab.loopback import free_port
from tests.unit.engines.models import doubling_onnx, scripted

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

MOST_BYTES = 650e6
_HEAVY = ("torch", "monai", "SimpleITK", "onnxruntime", "onnx", "onnxscript", "tritonclient", "grpc", "psycopg", "obstore", "fastapi")


@pytest.fixture(scope="module")
def bare(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """hilum without any extra."""
    return install(built, tmp_path_factory.mktemp("bare"))


@pytest.fixture(scope="module")
def whole(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """hilum with the in-process engine and the console, of which tests lay something aside for a while."""
    return install(built, tmp_path_factory.mktemp("whole"), ("embedded", "console"))


@contextmanager
def _aside(places: Iterable[Path], folder: Path) -> Iterator[None]:
    """Files or folders of an environment lie in another folder meanwhile."""
    folder.mkdir()
    laid = {place: folder / f"{number}" for number, place in enumerate(places)}
    try:
        for place, kept in laid.items():
            place.rename(kept)
        yield
    finally:
        for place, kept in laid.items():
            kept.rename(place)


def _places(there: Environment, library: str) -> set[Path]:
    """Where a distribution of the environment lies."""
    (found,) = importlib.metadata.Distribution.discover(name=library, path=[str(there.site)])
    return {there.site / file.parts[0] for file in found.files or () if file.parts[0] != ".."}


def test_the_in_process_engine_needs_no_torch_and_is_small(embedded: Environment) -> None:
    """At most 650 MB beside pip, which an environment has anyway; without the libraries that only other extras bring."""
    assert size(embedded.site) - size(embedded.site / "pip") < MOST_BYTES
    code = f"from importlib.util import find_spec; print([name for name in {_HEAVY} if find_spec(name)])"
    assert embedded.run("python", "-c", code).stdout.strip() == "[]"


@pytest.fixture
def words(tmp_path: Path) -> Path:
    """A folder with what the commands below are given."""
    (tmp_path / "net.pt").write_bytes(scripted(torch.nn.ReLU()))
    (tmp_path / "net.onnx").write_bytes(doubling_onnx())
    (tmp_path / "ldap.passcode").write_text("secret\n")
    (tmp_path / "ldap.passcode").chmod(0o600)
    store = {"journal": "sqlite:hilum.db", "blobs": "file:blobs", "min_free": "1MB", "high_water": 1}
    base: dict[str, Any] = {"node": {"ae_title": "HILUM", "listen": "127.0.0.1:0"}, "store": store}
    sink = {"sinks": {"results": {"kind": "folder", "path": "results"}}, "routes": [{"name": "all", "run": [RUN], "send": ["results"]}]}
    files: dict[str, dict[str, Any]] = {
        "plain": {},
        "console": {"console": {"listen": "127.0.0.1:0"}},
        "ldap": {"console": {"listen": "127.0.0.1:0", "ldap": _DIRECTORY}},
        "oidc": {"console": {"listen": "127.0.0.1:0", "oidc": _PROVIDER}},
        "server": {"store": {**store, "journal": "postgresql://hilum@127.0.0.1:1/hilum"}},
        "triton": {"engines": {"gpu": {"kind": "triton", "url": "grpc://127.0.0.1:1"}}, "applications": {RUN: {"engine": "gpu"}}, **sink},
        "bucket": {"store": {**store, "bucket": {"url": "s3://hospital/hilum", "endpoint": "http://127.0.0.1:1"}}},
    }
    for name, more in files.items():
        (tmp_path / f"{name}.yaml").write_text(json.dumps(base | more))
    return tmp_path


RUN = "hippocampus"
_DIRECTORY = {
    "url": "ldap://127.0.0.1:1",
    "plaintext": True,
    "login": {"name": "cn=hilum", "passcode_file": "ldap.passcode"},
    "people": "ou=staff,dc=hospital",
    "name": "uid",
    "roles": {"admin": "cn=admins"},
}
_PROVIDER = {"issuer": "http://127.0.0.1:1", "client_id": "hilum", "roles": {"admin": "admins"}}
_IMPORT = "models import --name net --licence MIT --attribution me --repository models --config plain.yaml"
CASES = {
    "TorchScript": (f"{_IMPORT} net.pt --shape 1,4,4,4", "torch", "torch", "HLM-4001"),
    "ONNX that is to be described": (f"{_IMPORT} net.onnx", "onnx", "torch", "HLM-4001"),
    "the head of the demo": (f"demo --application {RUN} --out out", "nibabel", "demo", "HLM-4001"),
    "training": (f"train {RUN} --data .", "torch", "training", "HLM-8005"),
    "evaluation": (f"evaluate {RUN} --data .", "torch", "training", "HLM-8005"),
    "the console": ("serve --config console.yaml", "fastapi", "console", "HLM-2110"),
    "console users": ("console users add anna --config console.yaml", "argon2", "console", "HLM-2110"),
    "a journal on PostgreSQL": ("jobs list --config server.yaml", "psycopg", "postgresql", "HLM-7011"),
    "blobs in a bucket": ("doctor --config bucket.yaml", "obstore", "s3", "HLM-7064"),
    "a Triton server": ("doctor --config triton.yaml", "tritonclient", "triton", ""),
}
"""What is typed where no extra is installed: the library that is missed, the extra that brings it, the code."""


@pytest.mark.parametrize("case", CASES)
def test_a_missing_extra_is_named(bare: Environment, words: Path, case: str) -> None:
    """A sentence with the library, a code and the extra, and no traceback."""
    command, library, extra, code = CASES[case]
    said = bare.run("hilum", *command.split(), cwd=words)
    told = said.stdout + said.stderr
    assert said.returncode == 1, told
    assert "Traceback" not in told
    assert library in told
    assert f"`{extra}`" in told or f"[{extra}]" in told
    assert code in told


@pytest.mark.parametrize(("login", "library"), [("ldap", "ldap3"), ("oidc", "PyJWT")])
def test_a_login_of_the_hospital_without_its_library_is_told(
    whole: Environment, words: Path, tmp_path: Path, login: str, library: str
) -> None:
    """A console of which that alone is missing, as one that was installed before: the node does not start, doctor says the same."""
    with _aside(_places(whole, library), tmp_path / "aside"):
        for command, stream in (("serve", "stderr"), ("doctor", "stdout")):
            said = whole.run("hilum", command, "--config", f"{login}.yaml", cwd=words)
            told = str(getattr(said, stream))
            assert said.returncode == 1, told
            assert f"the console needs {library} [HLM-2110]" in told
            assert "[console]" in told
            assert "Traceback" not in said.stdout + said.stderr


def test_a_library_that_is_half_there_is_named(whole: Environment, tmp_path: Path) -> None:
    """As a pip that was ended leaves it: by `hilum doctor`, by a verb that stumbles over it, by a node that cannot begin; each says what to
    do, and none shows a traceback as its last word."""
    assert whole.run("hilum", "init", "node", cwd=tmp_path).returncode == 0
    config = tmp_path / "node" / "hilum.yaml"
    config.write_text(config.read_text().replace(":11112", f":{free_port()}"))
    code = sorted((whole.site / "pydicom").rglob("*.py"))
    words = ("--config", "node/hilum.yaml")
    with _aside(code[len(code) // 2 :], tmp_path / "aside"):
        for verb in (("doctor", *words), ("serve", *words), ("send", "node", "--to", "PACS@127.0.0.1:1")):
            said = whole.run("hilum", *verb, cwd=tmp_path)
            assert said.returncode == 1, verb
            assert "HLM-2126" in said.stdout + said.stderr, (verb, said.stdout[-2000:], said.stderr[-2000:])
            assert "is installed in part: " in said.stdout + said.stderr
            assert "--force-reinstall" in said.stdout + said.stderr
            assert not said.stderr.rstrip().rpartition("\n")[2].startswith("ModuleNotFoundError")
