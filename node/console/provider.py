"""The hospital's provider: who somebody is by OpenID Connect, authorization code with PKCE (OpenID Connect Core 1.0 3.1, RFC 7636).

What is secret of a login that is under way lies in the browser's cookie alone: `state`, `nonce` and the verifier are made of it, so that
any console of the node can end what another one began.
"""

import base64
import hashlib
import hmac
import json
import ssl
import threading
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http.client import HTTPException, HTTPMessage, HTTPResponse
from typing import Any, Final
from urllib.error import HTTPError
from urllib.parse import quote_plus, urlencode, urlsplit

import jwt

from node.console.accounts import Vouched
from node.console.errors import HospitalRefuses, LoginLost, ProviderAway, ProviderUnfit, TokenRefused
from node.observe.messengers import Unmoved
from node.settings.hospital import OidcProvider
from node.settings.kinds import is_loopback
from node.settings.secrets import passcode_of

SKEW_S: Final = 60
"""How far the provider's clock may be from ours."""
_TIMEOUT_S = 5.0
LOGOUT_S: Final = 300
"""How old a logout token may be."""
_LOGOUT: Final = "http://schemas.openid.net/event/backchannel-logout"
_AT_ONCE = 16
"""Who wait for the provider at a time: one that hangs takes no more of the console's threads for longer than `_FOR_A_PLACE_S`."""
_FOR_A_PLACE_S = 3.0
"""How long somebody waits to be one of them: a provider that answers has told the others by then."""
_MOST_BYTES = 1_000_000
_KNOWN_S = 600.0
_KNOWN_FOR_LOGOUT_S = 86_400.0
"""A logout is not refused because the provider cannot be asked just now: a key that it showed within a day is good enough to end a
session, and not to open one."""
_ASKED_ANEW: Final = 10
_ASKED_ANEW_S: Final = 5.0
"""So many times at once, and once more every so many seconds, keys are asked for because a logout token names one that is not known
(OpenID Connect Core 1.0 10.1.1): anybody may send such tokens. An ID token comes from the provider itself: for each that names one it is
asked."""
_ALGORITHMS: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
"""Signatures that only the provider can make: no shared secret, and never none."""
_ENDPOINTS: Final = ("authorization_endpoint", "token_endpoint", "jwks_uri")


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """A login that began: what the provider is asked with, made of the secret in the browser's cookie."""

    state: str
    nonce: str
    verifier: str

    @classmethod
    def of(cls, secret: str) -> "Begun":
        """The three, each of its own."""
        return cls(**{one: _derived(secret, one) for one in ("state", "nonce", "verifier")})

    @property
    def challenge(self) -> str:
        """RFC 7636 4.2: S256 of the verifier."""
        return _base64url(hashlib.sha256(self.verifier.encode("ascii")).digest())


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedOut:
    """Who logged out at the provider: `subject` in all of its sessions, or in the one called `session`, or whoever has that one; `token`
    names the message that tells it."""

    issuer: str
    subject: str
    session: str
    token: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Discovered:
    """What the provider said of itself at a time (of the monotonic clock)."""

    metadata: Mapping[str, Any]
    keys: tuple[jwt.PyJWK, ...]
    at_s: float
    skew_s: float


class _TokenBucket:
    """Token bucket: grants `most` requests at once, and one more every `each_s`. Not locked: one asks at a time."""

    def __init__(self, most: int, each_s: float) -> None:
        self._most, self._each_s = most, each_s
        self._left, self._at_s = float(most), time.monotonic()

    def take(self) -> bool:
        """Whether a request is granted now."""
        now_s = time.monotonic()
        self._left = min(self._most, self._left + (now_s - self._at_s) / self._each_s)
        self._at_s = now_s
        granted = self._left >= 1
        self._left -= granted
        return granted


