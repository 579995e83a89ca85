"""Deliveries: every sink gets everything once, whatever the others do; nothing short of all is a success."""

import hashlib
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage

from node.domain.errors import JournalError
from node.domain.job import Delivery, ResultObject
from node.domain.profile import VIEWER, Form, Kind
from node.domain.route import Route
from node.domain.state import DeliveryState, JobState
from node.flow.deliver import LEASE, DeliverStage
from node.journal.port import Pausable
from node.sinks.folder import FolderSink
from node.sinks.port import Parcel, Receipt, Sink
from tests.lab.program import wait_until
from tests.unit.flow.mini import ListSink, MiniNode

KINDS = ("seg", "sr", "sc")


def encoded_job(node: MiniNode, study: str = "1.1", sinks: Sequence[str] = ("archive",), **seg: Any) -> int:
    """A job with three frozen objects that waits for delivery to `sinks`; `seg` is what else there is to say of its mask."""
    job, lease = node.inferred_job(study, sinks)
    objects = []
    for kind in KINDS:
        data = f"{kind} of {study}".encode()
        node.blobs.put(f"results/{job}-{kind}.dcm", data)
        objects.append(
            ResultObject(
                job=job,
                kind=kind,
                sop_instance_uid=f"{study}.9.{KINDS.index(kind)}",
                sop_class_uid="1.2.3",
                series_instance_uid=f"{study}.9",
                description=kind,
                blob=f"results/{job}-{kind}.dcm",
                size=len(data),
                digest=hashlib.sha256(data).hexdigest(),
                **(seg if kind == "seg" else {}),
            )
        )
    assert node.journal.jobs.encoded(job, lease, objects, node.clock())
    return job


class Delivering:
    """The stage over a node in miniature, with list sinks; `until_idle` is what the flow process does."""

    def __init__(self, node: MiniNode) -> None:
        self.node = node
        self.archive, self.second = ListSink(), ListSink()
        self.stage = self.fresh()

    def fresh(self, **sinks: Sink) -> DeliverStage:
        """The stage of a new process."""
        every: Mapping[str, Sink] = sinks or {"archive": self.archive, "second": self.second}
        self.stage = DeliverStage(self.node.journal, self.node.blobs, lambda: every, self.node.config, self.node.clock, "flow")
        return self.stage

    def until_idle(self) -> None:
        assert self.stage.wait(30)  # what is under way already; a step may find nothing else to do meanwhile
        while self.stage.step():
            assert self.stage.wait(30)

    def states(self) -> dict[str, DeliveryState]:
        return {one.sink: one.state for one in self.node.deliveries()}

    def only(self) -> Delivery:
        (delivery,) = self.node.deliveries()
        return delivery


@pytest.fixture
def delivering(node: MiniNode) -> Iterator[Delivering]:
    made = Delivering(node)
    yield made
    made.stage.close()


def test_the_frozen_bytes_reach_the_sink_and_the_job_is_done(node: MiniNode, delivering: Delivering) -> None:
    """Exactly the journaled objects, a receipt for each, then DELIVERED and DONE."""
    job = encoded_job(node)
    delivering.until_idle()
    assert delivering.archive.has == {
        one.sop_instance_uid: node.blobs.path(one.blob).read_bytes() for one in node.journal.results.of_job(job)
    }
    assert delivering.only().state is DeliveryState.DELIVERED
    assert node.journal.jobs.get(job).state is JobState.DONE
    receipts = node.journal.deliveries.receipts(delivering.only().id)
    assert [(said.one.kind, said.accepted, said.status) for said in receipts] == [(kind, True, 0) for kind in KINDS]
    assert any('"deliver"' in line.detail for line in node.journal.events.of("job", job))
    delivering.until_idle()
    assert len(delivering.archive.sent) == 3


def test_a_sink_that_is_down_does_not_hold_up_the_other(node: MiniNode, delivering: Delivering) -> None:
    """Network case 20: Two sinks, one down: the other gets everything once; the first when it is back; what was delivered is not sent
    again."""
    job = encoded_job(node, sinks=("archive", "second"))
    delivering.archive.away = True
    delivering.until_idle()
    assert delivering.states() == {"archive": DeliveryState.WAITING, "second": DeliveryState.DELIVERED}
    waiting = next(one for one in node.deliveries() if one.sink == "archive")
    assert (waiting.code, waiting.reason) == ("HLM-6000", "nobody answers")
    delivering.archive.away = False
    delivering.until_idle()
    assert delivering.archive.sent == []  # it is not due yet
    node.clock.now = waiting.due_at
    delivering.fresh()  # also after a restart
    delivering.until_idle()
    assert delivering.states() == {"archive": DeliveryState.DELIVERED, "second": DeliveryState.DELIVERED}
    assert node.journal.jobs.get(job).state is JobState.DONE
    assert len(delivering.archive.sent) == len(delivering.second.sent) == 3


