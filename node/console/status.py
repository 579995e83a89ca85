"""Whether the node is well, in one record: what is wrong of what, what to do, and who sends how often.

Nothing is judged here: what is found is what `hilum doctor` finds, and what peers, sinks, engines and logins say of themselves.
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from node.console.health import Line, NodeLook
from node.domain.health import Area, DependencyKind, DoctorFinding
from node.records.words import lasting, plural

if TYPE_CHECKING:
    from node.console.context import ConsoleContext

_LEVELS = ("bad", "warning", "good")
_AREA_OF = {
    DependencyKind.PEER: Area.PEERS,
    DependencyKind.SINK: Area.SINKS,
    DependencyKind.ENGINE: Area.ENGINES,
    DependencyKind.LOGIN: Area.LOGINS,
}
_REMARKS = frozenset({Area.CONFIGURATION, Area.MODELS})
"""Of what stands as somebody configured it: said once, and no reason to get up at night."""
_LATELY_S = 7 * 86_400
"""Nothing from anybody for longer is not called well, though nobody can say that it is unusual."""
_TABS = {
    Area.PARKED: "/parked",
    Area.HELD: "/parked",
    Area.PEERS: "/peers",
    Area.SINKS: "/peers",
    Area.ENGINES: "/peers",
    Area.LOGINS: "/peers",
    Area.PROCESSES: "/peers",
    Area.PAUSED: "/peers",
    Area.REFUSED: "/associations",
}
"""The page on which the trouble is shown in full; all of it is on the first."""
_SHOWN = {
    Area.SENDERS: "nobody has sent anything yet",
    Area.PEERS: "none can be asked",
    Area.SINKS: "none is configured",
    Area.ENGINES: "none is used",
    Area.DISK: "",
    Area.JOURNAL: "",
    Area.CLOCK: "in step with the database's",
    Area.CERTIFICATES: "none is used",
    Area.LOGINS: "users of this node alone",
    Area.PROCESSES: "",
    Area.PAUSED: "nothing is paused",
    Area.PARKED: "nothing is parked",
    Area.HELD: "nothing is held",
    Area.REFUSED: "nobody was turned away within the last hour",
}
"""The areas of the first page, and what is said of one of which nothing was found."""


def badges(at: "ConsoleContext") -> dict[str, int]:
    """How much needs a person, by the address of the page that shows it; "/" has all."""
    counts: dict[str, int] = {}
    for one in _troubles(at.health.look(), at.health.look_at_node()):
        if one["area"] not in _REMARKS:
            counts["/"] = counts.get("/", 0) + 1
            if page := _TABS.get(Area(one["area"])):
                counts[page] = counts.get(page, 0) + 1
    return counts


def status(at: "ConsoleContext") -> dict[str, Any]:
    """For scripts and for the first page; `asking` while something is still being looked at, `looked` once the node was and all that can
    be asked have answered: before, nothing is `well`."""
    lines, node, senders = at.health.look(), at.health.look_at_node(), at.senders.told()
    found = list(_troubles(lines, node))
    looked = node.findings is not None and all(one.answer is not None for one in lines if one.subject.ask is not None)
    return {
        "well": looked and not any(one["area"] not in _REMARKS for one in found),
        "asking": node.asking or any(one.asking for one in lines),
        "looked": looked,
        "troubles": [one for one in found if one["area"] not in _REMARKS],
        "remarks": [one for one in found if one["area"] in _REMARKS],
        "areas": [_area(area, lines, node, senders, found) for area in _SHOWN],
        "senders": [{**one, "state": _sender_state(one)} for one in senders],
        "paused": [{"kind": kind.value, "name": name, "since": since.isoformat()} for kind, name, since in at.journal.pauses.find()],
    }


def _sender_state(one: dict[str, Any]) -> str:
    """`silent` as `hilum doctor` finds it, `sends`, or `nothing lately` and `nothing yet`, of which nobody can say that it is wrong."""
    if one["silent"]:
        return "silent"
    if one["last_at"] is None:
        return "nothing yet"
    return "sends" if one["quiet_s"] < _LATELY_S else "nothing lately"


def _troubles(lines: Sequence[Line], node: NodeLook) -> Iterator[dict[str, Any]]:
    """What is not good, the worst first."""
    found = [_record(one) for one in node.findings or () if one.level != "good"]
    found += [
        {
            "area": _AREA_OF[line.subject.kind].value,
            "subject": f"{line.subject.kind} {line.subject.name}",
            "name": line.subject.name,
            "level": "bad",
            "detail": line.answer.detail,
            "fix": line.answer.fix or line.subject.fix,
        }
        for line in lines
        if line.answer is not None and not line.answer.ready
    ]
    yield from sorted(found, key=lambda one: _LEVELS.index(one["level"]))


def _record(one: DoctorFinding) -> dict[str, Any]:
    return {
        "area": one.area.value,
        "subject": one.subject,
        "name": one.name,
        "level": one.level,
        "detail": one.detail,
        "fix": one.fix,
    }


def _area(
    area: Area, lines: Sequence[Line], node: NodeLook, senders: Sequence[dict[str, Any]], troubles: Sequence[dict[str, Any]]
) -> dict[str, Any]:
    """One area in one line."""
    wrong = [one for one in troubles if one["area"] == area]
    if wrong:
        more = f", and {len(wrong) - 1} more" if len(wrong) > 1 else ""
        return {"area": area.value, "level": wrong[0]["level"], "says": f"{wrong[0]['subject']}: {wrong[0]['detail']}{more}"}
    kind = next((kind for kind, its in _AREA_OF.items() if its is area), None)
    if kind is not None:
        asked = [one for one in lines if one.subject.kind is kind and one.subject.ask is not None]
        awaited = sum(one.answer is None for one in asked)
        if awaited:
            return {"area": area.value, "level": "unknown", "says": f"{plural(awaited, 'answer')} awaited"}
        return {"area": area.value, "level": "good", "says": f"{len(asked)} of {len(asked)} answer" if asked else _SHOWN[area]}
    if area is Area.SENDERS and (sent := [one for one in senders if one["last_at"]]):
        latest = min(sent, key=lambda one: float(one["quiet_s"]))
        level = "good" if latest["quiet_s"] < _LATELY_S else "unknown"
        return {"area": area.value, "level": level, "says": f"{latest['name']} sent {lasting(latest['quiet_s'])} ago, nobody since"}
    if area is Area.SENDERS:
        return {"area": area.value, "level": "unknown", "says": _SHOWN[area]}
    good = next((one.detail for one in node.findings or () if one.area is area and one.level == "good"), "")
    level = "good" if node.findings is not None else "unknown"
    return {"area": area.value, "level": level, "says": good or (_SHOWN[area] if level == "good" else "being looked at")}
