"""Two scenes in which a node once gave a confident answer of half a head: little disk, and a sender that lists more than came."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from tests.crash.disk import Disk
from tests.lab import dcmtk
from tests.lab.node import QUIET, Node, configuration
from tests.lab.program import wait_until
from tests.lab.wire import Sender
from tests.node.test_network_cases import _APPLICATIONS, _jobs, _offer, _series

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

_ALL, _CAME = 96, 38
_TOLD_WITHIN_S = 10
_PATIENCE_S = 120


def _node(folder: Path, *, peers: dict[str, Any], sinks: dict[str, Any], **node: Any) -> Node:
    settings = configuration(
        folder,
        port=0,
        repository=folder / "models",
        peers=peers,
        sinks=sinks,
        routes=[{"name": "all", "run": ["bench-threshold"], "send": list(sinks), **node.pop("route", {})}],
    )
    settings["models"] = {"repository": str(folder / "models"), "applications": [str(_APPLICATIONS)]}
    return Node(settings, folder, **node)


def _state(node: Node, study: str) -> Any:
    return next((one["state"] for one in node.studies() if one["study_uid"] == study), None)


def _told(node: Node, study: str) -> tuple[str, int, int]:
    """Why it is held, how many came of how many: in the list within ten seconds of its quiet window, while there is no job."""
    wait_until(lambda: _state(node, study) == "incomplete", 4 + _TOLD_WITHIN_S, "it is told", every_s=0.2)
    assert _jobs(node, study) == []
    (one,) = next(one for one in node.studies() if one["study_uid"] == study)["incomplete"]
    return one["why"], one["came"], one["expected"]


def _items(report: Dataset) -> Iterator[Dataset]:
    for one in report.get("ContentSequence", ()):
        yield one
        yield from _items(one)


def _made(files: Sequence[Path], study: str) -> list[Dataset]:
    return [one for path in files if (one := dcmread(path)).StudyInstanceUID == study]


def test_a_disk_with_little_room_parks_what_came_and_the_rest_makes_it_whole(tmp_path: Path) -> None:
    """0xA700 to 58 of 96 slices: held and told, parked as incomplete after its time, never analysed; room comes, the sender sends again,
    and there is one result, of all of them."""
    disk = Disk(tmp_path / "node" / "blobs", tmp_path / "disk", records=False)
    slices = _series(tmp_path / "in", lambda one: None, slices=_ALL)
    study, offers = str(slices[0].StudyInstanceUID), [_offer(one) for one in slices]
    scanner = {"ae_title": "SCANNER", "address": "127.0.0.1:0", "settle": {"quiet": QUIET, "longest": "20s"}}
    sinks = {"one": {"kind": "folder", "path": str(tmp_path / "one")}}
    with _node(tmp_path / "node", peers={"scanner": scanner}, sinks=sinks, environment=disk.environment) as node:
        with Sender(node.port, offers, calling="SCANNER") as sender:
            assert {sender.store(one) for one in offers[:_CAME]} == {0x0000}
            disk.set_free(0)
            wait_until(lambda: sender.store(offers[0]) == 0xA700, 10, "the disk is full")
            assert {sender.store(one) for one in offers[_CAME:]} == {0xA700}
        why, came, expected = _told(node, study)
        assert (why, came) == ("refused", _CAME)
        assert _CAME < expected <= _ALL  # as many as had been refused when it was held
        wait_until(lambda: bool(_jobs(node, study)), _PATIENCE_S, "its time is over", every_s=0.5)
        (parked,) = _jobs(node, study)
        assert (parked["state"], parked["code"]) == ("parked", "HLM-3087")
        assert f"{_CAME} of {_ALL} instances came" in parked["reason"]
        assert list((tmp_path / "one").rglob("*.dcm")) == []
        disk.set_free(None)

        def admitted() -> bool:
            with Sender(node.port, offers, calling="SCANNER") as sender:
                return sender.accepted and {sender.store(one) for one in offers[_CAME:]} == {0x0000}

        wait_until(admitted, _PATIENCE_S, "the rest is taken", every_s=1)
        wait_until(lambda: any(job["state"] == "done" for job in _jobs(node, study)), _PATIENCE_S, "the whole is analysed", every_s=0.5)
        before, after = sorted(_jobs(node, study), key=lambda job: int(job["id"]))
        assert (before["state"], after["state"]) == ("superseded", "done")
        assert node.hilum("jobs", "show", after["id"], "--json").json["instances"] == _ALL
        made = _made(list((tmp_path / "one").rglob("*.dcm")), study)
        assert made
        assert not any("INCOMPLETE" in str(one.SeriesDescription) for one in made)


def test_a_sender_that_lists_more_than_came_gives_an_urgent_result_that_says_so(tmp_path: Path) -> None:
    """dcmqrscp answers C-FIND at SERIES level with 96 while 38 came: held and told, then INCOMPLETE 38 of 96 stands first in what the
    archive gets, and no volume does."""
    slices = _series(tmp_path / "in", lambda one: None, slices=_ALL)
    study, offers = str(slices[0].StudyInstanceUID), [_offer(one) for one in slices]
    for number, one in enumerate(slices):
        one.save_as(tmp_path / "in" / f"{number}.dcm", enforce_file_format=True)
    with (
        dcmtk.DcmQrScp(tmp_path / "pacs", aet="SCANNER", node_port=1) as pacs,
        dcmtk.StoreScp(tmp_path / "archive") as archive,
    ):
        sent = dcmtk.dcmsend(pacs.port, *sorted((tmp_path / "in").glob("*.dcm")), called="SCANNER")
        assert sent.code == 0, sent.text
        scanner = {"ae_title": "SCANNER", "address": f"127.0.0.1:{pacs.port}", "may": ["store", "echo", "find"]}
        peers = {
            "scanner": {**scanner, "settle": {"quiet": "4s", "counted": "1s", "longest": "20s"}},
            "archive": {"ae_title": archive.aet, "address": f"127.0.0.1:{archive.port}"},
        }
        sinks = {"archive": {"kind": "dimse", "peer": "archive"}}
        with _node(tmp_path / "node", peers=peers, sinks=sinks, route={"priority": "urgent"}) as node:
            with Sender(node.port, offers, calling="SCANNER") as sender:
                assert {sender.store(one) for one in offers[:_CAME]} == {0x0000}
            assert _told(node, study) == ("count", _CAME, _ALL)
            wait_until(lambda: any(job["state"] == "done" for job in _jobs(node, study)), _PATIENCE_S, "it is delivered", every_s=0.5)
            (job,) = _jobs(node, study)
            assert node.hilum("jobs", "show", job["id"], "--json").json["instances"] == _CAME
            made = _made(archive.received(), study)
            assert all(str(one.SeriesDescription).startswith(f"INCOMPLETE {_CAME} of {_ALL}: ") for one in made)
            reports = [one for one in made if one.Modality == "SR"]
            assert reports
            for report in reports:
                first = next(item for item in _items(report) if item.ValueType == "TEXT")
                assert str(first.TextValue).startswith(f"INCOMPLETE {_CAME} of {_ALL}: ")
                assert "Volume" not in {item.ConceptNameCodeSequence[0].CodeMeaning for item in _items(report) if item.ValueType == "NUM"}
