"""The folder of one run of a container, with the images in it: deleted afterwards, and, where the process was killed, by a later one.

It is locked (flock) while its process lives: the kernel lets go of that at its end, however it ends. What a container wrote is deleted by
`rm`, which follows no link and gets through folders of any depth. The container bears the name of its folder: one that outlived its process
is known by it.
"""

import fcntl
import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from inference.applications.container.engine import engine_here
from inference.applications.container.errors import ContainerEngineAway

_UNNAMED = ".hilum-container-"
"""Of one that is not locked yet, and has nothing in it."""


@contextmanager
def run_folder() -> Iterator[Path]:
    """A folder of this run's own among the temporary files, for this user alone; those of processes that were killed go first."""
    clear_left_behind()
    made = Path(tempfile.mkdtemp(prefix=_UNNAMED))
    held = os.open(made, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        place = made.with_name(f"{_named()}{made.name.removeprefix(_UNNAMED)}")
        made.rename(place)
        try:
            yield place
        finally:
            _delete(place)
    finally:
        os.close(held)


def clear_left_behind() -> int:
    """Delete the folders of this user's runs whose processes are no more, and end their containers; how many there were."""
    found = 0
    for folder in Path(tempfile.gettempdir()).glob(f"{_named()}*"):
        # another process may be faster, and a link is none of ours
        with suppress(OSError):
            held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                if os.fstat(held).st_uid == os.geteuid():
                    fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    with suppress(ContainerEngineAway):
                        engine_here().remove(folder.name)
                    _delete(folder)
                    found += 1
            finally:
                os.close(held)
    return found


def _named() -> str:
    return f"hilum-container-{os.geteuid()}-"


def _delete(folder: Path) -> None:
    """Delete a folder with all that is in it; what the disk keeps all the same, a later run tries again."""
    # a container may leave folders that its own user must not enter
    for words in (["chmod", "-R", "u+rwx"], ["rm", "-r", "-f", "--one-file-system"]):
        subprocess.run(
            [*words, "--", str(folder)], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False
        )
