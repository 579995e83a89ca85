"""Every sink against the contract of node/sinks/port.py, with a real storage SCP and a real folder behind them; and DIMSE statuses."""

import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import Comprehensive3DSRStorage, ExplicitVRLittleEndian, RLELossless, SecondaryCaptureImageStorage, SegmentationStorage
from pynetdicom import AE, evt
from pynetdicom.sop_class import LabelMapSegmentationStorage, StudyRootQueryRetrieveInformationModelFind, Verification

from node.dicom.transfer_syntax import Context
from node.dimse.port import StoreStatus, Verdict, verdict
from node.dimse.requestor.peer import PeerRequestor
from node.domain.errors import DeliveryError
from node.settings.peers import May, Peer
from node.sinks.dimse import DimseSink
from node.sinks.folder import FolderSink
from node.sinks.port import Parcel, Sink
from tests.lab.acceptor import Conversation, accepting

CLASSES = {"seg": SegmentationStorage, "sr": Comprehensive3DSRStorage, "sc": SecondaryCaptureImageStorage}


def object_bytes(kind: str, uid: str, text: str = "") -> bytes:
    """A small Part 10 object of study 1.2.3."""
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = CLASSES[kind], uid
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.ImageComments = "1.2.3", "1.2.3.4", text
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.save_as(out := BytesIO(), enforce_file_format=True)
    return out.getvalue()


def parcels(folder: Path, *kinds: str, text: str = "") -> list[Parcel]:
    """One object a kind, under UIDs 1.2.3.5.0, 1.2.3.5.1, …"""
    made = []
    for number, kind in enumerate(kinds):
        uid = f"1.2.3.5.{number}"
        path = folder / f"{uid}{text}.bin"
        path.write_bytes(object_bytes(kind, uid, text))
        made.append(Parcel(sop_instance_uid=uid, sop_class_uid=CLASSES[kind], kind=kind, path=path))
    return made


class Archive:
    """A storage SCP on loopback that keeps what it accepts and answers each SOP class as told."""

    def __init__(self) -> None:
        self.answers: dict[str, int] = {}
        self.kept: dict[str, list[bytes]] = {}
        ae = AE(ae_title="ARCHIVE")
        for uid in CLASSES.values():
            ae.add_supported_context(uid, ExplicitVRLittleEndian)
        ae.add_supported_context(Verification)
        self._ae = ae
        self._server = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, self._store)])
        self.port = int(self._server.socket.getsockname()[1])

    def takes(self, class_uid: str, syntax: str) -> None:
        """From the next association on also this."""
        self._ae.add_supported_context(class_uid, syntax)
        self._server.contexts = self._ae.supported_contexts

    def _store(self, event: Any) -> int:
        status = self.answers.get(event.request.AffectedSOPClassUID, 0x0000)
        if status in (0x0000, 0xB000, 0xB006, 0xB007):
            self.kept.setdefault(str(event.request.AffectedSOPInstanceUID), []).append(event.request.DataSet.getvalue())
        return status

    def close(self) -> None:
        self._server.shutdown()


@pytest.fixture
def archive() -> Iterator[Archive]:
    made = Archive()
    yield made
    made.close()


def dimse_sink(port: int) -> DimseSink:
    """The sink as the assembly puts it together."""
    peer = Peer(name="archive", ae_title="ARCHIVE", host="127.0.0.1", port=port)
    return DimseSink("archive", "archive", PeerRequestor(peer, calling_ae="HILUM"))


class Bench:
    """One plug-in under test: the sink, and where what it delivered can be seen."""

    def __init__(self, sink: Sink, away: Sink, arrived: Callable[[], dict[str, list[bytes]]]) -> None:
        self.sink = sink
        self.away = away
        self.arrived = arrived


