"""Codes of a header: what sequences of codes say, one level deep, as `SCHEME:VALUE` (PS3.3 8.8), and what the requests of a study say."""

import struct
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Final

from inference.errors import InputError
from node.dicom.coded_sequences import CODED_SEQUENCES
from node.dicom.elements import Coding, Element, items, walk
from node.dicom.values import plain
from node.domain.instance import Value

_REQUESTS = 0x00400275  # RequestAttributesSequence
_OF_REQUESTS: Final = {0x00321060: "RequestedProcedureDescription", 0x00400007: "ScheduledProcedureStepDescription"}
REQUESTED: Final = frozenset(_OF_REQUESTS.values())
"""The keywords of which a header has what requests say, where the data set itself says nothing."""
TAGS: Final = frozenset({_REQUESTS, *CODED_SEQUENCES})
LONGEST: Final = 16_384
"""Bytes of a sequence; in a longer one no code is looked for."""
_MOST_ITEMS = 20
_VALUES = (0x00080100, 0x00080119, 0x00080120)
"""CodeValue, LongCodeValue, URNCodeValue: one of them stands in an item."""
_SCHEME = 0x00080102
_LONGEST_CODE = 256


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
            elif part.tag in _OF_REQUESTS and part.end - part.start <= _LONGEST_CODE:
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
    text = raw[:_LONGEST_CODE].decode("utf-8", "replace")
    return "".join(sign for sign in text if sign.isprintable()).strip()
