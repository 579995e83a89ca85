"""Supervisor: starts receive, flow and work as processes of their own, and starts again what dies."""

import contextlib
import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from inference.errors import HilumError
from node.assembly import compose
from node.assembly.audit import overseen
from node.assembly.libraries import half_installed
from node.assembly.receive import ListeningSockets, NotReady
from node.assembly.reload import START, KeptRevisions, Reloading
from node.assembly.roles import ALL, NodeRole, lock, shares_journal
from node.assembly.template import PROGRAM, ForkedStage, Template
from node.assembly.watches import backlog_watch, store_watch, tell_people
from node.backup.manifest import refuse_half_restored
from node.blobs.encryption.decrypted import FileEncryption
from node.blobs.objects import BucketAway, BucketRefused
from node.dimse.validity import demand_usable_tls
from node.domain.notice import About, Item
from node.journal.errors import JournalAway, JournalBusy, JournalFull
from node.observe.events import alarm, event
from node.observe.pulse import SilenceAlerts, Termination, WatchedProcess, beginning, excuse
from node.records.telemetry import Facts, Telemetry
from node.settings.config import Config
from node.store.encryption import open_encryption
from node.store.hosts import dead_owners, forget, owner_of
from node.store.identity import NOTHING, Meant, agree, refuse_other_places
from node.store.in_force import InForce, Present

_RESTART_FIRST_S = 0.5
_RESTART_MOST_S = 30.0
_RESTART_USABLE_MOST_S = 2.0  # it had come up: whatever ended it (a study, the kernel) need not keep the next study waiting
_STEADY_S = 60.0  # a process that lived this long starts again at once
_READY_S = 60.0
_DRAIN_S = 30.0
_WATCH_EVERY_S = 0.2
_STAYS_EVERY_S = 1.0
PIPES: Final[Mapping[str, Any]] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "encoding": "utf-8", "errors": "replace"}
"""How a process of the node is heard: whatever it prints is text in the end, for what cannot be decoded would end the listening."""


@dataclass(slots=True)
class NodeProcess:
    """One process of the node as its supervisor holds it: the one that runs now, or none, and what is known of those before it."""

    stage: str
    watched: WatchedProcess
    process: subprocess.Popen[str] | ForkedStage | None = None
    started: float = 0.0
    failures: int = 0
    restart_at: float = 0.0
    ended: float = float("-inf")
    ready: threading.Event = field(default_factory=threading.Event)
    row: int = 0
    """Of the receive processes, which."""
    ending: Termination = field(default_factory=Termination)
    owner: str = ""
    """How leases of this process begin (it gives itself the same name)."""
    on_purpose: bool = False
    """Whether it was ended so: whatever it was at is not to blame."""

    def end(self) -> None:
        """Kill it, so that it is started again. One that has died by itself, or hangs, is not excused."""
        if self.process is not None and self.process.poll() is None:
            self.on_purpose = self.ending.told_at is None
            self.process.kill()

    def listen(self, process: subprocess.Popen[str] | ForkedStage) -> None:
        """Hear what it prints until it ends: of that one line matters, by which it says that it is ready."""
        assert process.stdout is not None
        for line in process.stdout:
            # whatever else stands there, an application printed: what is not read would fill the pipe, and the process would hang
            with contextlib.suppress(ValueError, RecursionError):
                said = json.loads(line)
                if isinstance(said, dict) and said.get("event") == "process.ready":
                    self.watched.ready = process is self.process
                    self.ready.set()


