"""What else a worker would leave decrypted on a disk lies in memory where files are encrypted."""

import gc
import os
import tempfile
from pathlib import Path

import numpy as np
import pytest

from inference.imaging.volume import MAPPED_BYTES, space
from node.assembly.configuration import load
from node.assembly.work import memory_off_disk
from node.blobs.encryption.encrypted_file import KeyMissing, KeyUnusable
from node.settings.config import Config
from node.store.encryption import keep_temporaries_in_memory, memory_folder, open_encryption
from node.store.hosts import make_run_folder


def _config(folder: Path, store: str) -> Config:
    key = folder / "at-rest.key"
    key.write_bytes(os.urandom(32))
    key.chmod(0o600)
    (folder / "hilum.yaml").write_text(f"store: {store}\n")
    return load(folder / "hilum.yaml", applications=())


def test_frames_and_large_volumes_lie_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Frames decoded ahead, those of the time before encryption gone; the file behind the voxels of a large volume, here and in what the
    worker starts. All of it goes with the last process."""
    config = _config(tmp_path, "{encryption: {key_file: at-rest.key, memory: 64MiB}}")
    before = make_run_folder(config) / "ahead" / "frame"
    before.parent.mkdir()
    before.write_bytes(b"decoded")
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    file_encryption = open_encryption(config)
    assert file_encryption is not None
    memory = memory_off_disk(config, file_encryption)
    keep_temporaries_in_memory(file_encryption)
    assert memory is not None
    assert not before.exists()
    assert config.store.encryption is not None
    folder = memory_folder(config.store, config.store.encryption)
    assert folder.is_relative_to("/dev/shm")
    assert os.environ["TMPDIR"] == tempfile.gettempdir() == str(folder / "tmp")
    memory.keep("frame", np.ones((8, 8), np.int16))
    assert not memory.has("frame") or (folder / "ahead" / "frame").exists(), "it is kept in memory, or (too little of it here) not at all"
    voxels = space((MAPPED_BYTES,), np.dtype(np.uint8))
    assert any(str(folder) in line for line in Path("/proc/self/maps").read_text().splitlines())
    del voxels, file_encryption, memory
    gc.collect()
    assert not folder.exists()


def test_a_key_is_read_and_compared_before_anything_is_opened(tmp_path: Path) -> None:
    """By whoever opens blobs or intake: a file that is no key, or one key less than before, is told at once."""
    config = _config(tmp_path, "{encryption: {key_file: [at-rest.key, older.key]}}")
    with pytest.raises(
        KeyUnusable, match=r"^\S*hilum\.yaml:\d+:\d+: store: encryption: key_file: \S+/older\.key is not there; bring back its copy"
    ):
        open_encryption(config)
    (tmp_path / "older.key").write_bytes(os.urandom(32))
    (tmp_path / "older.key").chmod(0o600)
    file_encryption = open_encryption(config)
    assert file_encryption is not None
    entry = config.store.blobs / "inbox" / "1.dcm"
    entry.parent.mkdir(parents=True)
    entry.write_bytes(b"".join(file_encryption.encryptor.encrypted([b"a patient's"])))
    (tmp_path / "hilum.yaml").write_text("store: {}\n")
    with pytest.raises(KeyMissing):
        open_encryption(load(tmp_path / "hilum.yaml", applications=()))
