"""Deliveries of masks in forms: one form a sink, with its report; the fall-back to BINARY; never two forms mixed, whatever happens."""

import contextlib
import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial
from io import BytesIO
from typing import Any

import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    UID,
    Comprehensive3DSRStorage,
    EncapsulatedPDFStorage,
    ExplicitVRLittleEndian,
    RLELossless,
    SecondaryCaptureImageStorage,
    SegmentationStorage,
)
from pynetdicom.sop_class import LabelMapSegmentationStorage

from node.domain.errors import DeliveryError
from node.domain.job import Delivery, ResultObject
from node.domain.profile import ARCHIVE, PACS, TRIAGE, VIEWER, Kind, MaskEncoding, Profile
from node.domain.state import DeliveryState, JobState
from node.flow.deliver import DeliverStage
from node.flow.delivery_attempt import DeliveryAttempt
from node.journal.journal import Journal
from node.sinks.port import Parcel, Receipt
from tests.unit.flow.mini import ListSink, MiniNode

LABELMAPS = replace(VIEWER, name="label maps", masks=MaskEncoding.LABELMAP)
BOTH = (("seg", "binary"), ("sr", "binary"), ("seg", "labelmap"), ("sr", "labelmap"), ("sr", ""), ("sc", ""))
BINARY_SET = [("seg", "binary"), ("sr", "binary"), ("sr", ""), ("sc", "")]
LABELMAP_SET = [("seg", "labelmap"), ("sr", "labelmap"), ("sr", ""), ("sc", "")]
FRACTIONAL_SET = [("seg", "fractional"), ("sr", "fractional")]
CLASSES = {"sr": Comprehensive3DSRStorage, "sc": SecondaryCaptureImageStorage, "pdf": EncapsulatedPDFStorage}
"""By kind; a mask's class goes by its form."""


def class_of(kind: str, form: str) -> str:
    if kind == "seg":
        return str(LabelMapSegmentationStorage if form.startswith("labelmap") else SegmentationStorage)
    return str(CLASSES[kind])


def part10(class_uid: str, uid: str, syntax: str) -> bytes:
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = class_uid, uid
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = UID(syntax)
    dataset.save_as(out := BytesIO(), enforce_file_format=True)
    return out.getvalue()


class Peer(ListSink):
    """A sink that takes, of each object, what it takes at that moment; `refuses` are SOP classes that it accepts in the negotiation and
    answers with 0xA900."""

    def __init__(self) -> None:
        super().__init__()
        self.refuses: set[str] = set()
        self.full: set[str] = set()
        self.offline_after: int | None = None

    def send(self, parcels: Sequence[Parcel]) -> list[Receipt]:
        if self.away:
            raise DeliveryError("nobody answers")
        receipts = []
        for parcel in parcels:
            uid, sop_class = parcel.sop_instance_uid, parcel.sop_class_uid
            if self.offline_after is not None and self.offline_after == 0:
                receipts.append(Receipt(sop_instance_uid=uid, accepted=False, detail="no answer"))
                continue
            if sop_class in self.takes_no:
                detail = f"not sent: takes no {sop_class}"
                receipts.append(Receipt(sop_instance_uid=uid, accepted=False, refused=True, status=0x0122, detail=detail, not_taken=True))
            elif sop_class in self.refuses:
                receipts.append(Receipt(sop_instance_uid=uid, accepted=False, refused=True, status=0xA900))
            elif sop_class in self.full:
                receipts.append(Receipt(sop_instance_uid=uid, accepted=False, status=0xA700))
            else:
                self.sent.append((parcel.kind, uid))
                self.has[uid] = parcel.path.read_bytes()
                receipts.append(Receipt(sop_instance_uid=uid, accepted=True, status=0))
            if self.offline_after is not None:
                self.offline_after -= 1
        return receipts


