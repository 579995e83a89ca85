"""Instance header: what decides how pixels are read and where they lie; read once, values checked, no pixel touched.

Values are parsed here from the raw bytes of the few elements that count: half the time of pydicom's conversion, and nothing that
an unrelated damaged element could spoil.
"""

import os
import re
import struct
import zlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from pydicom import dcmread
from pydicom.dataset import Dataset, FileDataset
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.filereader import read_file_meta_info
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian

from inference.errors import quoted
from inference.imaging import tags
from inference.imaging.bounds import refuse_rescale
from inference.imaging.deflated import DEFLATED, JPIP, refuse_bomb
from inference.imaging.errors import BeyondMeasure, MissingAttribute, NoPixelData, NotDicom, Truncated, UnsupportedSyntax
from inference.imaging.frame_cache import FrameCache
from inference.imaging.geometry import Plane
from inference.imaging.groups import Rescale, functional_groups, planes_of, rescale_of
from inference.imaging.kept_headers import KeptHeaders, Version
from inference.imaging.nuclear import is_tomogram, tomogram_planes
from inference.imaging.sop_classes import holds_image, is_capture, is_slice

UNDEFINED_LENGTH = 0xFFFFFFFF
_HELD_BYTES = 16 << 20
"""A longer value before the pixels stays in the file until somebody asks for it: a header of gigabytes is not held in memory."""
PARSE_ERRORS = (
    *(InvalidDicomError, BytesLengthException, EOFError, ValueError, LookupError, AttributeError, NotImplementedError),
    *(RecursionError, struct.error, zlib.error, OverflowError, TypeError),
)
"""What pydicom raises on damaged files, by fuzzing; RecursionError: sequences nested too deep."""

PROJECTIONS = frozenset({"CR", "DX", "MG", "RG", "RF", "XA", "IO", "PX", "DR"})
"""Modalities whose pixels lie on a detector, behind the patient and therefore magnified."""
_MOST_BITS_USED = 16
"""Converters write wider pixels, and fill no more of them than scanners do."""
_ITEM_BYTES = 8
"""The head of the item that a compressed frame is (PS3.5 A.4)."""
_HEAD_BYTES = 1024
"""In which the file meta information says the transfer syntax."""
_DEFLATED_JPIP = DEFLATED & JPIP
_ELSEWHERE = "refers to its pixels by JPIP: they lie on another server, and are not fetched"
_UID = re.compile(r"[0-9.]{1,64}")
LONG_VRS = frozenset({b"OB", b"OW", b"OF", b"OD", b"UN"})


@dataclass(frozen=True, slots=True, kw_only=True)
class PixelFormat:
    """How the pixels of an instance are stored (PS3.3 C.7.6.3, PS3.5 8)."""

    rows: int
    columns: int
    frames: int
    samples: int
    bits_allocated: int
    bits_stored: int
    high_bit: int
    signed: bool
    planar: int
    photometric: str
    transfer_syntax: UID
    big_endian: bool
    tag: int
    """Pixel Data, Float Pixel Data or Double Float Pixel Data."""
    offset: int
    """Where the value begins in the file; 0 in a deflated file, where it has no such place."""
    length: int
    """Its length; `UNDEFINED_LENGTH` when encapsulated."""

    @property
    def frame_bytes(self) -> int:
        """Bytes of one frame, uncompressed and with every bit allocated; in YBR_FULL_422 two pixels share their colours."""
        whole = self.rows * self.columns * self.samples * self.bits_allocated // 8
        return whole * 2 // 3 if self.photometric == "YBR_FULL_422" else whole


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """One instance: identity, pixel format, and for each frame its rescale and (where it has one) its plane."""

    path: Path
    sop_instance_uid: str
    sop_class_uid: str
    study_instance_uid: str
    series_instance_uid: str
    frame_of_reference_uid: str
    modality: str
    image_type: tuple[str, ...]
    pixels: PixelFormat
    rescale: tuple[Rescale, ...]
    physical: bool
    """The values have a unit of their own (HU, Bq/ml): MONOCHROME1 then only tells how to show them."""
    multiframe: bool
    lookup_table: bool
    """A Modality LUT stands in place of the rescale."""
    planes: tuple[Plane | None, ...]
    misplaced: str
    """Why a frame has no plane though something is said of its place; "" where nothing is wrong. Only volumes mind."""
    unscaled: str
    """Why it is not known what the values of a localizer mean; "" where it is. Only those mind who look at them: among slices it is left
    out."""
    header: FileDataset = field(compare=False, repr=False)
    """The data set before the pixels, as it was read: whoever refers to the instance later need not read it again."""
    decoded: FrameCache | None = field(default=None, compare=False, repr=False)
    """Where frames may lie that were decoded before they were needed."""

    def refuse_half_a_place(self) -> None:
        """For those to whom the place of an image matters.

        Raises
        ------
        MissingAttribute
            Position, orientation and pixel spacing are given only in part.
        """
        if self.misplaced:
            raise MissingAttribute(self.misplaced)


