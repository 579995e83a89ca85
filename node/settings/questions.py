"""The ways in which a condition asks for the values of a keyword, and which of them fit which value representation (PS3.5 6.2).

Regular expressions are searched in time linear in the text (RE2), whatever a sender writes; what RE2 cannot take is told here, with what to
write instead.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache

import re2

from node.dicom.vr import CODED, REPRESENTATIONS, Content
from node.domain.route import WEEKDAYS, ConditionOperator
from node.settings.kinds import DURATION, SWITCH, Schema

SEARCHED = 1024
"""Characters of one value that are searched: sixteen times what LO may hold (PS3.5 6.2)."""
MOST_COUNT = 1000
"""How often RE2 repeats at most, counts inside of counts multiplied."""


class Unfit(Exception):
    """A regular expression that is broken, or that no linear search can take; its text says why, where, and what to write instead."""


class Pattern:
    """A compiled regular expression.

    Raises
    ------
    Unfit
        It is none, or not one for a linear search.
    """

    def __init__(self, text: str) -> None:
        found = next(_not_linear(text), None)
        if found is not None:
            raise Unfit(f"{found.is_what} at character {found.at + 1} of {_shown(text)}; {found.instead}")
        options = re2.Options()
        options.log_errors = False
        options.never_capture = True
        try:
            self._compiled = re2.compile(text.encode(), options)
        except UnicodeEncodeError as half:
            raise Unfit(f"half a character (a surrogate) at character {half.start + 1}") from half
        except re2.error as broken:
            says = broken.args[0].decode("utf-8", "replace")
            if says.startswith(("invalid repetition size", "pattern too large")):
                raise Unfit(f"{_TOO_MUCH}, in {_shown(text)}; {_COUNTS[1]}") from broken
            raise Unfit(f"{says.partition(':')[0]}{_where(text)} of {_shown(text)}") from broken

    def found_in(self, value: str) -> bool:
        """Whether it is found in the first `SEARCHED` characters of a value."""
        return self._compiled.search(value[:SEARCHED].encode("utf-8", "replace")) is not None


@lru_cache(maxsize=512)
def compiled(text: str) -> Pattern:
    """The pattern of a text that the loader took, compiled once."""
    return Pattern(text)


_TOO_MUCH = "more than a regular expression can hold"
_COUNTS = (_TOO_MUCH, f"counts go to {MOST_COUNT:,}, those inside of others multiplied: repeat less often, or without a bound")
_LOOKS_AROUND = (
    "a look-around",
    "a linear search cannot look around: write what must stand there itself, and what must not as `not: {matches: …}`",
)
_REFERS_BACK = ("a back-reference", "a linear search remembers no group: write the alternatives out, as in `aa|bb` for `([ab])\\1`")
_CONDITIONAL = ("a conditional group", "a linear search remembers no group: write both cases out as alternatives")
_POSSESSIVE = (
    "a possessive repetition",
    "leave the second `+` out: a linear search never tries again, so that nothing need be forbidden to",
)
_ATOMIC = ("an atomic group", "write `(?:`: a linear search never tries again, so that nothing need be forbidden to")
_COMMENT = ("a comment", "leave it out, or write it behind a `#` of YAML")
_END = ("\\Z", "write `\\z`")
_NO_LEAST = ("a count without its lower bound", "write `{0,`")
_ESCAPED = ("a character by its number", "write `\\x{…}` with the hexadecimal digits, or the character itself")
_FLAG = (
    "a flag that is not i, m or s",
    "leave it out: upper and lower case of all of Unicode are known; `\\d`, `\\w`, `\\s` and `\\b` are ASCII's",
)

_SYMBOLS = (
    (re.compile(r"\(\?<?[=!]"), _LOOKS_AROUND),
    (re.compile(r"\(\?P=|\\[1-9]"), _REFERS_BACK),
    (re.compile(r"\(\?\("), _CONDITIONAL),
    (re.compile(r"\(\?>"), _ATOMIC),
    (re.compile(r"\(\?#"), _COMMENT),
    (re.compile(r"\(\?[ims]*[auLx]"), _FLAG),
    (re.compile(r"\\Z"), _END),
    (re.compile(r"\{,[0-9]+\}"), _NO_LEAST),
    (re.compile(r"\{[0-9]{5,}(?:,[0-9]*)?\}|\{[0-9]+,[0-9]{5,}\}"), _COUNTS),
    (re.compile(r"\\[uUN]"), _ESCAPED),
    (re.compile(r"(?:[*+?]|\{[0-9]+(?:,[0-9]*)?\})\+"), _POSSESSIVE),
)
_ESCAPE_OR_CLASS = re.compile(r"\\.|\[\^?\]?(?:\\.|\[:\^?[a-z]+:\]|[^\]\\])*\]?", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """Something that Python's engine knows and a linear search does not, or takes for something else."""

    is_what: str
    instead: str
    at: int


