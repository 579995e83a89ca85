"""What a real node leaves behind is its own: no file of it is readable by others, no output of it tells of a patient or a secret."""

import json
import os
import stat
import subprocess
import sys
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.uid import generate_uid
from pynetdicom import AE
from pynetdicom.pdu_primitives import UserIdentityNegotiation
from pynetdicom.sop_class import Verification

from inference.imaging.write_series import write_series
from tests.dimse.conftest import data_set
from tests.lab.loopback import free_port
from tests.lab.node import QUIET, Node, configuration, hilum
from tests.lab.program import wait_until
from tests.lab.wire import Offer, Sender

pytestmark = [pytest.mark.slow]

_APPLICATIONS = Path(__file__).parents[2] / "bench" / "applications"
_PATIENCE_S = 120
_OPEN = stat.S_IRWXG | stat.S_IRWXO
_TALE = "TELLTALE"
"""In every value that is about a patient, and in every secret, in whatever case."""


def _series(folder: Path, patient: str) -> list[Path]:
    """A CT with a block of tissue, its patient's data in every element that may hold it, valid or not."""
    voxels = np.full((6, 64, 64), -1000, np.int16)
    voxels[:, 20:30, 10:30] = 60
    affine = np.array([[0.0, 0, 1, -32], [0, 1, 0, -32], [2, 0, 0, 0], [0, 0, 0, 1]])
    files = write_series(voxels, affine, folder, modality="CT", patient_id=patient)
    for file in files:
        dataset = dcmread(file)
        dataset.PatientName = f"{_TALE}^Erika"
        dataset.PatientID = f"{_TALE} {patient}"
        for keyword in ("AccessionNumber", "InstitutionName", "StudyDescription", "SeriesDescription", "StudyID", "PatientComments"):
            setattr(dataset, keyword, _TALE)
        for keyword in ("ReferringPhysicianName", "OperatorsName", "OtherPatientNames"):
            setattr(dataset, keyword, f"{_TALE}^Hans")
        dataset.add_new(0x00091010, "LO", _TALE)
        dataset.add_new(0x00090010, "LO", _TALE)
        dataset.save_as(file)
    return files


def _wrong(folder: Path, keyword: str, valid: str, wrong: str) -> list[Path]:
    """A series of which one element cannot be what it says: as many bytes, of another kind."""
    files = _series(folder, keyword)
    for file in files:
        dataset = dcmread(file)
        setattr(dataset, keyword, valid)
        dataset.save_as(file)
        content = file.read_bytes()
        assert content.count(valid.encode()) == 1
        file.write_bytes(content.replace(valid.encode(), wrong.encode()))
    return files


def _settings(folder: Path, metrics: int) -> dict[str, object]:
    passcode = folder / "ct2.passcode"
    passcode.write_text(f"{_TALE}-passcode\n")
    passcode.chmod(0o600)
    settings = configuration(
        folder,
        port=0,
        repository=folder / "models",
        peers={
            "scanner": {"ae_title": "SCANNER", "address": "127.0.0.1:0", "settle": {"quiet": QUIET}},
            "ct2": {"ae_title": "CT2", "address": "127.0.0.1:0", "user": {"name": "ct2", "passcode_file": str(passcode)}},
            "ct3": {"ae_title": "CT3", "address": "127.0.0.1:0", "user": {"name": "ct3", "passcode_variable": "CT3_PASSCODE"}},
        },
        sinks={"results": {"kind": "folder", "path": str(folder / "made" / "results")}},
        routes=[{"name": "all CT", "when": {"Modality": "CT"}, "run": ["bench-threshold"], "send": ["results"]}],
    )
    settings["models"] = {"repository": str(folder / "models"), "applications": [str(_APPLICATIONS)]}
    settings["store"] = {
        "journal": f"sqlite:{folder / 'made' / 'journal' / 'hilum.db'}",
        "blobs": f"file:{folder / 'made' / 'blobs'}",
        "spool": f"file:{folder / 'made' / 'spool'}",
        "min_free": "100MB",
        "high_water": 1,
    }
    assert isinstance(settings["node"], dict)
    settings["node"]["metrics"] = f"127.0.0.1:{metrics}"
    return settings


