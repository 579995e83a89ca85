"""A flood of refused connections is no flood of lines, and hides nobody else's."""

import threading
from dataclasses import dataclass

import pytest
from structlog.testing import capture_logs

from node.observe import security
from node.observe.audit.alerts import Alerts
from node.observe.audit.message import AlertSubject, Message
from node.observe.security import AssociationRejected, Refusals, TooManyConnections, UnknownAddress, listen, listen_no_more


@dataclass
class _Seconds:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


def _rejected(address: str) -> AssociationRejected:
    return AssociationRejected(address=address, calling_ae="X", called_ae="HILUM", rejection="calling", reason="no peer")


def test_one_address_floods_and_another_is_still_told() -> None:
    """Ten lines of the one, all of the other; what was left out is counted when the minute is over, and then it is told anew."""
    seconds = _Seconds()
    told = Refusals(seconds=seconds)
    with capture_logs() as lines:
        for number in range(500):
            told.tell(TooManyConnections(address="10.0.0.1"))
            if number % 100 == 0:
                told.tell(_rejected("10.0.0.2"))
        seconds.now += 61
        told.tell(TooManyConnections(address="10.0.0.1"))
    told.close()
    assert [one["address"] for one in lines if one["event"] == "association.rejected"] == ["10.0.0.2"] * 5
    assert len([one for one in lines if one["event"] == "association.too_many_connections"]) == 11
    (counted,) = [one for one in lines if one["event"] == "association.refusals_left_out"]
    assert (counted["of"], counted["address"], counted["left_out"]) == ("association.too_many_connections", "10.0.0.1", 490)


def test_what_was_left_out_is_told_though_nobody_comes_again() -> None:
    """At the latest when the listener ends."""
    told = Refusals()
    with capture_logs() as lines:
        for _ in range(30):
            told.tell(_rejected("10.0.0.1"))
        told.close()
    assert [one["left_out"] for one in lines if one["event"] == "association.refusals_left_out"] == [20]


def test_addresses_without_end_take_no_memory_without_end() -> None:
    """Those beyond a hundred in a minute share their lines and their count."""
    told = Refusals(seconds=_Seconds())
    with capture_logs() as lines:
        for number in range(3000):
            told.tell(_rejected(f"10.0.{number // 256}.{number % 256}"))
        assert len(told) <= security.MOST_KINDS + 1
        told.close()
    assert sum(one["left_out"] for one in lines if one["event"] == "association.refusals_left_out") == 3000 - 100 - 10


def test_the_audit_trail_counts_every_one() -> None:
    """PS3.15 A.5.3.11: the first is told at once, the others within the minute as a number, whatever the log leaves out."""
    messages: list[Message] = []
    alerts = Alerts(tell=messages.append, process="receive", ae_titles=("HILUM",))
    listen(alerts.hear)
    told = Refusals()
    try:
        for _ in range(200):
            told.tell(_rejected("10.0.0.1"))
    finally:
        listen_no_more()
        alerts.close()
        told.close()
    subjects = [one for message in messages for one in message.objects if isinstance(one, AlertSubject)]
    assert len(messages) == 2
    assert "(199 more within a minute)" in subjects[1].description


def test_a_flood_that_takes_the_last_thread_is_no_error_of_who_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    """The listener holds a seat while it tells; what was left out is told when the next one comes."""
    seconds = _Seconds()
    told = Refusals(seconds=seconds)

    def none_left(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", none_left)
    with capture_logs() as events:
        for _ in range(25):
            told.tell(UnknownAddress(address="10.0.0.1"))
        seconds.now += 61
        told.tell(UnknownAddress(address="10.0.0.2"))
    assert [one["left_out"] for one in events if one["event"] == "association.refusals_left_out"] == [15]
