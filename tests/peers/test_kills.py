"""Whatever dies in the middle of a queue (the Triton server, its stub, PostgreSQL, a worker), every study ends with one set of results.

Each study holds a block of its own size, so that a result under the wrong study would show in its volume.
"""

import os
import random
import signal
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import closing, suppress
from pathlib import Path

import numpy as np
import psutil
import pytest
from pydicom import dcmread

from bench.soften import write_soften
from inference.codes import VOLUME
from inference.engines.triton.server import LocalTriton
from inference.imaging.write_series import write_series
from node.domain.state import JobState
from node.journal.journal import Journal
from tests.lab import report
from tests.lab.node import QUIET, Node, configuration, hilum
from tests.lab.postgres import Postgres
from tests.lab.program import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.registry, pytest.mark.timeout(1200)]

STUDIES = 12
KILLS = 15
"""`make crash` kills any process at any moment, far more often."""
_APPLICATIONS = Path(__file__).parents[2] / "bench" / "applications"
_PATIENCE_S = 600
_LAYERS = 40  # about a quarter of a second a study on one core
_LONGEST_S = 4.0
"""What a kill waits at most; on a quiet machine two studies take less."""


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One model that takes its time and changes nothing."""
    folder = tmp_path_factory.mktemp("models")
    write_soften(folder, layers=_LAYERS)
    return folder


@pytest.fixture(scope="module")
def triton(repository: Path) -> Iterator[LocalTriton]:
    """A real tritonserver; who kills it starts it again."""
    with LocalTriton(repository) as server:
        yield server


@pytest.fixture
def postgres(tmp_path: Path) -> Iterator[Postgres]:
    """A real PostgreSQL."""
    with Postgres(tmp_path / "postgres") as server:
        yield server


def _settings(folder: Path, repository: Path, *, engine: Mapping[str, object], workers: int = 1, journal: str = "") -> dict[str, object]:
    settings = configuration(
        folder,
        port=0,
        repository=repository,
        peers={"scanner": {"ae_title": "SCANNER", "address": "127.0.0.1:0", "settle": {"quiet": QUIET}}},
        sinks={"results": {"kind": "folder", "path": str(folder / "results")}},
        routes=[{"name": "all CT", "when": {"Modality": "CT"}, "run": ["bench-soften"], "send": ["results"]}],
        engines={"default": dict(engine)},
    )
    settings["models"] = {"repository": str(repository), "applications": [str(_APPLICATIONS)]}
    settings["node"] = {"ae_title": "HILUM", "listen": "127.0.0.1:0", "workers": workers}
    if journal:
        settings["store"] = {**settings["store"], "journal": journal}  # type: ignore[dict-item]
    return settings


def _send(node: Node, folder: Path, count: int, first: int = 0) -> dict[str, float]:
    """Send so many studies in one association; the volume (cm³) that each one's report must say, by Study Instance UID."""
    expected: dict[str, float] = {}
    affine = np.array([[0.0, 0, 1, -32], [0, 1, 0, -32], [2, 0, 0, 0], [0, 0, 0, 1]])
    for number in range(first, first + count):
        voxels = np.full((8, 64, 64), -1000, np.int16)
        side = 5 + number % 50
        voxels[:, 2 : 2 + side, 3:23] = 60
        files = write_series(voxels, affine, folder / str(number), modality="CT", patient_id=f"KILL-{number}")
        expected[str(dcmread(files[0], stop_before_pixels=True).StudyInstanceUID)] = side * 20 * 8 * 2 / 1000
    said = hilum("send", folder, "--to", f"HILUM@127.0.0.1:{node.port}", "--calling", "SCANNER", "--json")
    assert said.code == 0, said.out + said.err
    return expected


def _done(node: Node, count: int) -> None:
    ended: dict[int, str] = {}

    def all_have() -> bool:
        said = node.hilum("jobs", "list", "--json", "--limit", 10 * count)
        assert said.code == 0, said.out + said.err
        ended.update({number: job["state"] for number, job in enumerate(said.json)})
        return len(ended) == count and not set(ended.values()) & {"queued", "inferred", "encoded"}

    wait_until(all_have, _PATIENCE_S, f"{count} jobs have ended", every_s=0.5)
    assert set(ended.values()) == {"done"}, ended


def _one_set_each(folder: Path, expected: Mapping[str, float]) -> None:
    """Three objects a study, and its own volume in the report."""
    found: dict[str, list[Path]] = defaultdict(list)
    for path in (folder / "results").rglob("*.dcm"):
        found[str(dcmread(path, stop_before_pixels=True).StudyInstanceUID)].append(path)
    assert set(found) == set(expected)
    for study, paths in found.items():
        kinds = {str(dcmread(path, stop_before_pixels=True).Modality): path for path in paths}
        assert sorted(kinds) == ["OT", "SEG", "SR"], study
        assert len(paths) == 3, study
        ((volume, unit),) = report.numbers(kinds["SR"], VOLUME.value)
        assert volume == pytest.approx(expected[study]), study
        assert unit == "cm3", study


def _some_done(node: Node, count: int) -> None:
    wait_until(
        lambda: sum(event["event"] == "job.encoded" for event in node.events()) >= count,
        _PATIENCE_S,
        f"{count} jobs are encoded",
        every_s=0.05,
    )