class Supervisor:
    """Starts the processes of one node, or those of some roles, watches them, and drains them at the end.

    Raises
    ------
    AlreadyRunning
        Another supervisor holds the store's lock.
    JournalLost, BlobsLost, StoresMixed, NotANewJournal
        Journal, blobs and spool are not of one store; `meant` says which loss is no mistake.
    HalfRestored
        The store holds a part of a backup.
    NotPrivate, TlsUnusable, TlsExpired
        No handshake could succeed with what `tls:` names.
    """

    def __init__(
        self,
        config: Config,
        *,
        announce: Callable[[dict[str, object]], None],
        roles: frozenset[NodeRole] = ALL,
        meant: Meant = NOTHING,
        template: Template | None = None,
    ) -> None:
        self._config = config
        self._announce = announce
        self._stopping = False  # a plain name: an Event that a signal handler sets can meet its own lock
        self._locks = lock(config, roles)
        refuse_half_restored(config)
        calls = NodeRole.RECEIVE in roles or NodeRole.FLOW in roles
        if calls:
            demand_usable_tls(config)
        compose.demand_takable(config, calls=False)
        self.members = list(_members(config, roles))
        """The processes of the node, in the order in which they are started: the listeners last."""
        self._template = template
        if template is not None:
            template.prepare({member.stage for member in self.members})
        with beginning():
            self._sealing = self._unlock()
            self._identify(meant)
        self._present = Present(config)
        tell = partial(tell_people, self._present)
        self._places = store_watch(config, tell)
        self._backlog = backlog_watch(self._present, tell)
        self._roles = roles
        self._listening: ListeningSockets | None = None
        self._looked_at_libraries = False
        self._telemetry = Telemetry(
            config,
            [member.watched for member in self.members],
            Facts(config.store, partial(compose.open_journal, config)),
            self._places.why,
            self._backlog.why,
        )
        self._alerts = SilenceAlerts(tell)
        self._in_force = InForce(config)
        self._revisions = KeptRevisions(config)
        demand = partial(compose.demand_takable, calls=calls)
        self._reloading = Reloading(config, self._in_force, demand, [self._present, self._telemetry], self._revisions)

    def _unlock(self) -> FileEncryption | None:
        """Refuse to start without the keys to what lies there; with them, use the place in memory first and last of all: it is emptied."""
        file_encryption = open_encryption(self._config)
        if file_encryption is not None:
            event("store.encrypted", keys=file_encryption.keys.names(), opened_in=str(file_encryption.memory.root))
        return file_encryption

    def _identify(self, meant: Meant) -> None:
        """Refuse to start where journal, blobs and spool are not of one store. What is away now is compared by each process later."""
        try:
            with contextlib.closing(compose.open_journal(self._config, meant)) as journal:
                agree(self._config, journal, compose.open_bare_blobs(self._config), meant)
        except (JournalAway, JournalBusy, JournalFull, BucketAway, BucketRefused) as away:
            if meant != NOTHING or (isinstance(away, JournalBusy) and not shares_journal(self._config)):
                raise
            refuse_other_places(self._config)
            event("store.away", code=away.code, reason=str(away))

    def stop(self) -> None:
        """Drain and end; safe to call from a signal handler."""
        self._stopping = True

    def reload(self) -> None:
        """Take up what the file says now, if it is good; safe to call from a signal handler."""
        self._reloading.tell()

    def run(self) -> int:
        """Serve until `stop`; 0 when everything drained in time.

        Raises
        ------
        NotReady
            The listener did not come up.
        ConsoleAbsent, NotPrivate, TlsUnusable
            The configuration has a console, and what that is made of is not installed; no browser could shake hands with it.
        """
        if NodeRole.CONSOLE in self._roles and self._config.console is not None:
            from node.assembly.doctor.logins import demand_console

            demand_console(self._config.console)
        with overseen(self._config) as begun:
            return self._run(begun)

    def _run(self, begun: Callable[[], None]) -> int:
        if NodeRole.RECEIVE in self._roles:
            self._listening = ListeningSockets(self._config)
        with beginning():
            self._release_the_dead()
            self._revisions.came(self._config, START)
        self._places.begin()
        self._backlog.begin()
        for member in self.members:
            self._start(member)
        if not self._await_ready():
            return self._drain()
        self._telemetry.turn()
        begun()
        self._announce(self._ready())
        while not self._stopping:
            time.sleep(_WATCH_EVERY_S)
            self._telemetry.turn()
            self._reloading.turn()
            if self._places.came_anew():
                self.begin_anew()
            for member in self.members:
                self.watch(member)
            if self._template is not None:
                self._template.turn([member.process.pid for member in self.members if member.process is not None])
        return self._drain()

    def begin_anew(self) -> None:
        """End what holds files of a place that is another one of the same store now; `watch` starts it again."""
        for member in self.members:
            member.end()

    def _await_ready(self) -> bool:
        """Wait until every listener accepts associations; without one, until every process has begun. False when told to stop."""
        listeners = [member for member in self.members if member.stage == NodeRole.RECEIVE]
        awaited = listeners or self.members
        deadline = time.monotonic() + _READY_S
        while not all(member.ready.wait(0.1) for member in awaited):
            self._telemetry.turn()
            if self._stopping:
                return False
            if not listeners:
                # whatever is away, the database mostly, may take its time
                for member in self.members:
                    self.watch(member)
            elif time.monotonic() > deadline or any(one.process is None or one.process.poll() is not None for one in listeners):
                self._drain()
                self._tell_half_installed()
                raise NotReady(f"the listener on {self._config.node.host}:{self._config.node.port} did not come up")
        return True

    def _ready(self) -> dict[str, object]:
        ready: dict[str, object] = {"event": "node.ready"}
        if self._listening is not None:
            ready |= {**self._listening.sockets.ports, "ae_title": self._config.node.ae_titles[0]}
        if self._roles != ALL:
            ready["stages"] = [role.value for role in NodeRole if role in self._roles]
        if self._telemetry.port is not None:
            ready["metrics_port"] = self._telemetry.port
        return {**ready, "pid": os.getpid()}

    def _release_the_dead(self) -> None:
        """Make claimable what an earlier run on this host left under its leases; those of other hosts run out by themselves."""
        if not shares_journal(self._config):
            # the lock is ours, so whoever held these leases is dead
            try:
                with contextlib.closing(compose.open_journal(self._config)) as journal:
                    freed = journal.processes.release("", journal.now())
            except JournalFull as full:  # they run out by themselves; and who tells people otherwise begins when there is room
                freed = 0
                alarm("family.leases_stand", owner="", code=full.code, reason=str(full))
                says = "The node starts and takes nothing: its journal's disk is full."
                tell_people(self._present, Item(about=About.DISK, says=says, remedy=full.remedy))
        else:
            freed = 0
            for owner in dead_owners(self._config):
                freed += self._release(owner) or 0
                forget(self._config, owner)
        if freed:
            event("family.leases_released", count=freed)

    def _start(self, member: NodeProcess) -> None:
        """Start it; what the system refuses now (no room for a process, a thread or a file) is tried again later."""
        try:
            self._spawn(member)
        except (OSError, RuntimeError) as refused:
            if member.process is not None:  # it runs, and nobody would hear it
                member.end()
                return
            member.failures += 1
            wait_s = min(_RESTART_MOST_S, _RESTART_FIRST_S * 2.0 ** min(member.failures - 1, 10))
            member.restart_at = time.monotonic() + wait_s
            reason = (refused.strerror if isinstance(refused, OSError) else None) or str(refused)
            alarm("process.cannot_start", stage=member.stage, reason=reason, again_in_s=wait_s)

    def _spawn(self, member: NodeProcess) -> None:
        member.ready.clear()
        member.ending, member.on_purpose = Termination(), False
        member.started = time.monotonic()
        # stdin is a life line: a child whose parent dies reads end-of-file and drains
        counts = member.watched.cells.descriptor
        arguments = [str(self._config.path), member.stage, "--count-in", str(counts), "--in-force", str(self._in_force.provided())]
        lent: tuple[int, ...] = (counts,)
        if self._listening is not None and member.stage == NodeRole.RECEIVE:
            arguments += self._listening.arguments(member.row)
            lent += self._listening.descriptors
        if self._listening is not None and member.stage == NodeRole.CONSOLE:
            arguments += ["--receiver-port", str(self._listening.own_port)]
        forked = None if self._template is None else self._template.start(arguments, lent)
        member.process = forked or subprocess.Popen([*PROGRAM, *arguments], pass_fds=lent, **PIPES)
        member.owner = owner_of(self._config, member.process.pid)
        member.watched.began(member.process.pid, member.owner)
        event("process.started", stage=member.stage, pid=member.process.pid, forked=forked is not None)
        threading.Thread(target=member.listen, args=(member.process,), daemon=True).start()

    def watch(self, member: NodeProcess) -> None:
        """Look at a process once: start it where it is due; give back what it held where it died, end it where it is silent."""
        if member.process is None:
            # what is started where a disk is not mounted makes its folders below the mount point
            if time.monotonic() >= member.restart_at and self._places.stood_since(member.ended):
                self._start(member)
            return
        code = member.process.poll()
        if code is None:
            silent_s = self._telemetry.silent_s(member.watched)
            member.ending.turn(member.process, member.stage, silent_s, time.monotonic())
            self._alerts.turn(member.watched.name, silent_s, ready=member.watched.ready)
            return
        member.watched.died(code)
        member.ended = time.monotonic()
        if self._listening is not None and member.stage == NodeRole.RECEIVE:
            self._listening.standing.blank(member.row)
        if member.on_purpose:
            excuse(member.watched.cells)
        freed = self._release(member.owner, count_attempt=not member.on_purpose)
        member.failures = 0 if time.monotonic() - member.started > _STEADY_S else member.failures + 1
        most_s = _RESTART_USABLE_MOST_S if member.ready.is_set() else _RESTART_MOST_S
        wait_s = min(most_s, _RESTART_FIRST_S * 2.0 ** min(member.failures - 1, 10)) if member.failures else 0.0
        alarm("process.died", stage=member.stage, pid=member.process.pid, exit_code=code, leases_released=freed, restart_in_s=wait_s)
        if member.ready.is_set():
            self._looked_at_libraries = False  # it could begin: what keeps a later one from it is another matter
        elif code:
            self._tell_half_installed()
        member.restart_at = time.monotonic() + wait_s
        member.process = None

    def _tell_half_installed(self) -> None:
        """Once until one could begin: looking takes a moment, and a process that cannot begin is begun again and again."""
        if not self._looked_at_libraries:
            self._looked_at_libraries = True
            half_installed.cache_clear()  # pip may have been here since
            for half in half_installed():
                alarm("library.half_installed", code=half.code, reason=str(half), remedy=half.remedy)

    def _release(self, owner: str, *, count_attempt: bool = True) -> int:
        """Make what a dead process held claimable at once; where the journal cannot be written now, its leases run out by themselves."""
        try:
            with contextlib.closing(compose.open_journal(self._config)) as journal:
                return journal.processes.release(owner, journal.now(), count_attempt=count_attempt)
        except HilumError as unwritable:  # a half restored store is no JournalError
            alarm("family.leases_stand", owner=owner, code=unwritable.code, reason=str(unwritable))
            return 0

    def _drain(self) -> int:
        """Stop the listener first, so that nothing new comes, then the rest; kill what does not end in time."""
        self._telemetry.drain()
        if self._listening is not None:
            self._listening.close()
        late: list[int] = []
        for stages in (("receive",), ("index", "flow", "work", "console")):
            going = [m.process for m in self.members if m.stage in stages and m.process is not None]
            for process in going:
                if process.poll() is None:
                    process.send_signal(signal.SIGTERM)
            deadline = time.monotonic() + _DRAIN_S
            for process in going:
                while process.poll() is None and time.monotonic() < deadline:
                    self._telemetry.stays()
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        process.wait(min(_STAYS_EVERY_S, max(0.1, deadline - time.monotonic())))
                if process.poll() is None:
                    alarm("process.killed", pid=process.pid, after_s=_DRAIN_S)
                    process.kill()
                    process.wait()
                    late.append(process.pid)
        for pid in late:
            self._release(owner_of(self._config, pid), count_attempt=False)  # stopped on purpose: no study is to blame
        self._telemetry.close()
        self._in_force.close()
        event("node.stopped", killed=len(late))
        return 0


def _members(config: Config, roles: frozenset[NodeRole]) -> Iterator[NodeProcess]:
    """The processes of these roles; the listeners come last."""
    if NodeRole.FLOW in roles:
        yield _member("flow", "flow")
    elif NodeRole.RECEIVE in roles:
        yield _member("index", "index")  # nobody else would empty this host's spool
    if NodeRole.WORK in roles:
        yield from (_member("work", f"work {n + 1}") for n in range(config.node.workers))
    if NodeRole.CONSOLE in roles and config.console is not None:
        yield _member("console", "console")
    if NodeRole.RECEIVE in roles:
        several = config.node.receivers > 1
        yield from (_member("receive", f"receive {n + 1}" if several else "receive", n) for n in range(config.node.receivers))


def _member(stage: str, name: str, row: int = 0) -> NodeProcess:
    return NodeProcess(stage=stage, row=row, watched=WatchedProcess(name=name))
