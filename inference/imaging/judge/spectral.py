"""Header check: recognises CT whose values are in HU and are not those of a tube voltage. Spectral CT computes images of one energy, and
such with a material taken out (virtually native, without calcium); maps in no HU at all are known to `computed`.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pydicom.dataset import Dataset

from inference.imaging import tags
from inference.imaging.axes import image_types
from inference.imaging.groups import macro
from inference.imaging.slices import FrameData, frames_in
from inference.translatable import Translatable, say

_CHARACTERISTICS, _ENERGY = 0x00189364, 0x0018937C
"""Multi-energy CT Characteristics Sequence and its Mono-energetic Energy Equivalent, in keV (PS3.3 C.8.15.3.12)."""
USUAL_KEV = (60.0, 80.0)
"""Energies at which tissue has about the HU that it has at 120 kV, and which scanners that count photons send as their usual images."""
_POSSIBLE_KEV = (30.0, 200.0)
_TUBE_VOLTAGES = frozenset({80.0, 90.0, 100.0, 110.0, 120.0, 130.0, 135.0, 140.0, 150.0})
"""A description that says so many keV, and nothing else of one energy, may mean kV."""
_ONE_ENERGY, _REMOVED = "VMI", "MAT_REMOVED"
"""Values 4 of ImageType (PS3.3 C.8.15.2.1.1.5)."""
_MODIFIED_UNIT = "HU_MOD"
"""RescaleType of images whose HU were modified (PS3.3 C.11.1.1.2)."""
_KEV = re.compile(r"(?<![0-9.,])([0-9]{2,3})(?:[.,]0+)?[ -]?KEV(?![A-Z])")
_ONE_ENERGY_WORDS = re.compile(
    r"(?<![A-Z0-9])(?:VMI|MONO[ -]?E(?:NERG[A-Z]*)?|MONO\+|MONOCHROMAT[A-Z]*|(?:VIRTUAL |VIRTUELL )MONO[A-Z]*)(?![A-Z])"
    "|[单單]能|仮想単色"
)
_REMOVED_WORDS = re.compile(
    r"(?<![A-Z0-9])(?:VNC|VNCA|GSI VUE|PURE ?(?:LUMEN|CALCIUM)|CALSUPP|CALCIUM SUPP[A-Z]*"
    r"|VIRTUAL[A-Z]* (?:NON[ -]?(?:CONTRAST|CALCIUM)|UNENHANCED|NATIV[A-Z]*|PLAIN)|VIRTUELL[A-Z]* NATIV[A-Z]*|NATIV[A-Z]* VIRTU[A-Z]*"
    r"|SANS CONTRASTE VIRTUEL[A-Z]*)(?![A-Z])"
    "|虚拟(?:平扫|[非无未]增强|[无去]钙|去碘)|虛擬(?:平掃|[非無未]增強|[無去]鈣|去碘)|仮想(?:単純|非造影)"
)
"""Words of a script that parts no words with spaces stand wherever they are found."""
_READ = 256
"""Characters of a description that are looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spectral:
    """What was computed: images of one energy, of so many keV where that is said, or with a material taken out."""

    one_energy: bool = False
    kev: float | None = None
    removed: bool = False

    @property
    def unusual(self) -> bool:
        """Whether tissue has other HU than at the usual tube voltage, or may have."""
        return self.one_energy and (self.kev is None or not USUAL_KEV[0] <= self.kev <= USUAL_KEV[1])

    def against_measuring(self) -> Translatable | None:
        """Why a number of HU would be another than that of such images as anybody knows it, in the middle of a sentence."""
        if self.removed:
            return say("a material was computed out of these images: their HU are not those that were measured")
        return self.of_one_energy() if self.unusual else None

    def of_one_energy(self) -> Translatable | None:
        """What they are, where they are of one energy, in the middle of a sentence."""
        if not self.one_energy:
            return None
        if self.kev is None:
            return say("these images are computed for one energy, which is not said: their HU are not those of a tube voltage")
        return say("these images are computed for one energy, {kev} keV: their HU are not those of a tube voltage", kev=f"{self.kev:g}")


def spectral_by(image_type: Sequence[str], description: str, rescale_type: str = "", kev: float | None = None) -> Spectral:
    """What values of CT say of themselves; `kev` is what stands in the sequence that is made for it."""
    words = description[:_READ].upper().replace("_", " ")
    said = [float(found) for found in _KEV.findall(words) if _POSSIBLE_KEV[0] <= float(found) <= _POSSIBLE_KEV[1]]
    named = _ONE_ENERGY in image_type[2:] or kev is not None or _ONE_ENERGY_WORDS.search(words) is not None
    # two energies name what a series was mixed of, or how it was acquired
    energy = kev if kev is not None else said[0] if len(said) == 1 and (named or said[0] not in _TUBE_VOLTAGES) else None
    return Spectral(
        one_energy=named or energy is not None,
        kev=energy,
        removed=_REMOVED in image_type[2:] or rescale_type.strip().upper() == _MODIFIED_UNIT or _REMOVED_WORDS.search(words) is not None,
    )


def spectral(headers: Sequence[Dataset]) -> list[Spectral]:
    """What the headers say, each once; nothing of what is no CT."""
    found = (one for header in headers if tags.text(header, tags.MODALITY) in ("CT", "") for one in _said(header))
    return [one for one in dict.fromkeys(found) if one != Spectral()]


def refused(said: Sequence[Spectral], *, native: bool) -> str:
    """Why an application that expects a part of the body as CT shows it does not take such images, for people; "" where it does."""
    for one in said:
        if one.unusual and one.kev is not None:
            return f"{one.of_one_energy()}"
        if native and one.removed:
            return "a material was computed out of these images (ImageType, RescaleType or SeriesDescription): that is not native"
    return ""


def _said(header: Dataset) -> Iterator[Spectral]:
    frames = frames_in(header)
    for kinds, frame in zip(image_types(frames), frames, strict=True):
        unit = tags.text(macro(frame.own, frame.common, tags.PIXEL_VALUE_TRANSFORMATION, frame.uid), tags.RESCALE_TYPE)
        yield spectral_by(kinds, tags.words(header, tags.SERIES_DESCRIPTION), unit, _kev(frame))


def _kev(frame: FrameData) -> float | None:
    stated = tags.stated(macro(frame.own, frame.common, _CHARACTERISTICS, frame.uid), _ENERGY, 1)
    if stated is None:
        items = tags.items(frame.header, _CHARACTERISTICS, frame.uid)
        stated = tags.stated(items[0], _ENERGY, 1) if items else None
    return stated_energy(stated or ())


def stated_energy(stated: Sequence[float]) -> float | None:
    """Mono-energetic Energy Equivalent, in keV, as it stands in a header; None where it is absent. 0 is what a writer leaves where there
    is no such energy."""
    return stated[0] if stated and stated[0] > 0 else None
