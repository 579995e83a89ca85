"""Logging in and out, and how often it may fail; the journal counts."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from http import HTTPStatus

from fastapi import APIRouter, Depends, Request
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse, Response

from inference.errors import HilumError
from node.console.access import COOKIE, At, Fields, Looking, Meant, address_of, context, demand_same_origin, password_fits
from node.console.accounts import FAILURES, WINDOW, UnfitAccount, admit, digest_of, new_secret
from node.console.context import ConsoleContext
from node.console.errors import (
    HospitalRefuses,
    LoginLost,
    NotAdmitted,
    ProviderAway,
    ProviderUnfit,
    RequestRefused,
    TokenRefused,
)
from node.console.rendering import page
from node.domain.account import AccessKey, Account, AccountOrigin, KeyKind
from node.domain.errors import ConfigError
from node.domain.places import address_group
from node.observe.security import ConsoleLogin, ConsoleLoginRefused, ConsoleLogout, ConsoleLogoutRefused, tell

router = APIRouter(include_in_schema=False)


_BEGAN = "hilum_login"
_BACK = "/login/hospital/back"
_TOLD = "/login/hospital/logout"
_LASTS_S = 600
"""How long somebody may take to show the provider who they are."""


@router.get("/login")
def ask(request: Request) -> HTMLResponse:
    """The form."""
    return _form(request)


@router.post("/login", dependencies=[Depends(demand_same_origin)])
def log_in(request: Request, at: At, fields: Fields) -> Response:
    """Open a session, or say no: not whether the name or the password was wrong."""
    name = fields.get("name", "").strip()
    return _attempted(request, at, lambda: _proven(at, name, fields.get("password", "")), name)


@router.get("/login/hospital")
def begin(request: Request, at: At) -> Response:
    """Lead to the hospital's provider, which leads back."""
    if at.provider is None:
        return RedirectResponse("/login", HTTPStatus.SEE_OTHER)
    from node.console.provider import Begun

    secret = new_secret()
    try:
        there = RedirectResponse(at.provider.begin(Begun.of(secret), _back(request, at)), HTTPStatus.SEE_OTHER)
    except (ProviderAway, ProviderUnfit) as away:
        return _refused(request, "", address_of(request), away, status=HTTPStatus.SERVICE_UNAVAILABLE)
    there.set_cookie(_BEGAN, secret, max_age=_LASTS_S, path=_BACK, httponly=True, samesite="lax", secure=at.secure)
    return there


@router.get(_BACK)
def come_back(request: Request, at: At) -> Response:
    """Open a session for whom the provider vouches for."""
    if at.provider is None:
        return RedirectResponse("/login", HTTPStatus.SEE_OTHER)
    answer = _attempted(request, at, lambda: _vouched_for(request, at), "")
    answer.delete_cookie(_BEGAN, path=_BACK, httponly=True, samesite="lax", secure=at.secure)
    return answer


@router.post(_TOLD)
def hear_of_logout(request: Request, at: At, fields: Fields) -> Response:
    """End sessions of whom the provider says to have logged out (OpenID Connect Back-Channel Logout 1.0 2.5). The token alone proves it: no
    cookie is looked at, and it counts from wherever it comes."""
    if at.provider is None:
        raise RequestRefused(HTTPStatus.NOT_FOUND, "no provider of logins is configured")
    address = address_of(request)
    try:
        ended = _ended(at, fields.get("logout_token", ""))
    except ConfigError as refused:
        if not at.logouts.take(address_group(address)):
            tell(ConsoleLogoutRefused(address=address, reason=f"{refused} [{refused.code}]"))
        return JSONResponse({"error": "invalid_request", "error_description": str(refused)}, HTTPStatus.BAD_REQUEST)
    for name in ended:
        tell(ConsoleLogout(account=name, address=address))
    return Response(status_code=HTTPStatus.OK)


def _ended(at: ConsoleContext, token: str) -> list[str]:
    """Whose sessions a logout token ended, one name each."""
    from node.console.provider import LOGOUT_S, SKEW_S

    assert at.provider is not None, "nobody logs out at a provider that there is not"
    told, now = at.provider.logged_out(token), at.journal.now()
    good = timedelta(seconds=LOGOUT_S + 2 * SKEW_S)
    token_digest = digest_of(f"{told.issuer} {told.token}")
    ended = at.journal.accounts.log_out(told.issuer, told.subject, told.session, token=token_digest, now=now, until=now + good)
    if ended is None:
        raise TokenRefused("the logout token was taken before")
    return ended


