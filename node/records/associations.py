"""Associations as people and scripts read them: who came, and what was accepted or turned away and why, with what to do; when each sender
sent last, how often it usually does, and whether it is silent for longer than it ever is at this time.

What is usual is read from the journal: the same hours of the days before, so that a night or a Sunday is no silence.
"""

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING, Any, Final

from node.observe.association_log import BEGAN
from node.observe.security import (
    AssociationAccepted,
    AssociationFinished,
    AssociationNotRequested,
    AssociationRejected,
    HandshakeFailed,
    ProxyHeaderMissing,
    RefusalsLeftOut,
    TlsNotOffered,
    TooManyConnections,
    UnknownAddress,
)
from node.records.words import plural, stamp

if TYPE_CHECKING:
    from node.journal.journal import Journal


_AS_SEEN: Final = "with its AE title and its address as the node sees it"
_ENTER: Final = f"If it may send, enter it under `peers:` {_AS_SEEN}; else nothing is to be done."
REMEDIES: Final[Mapping[str, str]] = {
    # AssociationRejection, in lower case
    "context": "It speaks no DICOM as the standard has it, or is a scanner of ports: look at what runs there.",
    "called": "Have its administrator enter the node's own AE title (`node: {ae_title: …}`); capitals count.",
    "calling": f"If it may send, enter it under `peers:` {_AS_SEEN}, and what proves it; else nothing is to be done.",
    "identity": "Compare the user and passcode that it sends with those of its entry under `peers:`.",
    "congested": "The disk, the spool or the journal keeps the node from taking more: `hilum doctor` says which. It tries again.",
    "busy": "It has as many associations open as it may: it tries again. `limits:` of its peer says how many.",
    # those that are turned away before they ask
    UnknownAddress.line: _ENTER,
    TooManyConnections.line: "Look at what runs there: connections that ask for nothing hold seats. Others are let in all the same.",
    ProxyHeaderMissing.line: "Have the proxy begin with a header of the PROXY protocol, or take it out of `trusted_proxies`.",
    AssociationNotRequested.line: (
        "A sender over TLS calls the port of `node: {tls: {listen: …}}`, one without it that of `node: {listen: …}`; browsers call the "
        "console's, monitors that of `node: {metrics: …}`. A request that cannot be read, or not by version 1, is its maker's to mend; "
        "one that does not come whole is mostly lost on its way (a firewall, packets too large for the network)."
    ),
    TlsNotOffered.line: "This node's own TLS files cannot be used: `hilum config check` says which, and what to do.",
    HandshakeFailed.line: "Compare certificate, authorities and TLS versions of both sides; a sender without TLS calls the other port.",
}
"""What to do, by the rejection or by the event."""

_REFUSALS: Final = frozenset(
    one.line
    for one in (
        AssociationRejected,
        HandshakeFailed,
        AssociationNotRequested,
        ProxyHeaderMissing,
        RefusalsLeftOut,
        TlsNotOffered,
        TooManyConnections,
        UnknownAddress,
    )
)
_SENTENCES: Final[Mapping[str, str]] = {
    UnknownAddress.line: "no peer has this address",
    TooManyConnections.line: "more connections than seats, and nothing asked for on this one",
}


def association_records(processes: Iterable[list[dict[str, Any]]], since: datetime) -> list[dict[str, Any]]:
    """One record an association or connection, the oldest first, from the lines of each receive process; those that ended before `since`
    are left out.

    `outcome` is "accepted" or "refused"; `ended` of an accepted one is "released", "aborted" or "lost", null while it stands; `count` is
    how many refused ones a record stands for.
    """
    found: list[dict[str, Any]] = []
    for lines in processes:
        found += _of_one(lines)
    told = [one for one in found if one["ended_at"] is None or datetime.fromisoformat(one["ended_at"]) >= since]
    return sorted(told, key=lambda one: str(one["at"]))


