"""Who a result object is: UIDs, series, equipment, dates and times; everything from the encoding, nothing from the clock or the dice."""

import hashlib
import re
import zlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from importlib.metadata import version
from io import BytesIO

from pydicom import dcmwrite
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_file_meta_info
from pydicom.uid import UID, ExplicitVRLittleEndian

from inference.codes import Code
from node.dimse.identity import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION
from node.domain.profile import Kind
from node.domain.uid import derive_uid
from node.results.codes import item
from node.results.normalise import CHARACTER_SET, text
from node.results.pixels import Pixels
from node.results.planes import Sources
from node.results.port import Encoded, Encoding
from node.results.written import settled

MANUFACTURER = "hilum"
"""The index stage knows the node's own results by it, beside the purpose (109102, DCM) of the contributing equipment."""

PROCESSING_EQUIPMENT = Code("109102", "DCM", "Processing Equipment")
LONGEST_LO = 64

_SERIES_OF_KIND = {
    "seg": 1,
    "sr": 2,
    "sr-study": 3,
    "sc": 4,
    "detections": 5,
    "map": 6,
    "overlay": 7,
    "derived": 8,
    "registration": 9,
    "narrative": 0,
    "pdf": 0,
    "explanation": 7,
    "explanation-map": 6,
}
"""One digit; the documents share the one that was left, and explanations those of the maps that say where."""
_OFFSET = re.compile(r"([+-])(\d{2})(\d{2})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What tells one result object from all others. One object makes one series: viewers show the last of several only."""

    sop_instance_uid: str
    series_instance_uid: str
    series_number: int
    description: str


def identify(encoding: Encoding, sources: Sources, kind: str, noun: str, *also: str) -> Identity:
    """Derive the identity of one object.

    Parameters
    ----------
    kind
        "seg", "sr", "sr-study" (a report without segments) or "sc".
    noun
        What the object is to people; ends the series description.
    also
        Whatever else the bytes of this kind depend on.
    """
    return Identity(
        sop_instance_uid=derive_uid("instance", *_inputs(encoding), kind, *also),
        series_instance_uid=derive_uid("series", *_inputs(encoding), kind, *also),
        series_number=_series_number(sources, encoding.application.name, kind),
        description=_description(f"{encoding.application.name} {encoding.application.version} {noun}", encoding.part),
    )


def _description(what: str, part: str) -> str:
    """Ends with the part of the series that it is about, whole, so that `node.domain.job.part_of` finds it again."""
    ending = f" [{part}]" if part else ""
    return what[: LONGEST_LO - len(ending)] + ending


def tracking(encoding: Encoding, what: str) -> tuple[str, str]:
    """Tracking Identifier and Tracking Unique Identifier of a finding; the same in every object that speaks of it."""
    return f"{encoding.application.name} {what}", derive_uid("tracking", *_inputs(encoding), what)


def stamp(dataset: Dataset, encoding: Encoding, sources: Sources, identity: Identity) -> None:
    """Write the attributes that every result has in common, over whatever the library put there."""
    at = encoding.at.astimezone(_zone(sources))
    date, time = at.strftime("%Y%m%d"), at.strftime("%H%M%S.%f")
    dataset.SpecificCharacterSet = CHARACTER_SET
    for keyword in ("InstanceCreation", "Series", "Content"):
        setattr(dataset, f"{keyword}Date", date)
        setattr(dataset, f"{keyword}Time", time)
    dataset.InstanceCreatorUID = encoding.device_uid
    dataset.SeriesDescription = identity.description
    dataset.ContentQualification = encoding.application.qualification
    dataset.ContributingEquipmentSequence = [_equipment(encoding, at)]
    # patient and study as the source has them: not every class of the library copies all of it
    dataset.update(sources.entities)
    if (offset := text(sources.first, "TimezoneOffsetFromUTC")) and _OFFSET.fullmatch(offset):
        dataset.TimezoneOffsetFromUTC = offset


def to_bytes(dataset: Dataset, pixels: Pixels | None = None, syntax: UID = ExplicitVRLittleEndian) -> bytes:
    """The object as a Part 10 file, its meta information naming this implementation.

    Parameters
    ----------
    dataset
        In Explicit VR Little Endian, whatever the syntax: it is deflated, or its pixels are fragments.
    pixels
        Pixel data that are not in `dataset`; nothing in it comes behind them.
    """
    dataset.file_meta = _meta(dataset, ExplicitVRLittleEndian if syntax.is_deflated else syntax)
    file = BytesIO()
    dcmwrite(file, settled(dataset), enforce_file_format=True)
    if pixels is not None:
        pixels.append_to(file)
    return _deflated(file, _meta(dataset, syntax)) if syntax.is_deflated else file.getvalue()


def _meta(dataset: Dataset, syntax: UID) -> FileMetaDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    meta.TransferSyntaxUID = syntax
    meta.ImplementationClassUID = UID(IMPLEMENTATION_CLASS_UID)
    meta.ImplementationVersionName = IMPLEMENTATION_VERSION
    return meta


def _deflated(file: BytesIO, meta: FileMetaDataset) -> bytes:
    """The file with its data set deflated as a whole, behind meta information that is not (PS3.5 A.5)."""
    deflated = BytesIO()
    head = DicomBytesIO()
    write_file_meta_info(head, meta)
    deflated.write(bytes(128) + b"DICM" + head.getvalue())
    compressor = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    with file.getbuffer() as whole:
        # (0002,0000), behind preamble and prefix, says how long the meta information is after it
        begins = 144 + int.from_bytes(whole[140:144], "little")
        with whole[begins:] as part:
            deflated.write(compressor.compress(part))
    deflated.write(compressor.flush())
    if deflated.tell() % 2:
        deflated.write(b"\0")
    return deflated.getvalue()


def encoded(
    kind: Kind,
    dataset: Dataset,
    identity: Identity,
    form: str = "",
    *,
    pixels: Pixels | None = None,
    syntax: UID = ExplicitVRLittleEndian,
) -> Encoded:
    """A finished data set as a result object; whoever makes one of any kind gives it back like this."""
    return Encoded(
        kind=kind,
        sop_instance_uid=identity.sop_instance_uid,
        sop_class_uid=str(dataset.SOPClassUID),
        series_instance_uid=identity.series_instance_uid,
        description=identity.description,
        data=to_bytes(dataset, pixels, syntax),
        form=form,
    )


def software_versions(encoding: Encoding) -> list[str]:
    """The application with its version, and the node's."""
    return [f"{encoding.application.name} {encoding.application.version}", f"hilum {version('hilum')}"]


def model_names(encoding: Encoding) -> str:
    """The models that the application calls, with the beginning of their digest ("mr_brain v1 (sha256 0123456789ab)"), if any."""
    names = ", ".join(f"{model.name} v{model.version}" for model in encoding.application.models)
    return f"{names} (sha256 {encoding.model_digest[:12]})" if names else "no trained model"


def local_time(encoding: Encoding, sources: Sources) -> str:
    """When the findings were made, for people, with the zone."""
    at = encoding.at.astimezone(_zone(sources))
    offset = at.strftime("%z")
    return f"{at:%Y-%m-%d %H:%M} UTC{'' if offset == '+0000' else f'{offset[:3]}:{offset[3:]}'}"


def _inputs(encoding: Encoding) -> tuple[str, ...]:
    return (
        encoding.input_digest + (f" {encoding.part}" if encoding.part else ""),
        encoding.model_digest,
        encoding.application.name,
        encoding.application.version,
        encoding.parameters,
        encoding.findings_digest,
    )


def _series_number(sources: Sources, application: str, kind: str) -> int:
    """Beside its source where people sort by number: series 4 gives 4xxx; two applications on one series rarely meet."""
    stated = text(sources.first, "SeriesNumber")
    source = int(stated) if re.fullmatch(r"\d{1,6}", stated) else 0
    slot = int.from_bytes(hashlib.sha256(application.encode()).digest()[:4], "big") % 99
    return source * 1000 + (slot + 1) * 10 + _SERIES_OF_KIND[kind]


def _zone(sources: Sources) -> tzinfo:
    """The zone in which DA and TM are written.

    TimezoneOffsetFromUTC (0008,0201) holds for every DA and TM of an object, those of the study too, which are the source's. So where
    the source states its offset, that one is taken over and the result's own times are written in it. Where it does not, none may be
    invented: the study's times stay as they are, the result's own are in UTC, and every DT carries its offset itself.
    """
    found = _OFFSET.fullmatch(text(sources.first, "TimezoneOffsetFromUTC"))
    if not found:
        return UTC
    sign, hours, minutes = found.groups()
    offset = timedelta(hours=int(hours), minutes=int(minutes))
    return timezone(-offset if sign == "-" else offset) if offset < timedelta(hours=24) else UTC


def _equipment(encoding: Encoding, at: datetime) -> Dataset:
    """The item that IHE AIR asks for: who made this, with which model (a DeviceUID of its own for every one)."""
    equipment = Dataset()
    equipment.Manufacturer = MANUFACTURER
    equipment.ManufacturerModelName = encoding.application.name
    equipment.SoftwareVersions = software_versions(encoding)
    equipment.DeviceUID = encoding.device_uid
    equipment.DeviceSerialNumber = encoding.model_digest[:16]
    equipment.ContributionDateTime = at.strftime("%Y%m%d%H%M%S.%f%z")
    equipment.ContributionDescription = "Analysis of the source images; not verified by a person"
    equipment.PurposeOfReferenceCodeSequence = [item(PROCESSING_EQUIPMENT)]
    return equipment
