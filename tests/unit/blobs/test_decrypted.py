"""The place in memory where encrypted files lie decrypted: private, bounded, shared, and empty when nobody uses it."""

import gc
import os
import subprocess
import sys
import textwrap
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from node.blobs.encryption.blobs import EncryptedBlobs, TooLargeToDecrypt
from node.blobs.encryption.decrypted import DecryptedFiles, DecryptedFull, DecryptedOnDisk, FileEncryption, lies_in_memory
from node.blobs.encryption.encrypted_file import (
    DecryptionFailed,
    EncryptionKeys,
    Encryptor,
    KeyMissing,
    key_of,
    note_key,
    noted_keys,
    refuse_missing_keys,
)
from node.blobs.folder import FolderBlobs

_MOST = 1_000_000


@pytest.fixture
def memory() -> Iterator[Path]:
    """A folder in memory that nobody has used; and nobody does at the end."""
    folder = Path("/dev/shm") / f"hilum-test-{uuid.uuid4().hex}"
    yield folder
    gc.collect()
    assert not folder.exists()


def _keys(*secrets: bytes) -> EncryptionKeys:
    keys = [key_of(one) for one in secrets]
    return EncryptionKeys(first=keys[0], by_id={one.id: one for one in keys})


def _blobs(root: Path, memory: Path) -> EncryptedBlobs:
    return EncryptedBlobs(FolderBlobs(root), FileEncryption(_keys(b"k" * 31 + b"1"), lambda: DecryptedFiles(memory, most_bytes=_MOST)))


def test_a_blob_is_content_to_its_readers_and_nothing_to_the_disk(tmp_path: Path, memory: Path) -> None:
    """Put, read, put again, and another content refused; what was there before is read where it lies."""
    plain = FolderBlobs(tmp_path / "blobs")
    plain.put("instances/before", b"DICM before")
    blobs = _blobs(tmp_path / "blobs", memory)
    blobs.put("instances/a", b"DICM a")
    assert blobs.path("instances/a").read_bytes() == b"DICM a"
    assert blobs.path("instances/a").is_relative_to(memory)
    assert b"DICM" not in plain.path("instances/a").read_bytes()
    assert blobs.path("instances/before") == plain.path("instances/before")
    blobs.put("instances/before", b"DICM before")
    blobs.delete("instances/a")
    assert not blobs.path("instances/a").exists()
    assert not [path for path in memory.rglob("*") if path.is_file() and path.stat().st_size]
    del blobs


def test_the_bound_holds_and_what_is_in_use_stays(tmp_path: Path, memory: Path) -> None:
    """What nobody uses gives way to what is needed; what is held does not, and then there is a reason to wait. What never fits says so."""
    blobs = _blobs(tmp_path / "blobs", memory)
    for number in range(8):
        blobs.put(f"instances/{number}", bytes([number]) * (_MOST // 4))
    blobs.put("instances/large", b"x" * (_MOST + 1))
    with blobs.hold():
        held = blobs.paths([f"instances/{number}" for number in range(3)])
        with pytest.raises(DecryptedFull), blobs.hold():
            blobs.paths([f"instances/{number}" for number in range(3, 6)])
        assert [path.read_bytes()[:1] for path in held] == [b"\0", b"\1", b"\2"]
    for path in (memory / "cache").rglob("*"):
        os.utime(path, (0, 0))  # long ago
    assert [path.read_bytes()[:1] for path in blobs.paths(["instances/6", "instances/7"])] == [b"\6", b"\7"]
    assert sum(path.stat().st_size for path in (memory / "cache").rglob("*") if path.is_file()) <= _MOST
    for names in (["instances/large"], [f"instances/{number}" for number in range(5)]):
        with pytest.raises(TooLargeToDecrypt):
            blobs.paths(names)
    del blobs


def test_a_damaged_blob_leaves_nothing_decrypted(tmp_path: Path, memory: Path) -> None:
    """Not the part that was proved before the damage was met, either."""
    blobs = _blobs(tmp_path / "blobs", memory)
    blobs.put("instances/a", b"x" * 300_000)
    path = tmp_path / "blobs" / "instances" / "a"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DecryptionFailed):
        blobs.path("instances/a")
    assert not [one for one in memory.rglob("*") if one.is_file() and one.stat().st_size]
    del blobs


def test_what_nobody_asks_for_goes(tmp_path: Path, memory: Path) -> None:
    """After ten minutes, at the next sweep; what is asked for stays."""
    blobs = _blobs(tmp_path / "blobs", memory)
    for name in ("a", "b"):
        blobs.put(name, b"content")
        blobs.path(name)
    os.utime(memory / "cache" / "a", (0, 0))
    blobs.sweep()
    assert [path.name for path in (memory / "cache").iterdir()] == ["b"]
    del blobs


def test_the_last_one_empties_it_and_what_a_crash_left_goes_first(memory: Path) -> None:
    """Two processes share it; one that is killed leaves what it had to whoever comes next."""
    script = f"""
        from pathlib import Path
        from node.blobs.encryption.decrypted import DecryptedFiles
        import os, signal
        opened = DecryptedFiles(Path({str(memory)!r}), most_bytes={_MOST})
        opened.add("left", [b"of a patient"], 12)
        os.kill(os.getpid(), signal.SIGKILL)
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=False, timeout=60)
    assert (memory / "cache" / "left").exists()
    first = DecryptedFiles(memory, most_bytes=_MOST)
    assert not (memory / "cache" / "left").exists()
    first.add("a", [b"content"], 7)
    second = DecryptedFiles(memory, most_bytes=_MOST)
    del first
    gc.collect()
    assert second.find("a") is not None
    del second


def test_a_place_that_is_no_place_is_refused(tmp_path: Path, memory: Path) -> None:
    """A disk, unless the operator says so; too little room; a folder that others may read, or that is a link."""
    if not lies_in_memory(tmp_path):
        with pytest.raises(DecryptedOnDisk, match="lies on a disk"):
            DecryptedFiles(tmp_path / "opened", most_bytes=1)
        DecryptedFiles(tmp_path / "opened", most_bytes=1, on_disk=True)
    with pytest.raises(DecryptedOnDisk, match="has room for"):
        DecryptedFiles(memory, most_bytes=1 << 60)
    gc.collect()
    (tmp_path / "open").mkdir(mode=0o755)
    (tmp_path / "link").symlink_to(memory)
    for wrong in ("open", "link"):
        with pytest.raises(DecryptedOnDisk, match="not a folder of this user's own"):
            DecryptedFiles(tmp_path / wrong, most_bytes=1, on_disk=True)


def test_a_folder_says_which_keys_wrote_in_it(tmp_path: Path) -> None:
    """A key that a file needs may not be missing; the sign of one that no file needs any more goes, and with it the question."""
    old, new = _keys(b"o" * 31 + b"1"), _keys(b"n" * 31 + b"1")
    for keys in (old, new):
        note_key(tmp_path, keys.first.id)
    entry = tmp_path / "coming" / "1.told"
    entry.parent.mkdir()
    entry.write_bytes(b"".join(Encryptor(old.first).encrypted([b"acknowledged"])))
    with pytest.raises(KeyMissing, match=r"1\.told"):
        refuse_missing_keys(tmp_path, new)
    with pytest.raises(KeyMissing, match="no key at all"):
        refuse_missing_keys(tmp_path, None)
    entry.unlink()
    note_key(tmp_path, new.first.id)
    refuse_missing_keys(tmp_path, new)
    assert noted_keys(tmp_path) == [new.first.id]
