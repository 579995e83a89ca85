"""`hilum doctor --deep`: what is whole is said to be, and each kind of damage is found, named and told from the others."""

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filewriter import dcmwrite
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from inference import findings_parts
from inference.findings import Findings
from node.assembly import compose
from node.assembly.configuration import load
from node.backup.examination import StoreExamination, examine
from node.cli.main import main
from node.settings.config import Config
from node.store.identity import agree
from tests.unit.journal.story import Story

_INSTANCES = 5


def _part10(number: int) -> tuple[bytes, str]:
    """A file as another library writes it, and the SHA-256 of what follows its file meta information (PS3.10 7.1)."""
    header = Dataset()
    header.SOPClassUID, header.SOPInstanceUID = CTImageStorage, f"1.1.1.{number}"
    header.StudyInstanceUID, header.SeriesInstanceUID = "1.1", "1.1.1"
    header.Rows = header.Columns = 16
    header.BitsAllocated, header.BitsStored, header.HighBit, header.PixelRepresentation = 16, 16, 15, 0
    header.SamplesPerPixel, header.PhotometricInterpretation = 1, "MONOCHROME2"
    header.PixelData = bytes([number]) * 512
    header.file_meta = FileMetaDataset()
    header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    written = BytesIO()
    dcmwrite(written, header, enforce_file_format=True)
    data = written.getvalue()
    after_meta = 128 + 4 + 12 + int.from_bytes(data[140:144], "little")
    return data, hashlib.sha256(data[after_meta:]).hexdigest()


class _Store:
    """A store with instances, findings and results of one job."""

    def __init__(self, folder: Path, more: str = "") -> None:
        self.folder = folder
        self.path = folder / "hilum.yaml"
        self.path.write_text(
            "node: {ae_title: HILUM, listen: '127.0.0.1:0'}\n"
            f"store: {{journal: 'sqlite:{folder}/hilum.db', blobs: 'file:{folder}/blobs', min_free: 1MB{more}}}\n"
        )
        self.config: Config = load(self.path)
        blobs = compose.open_blobs(self.config)
        with contextlib.closing(compose.open_journal(self.config)) as journal:
            agree(self.config, journal, blobs)
            story = Story(journal)
            for number in range(1, _INSTANCES + 1):
                data, digest = _part10(number)
                plain = story.instance(number)
                blobs.put(plain.blob, data)
                journal.instances.record([story.new(replace(plain, size=len(data), digest=digest))], story.now)
            story.queued()
            job = story.claim()
            kept = findings_parts.written([("", Findings())])
            blobs.put(f"findings/{job.id}", kept.data)
            story.infer(job)

    def examined(self) -> StoreExamination:
        with contextlib.closing(compose.open_journal(self.config)) as journal:
            return examine(journal, compose.open_blobs(self.config))


@pytest.fixture
def store(tmp_path: Path) -> _Store:
    """One that is whole."""
    return _Store(tmp_path)


def test_a_whole_store_is_said_to_be_whole(store: _Store) -> None:
    """Every blob that a row names is read, and the digests are those that another library and arithmetic by hand give."""
    found = store.examined()
    assert found.whole, found
    assert found.blobs == _INSTANCES + 1
    assert found.unnamed_count == 0


def test_an_encrypted_store_is_read_decrypted(tmp_path: Path) -> None:
    """The digests are those of the content, the files are not."""
    key = tmp_path / "key"
    key.write_bytes(bytes(range(32)))
    key.chmod(0o600)
    store = _Store(tmp_path, f", encryption: {{key_file: '{key}', memory: 64MiB}}")
    assert store.examined().whole, store.examined()
    lying = (tmp_path / "blobs/instances/2.dcm").read_bytes()
    assert b"1.1.1.2" not in lying
    (tmp_path / "blobs/instances/2.dcm").write_bytes(lying[:-1] + bytes([lying[-1] ^ 1]))
    assert store.examined().changed_count == 1


def _turn_pixel(folder: Path) -> None:
    path = folder / "blobs/instances/3.dcm"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def _cut(folder: Path) -> None:
    os.truncate(folder / "blobs/instances/3.dcm", 300)


def _spoil_findings(folder: Path) -> None:
    path = next((folder / "blobs/findings").iterdir())
    path.write_bytes(path.read_bytes()[:-9] + b"other it is")


def _delete(folder: Path) -> None:
    (folder / "blobs/instances/4.dcm").unlink()


def _add(folder: Path) -> None:
    path = folder / "blobs/instances/nobody.dcm"
    path.write_bytes(b"no row names this")
    os.utime(path, (time.time() - 86400,) * 2)


def _strange_row(folder: Path) -> None:
    import sqlite3

    with sqlite3.connect(folder / "hilum.db") as connection:
        connection.execute("UPDATE decision SET reason = CAST(X'ff' AS TEXT)")


def _rename_identity(folder: Path) -> None:
    (path,) = (folder / "blobs/store").iterdir()
    path.rename(path.with_name("0" * 32))


@pytest.mark.parametrize(
    ("damage", "subject", "code"),
    [
        (_turn_pixel, "changed blobs", 1),
        (_cut, "changed blobs", 1),
        (_spoil_findings, "changed blobs", 1),
        (_delete, "missing blobs", 1),
        (_add, "blobs without a row", 0),
        (_strange_row, "whole journal", 1),
        (_rename_identity, "store", 1),
    ],
)
def test_each_damage_is_found_and_told_from_the_others(
    store: _Store, damage: Callable[[Path], None], subject: str, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """One finding that is not good, with what to do; exit code 1 where something is lost or changed, 0 for a blob too many."""
    damage(store.folder)
    assert main(["doctor", "--deep", "--json", "--config", str(store.path)]) == code
    findings = json.loads(capsys.readouterr().out)["findings"]
    subjects = ("store", "whole store", "whole journal", "blobs", "missing blobs", "changed blobs", "blobs without a row")
    told = [one for one in findings if one["subject"] in subjects and one["level"] != "good"]
    assert [one["subject"] for one in told] == [subject], told
    assert told[0]["fix"]


def test_a_page_that_is_overwritten_is_found(store: _Store, capsys: pytest.CaptureFixture[str]) -> None:
    """SQLite's own check sees it though no command may ever have read the page."""
    path = store.folder / "hilum.db"
    with path.open("r+b") as file:
        file.seek(path.stat().st_size - 4096)
        file.write(b"\xa5" * 4096)
    assert main(["doctor", "--deep", "--json", "--config", str(store.path)]) == 1
    findings = json.loads(capsys.readouterr().out)["findings"]
    assert any("HLM-7004" in one["detail"] and one["fix"] for one in findings), findings
