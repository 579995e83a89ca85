"""`hilum models fetch`: from a server of a hospital's own, by its own list, to an application; what stands in the way is said."""

import base64
import hashlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import onnx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.lab.published import Shelf, published_files
from tests.unit.applications.bundle import made, onnx_nets
from tests.unit.applications.bundle.test_declaring import APP
from tests.unit.cli.conftest import Run

_CONFIG = """\
node: {{ae_title: HILUM, listen: "127.0.0.1:0"}}
store: {{journal: "sqlite:{0}/hilum.db", blobs: "file:{0}/blobs", min_free: 1MB}}
models: {{catalogue: {{list: models.yaml}}}}
"""
_LIST = """\
models:
  ct-gland:
    title: A gland
    source: https://models.hospital.example/gland
    licence: {{code: MIT, weights: MIT, data: of our own, commercial: "yes"}}
    attribution: Radiology
    files: [{{url: "{url}"{more}}}]
{last}"""


@pytest.fixture
def shelf() -> Iterator[Shelf]:
    """A server with a file that is no model."""
    with published_files(gland_zip=b"no model at all") as server:
        yield server


def _home(folder: Path, shelf: Shelf, *, more: str = "", last: str = "") -> str:
    """The path of a configuration whose list has the server's file."""
    (folder / "hilum.yaml").write_text(_CONFIG.format(folder))
    (folder / "models.yaml").write_text(_LIST.format(url=shelf.url("gland.zip"), more=more, last=last))
    return str(folder / "hilum.yaml")


def _words(text: str) -> str:
    return " ".join(text.split())


def test_a_digest_that_nobody_knows_is_told_and_not_believed(run: Run, shelf: Shelf, tmp_path: Path) -> None:
    """Until an operator gives it back; the file is not fetched a second time for that, and the word counts from then on."""
    config = _home(tmp_path, shelf)
    digest = hashlib.sha256(shelf.files["gland.zip"]).hexdigest()
    told = run("models", "fetch", "ct-gland", "--only", "--config", config)
    assert (told.code, f"gland.zip has SHA-256 {digest}" in _words(told.err), "HLM-4174" in told.err) == (1, True, True), told
    assert "HLM-4174" in run("models", "fetch", "ct-gland", "--only", "--accept-digest", "0" * 64, "--config", config).err
    taken = run("models", "fetch", "ct-gland", "--only", "--accept-digest", digest, "--json", "--config", config)
    (one,) = json.loads(taken.out)
    assert (taken.code, Path(one["file"]).read_bytes()) == (0, shelf.files["gland.zip"])
    assert Path(one["file"]).is_relative_to(tmp_path / "models.fetched")
    assert len(shelf.asked) == 1
    assert run("models", "fetch", "ct-gland", "--only", "--config", config).code == 0
    (listed,) = [
        one for one in json.loads(run("models", "list", "--catalogue", "--json", "--config", config).out) if one["name"] == "ct-gland"
    ]
    assert (listed["state"], listed["models"]) == ("fetched, not imported", [])


def test_files_that_are_here_already(run: Run, shelf: Shelf, tmp_path: Path) -> None:
    """Another file than the list says is refused by its digest, a missing one by its address; nobody is asked."""
    config = _home(tmp_path, shelf, more=f", sha256: {'0f' * 32}")
    other = tmp_path / "gland.zip"
    other.write_bytes(b"another")
    refused = run("models", "fetch", "ct-gland", "--file", str(other), "--config", config)
    assert (refused.code, "HLM-4105" in refused.err, "0f" * 32 in _words(refused.err)) == (1, True, True), refused
    unlike = tmp_path / "other.zip"
    other.rename(unlike)
    missing = run("models", "fetch", "ct-gland", "--file", str(unlike), "--config", config)
    assert (missing.code, "HLM-4106" in missing.err, shelf.url("gland.zip") in _words(missing.err)) == (1, True, True), missing
    assert shelf.asked == []


