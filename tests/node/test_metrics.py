"""What a running node says of itself is what was done to it, also after its processes were killed."""

import os
import shutil
import signal
import subprocess
import threading
from pathlib import Path

import numpy as np
import psutil
import pytest
from pydicom import dcmread
from pydicom.uid import UID

from inference.imaging.write_series import write_series
from node.dimse.requestor.peer import PeerRequestor
from node.domain.errors import DeliveryError
from node.settings.peers import Peer
from tests.dimse.conftest import data_set
from tests.lab.loopback import free_port
from tests.lab.node import QUIET, Node, configuration
from tests.lab.program import suspend, wait_until
from tests.lab.scrape import Scraped, health
from tests.lab.wire import Offer, Sender

pytestmark = [pytest.mark.slow]

_APPLICATIONS = Path(__file__).parents[2] / "bench" / "applications"
_PATIENCE_S = 90
_SCANNER = {"peer": "scanner"}


def _study(folder: Path, patient: str, slices: int) -> list[Path]:
    """A CT of air with a block in it."""
    voxels = np.full((slices, 64, 64), -1000, np.int16)
    voxels[:, 20:30, 10:30] = 60
    affine = np.array([[0.0, 0, 1, -32], [0, 1, 0, -32], [2, 0, 0, 0], [0, 0, 0, 1]])
    return write_series(voxels, affine, folder, modality="CT", patient_id=patient)


def _settings(folder: Path, **node: object) -> dict[str, object]:
    settings = configuration(
        folder,
        port=0,
        repository=folder / "models",
        peers={"scanner": {"ae_title": "SCANNER", "address": "127.0.0.1:0", "settle": {"quiet": QUIET}}},
        sinks={"results": {"kind": "folder", "path": str(folder / "results")}},
        routes=[{"name": "all CT", "when": {"Modality": "CT"}, "run": ["bench-threshold"], "send": ["results"]}],
    )
    settings["node"] = {"ae_title": "HILUM", "listen": "127.0.0.1:0", "metrics": "127.0.0.1:0", "strangers": True, **node}
    settings["models"] = {"repository": str(folder / "models"), "applications": [str(_APPLICATIONS)]}
    return settings


def _requestor(node: Node, *, calling: str = "SCANNER", called: str = "HILUM") -> PeerRequestor:
    return PeerRequestor(Peer(name="node", ae_title=called, host="127.0.0.1", port=node.port), calling_ae=calling)


def _send(node: Node, files: list[Path], calling: str = "SCANNER") -> list[int | None]:
    return [answer.status for answer in _requestor(node, calling=calling).store([str(file) for file in files])]


def _scraped(node: Node) -> Scraped:
    assert node.metrics_port is not None
    return Scraped(node.metrics_port)


def _processes(node: Node) -> dict[str, psutil.Process]:
    """The family by stage, as its command lines say."""
    found = {}
    for process in psutil.process_iter(["cmdline"]):
        words: list[str] = process.info["cmdline"] or []
        if str(node.config) in words and "node.assembly.process" in words:
            found[words[words.index(str(node.config)) + 1]] = process
    return found


def _done(node: Node, count: int) -> None:
    wait_until(lambda: [job["state"] for job in node.jobs()] == ["done"] * count, _PATIENCE_S, f"{count} jobs are done")


def _killed(node: Node, stage: str, times: int) -> None:
    """SIGKILL, and its successor is ready: the node itself says so."""
    _processes(node)[stage].send_signal(signal.SIGKILL)
    name = "work 1" if stage == "work" else stage

    def back() -> bool:
        said = _scraped(node)
        restarts, up = (said.sum(f"hilum_process_{what}", process=name) for what in ("restarts_total", "up"))
        return (restarts, up) == (times, 1)

    wait_until(back, _PATIENCE_S, f"{stage} is back")


_AT_THE_END: list[tuple[str, dict[str, str]]] = [
    ("study_seconds_count", {}),
    ("jobs_ended_total", {"state": "done"}),
    ("deliveries_total", {"outcome": "delivered"}),
]


def _dataset_bytes(files: list[Path]) -> int:
    """Bytes after preamble and file meta information, by the length that the meta information gives of itself (PS3.10 7.1)."""
    raw = [file.read_bytes() for file in files]
    return sum(len(one) - 144 - int.from_bytes(one[140:144], "little") for one in raw)


