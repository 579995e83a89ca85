"""What headers say of the values of images before a pixel is read: computed from others, of several kinds, and, of CT, how those that are
stored become HU (PS3.3 C.11.1)."""

from collections.abc import Hashable, Sequence
from typing import NamedTuple

from inference.applications.port import Accepts
from inference.imaging.alike import IN_BLOCKS, in_blocks, kind_of_image, kinds_of_numbers, rescale_type, several_intercepts
from inference.imaging.judge.computed import computed_by
from inference.imaging.judge.expects import Expects
from inference.imaging.judge.spectral import Spectral, refused, spectral_by, stated_energy
from node.domain.instance import Header, first_number, texts_of
from node.routing.decisions import SeriesView
from node.routing.layout import Layout, without_localizers

_BOTH = ("RescaleSlope", "RescaleIntercept")
_ENERGY = "MonoenergeticEnergyEquivalent"
_OF_A_KIND = ("Modality", "Units", "PhotometricInterpretation", "ConvolutionKernel")
_NUMBERS_OF_A_KIND = ("EchoTime", "InversionTime", "DiffusionBValue", "SliceThickness", "KVP")


def computed(expects: Expects, view: SeriesView) -> list[str]:
    """Why the images were computed from others, where the application expects a part of the body."""
    if expects.part is None:
        return []
    found = (
        computed_by(one.kinds, "\\".join(one.words), " ".join(one.units), [code.partition(":")[2] for code in one.codes])
        for one in _said(view)
    )
    reason = next(filter(None, found), "") or refused(_spectral(view), native=expects.native)
    return [reason] if reason else []


def unsaid(accepts: Accepts, expects: Expects, view: SeriesView) -> list[str]:
    """What is not said of the values of CT, and is found when images are read."""
    if expects.part is None:
        return []
    images = _of_ct(accepts, view)
    as_stored = bool(images) and not any(one.get(keyword) for one in images for keyword in _BOTH)
    found = ["no image says how its values are rescaled; whether they are HU is seen in the pixels"] if as_stored else []
    if any(one.one_energy and one.kev is None for one in _spectral(view)):
        found.append("its images are of one energy; of which is looked at when they are read")
    return found


def _spectral(view: SeriesView) -> list[Spectral]:
    if "CT" not in texts_of(view.header, "Modality"):
        return []
    return [spectral_by(one.kinds, "\\".join(one.words), " ".join(one.units), stated_energy((one.energy,))) for one in _said(view)]


class _SaidOfValues(NamedTuple):
    """ImageType, SeriesDescription, RescaleType and codes of derivation of an image, and the energy that it is computed for, in keV; 0 of
    one that states none."""

    kinds: tuple[str, ...]
    words: tuple[str, ...]
    units: tuple[str, ...]
    codes: tuple[str, ...]
    energy: float


def _said(view: SeriesView) -> list[_SaidOfValues]:
    """Of the images, localizers left out, each once."""
    said = {
        _SaidOfValues(
            kinds=tuple(texts_of(one, "ImageType")),
            words=tuple(texts_of(one, "SeriesDescription")),
            units=tuple(texts_of(one, "RescaleType")),
            codes=tuple(texts_of(one, "DerivationCodeSequence")),
            energy=energy,
        )
        for one in without_localizers(view.members) or (view.header,)
        for energy in _energies(one)
    }
    return sorted(said)


def _energies(header: Header) -> list[float]:
    """Of the frames of a multi-frame image there may be several."""
    return [float(value) for value in header.get(_ENERGY, ()) if not isinstance(value, str)] or [0.0]


def unlike(accepts: Accepts, view: SeriesView, layout: Layout) -> list[str]:
    """Slices may be of several kinds in blocks, and not to and fro (`inference.imaging.alike`): where headers tell their order, they tell
    that, too."""
    if not accepts.takes.of_slices:
        return []
    images = without_localizers(view.members)
    if layout.order and len(layout.order) == len(images):
        images = [images[place] for place in layout.order]
    kinds: dict[str, list[Hashable]] = {keyword: [one.get(keyword, ()) for one in images] for keyword in _OF_A_KIND}
    kinds["ImageType"] = [kind_of_image(texts_of(one, "ImageType")) for one in images]
    kinds["RescaleType"] = [rescale_type(" ".join(texts_of(one, "RescaleType")), " ".join(texts_of(one, "Modality"))) for one in images]
    for keyword in _NUMBERS_OF_A_KIND:
        stated = [first_number(one, keyword) for one in images]
        kinds[keyword] = [*kinds_of_numbers(keyword, stated)]
        if keyword == "DiffusionBValue" and any(stated) and None in stated:
            kinds[keyword].append("in private attributes, if anywhere")
    kinds["RescaleIntercept"] = _intercepts(images)
    said = {keyword: [kind for kind in found if kind is not None] for keyword, found in kinds.items()}
    told = {keyword for keyword in IN_BLOCKS if layout.order and in_blocks(said[keyword])}
    differ = [keyword for keyword, found in said.items() if len(set(found)) > 1 and keyword not in told]
    differ += ["RescaleSlope"] if len({bool(one.get("RescaleSlope")) for one in images}) > 1 else []
    return [f"its images differ in {', '.join(differ)}: whether they are of one kind is looked at when they are read"] if differ else []


def _intercepts(images: Sequence[Header]) -> list[Hashable]:
    """Those of CT, where images of one slope and one form of stored values have several, as `inference.imaging.alike` looks at them."""
    found = {
        ((one.get("BitsStored"), one.get("PixelRepresentation")), one.get("RescaleSlope"), first_number(one, "RescaleIntercept"))
        for one in images
        if "CT" in texts_of(one, "Modality") and one.get("RescaleIntercept")
    }
    several = several_intercepts(found)
    return [intercept for form, _, intercept in found if form in several]


def half_rescaled(accepts: Accepts, view: SeriesView) -> list[str]:
    """Why a CT with one of slope and intercept is parked: what its values mean stands in both."""
    there = {tuple(keyword for keyword in _BOTH if one.get(keyword)) for one in _of_ct(accepts, view)}
    halves = sorted(keywords[0] for keywords in there if len(keywords) == 1)
    return [f"an image of CT has {halves[0]} alone: what its values mean stands in {' and '.join(_BOTH)}"] if halves else []


def _of_ct(accepts: Accepts, view: SeriesView) -> Sequence[Header]:
    of_ct = accepts.takes.of_slices and "CT" in texts_of(view.header, "Modality")
    # localizers are left out; of a multi-frame image each frame may say it, and not all of them stand in a header
    return [one for one in without_localizers(view.members or (view.header,)) if "NumberOfFrames" not in one] if of_ct else ()
