"""Where the first inputs come from: real associations, recorded by a small proxy between real programs; `python -m tests.fuzz.capture`.

DCMTK, Orthanc, pynetdicom and this node as requestors and as acceptors, with made data only: no patient has a byte in it.
"""

import hashlib
import socket
import struct
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as Items
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    MRImageStorage,
)
from pynetdicom import AE, AllStoragePresentationContexts, StoragePresentationContexts, evt
from pynetdicom.dsutils import encode
from pynetdicom.presentation import build_context
from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelFind, Verification

from node.dimse.requestor.peer import PeerRequestor
from node.dimse.ul import pdu
from node.settings.peers import May, Peer
from tests.fuzz.targets import CORPUS, SYNTAXES
from tests.lab.dcmtk import DcmQrScp, StoreScp, dcmsend, echoscu, storescu
from tests.lab.loopback import loopback_only
from tests.lab.orthanc import Orthanc

_MOST_BYTES: Final = 6000
_PDV_HEADS: Final = pdu.HEAD_BYTES + pdu.PDV_HEAD_BYTES


@dataclass(slots=True)
class Recorded:
    """One connection: what each side said."""

    asked: bytearray = field(default_factory=bytearray)
    answered: bytearray = field(default_factory=bytearray)


@contextmanager
def proxy(target: int) -> Iterator[tuple[int, list[Recorded]]]:
    """A port that passes everything on to `target` on this host, and what went through it."""
    recorded: list[Recorded] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            with suppress(OSError):
                while True:
                    near, _ = listening.accept()
                    far = socket.create_connection(("127.0.0.1", target))
                    one = Recorded()
                    recorded.append(one)
                    threading.Thread(target=_pass, args=[near, far, one.asked], daemon=True).start()
                    threading.Thread(target=_pass, args=[far, near, one.answered], daemon=True).start()

        threading.Thread(target=serve, daemon=True).start()
        yield int(listening.getsockname()[1]), recorded
        listening.shutdown(socket.SHUT_RDWR)


def _pass(source: socket.socket, sink: socket.socket, kept: bytearray) -> None:
    with suppress(OSError):
        while came := source.recv(65536):
            kept += came
            sink.sendall(came)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


def made(number: int, syntax: str = ExplicitVRLittleEndian) -> Dataset:
    """An image of a few bytes with a sequence in it."""
    dataset = Dataset()
    dataset.SpecificCharacterSet = ["ISO_IR 100", "ISO 2022 IR 87", "GB18030"][number % 3]
    dataset.SOPClassUID, dataset.SOPInstanceUID = MRImageStorage, f"1.2.3.4.{number}"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = "1.2.3", "1.2.3.4"
    dataset.Modality, dataset.PatientName, dataset.PatientID = "MR", "Made^Data", str(number)
    dataset.StudyDate, dataset.SeriesNumber, dataset.ImageType = "20260101", number, ["DERIVED", "PRIMARY"]
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "109102", "DCM", "Processing Equipment"
    equipment = Dataset()
    equipment.Manufacturer, equipment.PurposeOfReferenceCodeSequence = "hilum", Items([code])
    dataset.ContributingEquipmentSequence = Items([equipment])
    measures = Dataset()
    measures.SliceThickness, measures.PixelSpacing = "1.5", ["0.5", "0.5"]
    group = Dataset()
    group.PixelMeasuresSequence = Items([measures])
    group.PixelMeasuresSequence.is_undefined_length = bool(number % 2)
    dataset.SharedFunctionalGroupsSequence = Items([group])
    dataset.Rows = dataset.Columns = 4
    dataset.BitsAllocated = dataset.BitsStored = 16
    dataset.HighBit, dataset.PixelRepresentation, dataset.SamplesPerPixel = 15, 1, 1
    dataset.PhotometricInterpretation, dataset.PixelData = "MONOCHROME2", bytes(range(32))
    dataset["PixelData"].VR = "OW"
    dataset.ensure_file_meta()
    dataset.file_meta.TransferSyntaxUID = UID(syntax)
    return dataset


def files(folder: Path) -> list[Path]:
    """A few images in each uncompressed syntax."""
    folder.mkdir()
    paths = []
    for number, syntax in enumerate((ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian)):
        paths.append(folder / f"{number}.dcm")
        made(number, syntax).save_as(paths[-1], enforce_file_format=True)
    return paths


