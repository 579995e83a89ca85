"""How a verb ends that cannot go on: a sentence, a code and what to do, or one JSON object; a traceback reaches nobody."""

import json
import os
import re
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from cyclopts import App

import node.cli.main as command

from .conftest import Run

ROOT = Path(__file__).parents[3]
CONFIG = 'node: {listen: "127.0.0.1:0"}\nstore: {journal: "sqlite:var/hilum.db", blobs: "file:var/blobs"}\n'
AS_NOBODY = """
import os, sys
import node.cli.doctor.command, node.cli.jobs, node.cli.main, node.records.jobs, node.journal.journal, sqlalchemy.dialects.sqlite
import node.assembly.compose, node.records.associations, node.observe.association_log
os.chdir(sys.argv[1])
node.cli.main.main(["jobs", "list"])
os.chmod("var", 0o700)
os.setgid(65534)
os.setuid(65534)
sys.exit(node.cli.main.main(sys.argv[2:]))
"""


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Callable[[Exception], None]:
    """Give the command one verb, `jobs`, that meets what it is given."""

    def give(met: Exception) -> None:
        def made() -> App:
            app = App(name="hilum")

            def fail(study: str = "", *, as_json: bool = False) -> None:
                raise met

            app.command(fail, name="jobs")
            return app

        monkeypatch.setattr(command, "build", made)

    return give


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where details are written."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


def hilum(*words: str, cwd: Path, **more: str) -> "subprocess.CompletedProcess[str]":
    """The command as a program, in a folder that holds a configuration."""
    (cwd / "hilum.yaml").write_text(CONFIG)
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from node.cli.main import main; sys.exit(main())"
    environment = {**os.environ, **more}
    return subprocess.run(
        [sys.executable, "-c", code, *words], cwd=cwd, capture_output=True, text=True, check=False, env=environment, timeout=120
    )


