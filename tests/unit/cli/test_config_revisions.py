"""`hilum config history|diff|rollback`: what was in force, who wanted it, and the way back."""

import threading
from collections.abc import Callable, Iterator

import pytest
from structlog.testing import capture_logs

from node.assembly.compose import demand_takable
from node.assembly.configuration import load
from node.assembly.reload import START, KeptRevisions, Reloading
from node.store.in_force import InForce, ReloadAsked, answer_of, serving
from tests.unit.cli.conftest import CONFIG, Hospital, Run

THINNER = CONFIG.replace("max: 5", "max: 1")


Edit = Callable[[str, str, str], None]


@pytest.fixture
def edited(hospital: Hospital) -> Iterator[Edit]:
    """A node that serves the hospital, as far as its configuration goes; what edits its file and has it taken up."""
    in_force, revisions = InForce(hospital.config), KeptRevisions(hospital.config)
    revisions.came(hospital.config, START)
    reloading, over = Reloading(hospital.config, in_force, demand_takable, [], revisions), threading.Event()

    def turn() -> None:
        while not over.wait(0.01):
            reloading.turn()

    def edit(text: str, by: str, reason: str) -> None:
        hospital.config.path.write_text(text, encoding="utf-8")
        (node,) = serving(hospital.config)
        assert answer_of(node, node.ask(ReloadAsked(by=by, reason=reason)), 30).code == ""

    thread = threading.Thread(target=turn)
    thread.start()
    with capture_logs():  # what it tells would stand among what verbs print
        yield edit
    over.set()
    thread.join()
    in_force.close()


def test_who_put_what_in_force_when_and_why_is_told_and_compared(hospital: Hospital, edited: Edit, run: Run) -> None:
    """The newest first; a difference in lines, between two of them or one and the file."""
    edited(THINNER, "anna", "thin slices alone")
    said = run("config", "history", "--json").json
    assert [(one["revision"], one["author"], one["reason"]) for one in said] == [
        (2, "anna", "thin slices alone"),
        (1, "hilum serve", "the node was started"),
    ]
    assert [one["digest"] for one in said] == [load(hospital.config.path).digest, hospital.config.digest]
    assert "thin slices alone" in run("config", "history").out
    lines = run("config", "diff", "1", "2", "--json").json["lines"]
    assert [one[1:].strip()[-21:] for one in lines if one[0] in "+-" and one[:3] not in ("+++", "---")] == [
        "SliceThickness: {max: 5}}"[-21:],
        "SliceThickness: {max: 1}}"[-21:],
    ]
    assert run("config", "diff", "2").out.strip() == "they are the same"
    assert (run("config", "diff", "7").code, "there is no revision 7" in run("config", "diff", "7").err) == (1, True)


