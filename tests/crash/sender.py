"""A modality: sends a study, notes the answer to every instance, and sends again what it was not told 0x0000 for."""

import hashlib
import socket
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from pydicom import dcmread
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian
from pynetdicom import AE, evt
from pynetdicom.events import Event

from inference.imaging.write_series import write_series
from tests.crash.applications.crash_threshold import SLICES
from tests.lab.certificates import Authority

CALLING = "MODALITY"
_PATIENCE_S = 30
_AFFINE = np.array([[0.0, 0, 1, -8], [0, 1, 0, -8], [2, 0, 0, 0], [0, 0, 0, 1]])


@dataclass(slots=True)
class Study:
    """What was sent of one study, and what was answered.

    Attributes
    ----------
    files, digests
        By SOP Instance UID: the file, and SHA-256 of its data set.
    acknowledged
        Those that 0x0000 was answered for.
    volume_cm3
        What the report must say; every study has its own.
    """

    uid: str
    files: dict[str, Path]
    digests: dict[str, str]
    volume_cm3: float
    acknowledged: set[str] = field(default_factory=set)

    @property
    def unacknowledged(self) -> list[str]:
        """What is to be sent again."""
        return [uid for uid in self.files if uid not in self.acknowledged]


def write_study(folder: Path, number: int, *, slices: int = SLICES, side: int = 16) -> Study:
    """A CT study of one small series; the block in it tells which number it has."""
    voxels = np.full((slices, side, side), -1000, np.int16)
    voxels[1:3, 2:6, 2 : 3 + number % (side - 4)] = 60
    # no two studies have one byte in common that matters
    voxels[0, 0, :4] = [-(1 + (number >> 12 * place) % 4096 % 900) for place in range(4)]
    files = write_series(voxels, _AFFINE, folder / f"{number:06d}", modality="CT", patient_id=f"CRASH-{number}")
    datasets = {str(dcmread(path, stop_before_pixels=True).SOPInstanceUID): path for path in files}
    study = str(dcmread(files[0], stop_before_pixels=True).StudyInstanceUID)
    volume_cm3 = float((voxels > 0).sum()) * 2.0 / 1000
    return Study(uid=study, files=datasets, digests={uid: digest_of(path) for uid, path in datasets.items()}, volume_cm3=volume_cm3)


def content_of(path: Path) -> bytes:
    """The data set of a Part 10 file; the file meta information is each receiver's own (PS3.10 7.1). Empty for what is no such file."""
    return content_of_bytes(path.read_bytes())


def content_of_bytes(raw: bytes) -> bytes:
    """The same of a file's bytes."""
    return raw[144 + int.from_bytes(raw[140:144], "little") :] if raw[128:132] == b"DICM" else b""


def digest_of(path: Path) -> str:
    """SHA-256 of the data set."""
    return digest_of_bytes(path.read_bytes())


def digest_of_bytes(raw: bytes) -> str:
    """The same of a file's bytes."""
    return hashlib.sha256(content_of_bytes(raw)).hexdigest()


class Secured:
    """A hospital's authority: the node's certificate, and the modality's."""

    def __init__(self, folder: Path) -> None:
        authority = Authority(folder)
        node, modality = authority.signs("node"), authority.signs("modality")
        identity = {"certificate": str(node.certificate), "key": str(node.key), "authorities": str(authority.certificate)}
        self.listener = {"tls": {"listen": "127.0.0.1:0", **identity}}
        self.context = ssl.create_default_context(cafile=str(authority.certificate))
        self.context.load_cert_chain(modality.certificate, modality.key)


def send(
    study: Study,
    port: int,
    uids: Sequence[str],
    *,
    called: str = "HILUM",
    tls: ssl.SSLContext | None = None,
    before_release: Callable[[], object] = lambda: None,
) -> None:
    """Send these over one association; what is answered 0x0000 is noted. Whatever breaks, the sender lives to send again."""
    entity = AE(ae_title=CALLING)
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = entity.connection_timeout = _PATIENCE_S
    entity.add_requested_context(CTImageStorage, ExplicitVRLittleEndian)
    association = entity.associate(
        "127.0.0.1",
        port,
        ae_title=called,
        evt_handlers=[(evt.EVT_CONN_OPEN, _at_once)],
        tls_args=None if tls is None else (tls, "localhost"),
    )
    if not association.is_established:
        return
    for uid in uids:
        try:
            answer = association.send_c_store(dcmread(study.files[uid]))
        except RuntimeError:  # the association is gone
            break
        if answer.get("Status") == 0x0000:
            study.acknowledged.add(uid)
        if not association.is_established:
            break
    before_release()
    if association.is_established:
        association.release()


def _at_once(event: Event) -> None:
    event.assoc.dul.socket.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
