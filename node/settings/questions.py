"""The ways in which a condition asks for the values of a keyword, and which of them fit which value representation (PS3.5 6.2)."""

from dataclasses import dataclass
from enum import Enum

from node.dicom.coded_sequences import CODED
from node.dicom.vr import REPRESENTATIONS, Content
from node.domain.route import WEEKDAYS, ConditionOperator
from node.settings.kinds import DURATION, SWITCH, Schema
from node.settings.patterns import SEARCHED


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
_ALL = frozenset({Sort.NUMBER, Sort.DATE, Sort.TIME, Sort.TEXT, Sort.WORD})
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
        fits=frozenset({Sort.TEXT, Sort.DATE, Sort.TIME}),
        form={"type": "string", "format": "regex"},
    ),
    Question(
        key="min",
        operator=ConditionOperator.MIN,
        example="{min: 20}",
        says="Every value is at least this.",
        fits=frozenset({Sort.NUMBER, Sort.AGE}),
        form=VALUE,
    ),
    Question(
        key="max",
        operator=ConditionOperator.MAX,
        example="{max: 5}",
        says="Every value is at most this.",
        fits=frozenset({Sort.NUMBER, Sort.AGE}),
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
