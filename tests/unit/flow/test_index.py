"""The index stage on the real inbox, blobs and journal: what each instance is to the ones before it, and a crash at every step."""

import errno
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ComprehensiveSRStorage, ExplicitVRLittleEndian, ImplicitVRLittleEndian, JPEGLSLossless

from node.blobs.folder import FolderBlobs
from node.blobs.objects import BucketAway
from node.dicom.part10 import data_set_digest, take_apart
from node.domain.arrival import Completeness
from node.domain.instance import Instance, Reception, ResultSource, Standing
from node.domain.job import NewJob, Priority, ResultObject
from node.domain.route import Route
from node.flow import index
from node.flow.held_instances import Senders
from node.flow.index import IndexStage
from node.flow.instance_verdict import number_of
from node.journal.instances import Instances
from node.journal.journal import Journal
from node.observe import pulse
from node.observe.pulse import InHand
from node.observe.shared_memory import SharedCells
from node.records.passport import passport
from node.routing.conditions import try_on
from node.settings.conditions import Conditions
from node.settings.config import Config
from node.settings.node import Node
from node.settings.peers import Peer, Scope, Settle
from node.settings.source import Here, snippet
from node.settings.store import Store
from node.spool.inbox import FolderInbox
from tests.lab import dcmtk, empty_journal
from tests.lab.spool import keep_whole
from tests.unit.flow.files import data_set, slice_of

START = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
QUIET = timedelta(seconds=7)


def _config(folder: Path) -> Config:
    peers = (
        Peer(name="ct1", ae_title="CT1", host="127.0.0.1", port=0, settle=Settle(quiet=QUIET)),
        Peer(name="mr1", ae_title="MR1", host="localhost", port=0, settle=Settle(scope=Scope.SERIES, quiet=QUIET)),
    )
    store = Store(journal=f"sqlite:{folder}/hilum.db", blobs=folder / "blobs")
    return Config(path=folder / "hilum.yaml", digest="config 1", node=Node(), store=store, models=folder, peers={p.name: p for p in peers})


@dataclass
class Receiver:
    """Puts what senders send into the inbox, and indexes it."""

    folder: Path
    now: datetime = START
    config: Config = field(init=False)

    def __post_init__(self) -> None:
        self.config = _config(self.folder)
        self.journal = Journal.open(empty_journal.make(self.config.store.journal))
        self.inbox = FolderInbox(self.config.store.blobs, min_free_bytes=0)
        self.blobs = FolderBlobs(self.config.store.blobs)

    def send(
        self,
        dataset: Dataset | bytes,
        *,
        calling: str = "CT1",
        called: str = "HILUM",
        syntax: str = "1.2.840.10008.1.2.1",
        uid: str = "1.2.3.4.99",
    ) -> None:
        """One C-STORE that was acknowledged; `uid` is what its command named, where bytes are given."""
        uid = uid if isinstance(dataset, bytes) else str(dataset.SOPInstanceUID)
        content = dataset if isinstance(dataset, bytes) else data_set(dataset, syntax)
        keep_whole(
            self.inbox,
            Reception(
                sop_instance_uid=uid,
                sop_class_uid="1.2.840.10008.5.1.4.1.1.2",
                transfer_syntax_uid=syntax,
                calling_ae=calling,
                called_ae=called,
                address="127.0.0.1",
                association="1",
                received_at=self.now,
            ),
            content,
        )

    def index(self, journal: Any = None, inbox: Any = None) -> int:
        """Step until nothing waits; how many entries left the inbox."""
        stage = IndexStage(journal or self.journal, inbox or self.inbox, self.blobs, self.config, lambda: self.now)
        total = 0
        while moved := stage.step():
            total += moved
        return total

    def rows(self, number: int = 1) -> list[Instance]:
        """All that came under the UID of one slice."""
        return self.journal.instances.by_uid(f"1.2.3.4.{number}")

    def standings(self, number: int = 1) -> list[Standing]:
        return [row.standing for row in self.rows(number)]

    def complete_and_route(self) -> None:
        """The study settled and was routed to nothing."""
        arrival = self.journal.arrivals.find(newest=True)[0]
        assert self.journal.arrivals.complete(arrival.id, Completeness.QUIET, self.now)
        self.journal.routing.route(arrival.id, [], [], self.config.digest, self.now)

    def state(self) -> dict[str, Any]:
        """All that a crash must not change in the end."""
        arrivals = self.journal.arrivals.find()
        return {
            "instances": {(i.sop_instance_uid, i.standing, i.blob) for n in range(1, 7) for i in self.rows(n)},
            "arrivals": [(a.study_instance_uid, a.revision, a.instances) for a in arrivals],
            "manifests": [sorted(i.blob for i in self.journal.instances.of_arrival(a.id)) for a in arrivals],
            "blobs": sorted(self.blobs.names()),
            "waiting": self.inbox.waiting(10),
            "asides": [(one.code, one.sender) for one in self.journal.instances.asides()],
            "aside files": len(list((self.config.store.blobs / "aside").glob("*.dcm"))),
        }


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Receiver]:
    """An empty receiver."""
    receiver = Receiver(tmp_path)
    yield receiver
    receiver.journal.close()


