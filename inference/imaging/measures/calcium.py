"""Calcium score of a segment as Agatston has it: named by what the segment is, and of images alone that it was defined on.

Agatston AS, Janowitz WR, Hildner FJ and others: Quantification of coronary artery calcium using ultrafast computed tomography. J Am Coll
Cardiol 1990;15:827-832.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inference import codes
from inference.codes import Code
from inference.findings import Measurement, Segment
from inference.imaging import tags
from inference.imaging.judge.agent import CONTRAST_AGENT, CONTRAST_AGENT_CODES, not_native
from inference.imaging.judge.words import codes_of
from inference.imaging.measures.lengths import is_axial
from inference.imaging.measures.measure import Concept, Kind, SegmentedImages, Unmeasured, box_of
from inference.imaging.measures.quantity import HOUNSFIELD, Unknown
from inference.imaging.volume import Volume
from inference.translatable import Translatable, say

CORONARY_ARTERY = Code("41801008", "SCT", "Coronary artery")
CORONARY_SCORE = Code("450360000", "SCT", "Coronary artery calcium score")
CALCIUM_SCORE = Code("112058", "DCM", "Calcium score")
AGATSTON = Code("112055", "DCM", "Agatston scoring method")
LEAST_HU = 130
LEAST_MM2 = 1.0
_STEPS_HU = (200, 300, 400)
"""From each of these on the largest value of a lesion counts for one more."""
_SLICE_MM = 3.0
"""Slices that the score was defined on; of thinner ones each counts for its share."""
_TUBE_KV = 120.0
_ROUNDING = 1e-3
_KVP = 0x00180060


@dataclass(frozen=True, slots=True, kw_only=True)
class Agatston:
    """Agatston score of each segment."""

    segments: tuple[str, ...]

    @property
    def words(self) -> Translatable:
        """As `Measure`."""
        return say("the Agatston score")

    def concepts(self, modality: Sequence[str]) -> tuple[Concept, ...]:
        """As `Measure`."""
        return tuple(Concept(name=name, unit=codes.NO_UNITS) for name in (CORONARY_SCORE, CALCIUM_SCORE)) if "CT" in modality else ()

    def of(self, given: SegmentedImages) -> Iterator[Measurement | Unmeasured]:
        """As `Measure`."""
        for segment in given.those(self.segments):
            volume = given.volume(segment)
            if (reason := _unfit(given, volume)) is not None:
                yield Unmeasured(reason=reason)
                return
            score = agatston(volume, segment.mask)
            yield Measurement(name=_named(segment), value=score, unit=codes.NO_UNITS, segment=segment.label, method=AGATSTON)


def agatston(volume: Volume, mask: NDArray[np.bool_]) -> float:
    """Spots of each slice of a mask from 130 HU and 1 mm² on: mm² times 1 to 4 by the largest value, summed; by slices of 3 mm."""
    from scipy import ndimage

    box = box_of(mask)
    values, inside = volume.voxels[box], mask[box]
    thick_mm, row_mm, column_mm = volume.spacing_mm
    total = 0.0
    for plane, marked, share in zip(values, inside, volume.slice_shares[box[0]], strict=True):
        spots, count = ndimage.label(marked & (plane >= LEAST_HU), structure=np.ones((3, 3)))
        if not count:
            continue
        numbers = np.arange(1, count + 1)
        areas = np.bincount(spots.ravel())[1:] * row_mm * column_mm
        weights = 1 + np.searchsorted(_STEPS_HU, ndimage.maximum(plane, spots, numbers), side="right")
        total += float((areas * weights)[areas >= LEAST_MM2].sum()) * float(share)
    return total * thick_mm / _SLICE_MM


def _named(segment: Segment) -> Code:
    """A coronary score is that of coronary arteries, and of nothing that lies near them."""
    coronary = (segment.type.value, segment.type.scheme) == (CORONARY_ARTERY.value, CORONARY_ARTERY.scheme)
    return CORONARY_SCORE if coronary else CALCIUM_SCORE


def _unfit(given: SegmentedImages, volume: Volume) -> Translatable | None:
    """Why these images have no such score."""
    quantity = given.quantity
    if isinstance(quantity, Unknown):
        return quantity.reason
    if quantity != HOUNSFIELD:
        return say("these images are no CT")
    if not is_axial(volume):
        return say("the slices are not axial")
    agents = [tags.text(header, CONTRAST_AGENT) for header in given.headers]
    if not_native(agents, [code for header in given.headers for code in codes_of(header, CONTRAST_AGENT_CODES)]):
        return say("contrast medium was given")
    for keyword, tag in (("KVP", _KVP), ("SliceThickness", tags.SLICE_THICKNESS)):
        stated = [tags.stated(header, tag, 1) for header in given.headers]
        if not stated or None in stated:
            return say("{keyword} is absent", keyword=keyword)
        numbers = [one[0] for one in stated if one is not None]
        others = sorted({one for one in numbers if abs(one - _TUBE_KV) > 0.5})
        if keyword == "KVP" and others:
            return say("the tube voltage is {kv} kV, not 120 kV", kv=", ".join(f"{one:g}" for one in others))
        if keyword == "SliceThickness" and max(*numbers, volume.apart_mm[1]) > _SLICE_MM + _ROUNDING:
            return say(
                "slices are {thick} mm thick and {apart} mm apart, not 3 mm or less",
                thick=f"{max(numbers):g}",
                apart=f"{volume.apart_mm[1]:.3g}",
            )
    return None


KINDS = (
    Kind(
        word="agatston",
        make=Agatston,
        says="Agatston score: the coronary one of a segment with the code of coronary arteries (41801008 SCT), of another a calcium score.",
        method="Spots of one slice (edges and corners touch) from 130 HU and 1 mm² on: area times 1, 2, 3, 4 by the largest value from "
        "130, 200, 300, 400 HU on; a slice counts for its share of 3 mm.",
        needs="axial CT in HU, no contrast medium (ContrastBolusAgent), KVP 120, SliceThickness and distance of the slices 3 mm or less",
    ),
)
