"""What a process of the node writes to its stderr."""

import json
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