def _said(node: Node, name: str) -> bool:
    return any(event["event"] == name for event in node.events())


def test_the_triton_server_is_killed_in_the_middle_of_a_queue(tmp_path: Path, repository: Path, triton: LocalTriton) -> None:
    """SIGKILL to the server with studies under way and waiting; it stays away until the node has noticed, then comes back."""
    with Node(_settings(tmp_path, repository, engine={"kind": "triton", "url": triton.url}, workers=2), tmp_path) as node:
        expected = _send(node, tmp_path / "in", STUDIES)
        _some_done(node, 3)
        triton.kill()
        wait_until(lambda: _said(node, "engine.away"), 60, "the node has noticed")
        assert {job["state"] for job in node.jobs()} <= {"queued", "inferred", "encoded", "done"}, "nothing failed while it was away"
        triton.start()
        _done(node, STUDIES)
    _one_set_each(tmp_path, expected)


def test_the_stub_that_computes_is_killed_in_the_middle_of_a_queue(tmp_path: Path, repository: Path, triton: LocalTriton) -> None:
    """The server lives on and starts its stub again: whatever the call under way met, no study fails."""
    with Node(_settings(tmp_path, repository, engine={"kind": "triton", "url": triton.url}), tmp_path) as node:
        expected = _send(node, tmp_path / "in", STUDIES)
        for done in (3, 8):
            _some_done(node, done)
            for stub in triton.stubs():
                os.kill(stub, signal.SIGKILL)
        _done(node, STUDIES)
    _one_set_each(tmp_path, expected)


@pytest.mark.peers
def test_postgresql_is_restarted_in_the_middle_of_a_queue(tmp_path: Path, repository: Path, postgres: Postgres) -> None:
    """Every connection breaks at once, twice: in an orderly stop and in a crash."""
    with Node(_settings(tmp_path, repository, engine={"kind": "embedded", "threads": 1}, journal=postgres.url), tmp_path) as node:
        expected = _send(node, tmp_path / "in", STUDIES)
        _some_done(node, 3)
        postgres.restart()
        _some_done(node, 8)
        postgres.kill()
        postgres.start()
        _done(node, STUDIES)
    _one_set_each(tmp_path, expected)


def test_the_processes_that_compute_models_are_killed_in_the_middle_of_a_queue(tmp_path: Path, repository: Path) -> None:
    """Twice, all of them at once, as the kernel does when memory runs out: the worker lives, and the studies are done in fresh ones."""
    with Node(_settings(tmp_path, repository, engine={"kind": "embedded", "threads": 1}), tmp_path) as node:
        expected = _send(node, tmp_path / "in", STUDIES)
        for done in (3, 8):
            _some_done(node, done)
            wait_until(lambda: bool(_confined(node)), 60, "a process that computes a model")
            for process in _confined(node):
                with suppress(psutil.NoSuchProcess):
                    process.kill()
        _done(node, STUDIES)
        assert not _said(node, "process.died"), "a worker died with its model"
    _one_set_each(tmp_path, expected)


def _confined(node: Node) -> list[psutil.Process]:
    """The processes under the node that the kernel would kill first: those that hold a model."""
    found = []
    for process in psutil.Process(node.pid).children(recursive=True):
        with suppress(OSError):
            if Path(f"/proc/{process.pid}/oom_score_adj").read_text().strip() == "1000":
                found.append(process)
    return found


def test_a_worker_is_killed_at_random_moments(tmp_path: Path, repository: Path) -> None:
    """Two workers, one of them killed fifteen times while it holds work; a seeded draw says when, within twice what the first study took.
    Attempts are set far above what chance needs: that a study which kills its worker is parked is shown elsewhere."""
    settings = _settings(tmp_path, repository, engine={"kind": "embedded", "threads": 1}, workers=2)
    settings["applications"] = {"bench-soften": {"attempts": 100}}
    draw = random.Random(7)
    with Node(settings, tmp_path) as node, closing(Journal.open(f"sqlite:{tmp_path / 'hilum.db'}")) as journal:
        expected = _send(node, tmp_path / "in0", STUDIES)
        wait_until(lambda: _at_work(journal), 60, "a worker holds a study", every_s=0.1)
        claimed_s = time.monotonic()
        _some_done(node, 1)
        longest_s = min(2 * (time.monotonic() - claimed_s), _LONGEST_S)
        killed: set[int] = set()
        while len(killed) < KILLS:
            if len(journal.jobs.find(states=(JobState.QUEUED, JobState.INFERRED))) < 5:
                expected |= _send(node, tmp_path / f"in{len(expected)}", STUDIES, first=len(expected))
            wait_until(lambda: _at_work(journal) - killed, 60, "a worker that lives holds a study", every_s=0.1)
            pid = draw.choice(sorted(_at_work(journal) - killed) or [0])
            time.sleep(draw.uniform(0, longest_s))  # the random moment: while it imports, assembles, infers, encodes, or with a later study
            if pid:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                killed.add(pid)
        _done(node, len(expected))
    _one_set_each(tmp_path, expected)


def _at_work(journal: Journal) -> set[int]:
    """The processes that hold a study."""
    working = journal.jobs.find(states=(JobState.QUEUED, JobState.INFERRED))
    return {int(job.lease.split("/")[0].rsplit(":", 1)[1]) for job in working if job.lease}