def _of_one(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    standing: dict[str, dict[str, Any]] = {}
    for line in lines:
        # another version of hilum may have written it, or the disk: one line costs no other
        with contextlib.suppress(LookupError, TypeError, ValueError, OverflowError):
            _add(line, found, standing)
    return found


def _add(line: Mapping[str, Any], found: list[dict[str, Any]], standing: dict[str, dict[str, Any]]) -> None:
    at = _moment(line)
    match line["event"]:
        case AssociationAccepted.line:
            standing[line["association"]] = one = _accepted(line)
            found.append(one)
        case AssociationFinished.line:
            counts = {"seconds": float(line["took_s"]), "kept": int(line["kept"]), "refused": int(line["refused"])}
            if one := standing.pop(line["association"], {}):  # else it began before what is kept
                one |= {"ended": str(line["how"]), "ended_at": at, **counts}
        case str() as began if began == BEGAN:
            for one in standing.values():
                one |= {"ended": "lost", "ended_at": at, "why": "the receive process ended"}
            standing.clear()
        case str() as refusal if refusal in _REFUSALS:
            found.append(_refused(line))
        case _:
            pass  # another version tells it


def _moment(line: Mapping[str, Any]) -> str:
    at = str(line["at"])
    if datetime.fromisoformat(at).tzinfo is None:
        raise ValueError(f"a moment without a zone: {at}")
    return at


def _text(line: Mapping[str, Any], key: str) -> str | None:
    said = line.get(key)
    return None if said is None else str(said)


def _accepted(line: Mapping[str, Any]) -> dict[str, Any]:
    counts = {"contexts": int(line["contexts"]), "contexts_refused": int(line["contexts_rejected"])}
    return _record(line) | {"outcome": "accepted", **counts}


def _refused(line: Mapping[str, Any]) -> dict[str, Any]:
    left_out = line["event"] == RefusalsLeftOut.line
    kind = str(line["of"] if left_out else line["event"])
    rejection = _text(line, "rejection")
    why = str(line.get("reason") or _SENTENCES.get(kind, ""))
    count = int(line["left_out"]) if left_out else 1
    if left_out:
        why = f"{plural(count, 'more connection')} like those before"
    facts = {"outcome": "refused", "ended_at": line["at"], "rejection": rejection, "why": why, "event": kind}
    remedy = None if left_out else REMEDIES.get(rejection or kind)
    return _record(line) | facts | {"count": count, "remedy": remedy}


def _record(line: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "at": _moment(line),
        "event": str(line["event"]),
        "outcome": None,
        "calling": _text(line, "calling_ae"),
        "called": _text(line, "called_ae"),
        "address": _text(line, "address"),
        "peer": _text(line, "peer"),
        "user": _text(line, "user"),
        "contexts": None,
        "contexts_refused": None,
        "ended": None,
        "ended_at": None,
        "seconds": None,
        "kept": None,
        "refused": None,
        "rejection": None,
        "why": None,
        "count": 1,
        "remedy": None,
    }


def association_in_words(one: Mapping[str, Any]) -> str:
    """What became of one, as a sentence without a full stop."""
    if one["outcome"] == "refused":
        return f"turned away: {one['why']}"
    who = f"accepted as {one['peer']}" if one["peer"] else "accepted, a stranger"
    if one["ended"] is None:
        return f"{who}; it stands"
    if one["why"]:
        return f"{who}; {one['ended']}: {one['why']}"
    counted = plural(one["kept"], "instance") + " kept"
    if one["refused"]:
        counted += f", {one['refused']} refused"
    none = "; no presentation context was accepted" if not one["contexts"] else ""
    return f"{who}; {counted}; {one['ended']} after {one['seconds']:.1f} s{none}"


_DAY = timedelta(days=1)
_LOOKS_BACK = 15 * _DAY
_MOST = 50_000
_MOST_OF_ONE = 5_000
_FEWEST_DAYS = 3
_SHARE = 0.7
_SHORTEST = timedelta(minutes=30)
_GAPS = 4.0
"""So many usual gaps are no silence, whatever the days before say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Silence:
    """How long nothing came, against the same hours of earlier days: of `days` that are known it sent on `days_sent`."""

    quiet: timedelta
    usual_gap: timedelta | None
    days: int
    days_sent: int
    is_unusual: bool


def silence(came: Sequence[datetime], now: datetime) -> Silence:
    """What the silence since the last of `came` (in any order, at least one) means.

    It is unusual where in the same hours something came on seven of ten of the days before (weekends count; three are known at least), and
    on the same weekday a week ago, where that is known.
    """
    times = sorted(came)
    quiet = max(now - times[-1], timedelta())
    gaps = [later - earlier for earlier, later in pairwise(times)]
    usual = timedelta(seconds=median(gap.total_seconds() for gap in gaps)) if gaps else None
    known = [days for days in range(1, _LOOKS_BACK // _DAY) if times[0] <= now - quiet - days * _DAY]
    sent = {days for days in known if any(now - quiet - days * _DAY < one <= now - days * _DAY for one in times)}
    as_ever = len(known) >= _FEWEST_DAYS and len(sent) >= _SHARE * len(known) and (7 not in known or 7 in sent)
    long = quiet > _SHORTEST and usual is not None and quiet > _GAPS * usual
    return Silence(quiet=quiet, usual_gap=usual, days=len(known), days_sent=len(sent), is_unusual=as_ever and long)


def sender_records(journal: "Journal", peers: Sequence[str]) -> list[dict[str, Any]]:
    """Of each of these peers, for scripts and for pages; one of which the journal knows no arrival has no `last_at`."""
    now = journal.now()
    came = journal.arrivals.received_from(now - _LOOKS_BACK, _MOST)
    return [_sender_record(name, _lately(journal, name, came.get(name, []), now), now) for name in peers]


def _lately(journal: "Journal", peer: str, came: Sequence[datetime], now: datetime) -> Sequence[datetime]:
    """What came of a peer in the two weeks before its last instance: a silence of weeks is held against what was usual before it."""
    if came and now - max(came) < _DAY:
        return came
    times = [*came, *journal.arrivals.last_received_from(peer, _MOST_OF_ONE)]
    return [one for one in times if one > max(times) - _LOOKS_BACK]


def _sender_record(name: str, came: Sequence[datetime], now: datetime) -> dict[str, Any]:
    if not came:
        return {"name": name, "last_at": None, "quiet_s": None, "usual_gap_s": None, "silent": False, "days": 0, "days_sent": 0}
    found = silence(came, now)
    return {
        "name": name,
        "last_at": stamp(max(came)),
        "quiet_s": found.quiet.total_seconds(),
        "usual_gap_s": None if found.usual_gap is None else found.usual_gap.total_seconds(),
        "silent": found.is_unusual,
        "days": found.days,
        "days_sent": found.days_sent,
    }
