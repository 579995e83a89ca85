"""People who may log in, their sessions, and programs' tokens: for admins, who do on a page or over the API what `hilum console` does."""

from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from node.console.access import Administering, At, Fields, Meant, Visitor, password_hash
from node.console.accounts import (
    FAILURES,
    LONGEST_DAYS,
    SHOWN,
    WINDOW,
    UnfitAccount,
    demand_local,
    demand_name,
    demand_password,
    key_of,
    make_token,
)
from node.console.context import ConsoleContext
from node.console.errors import RequestRefused
from node.console.rendering import page
from node.domain.account import AccessKey, Account, AccountOrigin, KeyKind, Role
from node.domain.places import address_group
from node.journal.errors import LastAdmin
from node.observe.security import ConsoleActed, tell

pages = APIRouter(include_in_schema=False)
calls = APIRouter(prefix="/api", tags=["console"])
_LONGEST_LABEL = 100
_MOST_DIGITS = 4
_Beginning = Annotated[str, Path(pattern="^[0-9a-f]{12}$")]
_Verb = Annotated[str, Path(pattern="^(role|password|disable|enable|remove)$")]


@pages.get("/users")
def users(request: Request, at: At, who: Administering) -> HTMLResponse:
    """Who may log in, who is here, and which programs may ask."""
    return _page(request, at, who)


@pages.post("/users", dependencies=[Meant])
def add(request: Request, at: At, who: Administering, fields: Fields) -> Response:
    """Let a person in."""
    try:
        _add(at, who, fields, again=fields.get("again", ""))
    except UnfitAccount as unfit:
        return _page(request, at, who, said=str(unfit), name=fields.get("name", ""), status=HTTPStatus.UNPROCESSABLE_ENTITY)
    return _back()


@pages.post("/users/{name}/{verb}", dependencies=[Meant])
def change(request: Request, at: At, who: Administering, name: str, verb: _Verb, fields: Fields) -> Response:
    """Give a person another role or password, let them in no more or again, or remove them."""
    try:
        _change(at, who, name, verb, fields, again=fields.get("again", ""))
    except UnfitAccount as unfit:
        return _page(request, at, who, said=str(unfit), status=HTTPStatus.UNPROCESSABLE_ENTITY)
    return _back()


@pages.post("/tokens", dependencies=[Meant])
def add_token(request: Request, at: At, who: Administering, fields: Fields) -> HTMLResponse:
    """Make a token, and show it once."""
    try:
        name, label, secret = _add_token(at, who, fields)
    except UnfitAccount as unfit:
        return _page(request, at, who, said=str(unfit), status=HTTPStatus.UNPROCESSABLE_ENTITY)
    return _page(request, at, who, secret=secret, said_of=f"{name}{f', for {label}' if label else ''}")


@pages.post("/keys/{kind}/{beginning}/end", dependencies=[Meant])
def end(at: At, who: Administering, kind: KeyKind, beginning: _Beginning) -> Response:
    """End a session or a token at once."""
    _end(at, who, kind, beginning)
    return _back()


@pages.post("/waiting/{address:path}/unlock", dependencies=[Meant])
def unlock(at: At, who: Administering, address: str) -> Response:
    """Let an address that failed too often try again at once."""
    _unlock(at, who, address)
    return _back()


@calls.get("/users")
def user_list(at: At, who: Administering) -> dict[str, Any]:
    """People who may log in, who vouches for each (`origin`), and who is disabled."""
    return {"users": [_user(one) for one in at.journal.accounts.find()]}


@calls.post("/users", dependencies=[Meant])
def add_user(at: At, who: Administering, fields: Fields) -> dict[str, Any]:
    """Let a person in: a form with `name`, `role` and `password`."""
    try:
        return _user(_add(at, who, fields, again=fields.get("password", "")))
    except UnfitAccount as unfit:
        raise _unfit(unfit) from unfit


@calls.post("/users/{name}/{verb}", dependencies=[Meant])
def change_user(at: At, who: Administering, name: str, verb: _Verb, fields: Fields) -> dict[str, Any]:
    """Change a person's `role` or `password` (fields of a form), or disable, enable or remove them."""
    try:
        left = _change(at, who, name, verb, fields, again=fields.get("password", ""))
    except UnfitAccount as unfit:
        raise _unfit(unfit) from unfit
    return {"name": name, "removed": True} if left is None else _user(left)


@calls.get("/keys/{kind}")
def keys(at: At, who: Administering, kind: KeyKind) -> dict[str, Any]:
    """Sessions, or tokens of programs, that are good now."""
    found = at.journal.accounts.keys(kind, at.journal.now(), at.settings.idle)
    return {f"{kind}s": [_key(one) for one in found]}


@calls.post("/tokens", dependencies=[Meant])
def make(at: At, who: Administering, fields: Fields) -> dict[str, Any]:
    """Make a token: a form with `user`, whose role it has, `days`, for which it is good, and `label`, what it is for. Its secret is told
    this once."""
    try:
        name, label, secret = _add_token(at, who, fields)
    except UnfitAccount as unfit:
        raise _unfit(unfit) from unfit
    return {"user": name, "label": label, "token": secret}


@calls.post("/keys/{kind}/{beginning}/end", dependencies=[Meant])
def end_key(at: At, who: Administering, kind: KeyKind, beginning: _Beginning) -> dict[str, Any]:
    """End a session or a token at once."""
    return {"kind": kind.value, "id": beginning, "user": _end(at, who, kind, beginning)}


