"""Associations as people and scripts read them: who came, and what was accepted or turned away and why, with what to do."""

import contextlib
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final

from node.observe.association_log import BEGAN
from node.observe.security import (
    AssociationAccepted,
    AssociationFinished,
    AssociationRejected,
    HandshakeFailed,
    ProxyHeaderMissing,
    RefusalsLeftOut,
    TooManyConnections,
    UnknownAddress,
)
from node.records.words import plural

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
    HandshakeFailed.line: "Compare certificate, authorities and TLS versions of both sides; a sender without TLS calls the other port.",
}
"""What to do, by the rejection or by the event."""

_REFUSALS: Final = frozenset(
    one.line for one in (AssociationRejected, HandshakeFailed, ProxyHeaderMissing, RefusalsLeftOut, TooManyConnections, UnknownAddress)
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
