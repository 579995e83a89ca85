"""A node's memory as a day in a hospital leaves it, in a real journal on disk; the verbs are run in this process, as `hilum` runs them."""

import contextlib
import io
import json
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from node.assembly.configuration import load
from node.cli.main import main
from node.domain.arrival import Completeness
from node.domain.instance import Header, Instance
from node.domain.job import Demand, Job, NewJob, Priority, ResultObject
from node.domain.state import ArrivalState
from node.journal.journal import Journal
from node.journal.port import Aside, NewInstance
from node.routing.decisions import decide
from node.routing.series import contents
from node.settings.config import Config
from tests.lab import empty_journal

CONFIG = """\
node: {ae_title: [HILUM, HILUM_STAT], listen: "127.0.0.1:0"}
peers:
  pacs: {ae_title: PACS, address: "127.0.0.1:104", may: [store, echo, find]}
  ct1: {ae_title: CT1, address: "127.0.0.1:0"}
sinks:
  archive: {kind: dimse, peer: pacs}
  copies: {kind: folder, path: out}
routes:
  - name: head MR
    when: {Modality: MR, SeriesDescription: {matches: "(?i)t1|mprage"}, NumberOfSeriesRelatedInstances: {min: 3}}
    run: [mr-brain]
    send: [archive]
  - name: chest CT
    from: [ct1]
    to: [HILUM_STAT]
    when: {Modality: CT, BodyPartExamined: {in: [CHEST, THORAX]}, SliceThickness: {max: 5}}
    run: [ct-lung]
    priority: urgent
    send: [archive, copies]
"""
MORNING = datetime(2025, 3, 4, 8, 0, tzinfo=UTC)
HEAD = "1.2.826.0.1.3680043.8.498.45787841905188114249811166680193772201"
TILTED = "1.2.826.0.1.3680043.8.498.10129389541873645012918374610283746111"
REFUSED = "1.2.826.0.1.3680043.8.498.77718273645987162534987612534987612502"
UNTAKEN = "1.2.826.0.1.3680043.8.498.33312345678901234567890123456789012303"
OPEN = "1.2.826.0.1.3680043.8.498.22298765432109876543210987654321098704"
_SEG = "1.2.840.10008.5.1.4.1.1.66.4"
_SR = "1.2.840.10008.5.1.4.1.1.88.34"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What one run of the command gave."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Stdout, which must be JSON and nothing else."""
        return json.loads(self.out)