@dataclass(frozen=True, slots=True, kw_only=True)
class SetAside:
    """An instance that is not looked at (`inference.imaging.sop_classes`): one of which nothing could be analysed (raw data, a presentation
    state, a report), or (`capture`) a capture of a screen among slices."""

    sop_instance_uid: str
    sop_class_uid: str
    modality: str
    capture: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Parsed:
    """A file's data set before the pixels, where their value begins, its length and its tag (None: there is none), and the file's size."""

    path: Path
    dataset: FileDataset
    offset: int
    length: int
    tag: int | None
    size: int
    sop_instance_uid: str
    sop_class_uid: str
    modality: str


class ReadAhead:
    """What was read and decoded before it is needed: headers in this process' memory, each given out once, and frames in a folder.

    Whoever reads ahead and whoever reads a series are handed the same one.
    """

    def __init__(self, frames: FrameCache, headers: "KeptHeaders[Instance] | None" = None) -> None:
        self.frames = frames
        self._headers = KeptHeaders[Instance]() if headers is None else headers

    def keep(self, instance: Instance, of: Version) -> None:
        """Keep the header of a file that was of this version before it was read, for the next who reads it."""
        self._headers.keep(instance.path, instance, instance.pixels.offset, of)

    def take(self, path: Path) -> Instance | None:
        """The header of a file that was read ahead and is what it was; it is not kept any more."""
        return self._headers.take(path)


def read_each(paths: Sequence[Path], ahead: ReadAhead | None = None) -> list[Instance | SetAside]:
    """`read_instance`, of files of which some may hold no image, or a capture among the slices of its series; of those nothing about pixels
    is asked."""
    read = [(None if ahead is None else ahead.take(path)) or _parsed(path) for path in paths]
    of_slices = {_series(one) for one in read if _is_image(one) and is_slice(one.sop_class_uid, placed=_says_where(one))}
    found: list[Instance | SetAside] = []
    for one in read:
        capture = is_capture(one.sop_class_uid, placed=_says_where(one)) and _series(one) in of_slices
        if capture or not _is_image(one):
            about = (one.sop_instance_uid, one.sop_class_uid, one.modality)
            found.append(SetAside(sop_instance_uid=about[0], sop_class_uid=about[1], modality=about[2], capture=capture))
        else:
            found.append(one if isinstance(one, Instance) else _instance(one, ahead))
    return found


def _is_image(one: "Instance | _Parsed") -> bool:
    return holds_image(one.sop_class_uid, one.modality, rows=tags.ROWS in _data_set(one))


def _series(one: "Instance | _Parsed") -> str:
    return tags.text(_data_set(one), tags.SERIES_INSTANCE_UID)


def _says_where(one: "Instance | _Parsed") -> bool:
    return any(tag in _data_set(one) for tag in (tags.IMAGE_POSITION, tags.IMAGE_ORIENTATION, tags.PER_FRAME_GROUPS))


def _data_set(one: "Instance | _Parsed") -> FileDataset:
    return one.header if isinstance(one, Instance) else one.dataset


def read_instance(path: Path, ahead: ReadAhead | None = None) -> Instance:
    """The header of one Part 10 file; one that was read `ahead` is not read again.

    Raises
    ------
    NotDicom
        Not a Part 10 file, or a data set that cannot be parsed (cut off in the header, nested too deep).
    UnsupportedSyntax
        A transfer syntax that nobody here has heard of, whose packing is therefore not known.
    Truncated
        The file ends before its uncompressed pixel data does.
    NoPixelData, MissingAttribute, BeyondMeasure
        The instance is no image, or an attribute that gives the pixels their meaning is absent, wrong, or beyond any device.
    """
    return (None if ahead is None else ahead.take(path)) or _instance(_parsed(path), ahead)