def _not_linear(text: str) -> Iterator[_Found]:
    """What the pattern holds of that, in its order; escaped characters and those of a class stand for themselves."""
    at = 0
    while at < len(text):
        for symbol, (is_what, instead) in _SYMBOLS:
            if symbol.match(text, at):
                yield _Found(is_what=is_what, instead=instead, at=at)
        taken = _ESCAPE_OR_CLASS.match(text, at)
        at = taken.end() if taken else at + 1


def _where(text: str) -> str:
    """Where Python's parser, which knows places, finds a mistake of its own."""
    try:
        re.compile(text)
    except re.error as broken:
        return "" if broken.pos is None else f" at character {broken.pos + 1}"
    except (OverflowError, RecursionError):
        return ""
    return ""


_QUOTED = 40


def _shown(text: str) -> str:
    return repr(text) if len(text) <= _QUOTED else f"{text[:_QUOTED]!r} and so on"


def _vrs_of(*contents: Content) -> frozenset[str]:
    return frozenset(vr.decode() for vr, one in REPRESENTATIONS.items() if one.content in contents)


class Sort(Enum):
    """What a keyword's values are to a condition, by its VR."""

    NUMBER = _vrs_of(Content.DECIMAL, Content.INTEGER, Content.NUMBERS)
    DATE = frozenset({"DA"})
    TIME = frozenset({"TM"})
    TEXT = _vrs_of(Content.TEXT, Content.ENCODED_TEXT) - {"DA", "TM"}
    OTHER = _vrs_of(Content.TAGS, Content.BYTES, Content.ITEMS)
    CODES = CODED  # sequences, of which a header has the codes
    AGE = frozenset({"age"})  # what is derived has no VR; it stands for one
    WORD = frozenset({"plane", "contrast"})
    PRIVATE = frozenset({"private"})  # numbers, or text, as the sender has them


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One way to ask: its YAML key, an example for the reference, what it means, the sorts of keyword that it fits, and its JSON Schema."""

    key: str
    operator: ConditionOperator
    example: str
    says: str
    fits: frozenset[Sort]
    form: Schema


VALUE: Schema = {"type": ["string", "number"]}
_ALL = frozenset({Sort.NUMBER, Sort.DATE, Sort.TIME, Sort.TEXT, Sort.WORD, Sort.PRIVATE})
QUESTIONS = (
    Question(
        key="in",
        operator=ConditionOperator.EQUALS,
        example="{in: [CT, PT]}",
        says="Some value equals one of these.",
        fits=_ALL,
        form={"type": "array", "items": VALUE, "minItems": 1},
    ),
    Question(
        key="code",
        operator=ConditionOperator.EQUALS,
        example='{code: "LN:24627-2"}',
        says="Some code of the sequence is this, or one of a list: coding scheme designator, colon, code value.",
        fits=frozenset({Sort.CODES}),
        form={"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]},
    ),
    Question(
        key="matches",
        operator=ConditionOperator.MATCHES,
        example='{matches: "(?i)t1|mprage"}',
        says=f"The regular expression (RE2's) is found in the first {SEARCHED:,} characters of some value.",
        fits=frozenset({Sort.TEXT, Sort.DATE, Sort.TIME, Sort.PRIVATE}),
        form={"type": "string", "format": "regex"},
    ),
    Question(
        key="min",
        operator=ConditionOperator.MIN,
        example="{min: 20}",
        says="Every value is at least this.",
        fits=frozenset({Sort.NUMBER, Sort.AGE, Sort.PRIVATE}),
        form=VALUE,
    ),
    Question(
        key="max",
        operator=ConditionOperator.MAX,
        example="{max: 5}",
        says="Every value is at most this.",
        fits=frozenset({Sort.NUMBER, Sort.AGE, Sort.PRIVATE}),
        form=VALUE,
    ),
    Question(
        key="exists",
        operator=ConditionOperator.EXISTS,
        example="{exists: true}",
        says="The keyword is there with a value, or (false) is not; the age is known, or is not.",
        fits=_ALL - {Sort.WORD} | {Sort.AGE, Sort.CODES},
        form=SWITCH.schema(),
    ),
    Question(
        key="within",
        operator=ConditionOperator.WITHIN,
        example="{within: 7d}",
        says="The date lies so far back at most.",
        fits=frozenset({Sort.DATE}),
        form=DURATION.schema(),
    ),
    Question(
        key="between",
        operator=ConditionOperator.BETWEEN,
        example="{between: [22:00, 06:00]}",
        says="The time lies from the first until before the second, over midnight where that is the earlier one; by the scanner's clock.",
        fits=frozenset({Sort.TIME}),
        form={"type": "array", "items": {"type": "string"}, "minItems": 2, "maxItems": 2},
    ),
    Question(
        key="weekday",
        operator=ConditionOperator.WEEKDAY,
        example="{weekday: [sat, sun]}",
        says="The date is one of these days of the week.",
        fits=frozenset({Sort.DATE}),
        form={"anyOf": [{"enum": list(WEEKDAYS)}, {"type": "array", "items": {"enum": list(WEEKDAYS)}, "minItems": 1}]},
    ),
)
