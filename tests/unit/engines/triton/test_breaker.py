"""The circuit breaker on a clock that the test turns."""

import pytest

from inference.engines.triton.breaker import Breaker, State


class Clock:
    """Seconds that the test says."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    """A clock that stands."""
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> Breaker:
    """Opens after three, for 1 s at first, for 4 s at most."""
    return Breaker(failures=3, first_s=1.0, most_s=4.0, seconds=clock)


def test_it_opens_after_failures_in_a_row_and_not_before(breaker: Breaker) -> None:
    """One answer in between begins the count anew."""
    for _ in range(2):
        breaker.away("refused")
    assert breaker.admit() is State.CLOSED
    breaker.answered()
    for _ in range(2):
        breaker.away("refused")
    assert breaker.admit() is State.CLOSED
    assert breaker.reason == ""
    breaker.away("refused by 10.0.0.9")
    assert breaker.admit() is State.OPEN
    assert breaker.reason == "refused by 10.0.0.9"


def test_a_question_for_health_opens_it_at_once(breaker: Breaker) -> None:
    """Nobody needs three opinions of a server that says it is not live."""
    breaker.away("not live", surely=True)
    assert breaker.admit() is State.OPEN


def test_half_open_lets_one_caller_ask_and_the_others_wait(breaker: Breaker, clock: Clock) -> None:
    """A server that comes up is not met by all workers' calls at once."""
    breaker.away("gone", surely=True)
    clock.now += 1.0
    assert [breaker.admit() for _ in range(3)] == [State.HALF_OPEN, State.OPEN, State.OPEN]
    breaker.answered()
    assert [breaker.admit() for _ in range(3)] == [State.CLOSED] * 3


def test_it_stays_open_twice_as_long_each_time_up_to_the_most(breaker: Breaker, clock: Clock) -> None:
    """1 s, 2 s, 4 s, 4 s; once the server has answered, 1 s again."""
    breaker.away("gone", surely=True)
    for pause in (1.0, 2.0, 4.0, 4.0):
        clock.now += pause - 0.01
        assert breaker.admit() is State.OPEN
        clock.now += 0.01
        assert breaker.admit() is State.HALF_OPEN
        breaker.away("gone")
    breaker.answered()
    breaker.away("gone", surely=True)
    clock.now += 1.0
    assert breaker.admit() is State.HALF_OPEN


def test_calls_that_were_under_way_when_it_opened_do_not_lengthen_the_pause(breaker: Breaker, clock: Clock) -> None:
    """Eight tiles that fail together are one server that went away."""
    for _ in range(8):
        breaker.away("reset")
    clock.now += 1.0
    assert breaker.admit() is State.HALF_OPEN