def test_an_instance_is_journaled_with_all_that_is_known_of_it(node: Receiver) -> None:
    """Who sent it to whom, its UIDs, digest and header; its file is the blob; the arrival is due after the peer's quiet window."""
    node.send(slice_of(1))
    content = node.inbox.waiting(1)[0].read_bytes()
    assert node.index() == 1
    (row,) = node.rows()
    assert (row.calling_ae, row.called_ae, row.address, row.peer) == ("CT1", "HILUM", "dicom://127.0.0.1", "ct1")
    assert (row.study_instance_uid, row.series_instance_uid, row.standing) == ("1.2.3", "1.2.3.4", Standing.CURRENT)
    assert row.header["PatientName"] == ("Doe^Jane",)
    assert node.blobs.path(row.blob).read_bytes() == content
    assert row.size == len(content)
    assert node.inbox.waiting(1) == []
    (arrival,) = node.journal.arrivals.find()
    assert (arrival.peer, arrival.instances, arrival.due_at) == ("ct1", 1, START + QUIET)


def test_private_elements_are_kept_from_the_moment_that_a_route_asks_for_them(node: Receiver) -> None:
    """What came before says that it does not know; nothing else of the vendor's is kept. A definition asks as well as the route itself."""
    asked = Conditions().read(snippet('any_of: [{"(0019,xx0C) SIEMENS MR HEADER": {min: 900}}]'), Here(file="", folder=Path()))
    route = Route(name="diffusion", when=asked)

    def sent(number: int, value: int | None) -> Instance:
        dataset = slice_of(number)
        dataset.add_new((0x0019, 0x0010), "LO", "SIEMENS MR HEADER")
        dataset.add_new((0x0019, 0x100D), "CS", "DIRECTIONAL")
        if value is not None:
            dataset.add_new((0x0019, 0x100C), "IS", value)
        node.send(dataset)
        node.index()
        (row,) = node.rows(number)
        return row

    before = sent(1, 1000)
    node.config = replace(node.config, routes=(route,))
    rows = [before, sent(2, 1000), sent(3, 0), sent(4, None)]
    tried = [try_on(one, row.header, START).entries[0][0] for row in rows for one in asked]
    assert [(one.found, one.held) for one in tried] == [
        ("not kept (the images came before a route asked for it)", False),
        ("1000", True),
        ("0", False),
        ("absent", False),
    ]
    assert not [keyword for row in rows for keyword in row.header if "xx0D" in keyword]


def test_private_elements_are_kept_of_what_comes_again_after_a_route_asked_for_them(node: Receiver) -> None:
    """ "Send it again" is what explanations say of a study that came before; the rest of its header is as it was."""
    dataset = slice_of(1)
    dataset.add_new((0x0019, 0x0010), "LO", "SIEMENS MR HEADER")
    dataset.add_new((0x0019, 0x100C), "IS", 1000)
    node.send(dataset)
    node.index()
    node.complete_and_route()
    (before,) = node.rows()
    (asked,) = Conditions().read(snippet('"(0019,xx0C) SIEMENS MR HEADER": {min: 900}'), Here(file="", folder=Path()))
    node.config = replace(node.config, digest="config 2", routes=(Route(name="diffusion", when=(asked,)),))
    node.send(dataset)
    node.index()
    (row,) = node.rows()
    assert try_on(asked, row.header, START).held
    assert row.header == {**before.header, "(0019,xx0C) SIEMENS MR HEADER": (1000,)}
    assert node.journal.arrivals.find()[-1].revision == 2


def test_the_digest_is_of_the_bytes_that_were_sent(node: Receiver) -> None:
    """SHA-256 of the data set alone, as another program computes it from what went over the wire."""
    import hashlib

    sent = data_set(slice_of(1))
    node.send(sent)
    node.index()
    assert [row.digest for row in node.rows()] == [hashlib.sha256(sent).hexdigest()]


def test_the_window_begins_when_an_instance_came(node: Receiver) -> None:
    """Not when it was journaled, a little later; but after a pause of the node, whose senders could not reach it, it begins now."""
    arrived = datetime.now(UTC)
    node.send(slice_of(1))
    for late, begins in [(timedelta(milliseconds=400), timedelta(0)), (timedelta(minutes=5), timedelta(minutes=5) - timedelta(seconds=1))]:
        waiting = node.inbox.waiting(1) or [Path()]
        if not waiting[0].name:
            node.send(slice_of(2, StudyInstanceUID="1.2.9", SeriesInstanceUID="1.2.9.1"))
            waiting = node.inbox.waiting(1)
        os.utime(waiting[0], (arrived.timestamp(), arrived.timestamp()))
        node.now = arrived + late
        node.index()
        due = node.journal.arrivals.find(newest=True)[0].due_at
        assert abs(due - (arrived + begins + QUIET)) < timedelta(milliseconds=1)


