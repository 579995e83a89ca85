"""Kinds of single values: how each is read, what it wants in words, and its JSON Schema; one declaration serves all three. Numbers of
bytes as people read them; `trusted_proxies:`, which two blocks have.
"""

import ipaddress
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address
from pathlib import Path
from typing import Any, Generic, Protocol, TypeAlias, TypeVar

from ruamel.yaml.nodes import Node, ScalarNode, SequenceNode

from node.settings.source import BadValue, Here, MissingKey, Refused, UnknownName, WrongType, scalar_text, suggestion

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
Schema = dict[str, Any]
Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network


class ValueKind(Protocol[T_co]):
    """What may stand behind a key. `read` raises `Refused` once it has told `here` what is wrong."""

    @property
    def wants(self) -> str: ...

    def read(self, at: Node, here: Here) -> T_co: ...

    def schema(self) -> Schema: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Scalar(Generic[T]):
    """A single value. `parse` raises ValueError with what is wrong; `plain` refuses quotes (numbers and switches)."""

    wants: str
    parse: Callable[[str], T]
    form: Mapping[str, Any] = field(default_factory=lambda: {"type": "string"})
    plain: bool = False

    def read(self, at: Node, here: Here) -> T:
        text = scalar_text(at, here, self.wants)
        if self.plain and isinstance(at, ScalarNode) and at.style is not None:
            raise here.refuse(WrongType, at, f'text "{text}", where {self.wants} belongs; leave the quotes out')
        try:
            return self.parse(text)
        except ValueError as unfit:
            raise here.refuse(BadValue, at, str(unfit)) from unfit

    def schema(self) -> Schema:
        return dict(self.form)


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """One of some words: an enum's, or those of a tuple."""

    of: Iterable[str]

    @property
    def wants(self) -> str:
        return " or ".join(f"`{word!s}`" for word in self.of)

    def read(self, at: Node, here: Here) -> str:
        text = scalar_text(at, here, self.wants)
        words = {str(word): word for word in self.of}
        if text not in words:
            raise here.refuse(BadValue, at, f'"{text}" is not one of {", ".join(words)}')
        return words[text]

    def schema(self) -> Schema:
        return {"enum": [str(word) for word in self.of]}


@dataclass(frozen=True, slots=True, kw_only=True)
class Several(Generic[T]):
    """A list, kept in order; `bare` also takes a single value without brackets."""

    of: ValueKind[T]
    bare: bool = False
    least: int = 0

    @property
    def wants(self) -> str:
        return f"{self.of.wants}, or a list of them" if self.bare else f"a list ({self.of.wants})"

    def read(self, at: Node, here: Here) -> tuple[T, ...]:
        if not isinstance(at, SequenceNode):
            if self.bare:
                return (self.of.read(at, here),)
            text = scalar_text(at, here, self.wants)
            raise here.refuse(WrongType, at, f"a single value, where a list belongs; write [{text}]")
        if len(at.value) < self.least:
            raise here.refuse(MissingKey, at, f"an empty list; at least {self.least} belongs here")
        values: list[T] = []
        sound = True
        for item in at.value:
            try:
                value = self.of.read(item, here)
            except Refused:
                sound = False
                continue
            if value in values:
                here.refuse(BadValue, item, f'"{getattr(item, "value", value)}" stands twice in the list')
                sound = False
            values.append(value)
        if not sound:
            raise Refused
        return tuple(values)

    def schema(self) -> Schema:
        many: Schema = {"type": "array", "items": self.of.schema(), "uniqueItems": True}
        if self.least:
            many["minItems"] = self.least
        return {"anyOf": [self.of.schema(), many]} if self.bare else many


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """The name of something that is configured elsewhere: `to` is a key of `Here.names`."""

    to: str
    noun: str

    @property
    def wants(self) -> str:
        return f"{'an' if self.noun[0] in 'aeiou' else 'a'} {self.noun}"

    def read(self, at: Node, here: Here) -> str:
        name = scalar_text(at, here, self.wants)
        known = here.names.get(self.to, ())
        if name not in known:
            raise here.refuse(UnknownName, at, f'unknown {self.noun} "{name}"{suggestion(name, known)}')
        return name

    def schema(self) -> Schema:
        return {"type": "string"}


