"""Associations as people and scripts read them: who came, and what was accepted or turned away and why, with what to do."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final

from node.observe.association_log import BEGAN
from node.observe.security import (
    AssociationAccepted,
    AssociationFinished,
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
        match line["event"]:
            case AssociationAccepted.line:
                standing[line["association"]] = one = _accepted(line)
                found.append(one)
            case AssociationFinished.line:
                if one := standing.pop(line["association"], {}):  # else it began before what is kept
                    took, counts = line["took_s"], {"kept": line["kept"], "refused": line["refused"]}
                    one |= {"ended": line["how"], "ended_at": line["at"], "seconds": took, **counts}
            case str() as began if began == BEGAN:
                for one in standing.values():
                    one |= {"ended": "lost", "ended_at": line["at"], "why": "the receive process ended"}
                standing.clear()
            case _:
                found.append(_refused(line))
    return found


def _accepted(line: Mapping[str, Any]) -> dict[str, Any]:
    return _record(line) | {"outcome": "accepted", "contexts": line["contexts"], "contexts_refused": line["contexts_rejected"]}


def _refused(line: Mapping[str, Any]) -> dict[str, Any]:
    left_out = line["event"] == RefusalsLeftOut.line
    kind = str(line["of"] if left_out else line["event"])
    rejection = line.get("rejection")
    why = str(line.get("reason") or _SENTENCES.get(kind, ""))
    if left_out:
        why = f"{plural(line['left_out'], 'more connection')} like those before"
    facts = {"outcome": "refused", "ended_at": line["at"], "rejection": rejection, "why": why, "event": kind}
    remedy = None if left_out else REMEDIES.get(rejection or kind)
    return _record(line) | facts | {"count": line["left_out"] if left_out else 1, "remedy": remedy}


def _record(line: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "at": line["at"],
        "event": line["event"],
        "outcome": None,
        "calling": line.get("calling_ae"),
        "called": line.get("called_ae"),
        "address": line.get("address"),
        "peer": line.get("peer"),
        "user": line.get("user"),
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
