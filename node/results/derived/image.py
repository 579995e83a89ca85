"""Attributes that derived images of every class have: their values as stored ones, and how they came to be, in codes and in words."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import ROUND_CEILING, Context, Decimal
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from inference.codes import Code
from inference.findings import DerivedImage
from inference.imaging.volume import SliceSource
from node.domain.profile import Language
from node.results.derived.source import Origin
from node.results.identity import ResultIdentity, stamp
from node.results.normalise import text
from node.results.page.capture import SOURCE_FOR_PROCESSING
from node.results.page.words import PAGE_WORDS
from node.results.port import Encoding
from node.results.sources import Sources, common_references, item, lossy_history, reference

_DIGITS = Context(prec=6, rounding=ROUND_CEILING)
_SIGNED, _UNSIGNED = np.iinfo(np.int16), np.iinfo(np.uint16)
_WINDOW_PERCENTILES = (1.0, 99.0)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Stored:
    """Stored values, and the slope to modality values; the intercept is always 0, so that nothing stays exactly nothing.

    Attributes
    ----------
    pixels
        (Z, Y, X) int16 or uint16, little endian.
    slope
        As it is written (a decimal string), "1" where the values are whole.
    """

    pixels: NDArray[Any]
    slope: str

    @property
    def signed(self) -> bool:
        """PixelRepresentation 1."""
        return self.pixels.dtype.kind == "i"


def stored(voxels: NDArray[Any]) -> Stored:
    """Whole values that fit 16 bits are kept as they are; others are rounded to steps that the range of all slices needs."""
    low, high = float(voxels.min()), float(voxels.max())
    fits = low >= _SIGNED.min and high <= _SIGNED.max
    if fits and (voxels.dtype.kind in "iu" or bool(np.all(voxels == np.rint(voxels)))):
        return Stored(pixels=np.ascontiguousarray(voxels, dtype="<i2"), slope="1")
    if low < 0:
        slope, dtype = _step(max(low / _SIGNED.min, high / _SIGNED.max)), "<i2"
    else:
        slope, dtype = _step(high / _UNSIGNED.max), "<u2"
    pixels = np.empty(voxels.shape, dtype=dtype)
    for z, plane in enumerate(voxels):
        # in double precision: a float32 quotient may round across the half
        pixels[z] = np.rint(plane.astype(np.float64) / float(slope))
    return Stored(pixels=pixels, slope=slope)


def show(holder: Dataset, voxels: NDArray[Any]) -> None:
    """Write a window that shows nearly all values."""
    low, high = (float(bound) for bound in np.percentile(voxels[::2, ::3, ::3], _WINDOW_PERCENTILES))
    width = high - low if high > low else 1.0
    holder.WindowCenter, holder.WindowWidth = f"{(low + high) / 2:.6g}", f"{width:.6g}"
    if width < 1:
        # the function that holds unless another is named needs a width of 1 at least (PS3.3 C.11.2.1.2.1)
        holder.VOILUTFunction = "LINEAR_EXACT"


def _step(exact: float) -> str:
    """A step of six digits, never smaller than needed, as a decimal string."""
    return f"{_DIGITS.create_decimal(Decimal(exact)).normalize():g}"


ACQUISITION_EQUIPMENT = Code("109101", "DCM", "Acquisition Equipment")
LONGEST_ST = 1024


def describe(
    made: Dataset, encoding: Encoding, sources: Sources, image: DerivedImage, origin: Origin, identity: ResultIdentity, slope: str
) -> None:
    """Identity, equipment, and how the image came to be: what derived images of every class say."""
    made.SeriesInstanceUID, made.SeriesNumber = identity.series_instance_uid, identity.series_number
    made.FrameOfReferenceUID = encoding.volume.frame_of_reference_uid
    burned_in = {text(header, "BurnedInAnnotation") for header in origin.headers}
    if "YES" in burned_in or burned_in == {"NO"}:
        made.BurnedInAnnotation = max(burned_in)
    made.DerivationDescription = _description(image, origin, slope, encoding.language)
    made.DerivationCodeSequence = [item(image.derivation)]
    made.update(lossy_history(origin.headers))
    stamp(made, encoding, sources, identity)
    made.ContributingEquipmentSequence = [*made.ContributingEquipmentSequence, *_scanner(origin.headers[0])]


def beginning(image: DerivedImage, language: Language) -> str:
    """With what the description of a derived image begins: its label, and what was done."""
    words = PAGE_WORDS[language]
    if language is Language.CHINESE:
        return f"{words.label(image.label)}：{words.term(image.derivation)}，"
    return f"{image.label}: {image.derivation.meaning.lower()} of "


def _description(image: DerivedImage, origin: Origin, slope: str, language: Language) -> str:
    """In words: what was done, to what, and how finely it is stored."""
    first = origin.headers[0]
    date, number = text(first, "StudyDate"), text(first, "SeriesNumber") or "?"
    if language is Language.CHINESE:
        of = f"{date or '日期不详'}的既往图像" if origin.of_prior else "图像"
        exact = "整数值，无损存储" if slope == "1" else f"数值以{slope}为步长存储，误差不超过半个步长"
        return f"{beginning(image, language)}由序列{number}的{of}生成；{exact}"[:LONGEST_ST]
    of = f"the prior images of {date or 'unknown date'}" if origin.of_prior else "the images"
    exact = "whole values, stored exactly" if slope == "1" else f"values stored in steps of {slope}, each off by half a step at most"
    return f"{beginning(image, language)}{of} of series {number}; {exact}"[:LONGEST_ST]


def pixel_module(made: Dataset, values: Stored) -> None:
    """Image Pixel (PS3.3 C.7.6.3), but for the pixels."""
    made.SamplesPerPixel, made.PhotometricInterpretation = 1, "MONOCHROME2"
    made.Rows, made.Columns = values.pixels.shape[1:]
    made.BitsAllocated, made.BitsStored, made.HighBit, made.PixelRepresentation = 16, 16, 15, int(values.signed)


def refer(made: Dataset, sources: Sources, origin: Origin, slices: Sequence[SliceSource]) -> None:
    """Write the Common Instance Reference module for the source instances that one derived instance refers to, and no others."""
    used = tuple(dict.fromkeys((one.sop_class_uid, one.sop_instance_uid) for one in slices))
    series = next(one for one in sources.series if one.series_instance_uid == origin.volume.series_instance_uid)
    common_references(made, sources, [replace(series, instances=used)])


def source_item(source: SliceSource) -> Dataset:
    """A source image with what it was for."""
    made = reference(source)
    made.PurposeOfReferenceCodeSequence = [item(SOURCE_FOR_PROCESSING)]
    return made


def _scanner(header: Dataset) -> list[Dataset]:
    """What acquired the source (PS3.3 C.12.1.1.5): the equipment of the derived image is the node."""
    made = Dataset()
    for keyword in ("Manufacturer", "ManufacturerModelName", "InstitutionName", "StationName", "DeviceSerialNumber", "SoftwareVersions"):
        if value := text(header, keyword):
            setattr(made, keyword, value.split(", ") if keyword == "SoftwareVersions" else value)
    if "Manufacturer" not in made:
        return []
    made.PurposeOfReferenceCodeSequence = [item(ACQUISITION_EQUIPMENT)]
    return [made]
