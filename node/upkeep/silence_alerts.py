"""Tells people of processes that give no sign of life (`node.observe.liveness`), and that they do again."""

from collections.abc import Callable
from dataclasses import replace

from node.domain.notice import About, Item
from node.observe.liveness import ENDED_S, SILENT_S

_LOOK = "Nothing that was taken is lost. Should it happen again, the events before `process.silent` say at what it stood."


class SilenceAlerts:
    """Tells from the supervisor: the process that tells of everything else may be the silent one."""

    def __init__(self, tell: Callable[[Item], None]) -> None:
        self._tell = tell
        self._told: dict[str, Item] = {}

    def turn(self, process: str, silent_s: float, *, ready: bool) -> None:
        """Tell that it is silent, and later that it is no more."""
        if silent_s >= SILENT_S and process not in self._told:
            says = f"The process {process} of the node gives no sign of life; after {ENDED_S:.0f} s it is ended and started again."
            self._told[process] = Item(about=About.PROCESS, says=says, remedy=_LOOK)
            self._tell(self._told[process])
        elif silent_s < SILENT_S and ready and process in self._told:
            told = self._told.pop(process)
            self._tell(replace(told, says=f"No more: {told.says}", remedy="", over=True))
