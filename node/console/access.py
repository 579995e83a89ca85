"""Who asks: a session's cookie or a token's header becomes a visitor with a role; what changes something must come from our own pages.

Passwords are kept as Argon2id, secrets that this program draws as SHA-256.
"""

import contextlib
import hashlib
import hmac
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from http import HTTPStatus
from typing import Annotated
from urllib.parse import parse_qs, urlsplit

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError
from fastapi import Depends, Path, Query, Request
from starlette.requests import ClientDisconnect

from node.console.accounts import digest_of
from node.console.context import ConsoleContext
from node.console.editing import MOST_TEXT
from node.console.errors import NotLoggedIn, RequestRefused
from node.domain.account import KeyKind, Role
from node.domain.errors import JournalError

COOKIE = "hilum_session"
_FORM_BYTES = 16_384
LONGEST_FORM = 12 * MOST_TEXT + _FORM_BYTES  # a character has four bytes at most, and each may be escaped in a form (`%F0`)
_MOST_FIELDS = 100
_MOST_DIGITS = 18
_EDITED = "text"
"""The field of an edited block, of which the loader says at which line they hold what."""
_LONG = ("/routes/", "/api/routes", "/config/", "/api/config/")
MOST_NUMBER = 2**63 - 1
"""The largest number that a journal's column holds."""
Number = Annotated[int, Path(ge=1, le=MOST_NUMBER)]
Before = Annotated[int | None, Query(ge=1, le=MOST_NUMBER)]
_USED_TO = timedelta(minutes=5)
"""How exactly it is known when a key was used last, where `idle` does not ask for more: not every request is to write."""
_RENEWED = ("tabs", "now", "health")
"""Parts of pages that renew themselves (HX-Trigger): nobody may be looking at them."""
_AT_ONCE = threading.Semaphore(2)  # each takes 64 MiB and a tenth of a second: a flood of logins must not take the machine
_HASHER = PasswordHasher()
_NOBODY = f"$argon2id$v=19$m={_HASHER.memory_cost},t={_HASHER.time_cost},p={_HASHER.parallelism}${'A' * 22}${'A' * 43}"
"""A hash that no password is known for, in place of one that would be computed, for a tenth of a second, whenever a console starts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Visitor:
    """Whoever is logged in. `token` is what forms of the session carry; empty for programs, which have no forms. `address` is where the
    request came from, as far as trusted proxies tell."""

    name: str
    role: Role
    key: str
    token: str
    sees_patients: bool
    address: str


def context(request: Request) -> ConsoleContext:
    """What the console asks and knows."""
    found: ConsoleContext = request.app.state.context
    return found


def address_of(request: Request) -> str:
    """Where a request came from; where a trusted proxy told whom it speaks for, that one."""
    return request.client.host if request.client else ""


def visitor(request: Request, at: Annotated[ConsoleContext, Depends(context)]) -> Visitor:
    """Who asks.

    Raises
    ------
    NotLoggedIn
        Nobody, or a key that has ended.
    """
    scheme, _, bearer = request.headers.get("authorization", "").partition(" ")
    secret, kind = (bearer.strip(), KeyKind.TOKEN) if scheme.lower() == "bearer" else (request.cookies.get(COOKIE, ""), KeyKind.SESSION)
    now, idle = at.journal.now(), at.settings.idle
    key = at.journal.accounts.key(digest_of(secret), now, idle) if secret else None
    if key is None or key.kind is not kind:
        raise NotLoggedIn
    used = request.headers.get("hx-trigger") not in _RENEWED and request.url.path != "/live"
    if used and (key.used_at is None or now - key.used_at > min(_USED_TO, idle / 10)):
        # a full disk keeps nobody from looking at what is wrong
        with contextlib.suppress(JournalError):
            at.journal.accounts.use_key(key.digest, now)
    token = form_token(secret) if kind is KeyKind.SESSION else ""
    names = at.settings.names
    sees = names is not None and key.role.may(names)
    return Visitor(name=key.account, role=key.role, key=key.digest, token=token, sees_patients=sees, address=address_of(request))


def demand_role(role: Role) -> Callable[..., Visitor]:
    """Demand a role."""

    def allowed(who: Annotated[Visitor, Depends(visitor)]) -> Visitor:
        if not who.role.may(role):
            raise RequestRefused(HTTPStatus.FORBIDDEN, f"this needs the role {role}; {who.name} is {who.role}")
        return who

    return allowed


async def body(request: Request) -> bytes:
    """What was sent; more than a form of that address holds is not read."""
    most = LONGEST_FORM if request.url.path.startswith(_LONG) else _FORM_BYTES
    found = bytearray()
    try:
        async for piece in request.stream():
            found += piece
            if len(found) > most:
                raise RequestRefused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "the form is too long")
    except ClientDisconnect as left:
        raise RequestRefused(HTTPStatus.BAD_REQUEST, "the form did not come whole") from left
    return bytes(found)


def chosen(body: Annotated[bytes, Depends(body)]) -> tuple[int, ...]:
    """The numbers that are ticked in a form's list, each once, in their order."""
    found = parse_qs(body.decode("utf-8", "replace"), max_num_fields=_MOST_FIELDS).get("job", [])
    if not all(one.isascii() and one.isdecimal() and len(one) <= _MOST_DIGITS for one in found):
        raise RequestRefused(HTTPStatus.UNPROCESSABLE_ENTITY, "the form is not one of ours")
    return tuple(sorted({int(one) for one in found}))


