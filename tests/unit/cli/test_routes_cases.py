"""`hilum routes test`: what is expected holds or fails with the condition that decided; a bad file of cases is refused with its place."""

from pathlib import Path

import pytest

from node.cli.main import main
from tests.unit.cli.conftest import HEAD, UNTAKEN, Hospital, Run
from tests.unit.cli.test_routes import write

CHEST = "{Modality: CT, BodyPartExamined: CHEST, SliceThickness: 1.25, images: 200}"
THICK = "{Modality: CT, BodyPartExamined: CHEST, SliceThickness: 8, images: 20}"


def cases(place: Path, text: str) -> None:
    (place / "routes.test.yaml").write_text(text, encoding="utf-8")


def test_what_is_expected_holds(place: Path, run: Run) -> None:
    """Of several series the routes choose as the node does; who sends it may be said; counts of images are those given."""
    cases(
        place,
        f"""\
- {{name: thin beside thick, from: ct1, to: HILUM_STAT, headers: [{CHEST}, {THICK}], expect: {{chest CT: ct-lung}}}}
- {{name: from elsewhere, from: pacs, headers: [{CHEST}], expect: {{}}}}
- {{name: thirty are enough, headers: [{{Modality: MR, SeriesDescription: MPRAGE, images: 30}}], expect: {{head MR: [mr-brain]}}}}
- {{name: two are not, headers: [{{Modality: MR, SeriesDescription: MPRAGE, images: 2}}], expect: {{}}}}
""",
    )
    said = run("routes", "test")
    assert (said.code, said.err) == (0, "")
    assert said.out.startswith("✓ thin beside thick\n✓ from elsewhere\n✓ thirty are enough\n✓ two are not\n4 cases, 0 failed")


def test_what_does_not_is_told_with_the_condition_that_decided(place: Path, run: Run) -> None:
    """One that was to run and does not, and one that runs and was not to; exit code 1."""
    cases(
        place,
        f"""\
- {{name: thick, headers: [{THICK}], expect: {{chest CT: ct-lung}}}}
- {{name: thin, headers: [{CHEST}], expect: {{head MR: mr-brain}}}}
""",
    )
    said = run("routes", "test", "--json")
    assert said.code == 1
    thick, thin = said.json
    assert (thick["passed"], len(thick["failures"])) == (False, 1)
    (failure,) = thick["failures"]
    assert (failure["route"], failure["expected"], failure["found"]) == ("chest CT", ["ct-lung"], [])
    assert failure["reason"] == "SliceThickness is 8, expected at most 5"
    assert [(one["route"], one["expected"], one["found"]) for one in thin["failures"]] == [
        ("head MR", ["mr-brain"], []),
        ("chest CT", [], ["ct-lung"]),
    ]
    shown = " ".join(run("routes", "test").out.split())
    assert "chest CT is not run, expected: run ct-lung SliceThickness is 8, expected at most 5" in shown
    assert "chest CT runs ct-lung, expected: not run" in shown
    assert "2 cases, 2 failed" in shown


NODULES = """
  - name: nodules
    when: {Modality: CT, BodyPartExamined: CHEST}
    run: [lung-nodule, ct-lung]
    send: [copies]
"""


def test_what_an_application_does_not_take_is_not_run(place: Path, run: Run) -> None:
    """Slices of 3 mm fit the route, and lung-nodule says at most 2.5 mm: the other application runs, and the condition tells why."""
    with (place / "hilum.yaml").open("a", encoding="utf-8") as configuration:
        configuration.write(NODULES)
    thick = "{Modality: CT, BodyPartExamined: CHEST, SliceThickness: 3, images: 100}"
    cases(
        place,
        f"""\
- {{name: thin, from: pacs, headers: [{CHEST}], expect: {{nodules: [lung-nodule, ct-lung]}}}}
- {{name: thick, from: pacs, headers: [{thick}], expect: {{nodules: ct-lung}}}}
- {{name: mistaken, from: pacs, headers: [{thick}], expect: {{nodules: [lung-nodule, ct-lung]}}}}
""",
    )
    thin, fine, mistaken = run("routes", "test", "--json").json
    assert (thin["passed"], fine["passed"], mistaken["passed"]) == (True, True, False)
    (failure,) = mistaken["failures"]
    assert failure["found"] == ["ct-lung"]
    assert "lung-nodule is not applicable: slices are 3 mm thick, at most 2.5 mm are taken" in failure["reason"]
    (asked,) = [one for one in failure["conditions"] if one["key"] == "lung-nodule takes it"]
    assert (asked["found"], asked["held"]) == ("slices are 3 mm thick, at most 2.5 mm are taken", False)


