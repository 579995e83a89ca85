"""Headers of the PROXY protocol, packed by hand as proxy-protocol.txt lays them out: nothing behind them is read."""

import socket
import struct
import threading

import pytest

from node.dimse.addresses import NoHeader, read_source

_SIGNATURE = bytes.fromhex("0D0A0D0A000D0A515549540A")
_V4 = bytes([10, 0, 0, 5]) + bytes([10, 0, 0, 1]) + struct.pack(">HH", 51000, 104)
_V6 = socket.inet_pton(socket.AF_INET6, "2001:db8::5") + socket.inet_pton(socket.AF_INET6, "2001:db8::1") + struct.pack(">HH", 51000, 104)
_BEHIND = b"\x01\x00what follows"


def _block(command: int, family: int, content: bytes) -> bytes:
    return _SIGNATURE + struct.pack(">BBH", command, family, len(content)) + content


def _read(sent: bytes, *, pieces: int = 1 << 20, ends: bool = False, timeout_s: float = 60) -> tuple[str | None, bytes]:
    """What the header says, and what is left to read behind it."""
    ours, theirs = socket.socketpair()
    with ours, theirs:

        def say() -> None:
            for at in range(0, len(sent), pieces):
                theirs.sendall(sent[at : at + pieces])
            if ends:
                theirs.shutdown(socket.SHUT_WR)

        speaking = threading.Thread(target=say)
        speaking.start()
        try:
            source = read_source(ours, timeout_s=timeout_s)
        finally:
            speaking.join()
        assert ours.gettimeout() is None
        return source, ours.recv(1024)


@pytest.mark.parametrize("pieces", [1, 5, 1 << 20])
@pytest.mark.parametrize(
    ("header", "source"),
    [
        pytest.param(b"PROXY TCP4 10.0.0.5 10.0.0.1 51000 104\r\n", "10.0.0.5", id="1, IPv4"),
        pytest.param(b"PROXY TCP6 2001:db8::5 2001:db8::1 51000 104\r\n", "2001:db8::5", id="1, IPv6"),
        pytest.param(b"PROXY UNKNOWN\r\n", None, id="1, unknown"),
        pytest.param(b"PROXY UNKNOWN ff:: ff:: 1 1\r\n", None, id="1, unknown with more"),
        pytest.param(_block(0x21, 0x11, _V4), "10.0.0.5", id="2, IPv4"),
        pytest.param(_block(0x21, 0x21, _V6), "2001:db8::5", id="2, IPv6"),
        pytest.param(_block(0x21, 0x11, _V4 + b"\x04\0\x04more"), "10.0.0.5", id="2, with more"),
        pytest.param(_block(0x20, 0x00, b""), None, id="2, the proxy's own"),
        pytest.param(_block(0x20, 0x11, _V4), None, id="2, the proxy's own with addresses"),
        pytest.param(_block(0x21, 0x31, bytes(216)), None, id="2, a socket of the proxy's host"),
    ],
)
def test_a_header_names_the_sender_however_it_is_cut(header: bytes, source: str | None, pieces: int) -> None:
    """Version 1 is a line, version 2 a block; what follows is the association's."""
    assert _read(header + _BEHIND, pieces=pieces) == (source, _BEHIND)


@pytest.mark.parametrize(
    ("sent", "why"),
    [
        pytest.param(b"\x01\x00\x00\x00\x00\xcd\x00\x01\x00\x00HI", "what came first is none", id="a request"),
        pytest.param(b"PROXY UDP4 10.0.0.5 10.0.0.1 1 2\r\n", "its line is none of version 1", id="another protocol"),
        pytest.param(b"PROXY TCP4 10.0.0.5\r\n", "its line is none of version 1", id="half a line"),
        pytest.param(b"PROXY TCP4 2001:db8::5 2001:db8::1 1 2\r\n", "it names no TCP4 address", id="another family"),
        pytest.param(b"PROXY TCP4 " + b"1" * 200, "its line is longer than 107 bytes", id="a line without end"),
        pytest.param(_block(0x31, 0x11, _V4), "version and command 0x31 are unknown", id="version 3"),
        pytest.param(_block(0x21, 0x11, _V4[:8]), "8 bytes are too few for its addresses", id="too short"),
        pytest.param(_SIGNATURE + struct.pack(">BBH", 0x21, 0x11, 60000), "it is 60000 bytes long, more than 4096", id="too long"),
        pytest.param(_SIGNATURE[:7], "the connection was closed before it", id="cut off"),
    ],
)
def test_what_is_no_header_is_said(sent: bytes, why: str) -> None:
    """Nothing is guessed: a proxy that is to send one and does not is configured otherwise than the node."""
    with pytest.raises(NoHeader) as refused:
        _read(sent, ends=True)
    assert str(refused.value) == why


def test_who_says_nothing_has_only_so_long() -> None:
    """A byte now and then does not prolong it: the whole header has the time."""
    with pytest.raises(NoHeader, match="it did not come in time"):
        _read(b"PROXY", timeout_s=0.05)
