"""Blocks of conditions: any, all and none of several hold; beside a second evaluator that was written on its own, on made conditions."""

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from node.console import redaction
from node.domain.instance import Header
from node.domain.route import Decision, Route, definitions_in
from node.records.decisions import condition_records, condition_rows, decision_record
from node.routing.conditions import together_text, try_on
from node.routing.decisions import decide, seen
from node.routing.gate import Gate
from node.routing.untaken import GatedSeries, never_runs, untaken
from node.settings.conditions import Conditions
from node.settings.definitions import definitions_of
from node.settings.source import Here, Refused, snippet
from tests.unit.flow.mini import APPLICATION

NOW = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
CHEST = """
Modality: CT
any_of:
  - BodyPartExamined: {in: [CHEST, THORAX]}
  - StudyDescription: {matches: "(?i)chest|lung"}
    SliceThickness: {max: 1.5}
none_of:
  - ContrastBolusAgent: {exists: true}
  - ImageType: LOCALIZER
"""


def decided(text: str, header: Header) -> bool:
    """As the node reads and tries it."""
    return all(one.held for one in (try_on(asked, header, NOW) for asked in Conditions().read(snippet(text), Here(file="", folder=Path()))))


def chest() -> Route:
    """Of those conditions."""
    when = Conditions().read(snippet(CHEST), Here(file="", folder=Path()))
    return Route(name="chest", when=when, run=("threshold",), send=("archive",))


@pytest.mark.parametrize(
    ("header", "held"),
    [
        ({"BodyPartExamined": ("THORAX",)}, True),
        ({"StudyDescription": ("Lung screening",), "SliceThickness": (1.0,)}, True),
        ({"StudyDescription": ("Lung screening",), "SliceThickness": (5.0,)}, False),
        ({"StudyDescription": ("Lung screening",)}, False),
        ({"BodyPartExamined": ("CHEST",), "ContrastBolusAgent": ("Omnipaque",)}, False),
        ({"BodyPartExamined": ("CHEST",), "ContrastBolusAgent": ()}, True),
        ({"BodyPartExamined": ("CHEST",), "ImageType": ("ORIGINAL", "PRIMARY", "LOCALIZER")}, False),
        ({}, False),
    ],
)
def test_a_chest_by_body_part_or_by_description_without_contrast(header: Header, held: bool) -> None:
    """One route says what two and a third that takes away could not."""
    assert decided(CHEST, {"Modality": ("CT",), **header}) is held


def test_an_explanation_tells_a_block_in_one_line() -> None:
    """What it asks with its keywords, and what was against each entry, or which of them held."""
    route = chest()

    def told(**header: Any) -> list[tuple[str, str, bool | None]]:
        view = seen("1", [("", {"Modality": ("CT",), **header})])
        (decision,) = decide([route], [view], peer=None, calling="", called="", now=NOW)
        return [(one.key, one.found, one.held) for one in decision.tried]

    assert told(StudyDescription=("LUNG",), SliceThickness=(5.0,), ImageType=("LOCALIZER",)) == [
        ("Modality", "CT", True),
        ("any_of", "BodyPartExamined absent; SliceThickness 5", False),
        ("none_of", "ImageType LOCALIZER", False),
    ]
    assert told(BodyPartExamined=("CHEST",)) == [
        ("Modality", "CT", True),
        ("any_of", "BodyPartExamined CHEST", True),
        ("none_of", "ContrastBolusAgent absent; ImageType absent", True),
    ]
    (_, any_of, none_of) = [try_on(one, {}, NOW).expected for one in route.when]
    assert any_of == (
        "BodyPartExamined one of CHEST, THORAX or (StudyDescription a match of (?i)chest|lung and SliceThickness at most 1.5)"
    )
    assert none_of == "neither ContrastBolusAgent present nor ImageType LOCALIZER"
    assert never_runs(route, {"threshold": APPLICATION}) == "threshold: modality is CT, not MR"


