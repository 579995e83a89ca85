"""The largest studies through a whole node, and what its processes hold meanwhile: instances and studies lie on the disk, not in memory."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.lab.largest import Peaks, frames_of, node, send, slices_of
from tests.lab.node import hilum

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

_PATIENCE_S = 300
_SETTLES_S = 1.0
_SLICES, _SIDE = 1500, 16
"""`python -m bench large` sends 4,000 of 512 by 512."""
_FRAMES = 4100
"""Of half a MiB: their pixels are more than 2 GiB, where a signed length of 32 bits ends."""
_A_LITTLE_MIB = 96
"""Measured: receive grows by less than 1 MiB with either; flow by 5 with one instance of 2 GiB, by 37 with 4,000 rows to index."""


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder whose gigabytes go with the test."""
    yield tmp_path / "node"
    shutil.rmtree(tmp_path / "node", ignore_errors=True)


def test_a_study_of_very_many_slices_is_one_job(folder: Path) -> None:
    """Every slice is indexed, the study is one job, which is done, each result came once; receive and flow hold little more."""
    study = slices_of(_SLICES, side=_SIDE)
    with node(folder, quiet="4s", durability="association") as running:
        peaks = Peaks(running.pid)
        try:
            peaks.begin(settles_s=_SETTLES_S)
            send(running, study)
            (job,) = running.wait_for_jobs(lambda jobs: [job["state"] for job in jobs] == ["done"], _PATIENCE_S, "one job is done")
        finally:
            peaks.close()
        said = hilum("studies", "show", study.uid, "--json", "--config", running.config)
    (arrival,), (series,) = said.json["arrivals"], said.json["series"]
    assert (arrival["instances"], arrival["revision"], series["standings"]) == (_SLICES, 1, {"current": _SLICES})
    assert [one["id"] for one in said.json["jobs"]] == [job["id"]]
    assert peaks.grown("receive") < _A_LITTLE_MIB
    assert peaks.grown("flow") < _A_LITTLE_MIB
    assert len(list((folder / "results").rglob("*.dcm"))) == 2


def test_an_instance_of_more_than_two_gigabytes_passes(folder: Path) -> None:
    """An enhanced CT whose pixels are longer than 2^31 bytes, made while it is sent: received as it is, indexed, and analysed to its end.
    Neither the sender nor receive nor flow holds it."""
    study = frames_of(_FRAMES)
    assert study.kind.pixel_bytes > 1 << 31
    with node(folder, quiet="1s") as running:
        peaks = Peaks(running.pid)
        try:
            peaks.begin(settles_s=_SETTLES_S)
            own = psutil.Process().memory_info().rss
            send(running, study)
            assert psutil.Process().memory_info().rss - own < 1 << 29
            running.wait_for_jobs(lambda jobs: [job["state"] for job in jobs] == ["done"], _PATIENCE_S, "one job is done")
        finally:
            peaks.close()
    assert peaks.grown("receive") < _A_LITTLE_MIB
    assert peaks.grown("flow") < _A_LITTLE_MIB
    (kept,) = [path for path in (folder / "store" / "blobs" / "instances").rglob("*") if path.is_file()]
    assert kept.stat().st_size > study.kind.pixel_bytes
    assert len(list((folder / "results").rglob("*.dcm"))) == 2