def test_what_is_said_in_vain_of_files_is_refused(run: Run, shelf: Shelf, tmp_path: Path) -> None:
    """Somebody relies on it: a digest that none of the files has, beside one that a file has, and a file that is none of the model's."""
    digest = hashlib.sha256(shelf.files["gland.zip"]).hexdigest()
    words = ("models", "fetch", "ct-gland", "--only", "--config", _home(tmp_path, shelf))
    assert run(*words, "--accept-digest", digest.upper()).code == 0
    meant = run(*words, "--accept-digest", digest, "--accept-digest", "0f" * 32)
    assert (meant.code, "HLM-2064" in meant.err, f"{'0f' * 32} is of none" in _words(meant.err)) == (1, True, True), meant
    for name, content in (("gland.zip", shelf.files["gland.zip"]), ("other.zip", b"another")):
        (tmp_path / name).write_bytes(content)
    files = ("--file", str(tmp_path / "gland.zip"), "--file", str(tmp_path / "other.zip"))
    refused = run("models", "fetch", "ct-gland", *files, "--config", words[-1])
    assert (refused.code, "HLM-2064" in refused.err, "other.zip is none of the files" in _words(refused.err)) == (1, True, True), refused


def test_another_repository_has_the_same_lists(run: Run, shelf: Shelf, tmp_path: Path) -> None:
    """`--repository` says where a model comes to, and not what is published: the hospital's own list holds there, too."""
    config = _home(tmp_path, shelf)
    words = ("--repository", str(tmp_path / "other"), "--config", config)
    assert any(one["name"] == "ct-gland" for one in json.loads(run("models", "list", "--catalogue", "--json", *words).out))
    digest = hashlib.sha256(shelf.files["gland.zip"]).hexdigest()
    (one,) = json.loads(run("models", "fetch", "ct-gland", "--only", "--accept-digest", digest, "--json", *words).out)
    assert Path(one["file"]).is_relative_to(tmp_path / "other.fetched")


def test_an_older_signed_list_is_refused_of_another_repository(run: Run, shelf: Shelf, tmp_path: Path) -> None:
    """Serials are noted where the node of this configuration keeps its files, also where that had nothing to keep before."""
    key = Ed25519PrivateKey.generate()
    line = base64.b64encode(key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).decode()
    config = Path(_home(tmp_path, shelf))
    config.write_text(config.read_text().replace("list: models.yaml", f"list: models.yaml, public_key: {line}"))
    words = ("models", "fetch", "ct-gland", "--only", "--repository", str(tmp_path / "other"), "--config", str(config))
    for serial, code in ((7, "HLM-4174"), (7, "HLM-4174"), (6, "HLM-2025")):
        content = _LIST.format(url=shelf.url("gland.zip"), more="", last=f"serial: {serial}\n").encode()
        (tmp_path / "models.yaml").write_bytes(content)
        (tmp_path / "models.yaml.sig").write_bytes(key.sign(content))
        assert code in run(*words).err
    assert [path.name for path in (tmp_path / "models.fetched").glob("*.json")] == ["serials.json"]


def test_what_lies_at_another_address_is_fetched_anew(run: Run, shelf: Shelf, tmp_path: Path) -> None:
    """Without a digest in the list nothing else tells one file from another of the same name."""
    config = _home(tmp_path, shelf)
    first = hashlib.sha256(shelf.files["gland.zip"]).hexdigest()
    assert first in _words(run("models", "fetch", "ct-gland", "--only", "--config", config).err)
    shelf.files["gland.zip"] = b"another one"
    elsewhere = shelf.url("gland.zip").replace("127.0.0.1", "localhost")
    (tmp_path / "models.yaml").write_text(_LIST.format(url=elsewhere, more="", last=""))
    told = run("models", "fetch", "ct-gland", "--only", "--config", config)
    assert hashlib.sha256(b"another one").hexdigest() in _words(told.err), told