def test_a_batch_ends_behind_large_files(node: Receiver) -> None:
    """What was read of large files is journaled before the next are read."""
    for number in (1, 2, 3):
        node.send(slice_of(number))
    stage = IndexStage(node.journal, node.inbox, node.blobs, node.config, lambda: node.now, batch_bytes=100)
    assert [stage.step() for _ in range(4)] == [1, 1, 1, 0]


def test_a_large_file_is_not_held_in_memory(node: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its digest is taken piece by piece, whatever the pieces are, and each piece is let go of."""
    import hashlib

    held: list[int] = []

    def watched(content: Any, *how: Any, **called: Any) -> str:
        made = data_set_digest(content, *how, **called)
        held.append(_mapped_kib(node.inbox.waiting(1)[0]))
        return made

    monkeypatch.setattr(index, "data_set_digest", watched)
    image = slice_of(1, Rows=4096, Columns=2048)
    image.PixelData = bytes(range(256)) * (4096 * 2048 * 2 // 256)
    sent = data_set(image)
    node.send(sent)
    IndexStage(node.journal, node.inbox, node.blobs, node.config, lambda: node.now, pass_bytes=1 << 20).step()
    assert [row.digest for row in node.journal.instances.by_uid("1.2.3.4.1")] == [hashlib.sha256(sent).hexdigest()]
    assert held
    assert held[0] < 4096  # of sixteen thousand


def _mapped_kib(path: Path) -> int:
    """How much of a file this process holds in its memory, as the kernel counts it."""
    mine = False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if "-" in line.split()[0] and not line.split()[0].endswith(":"):
            mine = line.endswith(path.name)
        elif mine and line.startswith("Rss:"):
            return int(line.split()[1])
    return 0


def test_peers_settle_as_they_are_configured(node: Receiver) -> None:
    """A peer by series, a stranger by study with the default window; the same title from elsewhere is a stranger."""
    node.send(slice_of(1), calling="MR1")
    node.send(slice_of(2, StudyInstanceUID="1.2.9", SeriesInstanceUID="1.2.9.1"), calling="WHO")
    node.index()
    by_study = {arrival.study_instance_uid: arrival for arrival in node.journal.arrivals.find()}
    assert (by_study["1.2.3"].peer, by_study["1.2.3"].series_instance_uid) == ("mr1", "1.2.3.4")
    assert (by_study["1.2.9"].peer, by_study["1.2.9"].series_instance_uid) == (None, None)
    assert by_study["1.2.9"].due_at == START + Settle().quiet


@pytest.mark.parametrize(
    ("title", "address", "peer"),
    [
        ("CT1", "127.0.0.1", "ct1"),
        ("CT1", "dicom://127.0.0.1:40123", "ct1"),
        ("CT1", "dicom://[::ffff:127.0.0.1]", "ct1"),
        ("CT1", "10.0.0.9", None),
        ("MR1", "dicom://127.0.0.1", "mr1"),
        ("CT2", "127.0.0.1", None),
    ],
)
def test_a_sender_is_its_title_at_its_address(tmp_path: Path, title: str, address: str, peer: str | None) -> None:
    """With or without scheme and port, IPv4 in IPv6, host names resolved."""
    found = Senders(_config(tmp_path)).peer(title, address)
    assert (found and found.name) == peer


def test_a_peer_whose_host_name_moves_stays_that_peer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A scanner gets another address while the node runs, under the same name: it is no stranger, and its routes still take it."""
    resolver = {"ct.example": "10.0.0.5"}
    monkeypatch.setattr("node.flow.held_instances.socket.getaddrinfo", lambda host, _: [(0, 0, 0, "", (resolver.get(host, host), 0))])
    config = _config(tmp_path)
    senders = Senders(replace(config, peers={"ct": Peer(name="ct", ae_title="CT", host="ct.example", port=0)}))
    assert senders.peer("CT", "10.0.0.5") is not None
    assert senders.peer("CT", "10.0.0.6") is None
    resolver["ct.example"] = "10.0.0.6"
    assert senders.peer("CT", "10.0.0.6") is not None


def test_a_sender_is_the_peer_that_it_was_admitted_as(tmp_path: Path) -> None:
    """Where several share title and address; a name that means nothing any more, or somebody with another title, changes nothing."""
    old, new = Peer(name="old", ae_title="CT", host="10.0.0.5", port=0), Peer(name="new", ae_title="CT", host="10.0.0.5", port=0)
    other = Peer(name="other", ae_title="MR", host="10.0.0.5", port=0)
    senders = Senders(replace(_config(tmp_path), peers={one.name: one for one in (old, new, other)}))
    found = {name: senders.peer("CT", "10.0.0.5", name) for name in ("old", "new", "gone", "other", "")}
    assert found == {"old": old, "new": new, "gone": old, "other": old, "": old}


@pytest.mark.parametrize("together", [True, False])
def test_the_same_instance_twice_is_one(node: Receiver, together: bool) -> None:
    """Accepted both times, kept once, with an event; whether both wait in the inbox or the first is indexed."""
    node.send(slice_of(1))
    if not together:
        node.index()
    node.send(slice_of(1))
    node.index()
    assert node.standings() == [Standing.CURRENT]
    assert [event.name for event in node.journal.events.of("instance", node.rows()[0].id)] == ["instance.duplicate"]
    assert len(list(node.blobs.names())) == 1
    assert node.inbox.waiting(1) == []


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian], ids=["same syntax", "other syntax"])
def test_corrected_attributes_of_the_same_image_are_an_update(node: Receiver, syntax: str, together: bool) -> None:
    """The later one counts, both are kept."""
    node.send(slice_of(1))
    if not together:
        node.index()
    node.send(slice_of(1, PatientName="Roe^Jane"), syntax=syntax)
    node.index()
    assert node.standings() == [Standing.REPLACED, Standing.CURRENT]
    (arrival,) = node.journal.arrivals.find()
    assert [i.id for i in node.journal.instances.of_arrival(arrival.id)] == [node.rows()[1].id]
    assert len(list(node.blobs.names())) == 2


