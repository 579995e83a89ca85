"""Who came, kept in files of bounded size: what a reader finds of it, and what keeps nobody waiting."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from io import FileIO
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from node.observe.association_log import AssociationLog, kept_lines
from node.observe.security import (
    AssociationAccepted,
    AssociationFinished,
    AssociationRejected,
    Refusals,
    UnknownAddress,
    listen_no_more,
    listen_to_lines,
    tell,
)
from node.records.associations import REMEDIES, association_in_words, association_records

NOW = datetime(2026, 3, 1, 3, 0, tzinfo=UTC)
_HOUR = timedelta(hours=1)


@dataclass
class _Clock:
    now: datetime = NOW

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture(autouse=True)
def _nobody_else_hears() -> Iterator[None]:
    with capture_logs():
        yield
    listen_no_more()


def _accepted(association: str, peer: str | None = "ct1") -> AssociationAccepted:
    return AssociationAccepted(
        association=association,
        calling_ae="CT1",
        called_ae="HILUM",
        address="10.0.0.3",
        peer=peer,
        user=None,
        contexts=2,
        contexts_rejected=0,
    )


def _ended(association: str) -> AssociationFinished:
    return AssociationFinished(association=association, how="released", kept=120, refused=1, took_s=3.25)


def _rejected(address: str = "10.0.0.9") -> AssociationRejected:
    return AssociationRejected(
        address=address, calling_ae="CT\x1b7", called_ae="HILUN", rejection="called", reason='called AE title "HILUN" is none of this node'
    )


def _told(folder: Path, since: datetime = NOW - _HOUR) -> list[str]:
    return [association_in_words(one) for one in association_records(kept_lines(folder), since)]


def test_an_association_is_one_record_from_its_two_lines(tmp_path: Path) -> None:
    """It stands until it ends; who was turned away has the reason and what to do."""
    log = AssociationLog(tmp_path, 0, clock=_Clock())
    log.hear(_accepted("a"))
    log.hear(_accepted("b", peer=None))
    log.hear(_ended("a"))
    log.hear(_rejected())
    records = association_records(kept_lines(tmp_path), NOW - _HOUR)
    assert [association_in_words(one) for one in records] == [
        "accepted as ct1; 120 instances kept, 1 refused; released after 3.2 s",
        "accepted, a stranger; it stands",
        'turned away: called AE title "HILUN" is none of this node',
    ]
    assert records[2]["remedy"] == REMEDIES["called"]


def test_what_stood_when_the_receiver_was_killed_is_lost(tmp_path: Path) -> None:
    """Its successor goes on in the same file; another receiver's associations stand on."""
    AssociationLog(tmp_path, 0, clock=_Clock()).hear(_accepted("a"))
    AssociationLog(tmp_path, 1, clock=_Clock()).hear(_accepted("b"))
    AssociationLog(tmp_path, 0, clock=_Clock()).hear(_accepted("c"))
    assert _told(tmp_path) == [
        "accepted as ct1; lost: the receive process ended",
        "accepted as ct1; it stands",
        "accepted as ct1; it stands",
    ]


def test_what_ended_before_is_left_out_and_what_stands_is_not(tmp_path: Path) -> None:
    """A scanner may keep one open for hours."""
    clock = _Clock()
    log = AssociationLog(tmp_path, 0, clock=clock)
    log.hear(_accepted("open for hours"))
    log.hear(_accepted("over"))
    log.hear(_ended("over"))
    log.hear(_rejected())
    clock.now += 2 * _HOUR
    assert _told(tmp_path, clock.now - _HOUR) == ["accepted as ct1; it stands"]


def test_the_files_never_grow_beyond_their_bound_and_keep_the_newest(tmp_path: Path) -> None:
    """Two of them: the older goes when the newer is full."""
    log = AssociationLog(tmp_path, 0, most_bytes=10_000, clock=_Clock())
    for number in range(500):
        log.hear(_accepted(f"{number}"))
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 2 * 10_400
    (lines,) = kept_lines(tmp_path)
    assert lines[-1]["association"] == "499"
    assert len(lines) > 30


