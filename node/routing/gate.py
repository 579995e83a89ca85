"""The gate says what manifests ask of a series before its pixels are read: its modality, how many slices it has, how they lie and how thick
they are; and who compares it."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from inference.applications.accept import nearest_plane, of_another_modality, too_thick
from inference.applications.port import Accepts, Takes
from inference.imaging.assemble import MOSAICS
from node.domain.route import Decision, Tried
from node.routing.decisions import SeriesView

_ASKS = " takes SliceThickness"
_OF_SLICES = (Takes.VOLUME, Takes.PAIR)
_COSINES = 6


def gated(decision: Decision, applications: Mapping[str, Accepts], view: SeriesView) -> Decision:
    """The decision with what the applications of its route ask of the series that it is about, and which of them would compare it."""
    tried = [one for name, accepts in applications.items() if decision.matched and (one := _tried(name, accepts, view)) is not None]
    compares = [name for name, accepts in applications.items() if decision.chosen and accepts.takes is Takes.PAIR]
    return replace(decision, tried=(*decision.tried, *tried), compares=tuple(compares))


def unfit_reason(accepts: Accepts, view: SeriesView, *, whole: bool = False) -> str:
    """What is wrong with the series for sure; "" where nothing is. One thin slice may be what is left of it without localizers.

    Only of a `whole` series the number of its images says something.
    """
    reasons = (_of_another_modality, *((_too_few,) if whole else ()), _thick, _lies_otherwise)
    return "; ".join(why for reason in reasons if (why := reason(accepts, view)))


def unfit_reasons(accepts: Accepts, views: Iterable[SeriesView]) -> dict[str, str]:
    """`unfit_reason` of those of these series that are, by their UIDs."""
    return {view.series_instance_uid: why for view in views if (why := unfit_reason(accepts, view))}


def exclusion_sentence(application: str, why: str) -> str:
    """What becomes of a series that has an `unfit_reason`, for a decision."""
    return f"{application} is not applicable: {why}"


def refuses(application: str, decision: Decision) -> bool:
    """Whether the decision says that the application does not take the series."""
    return any(one.key == f"{application}{_ASKS}" and not one.held for one in decision.tried)


def _tried(application: str, accepts: Accepts, view: SeriesView) -> Tried | None:
    """The bound on thickness, since it is what series of one scan differ in, and what routes ask for as well."""
    limit_mm = accepts.max_thickness_mm
    if limit_mm is None or accepts.takes not in _OF_SLICES:
        return None
    shown = ", ".join(f"{value:g}" for value in _thicknesses(view)) or "absent"
    return Tried(key=f"{application}{_ASKS}", expected=f"at most {limit_mm:g}", found=shown, held=not _thick(accepts, view))


def _thick(accepts: Accepts, view: SeriesView) -> str:
    return too_thick(accepts, min(_thicknesses(view), default=None)) if accepts.takes in _OF_SLICES else ""


def _of_another_modality(accepts: Accepts, view: SeriesView) -> str:
    """A series without one image of a modality that is taken; objects of another kind may stand beside the images."""
    found = [str(value) for value in view.header.get("Modality", ())]
    if not found or not accepts.modality or not set(found).isdisjoint(accepts.modality):
        return ""
    return "; ".join(of_another_modality(accepts, " and ".join(found)))


def _too_few(accepts: Accepts, view: SeriesView) -> str:
    """Fewer images than slices are needed; where an image may hold several slices, only the volume tells."""
    mosaic = not MOSAICS.isdisjoint(map(str, view.header.get("ImageType", ())))
    frames = "NumberOfFrames" in view.header and view.images > 1
    if accepts.takes not in _OF_SLICES or mosaic or frames or view.slices >= accepts.min_slices:
        return ""
    return f"{view.slices} slices, at least {accepts.min_slices} are needed"


def _lies_otherwise(accepts: Accepts, view: SeriesView) -> str:
    plane = _plane(view)
    if accepts.orientation is None or accepts.takes not in _OF_SLICES or plane in ("", accepts.orientation):
        return ""
    return f"slices are {plane}, not {accepts.orientation}"


def _plane(view: SeriesView) -> str:
    """The plane of the slices; "" where they lie in several, where it stands in no header, or is between two."""
    stated = [value for value in view.header.get("ImageOrientationPatient", ()) if not isinstance(value, str)]
    return nearest_plane([float(value) for value in stated]) if len(stated) == _COSINES else ""


def _thicknesses(view: SeriesView) -> list[float]:
    return sorted({float(value) for value in view.header.get("SliceThickness", ()) if not isinstance(value, str)})