@pytest.mark.parametrize("together", [True, False])
def test_the_same_instance_in_another_transfer_syntax_is_one(node: Receiver, together: bool) -> None:
    """As from an archive that forwards in its own syntax what the modality sent too: kept once, and nothing is analysed a second time."""
    node.send(slice_of(1))
    if not together:
        node.index()
        node.complete_and_route()
    node.send(slice_of(1), syntax=ImplicitVRLittleEndian)
    node.index()
    assert node.standings() == [Standing.CURRENT]
    assert node.rows()[0].transfer_syntax_uid == ExplicitVRLittleEndian
    assert [event.name for event in node.journal.events.of("instance", node.rows()[0].id)] == ["instance.duplicate"]
    assert [arrival.revision for arrival in node.journal.arrivals.find()] == [1]
    assert len(list(node.blobs.names())) == 1
    assert node.inbox.waiting(1) == []


def test_an_older_version_in_another_transfer_syntax_undoes_no_correction(node: Receiver) -> None:
    """An archive forwards, in its own syntax, what it had before the name was corrected."""
    node.send(slice_of(1))
    node.index()
    node.send(slice_of(1, PatientName="Roe^Jane"))
    node.index()
    node.send(slice_of(1), syntax=ImplicitVRLittleEndian)
    node.index()
    assert node.standings() == [Standing.REPLACED, Standing.CURRENT]
    assert [row.header["PatientName"] for row in node.rows()] == [("Doe^Jane",), ("Roe^Jane",)]


@pytest.mark.parametrize("swept", [False, True], ids=["its file is there", "its file is gone"])
@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian], ids=["same syntax", "other syntax"])
def test_what_retention_deletes_while_it_is_judged_is_not_dropped(node: Receiver, syntax: str, swept: bool) -> None:
    """The copy that came is acknowledged, and by then the only one: it is judged once more."""
    node.send(slice_of(1))
    node.index()
    node.complete_and_route()

    purged: list[Any] = []

    class Purging(Instances):
        def came_again(self, *came: Any) -> frozenset[int]:
            if not purged:
                purged.append(node.journal.retention.tombstone([node.rows()[0].id], node.now))
                for tombstone, blob in node.journal.retention.purged_blobs().items() if swept else ():
                    node.blobs.delete(blob)
                    node.journal.retention.swept([tombstone])
            return super().came_again(*came)

    journal = Journal.open(f"sqlite:{node.journal.name}")
    journal.instances = Purging(journal.database)
    node.send(slice_of(1), syntax=syntax)
    node.index(journal=journal)
    journal.close()
    assert purged
    assert node.inbox.waiting(1) == []
    (row,) = [row for row in node.rows() if row.standing is Standing.CURRENT]
    assert row.transfer_syntax_uid == syntax
    assert node.blobs.has(row.blob)


@pytest.mark.peers
def test_a_copy_that_can_be_decoded_mends_one_that_cannot(node: Receiver, tmp_path: Path) -> None:
    """The kept one has its header and its length; its JPEG-LS stream is damaged."""
    plain, packed = tmp_path / "plain.dcm", tmp_path / "packed.dcm"
    whole = slice_of(1)
    whole.file_meta = FileMetaDataset()
    whole.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    whole.save_as(plain, enforce_file_format=True)
    assert dcmtk.transcode(plain, packed, "dcmcjpls").code == 0
    content = packed.read_bytes()
    frame = content.index(b"\xff\xd8\xff\xf7") + 2
    content = content[:frame] + bytes(18) + content[frame + 18 :]
    node.send(content[144 + struct.unpack_from("<I", content, 140)[0] :], syntax=JPEGLSLossless, uid="1.2.3.4.1")
    node.index()
    node.send(slice_of(1))
    node.index()
    assert node.standings() == [Standing.REPLACED, Standing.CURRENT]


def test_another_transfer_syntax_takes_the_place_of_an_instance_whose_file_is_gone(node: Receiver) -> None:
    """What came is all there is."""
    node.send(slice_of(1))
    node.index()
    node.blobs.path(node.rows()[0].blob).unlink()
    node.send(slice_of(1), syntax=ImplicitVRLittleEndian)
    node.index()
    assert node.standings() == [Standing.REPLACED, Standing.CURRENT]
    assert node.blobs.path(node.rows()[1].blob).exists()


