"""Addresses: by which names browsers may reach the console, and who asks behind a reverse proxy.

Address and scheme of a browser are as `trusted_proxies` tell them, and no other hop (RFC 7239, X-Forwarded-For). A page of another site
whose name is made to resolve to this machine (DNS rebinding) would be of the console's own origin: names are compared.
"""

import re
import socket
from collections.abc import Collection, Iterator, Sequence
from functools import cache
from ipaddress import ip_address

from starlette.types import ASGIApp, Receive, Scope, Send

from node.settings.console import Console
from node.settings.kinds import TrustedProxies

_MOST_HOPS = 32
_SCHEMES = ("http", "https")
_PART = re.compile(r'\s*([A-Za-z]+)\s*=\s*("(?:[^"\\]|\\.)*"|[^\s;,"]*)\s*')
"""`name=value` of RFC 7239 4; a value with a colon stands in quotes."""
_EVERYWHERE = ("0.0.0.0", "::")
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


class Forwarded:
    """Puts the address and the scheme that a proxy told in the place of the connection's own."""

    def __init__(self, app: ASGIApp, *, proxies: TrustedProxies) -> None:
        self._app = app
        self._proxies = proxies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope.get("client") and scope["client"][0] in self._proxies:
            headers = [(name, value.decode("latin-1")) for name, value in scope["headers"]]
            address, scheme = asker(headers, self._proxies)
            if address:
                scope["client"] = (address, 0)
            if scheme:
                scope["scheme"] = scheme
        await self._app(scope, receive, send)


def asker(headers: Sequence[tuple[bytes, str]], proxies: TrustedProxies) -> tuple[str, str]:
    """The address and the scheme of who asks, by X-Forwarded-For and -Proto or by Forwarded (RFC 7239), from the nearest hop backwards as
    far as the hops are trusted proxies; "" what they do not tell.

    A proxy writes one of the two, and passes on what a browser claims in the other: where they differ neither is believed.
    """
    simple = [one.strip() for one in ",".join(value for name, value in headers if name == b"x-forwarded-for").split(",")]
    hops = list(_hops(",".join(value for name, value in headers if name == b"forwarded")))
    by_simple, by_hops = _first(simple, proxies), _first([one.get("for", "") for one in hops], proxies)
    protocols = [value for name, value in headers if name == b"x-forwarded-proto"]
    scheme = protocols[-1].rpartition(",")[2].strip().lower() if protocols else hops[-1].get("proto", "").lower() if hops else ""
    told = {one for one in (by_simple, by_hops) if one}
    return told.pop() if len(told) == 1 else "", scheme if scheme in _SCHEMES else ""


def _first(hops: Sequence[str], proxies: TrustedProxies) -> str:
    """The last hop that is no proxy; where one is told that is no address (`unknown`, `_hidden`), the proxy behind it."""
    known = ""
    for hop in reversed(hops[-_MOST_HOPS:]):
        address = _address(hop)
        if not address:
            break
        known = address
        if address not in proxies:
            break
    return known


def _address(hop: str) -> str:
    text = hop.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        return str(ip_address(text))
    except ValueError:
        return ""


def _hops(text: str) -> Iterator[dict[str, str]]:
    """The elements of a Forwarded header; what is none ends it, as nothing before can be told apart any more."""
    hop: dict[str, str] = {}
    at = 0
    while found := _PART.match(text, at):
        value = found[2]
        hop[found[1].lower()] = re.sub(r"\\(.)", r"\1", value[1:-1]) if value.startswith('"') else value
        at = found.end()
        if text[at : at + 1] != ";":
            yield hop
            hop = {}
        if text[at : at + 1] not in (";", ","):
            break
        at += 1
    if text[at:].strip():
        yield {}


def named(host: str | None) -> str:
    """What a Host header names, without its port: a name in lower case, or an IP address as it is usually written; "" where it is none."""
    text = (host or "").strip().lower()
    if text.startswith("["):
        name, bracket, port = text[1:].partition("]")
        if not bracket or (port and not port.startswith(":")):
            return ""
    else:
        name = text.partition(":")[0].removesuffix(".")
    try:
        return str(ip_address(name))
    except ValueError:
        return "" if text.startswith("[") else name


def is_reached_by(name: str, settings: Console, reached: str) -> bool:
    """Whether the console is called so.

    Parameters
    ----------
    name
        By `named`.
    reached
        The address of this machine that the connection came in on.
    """
    if name in _LOOPBACK or name in settings.hosts or name in own_names():
        return True
    if settings.host in _EVERYWHERE:
        return bool(name) and name == named(reached)
    return name == settings.host.lower()


@cache
def own_names() -> Collection[str]:
    """This machine's name, whole and without its domain. DNS is not asked, which may take seconds where there is none."""
    name = socket.gethostname().lower()
    return frozenset({name, name.partition(".")[0]} - {""})