def test_below_a_block_stand_its_conditions_each_met_or_not() -> None:
    """Set in as in the configuration, for pages and for terminals."""
    tried = tuple(try_on(one, {"Modality": ("CT",), "StudyDescription": ("LUNG",), "SliceThickness": (5.0,)}, NOW) for one in chest().when)
    assert [(one["key"], one["expected"], one["found"], one["held"]) for one in condition_rows(condition_records(tried))] == [
        ("Modality", "CT", "CT", True),
        ("any_of", "at least one of 2", "none", False),
        ("  - BodyPartExamined", "one of CHEST, THORAX", "absent", False),
        ("  - StudyDescription", "a match of (?i)chest|lung", "LUNG", True),
        ("    SliceThickness", "at most 1.5", "5", False),
        ("none_of", "none of 2", "none", True),
        ("  - ContrastBolusAgent", "present", "absent", False),
        ("  - ImageType", "LOCALIZER", "absent", False),
    ]


def test_an_explanation_has_the_name_of_what_is_defined() -> None:
    """With all that it asks, and below it each condition; in a block, in a reason and in what a route needs as well."""
    here = Here(file="", folder=Path())
    defined = snippet("{native: {none_of: [{ContrastBolusAgent: {exists: true}}]}, CT: {Modality: CT, is: native}}")
    definitions = definitions_of(defined, here)
    when = Conditions().read(snippet("{is: CT, any_of: [{is: native}, {Modality: MR}]}"), replace(here, definitions=definitions))
    route = Route(name="heads", when=when, run=("threshold",), send=("archive",))
    view = seen("1", [("", {"Modality": ("MR",), "ContrastBolusAgent": ("Omnipaque",)})])
    (decision,) = decide([route], [view], peer=None, calling="", called="", now=NOW)
    asks = "Modality CT and native (not (ContrastBolusAgent present))"
    assert decision.reason == f"CT is Modality MR and ContrastBolusAgent Omnipaque, expected {asks}"
    assert [(one["key"], one["expected"], one["found"], one["held"]) for one in condition_rows(condition_records(decision.tried))] == [
        ("CT", "all of its 2", "none", False),
        ("  - Modality", "CT", "MR", False),
        ("    native", "all of its 1", "none", False),
        ("      - none_of", "none of 1", "1", False),
        ("          - ContrastBolusAgent", "present", "Omnipaque", True),
        ("any_of", "at least one of 2", "1", True),
        ("  - native", "all of its 1", "none", False),
        ("      - none_of", "none of 1", "1", False),
        ("          - ContrastBolusAgent", "present", "Omnipaque", True),
        ("  - Modality", "MR", "MR", True),
    ]
    assert together_text(when) == f"CT ({asks}) and (native (not (ContrastBolusAgent present)) or Modality MR)"
    assert list(definitions_in(when)) == ["CT", "native", "native"]
    assert never_runs(route, {"threshold": APPLICATION}) == "threshold: modality is CT, not MR"


@pytest.mark.parametrize(
    ("header", "unmet"),
    [
        ({}, 2),  # the body part, or else description and thickness: one is nearer
        ({"Modality": ("CT",)}, 1),
        ({"Modality": ("CT",), "BodyPartExamined": ("CHEST",)}, 0),
        ({"ContrastBolusAgent": ("Omnipaque",), "ImageType": ("LOCALIZER",)}, 4),
    ],
)
def test_a_miss_is_as_near_as_the_fewest_conditions_that_kept_it_out(header: Header, unmet: int) -> None:
    """Of a block what would have been enough: the entry of which the fewest are missing, and each that ought not to hold."""
    assert sum(try_on(one, header, NOW).unmet for one in chest().when) == unmet


def test_what_blocks_ask_of_a_patient_is_hidden_like_what_conditions_ask() -> None:
    """Whoever may not know whose a study is reads neither what was found nor the reason, however deep it was asked."""
    asked = Conditions().read(snippet("any_of: [{all_of: [{PatientName: Roe}]}, {Modality: CT}]"), Here(file="", folder=Path()))
    tried = tuple(try_on(one, {"PatientName": ("Doe^Jane",), "Modality": ("MR",)}, NOW) for one in asked)
    decision = Decision(route="r", series_instance_uid="1", matched=False, chosen=False, tried=tried, reason="any_of is Doe^Jane")
    record = decision_record(decision)
    assert "Jane" in json.dumps(record)
    (told,) = redaction.decisions([record])
    assert "Jane" not in json.dumps(told)
    assert '"MR"' in json.dumps(told)