@calls.post("/waiting/{address:path}/unlock", dependencies=[Meant])
def unlock_address(at: At, who: Administering, address: str) -> dict[str, Any]:
    """Let an address that failed too often try again at once."""
    return {"address": _unlock(at, who, address)}


def _add(at: ConsoleContext, who: Visitor, fields: dict[str, str], *, again: str) -> Account:
    name, role = fields.get("name", "").strip(), _role(fields)
    demand_name(name)
    account = Account(name=name, role=role, password=_hashed(fields, again), created_at=at.journal.now())
    if not at.journal.accounts.open(account):
        raise UnfitAccount(f'there is a user "{name}" already')
    _told(who, "add", f"user {name} as {role}")
    return account


def _change(at: ConsoleContext, who: Visitor, name: str, verb: str, fields: dict[str, str], *, again: str) -> Account | None:
    accounts, words, more = at.journal.accounts, verb, ""
    before = accounts.get(name)
    if before is None:
        raise _unknown()
    try:
        if verb == "role":
            role = _role(fields)
            demand_local(before, "roles")
            done, words, more = accounts.change(name, role=role), "change role of", f" to {role}"
        elif verb == "password":
            demand_local(before, "passwords")
            done, words = accounts.change(name, password=_hashed(fields, again)), "change password of"
        elif verb == "remove":
            done = accounts.close(name)
        else:
            done = accounts.disable(name, at.journal.now() if verb == "disable" else None)
    except LastAdmin as only:
        raise RequestRefused(HTTPStatus.CONFLICT, f"{only}: give somebody else the role admin first") from only
    if not done:
        raise _unknown()
    _told(who, words, f"user {name}{more}")
    return accounts.get(name)


def _add_token(at: ConsoleContext, who: Visitor, fields: dict[str, str]) -> tuple[str, str, str]:
    account, days = at.journal.accounts.get(fields.get("user", "")), fields.get("days", "")
    if account is None:
        raise _unknown()
    label = fields.get("label", "").strip()[:_LONGEST_LABEL]
    good_for = int(days) if days.isdecimal() and len(days) <= _MOST_DIGITS else 0  # what is no number is refused as none
    secret = make_token(at.journal.accounts, account, label, good_for, at.journal.now())
    _told(who, "add token of", f"user {account.name}")
    return account.name, label, secret


def _end(at: ConsoleContext, who: Visitor, kind: KeyKind, beginning: str) -> str:
    key = key_of(at.journal.accounts, kind, beginning, at.journal.now())
    if key is None or not at.journal.accounts.close_key(key.digest):
        raise RequestRefused(HTTPStatus.NOT_FOUND, f"there is no such {kind} any more")
    _told(who, f"end {kind} of", f"user {key.account}")
    return key.account


def _unlock(at: ConsoleContext, who: Visitor, address: str) -> str:
    group = address_group(address.partition("/")[0])
    if not at.journal.accounts.forget_attempts(group):
        raise RequestRefused(HTTPStatus.NOT_FOUND, "nothing failed at this address lately")
    _told(who, "unlock", f"address {group}")
    return group


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
    found = accounts.find()
    return page(
        request,
        "users.html",
        who,
        status=status,
        path="/users",
        users=found,
        local=[one for one in found if one.origin is AccountOrigin.LOCAL and one.disabled_at is None],
        admins=sum(one.role is Role.ADMIN and one.origin is AccountOrigin.LOCAL and one.disabled_at is None for one in found),
        sessions=accounts.keys(KeyKind.SESSION, now, at.settings.idle),
        tokens=accounts.keys(KeyKind.TOKEN, now),
        waiting=accounts.waiting(now, most=FAILURES, window=WINDOW),
        roles=list(Role),
        said=said,
        name=name,
        secret=secret,
        said_of=said_of,
        longest_days=LONGEST_DAYS,
    )


def _user(one: Account) -> dict[str, Any]:
    return {
        "name": one.name,
        "role": one.role.value,
        "origin": one.origin.value,
        "created_at": one.created_at.isoformat(),
        "disabled_at": _stamp(one.disabled_at),
    }


def _key(one: AccessKey) -> dict[str, Any]:
    return {
        "id": one.digest[:SHOWN],
        "user": one.account,
        "role": one.role.value,
        "label": one.label,
        "created_at": one.created_at.isoformat(),
        "used_at": _stamp(one.used_at),
        "ends_at": one.ends_at.isoformat(),
    }


def _stamp(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()


def _role(fields: dict[str, str]) -> Role:
    try:
        return Role(fields.get("role", ""))
    except ValueError as other:
        raise RequestRefused(HTTPStatus.UNPROCESSABLE_ENTITY, f"a role is one of {', '.join(Role)}") from other


def _hashed(fields: dict[str, str], again: str) -> str:
    password = fields.get("password", "")
    demand_password(password)
    if password != again:
        raise UnfitAccount("the two passwords are not the same: nothing was changed")
    return password_hash(password)


def _unfit(unfit: UnfitAccount) -> RequestRefused:
    return RequestRefused(HTTPStatus.UNPROCESSABLE_ENTITY, str(unfit))


def _unknown() -> RequestRefused:
    return RequestRefused(HTTPStatus.NOT_FOUND, "there is no user of this name")


def _told(who: Visitor, verb: str, subject: str) -> None:
    tell(ConsoleActed(account=who.name, address=who.address, verb=verb, subject=subject))


def _back() -> Response:
    return RedirectResponse("/users", HTTPStatus.SEE_OTHER)
