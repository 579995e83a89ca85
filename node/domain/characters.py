"""Bytes of text to Unicode by a Specific Character Set (PS3.3 C.12.1.1.2), whatever the sender made of it; nothing is lost without need."""

from collections.abc import Sequence
from functools import lru_cache

from pydicom.charset import convert_encodings, decode_bytes

DEFAULT_REPERTOIRE = ("iso8859",)
"""ISO IR 6, that is ASCII; Python's name is of the superset that senders mean who declare nothing."""

_DELIMITERS = {ord(sign) for sign in "\\^=\n\r\t\f"}
"""What ends a code extension in a value (PS3.5 6.1.2.5.3)."""
_UNKNOWN = "�"
_CHINESE = "\x1b$)A"
"""The escape sequence of ISO IR 58 (PS3.3 C.12.1.1.2): Python's codec lets it stand in the text."""


@lru_cache(maxsize=256)
def encodings(character_set: bytes) -> tuple[str, ...]:
    """Python's names for a Specific Character Set (0008,0005); unknown ones count as the default repertoire."""
    names = [name.strip() for name in character_set.decode("ascii", "replace").rstrip("\0 ").split("\\")]
    if not any(names):
        return DEFAULT_REPERTOIRE
    try:
        return tuple(convert_encodings(names))
    except (LookupError, ValueError):  # a damaged name
        return DEFAULT_REPERTOIRE


def decoded(raw: bytes, declared: Sequence[str]) -> str:
    """The text of a value, as it was declared wherever the bytes are legal so.

    Bytes beyond ASCII that were declared to be nothing are UTF-8 where they are valid UTF-8, else Latin-1. Text that was declared as
    something that its bytes are not is treated alike, where more of it is illegal than legal: a name in Latin-1 under ISO_IR 192, but not
    one in UTF-8 that was cut off in the middle of its last character.

    Parameters
    ----------
    declared
        Of `encodings`.
    """
    if raw.isascii() and b"\x1b" not in raw:
        return raw.decode("ascii")
    if tuple(declared) == DEFAULT_REPERTOIRE and b"\x1b" not in raw:
        return _undeclared(raw)
    try:
        text = decode_bytes(raw, declared, _DELIMITERS)
    except (LookupError, ValueError):  # a character set that names one of Python's codecs that are no text encodings
        return _undeclared(raw)
    if _UNKNOWN in text:
        legal = sum(1 for sign in text if not sign.isascii() and sign != _UNKNOWN)
        if text.count(_UNKNOWN) > legal:
            return _undeclared(raw)
    # lone surrogates could not be stored
    return text.replace(_CHINESE, "").encode("utf-8", "replace").decode("utf-8")


def _undeclared(raw: bytes) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("iso8859")
