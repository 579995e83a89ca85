"""Processes that stand still while a sender sends, a job runs and an object is on its way to the archive: nothing is lost or doubled."""

import contextlib
import hashlib
import signal
import sqlite3
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from pynetdicom import AE, AllStoragePresentationContexts, evt
from pynetdicom.events import Event
from pynetdicom.sop_class import Verification

from node.domain.errors import DeliveryError
from tests.lab.node import Node
from tests.lab.program import wait_until
from tests.node.test_metrics import _processes, _send, _settings, _study

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

_STUDIES, _SLICES, _OBJECTS = 5, 8, 3
_PATIENCE_S = 90
_MENDED_S = 120


class _Archive:
    """Takes what it is sent; the answer to the first object waits until `go`."""

    def __init__(self) -> None:
        self.came: Counter[tuple[str, str]] = Counter()
        self.first, self.go = threading.Event(), threading.Event()
        entity = AE("ARCHIVE")
        for context in (*AllStoragePresentationContexts, Verification):
            entity.add_supported_context(str(getattr(context, "abstract_syntax", context)))
        self._server = entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, self._take)])
        assert self._server is not None
        self.port = int(self._server.socket.getsockname()[1])

    def _take(self, asked: Event) -> int:
        self.first.set()
        assert self.go.wait(_MENDED_S)
        self.came[str(asked.request.AffectedSOPInstanceUID), hashlib.sha256(asked.request.DataSet.getvalue()).hexdigest()] += 1
        return 0

    def close(self) -> None:
        self.go.set()
        assert self._server is not None
        self._server.shutdown()


def _keeps_sending(node: Node, studies: list[list[Path]]) -> None:
    """As a modality does: each study again until every instance was accepted."""
    for study in studies:
        accepted = False
        while not accepted:
            with contextlib.suppress(DeliveryError):
                accepted = all(status == 0 for status in _send(node, study))


@contextlib.contextmanager
def _under_lease(folder: Path) -> Iterator[sqlite3.Connection]:
    with contextlib.closing(sqlite3.connect(f"file:{folder / 'hilum.db'}?mode=ro", uri=True, timeout=30)) as journal:
        yield journal


def test_what_is_stopped_in_flight_is_neither_lost_nor_doubled(tmp_path: Path) -> None:
    """Flow stands still while the archive has an object of which it was not told the end, work while it holds a job, and receive while a
    sender sends: all are ended and started again by the node itself. Every study is analysed by one job, and the archive has each of its
    objects, in one version."""
    archive = _Archive()
    settings = _settings(tmp_path)
    peers = settings["peers"]
    assert isinstance(peers, dict)
    peers["archive"] = {"ae_title": "ARCHIVE", "address": f"127.0.0.1:{archive.port}", "may": ["store", "echo"]}
    settings["sinks"] = {"archive": {"kind": "dimse", "peer": "archive"}}
    settings["routes"] = [{"name": "all CT", "when": {"Modality": "CT"}, "run": ["bench-threshold"], "send": ["archive"]}]
    studies = [_study(tmp_path / f"in{number}", f"P{number}", _SLICES) for number in range(_STUDIES)]
    try:
        with Node(settings, tmp_path) as node, _under_lease(tmp_path) as journal:
            assert _send(node, studies[0]) == [0] * _SLICES
            assert archive.first.wait(_PATIENCE_S)
            before = _processes(node)
            sender = threading.Thread(target=_keeps_sending, args=(node, studies[1:]))
            sender.start()

            def holds() -> bool:
                return bool(journal.execute("SELECT 1 FROM job WHERE lease IS NOT NULL AND state = 'queued'").fetchall())

            wait_until(holds, _PATIENCE_S, "work holds a job", every_s=0.005)
            for stage in ("work", "flow", "receive"):
                before[stage].send_signal(signal.SIGSTOP)
            archive.go.set()
            node.wait_for_jobs(lambda jobs: [one["state"] for one in jobs] == ["done"] * _STUDIES, 2 * _MENDED_S, "all are done")
            sender.join(_PATIENCE_S)
            assert not sender.is_alive()

            def ended() -> bool:
                after = _processes(node)
                return all(after.get(stage, before[stage]) != before[stage] for stage in ("flow", "receive", "work"))

            # a receive process that had everything already is not waited for by the studies
            wait_until(ended, _MENDED_S, "all three were ended and started again")
            kinds = Counter(uid for uid, _ in archive.came)
            assert len(kinds) == _STUDIES * _OBJECTS
            assert set(kinds.values()) == {1}, "of no object are there two versions"
    finally:
        archive.close()