def test_a_slow_sink_does_not_hold_up_the_other(node: MiniNode, delivering: Delivering) -> None:
    """One sink hangs in the middle of an object; the other is served meanwhile, and then everything ends well."""
    go_on = threading.Event()

    class Slow(ListSink):
        def send(self, parcels: Sequence[Parcel]) -> list[Receipt]:
            assert go_on.wait(30)
            return ListSink.send(self, parcels)

    slow = Slow()
    delivering.fresh(archive=slow, second=delivering.second)
    for study in ("1.1", "2.2", "3.3"):
        encoded_job(node, study, sinks=("archive", "second"))
    served = 0
    while served < 3:
        delivering.stage.step()
        served = sum(one.state is DeliveryState.DELIVERED for one in node.deliveries())
    assert len(delivering.second.sent) == 9
    assert slow.sent == []
    go_on.set()
    delivering.until_idle()
    assert len(slow.sent) == 9
    assert set(delivering.states().values()) == {DeliveryState.DELIVERED}


def test_a_sink_of_a_new_configuration_does_not_wait_for_one_that_left_it_in_the_middle_of_an_object(
    node: MiniNode, delivering: Delivering
) -> None:
    """Who was slow is gone from the configuration, but still sent to; the sink in its place has a thread of its own."""
    begun, go_on = threading.Event(), threading.Event()

    class Slow(ListSink):
        def send(self, parcels: Sequence[Parcel]) -> list[Receipt]:
            begun.set()
            assert go_on.wait(30)
            return ListSink.send(self, parcels)

    sinks: dict[str, Sink] = {"archive": Slow()}
    configured = node.config.sinks
    node.config = replace(node.config, sinks={"archive": configured["archive"]})
    stage = delivering.stage = DeliverStage(node.journal, node.blobs, lambda: sinks, node.config, node.clock, "flow")
    encoded_job(node, "1.1", sinks=("archive",))
    stage.step()
    assert begun.wait(30)
    sinks.clear()
    sinks["second"] = delivering.second
    stage.adopt(replace(node.config, sinks={"second": configured["second"]}))
    encoded_job(node, "2.2", sinks=("second",))
    stage.step()
    wait_until(lambda: delivering.states().get("second") is DeliveryState.DELIVERED, 30, "the second sink has it", every_s=0.005)
    go_on.set()
    assert stage.wait(30)
    assert len(delivering.second.sent) == len(KINDS)


def test_nine_of_ten_is_no_success(node: MiniNode, delivering: Delivering) -> None:
    """Network case 21: The sink has no room for one object: the rest is sent again alone, without duplicates, until all are there."""
    encoded_job(node)
    delivering.archive.answers["sr"] = (False, False, 0xA700)
    delivering.until_idle()
    delivery = delivering.only()
    assert (delivery.state, delivery.code) == (DeliveryState.WAITING, "HLM-6080")
    assert delivery.reason == "archive accepted 2 of 3 objects, not yet sr 1.1.9.1 (status 0xA700)"
    delivering.archive.answers.clear()
    node.clock.now = delivery.due_at
    delivering.until_idle()
    assert delivering.only().state is DeliveryState.DELIVERED
    assert [kind for kind, _ in delivering.archive.sent] == ["seg", "sr", "sc", "sr"]


def test_an_unknown_outcome_is_sent_again(node: MiniNode, delivering: Delivering) -> None:
    """No status came: the sink may have the object or not; sending it again is harmless."""
    encoded_job(node)
    delivering.archive.answers["seg"] = (False, False, None)
    delivering.until_idle()
    assert delivering.only().reason == "archive accepted 2 of 3 objects, not yet seg 1.1.9.0 (no answer)"


def test_a_refusal_for_good_parks_the_delivery_with_status_and_object(node: MiniNode, delivering: Delivering) -> None:
    """0x0122: the archive does not take such objects; a person decides, nothing is retried."""
    job = encoded_job(node)
    delivering.archive.answers["seg"] = (False, True, 0x0122)
    delivering.until_idle()
    delivery = delivering.only()
    assert (delivery.state, delivery.code) == (DeliveryState.PARKED, "HLM-6100")
    assert delivery.reason == "archive refused seg 1.1.9.0 (status 0x0122)"
    node.clock.advance(10_000)
    delivering.until_idle()
    assert len(delivering.archive.sent) == 3
    delivering.archive.answers.clear()
    node.journal.deliveries.resend(job, None, node.clock())
    delivering.until_idle()
    assert delivering.only().state is DeliveryState.DELIVERED


