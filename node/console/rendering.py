"""The frame that every page stands in: a page is one template and one small view that calls `page`."""

import re
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import cache
from http import HTTPStatus
from pathlib import Path
from typing import Any

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from node.console.access import Visitor
from node.console.status import badges
from node.domain.account import Role
from node.domain.state import DeliveryState, JobState
from node.records.decisions import condition_rows
from node.records.history import detail_in_words, name_in_words
from node.records.jobs import routes_asking
from node.records.words import lasting, plural, when, zone

PAGES = (
    ("/", "Start", Role.VIEWER),
    ("/queue", "Queue", Role.VIEWER),
    ("/jobs", "Jobs", Role.VIEWER),
    ("/studies", "Studies", Role.VIEWER),
    ("/parked", "Parked", Role.VIEWER),
    ("/pace", "Pace", Role.VIEWER),
    ("/routes", "Routes", Role.OPERATOR),
    ("/peers", "Peers", Role.VIEWER),
    ("/models", "Models", Role.VIEWER),
    ("/events", "Events", Role.VIEWER),
    ("/associations", "Callers", Role.VIEWER),
    ("/users", "Users", Role.ADMIN),
)
"""The navigation, and from which role on each is shown."""
_KEYS = {
    "/": "S",
    "/queue": "Q",
    "/jobs": "J",
    "/studies": "T",
    "/parked": "P",
    "/pace": "A",
    "/routes": "R",
    "/peers": "E",
    "/models": "M",
    "/events": "V",
    "/associations": "C",
    "/users": "U",
}
"""The letter behind G that leads to each."""
_MOST_PICTURES = 12
_TONES = {
    **dict.fromkeys(("done", "committed", "delivered", "ready", "alive", "served", "well", "sends", "accepted"), "good"),
    **dict.fromkeys(("parked", "failed", "conflict", "set-aside", "away", "silent", "bad", "refused"), "bad"),
    **dict.fromkeys(("at work", "queued", "inferred", "encoded", "waiting", "received", "complete", "waits", "incomplete"), "busy"),
    "look": "warn",
    "paused": "warn",
}
RETRIED = (JobState.PARKED, JobState.FAILED, JobState.NOT_APPLICABLE, JobState.CANCELLED)
CANCELLED = (JobState.QUEUED, JobState.INFERRED, JobState.ENCODED, JobState.PARKED, JobState.FAILED)
"""States from which a job may be retried, and cancelled."""


def page(request: Request, template: str, who: Visitor | None, *, status: HTTPStatus = HTTPStatus.OK, **content: Any) -> HTMLResponse:
    """A template as an answer; every value in it is escaped."""
    shown = badges(request.app.state.context) if who is not None else {}
    return HTMLResponse(rendered(template, who, **{"path": request.url.path, "badges": shown, **content}), status_code=status)


def rendered(template: str, who: Visitor | None, **content: Any) -> str:
    """A template as text."""
    content.setdefault("badges", {})
    pages = [(href, name) for href, name, least in PAGES if who is not None and who.role.may(least)]
    return _environment().get_template(template).render(who=who, pages=pages, **content)


def asked_by_htmx(request: Request) -> bool:
    """Whether a part of a page is asked for, and not the page; going back in the browser asks for all of it."""
    return "hx-request" in request.headers and "hx-history-restore-request" not in request.headers


def acts(job: dict[str, Any]) -> dict[str, bool]:
    """What can be done with a job now, delivered or not."""
    state = JobState(job["state"])
    held_up = any(one["state"] == DeliveryState.PARKED for one in job.get("deliveries", ()))
    stuck = state in (JobState.ENCODED, JobState.SUPERSEDED) and held_up
    made = bool(job.get("objects"))
    return {
        "retry": state in RETRIED or stuck,
        "afresh": state in RETRIED and job.get("inferred_at") is not None and not made,
        "resend": made and state in (JobState.ENCODED, JobState.DONE),
        "cancel": state in CANCELLED,
    }


@cache
def _environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(Path(__file__).with_name("templates")),
        autoescape=True,  # a patient may be called <script>
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters: dict[str, Callable[..., Any]] = {
        "moment": _moment,
        "tone": lambda state: _TONES.get(state, "quiet"),
        "bytes": _bytes,
        "person": _person,
        "code": _code,
    }
    made.filters |= filters | {"pictures": _pictures, "date": _date, "event": name_in_words, "folded": fold, "detail": detail_in_words}
    made.globals |= {"plural": plural, "acts": acts, "zone": zone, "lasting": lasting, "minutes": _minutes, "key_of": _KEYS.__getitem__}
    made.globals |= {"condition_rows": condition_rows, "routes_asking": routes_asking}
    return made


def _moment(stamp: str | datetime | None) -> Markup | str:
    """In the node's zone; the browser tells it in the reader's."""
    if stamp is None:
        return "–"
    at = datetime.fromisoformat(stamp) if isinstance(stamp, str) else stamp
    return Markup('<time datetime="{}">{}</time>').format(at.isoformat(), when(at))


def _minutes(seconds: float) -> str:
    """An age in minutes, as long as anybody counts them."""
    minutes = int(seconds // 60)
    return f"{minutes} min" if minutes < 600 else f"{minutes // 60} h" if minutes < 2880 else f"{minutes // 1440} days"


def _bytes(count: int) -> str:
    value = float(count)
    for unit in ("B", "kB", "MB"):
        if value < 1000:
            return f"{value:.0f} {unit}"
        value /= 1000
    return f"{value:.1f} GB"


def _person(name: str) -> str:
    """The first component group of a person's name (PS3.5 6.2.1), as it is spoken of: Doe, Jane."""
    parts = [part for part in name.split("=")[0].split("^")[:2] if part.strip()]
    return ", ".join(parts) or name.replace("=", " ").replace("^", " ").strip()


def _code(words: str) -> Markup:
    """What stands between backticks, as code; all of it escaped."""
    parts = re.split(r"`([^`]+)`", words)
    return Markup().join(Markup("<code>{}</code>").format(part) if place % 2 else escape(part) for place, part in enumerate(parts))


def _date(day: str) -> str:
    return f"{day[:4]}-{day[4:6]}-{day[6:8]}" if len(day) == 8 and day.isdigit() else day


def _pictures(objects: Sequence[dict[str, Any]], kinds: Sequence[str]) -> list[dict[str, Any]]:
    """Of the objects of a job those of which a picture tells something: one of a series, and of a mask's forms the plain one."""
    first = {one["series_uid"]: one for one in reversed(objects) if one["kind"] in kinds and one["form"] in ("", "binary")}
    return [one for one in objects if first.get(one["series_uid"]) is one][:_MOST_PICTURES]


def fold(events: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """A history in which tries of one thing that follow each other are one line: what was claimed and tried again, however often."""
    lines: list[dict[str, Any]] = []
    latest: dict[str, dict[str, Any]] = {}
    for one in events:
        subject, name = one["subject"], one["name"].rpartition(".")[2]
        known = latest.get(subject)
        if name == "claimed" and known is not None and known["name"].rpartition(".")[2] == "retry":
            continue  # the next try of what is told already
        if known is not None and known["name"] == one["name"]:
            known["again"].append(one)
            continue
        if name == "retry" and known is not None and known["name"].rpartition(".")[2] == "claimed":
            lines.remove(known)
        latest[subject] = {**one, "again": []}
        lines.append(latest[subject])
    return lines