@pytest.fixture(params=["dimse", "folder"])
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Bench:
    """Every sink, working, and the same kind of sink with nobody behind it."""
    if request.param == "folder":
        blocked = tmp_path / "a file, no folder"
        blocked.touch()
        root = tmp_path / "sink"
        return Bench(
            FolderSink(root),
            FolderSink(blocked / "below"),
            lambda: {path.stem: [data_set(path.read_bytes())] for path in root.rglob("*.dcm")},
        )
    scp: Archive = request.getfixturevalue("archive")
    gone = Archive()
    gone.close()
    return Bench(dimse_sink(scp.port), dimse_sink(gone.port), lambda: scp.kept)


def data_set(part10: bytes) -> bytes:
    """The bytes behind the file meta information, whose length stands in (0002,0000)."""
    return part10[132 + 12 + int.from_bytes(part10[140:144], "little") :]


def test_one_receipt_for_each_parcel_in_order(bench: Bench, tmp_path: Path) -> None:
    """Three objects, three acceptances, and the data sets arrived unchanged."""
    sent = parcels(tmp_path, "seg", "sr", "sc")
    receipts = bench.sink.send(sent)
    assert [(one.sop_instance_uid, one.accepted, one.refused) for one in receipts] == [(p.sop_instance_uid, True, False) for p in sent]
    assert bench.arrived() == {p.sop_instance_uid: [data_set(p.path.read_bytes())] for p in sent}


def test_sending_again_is_harmless(bench: Bench, tmp_path: Path) -> None:
    """An accepted object is accepted again, and stands there with the same bytes."""
    sent = parcels(tmp_path, "seg", "sr")
    bench.sink.send(sent)
    assert all(one.accepted for one in bench.sink.send(sent))
    assert {uid: set(copies) for uid, copies in bench.arrived().items()} == {
        p.sop_instance_uid: {data_set(p.path.read_bytes())} for p in sent
    }


def test_nobody_there_is_a_delivery_error_that_is_retried(bench: Bench, tmp_path: Path) -> None:
    """Nothing could be sent at all: no receipts, and a retry helps."""
    with pytest.raises(DeliveryError) as caught:
        bench.away.send(parcels(tmp_path, "seg"))
    assert caught.value.retry


def test_what_a_sink_accepts_it_takes(bench: Bench, tmp_path: Path) -> None:
    """Asked for three SOP classes, it says yes to each, and takes an object of each; nothing has arrived before that."""
    asked = {Context(sop_class_uid=uid, transfer_syntax_uid=ExplicitVRLittleEndian) for uid in CLASSES.values()}
    assert bench.sink.accepts(asked) == asked
    assert bench.sink.accepts([]) == frozenset()
    assert bench.arrived() == {}
    assert all(one.accepted for one in bench.sink.send(parcels(tmp_path, *CLASSES)))


def test_health_says_whether_the_sink_would_take_something(bench: Bench) -> None:
    """For `hilum doctor`: a sentence either way, never an exception."""
    ready, sentence = bench.sink.health()
    assert ready
    assert sentence
    ready, sentence = bench.away.health()
    assert not ready
    assert sentence


def test_nothing_to_send_is_no_error(bench: Bench) -> None:
    """A delivery of which everything was accepted before."""
    assert bench.sink.send([]) == []


# ---- DIMSE


def test_what_a_peer_does_not_take_is_not_accepted(archive: Archive) -> None:
    """Neither a SOP class that it does not know, nor one that it knows in another transfer syntax; each is asked for by itself, so that
    one syntax that is taken does not hide another that is too."""
    plain = Context(sop_class_uid=SegmentationStorage, transfer_syntax_uid=ExplicitVRLittleEndian)
    unknown = Context(sop_class_uid=LabelMapSegmentationStorage, transfer_syntax_uid=ExplicitVRLittleEndian)
    compressed = Context(sop_class_uid=SegmentationStorage, transfer_syntax_uid=RLELossless)
    assert dimse_sink(archive.port).accepts([plain, unknown, compressed]) == {plain}
    archive.takes(SegmentationStorage, RLELossless)
    assert dimse_sink(archive.port).accepts([plain, unknown, compressed]) == {plain, compressed}


def test_a_peer_that_takes_nothing_of_what_was_asked_is_there_all_the_same(archive: Archive) -> None:
    """The association ends without a context: an answer, not an error."""
    assert dimse_sink(archive.port).accepts([Context(sop_class_uid="1.2.3.4", transfer_syntax_uid=ExplicitVRLittleEndian)]) == frozenset()