def shell(line: str, cwd: Path) -> "subprocess.CompletedProcess[str]":
    """The same as a shell's line, `hilum` in it."""
    (cwd / "hilum.yaml").write_text(CONFIG)
    program = f"import sys\nsys.path.insert(0, {str(ROOT)!r})\nfrom node.cli.main import main\nsys.exit(main())\n"
    (cwd / "run.py").write_text(program)
    return subprocess.run(
        ["bash", "-c", f'hilum() {{ {sys.executable} run.py "$@"; }}\n{line}'],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_what_nobody_foresaw_is_a_sentence_and_its_details_are_this_users_alone(
    run: Run, failing: Callable[[Exception], None], temporary: Path
) -> None:
    """The sentence says where it was and quotes nothing, as the words of an exception may be a patient's; the file has all of it."""
    failing(ZeroDivisionError("of Doe^Jane"))
    answer = run("jobs", "4711")
    (details,) = temporary.iterdir()
    assert answer.code == 1
    assert answer.out == ""
    assert re.fullmatch(
        rf"hilum jobs stumbled over a ZeroDivisionError at \S*test_ending\.py:\d+ < \S+\. The details lie in {details}\. \[HLM-2120\]\n"
        r"  what to do: Call it again\. .*\n",
        answer.err,
    )
    assert "Doe" not in answer.err
    assert stat.S_IMODE(details.stat().st_mode) == 0o600
    assert "ZeroDivisionError: of Doe^Jane" in details.read_text()
    assert "4711" not in details.read_text().split("\n\n")[0]


def test_what_the_system_refuses_names_the_file(run: Run, failing: Callable[[Exception], None], temporary: Path) -> None:
    """A disk that is full is nobody's defect."""
    failing(OSError(28, "No space left on device", "/var/lib/hilum/x"))
    assert run("jobs").err.startswith("/var/lib/hilum/x: No space left on device. The details lie in ")
    assert "[HLM-2122]" in run("jobs").err


def test_with_json_an_error_is_one_object(run: Run, failing: Callable[[Exception], None], temporary: Path) -> None:
    """On stdout, where a script reads; the exit code is the same as without."""
    failing(ZeroDivisionError())
    answer = run("jobs", "--as-json", "--json")  # `--json` is no option of this verb: misuse is told the same way
    assert answer.code == 2
    assert answer.json["code"] == "HLM-2064"
    answer = run("jobs", "--", "--json")
    assert answer.code == 1
    assert answer.json.keys() == {"code", "message", "remedy"}
    assert answer.err == ""


def test_where_no_details_can_be_written_the_sentence_says_so(
    run: Run, failing: Callable[[Exception], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A read-only machine: the place of the defect is all that there is."""
    monkeypatch.setattr("tempfile.tempdir", "/proc/no-such-folder")
    failing(ZeroDivisionError())
    answer = run("jobs")
    assert re.search(r"The details could not be written \(.+\): it was at \S*test_ending\.py:\d+", answer.err)


def test_a_refused_configuration_is_one_object_with_its_problems(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every verb that reads it, not `config check` alone."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "hilum.yaml").write_text("node: {lisen: 1, listen: 2}\n")
    answer = run("jobs", "list", "--json")
    assert answer.code == 1
    assert answer.json["code"] == "HLM-2020"
    assert [one["code"] for one in answer.json["problems"]] == ["HLM-2003", "HLM-2006"]


@pytest.mark.parametrize("words", [("jobs", "lst", "--json"), ("jobs", "show", "--json"), ("jobs", "show", "x", "--json")])
def test_misuse_is_an_object_too(run: Run, words: tuple[str, ...]) -> None:
    """Exit code 2, as without --json."""
    answer = run(*words)
    assert answer.code == 2
    assert answer.json["remedy"].startswith("`hilum jobs")


def test_what_is_no_number_is_called_so(run: Run) -> None:
    """In words of the street, not of the language that the command is written in."""
    assert run("jobs", "show", "abc").err.startswith('Invalid value for JOB: "abc" is no number. [HLM-2064]')


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become somebody else")
@pytest.mark.parametrize("words", [("jobs", "list"), ("doctor",), ("associations",), ("jobs", "list", "--json")])
def test_anothers_store_is_a_sentence_that_says_whose_it_is(tmp_path: Path, words: tuple[str, ...]) -> None:
    """The first thing that happens to whoever installed a node that runs as a user of its own."""
    (tmp_path / "hilum.yaml").write_text(CONFIG)
    for folder in (tmp_path, *tmp_path.parents[:3]):
        folder.chmod(folder.stat().st_mode | 0o055)
    done = subprocess.run(
        [sys.executable, "-c", AS_NOBODY, str(tmp_path), *words], cwd=ROOT, capture_output=True, text=True, check=False, timeout=120
    )
    said = done.stdout.partition("no jobs\n")[2] + done.stderr
    assert done.returncode == 1
    assert "Permission denied" in said
    assert re.search(r'[Tt]his runs as the user \\?"nobody\\?", and \S+ is \\?"root\\?"', said), said
    assert "Run it as the user that the node runs as" in said
    assert "Traceback" not in said
    assert "HLM-2121" in said, "one condition, one code"
    assert "The details lie in" not in said, "there is nothing to look at"


@pytest.mark.slow
def test_no_stream_and_no_reader_makes_a_traceback(tmp_path: Path) -> None:
    """Closed, full, and read by nobody; the journal, the first file that is opened, does not get what is printed."""
    for line, code in (
        ("hilum jobs list >&-", 0),
        ("hilum jobs list >&- 2>&- <&-", 0),
        ("hilum jobs list --json >/dev/full", 1),
        ("hilum jobs list >/dev/full", 1),
        ("hilum jobs lst --json >/dev/full", 2),
        ("set -o pipefail; hilum jobs list | true", 0),
        ("set -o pipefail; hilum config schema | head -c 1 >/dev/null", 0),
        ("hilum jobs lst 2>/dev/full", 2),
    ):
        done = shell(line, tmp_path)
        assert (line, done.returncode) == (line, code)
        assert "Traceback" not in done.stderr, line
        assert "Exception ignored" not in done.stderr, line
    assert hilum("jobs", "list", cwd=tmp_path).stdout == "no jobs\n"


@pytest.mark.slow
def test_a_terminal_without_our_characters_gets_others(tmp_path: Path) -> None:
    """No locale: ✓ is none of ASCII's. What is JSON stays JSON."""
    bare = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    said = hilum("config", "check", cwd=tmp_path, **bare)
    assert said.returncode == 0, said.stderr
    assert "\\u2713" in said.stdout
    assert json.loads(hilum("config", "check", "--json", cwd=tmp_path, **bare).stdout)["good"] is True


@pytest.mark.slow
def test_a_home_that_cannot_be_written_and_sixty_columns_are_enough(tmp_path: Path) -> None:
    """Nothing of the command writes into a home; on a narrow screen it folds."""
    said = hilum("config", "check", cwd=tmp_path, HOME="/proc", COLUMNS="60")
    assert said.returncode == 0, said.stderr
    assert said.stderr == ""
    assert max(map(len, hilum("--help", cwd=tmp_path, HOME="/proc", COLUMNS="60").stdout.splitlines())) <= 60


@pytest.mark.slow
def test_nothing_wraps_in_a_pipe(tmp_path: Path) -> None:
    """A line of `doctor` that a script greps is whole, and no blanks stand behind it."""
    lines = hilum("doctor", cwd=tmp_path, COLUMNS="").stdout.splitlines()
    assert any(len(line) > 100 for line in lines)
    assert all(line[0] in "✓!✗" or line.lstrip().startswith("→") for line in lines)
    assert [line for line in lines if line != line.rstrip()] == []