def test_the_counts_are_what_was_sent_also_after_kills(tmp_path: Path) -> None:
    """Two studies, a third by a stranger after the worker was killed, a fourth after the listener was: nothing is lost, nothing twice."""
    studies = [_study(tmp_path / f"in{number}", f"P{number}", 5 + number) for number in range(4)]
    wrong = dcmread(studies[0][0])
    # of a study of its own: of another it would be an instance that is missing, and be waited for
    wrong.StudyInstanceUID, wrong.SeriesInstanceUID = UID("1.2.3"), UID("1.2.3.5")
    mislabelled = Offer(data_set=data_set(wrong), sop_instance_uid="1.2.3.4", sop_class_uid=wrong.SOPClassUID)
    with Node(_settings(tmp_path / "node"), tmp_path / "node") as node:
        for study in studies[:2]:
            assert set(_send(node, study)) == {0x0000}
        with Sender(node.port, [mislabelled], calling="SCANNER") as sender:
            refused = sender.store(mislabelled)
        assert refused not in (None, 0x0000)
        with pytest.raises(DeliveryError):
            _requestor(node, called="ELSEWHERE").echo()
        _done(node, 2)
        _killed(node, "work", 1)
        assert set(_send(node, studies[2], calling="SOMEBODY")) == {0x0000}
        _done(node, 3)
        _killed(node, "receive", 1)
        assert set(_send(node, studies[3])) == {0x0000}
        _done(node, 4)

        def counted() -> bool:
            now = _scraped(node)
            ended = [now.sum(f"hilum_{name}", **labels) for name, labels in _AT_THE_END]
            return ended == [4] * len(ended) and now.sum("hilum_associations_open") == 0

        wait_until(counted, _PATIENCE_S, "what ended is counted, which comes behind the journal's word")
        said = _scraped(node)
        events = node.events()

    kept = studies[0] + studies[1] + studies[3]
    assert said.by("hilum_instances_total", "peer") == {"scanner": len(kept) + 1, "stranger": len(studies[2])}
    assert said.sum("hilum_instances_total", status="0000", **_SCANNER) == len(kept)
    assert said.sum("hilum_instances_total", status=f"{refused:04X}", **_SCANNER) == 1
    assert said.sum("hilum_received_bytes_total", **_SCANNER) == _dataset_bytes(kept)
    assert said.sum("hilum_receive_seconds_count", **_SCANNER) == len(kept) + 1
    assert said.sum("hilum_associations_total", outcome="released", **_SCANNER) == 4
    assert said.sum("hilum_associations_total", outcome="called", **_SCANNER) == 1
    assert said.sum("hilum_associations_open") == 0
    assert said.by("hilum_indexed_total", "standing") == {
        "new": 26,
        "held": 0,
        "again": 0,
        "conflict": 0,
        "own_result": 0,
        "other_result": 0,
    }
    assert said.sum("hilum_arrivals_complete_total") == 4
    for name in ("queue_wait", "assemble", "infer", "encode", "deliver", "study"):
        assert said.sum(f"hilum_{name}_seconds_count") == 4, name
    assert said.by("hilum_jobs_ended_total", "state") == {"done": 4}
    assert said.sum("hilum_deliveries_total", sink="results", outcome="delivered") == 4
    objects = list((tmp_path / "node" / "results").rglob("*.dcm"))
    assert said.sum("hilum_delivered_objects_total") == len(objects) == 12
    assert said.sum("hilum_delivered_bytes_total") == sum(path.stat().st_size for path in objects)
    # an independent clock: the events of the log
    took = [event["took_s"]["infer"] for event in events if event["event"] == "job.inferred"]
    assert said.sum("hilum_infer_seconds_sum") == pytest.approx(sum(took), abs=0.001)
    assert said.sum("hilum_jobs") == 0
    assert said.sum("hilum_study_seconds_sum") > 4 * 1.0, "each waited for its quiet window"
    assert "SOMEBODY" not in said.text
    assert "P0" not in said.text