def associations(folder: Path) -> list[Recorded]:
    """Everything that the requestors and acceptors here say to each other."""
    paths = files(folder / "in")
    recorded: list[Recorded] = []
    plain = [paths[0]]

    def between(port: int, *speak: Callable[[int], object]) -> None:
        with proxy(port) as (through, heard):
            for one in speak:
                one(through)
            recorded.extend(heard)

    def ours(called: str) -> Callable[[int], object]:
        def ask(port: int) -> None:
            peer = Peer(name="archive", ae_title=called, host="127.0.0.1", port=port, may=frozenset(May))
            requestor = PeerRequestor(peer, calling_ae="HILUM")
            requestor.echo()
            requestor.store([str(path) for path in paths])
            requestor.count("1.2.3", None)
            requestor.count("1.2.3", "1.2.3.4")
            requestor.holds([str(path) for path in paths])

        return ask

    def theirs(called: str) -> Callable[[int], object]:
        return lambda port: _pynetdicom(port, called, paths)

    with StoreScp(folder / "scp") as scp:
        between(
            scp.port,
            lambda port: echoscu(port, called="ARCHIVE"),
            lambda port: storescu(port, *plain, called="ARCHIVE"),
            lambda port: dcmsend(port, *plain, called="ARCHIVE"),
            ours("ARCHIVE"),
            theirs("ARCHIVE"),
        )
    with DcmQrScp(folder / "qr", node_port=11112) as qr:
        between(qr.port, ours(qr.aet), theirs(qr.aet))
    with _archive() as port:
        between(port, ours("ARCHIVE"), theirs("ARCHIVE"), lambda port: dcmsend(port, *plain, called="ARCHIVE"))
        anybody: dict[str, object] = {f"DicomAlwaysAllow{what}": True for what in ("Echo", "Store", "Find")}
        with (
            proxy(port) as (through, heard),
            Orthanc(folder / "pacs", node_port=through, node_aet="ARCHIVE", options=anybody) as pacs,
        ):
            pacs.echo()
            pacs.send(*{pacs.post_instance(path.read_bytes()) for path in paths[:2]})
            between(pacs.dicom_port, ours("PACS"), theirs("PACS"))
            recorded.extend(heard)
    return recorded


@contextmanager
def _archive() -> Iterator[int]:
    entity = AE(ae_title="ARCHIVE")
    entity.supported_contexts = [*AllStoragePresentationContexts, build_context(Verification)]
    entity.add_supported_context(StudyRootQueryRetrieveInformationModelFind)

    def find(_: evt.Event) -> Iterator[tuple[int, Dataset | None]]:
        match = Dataset()
        match.SOPInstanceUID, match.NumberOfStudyRelatedInstances = "1.2.3.4.0", 4
        yield 0xFF00, match

    def store(asked: evt.Event) -> Dataset | int:
        if asked.request.MessageID % 2:
            return 0x0000
        status = Dataset()
        status.Status, status.ErrorComment = 0xB007, "as it is"
        return status

    server = entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, store), (evt.EVT_C_FIND, find)])
    try:
        yield int(server.server_address[1])
    finally:
        server.shutdown()


def _pynetdicom(port: int, called: str, paths: Sequence[Path]) -> None:
    entity = AE(ae_title="PACS")
    entity.requested_contexts = [*StoragePresentationContexts[:20], build_context(MRImageStorage), build_context(Verification)]
    association = entity.associate("127.0.0.1", port, ae_title=called)
    association.send_c_echo()
    for path in paths[:2]:
        with suppress(ValueError):
            association.send_c_store(path)
    association.abort() if len(paths) % 2 else association.release()


def inputs(recorded: Sequence[Recorded]) -> Iterator[tuple[str, bytes]]:
    """What each target makes of the recordings: (target, input)."""
    for one in recorded:
        for said, is_answer in ((bytes(one.asked), False), (bytes(one.answered), True)):
            yield "pdus", said[-_MOST_BYTES:] if is_answer else said[:_MOST_BYTES]
            units = list(_units(said))
            data = [unit for unit in units if unit[0] == pdu.PduType.P_DATA]
            yield "messages", b"".join(data)[:_MOST_BYTES]
            for unit in units:
                if unit[0] == pdu.PduType.ASSOCIATE_AC:
                    yield "accepts", unit[pdu.HEAD_BYTES :]
                elif unit[0] == pdu.PduType.ASSOCIATE_RQ:
                    yield "requests", unit[pdu.HEAD_BYTES :]
                elif unit[0] == pdu.PduType.P_DATA:
                    yield from (("commands", bytes(each.fragment)) for each in pdu.pdvs(unit[pdu.HEAD_BYTES :]) if each.is_command)
            rest = b"".join(unit for unit in units if unit[0] > pdu.PduType.ASSOCIATE_RJ)[:_MOST_BYTES]
            yield ("dialogues" if is_answer else "associations"), b"\xff" + rest


def _units(said: bytes) -> Iterator[bytes]:
    at = 0
    while at + pdu.HEAD_BYTES <= len(said):
        end = at + pdu.HEAD_BYTES + pdu.head(said, at)[1]
        yield said[at:end]
        at = end


def from_files(paths: Sequence[Path]) -> Iterator[tuple[str, bytes]]:
    """Inputs of the targets that read files and data sets."""
    for path in paths:
        content = path.read_bytes()
        end = 144 + int.from_bytes(content[140:144], "little")
        syntax = str(made_syntax(content[132:end]))
        number = SYNTAXES.index(syntax)
        yield "metas", content[144:end]
        yield "headers", bytes((0xFF,)) + content
        yield "headers", bytes((number,)) + content[end:]
        yield "peeks", bytes((number,)) + content[end:]


