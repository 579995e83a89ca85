"""C-STORE: what is kept is what was sent; what is refused leaves nothing, says why, and harms nobody."""

import errno
import os
import struct
import zlib
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread, uid
from pydicom.dataset import Dataset
from pynetdicom import AE
from pynetdicom.association import Association

from node.domain.instance import Reception
from node.settings.store import Durability
from node.spool.inbox import FolderInbox
from node.spool.room import DiskFailed
from tests.dimse.conftest import Listen, Listening, data_set, data_set_of, instance, offer
from tests.lab.program import wait_until
from tests.lab.rejection import rejection
from tests.lab.wire import Offer, Sender


def _store(running: Listening, *offers: Offer) -> list[int | None]:
    with Sender(running.port, offers) as sender:
        return [sender.store(one) for one in offers]


@pytest.mark.parametrize("syntax", [uid.ImplicitVRLittleEndian, uid.ExplicitVRLittleEndian, uid.ExplicitVRBigEndian])
def test_the_bytes_kept_are_the_bytes_sent(listen: Listen, syntax: str) -> None:
    """Byte for byte, also an element that no dictionary knows and a group length that nobody writes any more."""
    running = listen()
    dataset = instance(syntax=syntax)
    dataset.add_new(0x00091001, "UN", b"odd things")
    sent = data_set(dataset)
    assert _store(running, offer(dataset)) == [0x0000]
    (path,) = running.kept()
    assert data_set_of(path.read_bytes()) == sent


def test_the_file_says_who_sent_what_to_whom(listen: Listen) -> None:
    """pydicom reads the file meta information of PS3.10 table 7.1-1 from the kept file."""
    running = listen()
    dataset = instance()
    _store(running, offer(dataset))
    meta = dcmread(running.kept()[0]).file_meta
    assert meta.MediaStorageSOPInstanceUID == dataset.SOPInstanceUID
    assert meta.MediaStorageSOPClassUID == dataset.SOPClassUID
    assert meta.TransferSyntaxUID == uid.ExplicitVRLittleEndian
    assert meta.SourceApplicationEntityTitle == "PACS"
    assert meta.SendingApplicationEntityTitle == "PACS"
    assert meta.ReceivingApplicationEntityTitle == "HILUM"
    assert meta.SendingPresentationAddress == "dicom://127.0.0.1"
    assert str(meta.ImplementationVersionName).startswith("HILUM_")


def test_a_large_instance_comes_whole_and_many_keep_their_order(listen: Listen) -> None:
    """Several PDUs make one instance; the inbox gives the oldest first."""
    running = listen()
    offers = [offer(instance(pixels=bytes([number]) * 400_000)) for number in range(5)]
    assert _store(running, *offers) == [0x0000] * 5
    assert [data_set_of(path.read_bytes()) for path in running.kept()] == [one.data_set for one in offers]


def test_the_same_instance_twice_is_kept_twice(listen: Listen) -> None:
    """The receiver compares nothing: whether the second is the same, an update or a conflict is the index's to say."""
    running = listen()
    one = offer()
    assert _store(running, one, one) == [0x0000, 0x0000]
    assert len(running.kept()) == 2


def test_files_are_private(listen: Listen) -> None:
    """Patient data is for the service user alone."""
    running = listen()
    _store(running, offer())
    assert running.kept()[0].stat().st_mode & 0o777 == 0o600
    assert (running.folder / "inbox").stat().st_mode & 0o777 == 0o700


_GOOD = data_set(instance())


def _nested(depth: int, *, defined: bool) -> bytes:
    """A sequence in a sequence in a sequence (0040,A730), `depth` deep, explicit little endian, and a SOP class in front."""
    head = struct.pack("<HH2sH", 0x0008, 0x0016, b"UI", 2) + b"1\0"
    tag = struct.pack("<HH2sHL", 0x0040, 0xA730, b"SQ", 0, 0xFFFFFFFF)
    item = struct.pack("<HHL", 0xFFFE, 0xE000, 0xFFFFFFFF)
    end = struct.pack("<HHL", 0xFFFE, 0xE00D, 0) + struct.pack("<HHL", 0xFFFE, 0xE0DD, 0)
    if not defined:
        return head + (tag + item) * depth + end * depth
    inner = b""
    for _ in range(depth):
        inner = struct.pack("<HHL", 0xFFFE, 0xE000, len(inner)) + inner
        inner = struct.pack("<HH2sHL", 0x0040, 0xA730, b"SQ", 0, len(inner)) + inner
    return head + inner