def test_an_update_of_a_routed_study_opens_a_revision(node: Receiver) -> None:
    """The series is analysed again with the corrected instance in the place of the old one."""
    node.send(slice_of(1))
    node.send(slice_of(2))
    node.index()
    node.complete_and_route()
    node.send(slice_of(1, PatientName="Roe^Jane"))
    node.index()
    latest = node.journal.arrivals.find(newest=True)[0]
    names = sorted(str(i.header["PatientName"][0]) for i in node.journal.instances.of_arrival(latest.id))
    assert (latest.revision, names) == (2, ["Doe^Jane", "Roe^Jane"])


@pytest.mark.parametrize("other", [slice_of(1, pixel=5), slice_of(1, ImagePositionPatient=[0, 0, 9])], ids=["pixels", "geometry"])
def test_other_pixels_or_geometry_are_a_conflict(node: Receiver, other: Dataset) -> None:
    """Kept, told, never used: the first stays current, the arrival as it was; and the same again is no second conflict."""
    node.send(slice_of(1))
    node.index()
    for _ in range(2):
        node.send(other)
        node.index()
    assert node.standings() == [Standing.CURRENT, Standing.CONFLICT]
    assert node.journal.arrivals.find()[0].instances == 1
    events = [event.name for event in node.journal.events.of("instance", node.rows()[1].id)]
    assert events[0] == "instance.conflict"


def test_a_whole_copy_mends_one_that_was_cut_off(node: Receiver) -> None:
    """ "Send the instance again" is the remedy for a truncated one: the whole one takes its place, and is not displaced by the other."""
    cut = slice_of(1)
    whole = data_set(cut)
    node.send(whole[:-8])
    node.index()
    node.send(whole)
    node.index()
    assert node.standings() == [Standing.REPLACED, Standing.CURRENT]
    node.send(whole[:-16])
    node.index()
    assert node.standings() == [Standing.REPLACED, Standing.CURRENT, Standing.CONFLICT]


def test_own_results_never_open_an_arrival(node: Receiver) -> None:
    """By the journal, which knows what it made; nothing is kept of them."""
    node.send(slice_of(1))
    node.index()
    arrival = node.journal.arrivals.find()[0]
    node.journal.arrivals.complete(arrival.id, Completeness.QUIET, START)
    asked = NewJob(
        series_instance_uid="1.2.3.4",
        application="a",
        application_version="1",
        engine="e",
        routes=("r",),
        sinks=(),
        priority=Priority.ROUTINE,
        input_digest="i",
        instances=(),
    )
    node.journal.routing.route(arrival.id, [], [asked], "config 1", START)
    job = node.journal.jobs.claim("host:1", START, QUIET)
    assert job is not None
    assert job.lease is not None
    node.journal.jobs.inferred(job.id, job.lease, "f", "m", START)
    made = ResultObject(
        job=job.id,
        kind="sc",
        sop_instance_uid="1.2.3.4.2",
        sop_class_uid="1.2",
        series_instance_uid="1.2",
        description="",
        blob="r",
        size=1,
        digest="d",
    )
    node.journal.jobs.encoded(job.id, job.lease, [made], START)
    node.send(slice_of(2))
    assert node.index() == 1
    assert (node.rows(2), len(node.journal.arrivals.find())) == ([], 1)
    assert [event.name for event in node.journal.events.of("instance", 0)] == ["instance.own_result"]
    assert len(list(node.blobs.names())) == 1


def test_results_of_another_node_are_kept_and_open_nothing(node: Receiver) -> None:
    """What names hilum as processing equipment (109102, DCM), and this journal did not make: it was acknowledged, so it is kept, once; it
    joins no arrival, is no version of what a sender sent under the same UID, and stands in the way of nothing that comes later."""
    for _ in range(2):
        node.send(slice_of(3, **_theirs()))
        assert node.index() == 1
    (row,) = node.rows(3)
    assert (row.standing, node.journal.arrivals.find()) == (Standing.RESULT, [])
    assert [event.name for event in node.journal.events.of("instance", row.id)] == ["instance.other_result"]
    assert node.blobs.has(row.blob)
    (kept,) = node.journal.instances.other_results(row.study_instance_uid)
    assert kept.id == row.id
    assert node.journal.instances.result_sources(row.study_instance_uid) == {
        row.id: ResultSource(device_uid="1.2.9", series=frozenset({"1.2.3.41", "1.2.3.42", "1.2.3.43"}))
    }
    assert node.journal.instances.of_study(row.study_instance_uid) == []
    node.send(slice_of(1))
    node.send(slice_of(1, **_theirs()))
    node.index()
    node.index()
    assert node.standings() == [Standing.CURRENT, Standing.RESULT]
    assert [arrival.instances for arrival in node.journal.arrivals.find()] == [1]


