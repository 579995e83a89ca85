"""Encrypts a stream of bytes: whoever writes a file puts down what this gives instead."""

import os
from collections.abc import Iterable, Iterator

from node.blobs.files import Bytes
from node.blobs.sealing.format import CHUNK_BYTES, SALT_BYTES, Header, cipher, nonce
from node.blobs.sealing.keys import Key


class Seal:
    """One file on its way to the disk. Nothing of it is whole before `end`; a chunk is held back until more follows, or nothing."""

    def __init__(self, key: Key) -> None:
        self._header = Header(key_id=key.id, salt=os.urandom(SALT_BYTES))
        self._cipher = cipher(key.secret, self._header)
        self._number = 0
        self._held = bytearray()
        self._ready = [self._header.raw]

    def seal(self, part: Bytes) -> list[bytes]:
        """The encrypted bytes that can be written by now, one behind the other; often more, or fewer, than `part` has."""
        done, self._ready = self._ready, []
        if len(self._held) + len(part) <= CHUNK_BYTES:
            self._held += part
            return done
        at = 0
        with memoryview(part) as rest:
            if self._held:
                at = CHUNK_BYTES - len(self._held)
                self._held += rest[:at]
                done.append(self._chunk(self._held, last=False))
                self._held = bytearray()
            # what fills a chunk and is followed by more goes without a copy
            while len(rest) - at > CHUNK_BYTES:
                done.append(self._chunk(rest[at : at + CHUNK_BYTES], last=False))
                at += CHUNK_BYTES
            self._held += rest[at:]
        return done

    def end(self) -> bytes:
        """The rest; the file is whole behind it."""
        return b"".join((*self._ready, self._chunk(self._held, last=True)))

    def _chunk(self, content: Bytes | bytearray, *, last: bool) -> bytes:
        number, self._number = self._number, self._number + 1
        return self._cipher.encrypt(nonce(number, last=last), content, self._header.raw)


class Sealer:
    """Begins encrypted files."""

    def __init__(self, key: Key) -> None:
        self._key = key

    def begin(self) -> Seal:
        """One file more."""
        return Seal(self._key)

    def sealed(self, parts: Iterable[Bytes]) -> Iterator[bytes]:
        """The encrypted file whose content is `parts`."""
        seal = self.begin()
        for part in parts:
            yield from seal.seal(part)
        yield seal.end()