def test_what_a_vendor_keeps_to_itself_is_hidden_like_a_patient() -> None:
    """What was found, and a reason that tells it."""
    asked = Conditions().read(snippet('"(0019,xx0C) SIEMENS MR HEADER": {min: 500}'), Here(file="", folder=Path()))
    view = seen("1", [("", {"(0019,xx0C) SIEMENS MR HEADER": ("Doe^Jane",)})])
    (decision,) = decide([Route(name="r", when=asked, run=("a",), send=("s",))], [view], peer=None, calling="", called="", now=NOW)
    record = decision_record(decision)
    assert json.dumps(record).count("Jane") == 2
    (told,) = redaction.decisions([record])
    assert "Jane" not in json.dumps(told)


@pytest.mark.parametrize("asked", ['"NAME": {min: 500}', 'any_of: [{"NAME": {min: 500}}, {Modality: CT}]'])
def test_what_a_vendor_keeps_to_itself_is_marked_where_a_series_is_expected_in_vain(asked: str) -> None:
    """The log, and whoever may not know the patient, are not told what stands between the marks."""
    name = "(0019,xx0C) SIEMENS MR HEADER"
    when = Conditions().read(snippet(asked.replace("NAME", name)), Here(file="", folder=Path()))
    view = seen("1", [("1.2.840.10008.5.1.4.1.1.4", {name: ("Doe^Jane",), "Modality": ("MR",)})])
    route = Route(name="r", when=when, run=("a",), send=("s",), expect=True)
    decisions = decide([route], [view], peer=None, calling="", called="", now=NOW)
    series = GatedSeries(views={"1": view}, counted={"1": True}, gate=Gate())
    (one,) = untaken([route], decisions, series, {})
    assert "Jane" in one.why
    assert "Jane" not in redaction.unquoted(one.why)


# ---- the second evaluator, and its generator

WORDS = ("CT", "MR", "CHEST", "HEAD", "AXIAL")
TEXTS, NUMBERS = ("Modality", "BodyPartExamined", "ImageType", "SeriesDescription"), ("SliceThickness", "EchoTime", "PixelSpacing")
TIMES, DAYS = ("000000", "0559", "06", "143000.250000", "22:00:00", "235959", "late"), ("20260308", "20260309", "20260310", "20261340")
AGES = ("030D", "011M", "017Y", "018Y", "090Y", "18")
CODES = ("LN:24627-2", "LN:24725-4", "SRT:P5-08000")
PRIVATE = "(0019,xx0C) SIEMENS MR HEADER"
ASKED = {
    "ProcedureCodeSequence": ({"code": CODES[0]}, {"code": [*CODES[1:]]}, {"exists": True}, {"not": {"code": CODES[2]}}),
    "StudyTime": ({"between": ["22:00", "06:00"]}, {"between": ["06:00", "14:31"]}, {"not": {"between": ["00:00", "06:00"]}}),
    "StudyDate": ({"weekday": "sun"}, {"weekday": ["mon", "tue"]}, {"not": {"weekday": ["sun"]}}),
    "age": ({"min": "18y"}, {"max": "17y"}, {"min": "30d", "max": "12m"}, {"exists": False}, {"not": {"min": "18y"}}),
    "plane": ("axial", {"in": ["coronal", "oblique"]}, {"not": "sagittal"}, {"not": {"in": ["axial", "oblique"]}}),
    PRIVATE: ({"min": 900}, {"max": 0}, {"in": [0, 1000]}, 1000, {"not": 0}, {"exists": False}, {"in": ["void", 0]}),
    "contrast": ("given", "native", {"in": ["native", "unknown"]}, {"not": "given"}, {"not": {"in": ["given", "unknown"]}}),
}
LIE = {
    (1, 0, 0, 0, 1, 0): "axial",
    (0.98, 0, 0.17, 0, 1, 0): "axial",
    (1, 0, 0, 0, 0, -1): "coronal",
    (0, 1, 0, 0, 0, -1): "sagittal",
    (1, 0, 0, 0, 0.7071, -0.7071): "oblique",
}
"""How images of these direction cosines lie (PS3.3 C.7.6.2.1.1), by a drawing."""
AGENT_SAYS = {"": None, "n/a": None, "NONE": "native", "Omnipaque": "given"}
CALLED = {"Thorax native": "native", "Abdomen portal venous": "given", "w/o contrast": "native", "with and without contrast": None}