def test_a_flood_of_refusals_is_ten_lines_and_a_count(tmp_path: Path) -> None:
    """And takes the room of nobody else's lines."""
    listen_to_lines(AssociationLog(tmp_path, 0, clock=_Clock()).hear)
    refusals = Refusals()
    tell(_accepted("a"))
    for _ in range(5000):
        refusals.tell(UnknownAddress(address="10.0.0.66"))
    refusals.close()
    told = _told(tmp_path)
    assert told == [
        "accepted as ct1; it stands",
        *["turned away: no peer has this address"] * 10,
        "turned away: 4990 more connections like those before",
    ]


def test_a_disk_that_takes_no_line_keeps_nobody_waiting(tmp_path: Path) -> None:
    """It is for people: a sender is served all the same; what is cut off in mid-line is left out by the reader."""
    (tmp_path / "folder").write_text("no folder")
    AssociationLog(tmp_path / "folder", 0, clock=_Clock()).hear(_accepted("a"))
    AssociationLog(tmp_path, 0, clock=_Clock()).hear(_accepted("a"))
    with (tmp_path / "0.jsonl").open("ab") as file:
        file.write(b'{"at": "2026-03-01T03:00:00+00:00", "event": "associ')
    assert _told(tmp_path) == ["accepted as ct1; it stands"]


_ODD: tuple[bytes, ...] = (
    b"[" * 100_000,
    b'{"at": "2026-03-01T03:00:00+00:00", "event": "association.accepted", "association": "z"}',
    b'{"at": "2026-03-01T03:00:00+00:00", "event": "association.accepted", "association": [], "contexts": 1, "contexts_rejected": 0}',
    b'{"at": "yesterday", "event": "association.unknown_address"}',
    b'{"at": "2026-03-01T03:00:00", "event": "association.unknown_address"}',
    b'{"at": 3, "event": "association.unknown_address"}',
    b'{"at": "2026-03-01T03:00:00+00:00", "event": "association.ended", "association": "a"}',
    b'{"at": "2026-03-01T03:00:00+00:00", "event": "association.refusals_left_out", "left_out": "many"}',
    b'{"at": "2026-03-01T03:00:00+00:00", "event": "association.resumed", "association": "a"}',
    b'"at event"',
    b"\xff\x00",
)


@pytest.mark.parametrize("odd", _ODD, ids=range(len(_ODD)))
def test_a_line_of_another_kind_costs_no_other(tmp_path: Path, odd: bytes) -> None:
    """Of another version of hilum, of a disk that lost bytes, of somebody's editor: what stands before and behind it is told."""
    log = AssociationLog(tmp_path, 0, clock=_Clock())
    log.hear(_accepted("a"))
    with (tmp_path / "0.jsonl").open("ab") as file:
        file.write(odd + b"\n")
    log.hear(_ended("a"))
    log.hear(_rejected())
    assert _told(tmp_path) == [
        "accepted as ct1; 120 instances kept, 1 refused; released after 3.2 s",
        'turned away: called AE title "HILUN" is none of this node',
    ]


def test_a_disk_that_gives_nothing_back_costs_no_other_file(tmp_path: Path) -> None:
    """Of one receive process nothing can be read; what the other has told is there."""
    (tmp_path / "0.jsonl").mkdir()
    AssociationLog(tmp_path, 1, clock=_Clock()).hear(_accepted("a"))
    assert _told(tmp_path) == ["accepted as ct1; it stands"]


def test_a_line_that_a_full_disk_cut_off_takes_no_other_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the same process, which went on, and by one that was killed: the next line begins on a line of its own."""
    with monkeypatch.context() as full:
        full.setattr(Path, "open", lambda path, *_, **__: _HalfWritten(path, "ab+"))
        log = AssociationLog(tmp_path, 0, clock=_Clock())
    log.hear(_accepted("b"))
    with (tmp_path / "0.jsonl").open("ab") as file:
        file.write(b'{"at": "2026-03')
    AssociationLog(tmp_path, 0, clock=_Clock()).hear(_accepted("c"))
    assert [(one["event"], one.get("association")) for lines in kept_lines(tmp_path) for one in lines] == [
        ("association.accepted", "b"),
        ("receiver.began", None),
        ("association.accepted", "c"),
    ]


class _HalfWritten(FileIO):
    """A file on a disk that takes half of what is written."""

    def write(self, data: Any) -> int:
        """Half of it, and how much that was."""
        return super().write(data[: len(data) // 2])
