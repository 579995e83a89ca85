"""Erasing a patient on request: everything the node has of one, in an order that a crash anywhere leaves to be finished by another call.

The order: jobs are withdrawn and what is under way ends; the audit trail tells the act; all rows go in one transaction, with tombstones for
the bytes; the bytes go; what was received and not journaled yet goes; the database's files are cleaned of what was deleted.
"""

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from inference.errors import InputError
from node.blobs.port import Blobs
from node.dicom.header import Identity, parse, patient_ids_in
from node.dicom.part10 import mapped, take_apart
from node.domain.job import delivery_marks
from node.domain.patient import Patient, patient_of
from node.domain.stage import Clock
from node.journal.journal import Journal
from node.journal.port import HeldRows
from node.observe.audit import codes
from node.observe.audit.message import Action, Message, Participant, Person, StudyObject
from node.spool.port import Inbox

_EVERY_S = 0.5
_NAMED_S = 10.0
_ROUNDS = 5
_TOMBSTONES = 1000
_WAITING = 1_000_000
_LEAST_TRACE = 6
_MOST_TRACES = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class ErasurePlan:
    """What would be erased. `entries` wait for the journal, `asides` cannot be read as instances but bear the patient's ID;
    `unread` are files set aside in which no patient ID could be found: a person has to look at them."""

    held: HeldRows
    entries: tuple[Path, ...]
    asides: tuple[Path, ...]
    unread: tuple[Path, ...]

    @property
    def empty(self) -> bool:
        """Whether there is nothing."""
        return self.held.empty and not self.entries and not self.asides


@dataclass(frozen=True, slots=True, kw_only=True)
class ErasureResult:
    """What was done. `under_way` jobs and deliveries did not end in time: what they were sending may have arrived. `clean` False: another
    process kept the database's file from being cleaned; another call does it."""

    instances: int
    jobs: int
    blobs: int
    files: int
    under_way: int
    clean: bool


