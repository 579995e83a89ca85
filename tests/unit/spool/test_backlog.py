"""What waits in the spool for a journal or a bucket that is away: named by readiness after a minute, told to people after `late`, once."""

import json
import time
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from node.assembly.compose import open_journal
from node.domain.instance import Reception
from node.domain.notice import Item
from node.records.telemetry import Facts, Telemetry
from node.settings.config import Config
from node.settings.node import Node
from node.settings.store import Store
from node.spool.backlog import LATE_S, BacklogWatch
from node.spool.inbox import FolderInbox
from tests.lab.spool import keep_whole


def test_what_waits_for_the_journal_is_named_and_told_once_and_its_end_too(tmp_path: Path) -> None:
    """A real spool with one instance in it, by a clock of the test's own; studies are taken in meanwhile: degraded, not unready."""
    told: list[Item] = []
    store = Store(journal=f"sqlite:{tmp_path}/hilum.db", blobs=tmp_path / "blobs", min_free_bytes=1)
    config = Config(path=tmp_path / "hilum.yaml", digest="d" * 64, node=Node(), store=store, models=tmp_path)
    inbox = FolderInbox(store.blobs, min_free_bytes=1)
    late_s = [0.0]
    looked = BacklogWatch(
        store.spooled, "the journal", lambda: timedelta(minutes=10), told.append, now_ns=lambda: time.time_ns() + int(late_s[0] * 1e9)
    )

    def why(after_s: float) -> str:
        late_s[0] = after_s
        looked.look()
        return looked.why()

    assert why(3600) == ""
    reception = Reception(
        sop_instance_uid="1.2.3.4.1",
        sop_class_uid="1.2.840.10008.5.1.4.1.1.2",
        transfer_syntax_uid="1.2.840.10008.1.2.1",
        calling_ae="CT1",
        called_ae="HILUM",
        address="127.0.0.1",
        association="1",
        received_at=datetime.now(UTC),
    )
    keep_whole(inbox, reception, b"an instance")
    assert why(0) == ""
    assert why(LATE_S).startswith("received instances wait for the journal: 1, the oldest for 6")
    telemetry = Telemetry(config, [], Facts(config.store, partial(open_journal, config)), waits=looked.why)
    assert json.loads(telemetry.readiness_page().body)["parts"]["spool"]["why"] == looked.why()
    assert told == []
    for after_s in (600, 700):
        assert why(after_s)
        assert [one.says.startswith("Received instances wait in ") for one in told] == [True]
    for entry in inbox.waiting(9):
        entry.unlink()
    assert why(800) == ""
    assert [one.over for one in told] == [False, True]
    assert why(900) == ""
    assert len(told) == 2
