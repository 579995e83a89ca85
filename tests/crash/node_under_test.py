"""The hospital around one node: a modality that sends, an archive that keeps every copy it gets, the node as `hilum serve`, a disk that
can fail below it; and the count of what must be true whatever happened."""

import json
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil

from node.assembly.configuration import load
from node.domain.job import Job
from node.domain.state import ArrivalState, JobState
from node.journal.journal import Journal
from node.spool.entries import ACKNOWLEDGED
from node.store.encryption import memory_folder
from tests.crash.archive import Archive, Modality
from tests.crash.counting import RESULTS, Count, Counting
from tests.crash.disk import Disk
from tests.crash.reading import Reading
from tests.crash.sender import CALLING, Secured, Study, send, write_study
from tests.lab import dcmtk
from tests.lab.node import Node, configuration, hilum
from tests.lab.program import wait_until
from tests.lab.wrapping import path_of

PATIENCE_S = 180.0
"""How long a study may take to be done after a crash: generous, because the machine may be busy; nothing waits for it to pass."""
_INSIDE = Path(__file__).with_name("inside")
_APPLICATIONS = Path(__file__).with_name("applications")
_HASTE_S = 10.0
_MINUTES_S = 360.0
_ENDED = {JobState.DONE, JobState.NOT_APPLICABLE, JobState.CANCELLED, JobState.SUPERSEDED}
_OPEN = {ArrivalState.RECEIVED, ArrivalState.COMPLETE}
CALLS = (
    "instances.record", "instances.came_again", "arrivals.complete", "routing.route", "jobs.claim", "jobs.inferred", "jobs.encoded",
    "deliveries.claim", "deliveries.receipt", "deliveries.delivered", "deliveries.resend", "processes.release", "jobs.retry",
    "deliveries.retry", "jobs.end", "retention.tombstone", "jobs.revive", "commitments.begin", "commitments.accepted",
    "commitments.apply", "commitment_requests.receive", "commitment_requests.judge", "commitment_requests.end",
)  # fmt: skip
"""The calls of the journal at which a process can be made to die."""


