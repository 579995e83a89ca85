"""What a process of the node writes to its stderr."""

import json
import socket
import subprocess
import sys
from pathlib import Path

from tests.unit.flow.files import part10, slice_of


def test_a_library_that_complains_quotes_no_patient(tmp_path: Path) -> None:
    """A patient's name where a UID should be: pydicom warns, with the name in its words; the log has the event alone, and all of it is
    JSON."""
    path = tmp_path / "image.dcm"
    whole = part10(slice_of(1))
    assert whole.count(b"PN\x08\x00Doe^Jane") == 1
    path.write_bytes(whole.replace(b"PN\x08\x00Doe^Jane", b"UI\x08\x00Doe^Jane"))
    reads = f"""
from node.observe.events import event, start_events
start_events("work")
from pydicom import dcmread
print(dcmread("{path}").PatientName)
event("job.claimed", job=1)
"""
    done = subprocess.run([sys.executable, "-c", reads], capture_output=True, text=True, check=True)
    assert done.stdout == "Doe^Jane\n"
    assert [json.loads(line)["event"] for line in done.stderr.splitlines()] == ["job.claimed"]


_LIBRARIES_TELL = """
import logging
from node.observe.events import event, start_events
start_events("receive")
import pynetdicom
for name in ("pynetdicom.pdu_items", "botocore.hooks", "asyncio", "a.library.without.a.handler"):
    logging.getLogger(name).critical("Invalid 'User Identity Type' %s", "x" * 100_000)
logging.basicConfig()
logging.error("a library that wants to be heard")
event("association.accepted")
"""


def test_what_libraries_log_is_not_in_the_log() -> None:
    """pynetdicom's codecs log what a peer sent, as often and as long as it likes; other libraries do so too. stderr has events."""
    done = subprocess.run([sys.executable, "-c", _LIBRARIES_TELL], capture_output=True, text=True, check=True)
    assert [json.loads(line)["event"] for line in done.stderr.splitlines()] == ["association.accepted"]


_TELLS = """
from inference.errors import quoted
from node.observe.events import event, start_events, tell_patients
start_events("work")
event("before", reason=f"PixelSpacing is {quoted(chr(187) + 'Doe^Jane')}, not 2 numbers", parts=["", {"one": quoted("O'Doe")}], n=1)
event("cut", reason=f"StudyInstanceUID is {quoted('Doe^Jane')}"[:25])
tell_patients()
event("after", reason=quoted("Doe^Jane"))
"""


def test_what_a_message_quotes_of_a_data_set_is_left_out_unless_asked_for() -> None:
    """A name where a number belongs is in the error, for whoever mends the job, and not in the log: however deep it lies, whatever
    it holds, also where the message was cut off."""
    done = subprocess.run([sys.executable, "-c", _TELLS], capture_output=True, text=True, check=True)
    before, cut, after = (json.loads(line) for line in done.stderr.splitlines())
    assert before["reason"] == "PixelSpacing is «…», not 2 numbers"
    assert before["parts"] == ["", {"one": "«…»"}]
    assert before["n"] == 1
    assert cut["reason"] == "StudyInstanceUID is «…»"
    assert after["reason"] == "«Doe^Jane»"


_TELLS_NOBODY = """
import sys
from node.observe.events import alarm, event, start_events
start_events("receive")
log, sys.stderr = sys.stderr, open("/dev/full", "w")
event("seat.taken")
alarm("disk.full")
sys.stderr = log
event("seat.left")
"""


def test_a_log_that_takes_nothing_stops_nobody() -> None:
    """The log lies on a full disk: whoever tells an event goes on, and is heard again once there is room."""
    done = subprocess.run([sys.executable, "-c", _TELLS_NOBODY], capture_output=True, text=True, check=True)
    assert [json.loads(line)["event"] for line in done.stderr.splitlines()] == ["seat.left"]


_TELLS_TWICE = """
from node.observe.events import event, start_events
start_events("receive")
event("seat.taken")
event("seat.left")
"""


def test_a_line_is_written_at_once() -> None:
    """Several processes write to one log: where a line came in two pieces, another one's stood between them."""
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, its:
        subprocess.run([sys.executable, "-c", _TELLS_TWICE], stderr=its.fileno(), check=True)
        its.close()
        pieces = list(iter(lambda: ours.recv(65536), b""))
    assert [json.loads(piece)["event"] for piece in pieces] == ["seat.taken", "seat.left"]
    assert all(piece.endswith(b"\n") for piece in pieces)
