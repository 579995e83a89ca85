"""Files of a store that lie encrypted: which they are, one of them opened, and where they lie decrypted while they are in use."""

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from inference.errors import InputError
from node.settings.store import Encryption, Store

if TYPE_CHECKING:
    from node.blobs.encryption.decrypted import FileEncryption
    from node.blobs.encryption.encrypted_file import EncryptionKeys

_MEMORY = Path("/dev/shm")
_TEMPORARY = "tmp"


def files_of(root: Path) -> Iterator[Path]:
    """What holds images or results in a folder of the store, the spool's first."""
    from node.blobs.folder import ASIDE, CACHE, INBOX

    for part in (INBOX, ASIDE, CACHE, "instances", "findings", "results"):
        for folder, _, names in os.walk(root / part):
            yield from (Path(folder) / name for name in names if not name.endswith(".txt"))


def why_not_opened(path: Path, keys: "EncryptionKeys") -> str | None:
    """Why the beginning of a file cannot be decrypted, "" where it can; None: it is not encrypted."""
    from node.blobs.encryption.encrypted_file import decrypted

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
    from node.blobs.encryption.encrypted_file import decrypted
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
