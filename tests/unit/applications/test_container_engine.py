"""The run of a container by an engine that fails, or of a container that writes what cannot be counted: a program in the engine's place."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from inference.applications.container.engine import NOBODY, ContainerBounds, ContainerCall, ContainerEngine
from inference.applications.container.errors import (
    ContainerEngineAway,
    ContainerFailed,
    ContainerNotStarted,
    ContainerStopped,
    UnfitContainer,
)
from inference.engines.errors import EngineAway

PROGRAM = """#!{python}
import os, signal, sys
if sys.argv[1] == "run":
    (made,) = [word.split("=")[1].split(":")[0] for word in sys.argv if word.endswith(":/output:rw")]
    {run}
if sys.argv[1] == "cp":
    {cp}
if sys.argv[1] == "rm":
    {rm}
if sys.argv[1] == "info":
    {info}
if sys.argv[1] == "container":
    print("{state}")
"""
"""Of an engine the commands that a run and a look into an image need; what they do is each test's."""


def engine(
    folder: Path, run: str = "pass", *, cp: str = "pass", rm: str = "pass", info: str = "", state: str = "created", name: str = "podman"
) -> ContainerEngine:
    """An engine whose containers do this, written in Python, in `made`, and that holds its bounds; `state` is that of one that is over."""
    info = info or f"print({BOUNDED[name]!r})"
    program = folder / "engine"
    does = {what: words.replace("\n", "\n    ") for what, words in (("run", run), ("cp", cp), ("rm", rm), ("info", info))}
    program.write_text(PROGRAM.format(python=sys.executable, state=state, **does), encoding="utf-8")
    program.chmod(0o755)
    return ContainerEngine(name=name, program=str(program), rootless=True)


BOUNDED = {"podman": "v2 [cpuset cpu io memory pids]", "docker": "true true"}
"""What engines say that hold their bounds."""


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


REFUSING = "print('Error: invalid option', file=sys.stderr)\nsys.exit(125)"
"""What both engines do where they refuse an option, and where their daemon is away."""


def test_an_engine_that_refuses_an_option_is_not_one_that_is_away(tmp_path: Path) -> None:
    """It answers: waiting for it would be for ever. The job ends after its attempts, with the engine's sentence."""
    with pytest.raises(ContainerNotStarted, match=r"podman did not start the container: «Error: invalid option»") as refused:
        engine(tmp_path, REFUSING).run(call(tmp_path), ContainerBounds(), 60)
    assert refused.value.retry
    assert not isinstance(refused.value, EngineAway)


def test_an_engine_that_does_not_answer_is_away(tmp_path: Path) -> None:
    """The same status, and it says nothing of itself either: the job waits and no attempt counts, as of every engine that is away."""
    with pytest.raises(ContainerEngineAway, match=r"podman does not answer: «no daemon»") as away:
        engine(tmp_path, REFUSING, info="sys.exit('no daemon')").run(call(tmp_path), ContainerBounds(), 60)
    assert isinstance(away.value, EngineAway)


def test_a_program_that_ends_with_the_status_of_engines_has_failed_itself(tmp_path: Path) -> None:
    """Its container was started and is over: the engine did what was asked of it."""
    with pytest.raises(ContainerFailed, match="it ended with status 125 and said «Error: invalid option»"):
        engine(tmp_path, REFUSING, state="exited").run(call(tmp_path), ContainerBounds(), 60)


@pytest.mark.parametrize(
    ("name", "said"),
    [("docker", "false false"), ("docker", "false true"), ("podman", "v1 [cpu memory pids]"), ("podman", "v2 [cpu]"), ("podman", "")],
)
def test_an_engine_that_would_bound_nothing_starts_nothing(tmp_path: Path, name: str, said: str) -> None:
    """Without root and cgroup version 2 both engines leave the bounds out with a warning: a gigabyte was taken where 200 MB were given.
    The last says nothing at all of what it holds."""
    there = engine(tmp_path, "open(made + '/started', 'w').close()", name=name, info=f"print({said!r})")
    with pytest.raises(ContainerNotStarted, match=f"{name} does not bound both memory and processes of a container here"):
        there.run(call(tmp_path), ContainerBounds(), 60)
    assert list((tmp_path / "made").iterdir()) == []


COPIED = """import io, tarfile
file = tarfile.TarInfo("app.json")
file.{what}
sys.stdout.buffer.write(file.tobuf() + b"{{}}".ljust(512, bytes(1)))
sys.stdout.buffer.write(bytes(1024))
{more}"""
"""What `cp` of an engine writes: an archive of one file."""


def test_a_file_of_an_image_is_read_as_far_as_it_may_be_large(tmp_path: Path) -> None:
    """One that says of itself that it has a terabyte, and whose bytes never end, is not waited for, and is no file that is not there."""
    endless = COPIED.format(what="size = 1 << 40", more="while True: sys.stdout.buffer.write(bytes(1 << 20))")
    with pytest.raises(UnfitContainer, match=r"/etc/app\.json of the image has 1099511627776 bytes; at most 1000 are read"):
        engine(tmp_path, cp=endless).file_in("sha256:0", "/etc/app.json", 1000)
    assert engine(tmp_path, cp=COPIED.format(what="size = 2", more="")).file_in("sha256:0", "/etc/app.json", 1000) == b"{}"
    for none in ("size, file.type = 0, tarfile.DIRTYPE", "size, file.type = 0, tarfile.SYMTYPE", "size, file.type = 0, tarfile.FIFOTYPE"):
        assert engine(tmp_path, cp=COPIED.format(what=none, more="")).file_in("sha256:0", "/etc/app.json", 1000) is None