@pytest.mark.parametrize(
    ("bad", "status", "code"),
    [
        pytest.param({"data_set": b"%PDF-1.7 this is no data set at all"}, 0xC000, "HLM-1014", id="not DICOM"),
        pytest.param({"data_set": b"\0" * 4096}, 0xC000, "HLM-1014", id="zeros"),
        pytest.param({"data_set": _GOOD[: len(_GOOD) - 40]}, 0xC000, "HLM-1014", id="cut off in the pixels"),
        pytest.param({"data_set": _GOOD[:203]}, 0xC000, "HLM-1014", id="cut off in the header"),
        pytest.param({"data_set": _nested(10_000, defined=False)}, 0xC000, "HLM-1014", id="nested 10,000 deep"),
        pytest.param({"sop_instance_uid": "../../../../etc/passwd"}, 0x0117, "HLM-1011", id="a path for a UID"),
        pytest.param({"sop_instance_uid": "1.2.3 or so"}, 0x0117, "HLM-1011", id="words for a UID"),
        pytest.param({"sop_instance_uid": "1.2.3.4.5"}, 0xA900, "HLM-1013", id="another instance than the data set"),
        pytest.param({"sop_class_uid": uid.CTImageStorage}, 0xA900, "HLM-1013", id="another class than the data set"),
    ],
)
def test_what_is_refused_has_its_status_and_leaves_nothing(listen: Listen, bad: dict[str, Any], status: int, code: str) -> None:
    """The sender learns with a status of PS3.4 B.2.3 or PS3.7 C that the instance stays with it; the association goes on."""
    running = listen()
    good = offer()
    assert _store(running, offer(**bad), good) == [status, 0x0000]
    assert [data_set_of(path.read_bytes()) for path in running.kept()] == [good.data_set]
    (refusal,) = running.said("instance.refused")
    assert (refusal["status"], refusal["code"]) == (f"{status:04X}", code)


def test_ten_thousand_sequences_of_known_length_pass_the_receiver(listen: Listen) -> None:
    """What can be skipped is not walked: it is kept for the index, which sets it aside; the receiver stands."""
    running = listen()
    deep = offer(data_set=_nested(10_000, defined=True), sop_class_uid="1.2.840.10008.5.1.4.1.1.4")
    (status,) = _store(running, deep)
    assert status == 0xA900  # the SOP class in front is another
    assert _store(running, offer()) == [0x0000]


def test_a_command_for_another_class_than_the_contexts_is_refused(listen: Listen) -> None:
    """0xA900: presentation contexts that are mixed up are the sender's defect, not a way around negotiation."""
    running = listen()
    dataset = instance()
    requestor = offer(dataset)
    with Sender(running.port, [requestor]) as sender:
        sender.context = lambda offer: 1  # type: ignore[method-assign]
        assert sender.store(offer(dataset, sop_class_uid=uid.CTImageStorage)) == 0xA900
    assert running.left() == []


def test_a_deflated_data_set_is_looked_into(listen: Listen) -> None:
    """PS3.5 A.5: raw deflate. Garbage is refused, a whole one is kept as it came."""
    running = listen()
    dataset = instance()
    compressor = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    packed = compressor.compress(data_set(dataset)) + compressor.flush()
    packed += b"\0" * (len(packed) % 2)
    good = offer(dataset, data_set=packed, transfer_syntax_uid=str(uid.DeflatedExplicitVRLittleEndian))
    bad = offer(data_set=b"\xff" * 100, transfer_syntax_uid=str(uid.DeflatedExplicitVRLittleEndian))
    assert _store(running, bad, good) == [0xC000, 0x0000]
    assert [data_set_of(path.read_bytes()) for path in running.kept()] == [packed]


def test_odd_but_common_data_sets_are_kept(listen: Listen) -> None:
    """Zero-length pixels, absent Type 2 attributes, leading zeros in a UID, padding behind the last element, a text with NUL bytes."""
    running = listen()
    bare = Dataset()
    bare.SOPClassUID, bare.SOPInstanceUID = uid.MRImageStorage, "1.2.03.0004"
    bare.PatientName = "A\0B"
    bare.add_new(0x7FE00010, "OW", b"")
    bare.ensure_file_meta()
    bare.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    padded = offer(bare)
    padded = offer(bare, data_set=padded.data_set + b"\0\0\0\0")
    assert _store(running, padded, offer(data_set=_GOOD, sop_instance_uid=_uid_of(_GOOD))) == [0x0000, 0x0000]


def _uid_of(content: bytes) -> str:
    at = content.index(struct.pack("<HH", 0x0008, 0x0018))
    return content[at + 8 : at + 8 + int.from_bytes(content[at + 6 : at + 8], "little")].decode().rstrip("\0")


class _Filled(FolderInbox):
    """The disk fills while an association stands: it was admitted when there was room."""

    def crowded(self) -> str | None:
        return None


