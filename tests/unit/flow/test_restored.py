"""A database that is replaced by an older copy of itself: nothing delivered is made again, nothing acknowledged is lost, nothing purged
comes back."""

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from io import BytesIO

import pytest
from pydicom import dcmwrite
from pydicom.dataset import Dataset

from node.domain.job import DELIVERY_MARKS, JobKind
from node.domain.route import PinnedVersion
from node.domain.state import JobState
from node.flow.index import IndexStage
from node.flow.route import RouteStage
from node.flow.settle import SettleStage
from node.journal.arrivals import revise
from node.journal.journal import Journal
from node.observe.audit.message import Participant
from node.spool.inbox import FolderInbox
from node.upkeep.erasure import Erasure
from node.upkeep.orphans import Orphans
from node.upkeep.retention import OldDeliveryMarks, Retention
from tests.contract.test_blobs import keep
from tests.unit.flow.line import in_archive, run_line
from tests.unit.flow.mini import APPLICATION, CountingPeer, MiniNode

_LONG_AGO = 3 * 86400


class Restorable:
    """A node in miniature whose database can be saved, and put back as it was."""

    def __init__(self, node: MiniNode) -> None:
        self.node = node
        node.clock.now = datetime.now(UTC)  # that of the files
        self.inbox = FolderInbox(node.config.store.blobs, min_free_bytes=0)
        self._file = node.folder / "hilum.db"
        self._saved = node.folder / "saved.db"

    def save(self) -> None:
        """What a nightly backup does."""
        with contextlib.closing(sqlite3.connect(self._file)) as now, contextlib.closing(sqlite3.connect(self._saved)) as saved:
            now.backup(saved)

    def restore(self) -> None:
        """Begin again with the backup."""
        self.node.journal.close()
        for name in ("hilum.db-wal", "hilum.db-shm"):
            (self.node.folder / name).unlink(missing_ok=True)
        self._saved.replace(self._file)
        self.node.journal = Journal.open(self.node.config.store.journal)

    def run(self) -> None:
        """Turn the stages until nothing is left to do."""
        node = self.node
        run_line(node, first=[IndexStage(node.journal, self.inbox, node.blobs, node.config, node.clock)])

    def orphans(self) -> Orphans:
        """The stage, begun afresh."""
        return Orphans(self.node.journal, self.inbox, self.node.blobs, self.node.clock)

    def age(self) -> None:
        """Everything in the blobs was put long ago."""
        for name in self.node.blobs.names():
            then = self.node.clock().timestamp() - _LONG_AGO
            os.utime(self.node.blobs.path(name), (then, then))


@pytest.fixture
def restorable(node: MiniNode) -> Iterator[Restorable]:
    """One such node; what it opened is closed at the end."""
    made = Restorable(node)
    yield made
    made.node.journal.close()


def _saved_before_it_ran(restorable: Restorable) -> None:
    """A study is received and routed, saved with its jobs waiting, and its results are delivered."""
    node = restorable.node
    node.receive_images("study", "t1")
    node.clock.advance(60)
    SettleStage(node.journal, node.config, node.clock, lambda _: CountingPeer()).step()
    RouteStage(node.journal, node.config, node.clock, lambda _: "default", lambda _: APPLICATION).step()
    restorable.save()
    restorable.run()


def test_a_job_that_was_delivered_after_the_backup_is_not_run_again(restorable: Restorable) -> None:
    """Saved with the job waiting, delivered, put back: the job is cancelled with its reason, and what stands in the archive stands. An
    operator who wants it again all the same gets it. (The encoder of this miniature gives the second set the first one's UIDs, which its
    archive refuses; the node's own gives it others, ADR-0038.)"""
    node = restorable.node
    _saved_before_it_ran(restorable)
    before = in_archive(node)
    assert len(before) == 3
    node.clock.advance(86400)
    restorable.restore()
    assert [job.state for job in node.jobs()] == [JobState.QUEUED]
    restorable.run()
    (job,) = node.jobs()
    assert (job.state, job.code) == (JobState.CANCELLED, "HLM-3083")
    assert in_archive(node) == before
    node.journal.jobs.revive(job.id, node.clock())
    restorable.run()
    assert [one.state for one in node.jobs()] == [JobState.ENCODED]
    assert [one.code for one in node.deliveries()] == ["HLM-6100"]


def test_a_job_is_not_run_again_because_another_route_has_one_on_the_same_images(restorable: Restorable) -> None:
    """The job of a route that asks for a version which is not here is parked beside it, and set no mark at the sinks of the first."""
    node = restorable.node
    (route,) = node.config.routes
    pinned = PinnedVersion(application=APPLICATION.name, version="9")
    node.configure(routes=(replace(route, send=("archive",)), replace(route, name="asks", send=("second",), pinned=(pinned,))))
    _saved_before_it_ran(restorable)
    before = in_archive(node)
    restorable.restore()
    restorable.run()
    mine, parked = (job for job in node.jobs() if job.kind is JobKind.ANALYSIS)
    assert [(job.state, job.code) for job in (mine, parked)] == [(JobState.CANCELLED, "HLM-3083"), (JobState.PARKED, "HLM-4184")]
    assert in_archive(node) == before