def test_pauses_double_up_to_the_longest_and_then_it_gives_up(node: MiniNode, delivering: Delivering) -> None:
    """5 s, 10 s, 20 s, … at most 60 s, each up to a fifth shorter; parked after `give_up` of trying."""
    sink = node.config.sinks["archive"]
    patient = replace(sink, retry_first=timedelta(seconds=5), retry_most=timedelta(seconds=60), give_up=timedelta(minutes=10))
    node.configure(sinks={**node.config.sinks, "archive": patient})
    delivering.fresh()
    delivering.archive.away = True
    encoded_job(node)
    began = node.clock()
    pauses = []
    while (delivery := delivering.only()).state is DeliveryState.WAITING:
        pauses.append((delivery.due_at - node.clock()).total_seconds())
        node.clock.now = delivery.due_at
        delivering.until_idle()
    longest = [0.0, 5, 10, 20, 40, 60, 60, 60]
    assert all(0.8 * most <= pause <= most for pause, most in zip(pauses, longest, strict=False))
    assert timedelta(minutes=10) <= node.clock() - began <= timedelta(minutes=11)
    assert delivery.state is DeliveryState.PARKED
    assert delivery.code == "HLM-6181"
    assert delivery.reason is not None
    assert delivery.reason.endswith("UTC; the last time: nobody answers")


def test_a_sink_without_summary_pages_is_complete_without_them(node: MiniNode, delivering: Delivering) -> None:
    """`summary: false`: the page is left out, the delivery completes, and the receipt says why."""
    node.configure(
        sinks={
            **node.config.sinks,
            "archive": replace(node.config.sinks["archive"], profile=replace(VIEWER, kinds=VIEWER.kinds - {Kind.SC})),
        }
    )
    delivering.fresh()
    job = encoded_job(node, sinks=("archive", "second"))
    delivering.until_idle()
    assert [kind for kind, _ in delivering.archive.sent] == ["seg", "sr"]
    assert [kind for kind, _ in delivering.second.sent] == ["seg", "sr", "sc"]
    assert node.journal.jobs.get(job).state is JobState.DONE
    archive = next(one for one in node.deliveries() if one.sink == "archive")
    said = {each.one.kind: (each.accepted, each.left_out, each.detail) for each in node.journal.deliveries.receipts(archive.id)}
    assert said["sc"] == (False, True, "left out: this sink takes no summary page")


def test_what_is_told_of_the_masks_of_a_cine_outlives_a_journal_that_fails_behind_their_receipt(
    node: MiniNode, delivering: Delivering
) -> None:
    """They are left out, and it is on record before nothing more is to be done about them."""
    job = encoded_job(node, one_cine=True)
    original = node.journal.deliveries.leave_out

    def full(*said: Any, **more: Any) -> bool:
        original(*said, **more)
        raise JournalError("the disk is full")

    node.journal.deliveries.leave_out = full  # type: ignore[method-assign]
    delivering.until_idle()
    node.journal.deliveries.leave_out = original  # type: ignore[method-assign]
    node.clock.now = delivering.only().due_at
    delivering.until_idle()
    assert (node.journal.jobs.get(job).state, [kind for kind, _ in delivering.archive.sent]) == (JobState.DONE, ["sr", "sc"])
    assert cine_notes(node, delivering.only().id) == ["HLM-6186"]


def test_a_mask_of_a_cine_without_a_voxel_is_not_told_of_as_one_that_a_viewer_misreads(node: MiniNode, delivering: Delivering) -> None:
    """Another sink asked for it; this one takes no empty masks, of whatever they are."""
    job = encoded_job(node, one_cine=True, form=Form.EMPTY.value)
    delivering.until_idle()
    assert (node.journal.jobs.get(job).state, [kind for kind, _ in delivering.archive.sent]) == (JobState.DONE, ["sr", "sc"])
    assert cine_notes(node, delivering.only().id) == []


