"""Element values as plain ones: text to Unicode by its Specific Character Set (PS3.3 C.12.1.1.2), whatever the sender made of it;
numbers to numbers, and what is no number stays text."""

import math
import struct
from collections.abc import Sequence
from functools import lru_cache

from pydicom.charset import convert_encodings, decode_bytes

from node.dicom.elements import Buffer
from node.dicom.vr import REPRESENTATIONS, Content
from node.domain.instance import Value

LONGEST = 1024
"""Bytes of a value; longer ones decide no route and would fill the journal."""

_DECIMAL = frozenset("0123456789+-.eE")
_NO_CONTROLS = dict.fromkeys(code for code in (*range(0x20), *range(0x7F, 0xA0)) if chr(code) not in "\n\r\t\f")


def plain(vr: bytes, raw: Buffer, order: str, character_set: Sequence[str]) -> tuple[Value, ...] | None:
    """The values of one element; None for sequences, bytes, and numbers whose length does not fit their representation.

    Parameters
    ----------
    order
        Of binary numbers' bytes: "<" or ">".
    character_set
        Of `encodings`.
    """
    known = REPRESENTATIONS.get(vr)
    content = None if known is None else known.content
    if known is None or content is Content.BYTES or content is Content.ITEMS:
        return None
    if content is Content.NUMBERS:
        count, rest = divmod(len(raw), struct.calcsize(known.number))
        return None if rest else tuple(_finite(number) for number in struct.unpack(f"{order}{count}{known.number}", raw))
    if content is Content.TAGS:
        count, rest = divmod(len(raw), 4)
        halves = struct.unpack(f"{order}{2 * count}H", raw) if not rest else ()
        return tuple(f"{halves[n]:04X}{halves[n + 1]:04X}" for n in range(0, len(halves), 2)) if not rest else None
    texts = _texts(bytes(raw), character_set, several=known.several)
    if content is Content.DECIMAL:
        return tuple(_decimal(text) for text in texts)
    if content is Content.INTEGER:
        return tuple(_integer(text) for text in texts)
    return texts


def _texts(raw: bytes, character_set: Sequence[str], *, several: bool) -> tuple[str, ...]:
    # what is left of control characters would speak to the terminal or the log of the person who looks at the value
    text = decoded(raw, character_set).translate(_NO_CONTROLS)
    if not several:
        whole = text.rstrip(" ")
        return (whole,) if whole else ()
    # split after decoding: in GB18030 and JIS X 0208 a backslash may be half of a character
    values = tuple(part.strip(" ") for part in text.split("\\"))
    return values if any(values) else ()


def _finite(number: float) -> Value:
    return number if math.isfinite(number) else str(number)


def _decimal(text: str) -> Value:
    if not text or not _DECIMAL.issuperset(text):
        return text
    try:
        return _finite(float(text))
    except ValueError:
        return text


def _integer(text: str) -> Value:
    # twelve characters at most (PS3.5 6.2); longer ones would not fit where integers are compared
    if not 0 < len(text) <= 12 or not _DECIMAL.issuperset(text):
        return text
    try:
        return int(text)
    except ValueError:
        return _decimal(text)


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