def test_more_contexts_than_one_association_holds(archive: Archive) -> None:
    """PS3.8 9.3.2.2 numbers 128; the rest is asked on another association."""
    wanted = Context(sop_class_uid=SegmentationStorage, transfer_syntax_uid=ExplicitVRLittleEndian)
    others = [Context(sop_class_uid=f"1.2.3.{number}", transfer_syntax_uid=ExplicitVRLittleEndian) for number in range(300)]
    assert dimse_sink(archive.port).accepts([*others, wanted]) == {wanted}


@pytest.mark.parametrize("how", ["rejects", "aborts"])
def test_a_peer_that_breaks_off_at_a_sop_class_that_it_does_not_know(how: str) -> None:
    """Old archives do, where the standard has them answer each context: the others are asked for one by one, and none of that one is
    taken. A delivery would otherwise be tried for a week and never fall back."""

    def requested(event: Any) -> None:
        proposed = {str(one.abstract_syntax) for one in event.assoc.requestor.primitive.presentation_context_definition_list}
        if LabelMapSegmentationStorage in proposed and how == "aborts":
            event.assoc.acse.send_abort(0x02)
            event.assoc.kill()
        elif LabelMapSegmentationStorage in proposed:
            event.assoc.acse.send_reject(0x01, 0x01, 0x01)
            event.assoc.kill()

    ae = AE(ae_title="ARCHIVE")
    for uid in (SegmentationStorage, SecondaryCaptureImageStorage):
        ae.add_supported_context(uid, ExplicitVRLittleEndian)
    ae.add_supported_context(Verification)
    server = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_REQUESTED, requested)])
    wanted = {
        Context(sop_class_uid=uid, transfer_syntax_uid=ExplicitVRLittleEndian)
        for uid in (SegmentationStorage, LabelMapSegmentationStorage, SecondaryCaptureImageStorage)
    }
    try:
        taken = dimse_sink(int(server.socket.getsockname()[1])).accepts(wanted)
    finally:
        server.shutdown()
    assert {one.sop_class_uid for one in taken} == {SegmentationStorage, SecondaryCaptureImageStorage}


def test_a_peer_that_rejects_what_it_would_take_nothing_of_takes_no_such_objects(tmp_path: Path) -> None:
    """As programs made with DCMTK do (dcmrecv): masks, which go first and by themselves, are said not to be taken, and the rest goes. One
    that rejects whatever is asked, as a stranger is, has said nothing of SOP classes."""
    knows = {SecondaryCaptureImageStorage, Comprehensive3DSRStorage, Verification}

    def requested(event: Any) -> None:
        proposed = {str(one.abstract_syntax) for one in event.assoc.requestor.primitive.presentation_context_definition_list}
        if proposed.isdisjoint(knows):
            event.assoc.acse.send_reject(0x01, 0x01, 0x01)
            event.assoc.kill()

    ae = AE(ae_title="ARCHIVE")
    for uid in knows:
        ae.add_supported_context(uid)
    handlers = [(evt.EVT_REQUESTED, requested), (evt.EVT_C_STORE, lambda event: 0x0000)]
    server = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)
    mask, *others = parcels(tmp_path, "seg", "sr", "sc")
    try:
        sink = dimse_sink(int(server.socket.getsockname()[1]))
        (refused,), rest = sink.send([mask]), sink.send(others)
        knows.clear()
        with pytest.raises(DeliveryError) as caught:
            sink.send([mask])
    finally:
        server.shutdown()
    assert (refused.refused, refused.not_taken, refused.status) == (True, True, 0x0122)
    assert "rejects the association for good: no reason given" in refused.detail
    assert all(one.accepted for one in rest)
    assert caught.value.retry


