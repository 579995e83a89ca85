"""The journal's history on its way to the audit trail, and to a collector of traces."""

import contextlib
from datetime import timedelta
from pathlib import Path

import pytest

from node.assembly.flow import telling_history, trace_stage
from node.journal.journal import Journal
from node.settings.audit import Audit
from node.settings.config import Config
from node.settings.node import Node
from node.settings.observe import Traces
from node.settings.store import Store
from node.store.in_force import Present
from tests.lab import audit, empty_journal
from tests.lab.collector import collector
from tests.lab.loopback import free_port
from tests.lab.program import wait_until
from tests.unit.flow.test_around_stages import Candidate
from tests.unit.journal.story import Story

_RECEIVED = "DICOM Instances Transferred"


def test_what_came_before_this_process_led_is_told(tmp_path: Path) -> None:
    """A new node under load: its first study is complete before the first step of the stage that tells. Nothing of it may be missing."""
    config = Config(
        path=tmp_path / "hilum.yaml",
        digest="0" * 64,
        node=Node(),
        store=Store(journal=f"sqlite:{tmp_path}/hilum.db", blobs=tmp_path / "blobs"),
        models=tmp_path / "models",
        peers={},
        sinks={},
        applications={},
        routes=(),
        audit=Audit(folder=tmp_path / "audit"),
    )
    journal = Journal.open(empty_journal.make(config.store.journal))
    leader = Candidate()
    story = Story(journal, now=journal.now() - timedelta(minutes=1))
    with telling_history(Present(config), journal, leader):
        story.receive(1, 2, 3, header={"PatientID": ("FIRST",), "Modality": ("CT",)})
        story.route(story.job_asked())
        leader.leads = True
        wait_until(lambda: audit.trail(tmp_path / "audit"), 30, "something is told")
    journal.close()
    (received,) = audit.of(audit.trail(tmp_path / "audit"), _RECEIVED)
    assert (audit.patients(received), audit.studies(received)) == (["FIRST"], {"1.1": 3})


def test_a_collector_on_this_machine_is_not_asked_by_the_proxy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy of the hospital could not reach it. Here there is none."""
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HTTP_PROXY", "http_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
    store = Store(journal=f"sqlite:{tmp_path}/hilum.db", blobs=tmp_path / "blobs")
    config = Config(path=tmp_path / "hilum.yaml", digest="0" * 64, node=Node(), store=store, models=tmp_path)
    with collector() as told, contextlib.closing(Journal.open(empty_journal.make(store.journal))) as journal:
        stage = trace_stage(config, Traces(otlp=told.url.replace("127.0.0.1", "localhost"), sample=1.0), journal)
        Story(journal, now=journal.now()).queued()
        stage.step()
        stage.close()
        assert {one.name for one in told.spans()} == {"arrival", "receive", "settle", "route"}
