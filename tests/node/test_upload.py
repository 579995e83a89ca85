"""A test study by the console: a body over HTTP, and from there by DIMSE into the node's own receiver, with and without TLS."""

import io
import json
import os
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest

from inference.imaging.write_series import write_series
from node.assembly.configuration import load
from node.domain.account import Role
from node.store.encryption import memory_folder
from tests.lab.certificates import Authority
from tests.lab.console import PASSWORD, console_port, let_in
from tests.lab.loopback import free_port
from tests.lab.node import QUIET, Node, configuration
from tests.lab.program import wait_until

pytestmark = [pytest.mark.slow]
_PATIENCE_S = 120
_HERE = {"ae_title": "HILUM-SEND", "address": "127.0.0.1:0", "settle": {"quiet": QUIET}}


def series(folder: Path) -> list[Path]:
    """Six slices of a CT."""
    affine = np.array([[0.0, 0, 1, -16], [0, 1, 0, -16], [2, 0, 0, 0], [0, 0, 0, 1]])
    return write_series(np.full((6, 32, 32), -1000, np.int16), affine, folder, modality="CT", patient_id="TEST-1")


def settings(folder: Path, **peers: object) -> dict[str, object]:
    """A node that routes nothing, with a console; the system chooses the receiver's port."""
    console = {"listen": "127.0.0.1:0"}
    return configuration(folder, port=0, repository=folder / "models", peers=peers, sinks={}, routes=[], console=console)


