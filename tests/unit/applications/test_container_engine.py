"""The run of a container by an engine that fails, or of a container that writes what cannot be counted: a program in the engine's place."""

import os
import sys
from pathlib import Path

import pytest

from inference.applications.container.engine import ContainerBounds, ContainerCall, ContainerEngine
from inference.applications.container.errors import ContainerEngineAway, ContainerStopped

PROGRAM = """#!{python}
import os, signal, sys
if sys.argv[1] == "run":
    (made,) = [word.split("=")[1].split(":")[0] for word in sys.argv if word.endswith(":/output:rw")]
    {run}
"""
"""Of an engine the two commands that a run needs; what its `run` does is each test's."""


def engine(folder: Path, run: str) -> ContainerEngine:
    """An engine whose containers do this, written in Python, in `made`."""
    program = folder / "engine"
    program.write_text(PROGRAM.format(python=sys.executable, run=run.replace("\n", "\n    ")), encoding="utf-8")
    program.chmod(0o755)
    return ContainerEngine(name="podman", program=str(program), rootless=True)


def call(folder: Path) -> ContainerCall:
    """A run with two empty folders."""
    for name in ("given", "made"):
        (folder / name).mkdir()
    return ContainerCall(
        image="sha256:" + 64 * "0",
        given=folder / "given",
        made=folder / "made",
        given_at="/input",
        made_at="/output",
        variables={},
    )


def test_folders_that_are_too_deep_to_count_are_a_bound_of_their_own(tmp_path: Path) -> None:
    """Beyond some thousand bytes the system takes no path: what lies there would be neither counted nor read."""
    deep = "os.chdir(made)\nfor _ in range(25):\n    os.mkdir(200 * 'd')\n    os.chdir(200 * 'd')"
    with pytest.raises(ContainerStopped, match="folders within folders"):
        engine(tmp_path, deep).run(call(tmp_path), ContainerBounds(), 60)


def test_an_engine_that_is_gone_in_the_middle_leaves_no_process(tmp_path: Path) -> None:
    """It cannot be asked to remove the container; what was started is ended all the same, and the job waits for the engine."""
    gone = (
        "open(made + '/pid', 'w').write(str(os.getpid()))\nos.unlink(sys.argv[0])\n"
        "open(made + '/more', 'wb').write(bytes(2000))\nsignal.pause()"
    )
    with pytest.raises(ContainerEngineAway, match="cannot be started: No such file"):
        engine(tmp_path, gone).run(call(tmp_path), ContainerBounds(output=1000), 60)
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "made" / "pid").read_text()), 0)
