"""What the node asks of peers, against peers that are pynetdicom's stock ones, with manners and without."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, ImplicitVRLittleEndian, JPEG2000Lossless, MRImageStorage
from pynetdicom import AE, evt
from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelFind, Verification

from node.dimse.port import StoreStatus
from node.dimse.requestor import association
from node.dimse.requestor.opening import Timeouts
from node.dimse.requestor.peer import PeerRequestor
from node.domain.errors import DeliveryError
from node.settings.peers import Peer
from tests.dimse.conftest import Listen, data_set_of, instance
from tests.lab.loopback import free_port

Handler: TypeAlias = Callable[[evt.Event], Any]


class Scp:
    """A stock pynetdicom SCP; `received` holds (transfer syntax, data set bytes as they came)."""

    def __init__(self, contexts: list[tuple[str, list[str]]], handlers: list[tuple[Any, Handler]] = []) -> None:  # noqa: B006
        self.received: list[tuple[str, bytes]] = []
        entity = AE(ae_title="ARCHIVE")
        entity.require_called_aet = True
        for abstract, syntaxes in contexts:
            entity.add_supported_context(abstract, syntaxes)
        bound = {evt.EVT_C_STORE: self._keep, **dict(handlers)}
        self.server = entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=list(bound.items()))
        self.port = int(self.server.server_address[1])

    def _keep(self, asked: evt.Event) -> int:
        self.received.append((str(asked.context.transfer_syntax), asked.request.DataSet.getvalue()))
        return 0x0000


Archive: TypeAlias = Callable[..., Scp]


@pytest.fixture
def archive() -> Iterator[Archive]:
    """Start an SCP for MR in explicit little endian, or for other contexts, with other handlers."""
    with ExitStack() as stack:

        def start(*contexts: tuple[str, list[str]], handlers: list[tuple[Any, Handler]] | None = None) -> Scp:
            scp = Scp(list(contexts) or [(str(MRImageStorage), [str(ExplicitVRLittleEndian)])], handlers or [])
            stack.callback(scp.server.shutdown)
            return scp

        yield start


def _requestor(port: int, *, called: str = "ARCHIVE", dimse_s: float = 30) -> PeerRequestor:
    peer = Peer(name="archive", ae_title=called, host="127.0.0.1", port=port)
    return PeerRequestor(peer, calling_ae="HILUM", timeouts=Timeouts(connect_s=30, acse_s=30, dimse_s=dimse_s))


def _files(folder: Path, *datasets: Dataset) -> list[str]:
    paths = [folder / f"{number}.dcm" for number in range(len(datasets))]
    for path, dataset in zip(paths, datasets, strict=True):
        dataset.save_as(path, enforce_file_format=True)
    return [str(path) for path in paths]


def test_echo_says_how_long_it_took(archive: Archive) -> None:
    """Seconds, from the request for the association on."""
    scp = archive((str(Verification), [str(ImplicitVRLittleEndian)]))
    assert 0 < _requestor(scp.port).echo() < 30


def test_the_file_goes_out_byte_for_byte(archive: Archive, tmp_path: Path) -> None:
    """In several PDUs, in order, each with its status; a frozen result stays what it is."""
    scp = archive()
    datasets = [instance(pixels=bytes([number]) * 300_000) for number in range(3)]
    files = _files(tmp_path, *datasets)
    told: list[StoreStatus] = []
    statuses = _requestor(scp.port).store(files, on_status=told.append)
    assert [(one.sop_instance_uid, one.status) for one in statuses] == [(str(dataset.SOPInstanceUID), 0x0000) for dataset in datasets]
    assert told == statuses
    assert [data for _, data in scp.received] == [data_set_of(Path(file).read_bytes()) for file in files]


def test_compressed_goes_out_compressed_where_it_is_taken(archive: Archive, tmp_path: Path) -> None:
    """A peer that takes JPEG 2000 and uncompressed gets the JPEG 2000 bytes."""
    source = Path(str(get_testdata_file("JPEG2000.dcm")))
    dataset = dcmread(source)
    syntax = str(dataset.file_meta.TransferSyntaxUID)
    scp = archive((str(dataset.SOPClassUID), [syntax, str(ImplicitVRLittleEndian)]))
    (status,) = _requestor(scp.port).store([str(source)])
    assert status.status == 0x0000
    assert scp.received[0][0] == syntax


def test_a_peer_that_takes_no_compression_gets_the_pixels(archive: Archive, tmp_path: Path) -> None:
    """Transcoded only then: the same instance, and the pixels that pydicom decodes from the original."""
    source = Path(str(get_testdata_file("MR_small_jp2klossless.dcm")))
    original = dcmread(source)
    assert original.file_meta.TransferSyntaxUID == JPEG2000Lossless
    scp = archive((str(original.SOPClassUID), [str(ImplicitVRLittleEndian)]))
    (status,) = _requestor(scp.port).store([str(source)])
    assert (status.status, status.detail) == (0x0000, "sent in Implicit VR Little Endian")
    (syntax, data) = scp.received[0]
    assert syntax == ImplicitVRLittleEndian
    assert original.pixel_array.astype("<i2").tobytes() in data
    assert str(original.SOPInstanceUID).encode() in data


def test_more_classes_than_an_association_can_negotiate(listen: Listen, tmp_path: Path) -> None:
    """Two contexts an instance of another class: 80 of them need two associations, and all arrive."""
    from node.dimse.contexts import storage_classes

    running = listen()
    files = _files(tmp_path, *(instance(sop_class=one) for one in storage_classes()[:80]))
    requestor = PeerRequestor(Peer(name="node", ae_title="HILUM", host="127.0.0.1", port=running.port), calling_ae="PACS")
    assert all(status.accepted for status in requestor.store(files))
    assert len(running.kept()) == 80
    assert len(running.said("association.accepted")) == 2


def test_a_class_that_the_peer_does_not_take_is_refused_for_good(archive: Archive, tmp_path: Path) -> None:
    """0x0122 for that one, with the reason; the others go out. A person must talk to the peer: trying again cannot help."""
    files = _files(tmp_path, instance(), instance(sop_class=str(CTImageStorage)), instance())
    statuses = _requestor(archive().port).store(files)
    assert [one.status for one in statuses] == [0x0000, 0x0122, 0x0000]
    assert "CT Image Storage" in statuses[1].detail


def test_a_peer_that_takes_nothing_of_it_refuses_all(archive: Archive, tmp_path: Path) -> None:
    """No context accepted at all: each instance is refused, nothing raises."""
    scp = archive((str(Verification), [str(ImplicitVRLittleEndian)]))
    assert [one.status for one in _requestor(scp.port).store(_files(tmp_path, instance(), instance()))] == [0x0122, 0x0122]


def test_what_is_no_dicom_file_is_not_sent(archive: Archive, tmp_path: Path) -> None:
    """Its status is None with the reason; the others go out."""
    (tmp_path / "text").write_text("hello")
    good = _files(tmp_path, instance())
    statuses = _requestor(archive().port).store([str(tmp_path / "text"), *good, str(tmp_path / "absent")])
    assert [one.status for one in statuses] == [None, 0x0000, None]
    assert "HLM-6004" in statuses[0].detail


def test_statuses_and_comments_come_back(archive: Archive, tmp_path: Path) -> None:
    """A warning counts as stored, whoever sends, a refusal does not, and the peer's comment is kept."""
    answers = iter([(0xB007, ""), (0xA700, "disk full"), (0x0111, ""), (0x0107, ""), (0xB101, "")])

    def answer(_: evt.Event) -> Dataset:
        status = Dataset()
        status.Status, status.ErrorComment = next(answers)
        return status

    scp = archive(handlers=[(evt.EVT_C_STORE, answer)])
    statuses = _requestor(scp.port).store(_files(tmp_path, *(instance() for _ in range(5))))
    assert [(one.status, one.accepted) for one in statuses] == [
        (0xB007, True),
        (0xA700, False),
        (0x0111, True),
        (0x0107, True),
        (0xB101, True),
    ]
    assert statuses[1].detail == "«disk full»"


