"""The Triton server is fetched once, whole, and the right one; where it cannot be, the reason is said."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from inference.engines.errors import CacheUnwritable, ServerUnsupported, WrongServer
from inference.engines.triton import distribution
from tests.lab.loopback import outside

pytestmark = [pytest.mark.slow, pytest.mark.registry, pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")]


def test_two_processes_unpack_it_once_and_a_damaged_copy_is_replaced(tmp_path: Path) -> None:
    """Both get a whole server in an empty cache; a file cut short by a power cut is noticed."""
    program = f"""
from pathlib import Path
from inference.engines.triton.distribution import local_distribution
print(local_distribution(Path({str(tmp_path)!r})).program)
"""
    with outside():
        both = [subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) for _ in range(2)]
        said = {process.communicate()[0].strip() for process in both}
    assert [process.returncode for process in both] == [0, 0]
    (program_path,) = said
    whole = os.path.getsize(program_path)
    os.truncate(program_path, 1000)
    with outside():
        distribution.local_distribution(tmp_path)
    assert os.path.getsize(program_path) == whole
    assert os.access(program_path, os.X_OK)
    assert [entry.name for entry in tmp_path.iterdir() if entry.name.startswith(".")] == []


def test_another_wheel_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both digests are said, and nothing of it stays."""
    found, expected = distribution.SHA256, "0" * 64
    monkeypatch.setattr(distribution, "SHA256", expected)
    with outside(), pytest.raises(WrongServer, match=f"{found}, expected {expected}"):
        distribution.local_distribution(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """A read-only home is common in containers: the message says where, and how to choose another place."""
    blocked = tmp_path / "file"
    blocked.write_text("")
    with outside(), pytest.raises(CacheUnwritable, match=f"unpacked into {blocked}: ") as failed:
        distribution.local_distribution(blocked)
    assert "XDG_CACHE_HOME" in failed.value.remedy


def test_elsewhere_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is fetched."""
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    with pytest.raises(ServerUnsupported, match="Linux x86-64 only, this is Linux aarch64"):
        distribution.local_distribution(tmp_path)
    assert list(tmp_path.iterdir()) == []
