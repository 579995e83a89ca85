"""A node whose configuration is edited again and again while studies come in: what edits, what sends and times the answers, what judges."""

import contextlib
import itertools
import json
import os
import signal
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydicom import dcmread

from node.assembly.compose import open_journal
from node.assembly.configuration import load
from node.dicom.uid import derive_uid
from node.dimse.requestor.peer import PeerRequestor
from node.domain.state import ArrivalState
from node.settings.peers import Peer
from tests.lab.node import Node
from tests.lab.program import wait_until
from tests.results.images import radiograph

ANALYSED = "to be analysed"
"""The description of studies that the routes take; the others are judged by them all the same."""

Send = Callable[[Path], Sequence[float]]
"""Sends the files of a folder over one association; how long each answer took, in seconds, where that can be seen."""


class NotStored(AssertionError):
    """A C-STORE, or the association for it, was refused."""


def variant(says: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The configuration with routes, a sink, peers and a schedule of this name: nothing of two variants fits together."""
    route = {"when": {"Modality": "DX", "StudyDescription": ANALYSED}, "run": ["all-views"], "send": [f"results-{name}"]}
    sinks: dict[str, dict[str, Any]] = {
        one: {"kind": "folder", "path": str(Path(says["sinks"]["results"]["path"]) / one)} for one in ("results-a", "results-b")
    }
    sinks[f"results-{name}"]["retry"] = {"first": "2s"}
    extra = {f"extra-{name}": {"ae_title": f"EXTRA{name.upper()}", "address": "127.0.0.1:0"}}
    return {
        **says,
        "peers": {**says["peers"], **extra},
        "sinks": sinks,
        "applications": {"all-views": {"attempts": 3 if name == "a" else 4}},
        "routes": [{"name": f"first {name}", **route}, {"name": f"never {name}", **route, "when": {"Modality": "XA"}}],
        "schedule": {"patience": "1h" if name == "a" else "2h"},
    }


def broken(says: Mapping[str, Any]) -> list[str]:
    """Files that are refused: no configuration, an unknown key, a sink that there is not, a key that waits for a restart."""
    return [
        "routes: [",
        json.dumps({**says, "routs": []}),
        json.dumps({**says, "routes": [{**says["routes"][0], "send": ["nowhere"]}]}),
        json.dumps({**says, "store": {**says["store"], "keep": "3d"}}),
    ]


@dataclass(slots=True)
class Edits:
    """Edits a node's file again and again, every second one broken, and has it taken up; `digests` are those of the good ones, with the
    variant of each."""

    node: Node
    says: Mapping[str, Any]
    digests: dict[str, str] = field(default_factory=dict)
    taken: int = 0
    refused: int = 0
    rolled_back: int = 0

    def run(self, until: Callable[[], bool], between: Callable[[], object]) -> None:
        """Edit until it holds, `between` after each edit; in the middle of it go back to a revision of before."""
        bad = itertools.cycle(broken(variant(self.says, "a")))
        for number in itertools.count():
            if until():
                return
            if number % 2:
                self._edit(next(bad), accepted=False)
            elif number % 16 == 8:
                self._roll_back()
            else:
                name = "ab"[number // 2 % 2]
                self._edit(json.dumps(variant(self.says, name)), accepted=True)
                self.digests[load(self.node.config).digest] = name
            between()

    def _edit(self, text: str, *, accepted: bool) -> None:
        self.node.config.write_text(text)
        if accepted:
            said = self.node.hilum("config", "reload", "--json")
            assert said.code == 0, said.out + said.err
            self.taken += 1
            return
        # no command reads a file that is no configuration: the supervisor is told by the signal, and answers in its events
        os.kill(self.node.pid, signal.SIGHUP)
        self.refused += 1
        wait_until(lambda: self._refusals() >= self.refused, 120, "the broken edit is refused")

    def _refusals(self) -> int:
        return sum(one["event"] == "config.refused" for one in self.node.events())

    def _roll_back(self) -> None:
        self.node.config.write_text(json.dumps(variant(self.says, "a")))
        listed = self.node.hilum("config", "history", "--json").json
        named = next(one for one in listed[1:] if one["digest"] in self.digests)
        said = self.node.hilum("config", "rollback", str(named["revision"]), "--yes", "--json")
        assert said.code == 0, said.out + said.err
        self.rolled_back += 1


@dataclass(slots=True)
class Senders:
    """Send studies at a pace until told; `studies` are those whose every instance was taken, `answers_s` how long each answer took."""

    folder: Path
    images: int
    studies: list[str] = field(default_factory=list)
    answers_s: list[float] = field(default_factory=list)
    _guard: threading.Lock = field(default_factory=threading.Lock)
    _numbers: Any = field(default_factory=itertools.count)

    def run(self, send: Send, every_s: float, over: threading.Event) -> None:
        """Send a study every so many seconds until it is over."""
        due = time.monotonic()
        while not over.is_set():
            study, path = self._study()
            took = send(path)
            with self._guard:
                self.studies.append(study)
                self.answers_s += took
            due = max(due + every_s, time.monotonic() - every_s)
            over.wait(max(0.0, due - time.monotonic()))

    def another(self) -> None:
        """Return once another study has come in."""
        before = len(self.studies)
        wait_until(lambda: len(self.studies) > before, 120, "another study is sent")

    def _study(self) -> tuple[str, Path]:
        with self._guard:
            number = next(self._numbers)
        study = derive_uid("edited study", str(self.folder), str(number))
        description = ANALYSED if number % 5 == 0 else "left alone"
        for image in range(1, self.images + 1):
            uids = {
                "StudyInstanceUID": study,
                "SeriesInstanceUID": derive_uid("series of", study),
                "SOPInstanceUID": derive_uid("image of", study, str(image)),
            }
            radiograph(self.folder / str(number), image, 1, StudyDescription=description, **uids)
        return study, self.folder / str(number)


def timed(port: int, calling: str) -> Send:
    """Sends by the node's own requestor, whose answers are timed from one to the next; pynetdicom's reactor can lose one that came."""
    peer = Peer(name="node", ae_title="HILUM", host="127.0.0.1", port=port)

    def send(path: Path) -> Sequence[float]:
        came: list[float] = []
        files = [str(file) for file in sorted(path.glob("*.dcm"))]
        for status in PeerRequestor(peer, calling_ae=calling).store(files, on_status=lambda _: came.append(time.perf_counter())):
            if status.status != 0x0000:
                raise NotStored(f"a C-STORE was answered with {status.status}: {status.detail}")
        return [after - before for before, after in itertools.pairwise(came)]

    return send


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What became of studies: how many lack an arrival that was routed, are judged by what no one edit says, or lack their results."""

    studies: int
    lost: int
    mixed: int
    without_results: int


def judged(node: Node, studies: Sequence[str], digests: Mapping[str, str], results: Path) -> Judged:
    """Look into the journal, and at what lies in the sinks. An arrival is mixed where its routes, or the sinks of its job, are not those of
    the variant that its digest names."""
    lost = mixed = missing = 0
    reports: dict[str, list[str]] = {"a": [], "b": []}
    for name, found in reports.items():
        for path in (results / f"results-{name}").rglob("*.dcm"):
            dataset = dcmread(path, specific_tags=["Modality", "StudyInstanceUID"])
            if dataset.Modality == "SR":
                found.append(str(dataset.StudyInstanceUID))
    with contextlib.closing(open_journal(load(node.config))) as journal:
        for study in studies:
            arrivals = journal.arrivals.find(study=study)
            if len(arrivals) != 1 or arrivals[0].state is not ArrivalState.ROUTED:
                lost += 1
                continue
            name = digests.get(journal.routing.config_digest(arrivals[0].id) or "", "?")
            routes = [one.route for one in journal.routing.decisions(arrivals[0].id)]
            jobs = journal.jobs.find(study=study)
            if routes != [f"first {name}", f"never {name}"] or any(job.sinks != (f"results-{name}",) for job in jobs):
                mixed += 1
            elif [reports[name].count(study), reports["ab".replace(name, "")].count(study)] != [len(jobs), 0]:
                missing += 1
    return Judged(studies=len(studies), lost=lost, mixed=mixed, without_results=missing)
