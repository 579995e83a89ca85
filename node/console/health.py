"""How peers, sinks and engines are: asked in the background when somebody looks, so that no page waits for one that is slow or away."""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from node.domain.health import Answer, Dependency

FRESH_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A subject, and what it said last; None before its first answer. `asking` while another is awaited."""

    subject: Dependency
    answer: Answer | None
    age_s: float | None
    asking: bool


class Health:
    """Answers by subject. `look` never waits: what it starts is there when it is called again.

    Parameters
    ----------
    clock
        A clock that only goes forward.
    """

    def __init__(self, subjects: Sequence[Dependency], *, clock: Callable[[], float] = time.monotonic) -> None:
        self._subjects = tuple(subjects)
        self._clock = clock
        self._guard = threading.Lock()
        self._answers: dict[int, tuple[float, Answer]] = {}
        self._asking: set[int] = set()

    def look(self) -> list[Line]:
        """What is known now; whoever was not asked for half a minute is asked again."""
        now = self._clock()
        with self._guard:
            for number, subject in enumerate(self._subjects):
                known = self._answers.get(number)
                old = known is None or now - known[0] >= FRESH_S
                if subject.ask is not None and old and number not in self._asking:
                    self._asking.add(number)
                    # a daemon: whoever never answers keeps no process from ending
                    threading.Thread(target=self._ask, args=(number, subject.ask), name=f"health {subject.name}", daemon=True).start()
            return [self._line(number, subject, now) for number, subject in enumerate(self._subjects)]

    def _line(self, number: int, subject: Dependency, now: float) -> Line:
        known = self._answers.get(number)
        return Line(
            subject=subject,
            answer=None if known is None else known[1],
            age_s=None if known is None else max(0.0, now - known[0]),
            asking=number in self._asking,
        )

    def _ask(self, number: int, ask: Callable[[], Answer]) -> None:
        answer: Answer | None = None
        try:
            answer = ask()
        finally:
            with self._guard:
                self._asking.discard(number)
                self._answers[number] = (self._clock(), answer or Answer(ready=False, detail="it could not be asked: see the event log"))
