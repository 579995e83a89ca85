"""`console:` the operator's web pages; without the block there are none."""

import re
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from node.domain.account import Role
from node.settings.blocks import Key, Nodes, Values, block, declared, needed, part, setting
from node.settings.hospital import LDAP, OIDC, LdapDirectory, OidcProvider
from node.settings.kinds import ADDRESS, DURATION, TRUSTED_PROXIES, Choice, FilePath, Scalar, Several, TrustedProxies, is_loopback
from node.settings.source import BadValue, Here, MissingKey


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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pair:
    cert: Path = field(metadata=needed(FilePath(), says="PEM file of the console's certificate, with those that lead to its authority."))
    key: Path = field(metadata=needed(FilePath(), says="PEM file of its private key."))


_LISTEN = Key(
    name="listen",
    kind=ADDRESS,
    says="Where the console answers, such as `127.0.0.1:8443`; without it, nowhere. Elsewhere than on this machine it "
    "needs `tls` or `trusted_proxies`.",
)
_TLS = Key(name="tls", kind=block(_Pair, build=_Pair), says="Speak TLS itself, with this certificate.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Console:
    """The operator's web pages. `cert` and `key` None: without TLS. `names` is the least role that sees whose a study is; None: nobody.
    `hosts` are names that it is reached by, beside those that it knows itself."""

    host: str = field(metadata=declared(_LISTEN, lambda at: "" if at is None else at.host))
    port: int = field(metadata=declared(_LISTEN, lambda at: 0 if at is None else at.port))
    cert: Path | None = part(_TLS, lambda pair: None if pair is None else pair.cert)
    key: Path | None = part(_TLS, lambda pair: None if pair is None else pair.key)
    trusted_proxies: TrustedProxies = setting(
        TRUSTED_PROXIES,
        default="[]",
        says="IP addresses or networks of the reverse proxies in front, which speak TLS to browsers: what they say of the browser's "
        "address (X-Forwarded-For, or Forwarded) is believed, no bound per address holds for them, cookies are for TLS only.",
    )
    hosts: tuple[str, ...] = setting(
        Several(of=HOST, bare=True),
        default="[]",
        says="Names by which browsers reach the console, beside this machine's own, `localhost` and the address of `listen`; requests "
        "for any other are refused (421). Behind a proxy: the name that people type.",
    )
    names: Role | None = setting(
        Choice(of=Names),
        default="operator",
        of=lambda least: None if least is Names.NOBODY else Role(least.value),
        says="From which role on a person sees patients' names and identifiers, and may search for them.",
    )
    session: timedelta = setting(DURATION, default="10h", says="How long a login lasts, however much it is used.")
    idle: timedelta = setting(
        DURATION, default="2h", says="How long a login lasts that nobody uses; a page that renews itself in a window left open is no use."
    )
    ldap: LdapDirectory | None = setting(
        LDAP, says="Let people in whom the hospital's directory knows, by their name and password there. This node's own users stay."
    )
    oidc: OidcProvider | None = setting(
        OIDC, says="Let people in whom the hospital's provider (OpenID Connect) vouches for, behind a button of the login page."
    )


def _console(**said: Any) -> Console | None:
    return Console(**said) if said["host"] else None


def _check(values: Values, nodes: Nodes, here: Here) -> None:
    listen = values["listen"]
    if listen is None:
        if nodes:
            raise here.refuse(MissingKey, next(iter(nodes.values())), 'the console needs the key "listen"')
        return
    if values["tls"] is None and not values["trusted_proxies"] and not is_loopback(listen.host):
        why = f"{listen.host} is open to the network, and passwords would cross it in the clear: give `tls`, or the `trusted_proxies`"
        raise here.about("listen").refuse(BadValue, nodes["listen"], why)


CONSOLE = block(
    Console,
    build=_console,
    check=_check,
    moved={"behind": "write `trusted_proxies`, and the name that people type as `hosts`"},
)
