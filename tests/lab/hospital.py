"""A small hospital: a PACS and a node that know each other, and what came back into the PACS."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.lab.loopback import free_port
from tests.lab.node import QUIET, Node, configuration
from tests.lab.orthanc import Orthanc, Study
from tests.lab.program import Late, wait_until

RESULTS = ("SEG", "SR", "OT")
"""Modalities of what an application's job gives: segmentation, report, and the summary page for people (a Secondary Capture)."""

HEAD_MR: dict[str, object] = {"name": "head MR", "from": ["pacs"], "when": {"Modality": "MR"}, "run": ["mr-brain"], "send": ["archive"]}

_ENDED = ("done", "not_applicable", "parked", "failed", "cancelled", "superseded")


@dataclass(frozen=True, slots=True, kw_only=True)
class Hospital:
    """The two programs. The node's peer and sink are called `pacs` and `archive`."""

    pacs: Orthanc
    node: Node

    def results(self, study_uid: str, timeout_s: float = 240) -> Study:
        """The study as it stands in the archive once all that its jobs send is there; AssertionError as soon as results cannot come any
        more."""

        def jobs() -> list[dict[str, Any]]:
            return [job for job in self.node.jobs() if job["study_uid"] == study_uid]

        def ended() -> bool:
            return bool(found := jobs()) and all(job["state"] in _ENDED for job in found)

        with contextlib.suppress(Late):  # what stands in the archive then is told below
            wait_until(ended, timeout_s, "its jobs end", every_s=0.5)
        if ended() and _complete(self.pacs.studies(), study_uid):
            return self.pacs.study(study_uid)
        there = [series.modality for study in self.pacs.studies() for series in study.series if study.uid == study_uid]
        said = self.node.log.read_text(errors="replace")[-3000:]
        raise AssertionError(f"no results of {study_uid}, only {there}; its jobs: {jobs()}; the end of the events:\n{said}")


def _complete(studies: Sequence[Study], study_uid: str) -> bool:
    return any(study.uid == study_uid and all(study.of(modality) for modality in RESULTS) for study in studies)


@contextmanager
def hospital(
    folder: Path,
    repository: Path,
    *,
    routes: Sequence[Mapping[str, object]] = (HEAD_MR,),
    forwards: bool = True,
    pacs_runs: bool = True,
    may: Sequence[str] = ("store", "echo"),
    environment: Mapping[str, str] | None = None,
    applications: Mapping[str, object] | None = None,
) -> Iterator[Hospital]:
    """Start both, the node first; `forwards`: the PACS sends stable studies by itself; `pacs_runs` False leaves its start to the test;
    `environment` is what the node finds besides the tests' own, `applications` the block of that name."""
    port = free_port()
    pacs = Orthanc(folder / "pacs", node_port=port, forwards=forwards)
    peer = {
        "ae_title": pacs.aet,
        "address": f"127.0.0.1:{pacs.dicom_port}",
        "may": list(may),
        "settle": {"scope": "study", "quiet": QUIET},
    }
    sink = {"kind": "dimse", "peer": "pacs", "retry": {"first": "1s", "most": "2s"}}
    written = configuration(folder / "node", port=port, repository=repository, peers={"pacs": peer}, sinks={"archive": sink}, routes=routes)
    if applications:
        written["applications"] = dict(applications)
    try:
        with Node(written, folder / "node", environment=environment) as node:
            if pacs_runs:
                pacs.start()
            yield Hospital(pacs=pacs, node=node)
    finally:
        pacs.stop()
