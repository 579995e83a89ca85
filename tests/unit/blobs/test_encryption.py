"""Encrypted files: what is written is what the documentation says, byte by byte, and nothing but that is ever read."""

import hmac
import itertools
import os
import struct
from hashlib import sha256
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.errors import InputError
from node.blobs.encryption.encrypted_file import (
    DecryptionFailed,
    EncryptionKeys,
    Encryptor,
    KeyUnknown,
    KeyUnusable,
    decrypted,
    key_id_of,
    key_of,
    plain_size,
    read_keys,
)

SECRET, OTHER = bytes(range(32)), bytes(range(32, 64))
_CHUNK, _TAG, _HEADER = 65536, 16, 52
_LENGTHS = st.one_of(st.integers(0, 300), st.integers(65500, 65570), st.integers(131000, 131100), st.integers(0, 400_000))


def _keys(*secrets: bytes) -> EncryptionKeys:
    keys = [key_of(one) for one in secrets]
    return EncryptionKeys(first=keys[0], by_id={one.id: one for one in keys})


def _content(length: int) -> bytes:
    """Bytes of which no two chunks are equal."""
    return b"".join(struct.pack(">Q", number) for number in range(length // 8 + 1))[:length]


def _sealed(content: bytes, cuts: list[int], secret: bytes = SECRET) -> bytes:
    """The file that comes of writing `content` in parts that end at `cuts`."""
    at = [0, *sorted(cut % (len(content) + 1) for cut in cuts), len(content)]
    return b"".join(Encryptor(key_of(secret)).encrypted(memoryview(content)[a:b] for a, b in itertools.pairwise(at)))


def _opened(raw: bytes, place: Path, *secrets: bytes) -> bytes | None:
    path = place / "file"
    path.write_bytes(raw)
    parts = decrypted(path, _keys(*(secrets or (SECRET,))))
    return None if parts is None else b"".join(parts)


def _by_the_page(raw: bytes, secret: bytes) -> bytes:
    """What docs/howto/encrypt-at-rest.md says of the form, with RFC 5869 written out and AES-GCM of the library, and nothing of hilum's."""
    magic, version, log2, zero, key_id, salt = struct.unpack(">8sBBH8s32s", raw[:_HEADER])
    assert (magic, version, log2, zero) == (bytes.fromhex("8a68696c756d0d0a"), 1, 16, 0)
    assert key_id == hmac.new(secret, b"hilum at rest, 1: name of a key", sha256).digest()[:8]
    extracted = hmac.new(salt, secret, sha256).digest()
    of_file = hmac.new(extracted, b"hilum at rest, 1: key of a file\x01", sha256).digest()
    body = raw[_HEADER:]
    chunks = [body[at : at + _CHUNK + _TAG] for at in range(0, len(body), _CHUNK + _TAG)]
    cipher = AESGCM(of_file)
    return b"".join(
        cipher.decrypt(number.to_bytes(11, "big") + bytes([number == len(chunks) - 1]), chunk, raw[:_HEADER])
        for number, chunk in enumerate(chunks)
    )


@given(length=_LENGTHS, cuts=st.lists(st.integers(0, 500_000), max_size=12))
@settings(max_examples=150, deadline=None)
def test_whatever_is_written_in_whatever_parts_is_the_documented_form(
    tmp_path_factory: pytest.TempPathFactory, length: int, cuts: list[int]
) -> None:
    """An implementation by the page reads what is written, and so does hilum's reader; the length is told without opening it."""
    content = _content(length)
    raw = _sealed(content, cuts)
    assert _by_the_page(raw, SECRET) == content
    assert _opened(raw, tmp_path_factory.getbasetemp()) == content
    assert plain_size(len(raw)) == length


@given(length=st.integers(1, 300_000), at=st.integers(0, 400_000), flip=st.integers(1, 255))
@settings(max_examples=100, deadline=None)
def test_no_byte_can_be_changed(tmp_path_factory: pytest.TempPathFactory, length: int, at: int, flip: int) -> None:
    """Header, content and tags alike. A changed magic makes it no encrypted file, and no DICOM file either."""
    raw = bytearray(_sealed(_content(length), []))
    at %= len(raw)
    raw[at] ^= flip
    place = tmp_path_factory.getbasetemp()
    if at < 8:
        assert _opened(bytes(raw), place) is None
    else:
        with pytest.raises(KeyUnknown if 12 <= at < 20 else DecryptionFailed):
            _opened(bytes(raw), place)


@given(length=st.integers(0, 300_000), left=st.integers(8, 400_000))
@settings(max_examples=100, deadline=None)
def test_no_end_can_be_cut_off(tmp_path_factory: pytest.TempPathFactory, length: int, left: int) -> None:
    """Neither inside a chunk nor between two, and nothing can be added."""
    raw = _sealed(_content(length), [])
    with pytest.raises(DecryptionFailed):
        _opened(raw[: 8 + left % (len(raw) - 8)], tmp_path_factory.getbasetemp())
    with pytest.raises(DecryptionFailed):
        _opened(raw + b"\0", tmp_path_factory.getbasetemp())


def test_no_chunk_can_be_moved_repeated_left_out_or_taken_from_another_file(tmp_path: Path) -> None:
    """Each of the four, at a chunk's very borders; chunks of another file of the same key and the same content are foreign too."""
    content = _content(3 * _CHUNK)
    raw, twin = _sealed(content, []), _sealed(content, [])
    step = _CHUNK + _TAG
    head = raw[:_HEADER]
    first, second, third = (raw[at : at + step] for at in range(_HEADER, len(raw), step))
    assert _opened(head + first + second + third, tmp_path) == content
    for wrong in (
        (second, first, third),
        (first, third, second),
        (first, second, third, third),
        (first, second, second, third),
        (first, third),
        (second, third),
        (first, second),
        (first, second, twin[-step:]),
    ):
        with pytest.raises(DecryptionFailed):
            _opened(head + b"".join(wrong), tmp_path)
    with pytest.raises(DecryptionFailed):
        _opened(twin[:_HEADER] + raw[_HEADER:], tmp_path)


def test_nothing_of_a_chunk_that_does_not_prove_itself_is_given_away(tmp_path: Path) -> None:
    """The parts before it were proved; the first wrong one ends it."""
    raw = bytearray(_sealed(_content(3 * _CHUNK), []))
    raw[_HEADER + _CHUNK + _TAG + 5] ^= 1
    path = tmp_path / "file"
    path.write_bytes(raw)
    given_away: list[bytes] = []
    parts = decrypted(path, _keys(SECRET))
    assert parts is not None
    with pytest.raises(DecryptionFailed):
        given_away.extend(parts)
    assert given_away == [_content(3 * _CHUNK)[:_CHUNK]]


def test_a_wrong_key_says_which_one_is_needed(tmp_path: Path) -> None:
    """By its id, which is no part of it; of several keys the one that is named opens it, whichever writes."""
    raw = _sealed(b"content", [], OTHER)
    with pytest.raises(KeyUnknown, match=key_of(OTHER).id.hex()) as unknown:
        _opened(raw, tmp_path, SECRET)
    assert isinstance(unknown.value, InputError)
    assert _opened(raw, tmp_path, SECRET, OTHER) == b"content"
    assert key_id_of(tmp_path / "file") == key_of(OTHER).id
    with pytest.raises(InvalidTag):
        AESGCM(SECRET).decrypt(bytes(11) + b"\1", raw[_HEADER:], raw[:_HEADER])


def test_equal_content_is_never_equal_on_the_disk() -> None:
    """Whoever sees the files learns their lengths, not which are the same; and no nonce is used twice under one key."""
    files = [_sealed(b"content" * 100, []) for _ in range(50)]
    assert len({file[20:52] for file in files}) == len({file[52:] for file in files}) == 50


def test_what_is_not_encrypted_is_left_to_others(tmp_path: Path) -> None:
    """DICOM files, empty files and short ones."""
    for raw in (b"\0" * 128 + b"DICM", b"", b"\x8ahilum"):
        assert _opened(raw, tmp_path) is None


@pytest.mark.parametrize(
    ("content", "mode", "why"),
    [
        (SECRET, 0o644, "may be read by others"),
        (SECRET, 0o620, "may be read by others"),
        (SECRET[:31], 0o600, "holds 31 bytes"),
        (SECRET + b"\n", 0o600, "more bytes"),
        (b"", 0o600, "holds 0 bytes"),
        (bytes(32), 0o600, "the same byte"),
        (None, 0o600, "is not there; bring back its copy"),
    ],
)
def test_a_file_that_is_no_key_is_refused(tmp_path: Path, content: bytes | None, mode: int, why: str) -> None:
    """And the message repeats nothing of what is in it."""
    path = tmp_path / "key"
    if content is not None:
        path.write_bytes(content)
        path.chmod(mode)
    with pytest.raises(KeyUnusable, match=why):
        read_keys([path])


def test_a_key_is_in_no_representation(tmp_path: Path) -> None:
    """Whatever is logged or raised by accident."""
    path = tmp_path / "key"
    path.write_bytes(os.urandom(32))
    path.chmod(0o600)
    keys = read_keys([path])
    for told in (repr(keys), str(keys.first), repr(Encryptor(keys.first).begin()), keys.names()):
        assert repr(keys.first.secret)[2:-1] not in told
        assert keys.first.secret.hex() not in told