@pytest.mark.parametrize("asked_before", [False, True], ids=["not asked of it", "asked of it"])
def test_what_was_delivered_stands_for_no_demand_that_was_not_asked_of_it(asked_before: bool, restorable: Restorable) -> None:
    """Received, analysed and delivered after the backup, while the route did not ask for an accepted application: asked for since, it is
    analysed when the study comes again. What had been asked for as it is now stands."""
    node = restorable.node
    (route,) = node.config.routes
    demanding = replace(route, pinned=(PinnedVersion(application=APPLICATION.name, version=APPLICATION.version),))
    restorable.save()
    node.configure(routes=(demanding if asked_before else route,))
    node.receive_images("study", "t1")
    node.clock.advance(60)
    restorable.run()
    restorable.restore()
    node.configure(routes=(demanding,))
    node.receive_images("study", "t1")
    node.clock.advance(60)
    restorable.run()
    (job,) = node.jobs()
    assert (job.code == "HLM-3083", job.model_digest is None) == (asked_before, asked_before)


def test_a_study_that_the_backup_does_not_know_is_not_analysed_again_when_it_is_sent_again(restorable: Restorable) -> None:
    """Received, analysed and delivered after the backup: sent once more, it is journaled, and its job is cancelled."""
    node = restorable.node
    restorable.save()
    node.receive_images("study", "t1")
    node.clock.advance(60)
    restorable.run()
    before = in_archive(node)
    restorable.restore()
    assert node.jobs() == []
    node.receive_images("study", "t1")
    node.clock.advance(60)
    restorable.run()
    assert [(job.state, job.code) for job in node.jobs()] == [(JobState.CANCELLED, "HLM-3083")]
    assert in_archive(node) == before


def test_without_a_restored_database_no_mark_stops_anything(restorable: Restorable) -> None:
    """The same inputs once more, while the journal knows who had them: a new job under another state of the world runs."""
    node = restorable.node
    node.receive_images("study", "t1")
    node.clock.advance(60)
    restorable.run()
    (first,) = node.jobs()
    node.journal.jobs.revive(first.id, node.clock())
    restorable.run()
    assert [job.state for job in node.jobs()] == [JobState.DONE]


def test_marks_go_when_headers_go(restorable: Restorable) -> None:
    """One a sink that has everything; none is left once it is older than is kept."""
    node = restorable.node
    node.receive_images("study", "t1")
    node.clock.advance(60)
    restorable.run()
    assert len(list(node.blobs.names(DELIVERY_MARKS))) == 1
    now = datetime.now(UTC)
    old = OldDeliveryMarks(node.blobs, lambda: now, keep=timedelta(days=1))
    assert old.step() == 0
    assert len(list(node.blobs.names(DELIVERY_MARKS))) == 1
    now += timedelta(days=2)
    assert old.step() == 1
    assert list(node.blobs.names(DELIVERY_MARKS)) == []


@pytest.mark.parametrize("dropped", [False, True], ids=["asked until the end", "asked no more"])
def test_what_was_erased_is_analysed_when_it_is_sent_again(dropped: bool, restorable: Restorable) -> None:
    """No mark is left of what was delivered: neither of a demand that its route had and has no more, nor at a sink an operator chose."""
    node = restorable.node
    (route,) = node.config.routes
    demanding = replace(route, pinned=(PinnedVersion(application=APPLICATION.name, version=APPLICATION.version),))
    node.configure(routes=(demanding,))
    node.receive_images("study", "t1")
    node.clock.advance(60)
    restorable.run()
    (job,) = node.jobs()
    node.journal.deliveries.resend(job.id, "second", node.clock())
    restorable.run()
    if dropped:
        node.configure(routes=(route,))
        (latest,) = node.journal.arrivals.find(newest=True, limit=1)
        with node.journal.database.writing() as connection:
            revise(connection, latest.id, "another series came", node.clock())
        restorable.run()
    assert [one.id for one in node.jobs()] == [job.id]
    assert len(list(node.blobs.names(DELIVERY_MARKS))) == 4
    who = Participant(user_id="operator")
    erasure = Erasure(node.journal, node.blobs, restorable.inbox, node.clock, patient=None, studies=[job.study_instance_uid], who=who)
    erasure.carry_out(erasure.plan(), remember=timedelta(0), patience_s=0)
    assert list(node.blobs.names(DELIVERY_MARKS)) == []
    node.configure(routes=(replace(demanding, send=("archive", "second")),))
    node.receive_images("study", "t1")
    node.clock.advance(60)
    restorable.run()
    (again,) = node.jobs()
    assert (again.code, again.model_digest) == (None, job.model_digest)