def test_a_full_disk_refuses_the_instance_and_keeps_the_association(listen: Listen, tmp_path: Path) -> None:
    """Network case 24: 0xA700 tells the modality to try later; nothing is left behind, nothing acknowledged is lost."""
    full = _Filled(tmp_path / "blobs", min_free_bytes=1 << 60)
    running = listen(intake=full)
    assert _store(running, offer(), offer()) == [0xA700, 0xA700]
    assert running.left() == []
    assert [one["code"] for one in running.said("instance.refused")] == ["HLM-1001", "HLM-1001"]


def test_a_full_disk_admits_nobody(listen: Listen) -> None:
    """PS3.8 table 9-21: rejected for now (2), by the service provider (3), temporary congestion (1); the operator is told why."""
    running = listen(min_free_bytes=1 << 60)
    with Sender(running.port, [offer()]) as sender:
        assert rejection(sender.association) == (2, 3, 1)
    assert running.said("association.rejected")[0]["rejection"] == "congested"


class _Failing:
    """An intake whose disk fails, then fails in a way that nobody thought of, then works."""

    def __init__(self) -> None:
        self._failures: list[Exception] = [DiskFailed("I/O error"), ZeroDivisionError()]
        self.kept: list[bytes] = []

    def crowded(self) -> str | None:
        return None

    def begin(self, reception: Reception) -> "_Failing":
        self._came = b""
        return self

    def write(self, *fragments: bytes | memoryview) -> None:
        self._came += b"".join(fragments)

    def keep(self) -> None:
        if self._failures:
            raise self._failures.pop(0)
        self.kept.append(self._came)

    def abandon(self) -> None:
        self._came = b""

    def expect(self, association: str) -> None:
        """Nothing is made ahead."""

    def ended(self, association: str) -> bool:
        """Nothing is left to do."""
        return True


def test_what_an_intake_raises_becomes_a_status(listen: Listen) -> None:
    """A refusal its own status; anything else 0x0110, processing failure: never success, never silence."""
    intake = _Failing()
    running = listen(intake=intake)
    assert _store(running, offer(), offer(), offer()) == [0xA700, 0x0110, 0x0000]
    assert len(intake.kept) == 1
    assert running.said("instance.failed")[0]["error"] == "ZeroDivisionError"


def test_an_abort_in_the_middle_of_an_instance_leaves_nothing(listen: Listen) -> None:
    """Half an instance is none; the next association is served."""
    running = listen()
    big = offer(instance(pixels=b"\7" * 100_000))
    sender = Sender(running.port, [big])
    sender.abort_in_the_middle(big)
    wait_until(lambda: running.said("association.ended"), 10, "the association ends", every_s=0.005)
    assert running.left() == []
    assert _store(running, big) == [0x0000]


def test_who_is_woken_is_so_after_the_bytes_are_there(tmp_path: Path) -> None:
    """Whoever is woken finds the instance."""
    from node.dimse.listener import Listener
    from node.settings.config import Config
    from node.settings.node import Node
    from node.settings.store import Store
    from node.spool.inbox import FolderInbox

    found: list[int] = []
    inbox = FolderInbox(tmp_path, min_free_bytes=0, kept=lambda: found.append(len(inbox.waiting(10))))
    config = Config(path=tmp_path, digest="", node=Node(port=0, strangers=True), store=Store(journal="", blobs=tmp_path), models=tmp_path)
    listener = Listener(config, inbox)
    listener.start()
    try:
        one, two = offer(), offer()
        with Sender(listener.port, [one, two]) as sender:
            sender.store(one)
            sender.store(two)
    finally:
        listener.stop(5)
    assert found == [1, 2]


def test_who_asks_for_a_release_before_the_disk_has_it_is_aborted(listen: Listen, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`durability: association`, and the flush is refused: the instance was answered 0x0000, and the end of the association says that it is
    not safe. Once the disk takes it, the next release is answered, and nothing that was acknowledged is missing."""
    inbox = FolderInbox(tmp_path / "later", min_free_bytes=0, durability=Durability.ASSOCIATION)
    running = listen(intake=inbox)

    def refuses(_: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", refuses)
        association = _associate(running)
        assert association.send_c_store(instance()).Status == 0x0000
        association.release()
        wait_until(lambda: running.said("association.ended"), 60, "it has ended")
        assert not association.is_released
    assert [one["how"] for one in running.said("association.ended")] == ["aborted"]
    wait_until(lambda: len(inbox.waiting(10)) == 1, 60, "it is written again")
    wait_until(lambda: inbox.crowded() is None, 60, "associations are admitted")
    association = _associate(running)
    assert association.send_c_store(instance()).Status == 0x0000
    association.release()
    assert association.is_released
    assert len(inbox.waiting(10)) == 2


def _associate(running: Listening) -> Association:
    entity = AE("PACS")
    entity.add_requested_context(uid.MRImageStorage, uid.ExplicitVRLittleEndian)
    association = entity.associate("127.0.0.1", running.port, ae_title="HILUM")
    assert association.is_established
    return association
