"""Hostile models behind the jail alone: torch loads and calls them in a confined process, no sieve before them; nothing comes of it."""

import base64
from pathlib import Path

import pytest

from inference.engines.jail.landlock import landlock_abi
from inference.engines.jail.seccomp import seccomp_there
from tests.unit.engines.jail.test_confine import inside
from tests.unit.engines.sieve import hostile

pytestmark = [
    pytest.mark.skipif(not (landlock_abi() and seccomp_there()), reason="this kernel has no Landlock or no seccomp filters"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

BEFORE = (
    "os.environ.update(OPENBLAS_NUM_THREADS='1', HOME='/nonexistent', TORCHINDUCTOR_CACHE_DIR='/nonexistent')\n"
    "import base64, io, torch\n"
    "contents = {contents!r}\n"
)
CALLED = (
    "for content in contents:\n"
    "    try:\n"
    "        print(torch.jit.load(io.BytesIO(base64.b64decode(content)))(torch.zeros(1, 1, 8, 8)).sum().item())\n"
    "    except RuntimeError as refused:\n"
    "        print('refused')\n"
    # at once: tasks of torch leave threads behind
    "sys.stdout.flush(); os._exit(0)\n"
)


def called(*contents: bytes, confined: bool) -> list[str]:
    """What becomes of TorchScript files that are loaded and called, one after the other in one process."""
    before = BEFORE.format(contents=[base64.b64encode(content).decode() for content in contents])
    return (inside(CALLED, before=before) if confined else inside("", before=before + CALLED)).splitlines()


@pytest.mark.slow
def test_what_writes_and_reads_reaches_nothing(tmp_path: Path) -> None:
    """When it is loaded, when it is called; without the jail each does what it was made for (the first half).

    Tasks of torch are threads, which a model may have; the sieve refuses them because no network needs them.
    """
    loaded, later = tmp_path / "when loaded", tmp_path / "when called"
    contents = [
        hostile.scripted(module)
        for module in (hostile.Twice(str(loaded)), hostile.Writes(str(later)), hostile.Reads("/etc/passwd"), hostile.Forks())
    ]
    said = called(*contents, confined=False)
    assert (said[0], said[1], said[3]) == ("0.0", "0.0", "0.0")
    assert float(said[2]) > 0, "the sum of what stands in /etc/passwd"
    assert loaded.is_file()
    assert later.is_file()
    loaded.unlink()
    later.unlink()
    said = called(*contents, confined=True)
    # torch does not always notice that nothing was written; the files tell
    assert (said[2], said[3]) == ("refused", "0.0")
    assert not loaded.exists()
    assert not later.exists()