# ---- blobs without rows
def test_an_acknowledged_instance_that_the_backup_does_not_know_is_journaled_again(restorable: Restorable) -> None:
    """Received after the backup and never analysed: the bytes are there, and the row comes back, under the same name."""
    node = restorable.node
    restorable.save()
    _receive(restorable)
    restorable.run()
    (name,) = node.blobs.names("instances/")
    restorable.restore()
    restorable.age()
    orphans = restorable.orphans()
    assert orphans.step() == 1
    assert orphans.step() == 0
    assert len(restorable.inbox.waiting(10)) == 1
    restorable.run()
    assert node.journal.retention.kept_blobs([name]) == {name: True}
    assert list(node.blobs.names("instances/")) == [name]
    restorable.age()
    assert restorable.orphans().step() == 1
    assert restorable.inbox.waiting(10) == []


def test_what_was_erased_on_request_does_not_come_back_as_an_orphan(restorable: Restorable) -> None:
    """Erased with nothing remembered for senders; a copy that no row knows of turns up a day later: it is deleted, not journaled."""
    node = restorable.node
    restorable.save()
    _receive(restorable)
    restorable.run()
    (name,) = node.blobs.names("instances/")
    (study,) = {row.study_instance_uid for row in node.journal.instances.get([1])}
    now = node.clock()
    node.journal.erasure.erase(node.journal.erasure.find(None, [study]), [], [], now, now)
    node.journal.retention.swept(node.journal.retention.purged_blobs(10))
    assert node.blobs.has(name)
    restorable.age()
    node.clock.advance(2 * 86400)
    orphans = restorable.orphans()
    while orphans.step():
        pass
    assert restorable.inbox.waiting(10) == []
    assert list(node.journal.retention.purged_blobs(10).values()) == [name]


def test_what_was_put_lately_is_nobodys_orphan(restorable: Restorable) -> None:
    """A blob comes before its row: a day passes before anybody doubts it."""
    restorable.node.blobs.put("results/1-sr-abc.dcm", b"1")
    clock = datetime.now(UTC) + timedelta(hours=23)
    restorable.node.clock.now = clock
    assert restorable.orphans().step() == 0
    restorable.node.clock.now = clock + timedelta(hours=2)
    assert restorable.orphans().step() == 1


def test_findings_and_objects_that_no_row_names_are_deleted(restorable: Restorable) -> None:
    """What a worker left that died before its row; what rows name stays."""
    node = restorable.node
    node.receive_images("study", "t1")
    node.clock.advance(60)
    restorable.run()
    known = set(node.blobs.names())
    for name in ("results/1-sr-abc.dcm", "findings/7-abc.bin", "findings/nonsense"):
        node.blobs.put(name, b"left behind")
    restorable.age()
    restorable.orphans().step()
    assert sorted(node.journal.retention.purged_blobs().values()) == ["findings/7-abc.bin", "findings/nonsense", "results/1-sr-abc.dcm"]
    Retention(node.journal.retention, node.blobs, node.config, node.clock).step()
    assert set(node.blobs.names()) == known


def test_a_restored_bucket_does_not_bring_back_what_was_purged(restorable: Restorable) -> None:
    """The row says purged, and the bytes lie there again: they are deleted, not journaled."""
    node = restorable.node
    _receive(restorable)
    restorable.run()
    (name,) = node.blobs.names("instances/")
    content = node.blobs.path(name).read_bytes()
    (instance,) = node.journal.instances.by_uid("1.2.3.4.5")
    node.clock.advance(60)
    restorable.run()
    node.journal.retention.tombstone([instance.id], node.clock())
    Retention(node.journal.retention, node.blobs, node.config, node.clock).step()
    assert list(node.blobs.names("instances/")) == []
    node.blobs.put(name, content)
    restorable.age()
    restorable.orphans().step()
    Retention(node.journal.retention, node.blobs, node.config, node.clock).step()
    assert list(node.blobs.names("instances/")) == []
    assert restorable.inbox.waiting(10) == []


def test_a_second_name_for_known_bytes_is_deleted_in_the_next_round(restorable: Restorable) -> None:
    """The journal knows these bytes under another name: taken back, they are a duplicate, and what is left is buried."""
    node = restorable.node
    _receive(restorable)
    restorable.run()
    (name,) = node.blobs.names("instances/")
    twin = name.replace("-0.dcm", "-9.dcm")
    node.blobs.put(twin, node.blobs.path(name).read_bytes())
    orphans = restorable.orphans()
    for _ in range(2):
        restorable.age()
        while orphans.step():
            restorable.run()
    Retention(node.journal.retention, node.blobs, node.config, node.clock).step()
    assert list(node.blobs.names("instances/")) == [name]


def _receive(restorable: Restorable) -> None:
    """What a listener would do: one instance, no image."""
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.4", "1.2.3.4.5"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = "1.2.3.4", "1.2.3.4.1"
    dataset.Modality = "MR"
    written = BytesIO()
    dcmwrite(written, dataset, implicit_vr=True, little_endian=True)
    keep(restorable.inbox, written.getvalue(), sop_instance_uid="1.2.3.4.5", calling_ae="CT1")
