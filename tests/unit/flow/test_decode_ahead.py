"""Decode ahead: instances of open arrivals that a route would take are read once each, in small steps, and nothing else is."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from node.domain.errors import JournalError
from node.domain.instance import Instance
from node.domain.route import Condition, ConditionOperator, Route
from node.flow.decode_ahead import DecodeAheadStage
from node.flow.settle import complete_now
from node.journal.port import NewInstance
from tests.unit.flow.mini import MiniNode

J2K = "1.2.840.10008.1.2.4.90"
PLAIN = "1.2.840.10008.1.2.1"


class Decoder:
    """Two frames a file; each takes a twentieth of a second on the test's clock."""

    def __init__(self) -> None:
        self.files: list[str] = []
        self.seconds = 0.0

    def __call__(self, path: Path) -> Iterator[bool]:
        self.files.append(path.name)
        for _ in range(2):
            self.seconds += 0.05
            yield True


@pytest.fixture
def decoder() -> Decoder:
    """A decoder that remembers what it was asked for."""
    return Decoder()


def _ahead(node: MiniNode, decoder: Decoder, *routes: Route) -> DecodeAheadStage:
    return DecodeAheadStage(node.journal, node.blobs, routes or node.config.routes, node.clock, decoder, seconds=lambda: decoder.seconds)


def _receive(node: MiniNode, *numbers: int, study: str = "1.1", syntax: str = J2K, modality: str = "CT") -> None:
    """Instances of one series, with files behind them."""
    for number in numbers:
        blob = f"instances/{study}-{number}.dcm"
        node.blobs.put(blob, b"x")
        instance = Instance(
            sop_instance_uid=f"{study}.1.{number}",
            sop_class_uid="1.2.840.10008.5.1.4.1.1.2",
            study_instance_uid=study,
            series_instance_uid=f"{study}.1",
            transfer_syntax_uid=syntax,
            blob=blob,
            size=1,
            digest=blob,
            calling_ae="CT1AE",
            called_ae="HILUM",
            address="127.0.0.1",
            peer="ct1",
            received_at=node.clock(),
            header={"Modality": (modality,)},
        )
        new = NewInstance(instance=instance, opens=True, scope_series=False, due_at=node.clock() + timedelta(seconds=5))
        node.journal.instances.record([new], node.clock())


def _all(ahead: DecodeAheadStage, decoder: Decoder) -> list[str]:
    """Step until nothing is left of what has come."""
    for _ in range(50):
        ahead.step()
        decoder.seconds += 1.0
        if ahead.idle:
            break
    return decoder.files


def test_an_open_study_is_decoded_while_it_comes_each_file_once(node: MiniNode, decoder: Decoder) -> None:
    """What came first is not waited for again when more comes."""
    ahead = _ahead(node, decoder)
    _receive(node, 1, 2)
    assert _all(ahead, decoder) == ["1.1-1.dcm", "1.1-2.dcm"]
    _receive(node, 3)
    assert _all(ahead, decoder) == ["1.1-1.dcm", "1.1-2.dcm", "1.1-3.dcm"]


def test_the_headers_of_what_is_not_compressed_are_read_in_a_lull(node: MiniNode, decoder: Decoder) -> None:
    """Receiving comes first: not before half a second without an instance. Where they are not wanted, never."""
    ahead, unwilling = (
        _ahead(node, decoder),
        DecodeAheadStage(node.journal, node.blobs, node.config.routes, node.clock, decoder, plain=False),
    )
    _receive(node, 1, 2, syntax=PLAIN)
    assert _all(ahead, decoder) == []
    node.clock.advance(0.4)
    _receive(node, 3, syntax=PLAIN)
    node.clock.advance(0.4)
    assert _all(ahead, decoder) == []
    node.clock.advance(0.1)
    unwilling.step()
    assert _all(ahead, decoder) == ["1.1-1.dcm", "1.1-2.dcm", "1.1-3.dcm"]


def test_what_no_route_would_take_is_left_alone(node: MiniNode, decoder: Decoder) -> None:
    """As far as the first header tells; how many there will be, and of what kind, does not count against it."""
    ct = Condition(keyword="Modality", operator=ConditionOperator.EQUALS, expected=("CT",), negated=False)
    mr = replace(ct, expected=("MR",))
    many = Condition(keyword="NumberOfSeriesRelatedInstances", operator=ConditionOperator.MIN, expected=(100,), negated=False)
    ahead = _ahead(node, decoder, Route(name="ct", run=("threshold",), send=("archive",), when=(ct, many), any_series=(mr,)))
    _receive(node, 1)
    _receive(node, 1, study="1.2", modality="MR")
    _receive(node, 1, study="1.3", modality="MR", syntax=PLAIN)
    node.clock.advance(1)
    assert _all(ahead, decoder) == ["1.1-1.dcm"]


def test_a_step_ends_so_that_a_job_has_its_turn(node: MiniNode, decoder: Decoder) -> None:
    """After a tenth of a second, in the middle of whatever there is; it says that it moved nothing, so that jobs come first."""
    ahead = _ahead(node, decoder)
    _receive(node, *range(1, 9))
    began = decoder.seconds
    assert ahead.step() == 0
    assert decoder.seconds - began == pytest.approx(0.1)
    assert not ahead.idle


def test_a_study_that_is_complete_is_not_looked_at_any_more(node: MiniNode, decoder: Decoder) -> None:
    """Its job reads it now."""
    ahead = _ahead(node, decoder)
    _receive(node, *range(1, 9))
    ahead.step()
    begun = len(decoder.files)
    (arrival,) = node.journal.arrivals.find()
    complete_now(node.journal.arrivals, arrival, node.clock())
    decoder.seconds += 1.0
    assert len(_all(ahead, decoder)) == begun


def test_a_journal_that_is_away_is_told_and_met_again(node: MiniNode, decoder: Decoder, monkeypatch: pytest.MonkeyPatch) -> None:
    """The stage fails as any other does, and goes on from the beginning."""
    ahead = _ahead(node, decoder)
    _receive(node, 1)

    def away(*_: Any, **__: Any) -> None:
        raise JournalError("away")

    with monkeypatch.context() as broken:
        broken.setattr(node.journal.arrivals, "find", away)
        with pytest.raises(JournalError):
            ahead.step()
    assert ahead.idle
    decoder.seconds += 1.0
    assert _all(ahead, decoder) == ["1.1-1.dcm"]
