"""What the tests of packages share: one wheel a run, and one environment with it, made by whichever of its processes asks first."""

import fcntl
import shutil
import tempfile
from pathlib import Path

import pytest

from tests.lab.installed import Environment, install, wheel


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


@pytest.fixture(scope="session")
def embedded(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """An environment with what the in-process engine needs, and nothing else; nobody changes what lies in it."""
    run = tmp_path_factory.getbasetemp()
    there = Environment(folder=run / "embedded" / "hilum", home=run / "embedded" / "home")
    with (run / "embedded.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        whole = run / "embedded.whole"
        if not whole.exists():
            shutil.rmtree(run / "embedded", ignore_errors=True)
            install(built, run / "embedded", ("embedded",))
            whole.touch()
    return there