def test_an_abort_in_the_middle_leaves_the_rest_unsent(archive: Archive, tmp_path: Path) -> None:
    """The one under way is unknown, those after it were not sent: None for all of them, none counted as accepted."""
    count = 0

    def abort_at_the_second(asked: evt.Event) -> int:
        nonlocal count
        count += 1
        if count == 2:
            asked.assoc.abort()
        return 0x0000

    scp = archive(handlers=[(evt.EVT_C_STORE, abort_at_the_second)])
    statuses = _requestor(scp.port).store(_files(tmp_path, *(instance() for _ in range(4))))
    assert [one.status for one in statuses] == [0x0000, None, None, None]
    assert "may have" in statuses[1].detail
    assert [one.detail.startswith("not sent") for one in statuses] == [False, False, True, True]


def test_no_answer_in_time_is_unknown(archive: Archive, tmp_path: Path) -> None:
    """The peer has the bytes and says nothing: unknown, not refused; the association ends, and the call returns."""
    release = threading.Event()

    def sleep(_: evt.Event) -> int:
        release.wait(60)
        return 0x0000

    scp = archive(handlers=[(evt.EVT_C_STORE, sleep)])
    began = time.monotonic()
    statuses = _requestor(scp.port, dimse_s=0.5).store(_files(tmp_path, instance(), instance()))
    took_s = time.monotonic() - began
    release.set()
    assert [one.status for one in statuses] == [None, None]
    assert took_s < 30


def test_a_peer_that_is_away_raises_and_says_who(tmp_path: Path) -> None:
    """Nobody listens: a DeliveryError that names the peer; the same for a name that nobody knows."""
    port = free_port()
    files = _files(tmp_path, instance())
    for call in (lambda: _requestor(port).store(files), _requestor(port).echo, lambda: _requestor(port).count("1.2", None)):
        with pytest.raises(DeliveryError, match="archive") as away:
            call()
        assert away.value.code == "HLM-6001"
    nowhere = PeerRequestor(Peer(name="nowhere", ae_title="X", host="pacs.invalid", port=104), calling_ae="HILUM")
    with pytest.raises(DeliveryError, match="nowhere"):
        nowhere.echo()