OLD = {
    "030D": {"d": 30, "m": 0, "y": 0},
    "011M": {"d": 334, "m": 11, "y": 0},
    "017Y": {"d": 6209, "m": 204, "y": 17},
    "018Y": {"d": 6574, "m": 216, "y": 18},
    "090Y": {"d": 32871, "m": 1080, "y": 90},
}
"""How many days, months and years are over, by hand."""


def made_condition(chance: random.Random, *, text: bool) -> Any:
    """As YAML has it: a value, or a mapping of one question."""
    values: Sequence[Any] = WORDS if text else (0.5, 1, 2.5, 5)
    match chance.randrange(6 if text else 7):
        case 0:
            return chance.choice(values)
        case 1:
            return {"in": chance.sample(values, chance.randint(1, 3))}
        case 2:
            return {"exists": chance.random() < 0.5}
        case 3:
            return {"not": chance.choice(values)}
        case 4:
            return {"not": {"in": chance.sample(values, 2)}}
        case 5:
            return {"matches": chance.choice(("C", "HE", "^A", "R$"))} if text else {"min": chance.choice(values)}
        case _:
            return {"max": chance.choice(values)}


def made_conditions(chance: random.Random, names: Sequence[str] = (), depth: int = 0) -> dict[str, Any]:
    """A mapping with one entry at least, blocks three deep at most, and definitions of these names."""
    made: dict[str, Any] = {}
    for keyword in chance.sample((*TEXTS, *NUMBERS), chance.randint(1, 2)):
        made[keyword] = made_condition(chance, text=keyword in TEXTS)
    for key in chance.sample(sorted(ASKED), chance.choice((0, 0, 0, 0, 1))):
        made[key] = chance.choice(ASKED[key])
    for word in ("any_of", "all_of", "none_of") if depth < 3 else ():
        if chance.random() < 0.35:
            made[word] = [made_conditions(chance, names, depth + 1) for _ in range(chance.randint(1, 3))]
    if names and chance.random() < 0.3:
        asked = chance.sample(names, chance.randint(1, len(names)))
        made["is"] = asked[0] if len(asked) == 1 else asked
    return made


def made_definitions(chance: random.Random) -> dict[str, Any]:
    """The first asks for none, the others for those before them."""
    made: dict[str, Any] = {}
    for name in ("chest", "thin chest", "the rest"):
        made[name] = made_conditions(chance, list(made), depth=3 if made else 2)
    return made


def made_header(chance: random.Random) -> dict[str, tuple[Any, ...]]:
    """Elements absent, empty, and with several values."""
    header: dict[str, tuple[Any, ...]] = {}
    for keyword in (*TEXTS, *NUMBERS):
        if chance.random() < 0.8:
            values = WORDS if keyword in TEXTS else (0.5, 1, 2.5, 5)
            header[keyword] = tuple(chance.choice(values) for _ in range(chance.choice((0, 1, 1, 1, 2, 3))))
    if chance.random() < 0.7:
        header[PRIVATE] = chance.choice(((), (0,), (1000,), (0, 1000), ("void",)))
    for keyword, of in (("ProcedureCodeSequence", CODES), ("StudyTime", TIMES), ("StudyDate", DAYS), ("PatientAge", AGES)):
        if chance.random() < 0.7:
            header[keyword] = tuple(chance.choice(of) for _ in range(chance.choice((0, 1, 1, 2))))
    for keyword, many in (("ContrastBolusAgent", [*AGENT_SAYS]), ("SeriesDescription", [*CALLED])):
        if chance.random() < 0.5:
            header[keyword] = tuple(chance.choice(many) for _ in range(chance.choice((0, 1, 1, 2))))
    if chance.random() < 0.7:
        header["ImageOrientationPatient"] = tuple(side for _ in range(chance.choice((0, 1, 1, 2))) for side in chance.choice([*LIE]))
    return header


def said_of_contrast(header: Mapping[str, tuple[Any, ...]]) -> str:
    """Every agent that says something, and the first description of the series that does: they agree, or nobody knows."""
    agents = [AGENT_SAYS[one] for one in header.get("ContrastBolusAgent", ())]
    called = [said for one in header.get("SeriesDescription", ()) if (said := CALLED.get(one))][:1]
    told = {*agents, *called} - {None}
    return str(told.pop()) if len(told) == 1 else "unknown"


