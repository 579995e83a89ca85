"""Short series against one real node, over real associations: told within seconds, analysed whole once the rest came, or when told to."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from tests.lab.howto import HowTo
from tests.lab.node import QUIET, Node, configuration
from tests.lab.program import wait_until
from tests.lab.wire import Offer, Sender
from tests.node.test_network_cases import _APPLICATIONS, _jobs, _offer, _send, _series

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

_TOLD_WITHIN_S = 10
_PATIENCE_S = 180
PAGE = HowTo("short-series.md")


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """A scanner whose studies settle after a few seconds, one route, one folder; everything else is as nobody said anything."""
    folder = tmp_path_factory.mktemp("short")
    settings = configuration(
        folder,
        port=0,
        repository=folder / "models",
        peers={name: {"ae_title": name.upper(), "address": "127.0.0.1:0", "settle": {"quiet": QUIET}} for name in ("scanner", "archive")},
        sinks={"one": {"kind": "folder", "path": str(folder / "one")}},
        routes=[{"name": "all", "run": ["bench-threshold"], "send": ["one"]}],
    )
    settings["models"] = {"repository": str(folder / "models"), "applications": [str(_APPLICATIONS)]}
    with Node(settings, folder) as running:
        yield running


def _listed(node: Node, study: str) -> dict[str, Any]:
    return next((one for one in node.studies() if one["study_uid"] == study), {"state": None})


def _told(node: Node, study: str) -> dict[str, Any]:
    """What the list says of a study that is incomplete, which it does within ten seconds."""
    wait_until(lambda: _listed(node, study)["state"] == "incomplete", 1 + _TOLD_WITHIN_S, "it is told", every_s=0.2)
    (one,) = _listed(node, study)["incomplete"]
    return dict(one)


def _done(node: Node, study: str, count: int) -> list[dict[str, Any]]:
    """The jobs of a study once there are so many and the last is done, with what each used."""

    def done() -> bool:
        jobs = sorted(_jobs(node, study), key=lambda job: int(job["id"]))
        return len(jobs) == count and jobs[-1]["state"] == "done"

    wait_until(done, _PATIENCE_S, f"{count} jobs of {study}, the last done", every_s=0.5)
    return [node.hilum("jobs", "show", job["id"], "--json").json for job in sorted(_jobs(node, study), key=lambda job: int(job["id"]))]


def _found(node: Node, study: str) -> list[Dataset]:
    return [one for path in (node.folder / "one").rglob("*.dcm") if (one := dcmread(path)).StudyInstanceUID == study]


def test_a_sender_that_dies_in_the_middle_is_waited_for_over_a_kill_of_the_node(node: Node, tmp_path: Path) -> None:
    """Three of six slices and half of the fourth: no job, and the list says why; killed and started again it still does. The rest makes one
    job, on all six."""
    slices = _series(tmp_path / "in", lambda one: None, slices=6)
    study, offers = str(slices[0].StudyInstanceUID), [_offer(one) for one in slices]
    with Sender(node.port, offers, calling="SCANNER") as sender:
        assert [sender.store(one) for one in offers[:3]] == [0x0000] * 3
        sender.abort_in_the_middle(offers[3])
    told = _told(node, study)
    assert (told["why"], told["came"], told["expected"], told["route"]) == ("torn", 3, None, "all")
    node.kill()
    node.start()
    again = _told(node, study)
    assert (again["why"], again["since"], _jobs(node, study)) == ("torn", told["since"], [])
    _send(node, offers[3:])
    (job,) = _done(node, study, 1)
    assert job["instances"] == 6


def test_what_the_node_refused_is_run_on_the_operators_word_and_once_more_when_it_is_whole(node: Node, tmp_path: Path) -> None:
    """One of five slices is refused: run now gives results of four that say so and measure nothing of the whole; the fifth then makes the
    whole one, which takes their place."""
    slices = _series(tmp_path / "in", lambda one: None, slices=5)
    study, offers = str(slices[0].StudyInstanceUID), [_offer(one) for one in slices]
    last = offers[4]
    other = str(slices[4].SOPInstanceUID)[:-1] + ("1" if str(slices[4].SOPInstanceUID)[-1] != "1" else "2")
    broken = Offer(
        data_set=last.data_set.replace(str(slices[4].SOPInstanceUID).encode(), other.encode()),
        sop_instance_uid=last.sop_instance_uid,
        sop_class_uid=last.sop_class_uid,
        transfer_syntax_uid=last.transfer_syntax_uid,
    )
    with Sender(node.port, offers, calling="SCANNER") as sender:
        assert [sender.store(one) for one in offers[:4]] == [0x0000] * 4
        assert sender.store(broken) not in (0x0000, None)
    told = _told(node, study)
    assert (told["why"], told["came"], told["expected"]) == ("refused", 4, 5)
    for command in PAGE.commands():
        said = node.hilum(*PAGE.typed(command).replace("STUDY", study).split()[1:])
        assert said.code == 0, (command, said)
        assert "complete" in command or "incomplete" in said.out, (command, said)
    PAGE.followed()
    (incomplete,) = _done(node, study, 1)
    assert incomplete["instances"] == 4
    wait_until(lambda: _found(node, study), _PATIENCE_S, "its results")
    marked = {str(one.SeriesDescription) for one in _found(node, study) if one.Modality == "SR"}
    assert marked
    assert all("INCOMPLETE 4 of 5" in one for one in marked)
    assert "Volume" not in _measured(node, study)
    _send(node, offers[4:])
    before, after = _done(node, study, 2)
    assert (before["state"], after["instances"], after["predecessor"]) == ("superseded", 5, before["id"])
    assert "Volume" in _measured(node, study)


def test_what_another_sender_has_of_a_broken_series_does_not_make_it_whole(node: Node, tmp_path: Path) -> None:
    """Three of six slices came, or the node refused the other three. An archive sends a copy of the first, or the rest, which waits for a
    person: neither is taken for the scanner's going on. On the operator's word the results say that they are incomplete."""
    torn, short = (_series(tmp_path / name, lambda one: None, slices=6) for name in ("torn", "short"))
    torn_offers, short_offers = ([_offer(one) for one in slices] for slices in (torn, short))
    with Sender(node.port, torn_offers, calling="SCANNER") as sender:
        assert [sender.store(one) for one in torn_offers[:3]] == [0x0000] * 3
        sender.abort_in_the_middle(torn_offers[3])
    with Sender(node.port, short_offers, calling="SCANNER") as sender:
        assert [sender.store(one) for one in short_offers[:3]] == [0x0000] * 3
        assert all(sender.store(replace(one, data_set=one.data_set[:-500])) == 0xC000 for one in short_offers[3:])
    studies = [str(slices[0].StudyInstanceUID) for slices in (torn, short)]
    assert [_told(node, study)["why"] for study in studies] == ["torn", "refused"]
    with Sender(node.port, short_offers, calling="ARCHIVE") as sender:
        assert [sender.store(one) for one in (torn_offers[0], *short_offers[3:])] == [0x0000] * 4
    wait_until(lambda: _listed(node, studies[1])["held"] == 3, _PATIENCE_S, "the rest is held", every_s=0.5)
    for study in studies:
        assert node.hilum("studies", "complete", study).code == 0
    wait_until(lambda: all(_found(node, study) for study in studies), _PATIENCE_S, "their results", every_s=0.5)
    for study, mark in zip(studies, ("INCOMPLETE: ", "INCOMPLETE 3 of 6: "), strict=True):
        assert {str(one.SeriesDescription)[: len(mark)] for one in _found(node, study)} == {mark}
        assert "Volume" not in _measured(node, study)


def _measured(node: Node, study: str) -> set[str]:
    """What the reports of a study give numbers for."""
    reports = [one for one in _found(node, study) if one.Modality == "SR"]
    return {item.ConceptNameCodeSequence[0].CodeMeaning for one in reports for item in _items(one) if item.ValueType == "NUM"}


def _items(report: Dataset) -> Iterator[Dataset]:
    """Every content item of a report."""
    for one in report.get("ContentSequence", ()):
        yield one
        yield from _items(one)