def test_what_is_expected_in_vain_is_a_case_too(place: Path, run: Run) -> None:
    """What the reader is told of, and what not; explaining says it at the series that came nearest."""
    with (place / "hilum.yaml").open("a", encoding="utf-8") as configuration:
        configuration.write("""
  - name: lungs
    any_series: {BodyPartExamined: CHEST}
    when: {Modality: CT, SliceThickness: {max: 1}}
    run: [lung-nodule]
    send: [copies]
    expect: true
""")
    thick = "{Modality: CT, BodyPartExamined: CHEST, SliceThickness: 8, images: 20}"
    head = "{Modality: MR, BodyPartExamined: HEAD, SliceThickness: 9, images: 20}"
    cases(
        place,
        f"""\
- {{name: vain, from: pacs, headers: [{thick}], expect: {{}}, told: lung-nodule}}
- {{name: another study, from: pacs, headers: [{head}], expect: {{}}}}
- {{name: mistaken, from: pacs, headers: [{thick}], expect: {{}}}}
""",
    )
    vain, other, mistaken = run("routes", "test", "--json").json
    assert (vain["passed"], other["passed"], mistaken["passed"]) == (True, True, False)
    assert [(one["route"], one["expected"], one["found"]) for one in mistaken["failures"]] == [(None, [], ["lung-nodule"])]
    assert "the reader is told that there is no result of lung-nodule, expected: –" in " ".join(run("routes", "test").out.split())
    write(place / "study", 1, 40, Modality="CT", BodyPartExamined="CHEST", SliceThickness="8")
    said = " ".join(run("routes", "explain", str(place / "study"), "--from", "pacs").out.split())
    assert "a series is expected, and none is taken for lung-nodule: the reader is told" in said
    (lungs,) = [one for one in run("routes", "explain", str(place / "study"), "--json").json["routes"] if one["route"] == "lungs"]
    assert [one["untaken"] for one in lungs["series"]] == [["lung-nodule"]]


def test_a_case_may_be_a_folder_or_a_study_that_was_received(hospital: Hospital, run: Run, place: Path) -> None:
    """Files count from the file of cases; a study is what the journal holds of it."""
    write(place / "study", 1, 40, Modality="CT", BodyPartExamined="CHEST", SliceThickness="1.25")
    cases(
        place,
        f"""\
- {{name: files, files: study, expect: {{chest CT: ct-lung}}}}
- {{name: received, study: "{HEAD}", expect: {{}}}}
- {{name: received and expected to run, study: "{HEAD}", expect: {{head MR: mr-brain}}}}
- {{name: received and untaken, study: "{UNTAKEN[-12:]}", expect: {{}}}}
""",
    )
    said = run("routes", "test").out
    assert said.count("✓") == 3
    assert "position, orientation or pixel spacing is absent: that is no volume" in " ".join(said.split())


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (f"- {{headers: [{CHEST}], expect: {{}}}}", 'routes.test.yaml:1:3: case 1: needs the key "name"'),
        (f"- {{name: a, headers: [{CHEST}]}}", 'case "a": needs the key "expect"'),
        (f"- {{name: a, headers: [{CHEST}], expect: {{chest: ct-lung}}}}", 'unknown route "chest"; did you mean "chest CT"?'),
        (f"- {{name: a, headers: [{CHEST}], expect: {{chest CT: ct-lungs}}}}", 'unknown application "ct-lungs"; did you mean "ct-lung"?'),
        ("- {name: a, headers: [{Modalty: CT}], expect: {}}", 'unknown key "Modalty"; did you mean "Modality"?'),
        ("- {name: a, headers: [{SliceThickness: thin}], expect: {}}", '"thin" is no number'),
        ("- {name: a, headers: [], expect: {}}", "a study has a series at least"),
        ("- {name: a, from: ct9, headers: [{Modality: CT}], expect: {}}", 'unknown peer "ct9"'),
        ("- {name: a, expect: {}}", "a case is one of headers, files and study; none stands here"),
        ('- {name: a, files: x, study: "1.2", expect: {}}', "files and study stand here"),
        (f"- {{name: a, headers: [{CHEST}], expect: {{chest CT: {{series: 1}}}}}}", 'needs the key "run"'),
        (
            f"- {{name: a, headers: [{CHEST}], expect: {{chest CT: {{run: ct-lung, send: archiv}}}}}}",
            'unknown sink "archiv"; did you mean "archive"?',
        ),
        (f"- {{name: a, headers: [{CHEST}], at: noon, expect: {{}}}}", '"noon" is no moment; write "2026-03-10 23:30"'),
        ('- {name: a, study: "1.2", at: "2026-03-10 23:30", expect: {}}', "came when it came; leave `at` out"),
    ],
)
def test_a_bad_file_of_cases_is_refused_with_its_place(place: Path, run: Run, text: str, words: str) -> None:
    """As the configuration is: line, column, what was meant."""
    cases(place, text)
    said = run("routes", "test")
    assert said.code == 1
    assert words in said.err


