"""What the laboratory fetches once and keeps: `.peers/` of the repository, which git ignores; test processes take turns in it."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CACHE = Path(__file__).resolve().parents[2] / ".peers"


@contextmanager
def alone_in(name: str) -> Iterator[Path]:
    """A folder of the cache that no other process of the tests fetches into meanwhile."""
    folder = CACHE / name
    folder.mkdir(parents=True, exist_ok=True)
    with (CACHE / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield folder