def zipped(files: list[Path], *more: tuple[str, bytes]) -> bytes:
    """A zip of them."""
    kept = io.BytesIO()
    with zipfile.ZipFile(kept, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in files:
            archive.write(file, f"study/{file.name}")
        for name, content in more:
            archive.writestr(name, content)
    return kept.getvalue()


def _inside(node: Node) -> tuple[httpx.Client, str]:
    """An operator's browser, and the token of its forms."""
    let_in(node, "otto", Role.OPERATOR)
    client = httpx.Client(base_url=f"http://127.0.0.1:{console_port(node)}", timeout=_PATIENCE_S, trust_env=False)
    assert client.post("/login", data={"name": "otto", "password": PASSWORD}).status_code == 303
    found = re.search(r'name="form_token" value="([0-9a-f]+)"', client.get("/upload").text)
    assert found is not None
    return client, found[1]


def _sent(
    client: httpx.Client, token: str, body: bytes | Iterator[bytes], name: str, calling: str = "HILUM-SEND", *, more: bool = False
) -> httpx.Response:
    asked: dict[str, str | bool] = {"name": name, "calling": calling, "more": more}
    return client.post("/api/upload", params=asked, content=body, headers={"X-Form-Token": token})


def associations(node: Node) -> int:
    """How many the receiver has accepted so far."""
    return node.log.read_text().count('"association.accepted"')


def test_what_is_uploaded_comes_in_as_from_any_sender(tmp_path: Path) -> None:
    """One file, then a zip with the rest and a text, over one association: all of a study is received; what did not go is named; what was
    done is told. A page of another site and an AE title that nobody here has are refused, and a body of nothing is no instance."""
    files = series(tmp_path / "in")
    with Node(settings(tmp_path, send=_HERE, away={"ae_title": "CT1", "address": "10.9.9.9:0"}), tmp_path) as node:
        client, token = _inside(node)
        assert "HILUM-SEND" in client.get("/upload").text
        assert "CT1" not in client.get("/upload").text
        first = _sent(client, token, files[0].read_bytes(), "first.dcm", more=True).json()
        assert (first["accepted"], first["left"]) == (1, [])
        rest = _sent(client, token, zipped(files[1:], ("notes.txt", b"words")), "rest.zip").json()
        assert (rest["accepted"], rest["studies"]) == (5, first["studies"])
        assert rest["left"] == [{"name": "rest.zip!notes.txt", "reason": "not a DICOM file"}]
        assert associations(node) == 1
        (uid,) = first["studies"]

        def came() -> bool:
            found = client.get(f"/api/studies/{uid}")
            return found.status_code == 200 and [(one["instances"], one["senders"]) for one in found.json()["series"]] == [
                (6, ["HILUM-SEND@127.0.0.1"])
            ]

        wait_until(came, _PATIENCE_S, "the study is in the journal")
        told = [json.loads(line) for line in node.log.read_text().splitlines() if '"console.acted"' in line]
        assert [(one["account"], one["verb"], one["subject"]) for one in told] == [
            ("otto", "send", f"1 instances of study {uid} as HILUM-SEND"),
            ("otto", "send", f"5 instances of study {uid} as HILUM-SEND"),
        ]
        assert _sent(client, "0" * 64, files[0].read_bytes(), "a.dcm").status_code == 403
        assert _sent(client, token, files[0].read_bytes(), "a.dcm", "CT1").status_code == 409
        assert _sent(client, token, b"", "a.dcm").json()["left"] == [{"name": "a.dcm", "reason": "not a DICOM file"}]
        assert _sent(client, token, files[0].read_bytes(), "a.dcm").json()["accepted"] == 1
        assert associations(node) == 2, "the one before was released with its last file"
        client.close()


def test_of_an_encrypted_node_nothing_that_is_uploaded_lies_on_a_disk(tmp_path: Path) -> None:
    """While half of a file is here it lies in memory, and nothing lies where temporary files are; what is more than its share of that
    memory is refused, and what fits is sent."""
    key, temporary = tmp_path / "at-rest.key", tmp_path / "temporary"
    key.write_bytes(os.urandom(32))
    key.chmod(0o600)
    temporary.mkdir()
    told = settings(tmp_path, send=_HERE)
    told["store"] = {**told["store"], "encryption": {"key_file": str(key), "memory": "64MiB"}}  # type: ignore[dict-item]
    (file, *_) = series(tmp_path / "in")
    content = zipped([file], ("words.txt", os.urandom(1 << 20)))
    half = len(content) // 2
    with Node(told, tmp_path, environment={"TMPDIR": str(temporary)}) as node:
        client, token = _inside(node)
        memory = memory_folder((store := load(node.config).store), store.encryption)  # type: ignore[arg-type]

        def held() -> list[Path]:
            return list(memory.glob("tmp/hilum-upload-*/given"))

        def in_halves() -> Iterator[bytes]:
            yield content[:half]
            wait_until(lambda: bool(held()), _PATIENCE_S, "the upload has begun")
            assert [one for one in temporary.rglob("*") if one.is_file()] == []
            yield content[half:]

        assert _sent(client, token, in_halves(), "a.zip").json()["accepted"] == 1
        refused = _sent(client, token, bytes((16 << 20) + 1), "large.dcm")
        assert (refused.status_code, "more than 16 MB" in refused.json()["error"]) == (413, True)
        assert held() == []
        client.close()


def test_a_zip_that_fills_a_disk_is_refused(tmp_path: Path) -> None:
    """By what really comes out of it; nothing is sent, and the next upload is taken."""
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("0.dcm", "w", force_zip64=True) as member:
        for _ in range(1100):
            member.write(bytes(1 << 20))
    (file, *_) = series(tmp_path / "in")
    with Node(settings(tmp_path, send=_HERE), tmp_path) as node:
        client, token = _inside(node)
        refused = _sent(client, token, bomb.getvalue(), "bomb.zip")
        assert (refused.status_code, "unpacks to more than" in refused.json()["error"]) == (413, True)
        assert _sent(client, token, file.read_bytes(), "a.dcm").json()["accepted"] == 1
        client.close()


def test_where_nobody_from_this_machine_is_admitted_the_page_says_what_to_write(tmp_path: Path) -> None:
    """A peer, as it stands in hilum.yaml."""
    with Node(settings(tmp_path, ct1={"ae_title": "CT1", "address": "10.9.9.9:0"}), tmp_path) as node:
        client, _ = _inside(node)
        assert "send: {ae_title: HILUM-SEND, address: &#34;127.0.0.1:0&#34;}" in client.get("/upload").text.replace('"', "&#34;")
        client.close()


def test_a_receiver_that_speaks_tls_alone_is_reached(tmp_path: Path) -> None:
    """The node shows its own certificate, which the peer's entry names."""
    authority = Authority(tmp_path / "ca")
    mine = authority.signs("node", alternative="DNS:node.hospital.example")
    (file, *_) = series(tmp_path / "in")
    told = settings(tmp_path, send={**_HERE, "certificate": {"name": "DNS:node.hospital.example"}})
    tls = {
        "listen": f"127.0.0.1:{free_port()}",
        "certificate": str(mine.certificate),
        "key": str(mine.key),
        "client_certificate": "required",
    }
    told["node"] = {"ae_title": "HILUM", "listen": "off", "tls": {**tls, "authorities": str(authority.certificate)}}
    with Node(told, tmp_path) as node:
        client, token = _inside(node)
        sent = _sent(client, token, file.read_bytes(), "a.dcm")
        assert sent.json().get("accepted") == 1, sent.text
        client.close()