def network(text: str) -> Network:
    """`10.0.0.5`, `10.0.0.0/24`, `fd00::/64`: an address, or a network of them."""
    try:
        found = ipaddress.ip_network(text)
    except ValueError as unfit:
        raise ValueError(f'"{text}" is no IP address and no network such as 10.0.0.0/24 ({unfit})') from unfit
    if not found.prefixlen:
        raise ValueError(f'"{text}" is every address there is')
    return found


class FilePath:
    """A path; a relative one counts from the configuration file's folder. `scheme` is an accepted prefix ("file:")."""

    def __init__(self, scheme: str = "") -> None:
        self.scheme = scheme
        self.wants = f"a path `{scheme}…`" if scheme else "a path"

    def read(self, at: Node, here: Here) -> Path:
        text = scalar_text(at, here, self.wants)
        if self.scheme and not text.startswith(self.scheme):
            raise here.refuse(BadValue, at, f'"{text}" does not begin with {self.scheme}')
        text = text.removeprefix(self.scheme)
        if not text or "\0" in text:
            raise here.refuse(BadValue, at, "names no path")
        return (here.folder / Path(text).expanduser()).absolute()

    def schema(self) -> Schema:
        return {"type": "string", "pattern": f"^{self.scheme}."} if self.scheme else {"type": "string", "minLength": 1}


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where something listens, or is reached."""

    host: str
    port: int


_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_BYTES = {"B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}
_FOR_GOOD = timedelta(days=73_000)
"""What is so old is before 1970, for retention; in nanoseconds it is below 2⁶³, where timeouts of sockets end."""
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*", re.IGNORECASE)


def duration(text: str) -> timedelta:
    """`500ms`, `10s`, `5m`, `2h`, `14d`; what is longer than two centuries is two centuries, which any date and timeout can bear."""
    found = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d)", text)
    if not found:
        raise ValueError(f'"{text}" is no duration; write a number and a unit: 10s, 5m, 2h, 14d')
    return timedelta(seconds=min(float(found[1]) * _SECONDS[found[2]], _FOR_GOOD.total_seconds()))


def size(text: str) -> int:
    """Bytes of `200MB`, `2GiB`, `131072B`."""
    found = re.fullmatch(r"([0-9]{1,15}(?:\.[0-9]{1,15})?)(B|[kMGT]B|[KMGT]iB)", text)
    if not found:
        raise ValueError(f'"{text}" is no size; write a number and a unit: 200MB, 2GiB')
    return int(float(found[1]) * _BYTES[found[2]])


def ae_title(text: str) -> str:
    """An AE title by PS3.5 6.2: 1 to 16 characters of the default repertoire, no backslash, no control characters, not only spaces."""
    title = text.strip(" ")
    if not title:
        raise ValueError("an AE title is not empty")
    if len(title) > 16:
        raise ValueError(f'"{title}" has {len(title)} characters; an AE title has 1 to 16')
    bad = [character for character in title if not " " <= character <= "~" or character == "\\"]
    if bad:
        raise ValueError(f'"{title}" holds {bad[0]!a}; an AE title has ASCII characters without backslash')
    return title


def address(text: str) -> Address:
    """`host:port`; IPv6 addresses stand in brackets."""
    host, colon, port = text.rpartition(":")
    if not colon or not re.fullmatch(r"[0-9]{1,5}", port):
        raise ValueError(f'"{text}" is no address; write host:port, such as 10.0.0.5:104')
    if int(port) > 65535:
        raise ValueError(f'"{text}": a port is at most 65535')
    if host.startswith("[") and host.endswith("]"):
        try:
            return Address(host=str(ipaddress.IPv6Address(host[1:-1])), port=int(port))
        except ValueError as unfit:
            raise ValueError(f'"{text}": {host} is no IPv6 address') from unfit
    if re.fullmatch(r"[0-9.]+", host):
        try:
            ipaddress.IPv4Address(host)
        except ValueError as unfit:
            raise ValueError(f'"{text}": {host} is no IPv4 address') from unfit
    elif not _NAME.fullmatch(host):
        raise ValueError(f'"{text}": "{host}" is no host name or IP address')
    return Address(host=host, port=int(port))


def is_loopback(host: str) -> bool:
    """Whether nothing that is sent there leaves this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _switch(text: str) -> bool:
    if text not in ("true", "false"):
        raise ValueError(f'"{text}" is neither true nor false')
    return text == "true"


