"""What lies in a store, as it came: files that a node encrypts are decrypted with its key."""

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from node.blobs.encryption.encrypted_file import DecryptionFailed, EncryptionKeys, KeyUnknown, decrypted, read_keys
from tests.crash.sender import digest_of_bytes

_KEY_BYTES = 32
_MEMORY = Path("/dev/shm")


@dataclass(frozen=True, slots=True)
class Reading:
    """Reads with `keys`, or what is not encrypted."""

    keys: EncryptionKeys | None = None

    @classmethod
    def with_key(cls, file: Path) -> Self:
        """With a new key, which is written to `file`."""
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch(mode=0o600)
        file.write_bytes(os.urandom(_KEY_BYTES))
        return cls(read_keys([file]))

    def digest_of(self, path: Path) -> str:
        """SHA-256 of the data set; empty for an encrypted file that cannot be decrypted, or one that should be encrypted and is not."""
        if self.keys is None:
            return digest_of_bytes(path.read_bytes())
        try:
            parts = decrypted(path, self.keys)
            return "" if parts is None else digest_of_bytes(b"".join(parts))
        except (DecryptionFailed, KeyUnknown):
            return ""

    def digest_of_bytes(self, raw: bytes) -> str:
        """The same of a file's bytes."""
        if self.keys is None:
            return digest_of_bytes(raw)
        with tempfile.NamedTemporaryFile(dir=_MEMORY if _MEMORY.is_dir() else None) as file:
            file.write(raw)
            file.flush()
            return self.digest_of(Path(file.name))
