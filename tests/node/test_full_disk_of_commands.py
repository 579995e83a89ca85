"""`hilum init`, `hilum models import` and `hilum backup` on a disk that is full at one step after the other."""

import os
import shutil
from pathlib import Path

import pytest

from tests.lab.small_disk import drop_ballast, small_disk
from tests.unit.cli.conftest import Run, run

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

__all__ = ["run"]
_MEGABYTES = 32
_COMMANDS = {
    "init": (("init", "DISK/there"), "HLM-2131"),
    "import": (("models", "import", "hippocampus", "--no-tune", "--repository", "DISK/there", "--config", "HOME/hilum.yaml"), "HLM-4152"),
    "backup": (("backup", "--to", "DISK/there", "--check", "--config", "HOME/hilum.yaml"), "HLM-7056"),
}
"""What is called, and the code of a disk that has no room for what it writes."""


def _leave(disk: Path, room: int) -> None:
    """Fill the disk until so many bytes are left."""
    there = os.statvfs(disk)
    with (disk / "ballast").open("wb") as ballast:
        os.posix_fallocate(ballast.fileno(), 0, there.f_bavail * there.f_frsize - room)


def _texts(folder: Path) -> dict[str, str]:
    """What `init` wrote, by its name in the folder."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_text(encoding="utf-8").replace(str(folder), "") for path in files}


@pytest.mark.parametrize("command", _COMMANDS)
def test_it_says_so_and_the_next_call_makes_it_whole(tmp_path: Path, run: Run, command: str) -> None:
    """With room for nothing, then twice as much each time, until it ends well: each time a sentence with its code; with the ballast gone
    the same call ends well, and what it made is whole."""
    words, code = _COMMANDS[command]
    (tmp_path / "hilum.yaml").write_text(
        f"node: {{listen: '127.0.0.1:0'}}\nmodels: {{repository: {tmp_path}/models}}\n"
        f"store: {{journal: 'sqlite:{tmp_path}/hilum.db', blobs: 'file:{tmp_path}/blobs', min_free: 1MB}}\n"
    )
    if command == "backup":
        for first in (("models", "import", "hippocampus", "--no-tune"), ("jobs", "list")):
            assert run(*first, "--config", str(tmp_path / "hilum.yaml")).code == 0
    refused = 0
    with small_disk(tmp_path / "disk", "tmpfs", _MEGABYTES) as disk:
        called = [word.replace("DISK", str(disk)).replace("HOME", str(tmp_path)) for word in words]
        for room in (0, *(4096 << step for step in range(12))):
            _leave(disk, room)
            said = run(*called)
            drop_ballast(disk)
            if said.code == 0:
                break
            refused += 1
            assert (said.code, f"[{code}]" in said.err, "what to do" in said.err) == (1, True, True), said
            again = run(*called)
            assert again.code == 0, again
            _is_whole(command, disk / "there", tmp_path, run)
            shutil.rmtree(disk / "there")
        else:
            raise AssertionError("it never ended well")
    assert refused >= 4, "it was refused at several steps"


def _is_whole(command: str, made: Path, home: Path, run: Run) -> None:
    """What the second call made has nothing of the first one's halves in it."""
    if command == "init":
        control = home / "control"
        if not control.exists():
            assert run("init", str(control)).code == 0
        assert _texts(made) == _texts(control)
    elif command == "import":
        assert run("models", "verify", "--repository", str(made), "--config", str(home / "hilum.yaml")).code == 0
    else:
        (whole,) = [one for one in made.iterdir() if (one / "manifest.json").exists()]
        assert run("restore", str(whole), "--check", "--config", str(home / "hilum.yaml")).code == 0
