"""A listener on a real socket with a real inbox, and instances to send to it."""

from collections.abc import Callable, Iterator, MutableMapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from pydicom.dataset import Dataset
from pydicom.filewriter import dcmwrite
from pydicom.uid import UID, ExplicitVRLittleEndian, MRImageStorage, generate_uid
from structlog.testing import capture_logs

from node.dimse.listener import Listener
from node.dimse.port import Intake
from node.settings.config import Config, SinkSettings
from node.settings.node import Node
from node.settings.peers import Peer
from node.settings.store import Store
from node.spool.commitment_inbox import FolderCommitmentInbox
from node.spool.inbox import FolderInbox
from node.spool.shortfalls import FolderShortfalls
from tests.lab.spool import half_written
from tests.lab.wire import Offer

PACS = Peer(name="pacs", ae_title="PACS", host="127.0.0.1", port=0)


@dataclass(kw_only=True)
class Listening:
    """A running listener, its inbox, and the events so far."""

    port: int
    listener: Listener
    inbox: FolderInbox
    shortfalls: FolderShortfalls
    commitments: FolderCommitmentInbox
    folder: Path
    events: list[MutableMapping[str, Any]]

    def kept(self) -> list[Path]:
        """What waits in the inbox, the oldest first."""
        return self.inbox.waiting(10_000)

    def left(self) -> list[str]:
        """Every name in the inbox, and what is half-written."""
        return half_written(self.folder) + sorted(path.name for path in (self.folder / "inbox").iterdir())

    def said(self, name: str) -> list[MutableMapping[str, Any]]:
        """The events of this name."""
        return [one for one in self.events if one["event"] == name]


Listen: TypeAlias = Callable[..., Listening]


@contextmanager
def listening(
    folder: Path, *, node: Node, peers: tuple[Peer, ...], min_free_bytes: int, intake: Intake | None, sinks: tuple[SinkSettings, ...] = ()
) -> Iterator[Listening]:
    config = Config(
        path=folder,
        digest="",
        node=node,
        store=Store(journal="", blobs=folder),
        models=folder,
        peers={peer.name: peer for peer in peers},
        sinks={sink.name: sink for sink in sinks},
    )
    inbox = FolderInbox(folder, min_free_bytes=min_free_bytes)
    shortfalls = FolderShortfalls(folder)
    commitments = FolderCommitmentInbox(folder)
    listener = Listener(config, intake or inbox, shortfalls=shortfalls, commitments=commitments)
    with capture_logs() as events:
        listener.start()
        try:
            yield Listening(
                port=listener.ports.get("port", 0),
                listener=listener,
                inbox=inbox,
                shortfalls=shortfalls,
                commitments=commitments,
                folder=folder,
                events=events,
            )
        finally:
            listener.stop(5)


@pytest.fixture
def listen(tmp_path: Path) -> Iterator[Listen]:
    """Start a listener; by default HILUM on loopback with the peer PACS."""
    with ExitStack() as stack:

        def start(
            *,
            node: Node | None = None,
            peers: tuple[Peer, ...] = (PACS,),
            min_free_bytes: int = 0,
            intake: Intake | None = None,
            sinks: tuple[SinkSettings, ...] = (),
        ) -> Listening:
            made = listening(
                tmp_path / "blobs", node=node or Node(port=0), peers=peers, min_free_bytes=min_free_bytes, intake=intake, sinks=sinks
            )
            return stack.enter_context(made)

        yield start


def instance(*, pixels: bytes = b"\1\2" * 64, syntax: str = ExplicitVRLittleEndian, sop_class: str = MRImageStorage) -> Dataset:
    """A small image as pydicom makes it."""
    dataset = Dataset()
    dataset.SOPClassUID = sop_class
    dataset.SOPInstanceUID = generate_uid()
    dataset.StudyInstanceUID = generate_uid()
    dataset.SeriesInstanceUID = generate_uid()
    dataset.Modality = "MR"
    dataset.PatientName = "Test^Wire"
    dataset.PatientID = "1"
    dataset.Rows, dataset.Columns = 8, len(pixels) // 16
    dataset.BitsAllocated = dataset.BitsStored = 16
    dataset.HighBit, dataset.PixelRepresentation, dataset.SamplesPerPixel = 15, 0, 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.PixelData = pixels
    dataset["PixelData"].VR = "OW"
    dataset.ensure_file_meta()
    dataset.file_meta.TransferSyntaxUID = UID(syntax)
    return dataset


def data_set(dataset: Dataset) -> bytes:
    """The data set's bytes alone, as pydicom writes them in its own transfer syntax."""
    buffer = BytesIO()
    bare = Dataset(dataset)
    # written as a file and cut behind the meta information, whose group length says where that is
    bare.file_meta = dataset.file_meta
    dcmwrite(buffer, bare, enforce_file_format=True)
    return data_set_of(buffer.getvalue())


def data_set_of(content: bytes) -> bytes:
    """What follows the file meta information (PS3.10 7.1: group length is its first element, 12 bytes long)."""
    assert content[128:132] == b"DICM", "it is a Part 10 file"
    return content[144 + int.from_bytes(content[140:144], "little") :]


def offer(dataset: Dataset | None = None, **other: object) -> Offer:
    """An instance as it goes over the wire; `other` changes what the command claims."""
    dataset = instance() if dataset is None else dataset
    claims = {
        "data_set": data_set(dataset),
        "sop_instance_uid": str(dataset.SOPInstanceUID),
        "sop_class_uid": str(dataset.SOPClassUID),
        "transfer_syntax_uid": str(dataset.file_meta.TransferSyntaxUID),
    }
    return Offer(**{**claims, **other})  # type: ignore[arg-type]