def test_a_rejection_says_why(archive: Archive) -> None:
    """The reason of PS3.8 table 9-21 in words."""
    with pytest.raises(DeliveryError, match="called AE title not recognised") as rejected:
        _requestor(archive().port, called="WRONG").echo()
    assert rejected.value.code == "HLM-6007"


def test_a_peer_that_accepts_the_connection_and_says_nothing() -> None:
    """The ACSE time-out ends it."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        peer = Peer(name="silent", ae_title="X", host="127.0.0.1", port=silent.getsockname()[1])
        began = time.monotonic()
        with pytest.raises(DeliveryError, match="silent"):
            PeerRequestor(peer, calling_ae="HILUM", timeouts=Timeouts(connect_s=1, acse_s=0.5, dimse_s=0.5)).echo()
        assert time.monotonic() - began < 30


_FIND = (str(StudyRootQueryRetrieveInformationModelFind), [str(ImplicitVRLittleEndian)])


def _finder(levels: dict[str, list[dict[str, Any]]]) -> list[tuple[Any, Handler]]:
    """A C-FIND that answers each level with these matches, and a level that it does not know with a failure."""

    def find(asked: evt.Event) -> Iterator[tuple[int, Dataset | None]]:
        level = asked.identifier.QueryRetrieveLevel
        if level not in levels:
            yield 0xA900, None
            return
        for keys in levels[level]:
            match = Dataset()
            for keyword, value in keys.items():
                setattr(match, keyword, value)
            yield 0xFF00, match

    return [(evt.EVT_C_FIND, find)]


_THREE: list[dict[str, Any]] = [{"SOPInstanceUID": f"1.2.{number}"} for number in range(3)]


@pytest.mark.parametrize(
    ("levels", "series", "expected"),
    [
        pytest.param({"STUDY": [{"NumberOfStudyRelatedInstances": 24}]}, None, 24, id="study, counted"),
        pytest.param({"SERIES": [{"NumberOfSeriesRelatedInstances": 7}]}, "1.3", 7, id="series, counted"),
        pytest.param({"SERIES": [{"SeriesInstanceUID": "1.3"}], "IMAGE": _THREE}, "1.3", 3, id="series, listed"),
        pytest.param(
            {
                "STUDY": [{"StudyInstanceUID": "1.2"}],
                "SERIES": [{"SeriesInstanceUID": "1.3"}, {"SeriesInstanceUID": "1.4"}],
                "IMAGE": _THREE,
            },
            None,
            6,
            id="study, listed by series",
        ),
        pytest.param({"STUDY": [], "SERIES": []}, None, None, id="a study that it does not know"),
        pytest.param({}, None, None, id="a peer that cannot"),
        pytest.param({"STUDY": [{"NumberOfStudyRelatedInstances": None}], "SERIES": []}, None, None, id="an empty count"),
        pytest.param(
            {"SERIES": [{"NumberOfSeriesRelatedInstances": -1}], "IMAGE": _THREE}, "1.3", 3, id="a count that is none, and a list"
        ),
    ],
)
def test_counting(archive: Archive, levels: dict[str, list[dict[str, Any]]], series: str | None, expected: int | None) -> None:
    """By the peer's own number, else by what it lists; None rather than a zero that would look like completeness."""
    scp = archive(_FIND, handlers=_finder(levels))
    assert _requestor(scp.port).count("1.2", series) == expected


def test_matches_without_measure_are_not_kept(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is as long as a message may be, and there are many: they would fill the process that asks."""
    monkeypatch.setattr(association, "MOST_MATCHED_BYTES", 1 << 20)
    many = [{"SOPInstanceUID": f"1.2.{number}", "TextValue": "x" * 300_000} for number in range(8)]
    scp = archive(_FIND, handlers=_finder({"IMAGE": many[:3]}))
    assert _requestor(scp.port).count("1.2", "1.3") == 3
    scp = archive(_FIND, handlers=_finder({"IMAGE": many}))
    assert _requestor(scp.port).count("1.2", "1.3") is None


def test_a_peer_without_find_cannot_say(archive: Archive) -> None:
    """None, not an error: the quiet window alone decides then."""
    assert _requestor(archive().port).count("1.2", None) is None


def test_associations_are_released(listen: Listen, tmp_path: Path) -> None:
    """Every call ends its own association in order."""
    running = listen()
    requestor = PeerRequestor(Peer(name="node", ae_title="HILUM", host="127.0.0.1", port=running.port), calling_ae="PACS")
    requestor.echo()
    requestor.store(_files(tmp_path, instance()))
    running.listener.stop(5)
    assert [one["how"] for one in running.said("association.ended")] == ["released", "released"]