def _parsed(path: Path) -> _Parsed:
    with path.open("rb") as file:
        dataset, offset, length, tag = _parse(file, path)
        _refuse_swapped_bytes(file, dataset, offset, path)
        size = os.fstat(file.fileno()).st_size
    # a data set without its own (de-identified in haste) still goes by the one it was sent under
    sop_instance_uid = tags.text(dataset, tags.SOP_INSTANCE_UID) or tags.text(dataset.file_meta, tags.MEDIA_STORAGE_SOP_INSTANCE_UID)
    if not sop_instance_uid:
        raise MissingAttribute(f"SOPInstanceUID is absent in {path.name}")
    return _Parsed(
        path=path,
        dataset=dataset,
        offset=offset,
        length=length,
        tag=tag,
        size=size,
        sop_instance_uid=sop_instance_uid,
        sop_class_uid=tags.text(dataset, tags.SOP_CLASS_UID) or tags.text(dataset.file_meta, tags.MEDIA_STORAGE_SOP_CLASS_UID),
        modality=tags.text(dataset, tags.MODALITY),
    )


def _instance(parsed: _Parsed, ahead: ReadAhead | None) -> Instance:
    dataset, sop_instance_uid, modality = parsed.dataset, parsed.sop_instance_uid, parsed.modality
    if dataset.file_meta.TransferSyntaxUID in JPIP:
        raise UnsupportedSyntax(f"{sop_instance_uid} {_ELSEWHERE}")
    if parsed.tag is None or parsed.length == 0:
        how = "no pixel data" if parsed.tag is None else "pixel data of zero length"
        raise NoPixelData(f"{sop_instance_uid} ({quoted(modality) if modality else 'no modality'}) holds {how}")
    pixels = _pixel_format(dataset, sop_instance_uid, parsed.offset, parsed.length, parsed.tag)
    _not_cut_off(pixels, parsed.size, sop_instance_uid)
    shared, per_frame = functional_groups(dataset, pixels.frames, sop_instance_uid)
    frames = [(group, shared) for group in per_frame] or [(dataset, dataset)] * pixels.frames
    multiframe = bool(per_frame) or pixels.frames > 1
    planes, misplaced = _places(dataset, frames, pixels, sop_instance_uid, enhanced=bool(per_frame))
    image_type = tuple(tags.text(dataset, tags.IMAGE_TYPE).split("\\"))
    unscaled = ""
    try:
        rescales = [rescale_of(own, common, sop_instance_uid, ct=modality == "CT") for own, common in frames]
        _refuse_rescales({rescale for rescale, _ in rescales}, pixels, sop_instance_uid, ct=modality == "CT")
    except (MissingAttribute, BeyondMeasure) as wrong:
        if "LOCALIZER" not in image_type:
            raise
        rescales, unscaled = [(Rescale(slope=1.0, intercept=0.0), "")] * len(frames), str(wrong)
    return Instance(
        path=parsed.path,
        sop_instance_uid=sop_instance_uid,
        sop_class_uid=parsed.sop_class_uid,
        study_instance_uid=tags.text(dataset, tags.STUDY_INSTANCE_UID),
        series_instance_uid=tags.text(dataset, tags.SERIES_INSTANCE_UID),
        frame_of_reference_uid=tags.text(dataset, tags.FRAME_OF_REFERENCE_UID),
        modality=modality,
        image_type=image_type,
        pixels=pixels,
        rescale=tuple(rescale for rescale, _ in rescales),
        physical=_is_physical(modality, [kind for _, kind in rescales]),
        multiframe=multiframe,
        lookup_table=tags.MODALITY_LUT in dataset,
        planes=planes,
        misplaced=misplaced,
        unscaled=unscaled,
        header=dataset,
        decoded=None if ahead is None else ahead.frames,
    )


def read_dataset(path: Path) -> FileDataset:
    """The data set of one Part 10 file before its pixels, whatever it is an object of, and whether its pixels can be read or not.

    Raises
    ------
    NotDicom, UnsupportedSyntax
        As `read_instance`.
    """
    with path.open("rb") as file:
        return _parse(file, path)[0]