def _send(node: Node, files: list[Path]) -> None:
    said = hilum("send", files[0].parent, "--to", f"HILUM@127.0.0.1:{node.port}", "--calling", "SCANNER", "--json")
    assert said.code == 0, said.out + said.err


def _refused(node: Node, image: Path) -> list[int | None]:
    """C-STOREs that cannot be kept, each with the patient in what is wrong with it."""
    dataset = dcmread(image)
    whole = data_set(dataset)
    uid = str(dataset.SOPInstanceUID)
    offers = [
        Offer(data_set=whole, sop_instance_uid=_TALE, sop_class_uid=dataset.SOPClassUID),
        Offer(data_set=_TALE.encode() * 100, sop_instance_uid=uid, sop_class_uid=dataset.SOPClassUID),
        Offer(data_set=whole[:-700], sop_instance_uid=uid, sop_class_uid=dataset.SOPClassUID),
        Offer(data_set=whole, sop_instance_uid=generate_uid(), sop_class_uid=dataset.SOPClassUID),
        Offer(
            data_set=whole.replace(uid.encode(), _TALE.ljust(len(uid)).encode(), 1), sop_instance_uid=uid, sop_class_uid=dataset.SOPClassUID
        ),
    ]
    statuses = []
    for offer in offers:
        with Sender(node.port, [offer], calling="SCANNER") as sender:
            statuses.append(sender.store(offer))
    return statuses


def _aside(node: Node, image: Path) -> None:
    """Instances that are acknowledged and then cannot be indexed: without a study, with a study that is none."""
    for study in (None, _TALE):
        dataset = dcmread(image)
        dataset.SOPInstanceUID = generate_uid()
        if study is None:
            del dataset.StudyInstanceUID
        whole = data_set(dataset)
        if study is not None:
            own = str(dataset.StudyInstanceUID).encode()
            whole = whole.replace(own, study.encode().ljust(len(own), b"X"))
        offer = Offer(data_set=whole, sop_instance_uid=str(dataset.SOPInstanceUID), sop_class_uid=dataset.SOPClassUID)
        with Sender(node.port, [offer], calling="SCANNER") as sender:
            assert sender.store(offer) == 0x0000


def _knock(node: Node, calling: str, kind: int, passcode: str) -> bool:
    """Ask for an association with a user identity; whether it was admitted."""
    identity = UserIdentityNegotiation()
    identity.user_identity_type = kind
    identity.primary_field = (calling.lower() if passcode else _TALE).encode()
    if kind == 2:
        identity.secondary_field = passcode.encode()
    entity = AE(ae_title=calling)
    entity.add_requested_context(Verification)
    association = entity.associate("127.0.0.1", node.port, ae_title="HILUM", ext_neg=[identity])
    admitted = bool(association.is_established)
    if admitted:
        association.release()
    return admitted


def _settled(node: Node, jobs: int) -> bool:
    return len(node.jobs()) == jobs and all(job["state"] in ("done", "not_applicable", "parked", "failed") for job in node.jobs())


