"""The system calls of an unmodified node, as strace saw them: bytes and name of an instance are flushed before its 0x0000 leaves."""

from pathlib import Path

import pytest

from tests.crash import traced
from tests.crash.sender import CALLING, send, write_study
from tests.lab import dcmtk
from tests.lab.node import Node, configuration

pytestmark = [pytest.mark.slow, pytest.mark.peers]


def test_the_flushes_precede_every_success(tmp_path: Path) -> None:
    """For each C-STORE answered 0x0000: fdatasync of the file with its bytes after the last of them, rename, fsync of the folder by a call
    that began after the rename, and only then the response begins to leave; for one association after another."""
    log = tmp_path / "strace.log"
    settings = configuration(
        tmp_path / "store",
        port=0,
        repository=tmp_path,
        peers={"modality": {"ae_title": CALLING, "address": "127.0.0.1:0"}},
        sinks={},
        routes=[],
    )
    settings["node"] = {"ae_title": "HILUM", "listen": "127.0.0.1:0"}
    node = Node(settings, tmp_path / "node", under=traced.command(log))
    study, other = write_study(tmp_path / "sent", 1), write_study(tmp_path / "sent", 2, side=96)
    node.start()
    try:
        send(study, node.port, study.unacknowledged)
        assert not study.unacknowledged
        sent = dcmtk.dcmsend(node.port, *other.files.values(), calling=CALLING)
        assert sent.code == 0, sent.text
    finally:
        node.kill()
    seen = list(traced.calls(log))
    answers = traced.answered(seen)
    assert {answer.sop_instance_uid for answer in answers} == {*study.files, *other.files}
    assert [answer for answer in answers if answer.missing] == []


_TRACE = """\
7 write(9</store/coming/a-1.part>, "head 1.2.3.4\\0 body", 18) = 18
7 fdatasync(9</store/coming/a-1.part>) = 0
7 rename("/store/coming/a-1.part", "/store/inbox/1.dcm") = 0
8 fsync(10</store/inbox> <unfinished ...>
7 write(11</store/journal>, "x", 1) = 1
8 <... fsync resumed>) = 0
7 sendto(5<socket:[1]>, "{response}", 100, 0, NULL, 0) = 100
"""
# a C-STORE-RSP with status 0x0000 for 1.2.3.4, packed by hand (PS3.8 9.3.5, PS3.7 9.3.1.2)
_COMMAND = bytes.fromhex("00000000 04000000 22000000 00000001 02000000 0180 00000009 02000000 0000 00000010 08000000")
_RESPONSE = b"\x04\x00" + (6 + len(_COMMAND) + 8).to_bytes(4, "big") + (2 + len(_COMMAND) + 8).to_bytes(4, "big") + b"\x01\x03" + _COMMAND


@pytest.mark.parametrize(
    ("left_out", "missing"),
    [
        ("", ""),
        ("fdatasync", "/store/coming/a-1.part was not flushed after its last byte"),
        ("rename", "/store/coming/a-1.part was not renamed"),
        ("fsync", "/store/inbox was not flushed after the rename"),
    ],
)
def test_the_reader_of_the_trace_sees_what_is_missing(tmp_path: Path, left_out: str, missing: str) -> None:
    """A trace written by hand, whole and with one call left out."""
    response = "".join(f"\\x{byte:02x}" for byte in _RESPONSE + b"1.2.3.4\0")
    lines = [line for line in _TRACE.replace("{response}", response).splitlines() if not left_out or left_out not in line]
    (tmp_path / "trace").write_text("\n".join(lines))
    (answer,) = traced.answered(list(traced.calls(tmp_path / "trace")))
    assert (answer.sop_instance_uid, answer.missing) == ("1.2.3.4", missing)
