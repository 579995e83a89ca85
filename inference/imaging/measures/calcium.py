"""Calcium score of a segment as Agatston has it: named by what the segment is, and of images alone that it was defined on.

Agatston AS, Janowitz WR, Hildner FJ and others: Quantification of coronary artery calcium using ultrafast computed tomography. J Am Coll
Cardiol 1990;15:827-832.

It was defined on slices of 3 mm. Slices of 1 mm score 30 per cent more, by noise and by what partial volume hides in thick ones, and of
noisy patients 130 HU is no threshold (Mühlenbruch G and others: The accuracy of 1- and 3-mm slices in coronary calcium scoring using
multi-slice CT in vitro and in vivo. Eur Radiol 2007;17:321-329). Slices thinner than 2.5 mm are therefore averaged to such of 2.5 to 3 mm
before they are scored, as a scanner makes thick slices.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference import codes
from inference.codes import Code
from inference.findings import Measurement, Segment
from inference.imaging import tags
from inference.imaging.judge.agent import CONTRAST_AGENT, CONTRAST_AGENT_CODES, not_native
from inference.imaging.judge.spectral import spectral
from inference.imaging.judge.words import codes_of
from inference.imaging.measures.lengths import is_axial
from inference.imaging.measures.measure import ALL_PADDING, Concept, DescribedImages, Kind, SegmentedImages, Unmeasured
from inference.imaging.measures.quantity import HOUNSFIELD, Unknown
from inference.imaging.volume import Volume, Voxels
from inference.segment_mask import Box, box_of
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
"""Slices that the score was defined on; each counts for its share of it."""
_LEAST_MM = 2.5
"""Thinner slices are averaged."""
_TUBE_KV = 120.0
_ROUNDING = 1e-3
_KVP = 0x00180060
_WHOLE: Box = (slice(None), slice(None), slice(None))


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

    @property
    def of_values(self) -> bool:
        """As `Measure`."""
        return True

    def against(self, images: DescribedImages, volume: Volume) -> Translatable | None:
        """As `Measure`."""
        return _unfit(images, volume)

    def of(self, given: SegmentedImages) -> Iterator[Measurement | Unmeasured]:
        """As `Measure`."""
        coronary: list[Measurement] = []
        vessels: list[NDArray[np.bool_]] = []
        for segment in given.those(self.segments):
            volume = given.volume(segment)
            if (against := self.against(given, volume)) is not None:
                yield Unmeasured(reason=against)
                return
            padding, together = given.padding(volume, _WHOLE), _together(volume, _thick_mm(given))
            mask = segment.mask if padding is None else segment.mask & ~padding
            if not mask.any():
                yield Unmeasured(reason=ALL_PADDING)
                continue
            score = agatston(volume, mask, together, padding)
            said = Measurement(name=_named(segment), value=score, unit=codes.NO_UNITS, segment=segment.label, method=AGATSTON)
            yield said
            if said.name == CORONARY_SCORE and segment.phase is None:
                coronary.append(said)
                vessels.append(mask)
        if len(coronary) > 1:
            # what risk goes by is the score of all of them; of vessels that overlap the sum would have a plaque twice
            total = replace(Measurement.sum_of(coronary, CORONARY_ARTERY), method=AGATSTON)
            both = np.logical_or.reduce(vessels)
            # thin vessels above each other may be on one thick slice
            thick = [_put_together(one, together) for one in vessels]
            apart = sum(np.count_nonzero(one) for one in thick) == np.count_nonzero(np.logical_or.reduce(thick))
            yield total if apart else replace(total, value=agatston(volume, both, together, padding))


def agatston(volume: Volume, mask: NDArray[np.bool_], together: int = 1, padding: NDArray[np.bool_] | None = None) -> float:
    """Spots of each slice of a mask from 130 HU and 1 mm² on: mm² times 1 to 4 by the largest value, summed; by slices of 3 mm.

    Parameters
    ----------
    together
        So many neighbouring slices, counted from the volume's first, are one slice: the mean of their values, and what the mask marks in
        at least half of them.
    padding
        Voxels that are no values, and in no mean; none of the mask's.
    """
    from scipy import ndimage

    box = box_of(mask)
    first = box[0].start // together * together
    thick_mm, row_mm, column_mm = volume.spacing_mm
    total = 0.0
    for start in range(first, box[0].stop, together):
        part = (slice(start, start + together), *box[1:])
        plane = _mean(volume.voxels[part], None if padding is None else padding[part])
        marked = _mostly(mask[part])
        share = volume.slice_shares[part[0]].sum()
        spots, count = ndimage.label(marked & (plane >= LEAST_HU), structure=np.ones((3, 3)))
        if not count:
            continue
        numbers = np.arange(1, count + 1)
        areas = np.bincount(spots.ravel())[1:] * row_mm * column_mm
        weights = 1 + np.searchsorted(_STEPS_HU, ndimage.maximum(plane, spots, numbers), side="right")
        total += float((areas * weights)[areas >= LEAST_MM2].sum()) * float(share)
    return total * thick_mm / _SLICE_MM


def _mean(slices: Voxels, padding: NDArray[np.bool_] | None) -> NDArray[Any]:
    """The mean (y, x) of slices (z, y, x) that become one, without padding; 0 where all of it is."""
    mean: NDArray[Any] = slices.mean(axis=0)
    if padding is not None:
        mean = np.where(padding, 0, slices).sum(axis=0) / np.maximum((~padding).sum(axis=0), 1)
    return mean


def _mostly(slices: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """What slices that become one mark in at least half of them."""
    marked: NDArray[np.bool_] = 2 * slices.sum(axis=0) >= len(slices)
    return marked


def _put_together(mask: NDArray[np.bool_], together: int) -> NDArray[np.bool_]:
    """A mask on the slices that are scored."""
    return mask if together == 1 else np.stack([_mostly(mask[at : at + together]) for at in range(0, len(mask), together)])


def _thick_mm(given: DescribedImages) -> float:
    """The slices' thickness: of several the least."""
    stated = (tags.stated(header, tags.SLICE_THICKNESS, 1) for header in given.headers)
    return min(one[0] for one in stated if one is not None)