def test_without_a_file_it_says_where_one_was_looked_for(place: Path, run: Run) -> None:
    said = run("routes", "test")
    assert (said.code, "routes.test.yaml" in said.err, "HLM-2001" in said.err) == (1, True, True)


def test_the_cases_that_come_with_hilum_hold(capsys: pytest.CaptureFixture[str]) -> None:
    """config/routes.test.yaml beside the default configuration."""
    config = Path(__file__).parents[3] / "config/hilum.yaml"
    assert main(["routes", "test", "--config", str(config)]) == 0
    assert "2 cases, 0 failed" in capsys.readouterr().out


def test_more_can_be_expected_of_a_route_than_what_it_runs(place: Path, run: Run) -> None:
    """On which series, how urgently and where to: as the job has it that two routes ask for. What is otherwise is told, each by itself."""
    config = (place / "hilum.yaml").read_text(encoding="utf-8")
    second = "  - {name: stat, when: {Modality: CT}, run: ct-lung, priority: urgent, deadline: 30m, send: [copies]}\n"
    (place / "hilum.yaml").write_text(config + second, encoding="utf-8")
    job = "run: ct-lung, series: 2, priority: urgent, deadline: 30m, send: [archive, copies]"
    cases(
        place,
        f"""\
- {{name: as it is, headers: [{THICK}, {CHEST}], expect: {{chest CT: {{{job}}}, stat: {{{job}}}}}}}
- name: otherwise
  headers: [{THICK}, {CHEST}]
  expect: {{chest CT: {{run: ct-lung, series: 1, priority: routine, deadline: 1h, send: copies}}, stat: ct-lung}}
""",
    )
    said = run("routes", "test", "--json")
    as_it_is, otherwise = said.json
    assert as_it_is["failures"] == []
    assert [(one["route"], one["of"], one["expected"], one["found"]) for one in otherwise["failures"]] == [
        ("chest CT", "series", ["1"], ["2"]),
        ("chest CT", "priority", ["routine"], ["urgent"]),
        ("chest CT", "send", ["copies"], ["archive", "copies"]),
        ("chest CT", "deadline", ["1 h"], ["30 min"]),
    ]
    assert "chest CT has priority urgent, expected: routine" in " ".join(run("routes", "test").out.split())


def test_a_series_of_files_is_called_by_its_number_or_uid(place: Path, run: Run) -> None:
    """As in explanations."""
    write(place / "study", 7, 70, Modality="CT", BodyPartExamined="CHEST", SliceThickness="1.25")
    for called, failed in (("7", 0), ("1.2.3.4.7", 0), ("[7, 8]", 1)):
        cases(place, f"- {{name: files, files: study, expect: {{chest CT: {{run: ct-lung, series: {called}}}}}}}\n")
        assert run("routes", "test").code == failed
