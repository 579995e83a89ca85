"""Kill the whole family anywhere: after a restart exactly one set of results stands in the archive, and the patient's name is intact.

The names are in the character sets that break others: Japanese in ISO 2022, Chinese in GB18030, Cyrillic in UTF-8.
"""

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pydicom
import pytest

from tests.lab import dcmtk, validators
from tests.lab.loopback import free_port
from tests.lab.needs import data
from tests.lab.node import QUIET, Node, configuration, models
from tests.lab.program import wait_until
from tests.lab.series import another_study

pytestmark = [pytest.mark.slow, pytest.mark.registry, pytest.mark.timeout(600)]

NAMES = {
    "after the last answer": ("\\ISO 2022 IR 87", "Yamada^Tarou=山田^太郎=やまだ^たろう"),
    "during inference": ("GB18030", "Wang^XiaoDong=王^小东"),
    "during delivery": ("ISO_IR 192", "Чайковский^Пётр"),
}


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[dcmtk.StoreScp]:
    """An archive that takes no further object behind the first while `hold` lies there, so that a delivery can be interrupted; `held` says
    that it has one, whole."""
    waits = f"touch {tmp_path / 'held'}; while [ -e {tmp_path / 'hold'} ]; do sleep 0.05; done"
    with dcmtk.StoreScp(tmp_path / "archive", aet="ARCHIVE", options=("--exec-sync", "--exec-on-reception", waits)) as receiver:
        yield receiver


@pytest.fixture
def node(archive: dcmtk.StoreScp, tmp_path: Path) -> Iterator[Node]:
    """A node that delivers into the archive."""
    written = configuration(
        tmp_path / "node",
        port=free_port(),
        repository=models(("mr-brain",)),
        peers={
            "modality": {"ae_title": "MODALITY", "address": "127.0.0.1:0", "settle": {"quiet": QUIET}},
            "archive": {"ae_title": "ARCHIVE", "address": f"127.0.0.1:{archive.port}"},
        },
        sinks={"archive": {"kind": "dimse", "peer": "archive", "retry": {"first": "1s", "most": "2s"}}},
        routes=[{"name": "head MR", "when": {"Modality": "MR"}, "run": ["mr-brain"], "send": ["archive"]}],
    )
    with Node(written, tmp_path / "node") as running:
        yield running


def _said(node: Node, name: str) -> Callable[[], bool]:
    return lambda: any(event["event"] == name for event in node.events())


@pytest.mark.parametrize("moment", NAMES)
def test_killed_at_any_moment_one_set_of_results_arrives(node: Node, archive: dcmtk.StoreScp, tmp_path: Path, moment: str) -> None:
    """Network case 22 (and 13, for names): SIGKILL to every process at once, then a start: one segmentation, one report, one page;
    nothing that had arrived has changed."""
    charset, name = NAMES[moment]
    hold = tmp_path / "hold"
    hold.touch()
    study, files = another_study(
        data("dicom", "mr_t1_sag_HFS_decubitus.zip"),
        tmp_path / "study",
        moment,
        attributes={"SpecificCharacterSet": charset.split("\\"), "PatientName": name},
    )
    sent = dcmtk.dcmsend(node.port, *files, calling="MODALITY")
    assert sent.code == 0, sent.text
    if moment == "during inference":
        wait_until(_said(node, "job.claimed"), 60, "a worker has the job", every_s=0.02)
        assert not _said(node, "job.inferred")()
    elif moment == "during delivery":
        wait_until((tmp_path / "held").exists, 120, "the first object is in the archive", every_s=0.02)
    node.kill()
    if moment == "during delivery":
        assert not _said(node, "delivery.delivered")()
    before = {path.name: _digest(path) for path in archive.received()}
    hold.unlink()
    node.start()
    (job,) = node.wait_for_jobs(lambda jobs: jobs and jobs[0]["state"] == "done", 180, "the job is done")
    assert job["study_uid"] == study
    results = [pydicom.dcmread(path) for path in archive.received()]
    assert sorted(str(one.Modality) for one in results) == ["OT", "SEG", "SR"]
    assert {str(one.PatientName) for one in results} == {name}
    assert {str(one.SpecificCharacterSet) for one in results} == {"ISO_IR 192"}
    assert before.items() <= {path.name: _digest(path) for path in archive.received()}.items()
    for path, one in zip(archive.received(), results, strict=True):
        assert validators.dciodvfy(path) == [], one.Modality


def _digest(path: Path) -> str:
    """SHA-256 of the data set; storescp writes the file meta information itself."""
    raw = path.read_bytes()
    return hashlib.sha256(raw[144 + int.from_bytes(raw[140:144], "little") :]).hexdigest()
