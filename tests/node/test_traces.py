"""Traces: a collector hears of what a study waited for, from receipt to delivery, and of nothing that says whose it is."""

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pydicom import dcmread
from ruamel.yaml import YAML

from node.observe.spans import ATTRIBUTES
from tests.lab.collector import collector
from tests.lab.howto import HowTo
from tests.lab.node import Node
from tests.lab.program import wait_until
from tests.node.test_whole_way import _block, _send, _settings

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
_PATIENCE_S = 120
PAGE = HowTo("traces.md")
_STEPS = {"arrival", "association", "receive", "settle", "route", "wait", "analyse", "encode", "deliver"}
_UID = re.compile(rb"[0-9]+\.[0-9]+\.[0-9]+\.[0-9.]+")


def test_every_step_of_a_study_is_a_span_of_one_trace_and_none_says_whose_it_is(tmp_path: Path) -> None:
    """From when docs/howto/traces.md has a running node tell, over OTLP, decoded by the protocol's own definitions: times in their
    order, the study as a whole for a parent, only attributes of the list, no UID, no patient. What is parked says its code. While the
    collector takes nothing results go out, and it is told later."""
    began = datetime.now(UTC)
    files = _block(tmp_path / "in", patient="TRACED")
    lungless = _block(tmp_path / "other", patient="NO-LUNGS", slices=24)
    settings = _settings(tmp_path)
    settings["routes"] = [
        {"name": "blocks", "when": {"PatientID": "TRACED"}, "run": ["bench-threshold"], "send": ["results"]},
        {"name": "lungs", "when": {"PatientID": "NO-LUNGS"}, "run": ["ct-lung"], "send": ["results"]},
    ]
    with collector() as told:
        told.status = 503
        with Node(settings, tmp_path) as node:
            (block,) = PAGE.blocks("yaml")
            said = YAML(typ="safe").load(block)["observe"]
            said["traces"] |= {"otlp": told.url, "sample": "100%"}
            node.config.write_text(json.dumps(settings | {"observe": said}))
            for command in PAGE.commands():
                assert node.hilum(*PAGE.typed(command).split()[1:]).code == 0, command
            PAGE.followed()
            _send(node, files)
            _send(node, lungless)
            node.wait_for_jobs(lambda jobs: {job["state"] for job in jobs} == {"done", "parked"}, _PATIENCE_S, "one is done, one parked")
            wait_until(
                lambda: any(one["event"] == "traces.away" for one in node.events()), _PATIENCE_S, "the node says that the collector is away"
            )
            assert told.spans() == []
            told.status = 200
            wait_until(lambda: {one.name for one in told.spans()} >= _STEPS, _PATIENCE_S, "the collector hears of every step")
            wait_until(
                lambda: any(one.name == "analyse" and one.status.code == 2 for one in told.spans()), _PATIENCE_S, "of a failure, too"
            )
            wait_until(lambda: any(one["event"] == "traces.back" for one in node.events()), _PATIENCE_S, "the node says that it is back")
            events = [one["event"] for one in node.events()]
            (parked,) = [job for job in node.jobs() if job["state"] == "parked"]
    spans, body = told.spans(), b"".join(told.bodies)
    assert events.count("traces.away") == 1
    assert events.count("traces.back") == 1
    # one trace a study, whose parent is the study as a whole
    whole = {one.trace_id: one for one in spans if one.name == "arrival"}
    assert len(whole) == 2
    assert all(one.parent_span_id == (b"" if one.name == "arrival" else whole[one.trace_id].span_id) for one in spans)
    done = next(one.trace_id for one in spans if one.name == "deliver" and _said(one)["hilum.application"] == "bench-threshold")
    way = {one.name: one for one in spans if one.trace_id == done}
    ends = [way[name].end_time_unix_nano for name in ("receive", "settle", "route", "analyse", "encode", "deliver")]
    assert ends == sorted(ends)
    assert all(one.start_time_unix_nano <= one.end_time_unix_nano for one in spans)
    assert began - timedelta(seconds=5) < datetime.fromtimestamp(way["arrival"].start_time_unix_nano / 1e9, UTC) < datetime.now(UTC)
    assert way["settle"].end_time_unix_nano - way["settle"].start_time_unix_nano >= 0.9e9, "the quiet window of a second"
    assert _said(way["receive"])["hilum.instances"] == len(files)
    assert [_said(one) for one in spans if one.trace_id == done and one.name == "association"] == [{"hilum.instances": len(files)}]
    assert way["association"].end_time_unix_nano <= way["settle"].end_time_unix_nano
    assert _said(way["deliver"])["hilum.sink"] == "results"
    (failed,) = [one for one in spans if one.name == "analyse" and one.trace_id != done]
    assert _said(failed)["hilum.code"] == parked["code"]
    # nothing that says whose it is
    assert {name for one in spans for name in _said(one)} <= set(ATTRIBUTES)
    assert told.resources[0].keys() == {"service.name", "service.instance.id", "service.version"}
    assert _UID.findall(body.replace(told.resources[0]["service.version"].encode(), b"")) == []
    for path in (*files, *lungless):
        one = dcmread(path, stop_before_pixels=True)
        for value in (one.PatientID, one.PatientName, one.SeriesInstanceUID, one.StudyInstanceUID):
            assert str(value).encode() not in body


def _said(span: object) -> dict[str, str | int]:
    """The attributes of a span."""
    return {
        one.key: one.value.int_value if one.value.WhichOneof("value") == "int_value" else one.value.string_value
        for one in span.attributes  # type: ignore[attr-defined]
    }