def test_health_says_which_part_is_missing(tmp_path: Path) -> None:
    """Ready while it takes studies in: without a worker it is degraded, without its listener it is not ready, and then it is again."""
    with Node(_settings(tmp_path), tmp_path) as node:
        port = node.metrics_port
        assert port is not None
        assert health(port, "live") == (200, {"live": True})
        wait_until(lambda: health(port, "ready")[1]["degraded"] == [], _PATIENCE_S, "everything is up")
        status, said = health(port, "ready")
        assert (status, said["ready"]) == (200, True)
        assert {"receive", "flow", "work 1", "disk", "journal"} <= set(said["parts"])

        def seen(stage: str, name: str, status: int) -> None:
            _processes(node)[stage].send_signal(signal.SIGKILL)

            def missing() -> bool:
                code, answer = health(port, "ready")
                return code == status and "ended with -9" in answer["parts"][name].get("why", "")

            wait_until(missing, _PATIENCE_S, f"{name} is missing", every_s=0.02)
            wait_until(lambda: health(port, "ready")[1]["parts"][name]["ready"], _PATIENCE_S, f"{name} is back")
            assert health(port, "ready")[0] == 200

        seen("work", "work 1", 200)
        seen("receive", "receive", 503)


def test_a_taken_port_keeps_no_node_from_receiving_and_is_tried_again(tmp_path: Path) -> None:
    """Studies come first: the event says that there are no metrics, and the ready line has no port for them. Who came first has them where
    the configuration says."""
    port = free_port()
    taken = f"127.0.0.1:{port}"
    with Node(_settings(tmp_path / "first", metrics=taken), tmp_path / "first", stages="receive") as first:
        assert first.metrics_port == port
        assert _scraped(first).content_type == "text/plain; version=0.0.4; charset=utf-8"
        with Node(_settings(tmp_path / "second", metrics=taken), tmp_path / "second", stages="receive") as second:
            assert second.metrics_port is None
            _requestor(second).echo()
            (told,) = [event for event in second.events() if event["event"] == "metrics.unavailable"]
            assert told["address"] == taken
            assert told["again_in_s"] > 0


def test_nothing_listens_unless_it_is_asked_for(tmp_path: Path) -> None:
    """Without `node: {metrics: …}` the supervisor has no socket but the one that it lends to the receive process."""
    settings = _settings(tmp_path)
    settings["node"] = {"ae_title": "HILUM", "listen": "127.0.0.1:0"}
    with Node(settings, tmp_path, stages="receive") as node:
        assert node.metrics_port is None
        supervisor = psutil.Process(_processes(node)["receive"].ppid())
        assert [one.laddr.port for one in supervisor.net_connections() if one.status == psutil.CONN_LISTEN] == [node.port]


def test_a_full_disk_costs_no_count_and_the_counts_cost_no_instance(tmp_path: Path) -> None:
    """A disk of 40 MB that fills up while a study comes: every instance is kept or refused with 0xA700, nobody dies, and both are
    counted."""
    if os.geteuid() != 0:
        pytest.skip("a file system of its own needs root")
    store = tmp_path / "node"
    store.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=40m", "tmpfs", str(store)], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.decode().strip()}")
    try:
        settings = _settings(store)
        settings["store"] = {"journal": f"sqlite:{store / 'hilum.db'}", "blobs": f"file:{store / 'blobs'}", "min_free": "1MB"}
        files = _study(tmp_path / "in", "FULL", 30)
        with Node(settings, store) as node:
            suspend(_processes(node)["flow"])
            with (store / "ballast").open("wb") as ballast:
                ballast.write(bytes(shutil.disk_usage(store).free - 1_000_000 - 10 * (files[0].stat().st_size + 8192)))
            statuses = _send(node, files)
            said = _scraped(node)
            (store / "ballast").unlink()
            _processes(node)["flow"].resume()
        assert set(statuses) == {0x0000, 0xA700}
        for status in (0x0000, 0xA700):
            assert said.sum("hilum_instances_total", status=f"{status:04X}") == statuses.count(status)
        assert said.sum("hilum_process_restarts_total") == 0
        assert said.sum("hilum_inbox_entries") == statuses.count(0x0000)
    finally:
        subprocess.run(["umount", "-l", str(store)], check=True)


def test_scrapes_without_pause_slow_no_reception(tmp_path: Path) -> None:
    """Four visitors ask for metrics as fast as they can while a study comes; the journal is looked up once in five seconds all the
    same."""
    with Node(_settings(tmp_path), tmp_path) as node:
        over = threading.Event()
        asked: list[int] = []

        def ask() -> None:
            while not over.is_set():
                _scraped(node)
                asked.append(1)

        visitors = [threading.Thread(target=ask) for _ in range(4)]
        for visitor in visitors:
            visitor.start()
        assert set(_send(node, _study(tmp_path / "in", "BUSY", 40))) == {0x0000}
        over.set()
        for visitor in visitors:
            visitor.join()
        assert len(asked) > 4
        _done(node, 1)
        assert _scraped(node).sum("hilum_instances_total", status="0000") == 40
