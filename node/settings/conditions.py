"""`when:` conditions on DICOM keywords. A keyword's value representation (PS3.5 6.2) decides what may be asked of it, and how YAML's
text becomes a value: `Modality: NO` is text, `SliceThickness: 5` a number. And `hours:` of a route: when the study came, by the clock of
`schedule: {timezone: …}`."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from node.dicom.vr import ASKED_OFTEN, CODED
from node.domain.instance import Value
from node.domain.patient import age_in, days_of
from node.domain.private_name import FORM, PrivateName, is_private, may_count
from node.domain.route import WEEKDAYS, Asked, Condition, ConditionBlock, ConditionOperator, Derived, Junction, Window, conditions_in
from node.settings.blocks import Block, Key, pairs
from node.settings.kinds import DURATION, SWITCH, TEXT, Choice, Scalar, Schema, Several
from node.settings.questions import QUESTIONS, VALUE, Question, Sort, Unfit, compiled
from node.settings.source import (
    BadPattern,
    BadValue,
    Here,
    MissingKey,
    Refused,
    UnfitCondition,
    UnknownKey,
    UnknownName,
    WrongType,
    kind_of,
    scalar_text,
    suggestion,
)

_BY_KEY = {question.key: question for question in QUESTIONS}
_WORDS = [*_BY_KEY, "not"]
_MOST_SUGGESTED = 50
"""Problems of a file after which nobody is told what was meant: thousands of words that are none held a console for ten seconds."""
BLOCKS = {
    Junction.ANY: "At least one entry of the list holds; an entry is a mapping of conditions that all hold.",
    Junction.ALL: "Every entry of the list holds.",
    Junction.NONE: "No entry of the list holds.",
}
"""The words for several conditions together, and what they mean."""
DERIVED_SAYS = {
    Derived.AGE: "How old the patient was, in years, months, weeks or days that are over (`age: {min: 18y}`): by PatientAge, else by "
    "PatientBirthDate and StudyDate. An age of 0, and one above 120 years, say nothing.",
    Derived.PLANE: "How the images lie, by ImageOrientationPatient: `axial`, `coronal`, `sagittal`, or `oblique` half-way between two.",
    Derived.CONTRAST: "Whether contrast was given: `given`, `native` or `unknown`. ContrastBolusAgent and its codes say it, or what the "
    "series or its protocol is called (SeriesDescription, ProtocolName); where none of them does, StudyDescription. What contradicts each "
    "other is `unknown`.",
}
"""What conditions ask beside keywords, and what it is taken from."""
_WORDS_OF = {
    Derived.PLANE: ("axial", "coronal", "sagittal", "oblique"),
    Derived.CONTRAST: ("given", "native", "unknown"),
}
_JUNCTIONS = {one.value: one for one in Junction}
DEFINED = "is"
"""The word for conditions that stand under `define:`."""
DEFINED_SAYS = "The conditions of this name under `define:` hold, or all those of a list of names."
_BESIDE_KEYWORDS = (*_JUNCTIONS, DEFINED, *Derived)
_NAMES = Several(of=TEXT, bare=True, least=1)
_DEEPEST = 4
"""Blocks in blocks."""
_MOST_CONDITIONS = 200
"""In one mapping, with those of its blocks."""
_BOUNDS = (ConditionOperator.MIN, ConditionOperator.MAX)
_WEEKDAYS = Several(of=Choice(of=WEEKDAYS), bare=True, least=1)
_AGE = re.compile("[0-9]{1,3}[ymwd]")
_CLOCK = re.compile("(?:[01][0-9]|2[0-3]):[0-5][0-9]")
_NUMBER = re.compile(r"[-+]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]+)?")


def _code(text: str) -> str:
    if not re.fullmatch(r"[^\s:]+:\S+", text):
        raise ValueError(f'"{text}" is no code; write its coding scheme, a colon and its value: "LN:24627-2"')
    return text


_CODES = Several(of=Scalar(wants='a code such as `"LN:24627-2"`', parse=_code, form={"type": "string"}), bare=True, least=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Keyword:
    """A keyword of the data dictionary with its value representation, as the dictionary writes it ("US or SS"); or a word that has none."""

    name: str
    vr: str

    @property
    def sort(self) -> Sort:
        """The first VR decides where the dictionary names several."""
        if self.name in CODED:
            return Sort.CODES
        return next((sort for sort in Sort if self.vr.partition(" or ")[0] in sort.value), Sort.OTHER)  # delimitation items have VR "NONE"


class Conditions:
    """The mapping of keywords to conditions; all of them must hold."""

    wants = "a mapping of DICOM keywords to conditions"

    def read(self, at: Node, here: Here) -> tuple[Asked, ...]:
        here = here.on(here.subject.removesuffix(": when"))
        asked = _asked_of(at, here, depth=0)
        if next(islice(conditions_in(asked), _MOST_CONDITIONS, None), None) is not None:  # definitions unfold to any number
            raise here.refuse(BadValue, at, f"more than {_MOST_CONDITIONS} conditions; write several routes")
        return asked

    def schema(self) -> Schema:
        return {"$ref": "#/$defs/conditions"}


def conditions_schema() -> Schema:
    """The mapping of keywords, and of blocks, to what is asked."""
    entries = {"type": "array", "items": {"$ref": "#/$defs/conditions"}, "minItems": 1}
    return {
        "type": "object",
        "properties": {
            **{one.value: {**entries, "description": says} for one, says in BLOCKS.items()},
            DEFINED: {**_NAMES.schema(), "description": DEFINED_SAYS},
            **{one.value: {**_asks_schema(one), "description": says} for one, says in DERIVED_SAYS.items()},
        },
        "propertyNames": {
            "anyOf": [
                {"pattern": "^[A-Z][A-Za-z0-9]+$"},
                {"pattern": FORM},
                {"enum": list(_BESIDE_KEYWORDS)},
            ]
        },
        "additionalProperties": {"anyOf": [{"type": ["string", "number"]}, {"$ref": "#/$defs/condition"}]},
    }


def _asks_schema(word: Derived) -> Schema:
    words = _WORDS_OF.get(word)
    return {"anyOf": [*([{"enum": list(words)}] if words else []), {"$ref": "#/$defs/condition"}]}


def _asked_of(at: Node, here: Here, *, depth: int) -> tuple[Asked, ...]:
    """The conditions of a mapping, which hold together."""
    found, sound = pairs(at, here, known=None)
    asked: list[Asked] = []
    for name, (key, value) in found.items():
        try:
            if name in _JUNCTIONS:
                asked.append(_block(_JUNCTIONS[name], key, value, here.about(name), depth=depth + 1))
            elif name == DEFINED:
                asked += _defined(value, here.about(name))
            elif name in here.definitions:
                raise here.refuse(UnknownKey, key, f'"{name}" is a definition; write `{DEFINED}: {name}`')
            elif near := suggestion(name, _BESIDE_KEYWORDS) if name[:1].islower() and name not in DERIVED_SAYS else "":
                raise here.refuse(UnknownKey, key, f'unknown key "{name}"{near}')
            else:
                keyword = Keyword(name=name, vr=name) if name in DERIVED_SAYS else keyword_of(name, key, here)
                asked.extend(_conditions(keyword, value, here.about(name)))
        except Refused:
            sound = False
    if not sound:
        raise Refused
    return tuple(asked)


def _block(junction: Junction, key: Node, at: Node, here: Here, *, depth: int) -> ConditionBlock:
    """Its entries, each a mapping of conditions."""
    if depth > _DEEPEST:
        raise here.refuse(BadValue, key, f"blocks in blocks, {depth} deep, where {_DEEPEST} are the most; write several routes")
    if not isinstance(at, SequenceNode):
        raise here.refuse(WrongType, at, f"{kind_of(at)}, where a list of conditions belongs; begin each entry with a hyphen")
    if not at.value:
        raise here.refuse(MissingKey, at, "an empty list; it has no conditions")
    entries, sound = [], True
    for one in at.value:
        try:
            if not (entry := _asked_of(one, here, depth=depth)):
                raise here.refuse(MissingKey, one, "an entry without conditions; it would always hold")
            entries.append(entry)
        except Refused:
            sound = False
    if not sound:
        raise Refused
    return ConditionBlock(junction=junction, entries=tuple(entries))


def _defined(at: Node, here: Here) -> list[ConditionBlock]:
    """The conditions of each name, as one block."""
    blocks, sound = [], True
    for name, node in zip(_NAMES.read(at, here), at.value if isinstance(at, SequenceNode) else [at], strict=True):
        conditions = here.definitions.get(name)
        if conditions is None:
            if name not in here.definitions:
                here.refuse(UnknownName, node, f'nothing is defined as "{name}"{suggestion(name, here.definitions)}')
            sound = False  # what is wrong with a definition is told where it stands
        else:
            blocks.append(ConditionBlock(junction=Junction.ALL, entries=(conditions,), definition=name))
    if not sound:
        raise Refused
    return blocks


def is_word(name: str) -> bool:
    """Whether a name is a keyword of DICOM, or a word of the language."""
    if name in ASKED_OFTEN or name in _BESIDE_KEYWORDS:
        return True
    from pydicom.datadict import keyword_dict

    return name in keyword_dict


def condition_schema() -> Schema:
    """What may stand behind a keyword, in mapping form."""
    properties = {question.key: {**question.form, "description": question.says} for question in QUESTIONS}
    negated = {"description": "The condition does not hold.", "anyOf": [VALUE, {"$ref": "#/$defs/condition"}]}
    return {"type": "object", "additionalProperties": False, "minProperties": 1, "properties": {**properties, "not": negated}}


def _vr_of(name: str, at: Node, here: Here) -> str:
    if name in ASKED_OFTEN:
        return ASKED_OFTEN[name]
    from pydicom.datadict import dictionary_VR, keyword_dict

    tag = keyword_dict.get(name)
    if tag is None:
        # of 5,000 keywords the nearest takes milliseconds to find
        near = suggestion(name, keyword_dict) if len(here.problems) < _MOST_SUGGESTED else ""
        raise here.refuse(UnknownKey, at, f'unknown key "{name}"{near}')
    return dictionary_VR(tag)


def keyword_of(name: str, at: Node, here: Here) -> Keyword:
    if is_private(name):
        try:
            return Keyword(name=PrivateName.of(name).text, vr="private")
        except ValueError as unfit:
            raise here.refuse(UnknownKey, at, str(unfit)) from None
    keyword = Keyword(name=name, vr=_vr_of(name, at, here))
    if keyword.sort is Sort.OTHER:
        coded = f"; of sequences at codes of {', '.join(sorted(CODED))}" if keyword.vr == "SQ" else ""
        raise here.refuse(UnfitCondition, at, f"{name} has VR {keyword.vr}; conditions look at text, numbers and dates{coded}")
    return keyword


def _conditions(keyword: Keyword, at: Node, here: Here) -> list[Condition]:
    if isinstance(at, SequenceNode):
        listed = ", ".join(str(item.value) for item in at.value if isinstance(item, ScalarNode))
        raise here.refuse(WrongType, at, f"a list, where a value or a condition belongs; write {{in: [{listed}]}}")
    if not isinstance(at, MappingNode):
        if keyword.sort is Sort.CODES:
            code = scalar_text(at, here, "a code")
            raise here.refuse(WrongType, at, f'a single value, where a condition belongs; write {{code: "{code}"}}')
        if keyword.sort is Sort.AGE:
            raise here.refuse(WrongType, at, f"a single value, where a condition belongs; write {{min: {scalar_text(at, here, 'an age')}}}")
        return [Condition(keyword=keyword.name, operator=ConditionOperator.EQUALS, expected=(value_of(keyword, at, here),))]
    found, sound = pairs(at, here, known=_WORDS)
    if sound and not found:
        raise here.refuse(MissingKey, at, "an empty condition; it would always hold")
    conditions: list[Condition] = []
    for word, (key, value) in found.items():
        try:
            conditions.append(_negated(keyword, value, here) if word == "not" else _asked(keyword, _BY_KEY[word], key, value, here))
        except Refused:
            sound = False
    if sound and (against := contradiction(conditions)):
        raise here.refuse(BadValue, at, f"cannot hold: {against}")
    if not sound:
        raise Refused
    return conditions


def _negated(keyword: Keyword, at: Node, here: Here) -> Condition:
    inner = here.about("not")
    if isinstance(at, MappingNode) and len(at.value) > 1:
        raise inner.refuse(WrongType, at, "several conditions; `not` turns one around, write each in an entry of its own route")
    if isinstance(at, MappingNode) and at.value and getattr(at.value[0][0], "value", None) == "not":
        raise inner.refuse(WrongType, at, "`not` inside `not`; leave both out")
    (condition,) = _conditions(keyword, at, inner)
    return Condition(keyword=condition.keyword, operator=condition.operator, expected=condition.expected, negated=True)


def _asked(keyword: Keyword, question: Question, key: Node, at: Node, here: Here) -> Condition:
    if keyword.sort not in question.fits:
        fitting = ", ".join(one.key for one in QUESTIONS if keyword.sort in one.fits)
        named = f"`{keyword.name}`" if keyword.name in DERIVED_SAYS else f"VR {keyword.vr}"
        what = "a private element" if keyword.sort is Sort.PRIVATE else named
        meant = "; `age` takes it" if keyword.vr == "AS" else ""
        raise here.refuse(UnfitCondition, key, f"`{question.key}` does not fit {what}; what fits: {fitting}, not{meant}")
    inner = here.about(question.key)
    return Condition(keyword=keyword.name, operator=question.operator, expected=_expected(keyword, question, at, inner))


def _expected(keyword: Keyword, question: Question, at: Node, here: Here) -> tuple[Value, ...]:
    match question.operator:
        case ConditionOperator.EXISTS:
            return (int(SWITCH.read(at, here)),)
        case ConditionOperator.WITHIN:
            return (DURATION.read(at, here).total_seconds(),)
        case ConditionOperator.MATCHES:
            return (_pattern(at, here),)
        case ConditionOperator.EQUALS if keyword.sort is Sort.CODES:
            return _CODES.read(at, here)
        case ConditionOperator.EQUALS:
            if not isinstance(at, SequenceNode):
                raise here.refuse(WrongType, at, f"a single value, where a list belongs; write [{scalar_text(at, here, 'a list')}]")
            if not at.value:
                raise here.refuse(MissingKey, at, "an empty list; nothing equals nothing")
            return tuple(value_of(keyword, item, here) for item in at.value)
        case ConditionOperator.MIN | ConditionOperator.MAX:
            return _age(at, here) if keyword.sort is Sort.AGE else (_number_of(keyword, at, here),)
        case ConditionOperator.BETWEEN:
            return times_of_day(at, here)
        case ConditionOperator.WEEKDAY:
            return _WEEKDAYS.read(at, here)


def _age(at: Node, here: Here) -> tuple[Value, ...]:
    """About how many days it is, and its text."""
    text = scalar_text(at, here, "an age")
    if not _AGE.fullmatch(text):
        raise here.refuse(BadValue, at, f'"{text}" is no age; write `18y`, `6m` (months), `3w` or `10d`')
    return days_of(*age_in(text)), text


def times_of_day(at: Node, here: Here) -> tuple[str, str]:
    """The two times of the day."""
    if not isinstance(at, SequenceNode) or len(at.value) != 2:
        raise here.refuse(WrongType, at, "two times of the day belong here; write [22:00, 06:00]")
    begin, end = (scalar_text(one, here, "a time of the day") for one in at.value[:2])
    for one, text in zip(at.value, (begin, end), strict=True):
        if not _CLOCK.fullmatch(text):
            raise here.refuse(BadValue, one, f'"{text}" is no time of the day; write 22:00')
    if begin == end:
        raise here.refuse(BadValue, at, f"{begin} until {end} is no time at all; leave the condition out for the whole day")
    return begin, end


def _number_of(keyword: Keyword, at: Node, here: Here) -> Value:
    text = scalar_text(at, here, "a number")
    if not _NUMBER.fullmatch(text):
        why = f"; {keyword.name} has VR {keyword.vr}" if keyword.sort is Sort.NUMBER else ", and a bound is one"
        raise here.refuse(BadValue, at, f'"{text}" is no number{why}')
    return int(number) if (number := float(text)).is_integer() and abs(number) < 2**53 else number


def value_of(keyword: Keyword, at: Node, here: Here) -> Value:
    text = scalar_text(at, here, "a number" if keyword.sort is Sort.NUMBER else "a value")
    if keyword.sort is Sort.CODES:
        return _CODES.of.read(at, here)
    if keyword.sort is Sort.WORD and text not in (words := _WORDS_OF[Derived(keyword.name)]):
        raise here.refuse(BadValue, at, f'"{text}" is none of {", ".join(words)}')
    if keyword.sort is Sort.NUMBER or (keyword.sort is Sort.PRIVATE and may_count(text) and _NUMBER.fullmatch(text)):
        return _number_of(keyword, at, here)
    if keyword.sort is Sort.DATE and not re.fullmatch(r"[0-9]{8}", text):
        raise here.refuse(BadValue, at, f'"{text}" is no date as DICOM writes it (YYYYMMDD); to ask for an age, write {{within: 7d}}')
    return text


def _pattern(at: Node, here: Here) -> str:
    text = scalar_text(at, here, "a regular expression")
    try:
        compiled(text)
    except Unfit as unfit:
        raise here.refuse(BadPattern, at, str(unfit)) from unfit
    return text


def contradiction(conditions: Sequence[Condition]) -> str:
    """Which of these conditions on one keyword contradict each other, for people; "" where none do."""
    wanted = [one for one in conditions if one.operator is not ConditionOperator.EXISTS and not one.negated]
    if wanted and any(_says_absent(one) for one in conditions):
        return f"`{_word(wanted[0])}` asks for a value, and `exists: false` for none"
    if any(_says_absent(one) for one in conditions) and any(_says_present(one) for one in conditions):
        return "it would have to be present and absent"
    return _bounds_crossed(wanted) or _listed_beyond(wanted) or _both_ways(conditions)


def _says_absent(one: Condition) -> bool:
    return one.operator is ConditionOperator.EXISTS and bool(one.expected[0]) == one.negated


def _says_present(one: Condition) -> bool:
    return one.operator is ConditionOperator.EXISTS and bool(one.expected[0]) != one.negated


def _bounds_crossed(wanted: Sequence[Condition]) -> str:
    low, high = (_number(wanted, operator) for operator in _BOUNDS)
    if low is None or high is None or low <= high:
        return ""
    least, most = (next(one for one in wanted if one.operator is operator).expected[-1:] for operator in _BOUNDS)
    return f"min {_listed(least)} is above max {_listed(most)}: no value can be both"


def _listed_beyond(wanted: Sequence[Condition]) -> str:
    """A bound holds for every value, and some value has to be one of those that are listed."""
    low, high = (_number(wanted, operator) for operator in (ConditionOperator.MIN, ConditionOperator.MAX))
    for one in wanted:
        if one.operator is not ConditionOperator.EQUALS:
            continue
        numbers = [value for value in one.expected if not isinstance(value, str)]
        if numbers and low is not None and all(value < low for value in numbers):
            return f"{_listed(one.expected)} is below min {low:g}"
        if numbers and high is not None and all(value > high for value in numbers):
            return f"{_listed(one.expected)} is above max {high:g}"
    return ""


def _both_ways(conditions: Sequence[Condition]) -> str:
    """What is asked for and, by `not`, ruled out."""
    for out in (one for one in conditions if one.negated):
        for one in conditions:
            if not one.negated and one.operator is out.operator and _implies(one, out):
                return f"`{_word(one)}` asks for what `not` rules out: {_listed(one.expected)}"
    return ""


def _implies(one: Condition, other: Condition) -> bool:
    """Whether what holds the one, which asks alike, always holds the other."""
    match one.operator:
        case ConditionOperator.EQUALS | ConditionOperator.MATCHES | ConditionOperator.WEEKDAY:
            return set(one.expected) <= set(other.expected)
        case ConditionOperator.MIN:
            return float(one.expected[0]) >= float(other.expected[0])
        case ConditionOperator.MAX | ConditionOperator.WITHIN:
            return float(one.expected[0]) <= float(other.expected[0])
        case ConditionOperator.EXISTS | ConditionOperator.BETWEEN:
            return one.expected == other.expected


def _number(wanted: Sequence[Condition], operator: ConditionOperator) -> float | None:
    return next((float(one.expected[0]) for one in wanted if one.operator is operator), None)


def _word(one: Condition) -> str:
    if one.operator is ConditionOperator.EQUALS:
        return "code" if one.keyword in CODED else "in"
    return one.operator.value


def _listed(values: Sequence[Value]) -> str:
    return ", ".join(value if isinstance(value, str) else f"{value:g}" for value in values)


class TimesOfDay:
    """A begin and an end."""

    wants = "two times of the day such as `[22:00, 06:00]`"

    def read(self, at: Node, here: Here) -> tuple[str, str]:
        return times_of_day(at, here)

    def schema(self) -> Schema:
        return {"type": "array", "items": {"type": "string"}, "minItems": 2, "maxItems": 2}


def _window(*, between: tuple[str, str] | None, weekday: tuple[str, ...] | None) -> Window:
    return Window(between=between, weekdays=weekday or ())


WINDOW = Block(
    build=_window,
    keys=(
        Key(
            name="between",
            kind=TimesOfDay(),
            says="From the first time of the day until before the second, over midnight where that is earlier.",
        ),
        Key(
            name="weekday",
            kind=Several(of=Choice(of=WEEKDAYS), bare=True, least=1),
            says="Days of the week; over midnight that on which the window began.",
        ),
    ),
)


class Windows:
    """A window, or a list of them of which one is enough."""

    wants = "a mapping, below, or a list of such of which one holds"
    of = WINDOW

    def read(self, at: Node, here: Here) -> tuple[Window, ...]:
        if isinstance(at, SequenceNode) and not at.value:
            raise here.refuse(MissingKey, at, "an empty list; no study comes in none of its hours")
        found: list[Window] = []
        sound = True
        for one in at.value if isinstance(at, SequenceNode) else [at]:
            try:
                window = WINDOW.read(one, here)
                if window == Window():
                    raise here.refuse(MissingKey, one, "neither `between` nor `weekday`; every study comes then")
                found.append(window)
            except Refused:
                sound = False
        if not sound:
            raise Refused
        return tuple(found)

    def schema(self) -> Schema:
        return {**WINDOW.schema(), "type": ["object", "array"], "items": {"$ref": "#/$defs/window"}, "minItems": 1}