def evaluated(made: Mapping[str, Any], header: Mapping[str, tuple[Any, ...]], defined: Mapping[str, Any]) -> bool:
    """By the page of the reference, and by nothing of the node."""
    for key, asked in made.items():
        if key == "any_of":
            good = True in [evaluated(entry, header, defined) for entry in asked]
        elif key == "is":
            good = all(evaluated(defined[name], header, defined) for name in ([asked] if isinstance(asked, str) else asked))
        elif key == "all_of":
            good = False not in [evaluated(entry, header, defined) for entry in asked]
        elif key == "none_of":
            good = True not in [evaluated(entry, header, defined) for entry in asked]
        else:
            values = list(header.get(key, ()))
            if key == "age":
                values = [one for one in header.get("PatientAge", ()) if one in OLD]
            elif key == "plane":
                sides = header.get("ImageOrientationPatient", ())
                values = [LIE[sides[at : at + 6]] for at in range(0, len(sides), 6)]
            elif key == "contrast":
                values = [said_of_contrast(header)]
            good = answered(asked, values)
        if not good:
            return False
    return True


def answered(asked: Any, values: list[Any]) -> bool:
    """What one keyword is asked; one of several values is enough, bounds ask for all."""
    if not isinstance(asked, dict):
        return asked in values
    if len(asked) > 1:
        return all(answered({word: wanted}, values) for word, wanted in asked.items())
    ((word, wanted),) = asked.items()
    if word == "between":
        begin, end = (int(one.replace(":", "")) for one in wanted)
        clocks = [int(digits.ljust(4, "0")[:4]) for one in values if (digits := one.replace(":", "").split(".")[0]).isdigit()]
        return any((begin <= one < end) if begin < end else not end <= one < begin for one in clocks)
    if word == "weekday":
        days = {"20260308": "sun", "20260309": "mon", "20260310": "tue"}
        return any(days.get(one) in ([wanted] if isinstance(wanted, str) else wanted) for one in values)
    if word in ("min", "max") and isinstance(wanted, str):
        known = [OLD[one][wanted[-1]] for one in values]
        bound = int(wanted[:-1])
        return len(known) > 0 and (min(known) >= bound if word == "min" else max(known) <= bound)
    if word == "not":
        return not answered(wanted, values)
    if word == "code":
        return not {wanted}.isdisjoint(values) if isinstance(wanted, str) else any(one in values for one in wanted)
    if word == "in":
        return len(set(wanted) & set(values)) > 0
    if word == "exists":
        return (len(values) > 0) is wanted
    if word == "matches":
        letters = wanted.strip("^$")
        found = {"^": str.startswith, "$": str.endswith}.get(wanted[0] if wanted[0] == "^" else wanted[-1], str.__contains__)
        return any(found(value, letters) for value in values)
    if "void" in values:
        return False
    return len(values) > 0 and bool(min(values) >= wanted if word == "min" else max(values) <= wanted)


def agreed(seed: int, mappings: int) -> int:
    """How many of two hundred headers for each made mapping hold it, as text through the reader of the configuration and by arithmetic."""
    chance = random.Random(seed)
    held = 0
    for _ in range(mappings):
        defined = made_definitions(chance)
        made = made_conditions(chance, list(defined), depth=chance.choice((0, 1, 1)))
        here = Here(file="", folder=Path())
        here = replace(here, definitions=definitions_of(snippet(json.dumps(defined)), here))
        try:
            asked = Conditions().read(snippet(json.dumps(made)), here)
        except Refused:
            assert "more than 200 conditions" in str(here.problems)
            continue
        for _ in range(200):
            header = made_header(chance)
            wanted = evaluated(made, header, defined)
            held += wanted
            tried = [try_on(one, header, NOW) for one in asked]
            assert all(one.held for one in tried) is wanted, (made, header)
            assert (sum(one.unmet for one in tried) == 0) is wanted, (made, header)
    return held


def test_a_second_evaluator_agrees_on_made_conditions() -> None:
    """Twenty thousand cases."""
    assert 1_000 < agreed(18, 105) < 18_000, "neither answer is rare"