class Bench:
    """A node with one job whose objects are frozen, and a peer behind the sink "archive"."""

    def __init__(self, node: MiniNode) -> None:
        self.node = node
        self.peer = Peer()
        self.stage: DeliverStage | None = None
        self.job = 0

    def begin(self, profile: Profile, objects: Sequence[tuple[str, str]] = BOTH, *, syntax: str = ExplicitVRLittleEndian) -> None:
        """Freeze the objects (kind, form) of one job; a mask that is not plain BINARY lies in `syntax`."""
        self.profile(profile)
        self.job, lease = self.node.inferred_job()
        made = []
        for number, (kind, form) in enumerate(objects):
            uid, class_uid = f"1.1.9.{number}", class_of(kind, form)
            data = part10(class_uid, uid, syntax if kind == "seg" and form != "binary" else ExplicitVRLittleEndian)
            blob = f"results/{self.job}-{number}.dcm"
            self.node.blobs.put(blob, data)
            made.append(
                ResultObject(
                    job=self.job,
                    kind=kind,
                    form=form,
                    sop_instance_uid=uid,
                    sop_class_uid=class_uid,
                    series_instance_uid=f"1.1.8.{number}",
                    description=kind,
                    blob=blob,
                    size=len(data),
                    digest=hashlib.sha256(data).hexdigest(),
                )
            )
        assert self.node.journal.jobs.encoded(self.job, lease, made, self.node.clock())
        self.restart()

    def profile(self, profile: Profile) -> None:
        """Another configuration; it holds from the next start."""
        self.node.configure(sinks={"archive": replace(self.node.config.sinks["archive"], profile=profile)})

    def restart(self) -> None:
        """The stage of a new process, after whatever happened to the old one."""
        if self.stage is not None:
            self.stage.close()
        node = self.node
        self.stage = DeliverStage(node.journal, node.blobs, lambda: {"archive": self.peer}, node.config, node.clock, "flow")

    def attempt(self) -> Delivery:
        """One attempt, when it is due."""
        self.node.clock.now = max(self.node.clock.now, self.delivery().due_at)
        assert self.stage is not None
        while self.stage.step():
            assert self.stage.wait(30)
        return self.delivery()

    def delivery(self) -> Delivery:
        (delivery,) = self.node.deliveries()
        return delivery

    def arrived(self) -> list[tuple[str, str]]:
        """Kind and form of what the peer has, in the order in which the objects were made."""
        return [(one.kind, one.form) for one in self.node.journal.results.of_job(self.job) if one.sop_instance_uid in self.peer.has]

    def receipts(self) -> dict[tuple[str, str], str]:
        """What the newest receipt says of each object, by kind and form."""
        return {(said.one.kind, said.one.form): said.detail for said in self.node.journal.deliveries.receipts(self.delivery().id)}

    def history(self) -> list[str]:
        return [f"{line.name} {line.detail}" for line in self.node.journal.events.of("delivery", self.delivery().id)]


@pytest.fixture
def bench(node: MiniNode) -> Iterator[Bench]:
    made = Bench(node)
    yield made
    if made.stage is not None:
        made.stage.close()


def test_a_sink_gets_the_form_that_it_wants_with_its_report(bench: Bench) -> None:
    """Label map and the report that refers to it; the binary pair gets receipts that say why it stays."""
    bench.begin(LABELMAPS)
    assert bench.attempt().state is DeliveryState.DELIVERED
    assert bench.arrived() == LABELMAP_SET
    assert bench.receipts()["seg", "binary"] == bench.receipts()["sr", "binary"] == "left out: labelmap goes instead"
    assert bench.delivery().form == "labelmap"
    assert bench.node.journal.jobs.get(bench.job).state is JobState.DONE


def test_a_sink_that_wants_binary_is_not_asked_what_it_takes(bench: Bench) -> None:
    """An association less for what nearly every sink gets, and no commit to say so."""
    bench.begin(VIEWER)
    assert bench.attempt().state is DeliveryState.DELIVERED
    assert bench.arrived() == BINARY_SET
    assert bench.peer.asked == []
    assert bench.delivery().form == ""


def test_a_sink_that_takes_no_label_maps_gets_binary_masks_by_itself(bench: Bench) -> None:
    """Nothing is refused, nobody is asked; the journal says what went instead, and why."""
    bench.peer.takes_no = {LabelMapSegmentationStorage}
    bench.begin(LABELMAPS)
    assert bench.attempt().state is DeliveryState.DELIVERED
    assert bench.arrived() == BINARY_SET
    assert bench.delivery().attempts == 1
    assert bench.delivery().form == "binary"
    assert [line for line in bench.history() if line.startswith("delivery.form")] == [
        "delivery.form binary: labelmap: the sink takes no Label Map Segmentation Storage in Explicit VR Little Endian"
    ]