def _is_physical(modality: str, units: Sequence[str]) -> bool:
    """Whether the values have a unit of their own, by the RescaleTypes (PS3.3 C.11.1.1.2).

    Of projections none has: what their senders write there ("LOG_E REL", "OD", anything) is how the values came about.
    """
    if modality in PROJECTIONS:
        return False
    return modality in {"CT", "PT", "NM"} or any(unit not in {"", "US", "NORMALIZED"} for unit in units)


def _places(
    dataset: FileDataset, frames: Sequence[tuple[Dataset, Dataset]], pixels: PixelFormat, uid: str, *, enhanced: bool
) -> tuple[tuple[Plane | None, ...], str]:
    """The place of each frame, and what is wrong where only half of one is given."""
    shape = (pixels.rows, pixels.columns)
    if not enhanced and is_tomogram(dataset) and tags.IMAGE_POSITION not in dataset:
        try:
            return tomogram_planes(dataset, pixels.frames, uid, shape), ""
        except MissingAttribute as half:
            return (None,) * pixels.frames, str(half)
    return planes_of(frames, uid, shape, placed=enhanced or pixels.frames == 1, multiframe=enhanced or pixels.frames > 1)


def _parse(file: BinaryIO, path: Path) -> tuple[FileDataset, int, int, int | None]:
    """The data set before the pixels, where their value begins, its length and its tag."""
    try:
        refuse_bomb(file, partial(_called, path))
        dataset = _deflated_jpip(file, path)
        if dataset is None:
            dataset = dcmread(file, stop_before_pixels=True, defer_size=_HELD_BYTES)
        syntax = dataset.file_meta.TransferSyntaxUID
        known = syntax.is_transfer_syntax
        implicit, little = dataset.original_encoding
    except OSError as broken:
        # pydicom's own "no tag to read" carries no error number; a disk that cannot be read is no fault of the file
        if broken.errno is not None:
            raise
        raise NotDicom(f"{path.name} cannot be read as DICOM: {quoted(broken)}") from broken
    except PARSE_ERRORS as broken:
        raise NotDicom(f"{path.name} cannot be read as DICOM: {type(broken).__name__} ({quoted(broken)})") from broken
    if not known:
        raise UnsupportedSyntax(f"{_called(path)} is in transfer syntax {quoted(syntax)}, which is not known here")
    if syntax in _DEFLATED_JPIP:
        return dataset, 0, 0, None
    if syntax == DeflatedExplicitVRLittleEndian:
        return dataset, *_deflated_pixels(path)
    return dataset, *_pixel_element(file, implicit=bool(implicit), little=bool(little))


def _deflated_jpip(file: BinaryIO, path: Path) -> FileDataset | None:
    """The data set of a file in a syntax that pydicom does not know to be deflated; None of any other."""
    head = file.read(_HEAD_BYTES)
    file.seek(0)
    if not any(syntax.encode() in head for syntax in _DEFLATED_JPIP):
        return None
    meta = read_file_meta_info(path)
    if meta.get("TransferSyntaxUID") not in _DEFLATED_JPIP:
        return None
    # behind the meta information, which begins with its own length (PS3.10 7.1)
    stream = path.read_bytes()[144 + meta.FileMetaInformationGroupLength :]
    # it ends in a byte of padding where it would be of odd length (PS3.5 A.5), behind the stream's own end
    dataset = dcmread(BytesIO(zlib.decompressobj(-zlib.MAX_WBITS).decompress(stream)), force=True)
    dataset.file_meta = meta
    return dataset


def _called(path: Path) -> str:
    """What people know a file by: the SOP Instance UID in its meta information (0002,0003); where that has none, the file's name."""
    try:
        uid = str(read_file_meta_info(path).get("MediaStorageSOPInstanceUID") or "")
    except (OSError, *PARSE_ERRORS):
        return path.name
    return uid if _UID.fullmatch(uid) else path.name


def _refuse_swapped_bytes(file: BinaryIO, dataset: FileDataset, offset: int, path: Path) -> None:
    """Big-endian words of two 8-bit pixels each hold them the wrong way round: a way that was retired in 2006, and is not read."""
    if dataset.original_encoding[1] or not offset or tags.stated(dataset, tags.BITS_ALLOCATED, 1) != (8,):
        return
    file.seek(offset - 8)
    if file.read(2) == b"OW":
        raise UnsupportedSyntax(f"{_called(path)} holds 8-bit pixels as big-endian words")


