"""No name of a file or folder is made of what a sender wrote, unless it was looked at first."""

import re
from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import MRImageStorage

from node.blobs.folder import FolderBlobs
from node.cli.demo import ArchiveFolder
from node.dimse.listener import Listener
from node.settings.config import Config
from node.settings.node import Node
from node.settings.store import Store
from node.sinks.folder import FolderSink
from node.sinks.port import Parcel
from tests.dimse.conftest import Listen, data_set, instance
from tests.lab.wire import Offer, Sender

_CLIMBS = (
    "..",
    ".",
    "../../climbed",
    "/tmp/climbed",
    "1.2.3/../../climbed",
    "1.2.3\\..\\climbed",
    "C:climbed",
    "1.2\n3",
    "-rf",
    "%2e%2e%2f",
    "~",
)


def _hostile(uid: str) -> Dataset:
    """An image whose study, series and patient climb."""
    dataset = instance()
    dataset.StudyInstanceUID = dataset.SeriesInstanceUID = ".."
    dataset.PatientID = dataset.PatientName = "../../climbed"
    dataset.SOPInstanceUID = uid
    return dataset


def _everything(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


@pytest.mark.parametrize("uid", _CLIMBS)
def test_an_identifier_that_climbs_names_no_file_of_the_inbox(listen: Listen, tmp_path: Path, uid: str) -> None:
    """SOP Instance UID, study, series, patient and both AE titles: what is kept lies in the inbox under a name of the node's own (time,
    number, random digits), and nothing else was made anywhere."""
    running = listen(node=Node(port=0, strangers=True, ae_titles=("HILUM", "../../climbed")), peers=())
    before = _everything(tmp_path)
    offer = Offer(data_set=data_set(_hostile(uid)), sop_instance_uid=uid, sop_class_uid=MRImageStorage)
    with Sender(running.port, [offer], calling="../../climbed", called="../../climbed") as sender:
        status = sender.store(offer)
    assert status in (0x0000, 0x0117, 0xA900, None)
    made = _everything(tmp_path) - before
    # beside what is kept, a receiver says that it lives, under random digits, and what it refused, under a digest
    shortfalls = {
        name
        for name in made
        if re.fullmatch(r"blobs/owed/([0-9a-f]{32}\.refused|standing/[0-9a-f]{32}(\.life|-[0-9a-f]{32}\.stands))", name)
    }
    made -= shortfalls | {name for name in made if name.startswith("blobs/coming/")}
    kept = {str(path.relative_to(tmp_path)) for path in running.kept()}
    assert made - kept == set()
    assert all(path.name.replace("-", "").removesuffix(".dcm").isalnum() for path in running.kept())
    assert not Path("/tmp/climbed").exists()


@pytest.mark.parametrize("uid", _CLIMBS)
def test_a_folder_sink_names_its_files_by_uids_alone(tmp_path: Path, uid: str) -> None:
    """An object whose own UID is none is refused; one whose study is none goes into the folder `unknown`."""
    results = tmp_path / "results"
    dataset = _hostile("1.2.3")
    dataset.StudyInstanceUID = uid.replace("\n", "x")
    source = tmp_path / "object.dcm"
    dataset.save_as(source, enforce_file_format=True)
    refused, taken = FolderSink(results).send(
        [Parcel(sop_instance_uid=one, sop_class_uid=MRImageStorage, kind="SC", path=source) for one in (uid, "1.2.3")]
    )
    assert refused.refused
    assert taken.accepted
    assert _everything(tmp_path) == {"object.dcm", "results", "results/unknown", "results/unknown/1.2.3.dcm"}


@pytest.mark.parametrize("uid", _CLIMBS)
def test_the_demos_archive_stays_in_its_folder(tmp_path: Path, uid: str) -> None:
    """It names files by SOP Instance UIDs, which the listener has looked at."""
    config = Config(
        path=tmp_path, digest="", node=Node(port=0, strangers=True), store=Store(journal="", blobs=tmp_path / "blobs"), models=tmp_path
    )
    listener = Listener(config, ArchiveFolder(tmp_path / "out"))
    listener.start()
    try:
        offer = Offer(data_set=data_set(_hostile(uid)), sop_instance_uid=uid, sop_class_uid=MRImageStorage)
        with Sender(listener.port, [offer], calling="CT", called="HILUM") as sender:
            sender.store(offer)
    finally:
        listener.stop(5)
    made = _everything(tmp_path) - {"out", "out/archive"}
    assert all(name.startswith("out/archive/") and name.count("/") == 2 for name in made)


@pytest.mark.parametrize("name", ["../climbed", "/climbed", "a/../../climbed", "inbox/x.dcm"])
def test_a_blob_never_leaves_its_folder(tmp_path: Path, name: str) -> None:
    """Names of blobs are made of digests; should a defect make another, it is refused."""
    blobs = FolderBlobs(tmp_path / "blobs")
    with pytest.raises(AssertionError):
        blobs.put(name, b"x")
    assert not (tmp_path / "climbed").exists()