def test_a_sink_without_the_compression_gets_the_label_map_uncompressed(bench: Bench) -> None:
    """It takes the SOP class: the sender decompresses on the way, the instance stays the same."""
    bench.peer.takes_no = {RLELossless}
    bench.begin(ARCHIVE, [*BOTH[:2], ("seg", "labelmap+rle"), ("sr", "labelmap+rle"), ("sc", "")], syntax=RLELossless)
    assert bench.attempt().state is DeliveryState.DELIVERED
    assert ("seg", "labelmap+rle") in bench.arrived()
    assert {one.transfer_syntax_uid for one in bench.peer.asked[0]} >= {RLELossless, ExplicitVRLittleEndian}


def test_what_speaks_of_masks_waits_for_them(bench: Bench) -> None:
    """The sink has no room for the label map now: neither its report nor the document that refers to it goes ahead: the next attempt may
    bring BINARY masks and what refers to those."""
    profile = replace(LABELMAPS, kinds=LABELMAPS.kinds | {Kind.PDF})
    bench.peer.full = {LabelMapSegmentationStorage}
    bench.begin(profile, [*BOTH, ("pdf", "en"), ("pdf", "en+labelmap")])
    bench.attempt()
    assert bench.arrived() == [("sr", ""), ("sc", "")]
    bench.peer.full, bench.peer.refuses = set(), {LabelMapSegmentationStorage}
    bench.node.clock.advance(3600)
    assert bench.attempt().state is DeliveryState.DELIVERED
    assert set(bench.arrived()) == {*BINARY_SET, ("pdf", "en")}


def test_a_form_that_nobody_made_falls_back_to_what_there_is(bench: Bench) -> None:
    """The sink came after the job was encoded (`hilum jobs resend --to`), or its profile did."""
    bench.begin(LABELMAPS, [*BOTH[:2], ("sc", "")])
    assert bench.attempt().state is DeliveryState.DELIVERED
    assert bench.arrived() == [*BINARY_SET[:2], ("sc", "")]
    assert "delivery.form binary: labelmap: was not made of this job" in bench.history()


def test_label_maps_that_are_refused_when_they_come_are_followed_by_binary_masks(bench: Bench) -> None:
    """The peer negotiates the SOP class and answers 0xA900 to every object: the report has not left yet, so the other set can go."""
    bench.peer.refuses = {LabelMapSegmentationStorage}
    bench.begin(LABELMAPS)
    assert bench.attempt().state is DeliveryState.DELIVERED
    assert bench.arrived() == BINARY_SET
    assert "delivery.form binary: labelmap: the sink refuses it (status 0xA900)" in bench.history()


def test_a_report_waits_for_its_masks(bench: Bench) -> None:
    """The peer has no room for the label map: its report stays too, everything else goes, and the next attempt brings both."""
    bench.peer.full = {LabelMapSegmentationStorage}
    bench.begin(LABELMAPS)
    assert bench.attempt().state is DeliveryState.WAITING
    assert bench.arrived() == [("sr", ""), ("sc", "")]
    bench.peer.full = set()
    bench.restart()
    assert bench.attempt().state is DeliveryState.DELIVERED
    assert bench.arrived() == LABELMAP_SET


def test_once_the_label_map_is_there_its_report_follows_even_if_the_sink_takes_none_any_more(bench: Bench) -> None:
    """The sink has the label map, and was reconfigured before the report came: the set is completed, not begun anew in another form."""
    bench.peer.offline_after = 1
    bench.begin(LABELMAPS)
    assert bench.attempt().state is DeliveryState.WAITING
    assert bench.arrived() == [("seg", "labelmap")]
    bench.peer.offline_after, bench.peer.takes_no = None, {LabelMapSegmentationStorage}
    bench.restart()
    assert bench.attempt().state is DeliveryState.DELIVERED
    assert bench.arrived() == LABELMAP_SET


def test_a_sink_that_learns_label_maps_between_attempts_keeps_what_was_begun(bench: Bench) -> None:
    """It took none at first, and the binary masks are there: label maps come with the next study, not on top."""
    bench.peer.takes_no, bench.peer.offline_after = {LabelMapSegmentationStorage}, 1
    bench.begin(LABELMAPS)
    assert bench.attempt().state is DeliveryState.WAITING
    bench.peer.takes_no, bench.peer.offline_after = set(), None
    bench.restart()
    assert bench.attempt().state is DeliveryState.DELIVERED
    assert bench.arrived() == BINARY_SET


