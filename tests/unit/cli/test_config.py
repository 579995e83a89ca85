"""`hilum config check|schema`."""

import json
from pathlib import Path

import pytest

from .conftest import Run

ROOT = Path(__file__).parents[3]


def test_a_good_configuration_is_told_in_a_few_lines(place: Path, run: Run) -> None:
    """Who may send, which route runs what and sends where."""
    answer = run("config", "check")
    assert answer.code == 0
    assert "hilum.yaml is good" in answer.out
    assert "head MR" in answer.out


def test_every_mistake_is_one_entry_for_scripts(place: Path, run: Run) -> None:
    """Exit code 1, and code and message of each."""
    (place / "bad.yaml").write_text("node: {workers: 0}\nroutes: [{name: x}]\n")
    answer = run("config", "check", "bad.yaml", "--json")
    assert answer.code == 1
    assert answer.json["good"] is False
    assert [one["code"] for one in answer.json["problems"]] == ["HLM-2006", "HLM-2007", "HLM-2007"]
    assert run("config", "check", "--json").json["good"] is True


def test_the_schema_accepts_what_is_good_and_refuses_what_is_not(run: Run) -> None:
    """Judged by another program's JSON Schema validator, on the files that come with hilum as a YAML 1.2 reader of an editor reads them."""
    jsonschema = pytest.importorskip("jsonschema", reason="the JSON Schema validator (pip install jsonschema) is absent: schema not judged")
    from ruamel.yaml import YAML

    schema = json.loads(run("config", "schema").out)
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    for path in (ROOT / "config/hilum.yaml", *sorted((ROOT / "config/examples").glob("*.yaml"))):
        assert [error.message for error in validator.iter_errors(_plain(YAML(typ="safe").load(path)))] == [], path
    for bad in ("unknown_key", "unknown_condition", "unknown_choice", "missing_key", "number_out_of_range", "duration_without_unit"):
        content = _plain(YAML(typ="safe").load(ROOT / f"tests/bad_configs/{bad}.yaml"))
        assert list(validator.iter_errors(content)), bad


def _plain(content: object) -> object:
    return json.loads(json.dumps(content))


_TERMS = """
  - name: head
    when: {Modality: MRI, BodyPartExamined: {in: [Head, BRIAN, "L-SPINE", THORAX, FLOOR]}, PatientSex: {not: female}}
    run: [hippocampus]
    send: [r]
"""


def test_values_that_no_image_has_are_warned_of_with_what_was_meant(place: Path, run: Run) -> None:
    """A configuration with them is good: devices write what they like. Defined terms, retired ones too, and patterns pass in silence."""
    good = "  - {name: old, when: {Modality: {in: [MR, CF]}, BodyPartExamined: {matches: Head}}, run: [hippocampus], send: [r]}"
    (place / "terms.yaml").write_text(f"sinks: {{r: {{kind: folder, path: out}}}}\nroutes:{_TERMS}{good}\n")
    answer = run("config", "check", "terms.yaml", "--json")
    assert (answer.code, answer.json["good"]) == (0, True)
    said = [one for one in answer.json["remarks"] if "defined terms" in one]
    assert [
        one.partition(" asks for ")[2].partition(", which")[0] + one.partition("; did you mean")[2].partition("?")[0] for one in said
    ] == [
        'Modality "MRI" "MR"',
        'BodyPartExamined "Head" "HEAD"',
        'BodyPartExamined "BRIAN" "BRAIN"',
        'BodyPartExamined "L-SPINE" "LSPINE"',
        'BodyPartExamined "FLOOR"',
        'PatientSex "female" "F"',
    ]
    assert all(one.startswith('route "head"') for one in said)


def test_a_definition_that_no_route_asks_for_is_warned_of(place: Path, run: Run) -> None:
    """One that another one asks for, which a route asks for, is not: however deep, and of a needed series too."""
    path = place / "hilum.yaml"
    definitions = """\
define:
  CT: {Modality: CT}
  thin CT: {any_of: [{is: CT}]}
  idle: {is: CT}
  scout: {ImageType: LOCALIZER}
"""
    text = path.read_text(encoding="utf-8").replace("    run: [ct-lung]", "    needs: {series: {scout: {is: scout}}}\n    run: [ct-lung]")
    path.write_text(text.replace("routes:", definitions + "routes:").replace("when: {Modality: CT,", "when: {is: thin CT,"))
    remarks = run("config", "check", "--json").json["remarks"]
    assert [one for one in remarks if "the definition" in one] == [
        'no route asks for the definition "idle". Ask for it by `is: idle`, or take it out.'
    ]


def test_a_model_that_is_not_imported_yet_is_a_remark(place: Path, run: Run) -> None:
    """With the command that brings it; nothing is said of an application that routes do not run."""
    (place / "models.yaml").write_text(
        "sinks: {r: {kind: folder, path: out}}\nroutes: [{name: x, when: {Modality: MR}, run: [hippocampus], send: [r]}]\n"
    )
    remarks = run("config", "check", "models.yaml", "--json").json["remarks"]
    assert [one for one in remarks if "HLM-4101" in one] == [one for one in remarks if "`hilum models import hippocampus`" in one]
    assert len([one for one in remarks if "HLM-4101" in one]) == 1
    assert run("models", "import", "hippocampus", "--config", "models.yaml").code == 0
    assert not [one for one in run("config", "check", "models.yaml", "--json").json["remarks"] if "HLM-4101" in one]


def test_a_route_of_which_nothing_can_run_is_good_and_warned_of(place: Path, run: Run) -> None:
    """A CT for an application of MR: the file is good, and the remark names route, application and why."""
    path = place / "hilum.yaml"
    path.write_text(path.read_text(encoding="utf-8").replace("run: [ct-lung]", "run: [mr-brain]"), encoding="utf-8")
    answer = run("config", "check", "--json").json
    assert answer["good"] is True
    (remark,) = [one for one in answer["remarks"] if "can run nothing" in one]
    assert 'route "chest CT" can run nothing' in remark
    assert "mr-brain: modality is CT, not MR" in remark