Run = Callable[..., Answer]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run `hilum` with arguments, as on a terminal of 100 columns without colours."""
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("TZ", "UTC")

    def command(*arguments: str) -> Answer:
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                code = main([str(argument) for argument in arguments])
            except SystemExit as left:
                code = int(left.code or 0)
        return Answer(code=code, out=out.getvalue(), err=err.getvalue())

    return command


@dataclass(slots=True)
class Hospital:
    """The journal, and the shortest way to write a study's fate into it."""

    config: Config
    journal: Journal
    now: datetime = MORNING

    def receive(self, study: str, peer: str, called: str, *series: tuple[int, Header]) -> int:
        """Instances of a study arrive; each series is (how many, header). Returns the arrival."""
        news = []
        for number, (count, header) in enumerate(series, start=1):
            for index in range(count):
                instance = Instance(
                    sop_instance_uid=f"{study}.{number}.{index}",
                    sop_class_uid="1.2.840.10008.5.1.4.1.1.4",
                    study_instance_uid=study,
                    series_instance_uid=f"{study}.{number}",
                    transfer_syntax_uid="1.2.840.10008.1.2.1",
                    blob=f"{study}/{number}/{index}.dcm",
                    size=524_288,
                    digest=f"{index:064x}",
                    calling_ae=self.config.peers[peer].ae_title,
                    called_ae=called,
                    address="127.0.0.1",
                    peer=peer,
                    received_at=self.now,
                    header={"SeriesNumber": (number,), "PatientName": ("Doe^Jane",), "PatientID": ("4711",), **header},
                )
                due = self.now + timedelta(seconds=10)
                news.append(NewInstance(instance=instance, opens=True, scope_series=False, due_at=due))
        self.journal.instances.record(news, self.now)
        return self.journal.arrivals.find(study=study)[-1].id

    def route(
        self,
        arrival: int,
        version: str = "1.0.0",
        parked: tuple[str, str] | None = None,
        waits: tuple[datetime, str] | None = None,
        demand: Demand | None = None,
    ) -> list[Job]:
        """The arrival settles and is routed by the node's own function; `waits` until when and for what a route waits besides, `demand` is
        what it asks of the application."""
        self.now += timedelta(seconds=10)
        self.journal.arrivals.complete(arrival, Completeness.QUIET, self.now)
        (one,) = [one for one in self.journal.arrivals.find() if one.id == arrival]
        found = {content.series_instance_uid: content for content in contents(self.journal.instances.of_arrival(arrival))}
        views = [content.view for content in found.values()]
        decisions = decide(self.config.routes, views, peer=one.peer, calling="", called=one.called_ae, now=self.now)
        routes = {route.name: route for route in self.config.routes}
        jobs = [
            NewJob(
                series_instance_uid=made.series_instance_uid,
                application=routes[made.route].run[0],
                application_version=version,
                engine="default",
                routes=(made.route,),
                sinks=routes[made.route].send,
                priority=Priority.ROUTINE,
                input_digest=found[made.series_instance_uid].input_digest,
                instances=tuple(member.id for member in found[made.series_instance_uid].current),
                parked=parked,
                demands={} if demand is None else {made.route: demand},
            )
            for made in decisions
            if made.chosen
        ]
        routed = self.journal.routing.route(arrival, decisions, jobs, self.config.digest, self.now, waits=waits)
        return [self.journal.jobs.get(number) for number in routed.jobs]

    def analyse(self, job: Job) -> None:
        """Findings and two objects of a job are journaled."""
        self.now += timedelta(seconds=4)
        claimed = self.journal.jobs.claim("work", self.now, timedelta(minutes=5))
        assert claimed is not None
        assert claimed.id == job.id
        assert claimed.lease is not None
        self.journal.jobs.inferred(job.id, claimed.lease, f"findings/{job.id}", "ab" * 32, self.now)
        again = self.journal.jobs.claim("work", self.now, timedelta(minutes=5))
        lease = claimed.lease if again is None else again.lease
        assert lease is not None
        objects = [
            ResultObject(
                job=job.id,
                kind=kind,
                sop_instance_uid=f"{job.study_instance_uid}.9{job.id}{number}",
                sop_class_uid=sop_class,
                series_instance_uid=f"{job.study_instance_uid}.9{job.id}",
                description=description,
                blob=f"results/{job.id}/{kind}.dcm",
                size=81_920,
                digest=f"{number:064x}",
            )
            for number, (kind, sop_class, description) in enumerate(
                [("seg", _SEG, "Intracranial volume, segmentation"), ("sr", _SR, "Intracranial volume, report")], start=1
            )
        ]
        assert self.journal.jobs.encoded(job.id, lease, objects, self.now)

    def deliver(self, *, refused: str | None = None) -> None:
        """Everything that waits goes out; the sink called `refused` accepts nothing."""
        self.now += timedelta(seconds=1)
        while (delivery := self.journal.deliveries.claim("flow", self.now, timedelta(minutes=5))) is not None:
            assert delivery.lease is not None
            good = delivery.sink != refused
            for one in self.journal.deliveries.undelivered(delivery.id):
                status, detail = (0, "") if good else (0x0122, "SOP class not supported")
                self.journal.deliveries.receipt(delivery.id, delivery.lease, one.id, good, status, detail, self.now)
            if good:
                self.journal.deliveries.delivered(delivery.id, delivery.lease, self.now)
            else:
                reason = f"{delivery.sink} refused 2 of 2 objects: 0x0122 SOP class not supported"
                self.journal.deliveries.park(delivery.id, delivery.lease, "HLM-6100", reason, self.now)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a good hilum.yaml, and the working directory."""
    (tmp_path / "hilum.yaml").write_text(CONFIG, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def empty(place: Path) -> Iterator[Hospital]:
    """A journal in which nothing has happened."""
    with _opened(load(place / "hilum.yaml")) as opened:
        yield opened


@pytest.fixture
def hospital(place: Path) -> Iterator[Hospital]:
    """A head that was delivered, a tilted chest that is parked, a chest that one sink refuses, an ultrasound that no route takes, a
    head that is still coming, and a file that is no DICOM."""
    journal, routed_by, now = _day()
    (place / "var").mkdir()
    path = place / "var/hilum.db"
    path.write_bytes(journal)
    with contextlib.closing(sqlite3.connect(path)) as copied, copied:
        # the digest knows where a folder sink lies
        config = load(place / "hilum.yaml")
        copied.execute("UPDATE arrival SET config_digest = ? WHERE config_digest = ?", (config.digest, routed_by))
    with _opened(config) as opened:
        assert [one.state for one in opened.journal.arrivals.find(study=OPEN)] == [ArrivalState.RECEIVED]
        opened.now = now
        yield opened


@contextlib.contextmanager
def _opened(config: Config) -> Iterator[Hospital]:
    """The journal of the configuration, which is an empty one if there is none."""
    journal = Journal.open(empty_journal.make(config.store.journal))
    try:
        yield Hospital(config=config, journal=journal)
    finally:
        journal.close()


@cache
def _day() -> tuple[bytes, str, datetime]:
    """The journal of the hospital's day, written once a process and copied: its file, by which configuration it routed, and until when."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        (place / "hilum.yaml").write_text(CONFIG, encoding="utf-8")
        with _opened(load(place / "hilum.yaml")) as opened:
            _pass(opened)
        return (place / "var/hilum.db").read_bytes(), opened.config.digest, opened.now