class NodeUnderTest:
    """See the module; a context manager.

    Parameters
    ----------
    journal
        The URL of another journal than a file in `folder`.
    durability, receivers
        As in the configuration.
    records
        The disk keeps a log.
    secured
        The modality sends over TLS, with a certificate.
    encrypted
        The node encrypts what lies in its store.
    commits
        The archive commits to results, and the modality asks the node to commit to what it sent.
    """

    def __init__(
        self,
        folder: Path,
        *,
        journal: str = "",
        durability: str = "each",
        receivers: int = 1,
        records: bool = False,
        secured: bool = False,
        encrypted: bool = False,
        commits: bool = False,
        quiet: str = "300ms",
    ) -> None:
        self.folder = folder
        self.store = folder / "store"
        self.disk = Disk(self.store, folder / "side", records=records)
        self.archive = Archive(folder / "archive", lambda: self.node.port) if commits else None
        self.sink: dcmtk.StoreScp | Archive = self.archive or dcmtk.StoreScp(folder / "archive", options=("--unique-filenames",))
        self.modality = Modality() if commits else None
        self._secured = Secured(folder / "certificates") if secured else None
        self._key = folder / "at-rest.key" if encrypted else None
        self.reading = Reading() if self._key is None else Reading.with_key(self._key)
        self._plan = folder / "plan.json"
        self.environment = {
            **self.disk.environment,
            "PYTHONPATH": path_of(_INSIDE),
            "HILUM_CRASH_PLAN": str(self._plan),
            "HILUM_CRASH_CALLS": json.dumps(CALLS),
            # every round starts processes: what is compiled once need not be compiled by each
            "PYTHONDONTWRITEBYTECODE": "",
        }
        listener = {"receivers": receivers, **({} if self._secured is None else self._secured.listener)}
        self.node = Node(
            self._configuration(journal, durability, listener, quiet),
            folder / "node",
            environment=self.environment,
        )
        self.journal_url = journal or f"sqlite:{self.store / 'hilum.db'}"
        self.studies: dict[str, Study] = {}
        self._number = 0
        self._ahead_s = 0.0
        self.counting = Counting(self.store, self.sink.folder, self.journal_url, self.reading)

    def _configuration(self, journal: str, durability: str, listener: Mapping[str, Any], quiet: str) -> dict[str, object]:
        (self.folder / "models").mkdir(parents=True, exist_ok=True)
        # a kill tears associations, and a sender that has its 0x0000 for everything sends nothing again: nobody is to wait half an hour
        modality = {"ae_title": CALLING, "address": "127.0.0.1:0", "settle": {"quiet": quiet, "short": "run"}}
        sink = {"kind": "dimse", "peer": "archive", "retry": {"first": "500ms", "most": "1s"}}
        if self.modality is not None:
            modality |= {"address": f"127.0.0.1:{self.modality.port}", "may": ["store", "echo", "commit"]}
            sink |= {"commitment": "required", "commitment_wait": "1s"}
        settings: dict[str, Any] = configuration(
            self.store,
            port=0,
            repository=self.folder / "models",
            peers={
                "modality": modality,
                "archive": {"ae_title": self.sink.aet, "address": f"127.0.0.1:{self.sink.port}", "may": ["store", "echo"]},
            },
            sinks={"archive": sink},
            routes=[{"name": "all CT", "when": {"Modality": "CT"}, "run": ["crash-threshold"], "send": ["archive"]}],
            applications={"crash-threshold": {"attempts": 20}},
        )
        settings["models"] = {"repository": str(self.folder / "models"), "applications": [str(_APPLICATIONS)]}
        settings["store"] = {**settings["store"], "durability": durability, **({"journal": journal} if journal else {})}
        if self._key is not None:
            settings["store"]["encryption"] = {"key_file": str(self._key), "memory": "64MiB"}
        settings["node"] = {**settings["node"], **listener}
        return settings

    def __enter__(self) -> Self:
        self.sink.start()
        if self.modality is not None:
            self.modality.start()
        self.node.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.disk.heal()
        try:
            self.node.__exit__(kind, error, trace)
        finally:
            self.sink.stop()
            if self.modality is not None:
                self.modality.stop()
            self.disk.close()
            if self.memory is not None:
                # a node that was killed leaves it for its next start, which never comes
                shutil.rmtree(self.memory, ignore_errors=True)

    # ---- what happens in a round

    def study(self) -> Study:
        """A study of its own, not sent yet."""
        self._number += 1
        study = write_study(self.folder / "modality", self._number)
        self.studies[study.uid] = study
        return study

    def send(self, study: Study, *, most: int | None = None, before_release: Callable[[], object] = lambda: None) -> None:
        """Send what is not acknowledged yet, once."""
        self.up()
        port, tls = (self.node.port, None) if self._secured is None else (self.node.tls_port, self._secured.context)
        send(study, port, study.unacknowledged[:most], tls=tls, before_release=before_release)

    def send_until_acknowledged(self, study: Study) -> None:
        """As a modality does: again and again, until every instance was answered 0x0000."""

        def all_are() -> bool:
            self.send(study)
            return not study.unacknowledged

        wait_until(all_are, PATIENCE_S, "every instance is acknowledged", every_s=0.2)

    def plan(self, call: str, when: str, *, stage: str, **what: object) -> None:
        """Whoever of `stage` next comes to this point of the journal does `what` inside/sitecustomize.py can: `victim="self"` dies."""
        self._plan.with_suffix(".json.taken").unlink(missing_ok=True)
        fresh = self._plan.with_suffix(".fresh")
        fresh.write_text(json.dumps({"call": call, "when": when, "stage": stage, **what}))
        fresh.rename(self._plan)

    def taken(self) -> bool:
        """Whether the plan was carried out; one that was not is taken back."""
        self._plan.unlink(missing_ok=True)
        return self.taken_now()

    def taken_now(self) -> bool:
        """Whether it was until now."""
        return self._plan.with_suffix(".json.taken").exists()

    def settled(self, study: Study) -> bool:
        """Whether a job of it has ended."""
        with self.asked() as journal:
            jobs = journal.jobs.find(study=study.uid)
            return any(job.state in _ENDED or job.state is JobState.PARKED for job in jobs)

    def jobs(self, study: Study, *states: JobState) -> list[Job]:
        """Its jobs in these states."""
        with self.asked() as journal:
            return [job for job in journal.jobs.find(study=study.uid) if job.state in states]

    def operate(self, word: str, study: Study, *states: JobState) -> None:
        """The operator's word for the study's jobs in these states, until one command has come to its end."""
        self.up()

        def said() -> bool:
            jobs = [str(job.id) for job in self.jobs(study, *states)]
            return not jobs or hilum("jobs", word, *jobs, "--config", self.node.config, environment=self.environment).code == 0

        wait_until(said, PATIENCE_S, f"jobs {word}")

    def up(self) -> None:
        """Start the node again if its supervisor is dead."""
        if not self.node.running:
            self.kill()
            self.node.start()

    def kill(self) -> None:
        """SIGKILL whatever of the node lives."""
        if self.node.begun:
            self.node.kill()

    def process(self, stage: str) -> psutil.Process | None:
        """A process of the node that does `stage` now; "supervisor" is the parent of all."""
        parent = psutil.Process(self.node.pid)
        if stage == "supervisor":
            return parent
        for child in parent.children():
            try:
                if stage in child.cmdline():
                    return child
            except psutil.NoSuchProcess:
                continue
        return None

    def until_done(self, study: Study) -> None:
        """Start what is down, and wait until the study's results are in the archive and nothing of it is under way."""
        began = time.monotonic()

        def done() -> bool:
            nonlocal began
            self.up()
            if self.archive is not None and time.monotonic() - began > _HASTE_S:
                began = time.monotonic()
                self.hasten()
            return self.is_done(study)

        try:
            wait_until(done, PATIENCE_S, f"study {study.uid} is done", every_s=0.2)
        except AssertionError as late:
            raise AssertionError(f"{late}; {self.node.jobs()}; the end of the events:\n{self.node.log.read_text()[-4000:]}") from late

    def hasten(self) -> None:
        """A request for commitment whose answer a crash took is asked again after five minutes: instead of waiting, turn the clock."""
        self._ahead_s += _MINUTES_S
        self.disk.turn_clock(self._ahead_s)

    def is_done(self, study: Study) -> bool:
        """Whether its results are in the archive, and nothing of it is under way."""
        return len(self.result_uids(study)) >= RESULTS and self._ended(study)

    def _ended(self, study: Study) -> bool:
        with self.asked() as journal:
            if journal.arrivals.find(study=study.uid, states=_OPEN):
                return False  # what was sent again may give a revision
            jobs = journal.jobs.find(study=study.uid)
            return bool(jobs) and all(job.state in _ENDED for job in jobs)

    @property
    def memory(self) -> Path | None:
        """Where the node has files decrypted; None: it does not encrypt."""
        store = load(self.node.config).store
        return None if store.encryption is None else memory_folder(store, store.encryption)

    @contextmanager
    def asked(self) -> Iterator[Journal]:
        """The journal, as anybody may read it."""
        with closing(Journal.open(self.journal_url)) as journal:
            yield journal

    # ---- what must be true

    def result_uids(self, study: Study) -> set[str]:
        """The SOP Instance UIDs of the study's results in the archive."""
        return set(self.counting.results().get(study.uid, {}))

    def audit(self) -> Count:
        """Count over all studies so far; the node is stopped for it and swept, and dead afterwards."""
        self._settle()
        self.kill()
        if self.counting.sweep(self.node.config):
            # what had no row was taken back: it is journaled again, and what these processes left is swept once more
            self.up()
            self.until_empty_inbox()
            self._settle()
            self.kill()
            self.counting.sweep(self.node.config)
        return self.counting.count(self.studies.values())

    def _settle(self) -> None:
        """What came last may still be under way, from the receiver's spool on."""
        self.up()
        self.until_empty_inbox()
        for study in self.studies.values():
            if not study.unacknowledged:
                self.until_done(study)

    def until_empty_inbox(self) -> None:
        """Wait until everything that was acknowledged is journaled."""
        blobs = self.store / "blobs"
        # in this order: what is named meanwhile is found where it went
        wait_until(
            lambda: not [*(blobs / "coming").glob(f"*{ACKNOWLEDGED}"), *(blobs / "inbox").glob("*.dcm")], PATIENCE_S, "the inbox is empty"
        )
