"""`trusted_proxies:` the addresses behind which many senders stand: no bound per address holds for them, and what they say is believed."""

from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address

from ruamel.yaml.nodes import Node

from node.settings.kinds import NETWORK, Schema, Several
from node.settings.source import Here

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