class Provider:
    """A provider as its settings describe it. May be asked by many threads."""

    def __init__(self, settings: OidcProvider) -> None:
        self._settings = settings
        self._places = threading.BoundedSemaphore(_AT_ONCE)
        self._asking = threading.Lock()
        self._guard = threading.Lock()
        self._for_strangers = _TokenBucket(_ASKED_ANEW, _ASKED_ANEW_S)
        self._last: _Discovered | None = None
        self._failed: tuple[float, ProviderAway | ProviderUnfit] | None = None

    def begin(self, begun: Begun, back: str) -> str:
        """The provider's address at which somebody shows who they are; it leads to `back`.

        Raises
        ------
        ProviderAway, ProviderUnfit
        """
        asked = {
            "response_type": "code",
            "client_id": self._settings.client_id,
            "redirect_uri": back,
            "scope": " ".join(self._settings.scopes),
            "state": begun.state,
            "nonce": begun.nonce,
            "code_challenge": begun.challenge,
            "code_challenge_method": "S256",
        }
        endpoint = self._known().metadata["authorization_endpoint"]
        return f"{endpoint}{'&' if '?' in endpoint else '?'}{urlencode(asked)}"

    def vouch(self, begun: Begun, answered: Mapping[str, str], back: str) -> Vouched:
        """Who came back from the provider with this answer.

        Raises
        ------
        LoginLost
            It is no answer to this login.
        HospitalRefuses
            The provider did not let the person in.
        ProviderAway, ProviderUnfit, TokenRefused
        """
        if not hmac.compare_digest(answered.get("state", "").encode(), begun.state.encode()):
            raise LoginLost("this login began in another browser, or too long ago")
        if answered.get("iss", self._settings.issuer) != self._settings.issuer:  # RFC 9207
            raise TokenRefused("the answer is another provider's")
        if "error" in answered:
            raise HospitalRefuses(f"the hospital's provider did not let you in: {_word(answered['error'])}")
        known = self._known()
        with self._place():
            tokens = self._tokens(known, answered.get("code", ""), begun, back)
        claims = self._verified(tokens.get("id_token"), begun.nonce)
        with self._place():
            claims |= self._more(known, tokens, claims)
        return self._vouched(claims)

    def logged_out(self, token: str) -> LoggedOut:
        """Who logged out, by a logout token (OpenID Connect Back-Channel Logout 1.0 2.4, 2.6); whether it was taken before, the journal
        knows.

        Raises
        ------
        TokenRefused
            It is not the provider's word that somebody logged out within the last five minutes.
        ProviderAway, ProviderUnfit
        """
        claims = self._claims(token, "logout token", "iss", "aud", "iat", "exp", "jti", "events", anybodys=True)
        events = claims["events"]
        if not isinstance(events, dict) or not isinstance(events.get(_LOGOUT), dict) or "nonce" in claims:
            raise TokenRefused("the token is no logout token")
        if float(claims["iat"]) < time.time() - LOGOUT_S - SKEW_S:
            raise TokenRefused("the logout token is an old one")
        subject, session, name = (_text(claims.get(one)) for one in ("sub", "sid", "jti"))
        if not name or not (subject or session):
            raise TokenRefused("the logout token does not say who logged out")
        return LoggedOut(issuer=self._settings.issuer, subject=subject, session=session, token=name)

    def examine(self) -> tuple[int, float]:
        """How many keys the provider signs with, and by how many seconds its clock is ahead of ours.

        Raises
        ------
        ProviderAway, ProviderUnfit
        """
        known = self._known(0.0)
        return len(known.keys), known.skew_s

    def _known(self, known_s: float = _KNOWN_S, bucket: _TokenBucket | None = None) -> _Discovered:
        """What the provider said of itself, at most so long before it is wanted, or longer where `bucket` does not grant that it is asked.
        One asks, and who wants it meanwhile has the answer."""
        wanted_s = time.monotonic()
        last = self._said_since(wanted_s - known_s)
        if last is not None:
            return last
        with self._place(), self._asking:
            last = self._said_since(wanted_s - known_s)
            if last is not None:
                return last
            if self._failed is not None and self._failed[0] >= wanted_s:  # who asked meanwhile had no answer: nobody waits for a second one
                raise type(self._failed[1])(str(self._failed[1]))
            if bucket is not None and self._last is not None and not bucket.take():
                return self._last
            try:
                last = self._discovered()
            except (ProviderAway, ProviderUnfit) as failed:
                self._failed = (time.monotonic(), failed)
                raise
            with self._guard:
                self._last = last
            return last

    def _said_since(self, at_s: float) -> _Discovered | None:
        with self._guard:
            return None if self._last is None or self._last.at_s < at_s else self._last

    @contextmanager
    def _place(self) -> Iterator[None]:
        """One of those who may wait for the provider."""
        if not self._places.acquire(timeout=_FOR_A_PLACE_S):
            raise ProviderAway("too many wait for the hospital's provider just now: try again")
        try:
            yield
        finally:
            self._places.release()

    def _discovered(self) -> _Discovered:
        issuer, at_s = self._settings.issuer, time.monotonic()
        headers, metadata = self._fetch(f"{issuer.rstrip('/')}/.well-known/openid-configuration")
        if metadata.get("issuer") != issuer:
            raise ProviderUnfit(f'the provider calls itself "{metadata.get("issuer")}", and `issuer` is "{issuer}"')
        for one in _ENDPOINTS:
            self._demand_safe(metadata.get(one), one)
        _, found = self._fetch(metadata["jwks_uri"])
        try:
            keys = tuple(
                key for key in jwt.PyJWKSet.from_dict(dict(found)).keys if key.key_type != "oct" and key.public_key_use in (None, "sig")
            )
        except jwt.PyJWTError as unfit:
            raise ProviderUnfit(f"the keys of the provider cannot be used: {unfit}") from unfit
        if not keys:
            raise ProviderUnfit("the provider has no key that a signature could be verified with")
        return _Discovered(metadata=metadata, keys=keys, at_s=at_s, skew_s=_ahead_s(headers.get("Date")))

    def _demand_safe(self, url: object, name: str) -> None:
        parts = urlsplit(url if isinstance(url, str) else "")
        if parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname or "")):
            return
        raise ProviderUnfit(f"the provider's `{name}` is no address behind https://")

    def _tokens(self, known: _Discovered, code: str, begun: Begun, back: str) -> Mapping[str, Any]:
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": back, "code_verifier": begun.verifier}
        headers, who = {}, self._settings.client_id
        if self._settings.secret is None:
            form["client_id"] = who
        else:
            secret = passcode_of(self._settings.secret).decode("utf-8", "replace")
            if "client_secret_basic" in known.metadata.get("token_endpoint_auth_methods_supported", ["client_secret_basic"]):
                pair = f"{quote_plus(who)}:{quote_plus(secret)}"  # RFC 6749 2.3.1
                headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
            else:
                form |= {"client_id": who, "client_secret": secret}
        return self._fetch(known.metadata["token_endpoint"], form=form, headers=headers)[1]

    def _verified(self, token: object, nonce: str) -> dict[str, Any]:
        """The claims of an ID token (OpenID Connect Core 1.0 3.1.3.7)."""
        if not isinstance(token, str):
            raise TokenRefused("the provider sent no ID token")
        claims = self._claims(token, "ID token", "iss", "sub", "aud", "exp", "iat")
        if not hmac.compare_digest(str(claims.get("nonce", "")).encode(), nonce.encode()):
            raise TokenRefused("the ID token is of another login")
        if not isinstance(claims["aud"], str) and len(claims["aud"]) > 1 and claims.get("azp") != self._settings.client_id:
            raise TokenRefused("the ID token was made for another program")
        return claims

    def _claims(self, token: str, what: str, *required: str, anybodys: bool = False) -> dict[str, Any]:
        """What a token says that one of the provider's keys signed, for this client, and that is good now; `anybodys`: others than the
        provider may have sent it."""
        try:
            header = jwt.get_unverified_header(token)
            found: dict[str, Any] = jwt.decode(
                token,
                self._key(header.get("kid"), anybodys),
                algorithms=list(_ALGORITHMS),
                audience=self._settings.client_id,
                issuer=self._settings.issuer,
                leeway=SKEW_S,
                options={"require": list(required)},
            )
        except (jwt.PyJWTError, RecursionError, TypeError, ValueError) as unfit:  # a key of another kind than the signature's; older PyJWT
            raise TokenRefused(f"the {what} is not good: {unfit}") from unfit
        return found

    def _key(self, name: str | None, anybodys: bool) -> jwt.PyJWK:
        # keys that are older than that are no word of the provider now, however many ask
        for known_s, bucket in ((_KNOWN_FOR_LOGOUT_S if anybodys else _KNOWN_S, None), (0.0, self._for_strangers if anybodys else None)):
            keys = self._known(known_s, bucket).keys
            named = [key for key in keys if key.key_id == name] if name is not None else list(keys)
            if len(named) == 1:
                return named[0]
        raise TokenRefused("the token is signed with a key that is none of the provider's")

    def _more(self, known: _Discovered, tokens: Mapping[str, Any], claims: Mapping[str, Any]) -> Mapping[str, Any]:
        """What the provider tells at its UserInfo endpoint alone (OpenID Connect Core 1.0 5.3)."""
        endpoint, access = known.metadata.get("userinfo_endpoint"), tokens.get("access_token")
        wanted = (self._settings.name, self._settings.groups)
        if endpoint is None or not isinstance(access, str) or all(_claim(claims, one) is not None for one in wanted):
            return {}
        self._demand_safe(endpoint, "userinfo_endpoint")
        found = self._fetch(endpoint, headers={"Authorization": f"Bearer {access}"})[1]
        if found.get("sub") != claims["sub"]:
            raise TokenRefused("what the provider tells of the person is of another one")
        return {key: value for key, value in found.items() if key not in claims}

    def _vouched(self, claims: Mapping[str, Any]) -> Vouched:
        name, groups = _claim(claims, self._settings.name), _claim(claims, self._settings.groups)
        if not isinstance(name, str) or not name:
            raise ProviderUnfit(f"the provider sends no claim `{self._settings.name}`, which is to be the user's name")
        if groups is None and "groups" in (claims.get("_claim_names") or {}):
            raise ProviderUnfit(
                f"{name} is in more groups than the provider puts into a token: have it send those of this application alone"
            )
        named = [groups] if isinstance(groups, str) else groups if isinstance(groups, list) else []
        role = self._settings.roles.of([one for one in named if isinstance(one, str)])
        subject = f"{self._settings.issuer} {claims['sub']}"
        return Vouched(name=name, subject=subject, role=role, session=_text(claims.get("sid")))

    def _fetch(
        self, url: str, *, form: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None
    ) -> tuple[HTTPMessage, Mapping[str, Any]]:
        """What a JSON object is at an address of the provider; nothing is followed elsewhere."""
        host = urlsplit(url).netloc
        asked = urllib.request.Request(
            url,
            data=None if form is None else urlencode(form).encode("ascii"),
            headers={"Accept": "application/json", "User-Agent": "hilum", **(headers or {})},
        )
        opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=self._trusting()), Unmoved)
        try:
            with opener.open(asked, timeout=_TIMEOUT_S) as answer:
                assert isinstance(answer, HTTPResponse)
                body, said = answer.read(_MOST_BYTES + 1), answer.headers
        except HTTPError as refused:
            raise self._refused(host, refused, form is not None) from refused
        except (OSError, HTTPException, UnicodeError) as away:
            reason = getattr(away, "reason", away)
            words = getattr(reason, "strerror", None) or reason or type(away).__name__
            raise ProviderAway(f"the hospital's provider at {host} does not answer: {words}") from away
        try:
            found = json.loads(body) if len(body) <= _MOST_BYTES else None
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise ProviderUnfit(f"what the provider at {host} answers is no JSON object")
        return said, found

    def _refused(self, host: str, refused: HTTPError, asked_for_token: bool) -> ProviderAway | ProviderUnfit:
        word = ""
        if asked_for_token:
            try:
                found = json.loads(refused.read(_MOST_BYTES))
                word = _word(found.get("error", "")) if isinstance(found, dict) else ""
            except (ValueError, OSError, HTTPException):
                word = ""
        refused.close()
        words = f"the hospital's provider at {host} answers {refused.code}{f' ({word})' if word else ''}"
        return ProviderAway(words) if refused.code >= 500 else ProviderUnfit(words)

    def _trusting(self) -> ssl.SSLContext:
        authorities = self._settings.authorities
        try:
            return ssl.create_default_context(cafile=None if authorities is None else str(authorities))
        except OSError as unusable:
            raise ProviderUnfit(f"{authorities} holds no authority: {unusable.strerror or unusable}") from unusable


def _claim(claims: Mapping[str, Any], path: str) -> Any:
    """A claim by its name, or by a path with dots into objects (`realm_access.roles`); None: it is not there."""
    if path in claims:
        return claims[path]
    found: Any = claims
    for one in path.split("."):
        found = found.get(one) if isinstance(found, dict) else None
    return found


def _text(claim: object) -> str:
    return claim if isinstance(claim, str) else ""


def _ahead_s(date: str | None) -> float:
    try:
        return 0.0 if date is None else (parsedate_to_datetime(date) - datetime.now(UTC)).total_seconds()
    except (TypeError, ValueError):
        return 0.0


def _word(error: object) -> str:
    """An error's name as RFC 6749 has them; what is none was written by whoever sent it."""
    text = str(error)
    return text if len(text) <= 40 and text.isascii() and text.replace("_", "").isalnum() else "an error without a name"


def _derived(secret: str, what: str) -> str:
    return _base64url(hmac.new(secret.encode(), what.encode(), hashlib.sha256).digest())


def _base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")
