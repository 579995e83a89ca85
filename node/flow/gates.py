"""What an application's manifest says of a series before its pixels are read: how thick slices may be, as one more condition of a route."""

from collections.abc import Sequence
from dataclasses import replace

from inference.applications.accept import too_thick
from inference.applications.port import Accepts, Takes
from node.domain.route import Decision, Tried
from node.flow.routing import SeriesView

_ASKS = " takes SliceThickness"
_OF_SLICES = (Takes.VOLUME, Takes.PAIR)


def gated(decision: Decision, application: str, accepts: Accepts, view: SeriesView) -> Decision:
    """The decision with what the application asks of the series, where it asks anything."""
    limit_mm, found = accepts.max_thickness_mm, _thicknesses(view)
    if limit_mm is None or accepts.takes not in _OF_SLICES:
        return decision
    shown = ", ".join(f"{value:g}" for value in found) or "absent"
    tried = Tried(key=f"{application}{_ASKS}", expected=f"at most {limit_mm:g}", found=shown, held=not unfit(accepts, [view]))
    return replace(decision, tried=(*decision.tried, tried))


def unfit(accepts: Accepts, views: Sequence[SeriesView]) -> str:
    """What is wrong with one of these series for sure; "" where nothing is. One thin slice may be what is left of it without localizers."""
    if accepts.takes not in _OF_SLICES:
        return ""
    return next((said for view in views if (said := too_thick(accepts, min(_thicknesses(view), default=None)))), "")


def refuses(application: str, decision: Decision) -> bool:
    """Whether the decision says that the application does not take the series."""
    return any(one.key == f"{application}{_ASKS}" and not one.held for one in decision.tried)


def _thicknesses(view: SeriesView) -> list[float]:
    return sorted({float(value) for value in view.header.get("SliceThickness", ()) if not isinstance(value, str)})