@pytest.mark.parametrize("how", ["abort", "close"])
def test_a_peer_that_breaks_off_at_what_it_does_not_know_takes_no_such_objects(how: str, tmp_path: Path) -> None:
    """It counted as away, and the delivery was tried for ever: masks by themselves, and one object that it does not know among others. One
    that breaks off at all that is stored (its disk is full, say), or whatever is asked, is away."""
    knows = {SecondaryCaptureImageStorage, Verification}

    def requested(event: Any) -> None:
        proposed = {str(one.abstract_syntax) for one in event.assoc.requestor.primitive.presentation_context_definition_list}
        if proposed <= knows:
            return
        if how == "abort":
            event.assoc.acse.send_abort(0x02)
        else:
            event.assoc.dul.socket.close()
        event.assoc.kill()

    ae = AE(ae_title="ARCHIVE")
    for uid in (SecondaryCaptureImageStorage, Comprehensive3DSRStorage, Verification):
        ae.add_supported_context(uid)
    handlers = [(evt.EVT_REQUESTED, requested), (evt.EVT_C_STORE, lambda event: 0x0000)]
    server = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)
    mask, *others = parcels(tmp_path, "seg", "sr", "sc")
    try:
        sink = dimse_sink(int(server.socket.getsockname()[1]))
        (refused,), (report, page) = sink.send([mask]), sink.send(others)
        knows.remove(SecondaryCaptureImageStorage)
        with pytest.raises(DeliveryError) as full:
            sink.send([mask])
        knows.clear()
        with pytest.raises(DeliveryError) as caught:
            sink.send([mask])
    finally:
        server.shutdown()
    for one in (refused, report):
        assert (one.refused, one.not_taken, one.status) == (True, True, 0x0122)
    assert page.accepted
    assert full.value.retry
    assert caught.value.retry


def test_asking_a_peer_that_is_away_is_a_delivery_error() -> None:
    """Nobody there has said no."""
    gone = Archive()
    gone.close()
    with pytest.raises(DeliveryError) as caught:
        dimse_sink(gone.port).accepts([Context(sop_class_uid=SegmentationStorage, transfer_syntax_uid=ExplicitVRLittleEndian)])
    assert caught.value.retry


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (0x0000, Verdict.ACCEPTED),
        (0xB000, Verdict.ACCEPTED),  # coercion of data elements
        (0xB006, Verdict.ACCEPTED),  # elements discarded
        (0xB007, Verdict.ACCEPTED),  # data set does not match SOP class (warning)
        (0x0111, Verdict.ACCEPTED),  # duplicate SOP instance
        (0xA700, Verdict.UNCLEAR),  # out of resources
        (0xA7FF, Verdict.UNCLEAR),
        (0x0110, Verdict.UNCLEAR),  # processing failure
        (0x0213, Verdict.UNCLEAR),  # resource limitation
        (0xA900, Verdict.REFUSED),  # data set does not match SOP class
        (0xA9FF, Verdict.REFUSED),
        (0xC000, Verdict.REFUSED),  # cannot understand
        (0xCFFF, Verdict.REFUSED),
        (0x0122, Verdict.REFUSED),  # SOP class not supported
        (0x0124, Verdict.REFUSED),  # not authorised
        (0x0117, Verdict.REFUSED),  # invalid object instance
        (None, Verdict.UNCLEAR),
        (0xFF00, Verdict.UNCLEAR),  # pending: no answer to a C-STORE
        (0x1234, Verdict.UNCLEAR),
    ],
)
def test_what_a_status_means(status: int | None, expected: Verdict) -> None:
    """PS3.4 table B.2-1 and PS3.7 annex C, read by hand."""
    assert verdict(status) is expected


def test_each_object_has_its_own_status(archive: Archive, tmp_path: Path) -> None:
    """One accepted with a warning, one refused for good, one for which there is no room: partial acceptance is understood."""
    archive.answers = {SegmentationStorage: 0xB000, Comprehensive3DSRStorage: 0xC000, SecondaryCaptureImageStorage: 0xA700}
    receipts = dimse_sink(archive.port).send(parcels(tmp_path, "seg", "sr", "sc"))
    assert [(one.accepted, one.refused, one.status) for one in receipts] == [
        (True, False, 0xB000),
        (False, True, 0xC000),
        (False, False, 0xA700),
    ]