def whole(least: int, most: int) -> Scalar[int]:
    """A whole number within bounds."""

    def parse(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,15}", text) or not least <= int(text) <= most:
            raise ValueError(f'"{text}" is no whole number from {least} to {most}')
        return int(text)

    form = {"type": "integer", "minimum": least, "maximum": most}
    return Scalar(wants=f"a whole number from {least} to {most}", parse=parse, form=form, plain=True)


def _share(text: str) -> float:
    if not re.fullmatch(r"[0-9]*\.?[0-9]+", text) or not 0 < float(text) <= 1:
        raise ValueError(f'"{text}" is no share; write a number above 0, at most 1, such as 0.9')
    return float(text)


def _percent(text: str) -> float:
    found = re.fullmatch(r"([0-9]{1,3}(?:\.[0-9]+)?) ?%", text)
    if not found or not 0 < float(found[1]) <= 100:
        raise ValueError(f'"{text}" is no share of studies; write `10%`, above 0 and at most 100')
    return float(found[1]) / 100


TEXT = Scalar(wants="text", parse=str, form={"type": "string", "minLength": 1})
SWITCH = Scalar(wants="`true` or `false`", parse=_switch, form={"type": "boolean"}, plain=True)
SHARE = Scalar(wants="a share above 0, at most 1", parse=_share, form={"type": "number", "exclusiveMinimum": 0, "maximum": 1}, plain=True)
PERCENT = Scalar(wants="a share such as `10%`", parse=_percent, form={"type": "string", "pattern": r"^[0-9]{1,3}(\.[0-9]+)? ?%$"})
DURATION = Scalar(
    wants="a duration such as `10s`, `5m`, `2h`, `14d`",
    parse=duration,
    form={"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?(ms|s|m|h|d)$"},
)
SIZE = Scalar(
    wants="a size such as `200MB`, `2GiB`",
    parse=size,
    form={"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?(B|[kMGT]B|[KMGT]iB)$"},
)
AE_TITLE = Scalar(
    wants="an AE title (1 to 16 characters)", parse=ae_title, form={"type": "string", "pattern": r"^[ -\[\]-~]+$", "maxLength": 16}
)
NETWORK = Scalar(wants="an IP address, or a network such as `10.0.0.0/24`", parse=network, form={"type": "string", "minLength": 2})
ADDRESS = Scalar(wants="an address `host:port`", parse=address, form={"type": "string", "pattern": r"^.+:[0-9]{1,5}$"})


_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")
_TOO_LONG = 999.5  # it would be rounded to a fourth digit
_MOST_DIGITS = 14  # a byte beside a TiB is told apart


def sizes(*of_bytes: int) -> tuple[str, ...]:
    """Three digits and a unit for each (`95.4 MiB`), and as many more for all as it takes to tell different ones apart."""
    for more in range(_MOST_DIGITS):
        texts = tuple(_text(one, more) for one in of_bytes)
        if len(set(texts)) == len(set(of_bytes)):
            break
    return texts


def _text(size: int, more: int) -> str:
    amount, unit = float(size), 0
    while amount >= _TOO_LONG and unit < len(_UNITS) - 1:
        amount, unit = amount / 1024, unit + 1
    if unit == 0:
        return f"{size} B"
    return f"{amount:.{(2 if amount < 9.995 else 1 if amount < 99.95 else 0) + more}f} {_UNITS[unit]}"


_KNOWN = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustedProxies:
    """Reverse proxies, load balancers, address translation and container bridges, by address or network."""

    networks: tuple[IPv4Network | IPv6Network, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.networks)

    def __contains__(self, address: object) -> bool:
        """Whether an address is one of theirs; what is no IP address is not."""
        return bool(self.networks) and _is_of(self.networks, str(address))


@lru_cache(maxsize=_KNOWN)
def _is_of(networks: tuple[IPv4Network | IPv6Network, ...], address: str) -> bool:
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(found, IPv6Address) and found.ipv4_mapped is not None:
        found = found.ipv4_mapped
    return any(found in network for network in networks)


_NETWORKS = Several(of=NETWORK, bare=True)


class _TrustedProxies:
    """The kind of the key."""

    wants = _NETWORKS.wants

    def read(self, at: Node, here: Here) -> TrustedProxies:
        return TrustedProxies(networks=_NETWORKS.read(at, here))

    def schema(self) -> Schema:
        return _NETWORKS.schema()


TRUSTED_PROXIES = _TrustedProxies()