class Erasure:
    """Erases one patient, or whole studies.

    Parameters
    ----------
    patient
        Whose; None: `studies`, whoever's they are.
    tell
        Brings audit messages to disk before it returns.
    caught_up
        Lets the audit trail tell what the history still holds of it.
    who
        The person who asks for it, for the audit trail.
    """

    def __init__(
        self,
        journal: Journal,
        blobs: Blobs,
        inbox: Inbox,
        clock: Clock,
        *,
        patient: Patient | None,
        studies: Collection[str] = (),
        tell: Callable[[Sequence[Message]], None] = lambda _: None,
        caught_up: Callable[[], None] = lambda: None,
        who: Participant,
    ) -> None:
        self._journal = journal
        self._blobs = blobs
        self._inbox = inbox
        self._clock = clock
        self._patient = patient
        self._studies = tuple(studies)
        self._tell = tell
        self._caught_up = caught_up
        self._who = who

    def plan(self) -> ErasurePlan:
        """Look, and touch nothing. What was acknowledged a moment ago is waited for until it can be looked at."""
        acknowledged, until = self._inbox.acknowledged(), time.monotonic() + _NAMED_S
        while any(path.exists() for path in acknowledged) and time.monotonic() < until:
            time.sleep(_EVERY_S)
        held = self._journal.erasure.find(self._patient, self._studies)
        asides, unread = self._asides()
        return ErasurePlan(held=held, entries=tuple(self._entries()), asides=tuple(asides), unread=tuple(unread))

    def carry_out(self, plan: ErasurePlan, *, remember: timedelta, patience_s: float) -> ErasureResult:
        """Erase it. For `remember` nothing that comes under these studies is taken in again; jobs and deliveries under way are waited for
        up to `patience_s`."""
        under_way = self._withdraw(plan.held, patience_s)
        self._caught_up()
        if not plan.empty:
            self._tell([self._message(plan)])
        traces = self._traces(plan.held)
        instances = jobs = blobs = files = 0
        held = plan.held
        asides = {path.name for path in plan.asides}
        for _ in range(_ROUNDS):
            marks = [mark for job in held.jobs for mark in self._marks(job)]
            now = self._clock()
            self._journal.erasure.erase(held, marks, asides, now + remember, now)
            instances, jobs = instances + len(held.instances), jobs + len(held.jobs)
            blobs += self._sweep()
            files += self._drop(plan)
            # what the index had in hand when the rows went is in the journal by now, or never will be
            time.sleep(_EVERY_S)
            held = self._journal.erasure.find(self._patient, self._studies)
            if held.empty and not list(self._entries()):
                break
        clean = self._journal.erasure.clean_files(traces)
        return ErasureResult(instances=instances, jobs=jobs, blobs=blobs, files=files, under_way=under_way, clean=clean)

    def _withdraw(self, held: HeldRows, patience_s: float) -> int:
        until = time.monotonic() + patience_s
        while True:
            under_way = self._journal.erasure.cancel_work(held, self._clock())
            if under_way == 0 or time.monotonic() >= until:
                return under_way
            time.sleep(_EVERY_S)

    def _marks(self, number: int) -> list[str]:
        """What says that results of a job were delivered, also to sinks that only an operator sent them to."""
        job = self._journal.jobs.get(number)
        sinks = dict.fromkeys([*job.sinks, *(delivery.sink for delivery in self._journal.deliveries.find(job=number))])
        return [mark for sink in sinks for mark in delivery_marks(job, sink)]

    def _sweep(self) -> int:
        """Delete the bytes that tombstones stand for, as retention does."""
        swept = 0
        while blobs := self._journal.retention.purged_blobs(_TOMBSTONES):
            for blob in blobs.values():
                self._blobs.delete(blob)
            self._journal.retention.swept(blobs)
            swept += len(blobs)
        return swept

    def _drop(self, plan: ErasurePlan) -> int:
        entries = list(self._entries())
        for entry in entries:
            self._inbox.drop(entry)
        there = [path for path in plan.asides if path.exists()]
        for path in plan.asides:
            self._inbox.drop_aside(path)
        return len(entries) + len(there)

    # ---- what has no row

    def _entries(self) -> Iterator[Path]:
        """What waits for the journal and is the patient's."""
        for entry in self._inbox.waiting(_WAITING):
            try:
                with self._inbox.opened(entry) as file, mapped(file) as (content, _):
                    identity, header = parse(take_apart(content))
            except (InputError, OSError):
                continue  # it is set aside, soon if not yet, or gone: the index has it first
            if self._is_ours(identity, patient_of(header)):
                yield entry

    def _is_ours(self, identity: Identity, patient: Patient | None) -> bool:
        if self._patient is None:
            return identity.study_instance_uid in self._studies
        return patient == self._patient

    def _asides(self) -> tuple[list[Path], list[Path]]:
        """Those set aside that bear the patient's ID, and those that bear none that can be found."""
        ours, unread = [], []
        for path in self._inbox.asides():
            try:
                with self._inbox.opened(path) as file, mapped(file) as (content, _):
                    found = patient_ids_in(bytes(content))
            except InputError:
                found = set()  # nobody can open it: a person looks at it
            except (FileNotFoundError, ValueError):
                continue
            except OSError:
                found = set()
            if self._patient is not None and self._patient.patient_id.encode("utf-8", "replace") in found:
                ours.append(path)
            elif not found:
                unread.append(path)
        return ours, unread

    # ---- what is said of it

    def _message(self, plan: ErasurePlan) -> Message:
        studies = [StudyObject(study_instance_uid=uid, erased=True) for uid in (*plan.held.studies, *plan.held.shared)]
        person = (
            Person(patient_id="") if self._patient is None else Person(patient_id=self._patient.patient_id, issuer=self._patient.issuer)
        )
        return Message(
            event=codes.STUDY_DELETED,
            action=Action.DELETE,
            at=self._clock(),
            participants=(self._who,),
            objects=(*studies, person),
            description="erased on request",
        )

    def _traces(self, held: HeldRows) -> list[bytes]:
        """What must not stand in the database's files afterwards; nothing where nothing was found, which cleans all of them."""
        texts = [*held.studies, *held.series, *held.shared][:_MOST_TRACES]
        if self._patient is not None and len(self._patient.patient_id) >= _LEAST_TRACE:
            texts.append(self._patient.patient_id)
        return [] if held.empty else [text.encode("utf-8", "replace") for text in texts if text]
