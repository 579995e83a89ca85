"""What edited routes come to on what was received, as the page of routes shows it: one study explained, or years of them replayed."""

import threading
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

from node.records.decisions import decision_record, difference_record
from node.routing.replay import Replay

if TYPE_CHECKING:
    from node.journal.journal import Journal
    from node.records.route_explanation import RouteExplainer

_MOST_TOLD = 500
"""Of the differences of one replay, how many are told in full; all are counted."""
_TELL_EVERY_S = 0.5
_TITLE = {"number": "SeriesNumber", "modality": "Modality", "description": "SeriesDescription"}


class Tells(Protocol):
    """What takes one answer after the other; of a replay from two threads, one at a time."""

    def __call__(self, **told: Any) -> None: ...


def trial_explanation(explainer: "RouteExplainer", journal: "Journal", study: str) -> dict[str, Any]:
    """What the routes would decide about a received study, series by series, and what was decided when it came."""
    now, then = explainer.received(journal, study)
    goes = {route.name: {"run": list(route.run), "send": list(route.send)} for route in explainer.config.routes}
    series: list[dict[str, Any]] = []
    for one in now:
        for view in one.views:
            decisions = [
                {**decision_record(each), **goes[each.route]}
                for each in one.decisions
                if each.series_instance_uid == view.series_instance_uid
            ]
            title = {name: _first(view.header, word) for name, word in _TITLE.items()}
            series.append({"series_uid": view.series_instance_uid, **title, "images": view.slices, "decisions": decisions})
    return {
        "study_uid": study,
        "revision": explainer.config.digest,
        "series": series,
        "recorded": [decision_record(each) for one in then for each in one.decisions],
        "recorded_by": sorted({one.digest for one in then}),
    }


def _first(header: Mapping[str, Sequence[Any]], keyword: str) -> str:
    values = header.get(keyword, ())
    return str(values[0]) if values else ""


def tell_replay(replay: Replay, since: datetime, tell: Tells) -> None:
    """Tell each difference as it is found, and twice a second how far the replay is; at its end that it is done."""
    found = 0
    studies: set[str] = set()
    routes: dict[str, int] = {}
    over, telling = threading.Event(), threading.Lock()

    def tell_count() -> None:
        counted = replay.counted
        tell(
            arrivals=counted.arrivals,
            decided=counted.decided,
            forgotten=counted.forgotten,
            priors=counted.priors,
            urgencies=counted.urgencies,
            found=found,
            studies=len(studies),
            routes=dict(routes),
        )

    def tell_counts() -> None:
        while not over.wait(_TELL_EVERY_S):
            with telling:
                tell_count()

    threading.Thread(target=tell_counts, daemon=True).start()
    try:
        for one in replay.differences(since):
            with telling:
                found += 1
                studies.add(one.arrival.study_instance_uid)
                routes[one.route] = routes.get(one.route, 0) + 1
                if found <= _MOST_TOLD:
                    tell(difference=difference_record(one))
    finally:
        over.set()
    with telling:
        tell_count()
    tell(done=True)
