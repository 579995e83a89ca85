"""TLS files with which no handshake could succeed are refused before the node starts, by the command that an operator types."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.lab.certificates import Authority
from tests.lab.node import hilum

pytestmark = pytest.mark.peers


@dataclass(kw_only=True)
class _Place:
    """A configuration with a listener and a peer, both with TLS, and their files."""

    folder: Path
    authority: Authority

    def __post_init__(self) -> None:
        self.take(days=(-1, 30))
        shutil.copy(self.authority.certificate, self.folder / "ca.pem")
        for name in ("peer.pem", "peer.key"):
            shutil.copy(self.folder / name.replace("peer", "node"), self.folder / name)
        settings: dict[str, Any] = {
            "node": {
                "ae_title": "HILUM",
                "listen": "127.0.0.1:0",
                "tls": {"listen": "127.0.0.1:0", "certificate": "node.pem", "key": "node.key", "authorities": "ca.pem"},
            },
            "store": {"journal": f"sqlite:{self.folder}/hilum.db", "blobs": f"file:{self.folder}/blobs"},
            "peers": {
                "pacs": {
                    "ae_title": "PACS",
                    "address": "127.0.0.1:104",
                    "tls": {"certificate": "peer.pem", "key": "peer.key", "authorities": "ca.pem"},
                }
            },
        }
        (self.folder / "hilum.yaml").write_text(json.dumps(settings))

    def take(self, *, days: tuple[float, float]) -> None:
        """A certificate of the node."""
        own = self.authority.signs("node", days=days)
        shutil.copy(own.certificate, self.folder / "node.pem")
        shutil.copy(own.key, self.folder / "node.key")
        (self.folder / "node.key").chmod(0o600)


def _another_key(place: _Place) -> None:
    shutil.copy(place.authority.signs("other").key, place.folder / "node.key")


def _another_key_of_the_peer(place: _Place) -> None:
    shutil.copy(place.authority.signs("other").key, place.folder / "peer.key")


def _expired(place: _Place) -> None:
    place.take(days=(-10, -1))


def _empty_authorities(place: _Place) -> None:
    (place.folder / "ca.pem").write_bytes(b"")


def _missing(place: _Place) -> None:
    (place.folder / "node.pem").unlink()


def _missing_of_the_peer(place: _Place) -> None:
    (place.folder / "peer.pem").unlink()


def _no_file(place: _Place) -> None:
    (place.folder / "node.pem").unlink()
    (place.folder / "node.pem").mkdir()


def _open_key(place: _Place) -> None:
    (place.folder / "node.key").chmod(0o644)


@pytest.fixture
def place(tmp_path: Path) -> _Place:
    folder = tmp_path / "place"
    folder.mkdir()
    return _Place(folder=folder, authority=Authority(tmp_path / "ca"))


@pytest.mark.parametrize(
    ("spoil", "code", "words"),
    [
        (_another_key, "HLM-2071", "belongs to another certificate"),
        (_another_key_of_the_peer, "HLM-2071", 'peer "pacs"'),
        (_expired, "HLM-2076", "expired on"),
        (_empty_authorities, "HLM-2071", "ca.pem"),
        (_missing, "HLM-2071", "hilum.yaml:1:105: node: tls: certificate: "),
        (_no_file, "HLM-2071", "node.pem"),
        (_open_key, "HLM-2070", "node: tls: key: "),
        (_missing_of_the_peer, "HLM-2071", "tls: certificate: "),
    ],
)
def test_what_no_handshake_could_succeed_with_is_refused_at_once(
    place: _Place, spoil: Callable[[_Place], None], code: str, words: str
) -> None:
    """By `config check`, for people and for scripts, and by `serve`, which has made no journal by then."""
    spoil(place)
    config = place.folder / "hilum.yaml"
    for command in (("config", "check", config), ("serve", "--config", config)):
        refused = hilum(*command)
        assert (refused.code, code in refused.err, words in refused.err) == (1, True, True), refused.err
    told = hilum("config", "check", config, "--json")
    assert (told.code, [one["code"] for one in told.json["problems"]]) == (1, [code])
    assert not (place.folder / "hilum.db").exists()


def test_good_files_are_good(place: _Place) -> None:
    """And the peer's own certificate that has expired stops nobody else: it is told every day."""
    assert hilum("config", "check", place.folder / "hilum.yaml").code == 0
    own = place.authority.signs("node", days=(-10, -1))
    shutil.copy(own.certificate, place.folder / "peer.pem")
    shutil.copy(own.key, place.folder / "peer.key")
    (place.folder / "peer.key").chmod(0o600)
    assert hilum("config", "check", place.folder / "hilum.yaml").code == 0
