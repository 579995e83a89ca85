"""Who loses a place when none is free: by address group, the oldest of the fullest."""

import pytest

from node.domain.places import Places, address_group


@pytest.mark.parametrize(
    ("address", "group"),
    [
        ("10.0.0.5", "10.0.0.5"),
        ("::ffff:10.0.0.5", "10.0.0.5"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::1", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::1", "::/64"),
        ("testclient", "testclient"),
    ],
)
def test_one_machine_is_one_group(address: str, group: str) -> None:
    """An IPv4 address however it is written; of IPv6 the network that one machine has to itself."""
    assert address_group(address) == group


def test_who_has_most_places_loses_its_oldest() -> None:
    """Somebody with three of four loses one for each that comes, until nobody has more than another."""
    places: Places[str] = Places(4)
    assert [places.take(f"a{number}", "a") for number in range(3)] == [None] * 3
    assert places.take("b", "b") is None
    assert places.take("c", "c") == "a0"
    assert places.take("d", "d") == "a1"
    assert places.take("e", "e") == "a2", "of groups alike the oldest"
    assert places.take("f", "f") == "b"
    assert len(places) == 4


def test_an_attacker_ends_its_own() -> None:
    """A thousand from one network of IPv6, each from an address of its own: the one from elsewhere stays."""
    places: Places[object] = Places(16)
    honest = object()
    places.take(honest, address_group("10.0.0.1"))
    ended = {places.take(number, address_group(f"2001:db8::{number:x}")) for number in range(1, 1000)}
    assert honest not in ended
    assert len(places) == 16


def test_a_group_has_its_own_bound() -> None:
    """Also while there is room: what one address holds is never all that others could have; a proxy has none."""
    places: Places[str] = Places(9, of_one=2)
    assert [places.take(one, "a") for one in ("a1", "a2", "a3")] == [None, None, "a1"]
    assert [places.take(one, None) for one in ("p1", "p2", "p3")] == [None] * 3
    assert len(places) == 5


def test_connections_of_a_proxy_count_each_for_itself() -> None:
    """Many senders share its address: what one of them opens costs the others nothing before it costs those that are crowded."""
    places: Places[str] = Places(4)
    for one in ("p1", "p2"):
        places.take(one, None)
    for one in ("a1", "a2"):
        places.take(one, "a")
    assert places.take("p3", None) == "a1"
    assert places.take("p4", None) == "p1", "then the oldest"


def test_a_place_is_given_back_once() -> None:
    """Also twice, and also where there was none."""
    places: Places[str] = Places(1)
    places.take("a", "g")
    places.free("a")
    places.free("a")
    assert len(places) == 0
    assert places.take("b", "g") is None
