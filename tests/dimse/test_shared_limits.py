"""Seats and rates that hold over several processes, and are forgotten with the process that held them."""

import subprocess
import sys
from pathlib import Path

from node.dimse.shared_limits import Full, Of, Seat, SharedLimits, TransferRate
from node.settings.config import Config
from node.settings.node import Node
from node.settings.store import Store

_TAKE = """
import signal, sys
from node.dimse.shared_limits import Seat, SharedLimits
standing = SharedLimits.attach(int(sys.argv[1]), int(sys.argv[2]))
taken = [standing.enter("pacs", most=1000, most_in_all=1000) for _ in range(int(sys.argv[3]))]
print(sum(isinstance(one, Seat) for one in taken), flush=True)
sys.stdin.read()
"""

_RACE = """
import sys
from node.dimse.shared_limits import Seat, SharedLimits
standing = SharedLimits.attach(int(sys.argv[1]), int(sys.argv[2]))
print("ready", flush=True)
sys.stdin.readline()
taken = [standing.enter(f"peer {n % 3}", most=1000, most_in_all=100) for n in range(100)]
print(sum(isinstance(one, Seat) for one in taken), flush=True)
sys.stdin.read()
"""


def _config(**node: object) -> Config:
    return Config(path=Path(), digest="", node=Node(**node), store=Store(journal="", blobs=Path()), models=Path())  # type: ignore[arg-type]


def _child(code: str, shared: SharedLimits, row: int, *more: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, str(shared.descriptor), str(row), *more],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        pass_fds=(shared.descriptor,),
    )


def _said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


class _Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def test_a_limit_holds_over_processes_and_forgets_one_that_was_killed() -> None:
    """Three of four seats are another process's: one is left here. It is killed; its successor's start makes its seats free."""
    shared = SharedLimits.make(_config(max_associations=4), rows=2)
    with _child(_TAKE, shared, 1, "3") as first:
        assert _said(first) == "3"
        own = shared.enter("pacs", most=4, most_in_all=4)
        assert isinstance(own, Seat)
        assert shared.enter("pacs", most=4, most_in_all=4) == Full(of=Of.ALL, stand=4)
        first.kill()
    assert shared.enter("pacs", most=4, most_in_all=4) == Full(of=Of.ALL, stand=4), "nobody has blanked its row yet"
    with _child(_TAKE, shared, 1, "0") as successor:
        assert _said(successor) == "0"
        assert isinstance(shared.enter("pacs", most=2, most_in_all=4), Seat)
        assert shared.enter("pacs", most=2, most_in_all=4) == Full(of=Of.ONE, stand=2)
        assert successor.stdin is not None
        successor.stdin.close()


def test_the_supervisor_blanks_the_row_of_a_dead_process() -> None:
    """Nobody waits for the successor's start to be admitted."""
    shared = SharedLimits.make(_config(max_associations=4), rows=2)
    with _child(_TAKE, shared, 1, "4") as first:
        assert _said(first) == "4"
        first.kill()
    shared.blank(1)
    assert isinstance(shared.enter("pacs", most=4, most_in_all=4), Seat)


def test_processes_that_race_for_seats_get_exactly_as_many_as_there_are() -> None:
    """Four processes ask 100 times each, at the same time, for 100 seats in all: 100 are given."""
    shared = SharedLimits.make(_config(max_associations=100), rows=4)
    children = [_child(_RACE, shared, row) for row in range(4)]
    for child in children:
        assert _said(child) == "ready"
    for child in children:
        assert child.stdin is not None
        child.stdin.write("\n")
        child.stdin.flush()
    given = [int(_said(child)) for child in children]
    for child in children:
        child.communicate()
    assert sum(given) == 100


