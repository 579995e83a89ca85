"""By which names browsers may reach the console. A page of another site whose name is made to resolve to this machine (DNS rebinding) would
otherwise be of the console's own origin."""

import socket
from collections.abc import Collection
from functools import cache
from ipaddress import ip_address

from node.settings.config import Console

_EVERYWHERE = ("0.0.0.0", "::")
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


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
