"""The folder sink: one file an object, `<study>/<object>.dcm`, complete or not there at all."""

import contextlib
import filecmp
import os
import shutil
import threading
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from node.dicom.transfer_syntax import Context
from node.dicom.uid import is_uid
from node.domain.errors import DeliveryError
from node.observe.audit import codes
from node.observe.audit.message import Participant
from node.settings.blocks import Key
from node.settings.config import Config
from node.settings.kinds import FilePath
from node.sinks.port import Opening, Parcel, Receipt, Recipient, SinkKind


class FolderAway(DeliveryError):
    """The folder of a sink cannot be written."""

    code = "HLM-6020"
    remedy = "Mount the folder, free space on it, or let the node's user write to it."


@dataclass(frozen=True, slots=True, kw_only=True)
class Folder:
    """The folder that a sink writes into."""

    kind: ClassVar[str] = "folder"
    peer: ClassVar[None] = None
    path: Path

    @property
    def words(self) -> str:
        """See `Destination`."""
        return f"folder {self.path}"

    @property
    def identity(self) -> tuple[str, str]:
        """See `Destination`; the first place is that of a peer's name."""
        return ("", str(self.path))


class FolderSink:
    """Writes below `path`, which is made if need be.

    A file appears under its name only when all of its bytes are on the disk. The same object again changes nothing; another file under
    the object's name is never overwritten: the object is refused, and a person decides.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def send(self, parcels: Sequence[Parcel]) -> list[Receipt]:
        """Copy all of them.

        Raises
        ------
        FolderAway
            Nothing could be written.
        """
        try:
            self._path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise FolderAway(f"{self._path}: {error.strerror}") from error
        receipts = [self._keep(parcel) for parcel in parcels]
        if receipts and not any(receipt.accepted or receipt.refused for receipt in receipts):
            raise FolderAway(receipts[0].detail)
        return receipts

    def accepts(self, contexts: Collection[Context]) -> frozenset[Context]:
        """All of them: a folder takes any file."""
        return frozenset(contexts)

    def health(self) -> tuple[bool, str]:
        """Whether a file can be written."""
        probe = self._path / f".probe-{os.getpid()}"
        try:
            self._path.mkdir(parents=True, exist_ok=True)
            probe.touch()
            probe.unlink()
        except OSError as error:
            return False, f"{self._path}: {error.strerror}"
        return True, f"{self._path} can be written"

    def _keep(self, parcel: Parcel) -> Receipt:
        uid = parcel.sop_instance_uid
        if not is_uid(uid):
            return Receipt(sop_instance_uid=uid, accepted=False, refused=True, detail=f"{uid!r} is no UID and cannot name a file")
        folder = self._path / _study_of(parcel.path)
        target = folder / f"{uid}.dcm"
        try:
            if not folder.is_dir():
                folder.mkdir(exist_ok=True)
                _flush(self._path)
            if not target.exists():
                _copy(parcel.path, target)
            elif not filecmp.cmp(parcel.path, target, shallow=False):
                return Receipt(sop_instance_uid=uid, accepted=False, refused=True, detail=f"{target} holds other bytes")
        except OSError as error:
            return Receipt(sop_instance_uid=uid, accepted=False, detail=f"{target}: {error.strerror}")
        return Receipt(sop_instance_uid=uid, accepted=True, detail=str(target))


def _study_of(path: Path) -> str:
    """The StudyInstanceUID of a Part 10 file; "unknown" when it has none that may name a folder."""
    from pydicom import dcmread

    dataset = dcmread(path, stop_before_pixels=True, specific_tags=["StudyInstanceUID"])
    study = str(dataset.get("StudyInstanceUID", ""))
    return study if is_uid(study) else "unknown"


def _copy(source: Path, target: Path) -> None:
    """Copy so that `target` holds all of the bytes, flushed, from the moment that it exists."""
    part = target.with_name(f".{target.name}.{os.getpid()}-{threading.get_ident()}.part")
    try:
        with source.open("rb") as bytes_in, part.open("wb") as out:
            shutil.copyfileobj(bytes_in, out, 1024 * 1024)
            out.flush()
            os.fsync(out.fileno())
        part.replace(target)
    finally:
        with contextlib.suppress(FileNotFoundError):
            part.unlink()
    _flush(target.parent)


def _flush(folder: Path) -> None:
    """Make the names in `folder` durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _open(folder: Folder, opening: Opening) -> FolderSink:
    return FolderSink(folder.path)


def _recipient(folder: Folder, config: Config) -> Recipient:
    medium = Participant(user_id=str(folder.path), roles=(codes.DESTINATION_MEDIA,), media=codes.MEDIA_URI)
    return Recipient(participant=medium, on_media=True)


KIND = SinkKind(
    name=Folder.kind,
    says="writes files",
    keys=(Key(name="path", kind=FilePath(), required=True, says="the folder that the objects are written into."),),
    destination=Folder,
    open=_open,
    recipient=_recipient,
)
