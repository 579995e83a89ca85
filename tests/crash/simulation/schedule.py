"""One schedule: which processes there are, who has the next turn, who is killed, and what must be true at the end."""

import random
import shutil
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from unittest import mock

from inference.errors import EngineError, HilumError
from node.blobs.port import BlobsFailed
from node.domain.job import Job
from node.domain.stage import Stage
from node.domain.state import ArrivalState, DeliveryState, JobState
from node.flow.clock_step import ClockStep
from node.flow.deliver import DeliverStage
from node.flow.index import IndexStage
from node.flow.infer import Inferred
from node.flow.route import RouteStage
from node.flow.runner import Runner
from node.flow.settle import SettleStage
from node.journal.database import JournalPart
from node.journal.errors import JournalBusy
from node.journal.journal import Journal
from node.results.statement.make import encode_statement
from node.results.withdrawal.make import encode_withdrawal
from tests.crash.simulation.truths import Wrong, check
from tests.crash.simulation.turns import Process, Watched
from tests.crash.simulation.world import APPLICATION, QUIET, SINKS, Archive, World, analyst, encode, whole

_PEACE_AFTER = (50, 400)
"""So many turns of trouble; then everything works, and everything must end."""
_MOST_TURNS = 6000
_BLOB_CALLS = frozenset({"put", "has", "delete"})
_INBOX_CALLS = frozenset({"waiting", "move_to_blobs", "set_aside", "drop", "take_back"})
_WAITING = (JobState.QUEUED, JobState.INFERRED, JobState.ENCODED)
_UNSETTLED = (ArrivalState.RECEIVED, ArrivalState.COMPLETE)
_RESTS = frozenset({"idle", "thinking", "a scan that takes its time"})
_ASKED = {"flow": 0.3, "work": 0.05, "sender": 0.3, "operator": 0.03}
"""How often who has nothing to do is asked, against one that has."""
_HELD_UP = (JobState.PARKED, JobState.FAILED)


class _Journal:
    """The journal as one process sees it, with the schedule's clock."""

    def __init__(self, world: World, process: Process, fault: Callable[[str, bool], None]) -> None:
        self.world = world
        for subject, part in vars(world.journal).items():
            if isinstance(part, JournalPart):
                calls = frozenset(name for name in dir(part) if not name.startswith("_"))
                setattr(self, subject, Watched(part, calls, process, fault, of=f"{subject}."))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.world.journal, name)

    def now(self) -> datetime:
        return self.world.clock()

    def at(self, timestamp: float) -> datetime:
        return self.world.at(timestamp)


class _Inline:
    """Instead of a pool of threads: what is submitted is done at once, by the process that submits it."""

    def __init__(self, **_: object) -> None:
        pass

    def submit(self, act: Callable[..., Any], *arguments: Any) -> "Future[Any]":
        done: Future[Any] = Future()
        try:
            done.set_result(act(*arguments))
        except Exception as error:  # noqa: BLE001  (as a pool keeps it)
            done.set_exception(error)
        return done

    def shutdown(self, **_: object) -> None:
        pass


