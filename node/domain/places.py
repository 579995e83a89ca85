"""Places for connections of which nothing is known yet, and which of them is ended when a further one finds none free."""

from collections import OrderedDict
from collections.abc import Hashable
from ipaddress import IPv6Address, ip_address
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
_NETWORK_BITS = 64
"""Of an IPv6 address: the network, of which one machine has all 2^64 addresses to itself (RFC 4291 2.5.4)."""


def plain(host: str) -> str:
    """An IPv4 address as such, also where a socket for both families reports it as IPv6 (RFC 4291 2.5.5.2); names in lower case."""
    try:
        found = ip_address(host.partition("%")[0])
    except ValueError:
        return host.lower()
    return str(getattr(found, "ipv4_mapped", None) or found)


def address_group(address: str) -> str:
    """What counts as one sender: an IPv4 address, also where it is written as IPv6, or the /64 network of an IPv6 address."""
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(found, IPv6Address):
        if found.ipv4_mapped is not None:
            return str(found.ipv4_mapped)
        return f"{IPv6Address(int(found) >> _NETWORK_BITS << _NETWORK_BITS)}/{_NETWORK_BITS}"
    return str(found)


class Places(Generic[K]):
    """At most `most` connections. A further one takes the place of the oldest of the group that has the most of them: one sender, however
    many connections it opens, ends its own, and who sends a whole request at once is gone before its turn comes. Not safe in threads.

    Parameters
    ----------
    of_one
        How many a group has at most, also where others have none; its own oldest makes room then.
    """

    def __init__(self, most: int, *, of_one: int | None = None) -> None:
        self._most = most
        self._of_one = most if of_one is None else of_one
        self._groups: dict[Hashable, OrderedDict[K, int]] = {}
        self._group_of: dict[K, Hashable] = {}
        self._taken = 0

    def __len__(self) -> int:
        return len(self._group_of)

    def take(self, one: K, group: str | None) -> K | None:
        """Give a place to a connection; which connection loses its own for that, if any does.

        Parameters
        ----------
        group
            `address_group` of who connects; None: many senders share the address, and each connection is a group of its own.
        """
        self._taken += 1
        of: Hashable = ("alone", self._taken) if group is None else group
        ended = None
        if len(mine := self._groups.get(of, ())) >= self._of_one:
            ended = next(iter(mine))
        elif len(self._group_of) >= self._most:
            ended = self._crowded()
        if ended is not None:
            self.free(ended)
        self._group_of[one] = of
        self._groups.setdefault(of, OrderedDict())[one] = self._taken
        return ended

    def free(self, one: K) -> None:
        """Take the place back, if the connection has one."""
        of = self._group_of.pop(one, None)
        if of is None:
            return
        members = self._groups[of]
        del members[one]
        if not members:
            del self._groups[of]

    def _crowded(self) -> K | None:
        """The oldest connection of the group with the most; of groups alike the one whose oldest is older."""
        fullest = max(self._groups.values(), key=lambda members: (len(members), -next(iter(members.values()))), default=None)
        return None if fullest is None else next(iter(fullest))
