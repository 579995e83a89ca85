"""`console:` the operator's web pages; without the block there are none."""

import re
from datetime import timedelta
from enum import StrEnum
from ipaddress import ip_address
from pathlib import Path

from node.domain.account import Role
from node.settings.blocks import Block, Key, Nodes, Values
from node.settings.config import Console
from node.settings.errors import BadValue, MissingKey
from node.settings.kinds import ADDRESS, DURATION, Address, Choice, FilePath, Scalar, Several, is_loopback
from node.settings.source import Here
from node.settings.trusted_proxies import TRUSTED_PROXIES, TrustedProxies


class Names(StrEnum):
    """From which role on a person sees who a study is of."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"
    NOBODY = "nobody"


def _host(text: str) -> str:
    name = text.lower().removesuffix(".")
    try:
        return str(ip_address(name.removeprefix("[").removesuffix("]")))
    except ValueError:
        if not re.fullmatch(r"[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*", name) or len(name) > 253:
            raise ValueError(f'"{text}" is no host name and no IP address; the port is left out') from None
    return name


HOST = Scalar(wants="a host name or an IP address", parse=_host, form={"type": "string", "minLength": 1, "maxLength": 255})


def _pair(*, cert: Path | None, key: Path | None) -> tuple[Path, Path] | None:
    return None if cert is None or key is None else (cert, key)


TLS = Block(
    build=_pair,
    keys=(
        Key(
            name="cert",
            kind=FilePath(),
            required=True,
            says="PEM file of the console's certificate, with those that lead to its authority.",
        ),
        Key(name="key", kind=FilePath(), required=True, says="PEM file of its private key."),
    ),
)


def _console(
    *,
    listen: Address | None,
    tls: tuple[Path, Path] | None,
    trusted_proxies: TrustedProxies,
    hosts: tuple[str, ...],
    names: Names,
    session: timedelta,
) -> Console | None:
    if listen is None:
        return None
    return Console(
        host=listen.host,
        port=listen.port,
        cert=None if tls is None else tls[0],
        key=None if tls is None else tls[1],
        trusted_proxies=trusted_proxies,
        hosts=hosts,
        names=None if names is Names.NOBODY else Role(names.value),
        session=session,
    )


def _check(values: Values, nodes: Nodes, here: Here) -> None:
    listen = values["listen"]
    if listen is None:
        if nodes:
            raise here.refuse(MissingKey, next(iter(nodes.values())), 'the console needs the key "listen"')
        return
    if values["tls"] is None and not values["trusted_proxies"] and not is_loopback(listen.host):
        why = f"{listen.host} is open to the network, and passwords would cross it in the clear: give `tls`, or the `trusted_proxies`"
        raise here.about("listen").refuse(BadValue, nodes["listen"], why)


CONSOLE = Block(
    build=_console,
    check=_check,
    moved={"behind": "write `trusted_proxies`, and the name that people type as `hosts`"},
    keys=(
        Key(
            name="listen",
            kind=ADDRESS,
            says="Where the console answers, such as `127.0.0.1:8443`; without it, nowhere. Elsewhere than on this machine it "
            "needs `tls` or `trusted_proxies`.",
        ),
        Key(name="tls", kind=TLS, says="Speak TLS itself, with this certificate."),
        Key(
            name="trusted_proxies",
            kind=TRUSTED_PROXIES,
            default="[]",
            says="IP addresses or networks of the reverse proxies in front, which speak TLS to browsers: what they say of the browser's "
            "address (X-Forwarded-For, or Forwarded) is believed, no bound per address holds for them, cookies are for TLS only.",
        ),
        Key(
            name="hosts",
            kind=Several(of=HOST, bare=True),
            default="[]",
            says="Names by which browsers reach the console, beside this machine's own, `localhost` and the address of `listen`; requests "
            "for any other are refused (421). Behind a proxy: the name that people type.",
        ),
        Key(
            name="names",
            kind=Choice(of=Names),
            default="operator",
            says="From which role on a person sees patients' names and identifiers, and may search for them.",
        ),
        Key(name="session", kind=DURATION, default="10h", says="How long a login lasts."),
    ),
)