def test_a_purged_result_of_another_node_is_kept_again_when_it_comes_again(node: Receiver) -> None:
    """Its bytes were deleted when it was old enough; what comes now is acknowledged, so its bytes lie there again, and open nothing."""
    node.send(slice_of(3, **_theirs()))
    node.index()
    (row,) = node.rows(3)
    sent = node.blobs.path(row.blob).read_bytes()
    node.journal.retention.tombstone([row.id], START)
    node.blobs.delete(row.blob)
    assert node.standings(3) == [Standing.PURGED]
    node.send(slice_of(3, **_theirs()))
    node.index()
    (again,) = node.rows(3)
    assert (again.id, again.standing, node.blobs.path(again.blob).read_bytes()) == (row.id, Standing.RESULT, sent)
    assert node.journal.arrivals.find() == []


def _theirs() -> dict[str, Any]:
    """What names hilum as processing equipment, a device, and three series: one as a mask does, two of one study as a report does."""
    equipment, code = Dataset(), Dataset()
    code.CodeValue, code.CodingSchemeDesignator = "109102", "DCM"
    equipment.Manufacturer, equipment.PurposeOfReferenceCodeSequence = "hilum", Sequence([code])
    series = [Dataset() for _ in range(3)]
    for number, one in enumerate(series, 1):
        one.SeriesInstanceUID = f"1.2.3.4{number}"
    study = Dataset()
    study.StudyInstanceUID, study.ReferencedSeriesSequence = "1.2.3", Sequence(series[1:])
    return {
        "InstanceCreatorUID": "1.2.9",
        "ContributingEquipmentSequence": Sequence([equipment]),
        "ReferencedSeriesSequence": Sequence(series[:1]),
        "CurrentRequestedProcedureEvidenceSequence": Sequence([study]),
    }


@pytest.mark.parametrize(
    ("broken", "code"),
    [
        (b"this is no data set at all, whatever the sender says", "HLM-3006"),
        (data_set(slice_of(1))[:40], "HLM-3001"),
        (data_set(slice_of(1, StudyInstanceUID="../../evil")), "HLM-3006"),
    ],
)
@pytest.mark.filterwarnings("ignore:Invalid value for VR UI")
def test_what_cannot_be_read_is_set_aside_and_stays_visible(node: Receiver, broken: bytes, code: str) -> None:
    """It was acknowledged, so it is kept, with the reason beside it and in the journal; the others of its batch go on."""
    node.send(broken)
    node.send(slice_of(2))
    assert node.index() == 2
    (aside,) = node.journal.instances.asides()
    kept = node.config.store.blobs / "aside" / aside.entry
    assert (aside.code, aside.sender, aside.at) == (code, "CT1@127.0.0.1", START)
    assert kept.read_bytes().endswith(broken)
    assert code in kept.with_suffix(".txt").read_text()
    assert node.standings(2) == [Standing.CURRENT]


def without(dataset: Dataset, *keywords: str) -> Dataset:
    """The same without these elements."""
    for keyword in keywords:
        del dataset[keyword]
    return dataset


@pytest.mark.parametrize(
    ("other", "shown"),
    [
        ({}, True),
        ({"AccessionNumber": "N-2"}, False),
        ({"PatientID": "4712"}, False),
        ({"AccessionNumber": "N-2", "SeriesInstanceUID": "1.2.3.4"}, True),
    ],
    ids=["the same order", "another order", "another patient", "its series"],
)
def test_what_has_no_place_is_told_beside_the_study_that_it_most_likely_belongs_to(
    node: Receiver, other: dict[str, Any], shown: bool
) -> None:
    """A data set that lacks its Study Instance UID is set aside: whose it is stands in columns, and the study's page tells of it."""
    node.send(slice_of(1, AccessionNumber="N-1"))
    left_out = ("StudyInstanceUID",) if "SeriesInstanceUID" in other else ("StudyInstanceUID", "SeriesInstanceUID")
    attributes: dict[str, Any] = {"AccessionNumber": "N-1", **other}
    astray = slice_of(2, **attributes)
    node.send(without(astray, *left_out))
    assert node.index() == 2
    (aside,) = node.journal.instances.asides()
    facts = (aside.patient_id, aside.accession, aside.study_instance_uid, aside.series_instance_uid)
    assert facts == (other.get("PatientID", "4711"), other.get("AccessionNumber", "N-1"), "", other.get("SeriesInstanceUID", ""))
    told = passport(node.journal, "1.2.3")["astray"]
    assert [(one["kind"], one["entry"], one["code"]) for one in told] == ([("set-aside", aside.entry, aside.code)] if shown else [])


@pytest.mark.parametrize(
    ("changed", "owed"),
    [({}, 1), ({"StudyInstanceUID": "../../evil"}, 1), ({"SOPClassUID": ComprehensiveSRStorage}, 0), ({"SeriesInstanceUID": "1.2.9.9"}, 0)],
    ids=["no study", "a study that is none", "no image", "of another series"],
)
@pytest.mark.filterwarnings("ignore:Invalid value for VR UI")
def test_an_image_that_is_set_aside_is_lacking_in_its_series(node: Receiver, changed: dict[str, Any], owed: int) -> None:
    """It was acknowledged, and the others are not the whole series; they are once it comes as it should be."""
    node.send(slice_of(1))
    damaged = slice_of(2, **changed)
    node.send(damaged if "StudyInstanceUID" in changed else without(damaged, "StudyInstanceUID"))
    assert node.index() == 2
    assert len(node.journal.instances.asides()) == 1
    assert [one.owed for one in node.journal.shortage.shortfalls("1.2.3").values()] == [1] * owed
    node.send(slice_of(2))
    assert node.index() == 1
    assert node.journal.shortage.shortfalls("1.2.3") == {}