def test_a_mask_beside_those_of_a_cine_that_a_viewer_misreads_goes(node: MiniNode, delivering: Delivering) -> None:
    """Two parts of a series, one of them a cine in single images: the masks of that one alone are left out, and each says why."""
    job, lease = node.inferred_job("1.1", ("archive",))
    objects: list[ResultObject] = []
    for part, one_cine in (("a cine", True), ("a volume", False)):
        for kind in ("seg", "sr"):
            blob = f"results/{job}-{kind}-{part}.dcm"
            node.blobs.put(blob, blob.encode())
            uid = f"1.1.9.{len(objects)}"
            digest = hashlib.sha256(blob.encode()).hexdigest()
            facts: dict[str, Any] = {"form": Form.BINARY.value, "part": part, "one_cine": one_cine and kind == "seg"}
            objects.append(
                ResultObject(
                    job=job,
                    kind=kind,
                    sop_instance_uid=uid,
                    sop_class_uid="1.2.3",
                    series_instance_uid="1.1.9",
                    description=part,
                    blob=blob,
                    size=len(blob),
                    digest=digest,
                    **facts,
                )
            )
    assert node.journal.jobs.encoded(job, lease, objects, node.clock())
    delivering.until_idle()
    assert [uid for _, uid in delivering.archive.sent] == ["1.1.9.2", "1.1.9.1", "1.1.9.3"]
    (gone,) = [one for one in node.journal.deliveries.receipts(delivering.only().id) if one.left_out]
    assert (gone.one.part, "one phase over all phases" in gone.detail) == ("a cine", True)
    assert cine_notes(node, delivering.only().id) == ["HLM-6186"]


def cine_notes(node: MiniNode, delivery: int) -> list[str]:
    """The code of each note that masks of a cine were left out."""
    told = [one for one in node.journal.events.of("delivery", delivery) if one.name == "delivery.cine_masks_left_out"]
    return [one.detail.split()[0] for one in told]


def test_a_sink_gets_results_as_the_first_route_says_that_asked_and_sends_there(node: MiniNode, delivering: Delivering) -> None:
    """Without the page to `archive`; whole to `second`, which the route does not send to (resent), and of a job of another route."""
    short = replace(VIEWER, kinds=VIEWER.kinds - {Kind.SC})
    routes = (Route(name="none of its", send=("archive",)), Route(name="all", send=("archive",), profile=short))
    node.configure(routes=(*routes, Route(name="other", send=("archive",))))
    delivering.fresh()
    encoded_job(node, sinks=("archive", "second"))
    delivering.until_idle()
    assert [kind for kind, _ in delivering.archive.sent] == ["seg", "sr"]
    assert [kind for kind, _ in delivering.second.sent] == ["seg", "sr", "sc"]
    node.configure(routes=(Route(name="all", send=("archive",)), *routes))
    delivering.fresh()
    encoded_job(node, "1.2")
    delivering.until_idle()
    assert [kind for kind, _ in delivering.archive.sent[2:]] == ["seg", "sr", "sc"]


def test_a_sink_that_left_the_configuration_parks_its_deliveries(node: MiniNode, delivering: Delivering) -> None:
    """The others go on."""
    encoded_job(node, sinks=("archive", "removed"))
    delivering.until_idle()
    assert delivering.states() == {"archive": DeliveryState.DELIVERED, "removed": DeliveryState.PARKED}
    assert next(one.code for one in node.deliveries() if one.sink == "removed") == "HLM-6180"


def test_bytes_that_are_gone_park_the_delivery(node: MiniNode, delivering: Delivering) -> None:
    """A file is missing in the blobs: named, not retried for a week."""
    encoded_job(node)
    node.blobs.delete("results/1-seg.dcm")
    delivering.until_idle()
    assert (delivering.only().state, delivering.only().code) == (DeliveryState.PARKED, "HLM-6182")


def test_a_paused_sink_gets_nothing(node: MiniNode, delivering: Delivering) -> None:
    """`hilum pause SINK`; after `resume` everything comes."""
    node.journal.pauses.add(Pausable.SINK, "archive", node.clock())
    encoded_job(node)
    delivering.until_idle()
    assert delivering.archive.sent == []
    node.journal.pauses.remove(Pausable.SINK, "archive")
    delivering.until_idle()
    assert len(delivering.archive.sent) == 3


def test_a_process_that_dies_after_the_last_answer_sends_again_the_same_bytes(node: MiniNode, delivering: Delivering) -> None:
    """At least once on the wire: the receipts were not written, so all is sent again under the same UIDs, one set in the archive."""
    encoded_job(node)
    claimed = node.journal.deliveries.claim("dead", node.clock(), LEASE)
    assert claimed is not None
    delivering.archive.send(
        [
            Parcel(sop_instance_uid=one.sop_instance_uid, sop_class_uid="1.2.3", kind=one.kind, path=node.blobs.path(one.blob))
            for one in node.journal.deliveries.undelivered(claimed.id)
        ]
    )
    before = dict(delivering.archive.has)
    delivering.until_idle()
    assert delivering.only().state is DeliveryState.WAITING  # the lease is still held
    assert node.journal.processes.release("dead", node.clock()) == 1
    delivering.until_idle()
    assert delivering.only().state is DeliveryState.DELIVERED
    assert delivering.archive.has == before


