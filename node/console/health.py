"""How the node, its peers, sinks and engines are: looked at in the background when somebody looks, so that no page waits."""

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar

from node.domain.health import FRESH_S, Answer, Area, Dependency, DependencyKind, DoctorFinding

_SHARED_FRESH_S = 15.0
_Told = TypeVar("_Told")
_NODE = None
"""The node itself, beside the subjects."""
_UNSEEN = DoctorFinding(
    area=Area.PROCESSES,
    subject="node",
    level="bad",
    detail="it could not be looked at",
    fix="The console's process has met a defect: the event log says where.",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A subject, and what it said last; None before its first answer. `asking` while another is awaited."""

    subject: Dependency
    answer: Answer | None
    age_s: float | None
    asking: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeLook:
    """What was found when the node was looked at last; None before the first time. `asking` while it is looked at."""

    findings: tuple[DoctorFinding, ...] | None
    asking: bool


class Health:
    """Answers by subject. `look` never waits: what it starts is there when it is called again.

    Parameters
    ----------
    findings
        Looks at the node itself, which may take seconds.
    clock
        A clock that only goes forward.
    """

    def __init__(
        self,
        subjects: Sequence[Dependency],
        findings: Callable[[], Iterable[DoctorFinding]] = tuple,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._subjects = tuple(subjects)
        self._look_at_node = findings
        self._clock = clock
        self._guard = threading.Lock()
        self._answers: dict[Dependency, tuple[float, Answer]] = {}
        self._found: tuple[float, tuple[DoctorFinding, ...] | None] = (float("-inf"), None)
        self._asking: set[Dependency | None] = set()
        self._again: set[Dependency] = set()

    def adopt(self, subjects: Sequence[Dependency]) -> None:
        """Ask these from the next look on; what others are asked now is not told any more. What stays is asked when its answer is old."""
        with self._guard:
            self._subjects = tuple(subjects)
            self._answers = {one: told for one, told in self._answers.items() if one in self._subjects}
            self._again.intersection_update(self._subjects)

    def look(self) -> list[Line]:
        """What is known now; whose answer lasts no longer is asked again. What it said last stands until it has answered."""
        now = self._clock()
        with self._guard:
            for subject in self._subjects:
                known = self._answers.get(subject)
                old = known is None or now - known[0] >= known[1].lasts_s or subject in self._again
                if subject.ask is not None and old and subject not in self._asking:
                    self._again.discard(subject)
                    self._start(subject, subject.name, partial(self._ask, subject, subject.ask))
            return [self._line(subject, now) for subject in self._subjects]

    def look_at_node(self) -> NodeLook:
        """What is known of the node now; when it was not looked at for half a minute it is."""
        with self._guard:
            if self._clock() - self._found[0] >= FRESH_S:
                self._start(_NODE, "node", self._find)
            return NodeLook(findings=self._found[1], asking=_NODE in self._asking)

    def forget(self, kind: DependencyKind | None = None, name: str = "") -> bool:
        """Have a subject asked at the next look, however lately it was (None: the node itself); whether there is one that can be asked."""
        with self._guard:
            if kind is None:
                self._found = (float("-inf"), self._found[1])
                return True
            for subject in self._subjects:
                if (subject.kind, subject.name) == (kind, name) and subject.ask is not None:
                    self._again.add(subject)
                    return True
        return False

    def _start(self, subject: Dependency | None, name: str, run: Callable[[], None]) -> None:
        if subject not in self._asking:
            self._asking.add(subject)
            # a daemon: whoever never answers keeps no process from ending
            threading.Thread(target=run, name=f"health {name}", daemon=True).start()

    def _line(self, subject: Dependency, now: float) -> Line:
        known = self._answers.get(subject)
        return Line(
            subject=subject,
            answer=None if known is None else known[1],
            age_s=None if known is None else max(0.0, now - known[0]),
            asking=subject in self._asking,
        )

    def _ask(self, subject: Dependency, ask: Callable[[], Answer]) -> None:
        answer: Answer | None = None
        try:
            answer = ask()
        finally:
            with self._guard:
                self._asking.discard(subject)
                if subject in self._subjects:
                    said = answer or Answer(ready=False, detail="it could not be asked: see the event log")
                    self._answers[subject] = (self._clock(), said)

    def _find(self) -> None:
        found: tuple[DoctorFinding, ...] = (_UNSEEN,)
        try:
            found = tuple(self._look_at_node())
        finally:
            with self._guard:
                self._asking.discard(_NODE)
                self._found = (self._clock(), found)


class SharedLook(Generic[_Told]):
    """What costs the journal or the disk something, looked at a few times a minute, however many look."""

    def __init__(self, look: Callable[[], _Told], *, clock: Callable[[], float] = time.monotonic) -> None:
        self._look = look
        self._clock = clock
        self._guard = threading.Lock()
        self._known: tuple[float, _Told] | None = None

    def told(self) -> _Told:
        """As it was within the last quarter of a minute."""
        with self._guard:
            if self._known is None or self._clock() - self._known[0] >= _SHARED_FRESH_S:
                self._known = (self._clock(), self._look())
            return self._known[1]