def _pass(empty: Hospital) -> None:
    """What happens that day."""
    # several slices an image: how many, and how they lie, the pixels tell
    t1: Header = {"Modality": ("MR",), "SeriesDescription": ("T1 MPRAGE sag",), "SliceThickness": (1,), "NumberOfFrames": (40,)}
    flair: Header = {"Modality": ("MR",), "SeriesDescription": ("FLAIR tra",), "SliceThickness": (4,)}
    chest: Header = {
        "Modality": ("CT",),
        "BodyPartExamined": ("CHEST",),
        "SliceThickness": (1.25,),
        "NumberOfFrames": (60,),
    }
    (head,) = empty.route(empty.receive(HEAD, "pacs", "HILUM", (5, t1), (3, flair)))
    empty.analyse(head)
    empty.deliver()
    empty.now += timedelta(hours=1)
    reason = f"the gantry is tilted by 12.5° in {TILTED}.1.0 and 3 more"
    empty.route(empty.receive(TILTED, "ct1", "HILUM_STAT", (4, chest)), parked=("HLM-3017", reason))
    empty.now += timedelta(hours=1)
    (lung,) = empty.route(empty.receive(REFUSED, "ct1", "HILUM_STAT", (4, chest)))
    empty.analyse(lung)
    empty.deliver(refused="archive")
    empty.now += timedelta(minutes=20)
    assert empty.route(empty.receive(UNTAKEN, "pacs", "HILUM", (2, {"Modality": ("US",)}))) == []
    empty.now += timedelta(minutes=20)
    # another patient's: the pixels of the head that was delivered wait for nothing
    empty.receive(OPEN, "pacs", "HILUM", (2, {**t1, "PatientID": ("4712",)}))
    empty.journal.instances.set_aside(
        Aside(at=empty.now, entry="aside/0001.dcm", sender="CT1@127.0.0.1", code="HLM-3001", reason="no DICOM preamble")
    )
