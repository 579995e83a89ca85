"""Raw element values to plain ones: text to Unicode by its character set, numbers to numbers, what is no number stays text."""

import math
import struct
from collections.abc import Sequence

from node.domain.characters import decoded
from node.domain.header import Value
from node.flow.elements import Buffer

LONGEST = 1024
"""Bytes of a value; longer ones decide no route and would fill the journal."""

_CHARSET_TEXT = frozenset(b"SH LO ST LT UC UT PN".split())
_PLAIN_TEXT = frozenset(b"AE AS CS DA DT TM UI UR".split())
_ONE_VALUE = frozenset(b"ST LT UT UR".split())
_NUMBERS = {b"US": "H", b"SS": "h", b"UL": "I", b"SL": "i", b"UV": "Q", b"SV": "q", b"FL": "f", b"FD": "d"}
_DECIMAL = frozenset("0123456789+-.eE")
_NO_CONTROLS = dict.fromkeys(code for code in (*range(0x20), *range(0x7F, 0xA0)) if chr(code) not in "\n\r\t\f")


def plain(vr: bytes, raw: Buffer, order: str, character_set: Sequence[str]) -> tuple[Value, ...] | None:
    """The values of one element; None for sequences, bytes, and numbers whose length does not fit their representation."""
    if vr in _PLAIN_TEXT or vr in _CHARSET_TEXT:
        return _texts(vr, bytes(raw), character_set)
    if vr == b"DS":
        return tuple(_decimal(text) for text in _texts(vr, bytes(raw), character_set))
    if vr == b"IS":
        return tuple(_integer(text) for text in _texts(vr, bytes(raw), character_set))
    if vr in _NUMBERS:
        form = _NUMBERS[vr]
        count, rest = divmod(len(raw), struct.calcsize(form))
        return None if rest else tuple(_finite(number) for number in struct.unpack(f"{order}{count}{form}", raw))
    if vr == b"AT":
        count, rest = divmod(len(raw), 4)
        halves = struct.unpack(f"{order}{2 * count}H", raw) if not rest else ()
        return tuple(f"{halves[n]:04X}{halves[n + 1]:04X}" for n in range(0, len(halves), 2)) if not rest else None
    return None


def _texts(vr: bytes, raw: bytes, character_set: Sequence[str]) -> tuple[str, ...]:
    # what is left of control characters would speak to the terminal or the log of whoever looks at the value
    text = decoded(raw, character_set).translate(_NO_CONTROLS)
    if vr in _ONE_VALUE:
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
