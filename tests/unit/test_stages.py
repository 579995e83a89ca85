"""Stages share out the time: none of it twice, none of it lost."""

import threading
import time

import pytest

from inference.stages import collected, stage


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, which the test lets pass."""
    now = [100.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    return now


def test_an_inner_stage_stops_the_outer_ones_clock(clock: list[float]) -> None:
    """1 s outside any, 2 outer, 4 inner, 8 outer again, 16 inner again."""
    with collected() as took:
        clock[0] += 1
        with stage("outer"):
            clock[0] += 2
            with stage("inner"):
                clock[0] += 4
            clock[0] += 8
        with stage("inner"):
            clock[0] += 16
    assert took == {"outer": 10, "inner": 20}


def test_a_stage_that_fails_has_its_time(clock: list[float]) -> None:
    """The outer stage goes on counting for itself."""

    def fails() -> None:
        with stage("inner"):
            clock[0] += 3
            raise ValueError("no")

    with collected() as took, stage("outer"):
        with pytest.raises(ValueError, match="no"):
            fails()
        clock[0] += 5
    assert took == {"inner": 3, "outer": 5}


def test_where_nobody_collects_nothing_is_counted() -> None:
    """Nor in another thread than the one that collects."""
    with stage("alone"):
        pass

    def elsewhere() -> None:
        with stage("thread"):
            pass

    with collected() as took:
        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()
    assert took == {}
