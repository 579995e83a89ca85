"""Peers as people and scripts read them: who they are, when they sent last, and how long what they send waits to be complete: the window in
force, the one that their last studies teach, the figures that it rests on, and what it would have done."""

from collections.abc import Mapping
from datetime import timedelta
from statistics import median
from typing import Any

from node.domain.arrival import FEWEST, LAST_ARRIVALS, StudyGap, WindowBounds, by_study, learn, rehearse
from node.journal.journal import Journal
from node.records.associations import sender_records
from node.records.words import lasting, plural
from node.settings.peers import Peer


def peer_records(journal: Journal, peers: Mapping[str, Peer]) -> list[dict[str, Any]]:
    """One record a peer, in the order of the configuration."""
    last_at = {str(one["name"]): one["last_at"] for one in sender_records(journal, list(peers))}
    return [_peer_record(peer, last_at[name], journal) for name, peer in peers.items()]


def _peer_record(peer: Peer, last_at: str | None, journal: Journal) -> dict[str, Any]:
    bounds, use = peer.settle.bounds, peer.settle.learned.use
    studies = by_study(journal.arrivals.pauses_from(peer.name, LAST_ARRIVALS), bounds)
    learned = learn(studies, bounds)
    in_force = learned.window if use and learned.window is not None else peer.settle.quiet
    return {
        "name": peer.name,
        "ae_title": peer.ae_title,
        "address": f"{peer.host}:{peer.port}",
        "may": sorted(one.value for one in peer.may),
        "last_at": last_at,
        "scope": peer.settle.scope.value,
        "window_s": in_force.total_seconds(),
        "quiet_s": peer.settle.quiet.total_seconds(),
        "uses_learned": use,
        "least_s": bounds.least.total_seconds(),
        "most_s": bounds.most.total_seconds(),
        "learned_s": _seconds(learned.window),
        "studies": learned.studies,
        "studies_needed": FEWEST,
        "largest_gap_s": None if learned.longest is None else learned.longest.largest.total_seconds(),
        "largest_gap_study": None if learned.longest is None else learned.longest.study_instance_uid,
        "studies_with_additions": learned.additions,
        "would_have": _rehearsed(studies, bounds),
    }


def _rehearsed(studies: list[StudyGap], bounds: WindowBounds) -> dict[str, Any] | None:
    found = rehearse(studies, bounds)
    if not found.studies:
        return None
    return {
        "studies": found.studies,
        "closed_early": found.early,
        "closed_early_configured": found.early_configured,
        "median_wait_s": median(one.total_seconds() for one in found.waits),
    }


def _seconds(window: timedelta | None) -> float | None:
    return None if window is None else window.total_seconds()


def rests_on(one: Mapping[str, Any]) -> str:
    """The figures that a peer's learned window rests on, as a sentence without a full stop."""
    if not one["studies"]:
        return "nothing came from it yet"
    known = plural(one["studies"], "study", "studies")
    gap = f"the largest gap inside {known} is {lasting(one['largest_gap_s'])}"
    if one["learned_s"] is None:
        return f"{gap}; {one['studies_needed']} are needed to learn from"
    later = one["studies_with_additions"]
    return gap + (f"; to {later} of them something came after more than {lasting(one['most_s'])}" if later else "")


def would_have(one: Mapping[str, Any]) -> str:
    """What learned windows would have done, or did, as a sentence without a full stop; empty where nothing can be said."""
    told = one["would_have"]
    if told is None:
        return ""
    return (
        f"of the last {plural(told['studies'], 'study', 'studies')} it closes {told['closed_early']} early "
        f"(the configured one {told['closed_early_configured']}), and waits {lasting(told['median_wait_s'])} "
        f"instead of {lasting(one['quiet_s'])} (median)"
    )