def _together(volume: Volume, thick_mm: float) -> int:
    """How many slices make one of 2.5 to 3 mm; 0 where no number of them does."""
    if thick_mm >= _LEAST_MM - _ROUNDING:
        return 1
    apart_mm = volume.spacing_mm[0]
    count = int((_SLICE_MM - thick_mm) / apart_mm + _ROUNDING) + 1
    # of slices with gaps between them much would be left out
    whole = volume.steps is None and apart_mm <= thick_mm + _ROUNDING
    return count if whole and thick_mm + (count - 1) * apart_mm >= _LEAST_MM - _ROUNDING else 0


def _named(segment: Segment) -> Code:
    """A coronary score is that of coronary arteries, and of nothing that lies near them."""
    coronary = (segment.type.value, segment.type.scheme) == (CORONARY_ARTERY.value, CORONARY_ARTERY.scheme)
    return CORONARY_SCORE if coronary else CALCIUM_SCORE


def _unfit(given: DescribedImages, volume: Volume) -> Translatable | None:
    """Why these images have no such score."""
    quantity = given.quantity
    if isinstance(quantity, Unknown):
        return quantity.reason
    if quantity != HOUNSFIELD:
        return say("these images are no CT")
    if not is_axial(volume):
        return say("the slices are not axial")
    if one_energy := next(filter(None, (one.of_one_energy() for one in spectral(given.headers))), None):
        return one_energy
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
    if not _together(volume, _thick_mm(given)):
        return say(
            "slices of {thick} mm, {apart} mm apart, cannot be put together to such of 2.5 to 3 mm",
            thick=f"{_thick_mm(given):g}",
            apart=f"{volume.spacing_mm[0]:.3g}",
        )
    return None


KINDS = (
    Kind(
        word="agatston",
        make=Agatston,
        says="Agatston score: the coronary one of a segment with the code of coronary arteries (41801008 SCT), of another a calcium score; "
        "of several coronary segments also the score of all of them, in which nothing counts twice.",
        method="Spots of one slice (edges and corners touch) from 130 HU and 1 mm² on: area times 1, 2, 3, 4 by the largest value from "
        "130, 200, 300, 400 HU on; a slice counts for its share of 3 mm. Slices below 2.5 mm are averaged to such of 2.5 to 3 mm before: "
        "by themselves they would score a third more.",
        needs="axial CT in HU of a tube voltage (not computed for one energy, or with a material taken out), no contrast medium "
        "(ContrastBolusAgent), KVP 120, SliceThickness and distance of the slices 3 mm or less; "
        "thinner than 2.5 mm: even steps without gaps, of which some make 2.5 to 3 mm",
    ),
)
