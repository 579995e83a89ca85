"""The template: a small process that has imported what is slow to import, and forks a fresh process for each model.

Started by the worker with an empty environment and no descriptors but its own, it holds nothing of the worker's and never sees a model:
what it forks is confined before it is given one. Its one thread makes forking safe, and Landlock binding.
"""

import gc
import os
import signal
import socket
import sys
import tempfile
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

# what every process needs, imported once; its own libraries are told to start no threads by the environment
from inference.engines.jail import inside
from inference.engines.jail.confine import confine
from inference.engines.jail.kernel import SET_PARENT_DEATH_SIGNAL, prctl
from inference.engines.jail.messages import hear_with_descriptors, say

_CHANNEL = 3
_MOST_LIKELY_KILLED = "1000"


def main(descriptor: int) -> None:
    """Fork and reap as the worker asks through a socket, until it is gone."""
    control = socket.socket(fileno=descriptor)
    # who stops the node asks the worker, which ends its models after the jobs under way
    for asked in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(asked, signal.SIG_IGN)
    while True:
        try:
            said, descriptors = hear_with_descriptors(control)
        except (EOFError, ConnectionError):
            return
        statuses = {pid: reap(pid) for pid in said.get("reap", [])}
        answer: dict[str, Any] = {"statuses": statuses}
        if "imports" in said:
            answer["threads"] = _imported(said["imports"])
            if answer["threads"] == 1:
                answer["pid"] = _forked(control, *descriptors)
        for descriptor in descriptors:
            os.close(descriptor)
        say(control, answer)


def _imported(names: list[str]) -> int:
    """Import what the next process will need anyway; the number of threads after it."""
    for name in names:
        if name not in sys.modules:
            with suppress(ImportError):
                import_module(name)
            # what lies in memory now is shared by all processes as long as nobody writes to it
            gc.collect()
            gc.freeze()
    return len(os.listdir("/proc/self/task"))


def reap(pid: int) -> int | None:
    """End a process that this one forked, for good; how it ended: its exit code, or minus the signal.

    None where it is no child of this process: an earlier template forked it, it has ended with that one, and its number may be another's
    by now.
    """
    try:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if not ended:
            os.kill(pid, signal.SIGKILL)
            status = os.waitpid(pid, 0)[1]
    except ChildProcessError:
        return None
    return os.waitstatus_to_exitcode(status)


def _forked(control: socket.socket, channel: int, output: int) -> int:
    own = os.getpid()
    pid = os.fork()
    if pid:
        return pid
    try:
        control.detach()
        # not to the worker's terminal or log: a pipe that is read now and then, and drops what does not fit
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.dup2(channel, _CHANNEL)
        os.closerange(_CHANNEL + 1, os.sysconf("SC_OPEN_MAX"))
        prctl(SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)
        if os.getppid() == own:
            _confined_from_here(socket.socket(fileno=_CHANNEL))
    finally:
        os._exit(0)


def _confined_from_here(channel: socket.socket) -> None:
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(_MOST_LIKELY_KILLED, encoding="ascii")
    tempfile.tempdir = "/nonexistent"
    sys.stdout = sys.stderr = inside.Lossy()
    confined = confine()
    say(channel, {"landlock": confined.landlock, "seccomp": confined.seccomp})
    inside.serve(channel)
