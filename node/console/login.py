"""Logging in and out, and how often it may fail; the journal counts."""

import math
from datetime import timedelta
from http import HTTPStatus

from fastapi import APIRouter, Depends, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from node.console.access import COOKIE, At, Fields, Looking, Meant, address_of, demand_same_origin, password_fits
from node.console.accounts import FAILURES, WINDOW, digest_of, new_secret
from node.console.rendering import page
from node.domain.account import AccessKey, KeyKind
from node.domain.places import address_group
from node.observe.security import ConsoleLogin, ConsoleLoginRefused, ConsoleLogout, tell

router = APIRouter(include_in_schema=False)


@router.get("/login")
def ask(request: Request) -> HTMLResponse:
    """The form."""
    return page(request, "login.html", None, said="", name="")


@router.post("/login", dependencies=[Depends(demand_same_origin)])
def log_in(request: Request, at: At, fields: Fields) -> Response:
    """Open a session, or say no: not whether the name or the password was wrong."""
    address = address_of(request)
    # whoever has one IPv6 address has 2^64 of them
    group = address_group(address)
    asked_at = at.journal.now()
    until = at.journal.accounts.attempt(group, asked_at, most=FAILURES, window=WINDOW)
    if until is not None:
        wait_s = max(1.0, (until - asked_at).total_seconds())
        minutes = math.ceil(wait_s / 60)
        tell(ConsoleLoginRefused(address=address, reason="too many attempts of this address"))
        answer = page(
            request, "login.html", None, status=HTTPStatus.TOO_MANY_REQUESTS, said=f"Too many attempts. Wait {minutes} min.", name=""
        )
        answer.headers["Retry-After"] = str(math.ceil(wait_s))
        return answer
    name = fields.get("name", "").strip()
    account = at.journal.accounts.get(name)
    if not password_fits(None if account is None else account.password, fields.get("password", "")) or account is None:
        return _wrong(request, name, address)
    secret, now = new_secret(), at.journal.now()
    lasts: timedelta = at.settings.session
    key = AccessKey(
        digest=digest_of(secret),
        account=account.name,
        role=account.role,
        kind=KeyKind.SESSION,
        label=address,
        created_at=now,
        ends_at=now + lasts,
    )
    # checking takes a moment, in which the password may be changed: of somebody else's it must not open anything
    if not at.journal.accounts.open_key(key, password=account.password):
        return _wrong(request, name, address)
    at.journal.accounts.forget_attempt(group, asked_at)
    tell(ConsoleLogin(account=account.name, role=account.role.value, address=address))
    inside = RedirectResponse("/", HTTPStatus.SEE_OTHER)
    inside.set_cookie(COOKIE, secret, max_age=int(lasts.total_seconds()), httponly=True, samesite="lax", secure=at.secure)
    return inside


def _wrong(request: Request, name: str, address: str) -> HTMLResponse:
    tell(ConsoleLoginRefused(address=address, reason="name or password is wrong"))
    return page(request, "login.html", None, status=HTTPStatus.FORBIDDEN, said="Name or password is wrong.", name=name)


@router.post("/logout", dependencies=[Meant])
def log_out(at: At, who: Looking) -> Response:
    """End the session here and in the journal."""
    if at.journal.accounts.close_key(who.key):
        tell(ConsoleLogout(account=who.name, address=who.address))
    answer = RedirectResponse("/login", HTTPStatus.SEE_OTHER)
    answer.delete_cookie(COOKIE, httponly=True, samesite="lax", secure=at.secure)
    return answer