def test_images_that_name_no_study_are_told_beside_the_study_of_their_order(node: Receiver) -> None:
    """An empty Study Instance UID: they stand under a UID of the node's own, and no archive would take what is made of them."""
    node.send(slice_of(1, AccessionNumber="N-1"))
    node.send(slice_of(2, AccessionNumber="N-1", StudyInstanceUID="", SeriesInstanceUID="1.2.9.1", FrameOfReferenceUID="1.2.9"))
    node.send(slice_of(3, AccessionNumber="N-2", StudyInstanceUID="", SeriesInstanceUID="1.2.10.1", FrameOfReferenceUID="1.2.10"))
    assert node.index() == 3
    (told,) = passport(node.journal, "1.2.3")["astray"]
    (row,) = node.rows(2)
    assert (told["kind"], told["study_uid"], told["instances"]) == ("nameless", row.study_instance_uid, 1)


def test_a_study_sent_again_after_the_routes_changed_is_routed_again(node: Receiver) -> None:
    """All of it is known, so only the configuration can make a difference: one revision if that changed, none if not."""
    for number in (1, 2):
        node.send(slice_of(number))
    node.index()
    node.complete_and_route()
    for digest, revisions in [("config 1", 1), ("config 2", 2), ("config 2", 2)]:
        node.config = replace(node.config, digest=digest)
        for number in (1, 2):
            node.send(slice_of(number))
        node.index()
        latest = node.journal.arrivals.find(newest=True)[0]
        assert (latest.revision, latest.instances) == (revisions, 2)
        if latest.state == "received":
            node.complete_and_route()


def test_purged_pixels_that_come_again_stand_again(node: Receiver) -> None:
    """The blob is back under a name of its own, before and after the old one is swept, as young as any other instance that came now;
    and a revision asks whether any job waits for it."""
    node.send(slice_of(1))
    node.index()
    node.complete_and_route()
    old = node.rows()[0]
    node.journal.retention.tombstone([old.id], START)
    node.now += timedelta(days=30)
    node.send(slice_of(1))
    node.index()
    assert node.journal.arrivals.find()[-1].revision == 2
    node.complete_and_route()
    assert node.journal.retention.purgeable(node.now) == []
    for blob in node.journal.retention.purged_blobs().values():
        node.blobs.delete(blob)
    (row,) = node.rows()
    assert (row.id, row.standing) == (old.id, Standing.CURRENT)
    assert row.blob != old.blob
    assert list(node.blobs.names()) == [row.blob]
    assert len(node.journal.arrivals.find()) == 2


def _nonsense_vr(dataset: Dataset) -> bytes:
    """The data set with a VR that does not exist on its Modality; pydicom raises NotImplementedError at it."""
    good = data_set(dataset)
    assert good.count(b"\x08\x00\x60\x00CS\x02\x00CT") == 1
    return good.replace(b"\x08\x00\x60\x00CS\x02\x00CT", b"\x08\x00\x60\x00ZZ\x00\x00\x02\x00\x00\x00CT")


def test_a_representation_that_does_not_exist_stops_nothing(node: Receiver) -> None:
    """An instance comes twice, its second copy with a VR that nobody knows: it is compared, kept, and the next one is indexed."""
    node.send(slice_of(99))
    node.index()
    node.send(_nonsense_vr(slice_of(99)))
    node.send(slice_of(2))
    node.index()
    assert node.inbox.waiting(1) == []
    assert len(node.rows(99)) == 2
    assert node.standings(2) == [Standing.CURRENT]


@pytest.mark.parametrize("reader", ["index.parse", "index.take_apart", "instance_verdict.likeness"])
def test_an_instance_that_breaks_its_reader_stops_no_other(node: Receiver, monkeypatch: pytest.MonkeyPatch, reader: str) -> None:
    """A defect of a reader, whatever it is: the instance is set aside or kept as a conflict, never met again after a restart."""
    node.send(slice_of(1))
    node.index()

    def broken(*_: Any) -> Any:
        raise RuntimeError("a defect")

    monkeypatch.setattr(f"node.flow.{reader}", broken)
    node.send(slice_of(1, pixel=7))
    node.index()
    assert node.inbox.waiting(1) == []
    assert ([one.code for one in node.journal.instances.asides()], node.standings()) == {
        "index.parse": (["HLM-3082"], [Standing.CURRENT]),
        "index.take_apart": (["HLM-3082"], [Standing.CURRENT]),
        "instance_verdict.likeness": ([], [Standing.CURRENT, Standing.CONFLICT]),
    }[reader]


