"""What manifests say of a series before its pixels are read: how thick slices may be, as one more condition of a route, and who
compares it."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from inference.applications.accept import too_thick
from inference.applications.port import Accepts, Takes
from node.domain.route import Decision, Tried
from node.flow.routing import SeriesView

_ASKS = " takes SliceThickness"
_OF_SLICES = (Takes.VOLUME, Takes.PAIR)


def gated(decision: Decision, applications: Mapping[str, Accepts], view: SeriesView) -> Decision:
    """The decision with what the applications of its route ask of the series that it is about, and which of them would compare it."""
    tried = [one for name, accepts in applications.items() if decision.matched and (one := _tried(name, accepts, view)) is not None]
    compares = [name for name, accepts in applications.items() if decision.chosen and accepts.takes is Takes.PAIR]
    return replace(decision, tried=(*decision.tried, *tried), compares=tuple(compares))


def unfit(accepts: Accepts, view: SeriesView) -> str:
    """What is wrong with the series for sure; "" where nothing is. One thin slice may be what is left of it without localizers."""
    return too_thick(accepts, min(_thicknesses(view), default=None)) if accepts.takes in _OF_SLICES else ""


def unfits(accepts: Accepts, views: Iterable[SeriesView]) -> dict[str, str]:
    """`unfit` of those of these series that are, by their UIDs."""
    return {view.series_instance_uid: why for view in views if (why := unfit(accepts, view))}


def parks(application: str, why: str) -> str:
    """What becomes of a series that is `unfit`, for a decision."""
    return f"{application} is parked: {why}"


def refuses(application: str, decision: Decision) -> bool:
    """Whether the decision says that the application does not take the series."""
    return any(one.key == f"{application}{_ASKS}" and not one.held for one in decision.tried)


def _tried(application: str, accepts: Accepts, view: SeriesView) -> Tried | None:
    limit_mm = accepts.max_thickness_mm
    if limit_mm is None or accepts.takes not in _OF_SLICES:
        return None
    shown = ", ".join(f"{value:g}" for value in _thicknesses(view)) or "absent"
    return Tried(key=f"{application}{_ASKS}", expected=f"at most {limit_mm:g}", found=shown, held=not unfit(accepts, view))


def _thicknesses(view: SeriesView) -> list[float]:
    return sorted({float(value) for value in view.header.get("SliceThickness", ()) if not isinstance(value, str)})
