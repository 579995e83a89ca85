"""A hostile model in the real node: laid into the repository by hand, digest and all. Its job is parked by name, the others' are done."""

import hashlib
from pathlib import Path

import pytest

from tests.lab.node import Node, configuration, hilum
from tests.lab.program import wait_until
from tests.node.test_bundle import _bundle, _series
from tests.unit.engines.sieve import hostile

pytest.importorskip("monai")
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("node"), pytest.mark.filterwarnings("ignore::DeprecationWarning")]

_PATIENCE_S = 90


def _replaced(model: Path, content: bytes) -> None:
    """Other weights under the name of those that were imported, with every digest that says so."""
    file = model / "1/model.pt"
    before, after = (hashlib.sha256(each).hexdigest() for each in (file.read_bytes(), content))
    file.write_bytes(content)
    for name in ("hilum.json", "config.pbtxt"):
        (model / name).write_text((model / name).read_text().replace(before, after))


def test_its_job_is_parked_and_the_worker_s_next_study_is_done(tmp_path: Path) -> None:
    """Two applications on two studies, one after the other: what the hostile one would write is never written."""
    mark = tmp_path / "written-by-a-model"
    repository = tmp_path / "models"
    settings = configuration(
        tmp_path,
        port=0,
        repository=repository,
        peers={"scanner": {"ae_title": "SCANNER", "address": "127.0.0.1:0", "settle": {"quiet": "1s"}}},
        sinks={"results": {"kind": "folder", "path": str(tmp_path / "results")}},
        routes=[{"name": "all CT", "when": {"Modality": "CT"}, "run": ["hostile-ct", "bright-ct"], "send": ["results"]}],
    )
    node = Node(settings, tmp_path)
    for name in ("bright_ct", "hostile_ct"):
        bundle = _bundle(tmp_path / f"{name}.zip", 0.5)
        said = hilum("models", "import", "--bundle", bundle, "--repository", repository, "--licence", "MIT", "--no-tune")
        assert said.code == 0, said.out + said.err
    _replaced(repository / "hostile_ct", hostile.scripted(hostile.Writes(str(mark))))
    with node:
        for count, patient in enumerate(("ONE", "TWO"), 1):
            said = hilum("send", _series(tmp_path / patient, patient), "--to", f"HILUM@127.0.0.1:{node.port}", "--calling", "SCANNER")
            assert said.code == 0, said.out + said.err

            def ended(count: int = count) -> bool:
                found = sorted((job["application"], job["state"]) for job in node.jobs())
                return found == sorted([("bright-ct", "done"), ("hostile-ct", "parked")] * count)

            wait_until(ended, _PATIENCE_S, "one job is done and the other is parked")
        parked = [job for job in node.jobs() if job["state"] == "parked"]
    assert {job["code"] for job in parked} == {"HLM-4111"}
    assert all("torch.save, which is not on the list" in job["reason"] for job in parked)
    assert not mark.exists()