@dataclass(slots=True)
class Schedule:
    """Plays one seed in `folder`; `play` raises Wrong.

    `journal_url` and `begins` are for the world; `after_turn` is called with it after each turn, and `at_end` once, when all is over.
    """

    seed: int
    folder: Path
    journal_url: str = ""
    begins: datetime | None = None
    after_turn: Callable[[World], None] | None = None
    at_end: Callable[[World], None] | None = None
    turns: int = 0
    kills: int = 0
    told: list[str] = field(default_factory=list)
    _draw: random.Random = field(init=False)
    _world: World = field(init=False)
    _processes: dict[str, Process] = field(default_factory=dict)
    _born: int = 0
    _sending: int = 0

    def play(self, empty: Path | None = None) -> None:
        """Play it; `empty` is a journal at the present schema, to be copied."""
        self.folder.mkdir(parents=True)
        if empty is not None:
            shutil.copy(empty, self.folder / "hilum.db")
        self._draw = random.Random(self.seed)
        self._world = World(self.folder, self._draw, self.journal_url, self.begins)
        try:
            with mock.patch("node.flow.deliver.ThreadPoolExecutor", _Inline), mock.patch("node.flow.settle.ThreadPoolExecutor", _Inline):
                self._run()
                self._end()
                check(self._world)
            if self.at_end is not None:
                self.at_end(self._world)
        except HilumError as error:
            raise Wrong(f"{type(error).__name__}: {error}") from error
        finally:
            for process in self._processes.values():
                process.kill()
            self._world.close()

    # ---- processes
    def _start(self, kind: str) -> None:
        self._born += 1
        bodies = {"flow": self._flow, "work": self._work, "sender": self._sender, "operator": self._operator}
        owner = f"{kind}-{self._born}"
        self._processes[owner] = Process(owner, bodies[kind])

    def _ports(self, process: Process) -> tuple[Any, Any, Any]:
        world = self._world
        journal = _Journal(world, process, self._journal_fault)
        blobs = Watched(world.blobs(), _BLOB_CALLS, process, self._disk_fault)
        inbox = Watched(world.inbox(), _INBOX_CALLS, process, self._disk_fault)
        return journal, blobs, inbox

    def _journal_fault(self, call: str, made: bool) -> None:
        if not made and self._world.trouble.happens("journal"):
            raise JournalBusy(f"the journal is locked: {call}")

    def _disk_fault(self, call: str, made: bool) -> None:
        if self._world.trouble.happens("disk"):
            raise BlobsFailed(f"the disk failed {'after' if made else 'before'} {call}")

    def _flow(self, process: Process) -> None:
        world = self._world
        journal, blobs, inbox = self._ports(process)
        sinks = {name: Archive(name, world.memory, world.draw, world.trouble) for name in SINKS}

        def horizon() -> datetime | None:
            return next((journal.at(entry.stat().st_mtime) for entry in inbox.waiting(1)), None)

        stages: list[Stage] = [
            ClockStep(journal.processes, world.config, world.clock, seconds=lambda: world.clock.steady_s),
            IndexStage(journal, inbox, blobs, world.config, world.clock),
            SettleStage(journal, world.config, world.clock, _nobody, horizon=horizon),
            RouteStage(journal, world.config, world.clock, lambda _: "default", lambda _: APPLICATION),
            DeliverStage(journal, blobs, lambda: sinks, world.config, world.clock, process.name),
        ]
        while True:
            for stage in stages:
                _step(stage)
            process.pause("idle")

    def _work(self, process: Process) -> None:
        world = self._world
        journal, blobs, _ = self._ports(process)

        def analyse(job: Job, files: Any, _of_prior: Any) -> Inferred:
            process.pause("analysing")
            if world.trouble.happens("engine"):
                raise EngineError("the engine failed")
            return analyst(job, files)

        def encoded(encoding: Any) -> Any:
            process.pause("encoding")
            (study,) = {job.study_instance_uid for job in world.journal.jobs.find() if job.input_digest == encoding.input_digest}
            return encode(study, encoding)

        runner = Runner(
            journal,
            blobs,
            world.config,
            world.clock,
            process.name,
            analyse,
            encoded,
            assemble=lambda *_, **__: [whole()],
            encode_statement=encode_statement,
            encode_withdrawal=encode_withdrawal,
            application_of=lambda _: APPLICATION,
            away=lambda _: (),
        )
        while True:
            _step(runner)
            process.pause("idle")

    def _sender(self, process: Process) -> None:
        """Sends studies image by image, some twice, some late; what is refused is sent again."""
        world, draw = self._world, self._world.draw
        self._sending += 1
        inbox = world.inbox()
        first = 10 * self._sending
        for study in range(first, first + draw.randint(1, 2)):
            images = [(study, number) for number in range(1, draw.randint(2, 5))]
            draw.shuffle(images)
            images += [image for image in images if draw.random() < 0.15]
            for image in images:
                if draw.random() < 0.1:
                    until = world.clock() + QUIET + timedelta(seconds=draw.randint(1, 30))
                    while world.clock() < until and world.trouble.on:
                        process.pause("a scan that takes its time")
                process.pause("sending")
                while world.trouble.happens("disk") or not world.receive(inbox, *image, process.name):
                    process.pause("refused")
        self._sending -= 1

    def _operator(self, process: Process) -> None:
        """Retries what is held up and sends again what is done, at any moment."""
        journal = self._world.journal
        while True:
            process.pause("thinking")
            if self._world.draw.random() < 0.1:
                self._mend()
            if self._world.trouble.on and self._world.draw.random() < 0.03:
                for job in journal.jobs.find(states=(JobState.DONE,)):
                    self._tell(f"resend {job.id}")
                    journal.deliveries.resend(job.id, None, self._world.clock())

    def _mend(self) -> None:
        journal, now = self._world.journal, self._world.clock()
        for job in journal.jobs.find(states=_HELD_UP):
            self._tell(f"retry {job.id}")
            journal.jobs.revive(job.id, now)
        for delivery in journal.deliveries.find(states=(DeliveryState.PARKED,)):
            self._tell(f"resend {delivery.job} to {delivery.sink}")
            journal.deliveries.resend(delivery.job, delivery.sink, now)

    # ---- the schedule
    def _run(self) -> None:
        draw, world = self._draw, self._world
        for kind in ("flow", "work", "work", "sender", "sender", "operator"):
            self._start(kind)
        peace = draw.randint(*_PEACE_AFTER)
        while self.turns < _MOST_TURNS:
            self.turns += 1
            if self.turns == peace:
                self._tell("peace")
                world.trouble.on = False
            if world.trouble.happens("kill"):
                self._kill()
            process = self._next()
            process.go_on()
            if process.error is not None:
                raise Wrong(f"{process.name} ended at {process.at}: {process.error!r}") from process.error
            if self.after_turn is not None:
                self.after_turn(world)
            if not world.trouble.on and self._all_rest() and self._is_over():
                return
        standing = {process.name: process.at for process in self._processes.values() if not process.dead}
        raise Wrong(f"something is stuck: {world.journal.jobs.find()} {world.journal.arrivals.find()} {standing}")

    def _next(self) -> Process:
        """Whose turn it is; who has nothing to do is seldom asked, and the clock goes on faster while nobody has."""
        draw, clock = self._draw, self._world.clock
        alive = [process for process in self._processes.values() if not process.dead]
        if self._world.trouble.happens("jump"):
            by_s = draw.choice([-3600, -600, 600, 3600])
            self._tell(f"the clock jumps by {by_s} s")
            clock.jump(by_s)
        if self._all_rest():
            clock.advance(draw.choice([1, 5, 20]))
        elif draw.random() < 0.05:
            clock.advance(draw.choice([0.1, 1, 5, 20, 90]))
        return draw.choices(alive, [_ASKED[process.kind] if process.at in _RESTS else 1.0 for process in alive])[0]

    def _all_rest(self) -> bool:
        return all(process.at in _RESTS for process in self._processes.values() if not process.dead)

    def _kill(self) -> None:
        """SIGKILL, then what the supervisor does; now and then it cannot free the leases, and they run out by themselves."""
        victims = [process for process in self._processes.values() if not process.dead and process.name.startswith(("flow", "work"))]
        for victim in victims if self._draw.random() < 0.2 else [self._draw.choice(victims)]:
            self.kills += 1
            self._tell(f"kill {victim.name} at {victim.at}")
            victim.kill()
            if self._draw.random() < 0.8:
                self._world.journal.processes.release(victim.name, self._world.clock())
            self._start(victim.kind)

    def _end(self) -> None:
        for process in self._processes.values():
            process.kill()

    def _tell(self, what: str) -> None:
        self.told.append(f"{self.turns}: {what}")

    def _is_over(self) -> bool:
        journal = self._world.journal
        under_way = (
            self._sending
            or journal.arrivals.find(states=_UNSETTLED)
            or journal.jobs.find(states=(*_WAITING, *_HELD_UP))
            or journal.deliveries.find(states=(DeliveryState.WAITING, DeliveryState.PARKED))
            or journal.deliveries.find(awaiting=True)
            or self._world.inbox().waiting(1)
        )
        return not under_way


def _step(stage: Stage) -> None:
    """As the loop of a process steps a stage: what fails is tried again later."""
    try:
        while stage.step():
            pass
    except HilumError as error:
        if not error.retry and not isinstance(error, EngineError):
            raise


def _nobody(_: object) -> Any:
    raise AssertionError("nobody is asked for a count")


def empty_journal(folder: Path) -> Path:
    """A journal at the present schema, to be copied."""
    path = folder / "empty.db"
    Journal.open(f"sqlite:{path}").close()
    return path