def _attempted(request: Request, at: ConsoleContext, prove: Callable[[], "_Proven | None"], name: str) -> Response:
    """Open a session for whose account is proven; what fails is counted, and too much of it waits."""
    address = address_of(request)
    # whoever has one IPv6 address has 2^64 of them
    group = address_group(address)
    asked_at = at.journal.now()
    until = at.journal.accounts.attempt(group, asked_at, most=FAILURES, window=WINDOW)
    if until is not None:
        wait_s = max(1.0, (until - asked_at).total_seconds())
        minutes = math.ceil(wait_s / 60)
        tell(ConsoleLoginRefused(address=address, reason="too many attempts of this address"))
        answer = _form(request, HTTPStatus.TOO_MANY_REQUESTS, f"Too many attempts. Wait {minutes} min.")
        answer.headers["Retry-After"] = str(math.ceil(wait_s))
        return answer
    try:
        proven = prove()
    except (HospitalRefuses, LoginLost, NotAdmitted, TokenRefused, UnfitAccount) as refused:
        return _refused(request, name, address, refused)
    except ConfigError as unfit:  # directory or provider are away, or not as the settings have them, or the node's passcode cannot be read
        at.journal.accounts.forget_attempt(group, asked_at)  # nothing was guessed
        # paths and names of the node's own settings are for who looks after it, and stand in the log and the trail
        shown = "" if unfit.retry else "Accounts of the hospital cannot be used here just now; the log of this node says why"
        return _refused(request, name, address, unfit, status=HTTPStatus.SERVICE_UNAVAILABLE, shown=shown)
    inside = None if proven is None else _opened(at, proven, address)
    if inside is None and proven is not None and proven.asked_at is not None:
        return _refused(request, name, address, LoginLost("you were logged out, or your account closed, while this login was under way"))
    if inside is None:
        return _wrong(request, name, address)
    at.journal.accounts.forget_attempt(group, asked_at)
    return inside


@dataclass(frozen=True, slots=True, kw_only=True)
class _Proven:
    """Whose account it is; `session` is the provider's, where it vouches and names one, and `asked_at` when it was asked."""

    account: Account
    session: str = ""
    asked_at: datetime | None = None


def _vouched_for(request: Request, at: ConsoleContext) -> _Proven:
    from node.console.provider import Begun

    assert at.provider is not None, "nobody comes back from a provider that there is not"
    secret = request.cookies.get(_BEGAN, "")
    if not secret:
        raise LoginLost("this login began in another browser, or too long ago")
    asked_at = at.journal.now()
    vouched = at.provider.vouch(Begun.of(secret), dict(request.query_params), _back(request, at))
    account = admit(at.journal.accounts, AccountOrigin.OIDC, vouched, at.journal.now())
    return _Proven(account=account, session=vouched.session, asked_at=asked_at)


def _back(request: Request, at: ConsoleContext) -> str:
    """Where the provider leads back to: the name that the browser used, which is one of the console's."""
    return f"{'https' if at.secure else 'http'}://{request.headers['host']}{_BACK}"


def _proven(at: ConsoleContext, name: str, password: str) -> _Proven | None:
    """Whose name and password it is: a user's of this node, else a person's whom the directory knows; None: nobody's."""
    known = at.journal.accounts.get(name)
    if at.directory is None or (known is not None and known.origin is AccountOrigin.LOCAL):
        fits = password_fits(None if known is None else known.password, password)
        return _Proven(account=known) if fits and known is not None else None
    vouched = at.directory.vouch(name, password)
    return None if vouched is None else _Proven(account=admit(at.journal.accounts, AccountOrigin.LDAP, vouched, at.journal.now()))


def _opened(at: ConsoleContext, proven: _Proven, address: str) -> Response | None:
    """A session, and the way to the first page; None where the account is not what it was when somebody showed whose it is."""
    account, secret, now = proven.account, new_secret(), at.journal.now()
    lasts: timedelta = at.settings.session
    key = AccessKey(
        digest=digest_of(secret),
        account=account.name,
        role=account.role,
        kind=KeyKind.SESSION,
        label=address,
        created_at=now,
        ends_at=now + lasts,
        provider_session=proven.session,
    )
    # checking takes a moment, in which the password may be changed, or the person log out at the provider: it must not open anything then
    if not at.journal.accounts.open_key(key, password=account.password, asked_at=proven.asked_at):
        return None
    tell(ConsoleLogin(account=account.name, role=account.role.value, address=address))
    inside = RedirectResponse("/", HTTPStatus.SEE_OTHER)
    inside.set_cookie(COOKIE, secret, max_age=int(lasts.total_seconds()), httponly=True, samesite="lax", secure=at.secure)
    return inside


def _wrong(request: Request, name: str, address: str) -> HTMLResponse:
    tell(ConsoleLoginRefused(address=address, reason="name or password is wrong"))
    return _form(request, HTTPStatus.FORBIDDEN, "Name or password is wrong.", name=name)


def _refused(
    request: Request, name: str, address: str, why: HilumError, *, status: HTTPStatus = HTTPStatus.FORBIDDEN, shown: str = ""
) -> HTMLResponse:
    """Say what is wrong, to the trail and to the person, who may be shown less of it."""
    words = f"{why} [{why.code}]"
    said = f"{shown} [{why.code}]" if shown else words[:1].upper() + words[1:]
    tell(ConsoleLoginRefused(address=address, reason=words, account=why.name if isinstance(why, NotAdmitted) else ""))
    return _form(request, status, said, remedy=why.remedy, name=name)


def _form(request: Request, status: HTTPStatus = HTTPStatus.OK, said: str = "", *, remedy: str = "", name: str = "") -> HTMLResponse:
    return page(
        request, "login.html", None, status=status, said=said, remedy=remedy, name=name, provider=context(request).provider is not None
    )


@router.post("/logout", dependencies=[Meant])
def log_out(at: At, who: Looking) -> Response:
    """End the session here and in the journal."""
    if at.journal.accounts.close_key(who.key):
        tell(ConsoleLogout(account=who.name, address=who.address))
    answer = RedirectResponse("/login", HTTPStatus.SEE_OTHER)
    answer.delete_cookie(COOKIE, httponly=True, samesite="lax", secure=at.secure)
    return answer
