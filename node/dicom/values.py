"""Element values as plain ones: text to Unicode by its Specific Character Set (PS3.3 C.12.1.1.2), whatever the sender made of it; numbers
to numbers, and what is no number stays text.

Codes of a header: what sequences of codes say, one level deep, as `SCHEME:VALUE` (PS3.3 8.8), and what the requests of a study say.
"""

import math
import struct
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Final

from pydicom.charset import convert_encodings, decode_bytes

from inference.errors import InputError
from node.dicom.elements import Buffer, Coding, Element, items, walk
from node.dicom.vr import CODED_SEQUENCES, REPRESENTATIONS, Content
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
        return tuple(number_or_text(text) for text in texts)
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


def number_or_text(text: str) -> Value:
    """A decimal string as a number; the text itself where it is none."""
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
        return number_or_text(text)


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


_REQUESTS = 0x00400275  # RequestAttributesSequence
_OF_REQUESTS: Final = {0x00321060: "RequestedProcedureDescription", 0x00400007: "ScheduledProcedureStepDescription"}
REQUESTED: Final = frozenset(_OF_REQUESTS.values())
"""The keywords of which a header has what requests say, where the data set itself says nothing."""
TAGS: Final = frozenset({_REQUESTS, *CODED_SEQUENCES})
LONGEST_CODED: Final = 16_384
"""Bytes of a sequence; in a longer one no code is looked for."""
_MOST_ITEMS = 20
_VALUES = (0x00080100, 0x00080119, 0x00080120)
"""CodeValue, LongCodeValue, URNCodeValue: one of them stands in an item."""
_SCHEME = 0x00080102
_LONGEST_CODED_CODE = 256


@lru_cache(maxsize=1024)
def codes_in(tag: int, vr: bytes, raw: bytes, coding: Coding, character_set: tuple[str, ...]) -> tuple[tuple[str, tuple[Value, ...]], ...]:
    """Keywords and values of one sequence of `TAGS`, of which `raw` is the value; () where it is damaged.

    Remembered: the instances of a series have the same.
    """
    coding = Coding(coding.explicit and vr != b"UN", coding.order)
    try:
        return tuple(_said(raw, Element(tag, vr, 0, len(raw)), coding, character_set))
    except (InputError, ValueError, LookupError, struct.error):
        return ()


def _said(raw: bytes, sequence: Element, coding: Coding, character_set: Sequence[str]) -> Iterator[tuple[str, tuple[Value, ...]]]:
    if sequence.tag in CODED_SEQUENCES:
        yield CODED_SEQUENCES[sequence.tag], tuple(dict.fromkeys(_codes(raw, sequence, coding)))
        return
    found: dict[str, list[Value]] = {}
    for start, end in items(raw, sequence, coding, most=_MOST_ITEMS):
        for part in walk(raw, start, end, coding):
            if part.tag in CODED_SEQUENCES:
                found.setdefault(CODED_SEQUENCES[part.tag], []).extend(_codes(raw, part, coding))
            elif part.tag in _OF_REQUESTS and part.end - part.start <= _LONGEST_CODED_CODE:
                values = plain(b"LO", raw[part.start : part.end], coding.order, character_set) or ()
                found.setdefault(_OF_REQUESTS[part.tag], []).extend(values)
    yield from ((keyword, tuple(dict.fromkeys(values))) for keyword, values in found.items())


def _codes(raw: bytes, sequence: Element, coding: Coding) -> Iterator[str]:
    """Of each item that has a scheme and a value."""
    for start, end in items(raw, sequence, coding, most=_MOST_ITEMS):
        said = {
            part.tag: _text(raw[part.start : part.end])
            for part in walk(raw, start, end, coding)
            if part.tag == _SCHEME or part.tag in _VALUES
        }
        value = next((said[tag] for tag in _VALUES if said.get(tag)), "")
        if value and said.get(_SCHEME):
            yield f"{said[_SCHEME]}:{value}"


def _text(raw: bytes) -> str:
    text = raw[:_LONGEST_CODED_CODE].decode("utf-8", "replace")
    return "".join(sign for sign in text if sign.isprintable()).strip()