def test_no_file_is_readable_by_others_and_no_output_tells_of_patients_or_secrets(tmp_path: Path) -> None:
    """A whole study, one whose geometry cannot be read, refusals, instances that cannot be indexed, users with wrong passcodes: events,
    what is printed, metrics, `config check` and `doctor` hold no value of a patient and no secret; every file and folder is private."""
    (tmp_path / "made").mkdir()
    (tmp_path / "made").chmod(0o755)  # what was there before hilum is as it was
    metrics = free_port()
    umask = os.umask(0o022)
    try:
        node = Node(_settings(tmp_path, metrics), tmp_path, environment={"CT3_PASSCODE": f"{_TALE}-passcode"})
        with node:
            whole = _series(tmp_path / "in", "1")
            _send(node, whole)
            _send(node, _wrong(tmp_path / "in2", "PixelSpacing", "1.234567\\1.234567", f"{_TALE}\\{_TALE}"))
            _send(node, _wrong(tmp_path / "in3", "PatientBirthDate", "19010203", _TALE))
            # before the refusals of its series: with those in it the first would be held as short
            wait_until(lambda: _settled(node, 3), _PATIENCE_S, "every job came to an end")
            assert _refused(node, whole[0]) == [0x0117, 0xC000, 0xC000, 0xA900, 0xA900]
            _aside(node, whole[0])
            assert _knock(node, "CT2", 2, f"{_TALE}-passcode")
            assert _knock(node, "CT3", 2, f"{_TALE}-passcode")
            assert not _knock(node, "CT2", 2, f"{_TALE}-wrong")
            assert not _knock(node, "CT3", 1, "")
            wait_until(lambda: len([e for e in node.events() if e["event"] == "instance.set_aside"]) == 2, _PATIENCE_S, "two are set aside")
            said = {
                "metrics": urllib.request.urlopen(f"http://127.0.0.1:{metrics}/metrics", timeout=30).read().decode(),
                "doctor": (doctor := node.hilum("doctor")).out + doctor.err,
                "config check": (check := node.hilum("config", "check")).out + check.err,
            }
        said["events"] = node.log.read_text()
        said["standard output"] = "".join(path.read_text() for path in tmp_path.glob("stdout-*"))
    finally:
        os.umask(umask)
    assert len(said["events"].splitlines()) > 20
    for output, text in said.items():
        tales = [line for line in text.splitlines() if _TALE.lower() in line.lower()]
        assert not tales, f"{output}: {tales[:3]}"
    made = list((tmp_path / "made").rglob("*"))
    kinds = {path.suffix for path in made}
    assert {".db", ".dcm"} <= kinds, "there is something to look at"
    readable = [f"{stat.S_IMODE(path.lstat().st_mode):04o} {path.relative_to(tmp_path)}" for path in made if path.lstat().st_mode & _OPEN]
    assert not readable


@pytest.mark.parametrize("words", [("config", "check"), ("doctor",), ("serve",), ("studies", "list")])
def test_the_journals_password_is_in_no_output(tmp_path: Path, words: tuple[str, ...]) -> None:
    """The server cannot be reached, so that every error of the way is made; the URL's password is in none of them."""
    settings = configuration(tmp_path, port=0, repository=tmp_path / "models", peers={}, sinks={}, routes=[])
    settings["store"] = {
        "journal": f"postgresql://hilum:{_TALE}@127.0.0.1:{free_port()}/hilum?connect_timeout=2",
        "blobs": f"file:{tmp_path / 'blobs'}",
    }
    config = tmp_path / "hilum.yaml"
    config.write_text(json.dumps(settings))
    if words == ("serve",):
        node = Node(settings, tmp_path)
        node.start()
        wait_until(lambda: any(one["event"] == "stage.failed" for one in node.events()), _PATIENCE_S, "the journal is away")
        node.stop()
        text = node.log.read_text()
    else:
        said = hilum(*words, "--config", config)
        text = said.out + said.err
    assert text
    assert _TALE.lower() not in text.lower()


def test_a_process_of_the_node_is_private_whoever_starts_it(tmp_path: Path) -> None:
    """Without `hilum serve` around it, under a umask that hides nothing: the journal that it makes is its user's alone."""
    settings = configuration(tmp_path, port=0, repository=tmp_path / "models", peers={}, sinks={}, routes=[])
    (tmp_path / "hilum.yaml").write_text(json.dumps(settings))
    command = [sys.executable, "-m", "node.assembly.process", str(tmp_path / "hilum.yaml"), "index"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, umask=0) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["event"] == "process.ready"
        made = [path for path in tmp_path.rglob("*") if path.name not in ("hilum.yaml", "events.jsonl")]
        assert tmp_path / "hilum.db" in made
        assert [path for path in made if path.lstat().st_mode & _OPEN] == []
        process.stdin.close()
