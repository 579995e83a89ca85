"""Encryption of what lies on the disk, as a configuration asks for it: the keys are read, what lies there is compared with them, and the
place in memory is found."""

from typing import TYPE_CHECKING

from node.blobs.encryption.encrypted_file import KeyMissing, note_key, read_keys, refuse_missing_keys
from node.settings.config import Config
from node.settings.store import Encryption, Store
from node.store.decrypted_files import memory_folder

if TYPE_CHECKING:
    from node.blobs.encryption.decrypted import DecryptedFiles, FileEncryption
    from node.blobs.encryption.encrypted_file import EncryptionKeys


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
