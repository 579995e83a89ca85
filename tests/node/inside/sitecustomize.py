"""Read by every Python process of a node whose PYTHONPATH names this folder: it stands, loops or dies where the tests say.

HILUM_STALLS names a folder. A file in it that is called like the stage of a process is taken away by a loop of such a process,
which then stands in a deadlock: by no other thread, and by no loop in a step that may take long. While there is a file called "poison",
routing a series of the patient LOOP never ends, and of the patient DIE ends the process. HILUM_STEP_S is the processor time that routing
may take, where it is less than a node's own. Nothing of node/ knows of this.
"""

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from tests.lab.wrapping import wrap

_FOLDER = os.environ.get("HILUM_STALLS", "")


def _wrap_pulse(module: Any) -> None:
    turned: Callable[[], None] = module.turned

    def told() -> None:
        loop = module.loop_of_this_thread()
        if loop is None or loop.until > time.monotonic():
            turned()
            return
        # looked at now: stages are forks of a process that has imported this
        for stage in (word for word in sys.argv if word in ("receive", "flow", "work", "console")):
            with contextlib.suppress(OSError):
                os.rename(f"{_FOLDER}/{stage}", f"{_FOLDER}/{stage}.taken")
                lock = threading.Lock()
                lock.acquire()
                lock.acquire()
        turned()

    module.turned = told


def _wrap_series(module: Any) -> None:
    seen: Callable[..., Any] = module.seen

    def told(series: str, instances: Sequence[tuple[str, Any]]) -> Any:
        patients = {str(value) for _, header in instances for value in header.get("PatientID", ())}
        while "LOOP" in patients and os.path.exists(f"{_FOLDER}/poison"):
            pass
        if "DIE" in patients and os.path.exists(f"{_FOLDER}/poison"):
            os.kill(os.getpid(), signal.SIGKILL)
        return seen(series, instances)

    module.seen = told


def _wrap_time_limits(module: Any) -> None:
    module.STEP_S = float(os.environ.get("HILUM_STEP_S", module.STEP_S))


if _FOLDER:
    wrap({"node.observe.pulse": _wrap_pulse, "node.routing.series": _wrap_series, "node.flow.time_limits": _wrap_time_limits})
