"""What of an instance's header decides how its pixels are read and where they lie; read once, values checked, no pixel touched.

Values are parsed here from the raw bytes of the few elements that count: half the time of pydicom's conversion, and nothing that
an unrelated damaged element could spoil.
"""

import math
import os
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from pydicom import dcmread
from pydicom.dataset import Dataset, FileDataset
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian

from inference.imaging import tags
from inference.imaging.deflated import refuse_bomb
from inference.imaging.errors import MissingAttribute, NoPixelData, NotDicom, Truncated, UnsupportedSyntax
from inference.imaging.geometry import Plane

UNDEFINED_LENGTH = 0xFFFFFFFF
PARSE_ERRORS = (
    *(InvalidDicomError, BytesLengthException, EOFError, ValueError, KeyError, AttributeError, NotImplementedError),
    *(RecursionError, struct.error, zlib.error, OverflowError, TypeError),
)
"""What pydicom raises on damaged files, by fuzzing; RecursionError: sequences nested too deep."""

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
        """Bytes of one frame, uncompressed and with every bit allocated."""
        return self.rows * self.columns * self.samples * self.bits_allocated // 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Rescale:
    """Stored value to modality value (PS3.3 C.11.1): `value * slope + intercept`."""

    slope: float = 1.0
    intercept: float = 0.0


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
    header: FileDataset = field(compare=False, repr=False)
    """The data set before the pixels, as it was read: whoever refers to the instance later need not read it again."""


def read_instance(path: Path) -> Instance:
    """The header of one Part 10 file.

    Raises
    ------
    NotDicom
        Not a Part 10 file, or a data set that cannot be parsed (cut off in the header, nested too deep).
    UnsupportedSyntax
        A transfer syntax that nobody here has heard of, whose packing is therefore not known.
    Truncated
        The file ends before its uncompressed pixel data does.
    NoPixelData, MissingAttribute
        The instance is no image, or an attribute that gives the pixels their meaning is absent or wrong.
    """
    with path.open("rb") as file:
        dataset, offset, length, tag = _parse(file, path)
        size = os.fstat(file.fileno()).st_size
    # a data set without its own (de-identified in haste) still goes by the one it was sent under
    sop_instance_uid = tags.text(dataset, tags.SOP_INSTANCE_UID) or tags.text(dataset.file_meta, tags.MEDIA_STORAGE_SOP_INSTANCE_UID)
    if not sop_instance_uid:
        raise MissingAttribute(f"SOPInstanceUID is absent in {path.name}")
    if tag is None or length == 0:
        how = "no pixel data" if tag is None else "pixel data of zero length"
        raise NoPixelData(f"{sop_instance_uid} ({tags.text(dataset, tags.MODALITY) or 'no modality'}) holds {how}")
    pixels = _pixel_format(dataset, sop_instance_uid, offset, length, tag)
    _not_cut_off(pixels, size, sop_instance_uid)
    modality = tags.text(dataset, tags.MODALITY)
    shared, per_frame = _functional_groups(dataset, pixels, sop_instance_uid)
    frames = [(group, shared) for group in per_frame] or [(dataset, dataset)] * pixels.frames
    multiframe = bool(per_frame) or pixels.frames > 1
    rescales = [_rescale(own, common, sop_instance_uid) for own, common in frames]
    return Instance(
        path=path,
        sop_instance_uid=sop_instance_uid,
        sop_class_uid=tags.text(dataset, tags.SOP_CLASS_UID) or tags.text(dataset.file_meta, tags.MEDIA_STORAGE_SOP_CLASS_UID),
        study_instance_uid=tags.text(dataset, tags.STUDY_INSTANCE_UID),
        series_instance_uid=tags.text(dataset, tags.SERIES_INSTANCE_UID),
        frame_of_reference_uid=tags.text(dataset, tags.FRAME_OF_REFERENCE_UID),
        modality=modality,
        image_type=tuple(tags.text(dataset, tags.IMAGE_TYPE).split("\\")),
        pixels=pixels,
        rescale=tuple(rescale for rescale, _ in rescales),
        physical=modality in {"CT", "PT", "NM"} or any(kind not in {"", "US", "NORMALIZED"} for _, kind in rescales),
        multiframe=multiframe,
        lookup_table=tags.MODALITY_LUT in dataset,
        planes=tuple(
            _plane(own, common, sop_instance_uid, number if multiframe else None, pixels)
            # frames of a classic multi-frame instance have no place of their own (cine, dynamic, gated)
            if per_frame or pixels.frames == 1
            else None
            for number, (own, common) in enumerate(frames, start=1)
        ),
        header=dataset,
    )


