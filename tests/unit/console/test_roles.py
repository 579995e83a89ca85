"""Every page and call of the console, whatever is there, before nobody and before every role."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from fastapi import FastAPI

from node.console.accounts import digest_of
from node.domain.account import AccessKey, KeyKind, Role
from tests.unit.cli.conftest import Hospital
from tests.unit.console.conftest import Browser, Open

VIEWER, OPERATOR, ADMIN = Role.VIEWER, Role.OPERATOR, Role.ADMIN
PEOPLE = {VIEWER: "vera", OPERATOR: "otto", ADMIN: "ada"}
OPEN = {("GET", "/login"), ("POST", "/login"), ("POST", "/logout")} | {
    ("GET", "/login/hospital"),
    ("GET", "/login/hospital/back"),
    ("POST", "/login/hospital/logout"),
}
"""What is asked before anybody is known, and what ends that."""
LEAST = {
    ("GET", "/"): VIEWER,
    ("GET", "/tabs"): VIEWER,
    ("GET", "/events"): VIEWER,
    ("GET", "/associations"): VIEWER,
    ("GET", "/api/events"): VIEWER,
    ("GET", "/api/associations"): VIEWER,
    ("GET", "/queue"): VIEWER,
    ("GET", "/live"): VIEWER,
    ("GET", "/studies"): VIEWER,
    ("GET", "/studies/{uid}"): VIEWER,
    ("GET", "/studies/{uid}/series/{series}"): VIEWER,
    ("GET", "/parked"): VIEWER,
    ("GET", "/jobs"): VIEWER,
    ("POST", "/jobs/chosen"): OPERATOR,
    ("POST", "/jobs/{number}/{verb}"): OPERATOR,
    ("POST", "/pauses/{kind}/{name}/{verb}"): OPERATOR,
    ("POST", "/ask/{kind}/{name}"): OPERATOR,
    ("POST", "/room"): ADMIN,
    ("POST", "/studies/{uid}/complete"): OPERATOR,
    ("POST", "/studies/{uid}/held/{verb}"): OPERATOR,
    ("POST", "/studies/{uid}/retry"): OPERATOR,
    ("GET", "/peers"): VIEWER,
    ("GET", "/pace"): VIEWER,
    ("GET", "/models"): VIEWER,
    ("GET", "/models/{name}"): VIEWER,
    ("GET", "/models/{name}/{version}/card"): VIEWER,
    ("GET", "/routes"): OPERATOR,
    ("GET", "/routes/studies"): OPERATOR,
    ("POST", "/routes/check"): OPERATOR,
    ("POST", "/routes/explain"): OPERATOR,
    ("POST", "/routes/replay"): OPERATOR,
    ("GET", "/routes/replays/{number}"): OPERATOR,
    ("POST", "/routes/replays/{number}/stop"): OPERATOR,
    ("POST", "/routes/save"): ADMIN,
    ("GET", "/routes/revisions"): OPERATOR,
    ("GET", "/routes/revisions/{number}"): ADMIN,
    ("POST", "/routes/revisions/{number}/replay"): ADMIN,
    ("POST", "/routes/revisions/{number}/rollback"): ADMIN,
    ("GET", "/api/routes/revisions"): OPERATOR,
    ("GET", "/api/routes/revisions/{number}"): ADMIN,
    ("POST", "/api/routes/revisions/{number}/rollback"): ADMIN,
    ("GET", "/upload"): OPERATOR,
    ("POST", "/api/upload"): OPERATOR,
    ("GET", "/users"): ADMIN,
    ("POST", "/users"): ADMIN,
    ("POST", "/users/{name}/{verb}"): ADMIN,
    ("POST", "/waiting/{address}/unlock"): ADMIN,
    ("GET", "/api/users"): ADMIN,
    ("POST", "/api/users"): ADMIN,
    ("POST", "/api/users/{name}/{verb}"): ADMIN,
    ("GET", "/api/keys/{kind}"): ADMIN,
    ("POST", "/api/keys/{kind}/{beginning}/end"): ADMIN,
    ("POST", "/api/tokens"): ADMIN,
    ("POST", "/api/waiting/{address}/unlock"): ADMIN,
    ("POST", "/tokens"): ADMIN,
    ("POST", "/keys/{kind}/{beginning}/end"): ADMIN,
    ("GET", "/api/openapi.json"): VIEWER,
    ("GET", "/api/status"): VIEWER,
    ("POST", "/api/pauses/{kind}/{name}/{verb}"): OPERATOR,
    ("POST", "/api/ask/{kind}/{name}"): OPERATOR,
    ("POST", "/api/room"): ADMIN,
    ("GET", "/api/queue"): VIEWER,
    ("GET", "/api/studies"): VIEWER,
    ("GET", "/api/studies/{uid}"): VIEWER,
    ("GET", "/api/studies/{uid}/images/{row}/{frame}.png"): VIEWER,
    ("GET", "/api/studies/{uid}/images/{row}/{frame}/value"): VIEWER,
    ("GET", "/api/studies/{uid}/images/{row}/{frame}/mask/received/{sop_uid}.png"): VIEWER,
    ("GET", "/api/studies/{uid}/images/{row}/{frame}/mask/{job}/{sop_uid}.png"): VIEWER,
    ("GET", "/api/parked"): VIEWER,
    ("GET", "/api/jobs"): VIEWER,
    ("GET", "/api/jobs/{number}"): VIEWER,
    ("POST", "/api/jobs/{number}/{verb}"): OPERATOR,
    ("POST", "/api/studies/{uid}/complete"): OPERATOR,
    ("POST", "/api/studies/{uid}/held/{verb}"): OPERATOR,
    ("POST", "/api/studies/{uid}/retry"): OPERATOR,
    ("GET", "/api/jobs/{job}/objects/{sop_uid}/thumbnail.png"): VIEWER,
    ("GET", "/api/jobs/{job}/objects/{sop_uid}/page.png"): VIEWER,
    ("GET", "/api/health"): VIEWER,
    ("GET", "/api/models"): VIEWER,
    ("GET", "/api/pace"): VIEWER,
    ("GET", "/api/routes"): OPERATOR,
    ("POST", "/api/routes/check"): OPERATOR,
    ("POST", "/api/routes/explain"): OPERATOR,
    ("POST", "/api/routes/replays"): OPERATOR,
    ("GET", "/api/routes/replays/{number}"): OPERATOR,
    ("POST", "/api/routes/replays/{number}/stop"): OPERATOR,
    ("PUT", "/api/routes"): ADMIN,
    ("GET", "/config/{block}"): ADMIN,
    ("POST", "/config/{block}/check"): ADMIN,
    ("POST", "/config/{block}/save"): ADMIN,
    ("GET", "/api/config/{block}"): ADMIN,
    ("POST", "/api/config/{block}/check"): ADMIN,
    ("PUT", "/api/config/{block}"): ADMIN,
}
VALUES = {
    "uid": "1.2.9",
    "block": "peers",
    "series": "1.2.9.1",
    "number": 999,
    "job": 999,
    "verb": "retry",
    "name": "none",
    "kind": "sink",
    "version": 1,
    "row": 999,
    "frame": 1,
    "sop_uid": "1.2.9.1.1",
    "beginning": "0" * 12,
    "address": "192.0.2.1",
}
"""Of nothing that is there: who may ask is told so, and nothing changes."""


def _paths(routes: Any) -> Iterator[tuple[str, str]]:
    for one in routes:
        if hasattr(one, "original_router"):
            yield from _paths(one.original_router.routes)
        else:
            yield from ((method, one.path_format) for method in getattr(one, "methods", ()) if method != "HEAD")


def _ask(mine: Browser, method: str, path: str, **headers: str) -> int:
    body = {"form_token": mine.form_token} if method == "POST" and not path.startswith("/api") else None
    return int(mine.client.request(method, path.format(**VALUES), data=body, headers=headers).status_code)


def _token(hospital: Hospital, role: Role) -> str:
    now = hospital.journal.now()
    secret = f"token of {PEOPLE[role]}"
    hospital.journal.accounts.open_key(
        AccessKey(
            digest=digest_of(secret),
            account=PEOPLE[role],
            role=role,
            kind=KeyKind.TOKEN,
            label="a program",
            created_at=now,
            ends_at=now + timedelta(days=1),
        )
    )
    return f"Bearer {secret}"


def test_no_page_and_no_call_is_forgotten_here(browser: Open) -> None:
    """What is added to the console needs a line above, and is asked as everybody then."""
    app = browser().client.app
    assert isinstance(app, FastAPI)
    assert set(_paths(app.routes)) == LEAST.keys() | OPEN


@pytest.mark.parametrize(("method", "path"), LEAST, ids=" ".join)
def test_nobody_is_told_to_log_in(browser: Open, method: str, path: str) -> None:
    """Pages lead to the login, calls and parts of pages are refused."""
    assert _ask(browser(), method, path) in (401, 303)


@pytest.mark.parametrize("role", PEOPLE, ids=str)
def test_a_role_may_what_it_may_and_nothing_else(browser: Open, hospital: Hospital, role: Role) -> None:
    """By the session on pages, by a token on calls; `/live` goes on for as long as somebody listens, and is not asked here."""
    mine, program = browser(PEOPLE[role]), browser()
    token = _token(hospital, role)
    for (method, path), least in LEAST.items():
        if path == "/live":
            continue
        told = _ask(program, method, path, Authorization=token) if path.startswith("/api") else _ask(mine, method, path)
        assert (told == 403) is not role.may(least), (method, path, told)
        assert told not in (401, 303) or not role.may(least), (method, path, told)
