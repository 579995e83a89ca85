"""People who log in and out, and how often that may fail; the page of who may, their sessions, and programs' tokens: for admins, who do
here what `hilum console` does.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from http import HTTPStatus
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Path, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from node.console.access import (
    COOKIE,
    Administering,
    At,
    Fields,
    Looking,
    Meant,
    Visitor,
    address_of,
    demand_same_origin,
    password_fits,
    password_hash,
)
from node.console.accounts import LONGEST_DAYS, UnfitAccount, demand_name, demand_password, digest_of, key_of, make_token, new_secret
from node.console.context import ConsoleContext
from node.console.errors import RequestRefused
from node.console.rendering import page
from node.domain.account import AccessKey, Account, KeyKind, Role
from node.domain.places import address_group
from node.journal.errors import LastAdmin
from node.observe.security import ConsoleActed, ConsoleLogin, ConsoleLoginRefused, tell

FAILURES: Final = 10
WINDOW: Final = timedelta(minutes=5)
"""Failed logins of a network, over all consoles of the node. An account is never locked for failing: whoever knows its name could lock its
owner out."""


pages = APIRouter(include_in_schema=False)


@pages.get("/login")
def ask(request: Request) -> HTMLResponse:
    """The form."""
    return page(request, "login.html", None, said="", name="")


@pages.post("/login", dependencies=[Depends(demand_same_origin)])
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
    tell(ConsoleLoginRefused(address=address))
    return page(request, "login.html", None, status=HTTPStatus.FORBIDDEN, said="Name or password is wrong.", name=name)


@pages.post("/logout", dependencies=[Meant])
def log_out(at: At, who: Looking) -> Response:
    """End the session here and in the journal."""
    at.journal.accounts.close_key(who.key)
    answer = RedirectResponse("/login", HTTPStatus.SEE_OTHER)
    answer.delete_cookie(COOKIE, httponly=True, samesite="lax", secure=at.secure)
    return answer


_LONGEST_LABEL = 100
_MOST_DIGITS = 4
_Beginning = Annotated[str, Path(pattern="^[0-9a-f]{12}$")]


@pages.get("/users")
def users(request: Request, at: At, who: Administering) -> HTMLResponse:
    """Who may log in, who is here, and which programs may ask."""
    return _page(request, at, who)


@pages.post("/users", dependencies=[Meant])
def add(request: Request, at: At, who: Administering, fields: Fields) -> Response:
    """Let a person in."""
    name, role = fields.get("name", "").strip(), _role(fields)
    try:
        demand_name(name)
        hashed = _hashed(fields)
        if not at.journal.accounts.open(Account(name=name, role=role, password=hashed, created_at=at.journal.now())):
            raise UnfitAccount(f'there is a user "{name}" already')
    except UnfitAccount as unfit:
        return _page(request, at, who, said=str(unfit), name=name, status=HTTPStatus.UNPROCESSABLE_ENTITY)
    return _done(who, "add", f"user {name} as {role}")


@pages.post("/users/{name}/role", dependencies=[Meant])
def change_role(at: At, who: Administering, name: str, fields: Fields) -> Response:
    """Give a person another role; sessions and tokens have it at once."""
    role = _role(fields)
    with _refusals():
        _demand(at.journal.accounts.change(name, role=role))
    return _done(who, "change role of", f"user {name} to {role}")


@pages.post("/users/{name}/password", dependencies=[Meant])
def change_password(request: Request, at: At, who: Administering, name: str, fields: Fields) -> Response:
    """Give a person another password, which ends their sessions."""
    _demand(at.journal.accounts.get(name) is not None)
    try:
        _demand(at.journal.accounts.change(name, password=_hashed(fields)))
    except UnfitAccount as unfit:
        return _page(request, at, who, said=str(unfit), status=HTTPStatus.UNPROCESSABLE_ENTITY)
    return _done(who, "change password of", f"user {name}")


@pages.post("/users/{name}/remove", dependencies=[Meant])
def remove(at: At, who: Administering, name: str) -> Response:
    """Let a person in no more, and end their sessions and tokens."""
    with _refusals():
        _demand(at.journal.accounts.close(name))
    return _done(who, "remove", f"user {name}")


@pages.post("/tokens", dependencies=[Meant])
def add_token(request: Request, at: At, who: Administering, fields: Fields) -> HTMLResponse:
    """Make a token, and show it once."""
    account, days = at.journal.accounts.get(fields.get("user", "")), fields.get("days", "")
    if account is None:
        raise _unknown()
    if not days.isdecimal() or len(days) > _MOST_DIGITS or not 1 <= int(days) <= LONGEST_DAYS:
        words = f"a token is good for 1 to {LONGEST_DAYS} days"
        return _page(request, at, who, said=words, status=HTTPStatus.UNPROCESSABLE_ENTITY)
    label = fields.get("label", "").strip()[:_LONGEST_LABEL]
    secret = make_token(at.journal.accounts, account, label, int(days), at.journal.now())
    _told(who, "add token of", f"user {account.name}")
    return _page(request, at, who, secret=secret, said_of=f"{account.name}{f', for {label}' if label else ''}")


@pages.post("/keys/{kind}/{beginning}/end", dependencies=[Meant])
def end(at: At, who: Administering, kind: KeyKind, beginning: _Beginning) -> Response:
    """End a session or a token at once."""
    key = key_of(at.journal.accounts, kind, beginning, at.journal.now())
    if key is None or not at.journal.accounts.close_key(key.digest):
        raise RequestRefused(HTTPStatus.NOT_FOUND, f"there is no such {kind} any more")
    return _done(who, f"end {kind} of", f"user {key.account}")


def _page(
    request: Request,
    at: ConsoleContext,
    who: Visitor,
    *,
    said: str = "",
    name: str = "",
    secret: str = "",
    said_of: str = "",
    status: HTTPStatus = HTTPStatus.OK,
) -> HTMLResponse:
    now, accounts = at.journal.now(), at.journal.accounts
    found, sessions, tokens = accounts.find(), accounts.keys(KeyKind.SESSION, now), accounts.keys(KeyKind.TOKEN, now)
    return page(
        request,
        "users.html",
        who,
        status=status,
        path="/users",
        users=found,
        admins=sum(one.role is Role.ADMIN for one in found),
        sessions=sessions,
        tokens=tokens,
        roles=list(Role),
        said=said,
        name=name,
        secret=secret,
        said_of=said_of,
        longest_days=LONGEST_DAYS,
    )


def _role(fields: dict[str, str]) -> Role:
    try:
        return Role(fields.get("role", ""))
    except ValueError as other:
        raise RequestRefused(HTTPStatus.UNPROCESSABLE_ENTITY, f"a role is one of {', '.join(Role)}") from other


def _hashed(fields: dict[str, str]) -> str:
    password = fields.get("password", "")
    demand_password(password)
    if password != fields.get("again", ""):
        raise UnfitAccount("the two passwords are not the same: nothing was changed")
    return password_hash(password)


def _demand(known: bool) -> None:
    if not known:
        raise _unknown()


def _unknown() -> RequestRefused:
    return RequestRefused(HTTPStatus.NOT_FOUND, "there is no user of this name")


@contextmanager
def _refusals() -> Iterator[None]:
    try:
        yield
    except LastAdmin as only:
        raise RequestRefused(HTTPStatus.CONFLICT, f"{only}: give somebody else the role admin first") from only


def _told(who: Visitor, verb: str, subject: str) -> None:
    tell(ConsoleActed(account=who.name, address=who.address, verb=verb, subject=subject))


def _done(who: Visitor, verb: str, subject: str) -> Response:
    _told(who, verb, subject)
    return RedirectResponse("/users", HTTPStatus.SEE_OTHER)