def _deflated_pixels(path: Path) -> tuple[int, int, int | None]:
    """The pixel data of a deflated file has no place in the file, only a length and a tag."""
    dataset = dcmread(path)
    tag = next((tag for tag in sorted(tags.PIXELS) if tag in dataset), None)
    return 0, (0 if tag is None else len(dataset[tag].value or b"")), tag


def _pixel_element(file: BinaryIO, *, implicit: bool, little: bool) -> tuple[int, int, int | None]:
    """Offset, length and tag of the pixel data element that begins here, if one does."""
    order = "<" if little else ">"
    head = file.read(12)
    if len(head) < 8:
        return 0, 0, None
    group, element = struct.unpack_from(f"{order}HH", head)
    tag = group << 16 | element
    if tag not in tags.PIXELS:
        return 0, 0, None
    if implicit:
        return file.tell() - len(head) + 8, struct.unpack_from(f"{order}I", head, 4)[0], tag
    if head[4:6] not in LONG_VRS or len(head) < 12:
        return 0, 0, None
    return file.tell(), struct.unpack_from(f"{order}I", head, 8)[0], tag


def _pixel_format(dataset: FileDataset, uid: str, offset: int, length: int, tag: int) -> PixelFormat:
    rows, columns, allocated = (tags.count(dataset, wanted, uid) for wanted in (tags.ROWS, tags.COLUMNS, tags.BITS_ALLOCATED))
    stored = tags.count(dataset, tags.BITS_STORED, uid, default=allocated)
    high = tags.integer(dataset, tags.HIGH_BIT, uid, default=stored - 1)
    if allocated not in {1, 8, 16, 32, 64} or stored > allocated or not stored - 1 <= high < allocated:
        raise MissingAttribute(f"{uid} has BitsAllocated {allocated}, BitsStored {stored}, HighBit {high}: no such pixel exists")
    signed = tags.integer(dataset, tags.PIXEL_REPRESENTATION, uid, default=0)
    samples = tags.count(dataset, tags.SAMPLES_PER_PIXEL, uid, default=1)
    planar = tags.integer(dataset, tags.PLANAR_CONFIGURATION, uid, default=0)
    if signed not in {0, 1} or (samples > 1 and planar not in {0, 1}):
        raise MissingAttribute(f"{uid} has PixelRepresentation {signed}, PlanarConfiguration {planar}: each is 0 or 1")
    return PixelFormat(
        rows=rows,
        columns=columns,
        frames=tags.count(dataset, tags.NUMBER_OF_FRAMES, uid, default=1),
        samples=samples,
        bits_allocated=allocated,
        bits_stored=stored,
        high_bit=high,
        signed=signed == 1,
        planar=planar,
        photometric=tags.text(dataset, tags.PHOTOMETRIC_INTERPRETATION) or "MONOCHROME2",
        transfer_syntax=dataset.file_meta.TransferSyntaxUID,
        big_endian=not dataset.original_encoding[1],
        tag=tag,
        offset=offset,
        length=length,
    )


def _refuse_rescales(rescales: Collection[Rescale], pixels: PixelFormat, uid: str, *, ct: bool) -> None:
    # floating point pixels say themselves how large they are, once they are read
    stored = float((1 << min(pixels.bits_stored, _MOST_BITS_USED)) - 1) if pixels.tag == tags.PIXEL_DATA else 1.0
    for rescale in rescales:
        refuse_rescale(rescale.slope, rescale.intercept, stored, uid, ct=ct)


def _not_cut_off(pixels: PixelFormat, size: int, uid: str) -> None:
    """Compare before anything is allocated: a damaged header may claim terabytes."""
    if pixels.transfer_syntax.is_encapsulated:
        if (least := pixels.frames * _ITEM_BYTES) > size - pixels.offset:
            raise Truncated(f"{uid} holds {size - pixels.offset} of the {least} bytes that {pixels.frames} compressed frames take at least")
        return
    needed = (pixels.rows * pixels.columns * pixels.samples * pixels.frames * pixels.bits_allocated + 7) // 8
    if pixels.photometric == "YBR_FULL_422":
        needed = needed * 2 // 3
    present = min(size - pixels.offset, pixels.length) if pixels.offset else pixels.length
    if present < needed:
        raise Truncated(f"{uid} holds {present} of the {needed} bytes of pixel data that its header describes")
