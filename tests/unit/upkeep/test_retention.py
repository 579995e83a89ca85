"""The retention stage on the real journal and blobs: what goes by age, what goes when the disk fills, and a crash in between."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import insert
from sqlalchemy.event import listen
from structlog.testing import capture_logs

from node.assembly.configuration import load
from node.blobs.folder import FolderBlobs
from node.domain.instance import Standing
from node.domain.job import DELIVERY_MARKS
from node.journal import schema
from node.journal.journal import Journal
from node.journal.rows import micros
from node.settings.config import Config
from node.settings.node import Node
from node.settings.store import Store
from node.upkeep.retention import OldDeliveryMarks, Retention
from tests.lab import empty_journal
from tests.unit.journal.story import START, Story

DAY = timedelta(days=1)


class Disk(FolderBlobs):
    """Blobs on a disk that holds `room` of them; may die at a deletion."""

    room = 100
    dies_at = ""

    def used_share(self) -> float:
        """How many of `room` are taken."""
        return len(list(self.names())) / self.room

    def delete(self, name: str) -> None:
        """As its parent does, or die before."""
        if name == self.dies_at:
            raise InterruptedError
        super().delete(name)


class Kept:
    """A journal, its blobs, and the stage that thins them: 14 days for bytes, 400 for headers."""

    def __init__(self, folder: Path) -> None:
        self.story = Story(Journal.open(empty_journal.make(f"sqlite:{folder}/hilum.db")))
        self.blobs = Disk(folder / "blobs")
        store = Store(journal="", blobs=folder / "blobs", keep=14 * DAY, keep_headers=400 * DAY, high_water=0.5)
        self.config = Config(path=folder, digest="", node=Node(), store=store, models=folder)
        self.set_by = timedelta()  # what somebody set the clock ahead by
        self.retention = Retention(
            self.story.journal.retention,
            self.blobs,
            self.config,
            lambda: self.story.now + self.set_by,
            seconds=lambda: self.story.now.timestamp(),
        )

    def study(self, number: int, instances: int = 3) -> list[str]:
        """Instances of a study of their own, analysed and delivered; the blobs of these, of its findings and of its objects."""
        journal = self.story.journal
        uid = f"1.{number}"
        self.story.receive(*range(100 * number, 100 * number + instances), study_instance_uid=uid)
        (job,) = self.story.route(self.story.job_asked(), study=uid)
        held = self.story.claim()
        self.story.infer(held)
        self.story.encode(held)
        self.story.deliver()
        names = [i.blob for i in journal.instances.of_job(job)] + [f"findings/{job}"] + [one.blob for one in journal.results.of_job(job)]
        for name in names:
            self.blobs.put(name, name.encode())
        return names

    def standing(self, number: int) -> Standing:
        return self.story.journal.instances.by_uid(f"1.1.1.{number}")[0].standing


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Kept]:
    """An empty one."""
    made = Kept(tmp_path)
    yield made
    made.story.journal.close()


def test_bytes_go_when_they_are_old_and_headers_much_later(kept: Kept) -> None:
    """After 14 days pixels, findings and objects of what was delivered; after 400 the header and the history; the row stays for good."""
    names = kept.study(1)
    kept.story.now += 14 * DAY
    assert kept.retention.step() == 0
    kept.story.now += timedelta(seconds=1)
    assert kept.retention.step() == len(names)
    assert list(kept.blobs.names()) == []
    assert kept.standing(100) is Standing.PURGED
    assert kept.story.journal.instances.by_uid("1.1.1.100")[0].header["Modality"] == ("CT",)
    assert kept.retention.step() == 0
    lines = len(kept.story.journal.events.behind(0, kept.story.now + DAY, 1000))
    kept.story.now += 400 * DAY
    assert kept.retention.step() == 3 + lines - 3, "three headers, and all lines but those of the purge, which are 400 days old and no more"
    assert kept.story.journal.instances.by_uid("1.1.1.100")[0].header == {}


def test_what_is_to_stay_for_longer_than_dates_reach_stays_for_good(kept: Kept, tmp_path: Path) -> None:
    """`999999d` before today is no date: nothing grows so old, of pixels, headers, history and delivery marks alike."""
    path = tmp_path / "hilum.yaml"
    path.write_text("store: {keep: 999999d, keep_headers: 999999d, keep_history: 999999d}\n")
    config, now = load(path), lambda: kept.story.now
    retention = Retention(kept.story.journal.retention, kept.blobs, config, now, seconds=lambda: kept.story.now.timestamp())
    names = kept.study(1)
    kept.blobs.put(f"{DELIVERY_MARKS}1", b"")
    for _ in range(2):
        assert retention.step() == 0
        assert OldDeliveryMarks(kept.blobs, now, keep=config.store.keep_headers).step() == 0
        kept.story.now += 20_000 * DAY
    assert {*kept.blobs.names()} == {*names, f"{DELIVERY_MARKS}1"}


def test_the_history_goes_last_and_never_before_it_is_told(kept: Kept) -> None:
    """It is as old as headers may be, and the audit trail has not told it: it stays. Then all but the newest line goes."""
    journal = kept.story.journal
    before = journal.events.position("audit")
    kept.study(1)
    told = journal.events.behind(before, kept.story.now)
    store = replace(kept.config.store, keep_history=500 * DAY)
    retention = Retention(
        journal.retention,
        kept.blobs,
        replace(kept.config, store=store),
        lambda: kept.story.now,
        followers=lambda: ["audit"],
        seconds=lambda: kept.story.now.timestamp(),
    )
    for _ in range(500):
        kept.story.now += DAY
        retention.step()
    assert journal.events.behind(before, kept.story.now)[: len(told)] == told
    kept.story.now += DAY
    assert retention.step() == 0, "nobody has told it"
    journal.events.advance("audit", told[-1].number)
    assert retention.step() == len(told)
    assert journal.events.behind(before, kept.story.now)[0].event.name == "instance.purged"


def test_the_history_keeps_up_and_what_a_wrong_clock_dated_is_read_once_a_day(kept: Kept) -> None:
    """More lines than one statement deletes go in one step. What a clock that was years ahead has dated is passed over once, and not looked
    at by each step; a day later it is, and goes when it is old."""
    database, year, read = kept.story.journal.database, 365 * DAY, list[str]()

    def keep(connection: object, cursor: object, statement: str, *_: object) -> None:
        if statement.startswith("SELECT event.id"):
            read.append(statement)

    def say(lines: int, at: datetime) -> None:
        line = {"at": micros(at), "subject": "arrival", "subject_id": 1, "name": "arrival.overtaken", "detail": ""}
        with database.writing() as connection:
            connection.execute(insert(schema.event), [line] * lines)

    say(1200, kept.story.now + 10 * year)
    say(1200, kept.story.now)
    say(1, kept.story.now)
    listen(database.engine, "before_cursor_execute", keep)
    kept.story.now += 401 * DAY
    assert kept.retention.step() == 1200
    assert len(read) == 5, "pages of 500"
    for _ in range(2):
        kept.story.now += timedelta(seconds=30)
        read.clear()
        assert kept.retention.step() == 0
        assert len(read) == 1, "nothing is left to look at"
    kept.story.now += DAY
    read.clear()
    assert kept.retention.step() == 0
    assert len(read) == 3, "those that are dated ahead"
    kept.story.now += 10 * year
    assert kept.retention.step() == 1200, "the newest stays"


def test_what_is_still_needed_is_never_deleted(kept: Kept) -> None:
    """A job that waits for its engine for a month keeps its pixels, however full the disk."""
    kept.story.queued()
    for row in kept.story.journal.retention.purgeable(START - DAY):
        kept.blobs.put(row.blob, b"pixels")
    kept.blobs.put("instances/1.dcm", b"pixels")
    kept.blobs.room = 1
    kept.story.now += 30 * DAY
    assert kept.retention.step() == 0
    assert list(kept.blobs.names()) == ["instances/1.dcm"]


def test_a_filling_disk_loses_its_oldest_pixels_first(kept: Kept) -> None:
    """Down to the high-water mark, fifty at a time; results and the younger pixels stay."""
    old = kept.study(1, 60)
    kept.story.now += DAY
    young = kept.study(2, 20)
    kept.blobs.room = 2 * (len(old) + len(young))  # exactly at the mark
    assert kept.retention.step() == 0
    kept.blobs.room -= 1
    assert kept.retention.step() == 50
    assert set(kept.blobs.names()) == set(old[50:] + young)
    kept.story.now += timedelta(seconds=1)
    kept.blobs.room = 2 * 30
    assert kept.retention.step() == 30, "the other ten and all of the young study"
    assert not any(name.startswith("instances/") for name in kept.blobs.names())


def test_a_full_disk_that_cannot_be_relieved_is_told_once(kept: Kept) -> None:
    """Nothing may be deleted: one alarm, not one a second."""
    kept.blobs.put("results/of/another", b"x")
    kept.blobs.room = 1
    with capture_logs() as told:
        assert [kept.retention.step() for _ in range(3)] == [0, 0, 0]
    assert [one["event"] for one in told] == ["retention.disk_full"]


@pytest.mark.parametrize("at", range(6))
def test_a_crash_between_tombstone_and_blob_is_finished_by_the_next_step(kept: Kept, at: int) -> None:
    """Dying before any of the deletions: the tombstones stand, and the next step deletes what is left of them."""
    names = kept.study(1)
    kept.story.now += 15 * DAY
    kept.blobs.dies_at = sorted(names)[at]
    with pytest.raises(InterruptedError):
        kept.retention.step()
    assert kept.standing(100) is Standing.PURGED
    kept.blobs.dies_at = ""
    kept.retention.step()
    assert list(kept.blobs.names()) == []
    assert kept.story.journal.retention.purged_blobs() == {}


def test_a_clock_that_was_set_ahead_makes_nothing_old_for_a_day(kept: Kept) -> None:
    """By a year: nothing is deleted, and an alarm says so; whoever sets it right within a day has lost nothing. Later it is believed."""
    kept.study(1)
    kept.retention.step()
    kept.set_by = 365 * DAY
    with capture_logs() as said:
        kept.retention.step()
        kept.story.now += timedelta(hours=23)
        kept.retention.step()
    assert [one["by_s"] for one in said if one["event"] == "clock.went_ahead"] == [365 * 86_400]
    assert kept.standing(100) is Standing.CURRENT
    kept.set_by = timedelta()
    kept.story.now += 2 * DAY
    kept.retention.step()
    assert kept.standing(100) is Standing.CURRENT
    kept.set_by = 365 * DAY
    kept.retention.step()
    kept.story.now += 2 * DAY
    kept.retention.step()
    assert kept.standing(100) is Standing.PURGED
