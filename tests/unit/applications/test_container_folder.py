"""Folders of runs of containers: images lie in them, so none stays, whatever a container wrote and however its process ended."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from inference.applications.container.run_folder import clear_left_behind, run_folder

HOLDING = (
    "import sys\n"
    "from inference.applications.container.run_folder import run_folder\n"
    "with run_folder() as place:\n"
    "    (place / 'image.dcm').write_bytes(b'x')\n"
    "    print(place, flush=True)\n"
    "    sys.stdin.read()\n"
)


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where this process, and those that it starts, have their temporary files."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    return tmp_path


def test_what_a_killed_process_left_is_deleted_and_what_a_living_one_has_is_not(temporary: Path) -> None:
    """SIGKILL lets nobody clean up; the next start, or the next run, does."""
    with subprocess.Popen([sys.executable, "-c", HOLDING], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        place = Path(process.stdout.readline().strip())
        assert place.parent == temporary
        assert clear_left_behind() == 0
        with run_folder() as own:
            assert own != place
        assert (place / "image.dcm").is_file()
        process.kill()
    assert (place / "image.dcm").is_file()
    assert clear_left_behind() == 1
    assert list(temporary.iterdir()) == []


def test_whatever_a_container_wrote_is_deleted_and_nothing_else(temporary: Path) -> None:
    """Folders deeper than a path is long, one that nobody may enter, and a link out, of which what it leads to stays as it was."""
    outside = temporary / "kept"
    outside.mkdir()
    (outside / "file").write_bytes(b"x")
    outside.chmod(0o755)
    with run_folder() as place:
        (place / "out").symlink_to(outside)
        (place / "closed" / "within").mkdir(parents=True)
        (place / "closed" / "link").symlink_to(outside)
        (place / "closed").chmod(0)
        deep = os.open(place, os.O_RDONLY)
        for _ in range(1200):
            os.mkdir("deeper", dir_fd=deep)
            below = os.open("deeper", os.O_RDONLY, dir_fd=deep)
            os.close(deep)
            deep = below
        os.close(deep)
    assert list(temporary.iterdir()) == [outside]
    assert list(outside.iterdir()) == [outside / "file"]
    assert outside.stat().st_mode & 0o777 == 0o755


def test_a_link_of_such_a_name_is_left_alone(temporary: Path) -> None:
    """Whoever may write to the folder for temporary files has nothing of the node's deleted."""
    outside = temporary / "kept"
    outside.mkdir()
    (temporary / f"hilum-container-{os.geteuid()}-x").symlink_to(outside)
    assert clear_left_behind() == 0
    assert outside.is_dir()


def test_a_container_that_outlived_its_process_is_ended(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It bears the name of the folder: with the images, it goes too."""
    asked = temporary / "engine" / "asked"
    asked.parent.mkdir()
    (asked.parent / "podman").write_text(f'#!/bin/sh\necho "$@" >> {asked}\n')
    (asked.parent / "podman").chmod(0o755)
    monkeypatch.setenv("PATH", f"{asked.parent}:{os.environ['PATH']}")
    left = temporary / f"hilum-container-{os.geteuid()}-left"
    left.mkdir()
    assert clear_left_behind() == 1
    assert asked.read_text() == f"rm --force --volumes {left.name}\n"
    assert not left.exists()
