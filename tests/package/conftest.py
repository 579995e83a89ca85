"""What the tests of packages share: one wheel a run, built by whichever of its processes asks first."""

import fcntl
import tempfile
from pathlib import Path

import pytest

from tests.lab.installed import wheel


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of the working tree, with the sdist that it was built of beside it."""
    run = tmp_path_factory.getbasetemp()
    with (run / "dist.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        folder = run / "dist"
        if not folder.exists():
            part = Path(tempfile.mkdtemp(dir=run))
            wheel(part)
            part.rename(folder)
    (made,) = folder.glob("*.whl")
    return made