def test_an_object_without_an_answer_is_neither_accepted_nor_refused(tmp_path: Path) -> None:
    """The association ended before: the requestor has nothing to say about the last object."""

    class Cut:
        """A requestor whose association ended after the first object."""

        def echo(self) -> float:
            return 0.0

        def accepts(self, contexts: Collection[Context]) -> frozenset[Context]:
            return frozenset(contexts)

        def store(self, files: Sequence[str]) -> list[StoreStatus]:
            return [StoreStatus(sop_instance_uid="1.2.3.5.0", status=0x0000)]

        def count(self, study_instance_uid: str, series_instance_uid: str | None) -> int | None:
            return None

        def count_series(self, study_instance_uid: str, wanted: Collection[str]) -> dict[str, int]:
            return {}

        def holds(self, files: Sequence[str]) -> frozenset[str]:
            return frozenset()

    sink = DimseSink("archive", "archive", Cut())
    receipts = sink.send(parcels(tmp_path, "seg", "sr"))
    assert [(one.accepted, one.refused, one.status) for one in receipts] == [(True, False, 0x0000), (False, False, None)]


def test_an_archive_that_does_not_take_a_sop_class_refuses_it_for_good(tmp_path: Path) -> None:
    """The presentation context is rejected (as Orthanc does with what it does not know): the others arrive, this one is refused."""
    kept: list[str] = []

    def store(event: Any) -> int:
        kept.append(str(event.request.AffectedSOPInstanceUID))
        return 0x0000

    ae = AE(ae_title="ARCHIVE")
    ae.add_supported_context(SegmentationStorage, ExplicitVRLittleEndian)
    server = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, store)])
    try:
        receipts = dimse_sink(int(server.socket.getsockname()[1])).send(parcels(tmp_path, "seg", "sr"))
    finally:
        server.shutdown()
    assert kept == ["1.2.3.5.0"]
    assert [(one.accepted, one.refused, one.not_taken) for one in receipts] == [(True, False, False), (False, True, True)]


class _Forgetful:
    """Scripts of an archive that takes the first object and ends the connection in place of an answer."""

    def __init__(self, *, lists: bool) -> None:
        self.lists = lists
        self.stored: list[str] = []
        self.asked: list[str] = []

    def once(self, one: Conversation) -> None:
        """The object arrives, and its answer gets lost."""
        one.associate()
        stored = one.stored()
        assert stored is not None, "an object comes"
        self.stored.append(stored.sop_instance)
        one.connection.close()

    def then(self) -> int:
        """The port of the same archive afterwards: it answers, to C-STORE and to C-FIND."""

        def find(event: Any) -> Iterator[tuple[int, Dataset | None]]:
            self.asked.append(str(event.identifier.SOPInstanceUID))
            assert event.identifier.StudyInstanceUID == "1.2.3", "the keys of the levels above go along"
            if self.lists:
                match = Dataset()
                match.SOPInstanceUID = event.identifier.SOPInstanceUID
                yield 0xFF00, match

        def store(event: Any) -> int:
            self.stored.append(str(event.request.AffectedSOPInstanceUID))
            return 0x0000

        ae = AE(ae_title="ARCHIVE")
        ae.add_supported_context(SegmentationStorage, ExplicitVRLittleEndian)
        ae.add_supported_context(StudyRootQueryRetrieveInformationModelFind)
        self.server = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, store), (evt.EVT_C_FIND, find)])
        return int(self.server.socket.getsockname()[1])


def _asking_sink(port: int, may: frozenset[May]) -> DimseSink:
    peer = Peer(name="archive", ae_title="ARCHIVE", host="127.0.0.1", port=port, may=may)
    return DimseSink("archive", "archive", PeerRequestor(peer, calling_ae="HILUM"))


