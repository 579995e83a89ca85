"""Kept inputs, and many that hypothesis makes, through every parser: taken, or refused by its own error, soon and in little memory.

`make fuzz` looks for more of them; what it finds wrong lies in the corpus from then on, and is a test here.
"""

import struct
import time
import tracemalloc
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from node.dimse.ul import command, pdu
from tests.fuzz.bounds import GOALS, GROUPS, HANG_S, MODULES, MOST_BYTES
from tests.fuzz.targets import CORPUS, SYNTAXES, TARGETS, part10

_MEMORY_BYTES = 64 << 20
"""Of one input of a few KiB: of a deflated data set 16 MiB are held (node.dicom.elements), and may be held twice while that grows."""
_EXAMPLES = settings(
    max_examples=150,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@pytest.mark.parametrize("name", list(TARGETS))
def test_the_corpus_is_taken_or_refused(name: str) -> None:
    """Real associations, made files, what reached a new branch, and what once went wrong: no other error, no hang, no memory."""
    kept = sorted((CORPUS / name).iterdir())
    assert kept, "a target without inputs is not tested"
    for path in kept:
        content = path.read_bytes()
        assert len(content) <= MOST_BYTES, f"{path.name}: a corpus is kept small"
        tracemalloc.start()
        began = time.thread_time()
        try:
            TARGETS[name](content)
            took_s, (_, peak) = time.thread_time() - began, tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        # tracing makes it several times as slow, and what is made once is made here
        assert took_s < 10 * HANG_S, path.name
        assert peak < _MEMORY_BYTES, path.name


def test_every_target_is_known_to_the_runner() -> None:
    """Each is fuzzed, guided by its own modules, and its executions count somewhere."""
    counted = [target for targets in GROUPS.values() for target in targets]
    assert set(TARGETS) == set(MODULES) == set(counted)
    assert len(counted) == len(set(counted))
    assert set(GOALS) <= set(GROUPS)


@pytest.mark.slow
@pytest.mark.parametrize("name", list(TARGETS))
def test_any_bytes(name: str) -> None:
    """Nothing that is known of any format."""
    _hold(TARGETS[name], st.binary(max_size=512))


@pytest.mark.slow
@pytest.mark.parametrize("name", list(TARGETS))
def test_real_inputs_with_a_few_bytes_changed(name: str) -> None:
    """Near to what peers really say, which is where parsers look closest."""
    kept = [path.read_bytes() for path in sorted((CORPUS / name).iterdir())]
    _hold(TARGETS[name], st.builds(_changed, st.sampled_from(kept), st.lists(_CHANGES, min_size=1, max_size=6), st.floats(0, 1)))


_CHANGES = st.tuples(st.floats(0, 1), st.sampled_from([b"\xff", b"\0", b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x80", b"SQ", b"\x01"]))


def _changed(content: bytes, changes: list[tuple[float, bytes]], cut: float) -> bytes:
    made = bytearray(content)
    for where, what in changes:
        at = int(where * len(made))
        made[at : at + len(what)] = what
    return bytes(made[: int(len(made) * cut) + 1 if cut < 0.5 else len(made)])


_FRAGMENTS = st.builds(
    lambda context, content, is_command, is_last: pdu.pack_data(context, content, command=is_command, last=is_last),
    st.integers(0, 255),
    st.binary(max_size=64),
    st.booleans(),
    st.booleans(),
)
_ANSWERS = st.builds(
    lambda number, status, comment, context: pdu.pack_data(
        context,
        command.store_response(number, sop_class_uid="1.2", sop_instance_uid="1.2.3", status=status, comment=comment),
        command=True,
        last=True,
    ),
    st.integers(0, 4),
    st.integers(0, 0xFFFF),
    st.text(max_size=80),
    st.just(9),
)
_UNITS = st.one_of(
    _FRAGMENTS,
    _ANSWERS,
    st.just(pdu.pack_data(9, command.echo_response(1), command=True, last=True)),
    st.just(pdu.pack_data(9, command.echo_response(2), command=True, last=True)),
    st.builds(lambda kind, body: struct.pack(">BxL", kind, len(body)) + body, st.integers(0, 255), st.binary(max_size=16)),
    st.sampled_from([pdu.pack_release_request(), pdu.pack_release_reply(), pdu.pack_reject(1, 1, 1)]),
)


@pytest.mark.parametrize("name", ["dialogues", "pdus", "messages"])
def test_pdus_in_any_order(name: str) -> None:
    """Well-formed PDUs, some that nobody knows, in every order that PS3.8 forbids."""
    units = st.lists(_UNITS, max_size=8).map(b"".join)
    _hold(TARGETS[name], st.builds(bytes.__add__, st.sampled_from([b"\x01", b"\x07", b"\xff"]), units) if name == "dialogues" else units)


_ELEMENTS = st.recursive(
    st.builds(
        lambda tag, vr, value: struct.pack("<HH2sH", *tag, vr, len(value)) + value,
        st.tuples(
            st.sampled_from([0x0008, 0x0010, 0x0020, 0x0028, 0x0009]), st.sampled_from([0x0005, 0x0016, 0x0018, 0x000D, 0x000E, 0x0103])
        ),
        st.sampled_from([b"UI", b"CS", b"US", b"PN", b"DS", b"ZZ"]),
        st.one_of(st.binary(max_size=24), st.sampled_from([b"1.2.3\0", b"ISO_IR 100", b"\x01\0"])),
    ),
    lambda inner: st.builds(
        lambda tag, inside, defined: (
            struct.pack("<HH2sxxL", *tag, b"SQ", len(inside) + 8 if defined else 0xFFFFFFFF)
            + struct.pack("<HHL", 0xFFFE, 0xE000, len(inside) if defined else 0xFFFFFFFF)
            + inside
            + (b"" if defined else struct.pack("<HHLHHL", 0xFFFE, 0xE00D, 0, 0xFFFE, 0xE0DD, 0))
        ),
        st.sampled_from([(0x0018, 0xA001), (0x5200, 0x9229), (0x0008, 0x1140)]),
        st.lists(inner, max_size=3).map(b"".join),
        st.booleans(),
    ),
    max_leaves=8,
)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["peeks", "headers"])
def test_elements_of_any_shape(name: str) -> None:
    """Sequences in sequences, of defined and undefined length, VRs that are none, UIDs that are none."""
    data = st.lists(_ELEMENTS, max_size=8).map(b"".join)
    _hold(TARGETS[name], st.builds(lambda syntax, content: bytes((syntax,)) + content, st.integers(0, len(SYNTAXES)), data))


@pytest.mark.parametrize("length", [0, 1, 2**16, 2**31, 2**32 - 1])
def test_lengths_that_lie_take_no_memory(length: int) -> None:
    """An element, a PDU and an item that claim up to 4 GiB: refused, without room being made for what is only claimed."""
    element = struct.pack("<HH2sxxL", 0x0008, 0x0005, b"UN", length)
    tracemalloc.start()
    try:
        TARGETS["headers"](bytes((0xFF,)) + part10(element))
        TARGETS["peeks"](b"\0" + element)
        TARGETS["commands"](struct.pack("<HHL", 0, 0x0002, length) + b"1.2")
        TARGETS["pdus"](struct.pack(">BxL", pdu.PduType.P_DATA, min(length, 2**32 - 1)) + struct.pack(">L", length) + b"\1\3")
        TARGETS["messages"](struct.pack(">BxLLBB", pdu.PduType.P_DATA, 6, length, 1, 3))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8 << 20


def test_the_corpus_holds_made_data_only() -> None:
    """No patient's name but the made one: every person name in the inputs is the one that tests/fuzz/capture.py gives."""
    for path in CORPUS.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            at = content.find(b"\x10\x00\x10\x00PN")
            if at >= 0 and path.name.isalnum() and len(path.name) == 16:
                length = int.from_bytes(content[at + 6 : at + 8], "little")
                assert content[at + 8 : at + 8 + length].strip() in (b"Made^Data", b""), path.name


def _hold(check: Callable[[bytes], None], inputs: st.SearchStrategy[bytes]) -> None:
    """Run the target over examples; what is wrong comes out as the exception that it is."""

    @_EXAMPLES
    @given(inputs)
    def every(content: bytes) -> None:
        check(content)

    every()