def test_a_seat_that_is_given_back_can_be_taken_again() -> None:
    """Entering and leaving a thousand times leaves nothing behind."""
    shared = SharedLimits.alone(_config(max_associations=2))
    for _ in range(1000):
        seat = shared.enter("pacs", most=1, most_in_all=2)
        assert isinstance(seat, Seat)
        assert shared.enter("pacs", most=1, most_in_all=2) == Full(of=Of.ONE, stand=1)
        shared.leave(seat)


def test_strangers_have_their_share_and_peers_the_rest() -> None:
    """Of four seats two are for strangers, whatever they call themselves; who is a peer finds one, and a stranger's may become free."""
    shared = SharedLimits.alone(_config(max_associations=4))
    seats = [shared.enter(f"stranger {n}", most=9, most_in_all=4, most_strangers=2) for n in range(3)]
    assert isinstance(seats[0], Seat)
    assert seats[2] == Full(of=Of.STRANGERS, stand=2)
    assert isinstance(shared.enter("stranger 0", most=9, most_in_all=4), Seat), "a peer of that name is no stranger"
    shared.leave(seats[0])
    assert isinstance(shared.enter("stranger 7", most=9, most_in_all=4, most_strangers=2), Seat)
    assert isinstance(shared.enter("pacs", most=9, most_in_all=4), Seat)
    assert shared.enter("pacs", most=9, most_in_all=4) == Full(of=Of.ALL, stand=4)


def test_a_rate_lets_a_minutes_worth_through_at_once_and_then_one_by_one() -> None:
    """6 a minute: six at once, the seventh 10 s later, another's rate untouched."""
    clock = _Clock()
    shared = SharedLimits.alone(_config(), clock=clock)
    assert [shared.allows("pacs", per_minute=6) for _ in range(7)] == [True] * 6 + [False]
    assert shared.allows("ct", per_minute=6)
    clock.now_s += 9.5
    assert not shared.allows("pacs", per_minute=6)
    clock.now_s += 0.6
    assert shared.allows("pacs", per_minute=6)
    assert not shared.allows("pacs", per_minute=6)
    clock.now_s += 3600
    assert [shared.allows("pacs", per_minute=6) for _ in range(7)] == [True] * 6 + [False], "an idle hour saves up one minute's worth"


def test_what_comes_too_fast_waits_as_long_as_its_bytes_take() -> None:
    """1 MB/s: 100 fragments of 128 KiB are 13.1 s of bytes, of which the first second's worth is free; two associations share the rate."""
    clock = _Clock()
    shared = SharedLimits.alone(_config(), clock=clock)

    def sleep(wait_s: float) -> None:
        clock.now_s += wait_s

    paces = [TransferRate(shared=shared, who="pacs", bytes_per_second=1_000_000, instances_per_second=None, sleep=sleep) for _ in range(2)]
    began = clock.now_s
    for number in range(100):
        paces[number % 2].fragment(131072)
    assert abs(clock.now_s - began - (100 * 131072 / 1e6 - 1)) < 0.001


def test_instances_are_slowed_down_to_their_rate() -> None:
    """10 a second: 50 instances take 4 s; nothing is refused."""
    clock = _Clock()
    shared = SharedLimits.alone(_config(), clock=clock)

    def sleep(wait_s: float) -> None:
        clock.now_s += wait_s

    rate = TransferRate(shared=shared, who="pacs", bytes_per_second=None, instances_per_second=10, sleep=sleep)
    began = clock.now_s
    for _ in range(50):
        rate.fragment(10**9)
        rate.instance()
    assert abs(clock.now_s - began - 4.0) < 0.001


def test_many_names_take_the_room_of_the_oldest_and_no_more_memory() -> None:
    """A bucket that nobody asked for longest makes room: an attacker with thousands of names cannot use the memory up."""
    clock = _Clock()
    shared = SharedLimits.alone(_config(), clock=clock)
    for number in range(5000):
        clock.now_s += 0.001
        assert shared.allows(f"stranger {number}", per_minute=1)
    assert not shared.allows("stranger 4999", per_minute=1)