def test_a_narrow_terminal_has_the_numbers_whole_and_leaves_out_what_can_be_spared(
    hospital: Hospital, edited: Edit, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The number is what `diff` and `rollback` are called with; a long reason folds."""
    edited(THINNER, "anna", "thin slices alone, since the thick ones are read by somebody else anyway")
    for width in (60, 80, 200):
        monkeypatch.setenv("COLUMNS", str(width))
        head, *lines = run("config", "history").out.splitlines()
        assert max(map(len, (head, *lines))) <= width
        assert [line.split()[0] for line in lines if line[0] != " "] == ["2", "1"]
        assert head.split()[0] == "revision"
        assert width == 80 or [name in head.split() for name in ("routes", "host")] == [width > 80] * 2
        assert "…" not in "".join(lines)


def test_a_revision_comes_back_into_the_file_and_in_force(hospital: Hospital, edited: Edit, run: Run) -> None:
    """What it decides otherwise of the newest studies is shown before; the way back is a revision with its reason."""
    edited(THINNER, "anna", "")
    said = run("config", "rollback", "1", "--reason", "too thin")
    assert (said.code, said.err) == (0, "")
    assert "nothing would differ" in said.out  # the day was routed by it
    assert "`routes:` changed, in force from now on; 2 routes" in said.out
    assert hospital.config.path.read_text() == CONFIG
    assert hospital.config.path.with_name("hilum.yaml.before").read_text() == THINNER
    newest = run("config", "history", "--limit", "1", "--json").json
    assert [(one["revision"], one["reason"]) for one in newest] == [(3, "back to revision 1: too thin")]
    (answer,) = run("config", "rollback", "2", "--yes", "--json").json
    assert (answer["accepted"], answer["digest"]) == (True, load(hospital.config.path).digest)
    assert hospital.config.path.read_text() == THINNER


def test_what_is_edited_is_shown_against_the_newest_studies_and_asked_for(
    hospital: Hospital, edited: Edit, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who says no at a terminal changes nothing; `--yes` is not asked."""
    hospital.config.path.write_text(THINNER, encoding="utf-8")
    asked: list[str] = []

    def no(words: str) -> str:
        asked.append(words)
        return "no"

    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", no)
    said = run("config", "reload")
    assert (said.code, len(asked)) == (1, 1)
    assert "2 decisions would differ, in 2 studies; routes: chest CT" in said.out
    assert "nothing was changed" in said.out
    assert (run("config", "reload", "--since", "2025-03-04").code, len(asked)) == (1, 2)
    assert "HLM-2064" in run("config", "reload", "--since", "lately").err
    assert len(run("config", "history", "--json").json) == 1
    assert run("config", "reload", "--yes", "--reason", "meant").code == 0
    assert (len(asked), run("config", "history", "--json").json[0]["reason"]) == (2, "meant")

    def nothing(words: str) -> str:
        raise EOFError

    monkeypatch.setattr("builtins.input", nothing)
    assert (run("config", "reload").code, len(run("config", "history", "--json").json)) == (1, 2)


def test_a_revision_whose_application_is_gone_is_refused_with_a_sentence(
    hospital: Hospital, edited: Edit, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file and what is in force stay; so do they where it would need a restart."""
    edited(CONFIG.replace("run: [ct-lung]", "run: [mr-brain]"), "anna", "")
    before = hospital.config.path.read_text()
    with monkeypatch.context() as patched:
        patched.setattr("inference.applications.catalog.names", lambda _folders=(): ["mr-brain"])
        said = run("config", "rollback", "1", "--yes")
    assert (said.code, hospital.config.path.read_text()) == (1, before)
    assert "revision 1 cannot come back" in said.err
    assert 'unknown application "ct-lung"' in said.err
    assert "HLM-2109" in said.err


@pytest.mark.parametrize(
    "broken", [CONFIG.replace("routes:", "routes: [", 1), CONFIG.replace("sinks:", "sings:", 1)], ids=["no YAML", "a word"]
)
def test_a_broken_file_is_compared_and_put_right_by_the_revision_before(hospital: Hospital, edited: Edit, run: Run, broken: str) -> None:
    """Precisely then the way back is needed: history, difference and rollback go by what the file's `store:` says."""
    hospital.config.path.write_text(broken, encoding="utf-8")
    assert run("config", "check").code != 0
    assert [one["revision"] for one in run("config", "history", "--json").json] == [1]
    changed = [one for one in run("config", "diff", "1", "--json").json["lines"] if one[0] in "+-" and one[:3] not in ("+++", "---")]
    (taken, added) = sorted(changed, key=lambda one: one[0] == "+")
    assert (taken[1:] in CONFIG.splitlines(), added[1:] in broken.splitlines(), taken[1:] == added[1:]) == (True, True, False)
    said = run("config", "rollback", "1", "--yes", "--reason", "a slip")
    assert (said.code, said.err) == (0, "")
    assert hospital.config.path.read_text() == CONFIG
    assert hospital.config.path.with_name("hilum.yaml.before").read_text() == broken


def test_where_the_broken_file_does_not_say_where_the_journal_is_its_mistake_is_told(hospital: Hospital, edited: Edit, run: Run) -> None:
    """No other journal is taken for it, or made."""
    elsewhere = hospital.config.path.parent / "elsewhere.db"
    broken = f"store: {{journal: 'sqlite:{elsewhere}'}}\n" + CONFIG.replace("routes:", "routes: [", 1)
    hospital.config.path.write_text(broken, encoding="utf-8")
    said = run("config", "history")
    assert (said.code != 0, "hilum.yaml:" in said.err, "HLM-2" in said.err, elsewhere.exists()) == (True, True, True, False), said.err