def test_a_file_that_is_not_there_is_told_from_an_image_that_cannot_be_read(tmp_path: Path) -> None:
    """Engines have one status for both. Of an image that can be read its root can; of another one is not told that it has no such file."""
    root = COPIED.format(what="size, file.type = 0, tarfile.DIRTYPE", more="")
    absent = "if not sys.argv[2].endswith(':/'): sys.exit('no such file')\n" + root
    assert engine(tmp_path, cp=absent).file_in("sha256:0", "/etc/app.json", 1000) is None
    with pytest.raises(ContainerNotStarted, match=r"podman gives no file of sha256:0: «input/output error»"):
        engine(tmp_path, cp="sys.exit('input/output error')").file_in("sha256:0", "/etc/app.json", 1000)
    with pytest.raises(ContainerEngineAway, match="podman does not answer"):
        engine(tmp_path, cp="sys.exit(1)", info="sys.exit(1)").file_in("sha256:0", "/etc/app.json", 1000)


@pytest.fixture
def as_nobody() -> Iterator[Path]:
    """A folder of a user whom rights bind, who this process is for a while: of root they bind nothing."""
    folder = Path(tempfile.mkdtemp(prefix="nobody-"))
    root = os.geteuid() == 0
    if root:
        os.chown(folder, NOBODY, NOBODY)
        os.seteuid(NOBODY)
    try:
        yield folder
    finally:
        if root:
            os.seteuid(0)
        subprocess.run(["chmod", "-R", "u+rwx", str(folder)], check=True)
        shutil.rmtree(folder)


CLOSING = """#!/bin/sh -p
[ "$1" = info ] && echo v2 memory pids
[ "$1" = run ] || exit 0
for word; do case "$word" in --volume=*:/output:rw) made=${{word#--volume=}}; made=${{made%:/output:rw}};; esac; done
closed="$made/a
b"
mkdir "$closed"
exec 3> "$closed/more"
chmod {mode} "$closed"
head -c 9000 /dev/zero >&3
"""
"""An engine without Python, which others than its owner may not be let to; the rights of who called it are its own."""


@pytest.mark.parametrize("mode", [0o300, 0o000, 0o600], ids=oct)
def test_a_folder_that_is_closed_to_the_node_is_a_bound_of_its_own(as_nobody: Path, mode: int) -> None:
    """What lies there could not be counted: a container would write as much as it likes. A newline in its name breaks no line."""
    program = as_nobody / "engine"
    program.write_text(CLOSING.format(mode=f"{mode:o}"), encoding="utf-8")
    program.chmod(0o755)
    there = ContainerEngine(name="podman", program=str(program), rootless=True)
    with pytest.raises(ContainerStopped, match=r"it closed the folder «a\\nb» to the node"):
        there.run(call(as_nobody), ContainerBounds(output=1000), 60)


def test_a_container_of_docker_outlives_no_node_that_was_killed(tmp_path: Path) -> None:
    """Docker's daemon lets it run on, and has no bound of time: what was started beside it removes it when its time is over."""
    os.mkfifo(tmp_path / "removed")
    removes = f"open({str(tmp_path / 'removed')!r}, 'w').write(sys.argv[-1])"
    there = engine(tmp_path, "open(made + '/begun', 'w').close()\nsignal.alarm(60)\nsignal.pause()", rm=removes, name="docker")
    asked = call(tmp_path)
    script = (
        "import os, sys, threading, signal\nfrom pathlib import Path\n"
        "from inference.applications.container.engine import ContainerBounds, ContainerCall, ContainerEngine\n"
        f"from pathlib import PosixPath\nengine = {there!r}\ncall = {asked!r}\n"
        "def killed():\n"
        "    while not (call.made / 'begun').exists():\n"
        "        threading.Event().wait(0.05)\n"
        "    threading.Event().wait(0.3)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "threading.Thread(target=killed).start()\n"
        "engine.run(call, ContainerBounds(), 1)\n"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == -signal.SIGKILL
    assert (tmp_path / "removed").read_text() == tmp_path.name


def test_what_waits_for_a_run_of_docker_ends_with_it(tmp_path: Path) -> None:
    """It would remove, much later, a container that has its name by then."""
    there = engine(tmp_path, rm="open(sys.argv[0] + '.removed', 'a').write(sys.argv[-1] + ' ')", name="docker")
    there.run(call(tmp_path), ContainerBounds(), 600)
    assert (tmp_path / "engine.removed").read_text() == f"{tmp_path.name} "
    waiting = subprocess.run(["pgrep", "-f", f"sleep .*{there.program}"], capture_output=True, check=False)
    assert waiting.stdout == b""
