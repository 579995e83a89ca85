"""Edits of the configuration while studies come in: what they cost the answers to C-STORE, with and without them in turns; and whether any
study is lost, judged by a mixture, or refused. DCMTK's storescu and Orthanc send beside the SCU that times the answers."""

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from bench.rows import Row, say
from node.assembly.configuration import load
from tests.lab.dcmtk import storescu
from tests.lab.edits import Edits, NotStored, Send, Senders, judged, timed, variant
from tests.lab.loopback import free_port
from tests.lab.node import Node, configuration
from tests.lab.orthanc import Orthanc
from tests.lab.program import wait_until

_TURNS, _TURN_S = 4, 60.0
_IMAGES = 10
_EDIT_EVERY_S = 0.8
_PATIENCE_S = 900.0
_MOST_MORE_S = 0.05
_APPLICATIONS = Path(__file__).parents[1] / "tests" / "node" / "applications"


def measure() -> list[Row]:
    """Five studies a second from three senders, in turns of a minute."""
    port = free_port()
    with TemporaryDirectory(prefix="hilum-edits-") as folder, Orthanc(Path(folder) / "orthanc", node_port=port) as orthanc:
        return _measured(Path(folder), port, orthanc)


def _measured(folder: Path, port: int, orthanc: Orthanc) -> list[Row]:
    calling = ("SCANNER", "STORESCU", orthanc.aet)
    says = configuration(
        folder,
        port=port,
        repository=folder / "models",
        peers={title.lower(): {"ae_title": title, "address": "127.0.0.1:0", "settle": {"quiet": "10s"}} for title in calling},
        sinks={"results": {"kind": "folder", "path": str(folder / "results")}},
        routes=[],
    )
    says["models"] = {"repository": str(folder / "models"), "applications": [str(_APPLICATIONS)]}
    begun = variant(says, "a")
    answers_s: dict[bool, list[float]] = {False: [], True: []}
    studies: list[str] = []
    with Node(begun, folder, interpreter=True) as node:
        edits = Edits(node, says, {load(node.config).digest: "a"})
        for turn in range(_TURNS):
            edited = bool(turn % 2)
            say(f"turn {turn + 1} of {_TURNS}: {'with' if edited else 'without'} edits, {_TURN_S:.0f} s")
            senders = {"SCANNER": timed(node.port, "SCANNER"), "STORESCU": _by_storescu(node.port), orthanc.aet: _through(orthanc)}
            sent = _turn(folder / f"in-{turn}", senders, edits if edited else None)
            answers_s[edited] += sent[0].answers_s
            studies += [study for one in sent for study in one.studies]
        say(f"{edits.taken} edits taken, {edits.refused} refused, {edits.rolled_back} taken back; waiting for {len(studies)} studies")
        node.config.write_text(json.dumps(begun))
        wait_until(
            lambda: all(one["state"] in ("routed", "done") for one in node.studies()), _PATIENCE_S, "every study is routed", every_s=1
        )
        node.wait_for_jobs(lambda jobs: all(job["state"] == "done" for job in jobs), _PATIENCE_S, "every job is done")
        found = judged(node, studies, edits.digests, folder / "results")
    without, with_edits = (float(np.percentile(answers_s[edited], 99)) for edited in (False, True))
    more = with_edits - without
    wrong = found.lost + found.mixed + found.without_results
    return [
        Row(name="answers to C-STORE, timed", value=len(answers_s[True]), unit="with edits", baseline=len(answers_s[False])),
        Row(name="edits: taken, refused, back", value=edits.taken + edits.refused + edits.rolled_back, unit="edits"),
        Row(
            name="99th percentile of answers, edits",
            value=1000 * with_edits,
            unit="ms",
            baseline=1000 * without,
            goal="≤ 50 ms more than without",
            met=more <= _MOST_MORE_S,
        ),
        Row(name="studies lost, mixed, lacking", value=wrong, unit=f"of {found.studies}", goal="0", met=wrong == 0),
    ]


def _turn(folder: Path, senders: dict[str, Send], edits: Edits | None) -> list[Senders]:
    """One turn of all senders; the first is the one that times: three studies a second, and one a second from each of the others."""
    over = threading.Event()
    until = time.monotonic() + _TURN_S
    sent = [Senders(folder / title, images=_IMAGES) for title in senders]
    with ThreadPoolExecutor(len(senders)) as threads:
        going = [
            threads.submit(one.run, send, 1 / 3 if number == 0 else 1.0, over)
            for number, (one, send) in enumerate(zip(sent, senders.values(), strict=True))
        ]
        try:
            if edits is None:
                time.sleep(_TURN_S)
            else:
                edits.run(lambda: time.monotonic() > until, lambda: time.sleep(_EDIT_EVERY_S))
        finally:
            over.set()
        for each in going:
            each.result()
    return sent


def _by_storescu(port: int) -> Send:
    def send(path: Path) -> list[float]:
        said = storescu(port, *sorted(path.glob("*.dcm")), calling="STORESCU")
        if said.code != 0:
            raise NotStored(said.text)
        return []

    return send


def _through(orthanc: Orthanc) -> Send:
    def send(path: Path) -> list[float]:
        orthanc.send(*orthanc.upload(path))  # an assertion where one was refused
        return []

    return send