def test_a_profile_that_changes_in_the_middle_does_not_mix_forms(bench: Bench) -> None:
    """The binary mask is there when the operator asks for label maps: this job ends as it began, and sent again it goes as asked."""
    bench.peer.offline_after = 1
    bench.begin(VIEWER)
    assert bench.attempt().state is DeliveryState.WAITING
    bench.peer.offline_after = None
    bench.profile(LABELMAPS)
    bench.restart()
    assert bench.attempt().state is DeliveryState.DELIVERED
    assert bench.arrived() == BINARY_SET
    bench.peer.has.clear()
    bench.node.journal.deliveries.resend(bench.job, "archive", bench.node.clock())
    assert bench.attempt().state is DeliveryState.DELIVERED
    assert bench.arrived() == LABELMAP_SET


class Dead(BaseException):
    """What SIGKILL leaves: nothing after it happens."""


class Dying:
    """The journal of a process that is killed at its n-th entry, before or after the journal has it."""

    def __init__(self, journal: Journal, at: int, *, entered: bool) -> None:
        self._journal = journal
        self._left = at
        self._entered = entered
        self.deliveries = DyingPart(journal.deliveries, self._entry)
        self.events = DyingPart(journal.events, self._entry)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._journal, name)

    def _entry(self, real: Callable[..., Any], *args: Any) -> Any:
        self._left -= 1
        if self._left == 0 and not self._entered:
            raise Dead
        done = real(*args)
        if self._left == 0:
            raise Dead
        return done


class DyingPart:
    """A subject of that journal."""

    def __init__(self, of: object, entry: Callable[..., Any]) -> None:
        self._of = of
        self._entry = entry

    def __getattr__(self, name: str) -> Any:
        real = getattr(self._of, name)
        return partial(self._entry, real) if name in ("choose_form", "receipt", "note") else real


@pytest.mark.slow
@pytest.mark.parametrize("after", [False, True], ids=["then-none", "then-label-maps"])
@pytest.mark.parametrize("before", [False, True], ids=["none", "label-maps"])
@pytest.mark.parametrize("entered", [False, True])
@pytest.mark.parametrize("dies_at", range(1, 9))
def test_a_process_that_dies_while_it_sends_leaves_no_mixture(bench: Bench, dies_at: int, entered: bool, before: bool, after: bool) -> None:
    """Killed at any entry into the journal, and the sink changes its mind meanwhile: in the end one report about masks is there, beside
    the masks that it refers to, and everything else once, with the bytes that were frozen."""
    bench.peer.takes_no = set() if before else {LabelMapSegmentationStorage}
    bench.begin(LABELMAPS)
    claimed = bench.node.journal.deliveries.claim("dead", bench.node.clock(), timedelta(minutes=15))
    assert claimed is not None
    dying: Any = Dying(bench.node.journal, dies_at, entered=entered)
    with contextlib.suppress(Dead):
        DeliveryAttempt(dying, bench.node.blobs, bench.node.clock, claimed, bench.peer, LABELMAPS).send()
    bench.peer.takes_no = set() if after else {LabelMapSegmentationStorage}
    bench.node.journal.processes.release("dead", bench.node.clock())
    assert bench.attempt().state is DeliveryState.DELIVERED
    arrived = bench.arrived()
    (reports,) = [form for kind, form in arrived if kind == "sr" and form]
    assert ("seg", reports) in arrived
    assert [one for one in arrived if one[1] == ""] == [("sr", ""), ("sc", "")]
    frozen = {one.sop_instance_uid: bench.node.blobs.path(one.blob).read_bytes() for one in bench.node.journal.results.of_job(bench.job)}
    assert bench.peer.has.items() <= frozen.items()


def test_a_pacs_that_takes_no_masks_is_content_with_the_page_and_it_is_said(bench: Bench) -> None:
    """`not_taken: leave-out`: complete without them; receipt, history and event say what is missing, at this sink."""
    bench.peer.takes_no = {SegmentationStorage, Comprehensive3DSRStorage}
    bench.begin(PACS)
    assert bench.attempt().state is DeliveryState.DELIVERED
    assert bench.arrived() == [("sc", "")]
    assert bench.receipts()["seg", "binary"] == f"left out: not sent: takes no {SegmentationStorage}"
    (said,) = [line for line in bench.history() if line.startswith("delivery.left_out")]
    assert "seg 1.1.9.0" in said
    assert "sr 1.1.9.1" in said


def test_a_pacs_that_takes_nothing_at_all_is_never_complete(bench: Bench) -> None:
    """Somebody must look: nobody has the result."""
    bench.peer.takes_no = {SegmentationStorage, Comprehensive3DSRStorage, SecondaryCaptureImageStorage}
    bench.begin(PACS)
    delivery = bench.attempt()
    assert (delivery.state, delivery.code) == (DeliveryState.PARKED, "HLM-6183")