def form(body: Annotated[bytes, Depends(body)]) -> dict[str, str]:
    """The fields of a form, the last of each name."""
    try:
        found = parse_qs(body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=_MOST_FIELDS)
    except ValueError as many:
        raise RequestRefused(HTTPStatus.UNPROCESSABLE_ENTITY, "the form is not one of ours") from many
    if any("\0" in value for name, values in found.items() for value in values if name != _EDITED):
        raise RequestRefused(HTTPStatus.UNPROCESSABLE_ENTITY, "the form holds a character that no text has (NUL)")
    return {name: values[-1] for name, values in found.items()}


def demand_same_origin(request: Request) -> None:
    """Refuse what another site's page made a browser send.

    Raises
    ------
    RequestRefused
        The browser says that the request began elsewhere.
    """
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    elsewhere = site not in (None, "same-origin", "none")
    if origin is not None and urlsplit(origin).netloc != request.headers.get("host"):
        elsewhere = True
    if elsewhere:
        raise RequestRefused(HTTPStatus.FORBIDDEN, "the request began at another site")


def demand_form_token(
    request: Request, who: Annotated[Visitor, Depends(visitor)], fields: Annotated[dict[str, str], Depends(form)]
) -> None:
    """Refuse a change that none of this session's own forms asked for; tokens are no cookies, which browsers send unasked."""
    if not who.token:
        return
    demand_same_origin(request)
    if not hmac.compare_digest(fields.get("form_token", "").encode(), who.token.encode()):
        raise RequestRefused(HTTPStatus.FORBIDDEN, "the form is not of this session; load the page again")


def demand_header_token(request: Request, who: Annotated[Visitor, Depends(visitor)]) -> None:
    """The same of a request whose body is a file: the token stands in the header `X-Form-Token`."""
    if not who.token:
        return
    demand_same_origin(request)
    if not hmac.compare_digest(request.headers.get("x-form-token", "").encode(), who.token.encode()):
        raise RequestRefused(HTTPStatus.FORBIDDEN, "the file is not of a page of this session; load the page again")


Looking = Annotated[Visitor, Depends(visitor)]
Operating = Annotated[Visitor, Depends(demand_role(Role.OPERATOR))]
At = Annotated[ConsoleContext, Depends(context)]
Body = Annotated[bytes, Depends(body)]
Administering = Annotated[Visitor, Depends(demand_role(Role.ADMIN))]
Fields = Annotated[dict[str, str], Depends(form)]
Chosen = Annotated[tuple[int, ...], Depends(chosen)]
Meant = Depends(demand_form_token)
MeantByHeader = Depends(demand_header_token)


def password_hash(password: str) -> str:
    """The Argon2id hash in the PHC string format."""
    return _HASHER.hash(password)


def password_fits(known: str | None, password: str) -> bool:
    """Whether the password is the one of the hash; takes as long where there is no such account (None)."""
    with _AT_ONCE:
        try:
            return _HASHER.verify(known or _NOBODY, password) and known is not None
        except (Argon2Error, InvalidHashError):
            return False


def form_token(secret: str) -> str:
    """What forms of a session carry: who cannot read its pages cannot know it."""
    return hmac.new(secret.encode(), b"form", hashlib.sha256).hexdigest()