def made_series() -> Iterator[bytes]:
    """Series of a few small slices: ordinary, weighted by diffusion in public and private elements, of two patients, mosaics, with Raw Data
    beside the images; as `tests.fuzz.targets.series` reads them."""

    def image(number: int, place_mm: float) -> Dataset:
        dataset = made(number)
        dataset.PatientID, dataset.SeriesNumber = "1", 1
        del dataset.SharedFunctionalGroupsSequence, dataset.ContributingEquipmentSequence
        dataset.FrameOfReferenceUID = "1.2.5"
        dataset.ImagePositionPatient, dataset.ImageOrientationPatient = [0, 0, place_mm], [1, 0, 0, 0, 1, 0]
        dataset.PixelSpacing, dataset.SliceThickness = ["0.5", "0.5"], "1.5"
        return dataset

    def weighted(number: int, place_mm: float, b_value: int, group: int, creator: str, element: int) -> Dataset:
        dataset = image(number, place_mm)
        if creator:
            dataset.private_block(group, creator, create=True).add_new(element, "IS", [b_value, 8, 0, 0])
        else:
            dataset.DiffusionBValue = float(b_value)
        return dataset

    def packed(ask: int, *datasets: Dataset) -> bytes:
        encoded = [encode(one, False, True) or b"" for one in datasets]
        return bytes((ask,)) + b"".join(struct.pack("<H", len(one)) + one for one in encoded)

    for ask in range(6):
        yield packed(ask, *(image(number, 1.5 * number) for number in range(3)))
    for vendor in (
        (0x0043, "GEMS_PARM_01", 0x39),
        (0x0019, "SIEMENS MR HEADER", 0x0C),
        (0x2001, "Philips Imaging DD 001", 0x03),
        (0, "", 0),
    ):
        each = [weighted(2 * place + at, 1.5 * place, b_value, *vendor) for place in range(2) for at, b_value in enumerate((0, 1000))]
        yield packed(1, *each)
        yield packed(2, *each)
    two = [image(number, 1.5 * number) for number in range(3)]
    two[2].PatientID = "2"
    yield packed(0, *two)
    mosaic = image(0, 0)
    mosaic.ImageType = ["ORIGINAL", "PRIMARY", "DIFFUSION", "VFRAME"]
    yield packed(1, mosaic)
    raw = image(3, 0)
    raw.SOPClassUID = "1.2.840.10008.5.1.4.1.1.66"
    for keyword in ("PixelData", "Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "SamplesPerPixel"):
        delattr(raw, keyword)
    yield packed(0, image(0, 0), image(1, 1.5), raw)
    yield packed(0, *(made(number) for number in range(2)))


def made_matches() -> Iterator[bytes]:
    """Identifiers that answer C-FIND: with a count, without, for two series, and one that is no number."""

    def match(**said: object) -> bytes:
        dataset = Dataset()
        for keyword, value in {"StudyInstanceUID": "1.2.3", "SeriesInstanceUID": "1.2.3.4", "SOPInstanceUID": "1.2.3.4.0", **said}.items():
            setattr(dataset, keyword, value)
        encoded = encode(dataset, True, True) or b""
        return struct.pack("<H", len(encoded)) + encoded

    yield match(NumberOfStudyRelatedInstances=44, NumberOfSeriesRelatedInstances=44)
    yield match()
    yield match(NumberOfSeriesRelatedInstances=44) + match(SeriesInstanceUID="1.2.3.5", NumberOfSeriesRelatedInstances=3)
    yield match(NumberOfSeriesRelatedInstances=44).replace(b"44", b"4X")
    yield match(NumberOfStudyRelatedInstances=10, NumberOfSeriesRelatedInstances=10).replace(b"10", b"-1")


def made_syntax(meta: bytes) -> str:
    """The transfer syntax that stands in a file's meta information."""
    at = meta.index(b"\x02\x00\x10\x00UI") + 8
    return meta[at : at + int.from_bytes(meta[at - 2 : at], "little")].decode("ascii").strip("\0")


def keep(target: str, content: bytes) -> None:
    """Put an input into the corpus, under a name that its bytes give it."""
    folder = CORPUS / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / hashlib.sha256(content).hexdigest()[:16]).write_bytes(content)


def main() -> int:
    """Record, and keep what there is to keep."""
    with tempfile.TemporaryDirectory(prefix="hilum-capture-") as place, loopback_only():
        recorded = associations(Path(place))
        of_files = from_files(sorted((Path(place) / "in").iterdir()))
        ours = [*(("series", one) for one in made_series()), *(("matches", one) for one in made_matches())]
        for target, content in [*inputs(recorded), *of_files, *ours]:
            keep(target, content)
    print(f"{len(recorded)} associations")
    return 0


if __name__ == "__main__":
    sys.exit(main())
