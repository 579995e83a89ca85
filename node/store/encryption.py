"""Encryption of what a store keeps: the keys are read and compared with what lies there; which files lie encrypted, one of them opened, and
where they lie decrypted while they are in use."""

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from inference.errors import InputError
from node.blobs.encryption.encrypted_file import KeyMissing, decrypted, note_key, read_keys, refuse_missing_keys
from node.settings.config import Config
from node.settings.store import Encryption, Store

if TYPE_CHECKING:
    from node.blobs.encryption.decrypted import DecryptedFiles, FileEncryption
    from node.blobs.encryption.encrypted_file import EncryptionKeys

_MEMORY = Path("/dev/shm")
_TEMPORARY = "tmp"


def open_encryption(config: Config) -> "FileEncryption | None":
    """What this process encrypts and decrypts with; None: nothing is encrypted, and nothing that is lies there.

    Raises
    ------
    KeyUnusable
        A key cannot be had.
    KeyMissing
        Something lies there that none of the keys opens.
    """
    given, keys = config.store.encryption, keys_of(config)
    if given is None or keys is None:
        return None
    for root in config.store.folders:
        note_key(root, keys.first.id)
    from node.blobs.encryption.decrypted import FileEncryption

    return FileEncryption(keys, lambda: _memory(config.store, given))


def keys_of(config: Config) -> "EncryptionKeys | None":
    """The keys that the configuration names, compared with what lies in the store; None: it names none, and nothing there needs one.

    Raises
    ------
    KeyUnusable, KeyMissing
        As `open_encryption`.
    """
    given = config.store.encryption
    keys = None if given is None else read_keys(given.key_files, given.place)
    for root in config.store.folders:
        refuse_missing_keys(root, keys)
    return keys


def demand_keys(config: Config) -> "EncryptionKeys":
    """The keys that the configuration names, for files wherever they lie.

    Raises
    ------
    KeyMissing
        It names none.
    KeyUnusable
        A key cannot be had.
    """
    given = config.store.encryption
    if given is None:
        raise KeyMissing("the configuration names no key")
    return read_keys(given.key_files, given.place)


def _memory(store: Store, given: Encryption) -> "DecryptedFiles":
    from node.blobs.encryption.decrypted import DecryptedFiles

    return DecryptedFiles(memory_folder(store, given), most_bytes=given.memory_bytes, on_disk=given.on_disk)


def files_of(root: Path) -> Iterator[Path]:
    """What holds images or results in a folder of the store, the spool's first."""
    from node.blobs.folder import ASIDE, CACHE, INBOX

    for part in (INBOX, ASIDE, CACHE, "instances", "findings", "results"):
        for folder, _, names in os.walk(root / part):
            yield from (Path(folder) / name for name in names if not name.endswith(".txt"))


def why_not_opened(path: Path, keys: "EncryptionKeys") -> str | None:
    """Why the beginning of a file cannot be decrypted, "" where it can; None: it is not encrypted."""
    try:
        parts = decrypted(path, keys)
        if parts is None:
            return None
        with contextlib.closing(parts):
            next(parts)
    except InputError as broken:
        return f"{path}: {broken} [{broken.code}]"
    return ""


def decrypt_to(target: Path, path: Path, keys: "EncryptionKeys") -> bool:
    """Write a file of the store decrypted, with the folders that it lies in; False: it is not encrypted, and nothing was written."""
    from node.blobs.files import write_flushed

    parts = decrypted(path, keys)
    if parts is None:
        return False
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_flushed(target, parts)
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryPlace:
    """Where files lie decrypted: whether that is memory, how much it holds, and to where the system swaps."""

    folder: Path
    in_memory: bool
    size_bytes: int
    swaps: tuple[str, ...]


def memory_place(store: Store, given: Encryption) -> MemoryPlace:
    """The place where files of this store lie decrypted, as far as it is there yet."""
    from node.blobs.encryption.decrypted import lies_in_memory, swaps, whole_memory

    folder = memory_folder(store, given)
    while not folder.exists():
        folder = folder.parent
    return MemoryPlace(folder=folder, in_memory=lies_in_memory(folder), size_bytes=whole_memory(folder), swaps=tuple(swaps()))


def memory_folder(store: Store, given: Encryption) -> Path:
    """Where files of this store lie decrypted: one folder for each store and user, whichever process asks."""
    name = hashlib.sha256(os.fsencode(store.spooled)).hexdigest()[:16]
    return (given.folder or _MEMORY) / f"hilum-{os.geteuid()}-{name}"


def left_behind(store: Store, given: Encryption) -> list[Path]:
    """Where files of this user's nodes still lie decrypted though no process uses them: of nodes that were killed, this one or others."""
    from node.blobs.encryption.decrypted import is_left_behind

    beside = memory_folder(store, given).parent
    return [folder for folder in sorted(beside.glob(f"hilum-{os.geteuid()}-*")) if is_left_behind(folder)]


def keep_temporaries_in_memory(file_encryption: "FileEncryption") -> None:
    """Let what this process, and whatever it starts, writes to temporary files (the voxels of large volumes) lie in memory too."""
    tempfile.tempdir = str(file_encryption.memory.folder(_TEMPORARY))
    os.environ["TMPDIR"] = tempfile.tempdir