@pytest.mark.slow
@pytest.mark.parametrize(("lists", "may", "sent"), [(True, True, 1), (False, True, 2), (True, False, 2)])
def test_an_answer_that_got_lost_is_asked_for_before_the_object_is_sent_again(tmp_path: Path, *, lists: bool, may: bool, sent: int) -> None:
    """The first attempt is neither accepted nor refused. The second asks, where that is allowed: an archive that lists the object has it,
    and is not sent it twice; one that does not list it, or may not be asked, is sent it again."""
    archive = _Forgetful(lists=lists)
    parcel = parcels(tmp_path, "seg")
    with accepting(archive.once) as acceptor:
        sink = _asking_sink(acceptor.port, frozenset({May.FIND}) if may else frozenset())
        (first,) = sink.send(parcel)
        assert (first.accepted, first.refused, first.status) == (False, False, None)
    # the archive is back, where it was: another port here
    later = _asking_sink(archive.then(), frozenset({May.FIND}) if may else frozenset())
    later._unsure = sink._unsure
    try:
        (second,) = later.send(parcel)
        assert (second.accepted, second.refused) == (True, False)
        assert [one.accepted for one in later.send(parcel)] == [True], "what is known to be there is nothing to ask about"
    finally:
        archive.server.shutdown()
    assert archive.stored[:sent] == ["1.2.3.5.0"] * sent
    assert len(archive.stored) == sent + 1, "the third attempt sends again what it is given"
    assert archive.asked == (["1.2.3.5.0"] if may else [])


# ---- folder


def test_other_bytes_under_the_same_uid_are_refused_not_overwritten(tmp_path: Path) -> None:
    """What stands in the folder stays; a person decides."""
    sink = FolderSink(tmp_path / "sink")
    sink.send(parcels(tmp_path, "seg"))
    (receipt,) = sink.send(parcels(tmp_path, "seg", text="changed"))
    assert (receipt.accepted, receipt.refused) == (False, True)
    assert (tmp_path / "sink/1.2.3/1.2.3.5.0.dcm").read_bytes() == object_bytes("seg", "1.2.3.5.0")


def test_a_uid_that_is_none_names_no_file(tmp_path: Path) -> None:
    """`../` in a UID leads nowhere."""
    (good,) = parcels(tmp_path, "seg")
    (receipt,) = FolderSink(tmp_path / "sink").send(
        [Parcel(sop_instance_uid="../../evil", sop_class_uid=good.sop_class_uid, kind="seg", path=good.path)]
    )
    assert (receipt.accepted, receipt.refused) == (False, True)
    assert not list(tmp_path.rglob("*evil*"))


def test_a_reader_of_the_folder_never_sees_half_a_file(tmp_path: Path) -> None:
    """While 40 objects are written, whoever looks finds every `.dcm` complete."""
    sink = FolderSink(tmp_path / "sink")
    sent = []
    for number in range(40):
        uid = f"1.2.3.5.{number}"
        path = tmp_path / f"{uid}.bin"
        path.write_bytes(object_bytes("sc", uid, "x" * 10_000))
        sent.append(Parcel(sop_instance_uid=uid, sop_class_uid=CLASSES["sc"], kind="sc", path=path))
    whole = {parcel.path.stat().st_size for parcel in sent}
    sizes: set[int] = set()
    done = threading.Event()

    def look() -> None:
        while not done.is_set():
            sizes.update(path.stat().st_size for path in tmp_path.glob("sink/*/*.dcm"))

    looking = threading.Thread(target=look)
    looking.start()
    receipts = sink.send(sent)
    done.set()
    looking.join()
    sizes.update(path.stat().st_size for path in tmp_path.glob("sink/*/*.dcm"))
    assert all(receipt.accepted for receipt in receipts)
    assert sizes <= whole
    assert not [path for path in (tmp_path / "sink").rglob("*") if path.is_file() and path.suffix != ".dcm"]


def test_a_folder_that_cannot_be_written_is_away(tmp_path: Path) -> None:
    """Something stands where the study's folder should be: nothing could be written, which is no verdict on the object."""
    (tmp_path / "sink").mkdir()
    (tmp_path / "sink/1.2.3").touch()
    with pytest.raises(DeliveryError, match=r"1\.2\.3\.5\.0\.dcm"):
        FolderSink(tmp_path / "sink").send(parcels(tmp_path, "seg"))
