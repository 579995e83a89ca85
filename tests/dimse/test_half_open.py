"""Which half-open connection makes room for which: by arithmetic on a fake clock, no sockets."""

from node.dimse.association_policy import GRACE_S, UNKNOWN_GRACE_S, HalfOpen, HalfOpenSeat


class _Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def _standing(clock: _Clock, *, reserved: int = 4, per_group: int = 8, seats: int = 8) -> HalfOpen[str]:
    return HalfOpen(reserved=reserved, per_group=per_group, seats=seats, clock=clock)


def _fill(standing: HalfOpen[str], count: int, group: str, *, known: bool) -> None:
    for number in range(count):
        assert standing.enter(f"{group}-{number}", group, known=known) == HalfOpenSeat()


def test_unknown_addresses_get_no_seat_that_is_kept_for_known_ones() -> None:
    """Four of eight: the fifth displaces, or is closed; a peer always finds one."""
    clock = _Clock()
    standing = _standing(clock)
    _fill(standing, 4, "a", known=False)
    assert standing.enter("b-0", "b", known=False) is None, "they have come just now"
    clock.now_s += UNKNOWN_GRACE_S
    assert standing.enter("b-0", "b", known=False) == HalfOpenSeat(displaced="a-0")
    _fill(standing, 4, "pacs", known=True)
    assert len(standing) == 8


def test_the_oldest_of_the_largest_group_makes_room() -> None:
    """Two of a, one of b that is older than both: a's first goes."""
    clock = _Clock()
    standing = _standing(clock)
    _fill(standing, 1, "b", known=False)
    _fill(standing, 2, "a", known=False)
    _fill(standing, 1, "c", known=False)
    clock.now_s += 1
    assert standing.enter("d-0", "d", known=False) == HalfOpenSeat(displaced="a-0")
    assert standing.enter("d-1", "d", known=False) == HalfOpenSeat(displaced="b-0"), "groups are alike now: the oldest of all"


def test_a_group_at_its_bound_makes_room_for_itself() -> None:
    """One address with two connections: its third displaces its own first, and no other's."""
    clock = _Clock()
    standing = _standing(clock, per_group=2)
    _fill(standing, 1, "b", known=False)
    _fill(standing, 2, "a", known=False)
    assert standing.enter("a-2", "a", known=False) is None
    clock.now_s += UNKNOWN_GRACE_S
    assert standing.enter("a-2", "a", known=False) == HalfOpenSeat(displaced="a-0")
    assert len(standing) == 3


def test_known_addresses_have_no_bound_of_their_own_and_displace_unknown_ones_at_once() -> None:
    """All eight seats for one peer, others have four at most; who is unknown goes first, however young, and displaces none."""
    standing = _standing(_Clock(), per_group=4)
    _fill(standing, 4, "a", known=False)
    _fill(standing, 4, "pacs", known=True)
    assert [standing.enter(f"more-{n}", "pacs", known=True) for n in range(4)] == [HalfOpenSeat(displaced=f"a-{n}") for n in range(4)]
    assert standing.enter("a-9", "a", known=False) is None


def test_a_known_address_that_takes_every_seat_makes_room_for_another_at_once() -> None:
    """A peer gone wild: its oldest go for whoever has fewer; for its own next ones only once they have stood a moment."""
    clock = _Clock()
    standing = _standing(clock)
    _fill(standing, 8, "wild", known=True)
    assert standing.enter("wild-8", "wild", known=True) is None
    assert standing.enter("ct-0", "ct", known=True) == HalfOpenSeat(displaced="wild-0")
    clock.now_s += GRACE_S
    assert standing.enter("wild-8", "wild", known=True) == HalfOpenSeat(displaced="wild-1")


def test_what_was_displaced_counts_until_its_thread_has_ended() -> None:
    """Threads and descriptors are bounded, too: as many may be on their way out as may stand."""
    clock = _Clock()
    standing = _standing(clock, seats=2, reserved=0)
    _fill(standing, 2, "a", known=False)
    for number in range(2):
        clock.now_s += UNKNOWN_GRACE_S
        assert standing.enter(f"b-{number}", "b", known=False) == HalfOpenSeat(displaced=f"a-{number}")
    clock.now_s += UNKNOWN_GRACE_S
    assert standing.enter("c-0", "c", known=False) is None
    standing.leave("a-0")
    assert standing.enter("c-0", "c", known=False) == HalfOpenSeat(displaced="b-0")


def test_who_has_left_leaves_nothing_behind() -> None:
    """A thousand that come and go, one after the other."""
    standing = _standing(_Clock(), seats=1, reserved=0)
    for number in range(1000):
        assert standing.enter(str(number), "a", known=False) == HalfOpenSeat()
        standing.leave(str(number))
        standing.leave(str(number))
    assert len(standing) == 0
