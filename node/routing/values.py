"""What headers say of the values of images before a pixel is read: computed from others, and, of CT, how those that are stored become HU
(PS3.3 C.11.1)."""

from collections.abc import Hashable, Sequence

from inference.applications.port import Accepts
from inference.imaging.alike import several_intercepts
from inference.imaging.judge.computed import computed_by
from inference.imaging.judge.expects import Expects
from inference.imaging.judge.spectral import Spectral, refused, spectral_by
from node.domain.instance import Header, first_number, texts_of
from node.routing.decisions import SeriesView
from node.routing.layout import without_localizers

_BOTH = ("RescaleSlope", "RescaleIntercept")


def computed(expects: Expects, view: SeriesView) -> list[str]:
    """Why the images were computed from others, where the application expects a part of the body."""
    if expects.part is None:
        return []
    found = (
        computed_by(kinds, "\\".join(words), " ".join(units), [code.partition(":")[2] for code in codes])
        for kinds, words, units, codes in _said(view)
    )
    reason = next(filter(None, found), "") or refused(_spectral(view), native=expects.native)
    return [reason] if reason else []


def energy_open(expects: Expects, view: SeriesView) -> bool:
    """Whether images of CT are of one energy that stands in no element of what is kept of their headers."""
    return expects.part is not None and any(one.one_energy and one.kev is None for one in _spectral(view))


def _spectral(view: SeriesView) -> list[Spectral]:
    if "CT" not in texts_of(view.header, "Modality"):
        return []
    return [spectral_by(kinds, "\\".join(words), " ".join(units)) for kinds, words, units, _ in _said(view)]


def _said(view: SeriesView) -> list[tuple[tuple[str, ...], ...]]:
    """ImageType, SeriesDescription, RescaleType and codes of derivation of the images, localizers left out, each once."""
    keywords = "ImageType", "SeriesDescription", "RescaleType", "DerivationCodeSequence"
    images = without_localizers(view.members) or (view.header,)
    return sorted({tuple(tuple(texts_of(one, keyword)) for keyword in keywords) for one in images})


def intercepts(images: Sequence[Header]) -> list[Hashable]:
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


def as_stored(accepts: Accepts, view: SeriesView) -> bool:
    """Whether it is CT that says in no image how it is rescaled."""
    images = _of_ct(accepts, view)
    return bool(images) and not any(one.get(keyword) for one in images for keyword in _BOTH)


def _of_ct(accepts: Accepts, view: SeriesView) -> Sequence[Header]:
    of_ct = accepts.takes.of_slices and "CT" in texts_of(view.header, "Modality")
    # localizers are left out; of a multi-frame image each frame may say it, and not all of them stand in a header
    return [one for one in without_localizers(view.members or (view.header,)) if "NumberOfFrames" not in one] if of_ct else ()