@pytest.mark.slow
def test_a_viewer_that_takes_no_masks_parks_the_delivery(bench: Bench) -> None:
    """`not_taken: park`: what speaks of no mask is there, and a person decides; a report of masks that are not there has not gone ahead."""
    bench.peer.takes_no = {SegmentationStorage}
    bench.begin(VIEWER)
    delivery = bench.attempt()
    assert (delivery.state, delivery.code) == (DeliveryState.PARKED, "HLM-6183")
    assert bench.arrived() == [("sr", ""), ("sc", "")]


NO_MASKS = ("sr", "no-masks")


def test_a_pacs_that_takes_no_masks_gets_the_report_that_refers_to_none(bench: Bench) -> None:
    """The mask is said to be left out; the form is in the history with its reason; one attempt."""
    bench.peer.takes_no = {SegmentationStorage}
    bench.begin(PACS, [*BINARY_SET, NO_MASKS])
    assert bench.attempt().state is DeliveryState.DELIVERED
    assert bench.arrived() == [("sr", ""), ("sc", ""), NO_MASKS]
    assert (bench.delivery().attempts, bench.delivery().form) == (1, "no-masks")
    assert bench.receipts()["seg", "binary"] == f"left out: not sent: takes no {SegmentationStorage}"
    assert bench.receipts()["sr", "binary"] == "left out: no-masks goes instead"
    assert [line for line in bench.history() if line.startswith("delivery.left_out")] == ["delivery.left_out the sink takes no seg 1.1.9.0"]
    (chosen,) = [line for line in bench.history() if line.startswith("delivery.form")]
    assert chosen.startswith("delivery.form no-masks: binary: the sink refuses it (status 0x0122")


def test_a_pacs_that_takes_no_masks_gets_what_refers_to_them_of_a_job_of_before(bench: Bench) -> None:
    """No report without masks was made of it: the numbers go with references that lead nowhere, and the history says so, once."""
    bench.peer.takes_no, bench.peer.full = {SegmentationStorage}, {SecondaryCaptureImageStorage}
    bench.begin(PACS, BINARY_SET)
    assert bench.attempt().state is DeliveryState.WAITING
    bench.peer.full = set()
    assert bench.attempt().state is DeliveryState.DELIVERED
    assert bench.arrived() == BINARY_SET[1:]
    chosen = [line for line in bench.history() if line.startswith("delivery.form")]
    assert chosen == ["delivery.form binary: no-masks: was not made of this job"]


def test_nothing_is_wanting_of_what_a_sink_does_not_take(bench: Bench) -> None:
    """A worklist takes no masks and no reports of them: that one without masks was not made for it is no fallback."""
    bench.begin(TRIAGE, BINARY_SET)
    assert bench.attempt().state is DeliveryState.DELIVERED
    assert bench.arrived() == [("sr", "")]
    assert not [line for line in bench.history() if "was not made" in line]


def test_a_pacs_that_takes_masks_gets_them_with_their_report(bench: Bench) -> None:
    """And not the other one besides; nor does it where the masks wait for room."""
    bench.peer.full = {SegmentationStorage}
    bench.begin(PACS, [*BINARY_SET, NO_MASKS])
    assert bench.attempt().state is DeliveryState.WAITING
    assert bench.arrived() == [("sr", ""), ("sc", "")]
    bench.peer.full = set()
    assert bench.attempt().state is DeliveryState.DELIVERED
    assert bench.arrived() == BINARY_SET


def test_a_pacs_without_masks_keeps_to_it_over_attempts(bench: Bench) -> None:
    """The report about no mask was to follow, and the link broke; the PACS takes masks by now: what was begun is completed."""
    bench.peer.takes_no, bench.peer.offline_after = {SegmentationStorage}, 1
    bench.begin(PACS, [*BINARY_SET, NO_MASKS])
    assert bench.attempt().state is DeliveryState.WAITING
    bench.peer.takes_no, bench.peer.offline_after = set(), None
    bench.restart()
    assert bench.attempt().state is DeliveryState.DELIVERED
    assert bench.arrived() == [("sr", ""), ("sc", ""), NO_MASKS]
    assert [line for line in bench.history() if line.startswith("delivery.left_out")] == ["delivery.left_out the sink takes no seg 1.1.9.0"]


