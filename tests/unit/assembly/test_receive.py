"""What the receive process asks of the system before it listens."""

import subprocess
import sys

_ASKS = """
import resource
from node.assembly.receive import _may_open_all
_, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))
_may_open_all()
print(resource.getrlimit(resource.RLIMIT_NOFILE) == (hard, hard))
"""


def test_it_may_open_as_many_files_as_the_system_lets_it() -> None:
    """A shell's limit of open files is no limit of associations: as many as `max_associations` allows can be kept."""
    done = subprocess.run([sys.executable, "-c", _ASKS], capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"


def test_it_knows_no_database() -> None:
    """Each receiver writes files alone: what the journal needs is neither loaded by it nor held in its memory."""
    loaded = "print([name for name in ('sqlalchemy', 'torch', 'highdicom') if name in sys.modules])"
    asked = f"import sys, node.assembly.process, node.assembly.receive; {loaded}"
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