def test_what_the_journal_could_not_record_is_put_off_not_lost(node: MiniNode, delivering: Delivering) -> None:
    """The journal fails at the receipt: the delivery is tried again by the same process, long before its lease runs out."""
    encoded_job(node)
    original = node.journal.deliveries.receipt

    def full(*_: Any, **__: Any) -> bool:
        raise JournalError("the disk is full")

    node.journal.deliveries.receipt = full  # type: ignore[method-assign]
    delivering.until_idle()
    node.journal.deliveries.receipt = original  # type: ignore[method-assign]
    delivery = delivering.only()
    assert (delivery.state, delivery.code) == (DeliveryState.WAITING, "HLM-7000")
    assert delivery.due_at - node.clock() <= timedelta(seconds=5)
    node.clock.now = delivery.due_at
    delivering.until_idle()
    assert delivering.only().state is DeliveryState.DELIVERED


def test_closing_lets_what_is_under_way_end_and_claims_nothing_more(node: MiniNode, delivering: Delivering) -> None:
    """SIGTERM drains: the object on its way arrives, the next delivery waits for the next process."""
    entered, go_on = threading.Event(), threading.Event()

    class Slow(ListSink):
        def send(self, parcels: Sequence[Parcel]) -> list[Receipt]:
            entered.set()
            assert go_on.wait(30)
            return ListSink.send(self, parcels)

    stage = delivering.fresh(archive=Slow())
    encoded_job(node, "1.1")
    encoded_job(node, "2.2")
    stage.step()
    assert entered.wait(30)
    stage.close(timeout_s=0)
    go_on.set()
    assert stage.wait(30)
    stage.step()
    assert sorted(one.state.value for one in node.deliveries()) == ["delivered", "waiting"]


def small_object(uid: str) -> bytes:
    """A Part 10 file with this SOP Instance UID in study 1.1."""
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID, dataset.StudyInstanceUID = SecondaryCaptureImageStorage, uid, "1.1"
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.save_as(out := BytesIO(), enforce_file_format=True)
    return out.getvalue()


def test_objects_are_delivered_to_a_folder_too(node: MiniNode, tmp_path: Path) -> None:
    """The whole way with a real sink: the files lie in the folder, byte for byte."""
    job = encoded_job(node)
    for one in node.journal.results.of_job(job):
        node.blobs.delete(one.blob)
        node.blobs.put(one.blob, small_object(one.sop_instance_uid))
    stage = DeliverStage(node.journal, node.blobs, lambda: {"archive": FolderSink(tmp_path / "out")}, node.config, node.clock, "flow")
    while stage.step():
        assert stage.wait(30)
    stage.close()
    written = {path.name: path.read_bytes() for path in (tmp_path / "out").rglob("*.dcm")}
    assert written == {f"1.1.9.{n}.dcm": small_object(f"1.1.9.{n}") for n in range(3)}


class Broken(ListSink):
    """A sink whose answer breaks the sender, until it is mended."""

    mended = False

    def send(self, parcels: Sequence[Parcel]) -> list[Receipt]:
        if not self.mended:
            raise ValueError("a reply that nobody foresaw")
        return super().send(parcels)


def test_a_sink_that_breaks_its_sender_ends_nothing_else(node: MiniNode, delivering: Delivering) -> None:
    """A defect in sending puts the delivery off like a sink that is away: the process goes on, the other sink is served, and when the
    defect is gone everything arrives once."""
    job = encoded_job(node, sinks=("archive", "second"))
    broken = Broken()
    delivering.fresh(archive=broken, second=delivering.second)
    delivering.until_idle()
    assert delivering.states() == {"archive": DeliveryState.WAITING, "second": DeliveryState.DELIVERED}
    waiting = next(one for one in node.deliveries() if one.sink == "archive")
    assert (waiting.code, waiting.lease, waiting.attempts) == ("HLM-6081", None, 1)
    broken.mended = True
    node.clock.advance(60)
    delivering.until_idle()
    assert len(broken.sent) == 3
    assert node.journal.jobs.get(job).state is JobState.DONE