def test_what_is_imported_is_what_was_compared(run: Run, shelf: Shelf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of --file that somebody writes into after its digest was taken is refused, also where it is a bundle."""
    content = shelf.files["gland.zip"]
    config = _home(tmp_path, shelf, more=f", sha256: {hashlib.sha256(content).hexdigest()}")
    brought = tmp_path / "gland.zip"
    brought.write_bytes(content)
    copied = shutil.copyfile

    def changed(source: Path, target: Path) -> Any:
        brought.write_bytes(b"another one")
        return copied(source, target)

    monkeypatch.setattr(shutil, "copyfile", changed)
    refused = run("models", "fetch", "ct-gland", "--file", str(brought), "--config", config)
    assert (refused.code, "was changed since its digest was compared" in _words(refused.err)) == (1, True), refused


def test_what_hilum_cannot_serve(run: Run, shelf: Shelf, tmp_path: Path) -> None:
    """The reason stands in the list, and in the refusal."""
    config = _home(tmp_path, shelf, last="    unserved: its network is its own\n")
    refused = run("models", "fetch", "ct-gland", "--config", config)
    assert (refused.code, "HLM-4175" in refused.err, "its network is its own" in refused.err) == (1, True, True), refused
    assert "HLM-4173" in run("models", "fetch", "ct-glands", "--config", config).err
    assert "hilum models import mr-brain" in _words(run("models", "fetch", "mr-brain", "--config", config).err)


def test_a_list_that_is_not_signed(run: Run, shelf: Shelf, tmp_path: Path) -> None:
    """Nothing of it is taken where the configuration names a key."""
    config = _home(tmp_path, shelf)
    key = "MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE="
    Path(config).write_text(_CONFIG.format(tmp_path).replace("list: models.yaml", f"list: models.yaml, public_key: {key}"))
    for words in (("models", "fetch", "ct-gland"), ("models", "list", "--catalogue")):
        refused = run(*words, "--config", config)
        assert (refused.code, "HLM-2024" in refused.err) == (1, True), refused
    Path(config).write_text(_CONFIG.format(tmp_path).replace("list: models.yaml", f"list: models.yaml, public_key: {key[:-8]}"))
    assert "is no public key of Ed25519" in _words(run("config", "check", "--config", config).err)


@pytest.mark.slow
def test_from_the_server_to_an_application(run: Run, shelf: Shelf, tmp_path: Path) -> None:
    """One command: fetched, compared, imported; the list says before that it is not fetched, then what it became, with its licences."""
    shelf.files["gland.zip"] = made.archive(tmp_path / "gland.zip", {"model.pt": made.state(made.unet())}).read_bytes()
    config = _home(tmp_path, shelf, more=f", sha256: {hashlib.sha256(shelf.files['gland.zip']).hexdigest()}, as: ct_gland")

    def listed(*words: str) -> list[dict[str, object]]:
        answer = run("models", "list", *words, "--json", "--config", config)
        assert answer.code == 0, answer
        found: list[dict[str, object]] = json.loads(answer.out)
        return found

    assert [one["state"] for one in listed("--catalogue") if one["name"] == "ct-gland"] == ["not fetched"]
    fetched = run("models", "fetch", "ct-gland", "--no-tune", "--config", config)
    assert (fetched.code, "application ct-gland" in fetched.out) == (0, True), fetched
    (entry,) = [one for one in listed("--catalogue") if one["name"] == "ct-gland"]
    assert (str(entry["state"]).endswith(": ct_gland 1"), entry["models"]) == (True, [{"name": "ct_gland", "version": 1}])
    (model,) = listed()
    assert model["licences"] == {"code": "MIT", "weights": "MIT", "data": "of our own", "commercial": "yes"}
    assert sorted(path.name for path in (tmp_path / "models.fetched" / "ct-gland").iterdir()) == [".lock", "fetched.json"]


@pytest.mark.slow
def test_beside_an_app_yaml_lies_what_was_compared_and_nothing_else(run: Run, shelf: Shelf, tmp_path: Path) -> None:
    """The files that were brought are in two folders, and beside the app.yaml lies another model under the model's name."""
    for folder in ("old", "new"):
        (tmp_path / folder).mkdir()
        onnx_nets.brighter(tmp_path / folder / "net.onnx")
    app, net = tmp_path / "old" / "app.yaml", tmp_path / "new" / "net.onnx"
    app.write_text(APP, encoding="utf-8")
    other = onnx.load(net)
    other.doc_string = "another one"
    onnx.save(other, net)
    digests = [hashlib.sha256(path.read_bytes()).hexdigest() for path in (app, net)]
    files = "".join(
        f'      - {{url: "{shelf.url(path.name)}", sha256: {digest}}}\n' for path, digest in zip((app, net), digests, strict=True)
    )
    config = _home(tmp_path, shelf)
    listed = (tmp_path / "models.yaml").read_text()
    (tmp_path / "models.yaml").write_text(f"{listed[: listed.index('    files:')]}    files:\n{files}")
    taken = run("models", "fetch", "ct-gland", "--file", str(app), "--file", str(net), "--no-tune", "--json", "--config", config)
    assert taken.code == 0, taken
    (one,) = json.loads(taken.out)
    assert one["source_sha256"] == digests[1]
    assert sorted(path.name for path in (tmp_path / "models.fetched" / "ct-gland").iterdir()) == [".lock", "fetched.json"]