@pytest.mark.parametrize("away", [BucketAway("it does not answer"), OSError(errno.EMFILE, "no descriptor is left")])
def test_what_cannot_be_compared_now_is_compared_later(node: Receiver, monkeypatch: pytest.MonkeyPatch, away: Exception) -> None:
    """A corrected header is an update, and no conflict because the bucket was away when it came. Nor is it to blame for a process that
    ends meanwhile: three of them would have it set aside."""
    node.send(slice_of(1))
    node.index()
    path = FolderBlobs.path

    def fails(blobs: FolderBlobs, name: str) -> Path:
        if node.rows():
            raise away
        return path(blobs, name)

    node.send(slice_of(1, PatientBirthDate="19500101"))
    with monkeypatch.context() as patched:
        patched.setattr(FolderBlobs, "path", fails)
        with pytest.raises(type(away)):
            node.index()
    assert InHand("entry").number == 0
    node.index()
    assert node.journal.instances.asides() == []
    assert node.standings() == [Standing.REPLACED, Standing.CURRENT]


@pytest.mark.parametrize("deaths", [2, 3])
def test_an_instance_that_three_processes_died_over_is_not_read_again(node: Receiver, monkeypatch: pytest.MonkeyPatch, deaths: int) -> None:
    """Each died with it in hand, in memory that outlives processes: after two it is read once more, after three it is set aside without
    being opened, and the next one is indexed."""
    cells = SharedCells.make()
    monkeypatch.setattr(pulse, "process_memory", lambda: SharedCells.attach(cells.descriptor))
    read: list[int] = []

    def reading(content: Any) -> Any:
        read.append(len(content))
        return take_apart(content)

    monkeypatch.setattr(index, "take_apart", reading)
    node.send(slice_of(1))
    (entry,) = node.inbox.waiting(2)
    for _ in range(deaths):
        InHand("entry").take(number_of(entry))
        IndexStage(node.journal, node.inbox, node.blobs, node.config, lambda: node.now)
    node.send(slice_of(2))
    node.index()
    assert node.inbox.waiting(1) == []
    assert node.standings(2) == [Standing.CURRENT]
    if deaths < 3:
        assert (node.standings(1), node.journal.instances.asides(), len(read)) == ([Standing.CURRENT], [], 2)
        return
    (aside,) = node.journal.instances.asides()
    assert (node.standings(1), aside.code, aside.sender, len(read)) == ([], "HLM-3082", "", 1)
    assert "ended 3 times" in aside.reason


class Crash(Exception):
    """The process dies here."""


class Dying:
    """A journal with its subjects, or an inbox, that dies at the n-th change made through any of them, before or after doing it."""

    def __init__(self, of: Any, verbs: set[str], left: list[int], after: bool, parts: tuple[str, ...] = ()) -> None:
        self._of, self._verbs, self._left, self._after, self._parts = of, verbs, left, after, parts

    def __getattr__(self, name: str) -> Any:
        method: Any = getattr(self._of, name)
        if name in self._parts:
            return Dying(method, self._verbs, self._left, self._after)
        if name not in self._verbs:
            return method

        def dying(*arguments: Any) -> Any:
            self._left[0] -= 1
            if self._left[0] == 0 and not self._after:
                raise Crash
            answer = method(*arguments)
            if self._left[0] == 0:
                raise Crash
            return answer

        return dying


def _eventful(node: Receiver) -> None:
    """A bit of everything waits in the inbox, on top of a study that was routed, and one instance of it purged."""
    for number in (1, 2, 3):
        node.send(slice_of(number))
    node.index()
    node.complete_and_route()
    node.journal.retention.tombstone([node.rows(3)[0].id], START)
    node.send(slice_of(1, PatientName="Roe^Jane"))  # an update
    node.send(slice_of(2, pixel=5))  # a conflict
    node.send(slice_of(3))  # purged, and here again
    node.send(slice_of(4))  # new
    node.send(slice_of(4))  # and again
    node.send(slice_of(5, StudyInstanceUID="1.2.9", SeriesInstanceUID="1.2.9.1"))  # another study
    node.send(slice_of(6, **_theirs()))  # a result of another node
    node.send(b"no data set")
    node.send(slice_of(2))  # a duplicate, behind a conflict of the same instance


@pytest.mark.slow
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_crash_anywhere_changes_nothing_in_the_end(tmp_path: Path, after: bool) -> None:
    """Killed before or after each single change of journal and files: a fresh start ends in the same place as no crash at all."""
    calm = Receiver(tmp_path / "calm")
    _eventful(calm)
    calm.index()
    expected = calm.state()
    calm.journal.close()
    assert expected["waiting"] == []
    assert len(expected["asides"]) == expected["aside files"] == 1
    crashes = 0
    while True:
        node = Receiver(tmp_path / f"crash {crashes}")
        _eventful(node)
        left = [crashes + 1]
        journal = Dying(node.journal, {"record", "restore", "came_again", "note", "set_aside"}, left, after, ("instances", "events"))
        inbox = Dying(node.inbox, {"move_to_blobs", "drop", "set_aside"}, left, after)
        try:
            node.index(journal, inbox)
        except Crash:
            crashes += 1
            node.index()
            assert node.state() == expected, f"crashed at change {crashes}"
            node.journal.close()
        else:
            node.journal.close()
            break
    assert crashes >= 12
