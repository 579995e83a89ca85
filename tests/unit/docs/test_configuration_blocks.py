"""Configuration that pages of docs/howto show: each block is taken by the node's own reading of hilum.yaml, set in as its reader would.

Peers, sinks, applications and definitions that a block names and does not have are the reader's, and filled in here. Cases that
`hilum routes test` takes are test_route_examples'.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from inference.applications.catalog import names
from node.assembly.configuration import load
from tests.lab.howto import FOLDER, HowTo

_YAML = YAML(typ="safe")
_OTHERS = {
    "bring-a-model.md": ("# hospital-models.yaml",),
    "describe-a-model.md": ("name: ct-bone", "  output:"),
    "run-a-container.md": ("name: ct-bone", "images: nifti", "accepts: {modality: MR", "maps:"),
}
"""Blocks that are another file's, by how they begin; the pages' own tests have them."""
_NODE = """\
node: {ae_title: HILUM, listen: "127.0.0.1:11112"}
store: {journal: "sqlite:var/hilum.db", blobs: "file:var/blobs"}
peers: {pacs: {ae_title: PACS, address: "10.0.0.5:104"}}
sinks: {archive: {kind: dimse, peer: pacs}}
schedule: {timezone: Europe/Berlin}
"""
_KEY = "MCowBQYDK2VwAyEA" + 43 * "A" + "="
"""An Ed25519 public key (RFC 8410)."""


def _blocks() -> Iterator[Any]:
    """Each block, and the definitions before it on its page, which routes go by."""
    for page in sorted(FOLDER.glob("*.md")):
        texts = [one for one in HowTo(page.name).blocks("yaml") if not one.startswith(_OTHERS.get(page.name, ("\0",)))]
        defined: dict[str, Any] = {}
        for number, text in enumerate(texts):
            defined |= _YAML.load(text)["define"] if text.startswith("define:") else {}
            if not text.startswith("- ") or "run: " in text:
                yield pytest.param(text, dict(defined), id=f"{page.stem}-{number}")


def _together(first: Any, second: Any) -> Any:
    """The keys of both, to any depth; the second's word goes before."""
    if not (isinstance(first, dict) and isinstance(second, dict)):
        return second
    return {**first, **{key: _together(first.get(key), value) for key, value in second.items()}}


def _set_in(text: str, defined: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The configuration of a small node with a block put in, and what the block names besides."""
    routes = text.startswith("- ")
    block = _YAML.load("routes:\n" + text if routes else text.replace("MCowBQYDK2VwAyEA…", _KEY))
    node: dict[str, Any] = _together(_YAML.load(_NODE), block)
    if routes and defined:
        node["define"] = defined
    for route in node.get("routes", ()):
        for sink in _listed(route["send"]):
            node["sinks"].setdefault(sink, {"kind": "folder", "path": f"var/{sink}"})
        for peer in _listed(route.get("from", [])):
            node["peers"].setdefault(peer, {"ae_title": peer.upper(), "address": "10.0.0.7:104"})
        for name in _listed(route["run"]):
            _write(folder / "applications", name)
    for sink in node["sinks"].values():
        if sink["kind"] == "dimse":
            node["peers"].setdefault(sink["peer"], {"ae_title": sink["peer"].upper(), "address": "10.0.0.6:104"})
    (folder / "applications").mkdir(exist_ok=True)
    return node | {"models": {**node.get("models", {}), "applications": ["applications"]}}


def _listed(said: str | list[str]) -> list[str]:
    return [said] if isinstance(said, str) else said


def _write(folder: Path, name: str) -> None:
    """An application of the reader's own, as write-an-application.md has it, unless the name is known."""
    if name not in names((folder,)):
        (made, *_) = HowTo("write-an-application.md").blocks("python")
        package = folder / name.replace("-", "_")
        package.mkdir(parents=True)
        (package / "__init__.py").write_text(made.replace('"ct-bright"', f'"{name}"'), encoding="utf-8")


@pytest.mark.parametrize(("text", "defined"), _blocks())
def test_a_block_is_good_configuration(text: str, defined: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A list is of routes; everything else is a part of hilum.yaml."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "hilum.yaml").write_text(json.dumps(_set_in(text, defined, tmp_path)), encoding="utf-8")
    load(tmp_path / "hilum.yaml")
