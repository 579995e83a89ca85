"""Encryption of what lies on the disk, as a configuration asks for it: the keys are read, what lies there is compared with them, and the
place in memory is found."""

import hashlib
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from node.blobs.sealing.keys import read_keys
from node.blobs.sealing.known import note, refuse_what_cannot_be_opened
from node.settings.config import Config, Store
from node.settings.security import Encryption

if TYPE_CHECKING:
    from node.blobs.sealing.opened import Opened
    from node.blobs.sealing.sealing import Sealing

_MEMORY = Path("/dev/shm")
_TEMPORARY = "tmp"


def open_sealing(config: Config) -> "Sealing | None":
    """What this process encrypts and decrypts with; None: nothing is encrypted, and nothing that is lies there.

    Raises
    ------
    KeyUnusable
        A key cannot be had.
    KeyMissing
        Something lies there that none of the keys opens.
    """
    given = config.store.encryption
    keys = None if given is None else read_keys(given.key_files)
    for root in roots(config.store):
        refuse_what_cannot_be_opened(root, keys)
    if given is None or keys is None:
        return None
    for root in roots(config.store):
        note(root, keys.first.id)
    from node.blobs.sealing.sealing import Sealing

    return Sealing(keys, lambda: _memory(config.store, given))


def roots(store: Store) -> list[Path]:
    """The folders of this host that encrypted files may lie in."""
    return list(dict.fromkeys(path for path in (store.blobs, store.spool) if path is not None))


def memory_folder(store: Store, given: Encryption) -> Path:
    """Where files of this store lie decrypted: one folder for each store and user, whichever process asks."""
    name = hashlib.sha256(os.fsencode(store.spool or store.blobs)).hexdigest()[:16]
    return (given.folder or _MEMORY) / f"hilum-{os.geteuid()}-{name}"


def left_behind(store: Store, given: Encryption) -> list[Path]:
    """Where files of this user's nodes still lie decrypted though no process uses them: of nodes that were killed, this one or others."""
    from node.blobs.sealing.opened import is_left_behind

    beside = memory_folder(store, given).parent
    return [folder for folder in sorted(beside.glob(f"hilum-{os.geteuid()}-*")) if is_left_behind(folder)]


def keep_temporaries_in_memory(sealing: "Sealing") -> None:
    """Let what this process, and whatever it starts, writes to temporary files (the voxels of large volumes) lie in memory too."""
    tempfile.tempdir = str(sealing.memory.folder(_TEMPORARY))
    os.environ["TMPDIR"] = tempfile.tempdir


def _memory(store: Store, given: Encryption) -> "Opened":
    from node.blobs.sealing.opened import Opened

    return Opened(memory_folder(store, given), most_bytes=given.memory_bytes, on_disk=given.on_disk)