def _parse(file: BinaryIO, path: Path) -> tuple[FileDataset, int, int, int | None]:
    """The data set before the pixels, where their value begins, its length and its tag."""
    try:
        refuse_bomb(file, path.name)
        dataset = dcmread(file, stop_before_pixels=True)
        syntax = dataset.file_meta.TransferSyntaxUID
        known = syntax.is_transfer_syntax
        implicit, little = dataset.original_encoding
    except OSError as broken:
        # pydicom's own "no tag to read" carries no error number; a disk that cannot be read is no fault of the file
        if broken.errno is not None:
            raise
        raise NotDicom(f"{path.name} cannot be read as DICOM: {broken}") from broken
    except PARSE_ERRORS as broken:
        raise NotDicom(f"{path.name} cannot be read as DICOM: {type(broken).__name__} ({broken})") from broken
    if not known:
        raise UnsupportedSyntax(f"{path.name} is in transfer syntax {syntax}, which is not known here")
    if syntax == DeflatedExplicitVRLittleEndian:
        return dataset, *_deflated_pixels(path)
    return dataset, *_pixel_element(file, implicit=bool(implicit), little=bool(little))


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
    return PixelFormat(
        rows=rows,
        columns=columns,
        frames=tags.count(dataset, tags.NUMBER_OF_FRAMES, uid, default=1),
        samples=tags.count(dataset, tags.SAMPLES_PER_PIXEL, uid, default=1),
        bits_allocated=allocated,
        bits_stored=stored,
        high_bit=high,
        signed=tags.integer(dataset, tags.PIXEL_REPRESENTATION, uid, default=0) == 1,
        planar=tags.integer(dataset, tags.PLANAR_CONFIGURATION, uid, default=0),
        photometric=tags.text(dataset, tags.PHOTOMETRIC_INTERPRETATION) or "MONOCHROME2",
        transfer_syntax=dataset.file_meta.TransferSyntaxUID,
        big_endian=not dataset.original_encoding[1],
        tag=tag,
        offset=offset,
        length=length,
    )


def _not_cut_off(pixels: PixelFormat, size: int, uid: str) -> None:
    """Compare before anything is allocated: a damaged header may claim terabytes."""
    if pixels.transfer_syntax.is_encapsulated:
        return
    needed = (pixels.rows * pixels.columns * pixels.samples * pixels.frames * pixels.bits_allocated + 7) // 8
    if pixels.photometric == "YBR_FULL_422":
        needed = needed * 2 // 3
    present = min(size - pixels.offset, pixels.length) if pixels.offset else pixels.length
    if present < needed:
        raise Truncated(f"{uid} holds {present} of the {needed} bytes of pixel data that its header describes")


def _functional_groups(dataset: Dataset, pixels: PixelFormat, uid: str) -> tuple[Dataset, Sequence[Dataset]]:
    """The shared and the per-frame functional groups (PS3.3 C.7.6.16); empty ones for a classic instance."""
    per_frame = tags.items(dataset, tags.PER_FRAME_GROUPS, uid)
    if not per_frame:
        return Dataset(), ()
    if len(per_frame) != pixels.frames:
        raise MissingAttribute(f"{uid} has {pixels.frames} frames and per-frame functional groups for {len(per_frame)}")
    shared = tags.items(dataset, tags.SHARED_GROUPS, uid)
    return (shared[0] if shared else Dataset()), per_frame


def _rescale(own: Dataset, common: Dataset, uid: str) -> tuple[Rescale, str]:
    """The rescale of one frame and its RescaleType."""
    holder = _macro(own, common, tags.PIXEL_VALUE_TRANSFORMATION, uid)
    slope = tags.numbers(holder, tags.RESCALE_SLOPE, uid, 1)
    intercept = tags.numbers(holder, tags.RESCALE_INTERCEPT, uid, 1)
    if slope and slope[0] == 0:
        raise MissingAttribute(f"RescaleSlope of {uid} is 0: every value would be the same")
    rescale = Rescale(slope=slope[0] if slope else 1.0, intercept=intercept[0] if intercept else 0.0)
    return rescale, tags.text(holder, tags.RESCALE_TYPE)


def _plane(own: Dataset, common: Dataset, uid: str, frame: int | None, pixels: PixelFormat) -> Plane | None:
    """Where the frame lies; None when nothing says so.

    Raises
    ------
    MissingAttribute
        Position, orientation and pixel spacing are given only in part.
    """
    position = tags.numbers(_macro(own, common, tags.PLANE_POSITION, uid), tags.IMAGE_POSITION, uid, 3)
    orientation = tags.numbers(_macro(own, common, tags.PLANE_ORIENTATION, uid), tags.IMAGE_ORIENTATION, uid, 6)
    measures = _macro(own, common, tags.PIXEL_MEASURES, uid)
    spacing = tags.numbers(measures, tags.PIXEL_SPACING, uid, 2)
    if position is None and orientation is None:
        return None
    if position is None or orientation is None or spacing is None:
        given = {"ImagePositionPatient": position, "ImageOrientationPatient": orientation, "PixelSpacing": spacing}
        absent = " and ".join(keyword for keyword, value in given.items() if value is None)
        raise MissingAttribute(f"{absent} is absent in {uid}" + (f" frame {frame}" if frame else ""))
    thickness = tags.numbers(measures, tags.SLICE_THICKNESS, uid, 1)
    x, y, z = position
    rx, ry, rz, cx, cy, cz = orientation
    return Plane(
        uid=uid,
        frame=frame,
        position=(x, y, z),
        orientation=(rx, ry, rz, cx, cy, cz),
        spacing=(spacing[0], spacing[1]),
        rows=pixels.rows,
        columns=pixels.columns,
        thickness=thickness[0] if thickness and math.isfinite(thickness[0]) else None,
    )


def _macro(own: Dataset, common: Dataset, sequence: int, uid: str) -> Dataset:
    """The item of a functional group macro: the frame's own, else the shared one; the data set itself in a classic instance."""
    if own is common:
        return own
    for group in (own, common):
        found = tags.items(group, sequence, uid)
        if found:
            return found[0]
    return Dataset()