def test_a_mask_that_is_refused_for_what_stands_in_it_takes_no_report_along(bench: Bench) -> None:
    """0xA900 of a PACS: neither the report of the mask, nor the one without: a person looks at the mask."""
    bench.peer.refuses = {SegmentationStorage}
    bench.begin(PACS, [*BINARY_SET, NO_MASKS])
    delivery = bench.attempt()
    assert (delivery.state, delivery.code) == (DeliveryState.PARKED, "HLM-6100")
    assert bench.arrived() == [("sr", ""), ("sc", "")]


def test_an_object_that_is_refused_for_what_stands_in_it_is_not_left_out(bench: Bench) -> None:
    """0xA900 is about this object: also a PACS that need not take everything has a person look at it."""
    bench.peer.refuses = {SegmentationStorage}
    bench.begin(PACS)
    delivery = bench.attempt()
    assert (delivery.state, delivery.code) == (DeliveryState.PARKED, "HLM-6100")


def test_what_was_left_out_stays_out_while_the_rest_is_still_on_its_way(bench: Bench) -> None:
    """No mask is taken, and there is no room for the page yet: nothing counts as complete before something is there."""
    bench.peer.takes_no, bench.peer.full = {SegmentationStorage, Comprehensive3DSRStorage}, {SecondaryCaptureImageStorage}
    bench.begin(PACS)
    assert bench.attempt().state is DeliveryState.WAITING
    bench.peer.full = set()
    assert bench.attempt().state is DeliveryState.DELIVERED
    assert bench.arrived() == [("sc", "")]


def test_a_sink_that_is_away_when_it_is_asked_is_tried_again(bench: Bench) -> None:
    """Nothing is chosen, nothing is sent."""
    bench.peer.away = True
    bench.begin(LABELMAPS)
    assert (bench.attempt().state, bench.delivery().form) == (DeliveryState.WAITING, "")
    bench.peer.away = False
    assert bench.attempt().state is DeliveryState.DELIVERED
    assert bench.arrived() == LABELMAP_SET


def test_what_a_profile_asks_for_and_nobody_made_is_in_the_history(bench: Bench) -> None:
    """A PDF was wanted by no sink when the job was encoded; the rest is complete."""
    bench.begin(replace(VIEWER, kinds=VIEWER.kinds | {Kind.PDF}))
    assert bench.attempt().state is DeliveryState.DELIVERED
    assert "delivery.wanting PDFs were not made in en" in bench.history()


def test_a_viewer_gets_a_byte_a_voxel_where_it_was_made(bench: Bench) -> None:
    """On a grid whose frames are no whole bytes; the SOP class is that of binary masks, so whoever takes these takes them."""
    bench.begin(VIEWER, [*FRACTIONAL_SET, *BINARY_SET])
    assert bench.attempt().state is DeliveryState.DELIVERED
    assert (bench.arrived(), bench.delivery().form) == ([*FRACTIONAL_SET, *BINARY_SET[2:]], "fractional")
    assert [line for line in bench.history() if line.startswith("delivery.form")] == ["delivery.form fractional"], "no fallback"


def test_a_viewer_gets_bits_where_bytes_were_not_made(bench: Bench) -> None:
    """Frames of bits are whole bytes on most grids: BINARY is what the profile asks for there, and nothing is to be said of it."""
    bench.begin(VIEWER, BINARY_SET)
    assert bench.attempt().state is DeliveryState.DELIVERED
    assert (bench.arrived(), bench.delivery().form) == (BINARY_SET, "")


def test_a_sink_without_masks_gets_the_numbers(bench: Bench) -> None:
    """`masks: none`: the report that refers to no mask goes; of a job that was encoded before it was wanted the other, and it is said."""
    bench.begin(replace(VIEWER, masks=MaskEncoding.NONE), [*BINARY_SET, NO_MASKS])
    assert bench.attempt().state is DeliveryState.DELIVERED
    assert bench.arrived() == [("sr", ""), ("sc", ""), NO_MASKS]


def test_a_job_of_before_gives_a_sink_without_masks_its_numbers(bench: Bench) -> None:
    """Of it no report without masks was made: the one that refers to masks elsewhere goes, and the history says so."""
    bench.begin(replace(VIEWER, masks=MaskEncoding.NONE))
    assert bench.attempt().state is DeliveryState.DELIVERED
    assert bench.arrived() == BINARY_SET[1:]
    assert "delivery.form binary: no-masks: was not made of this job" in bench.history()
