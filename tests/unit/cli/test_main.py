"""The command as a whole: quick to start, one shape for errors, exit codes that scripts rely on, help that says what the verbs say."""

import ast
import importlib
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cyclopts import App

from inference.errors import HilumError
from node.cli.main import build
from node.records.remedies import every_error, remedy

from .conftest import Run

ROOT = Path(__file__).parents[3]
_HEAVY = ("torch", "pydicom", "sqlalchemy", "highdicom", "pynetdicom", "onnxruntime", "numpy", "ruamel")


def verbs(app: App, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str, str]]:
    """Every verb of the command: its path, its import string, its help text."""
    for name, found in app._commands.items():
        if name.startswith("-"):
            continue
        if isinstance(found, App):
            yield from verbs(found, (*path, name))
        else:
            yield (*path, name), found.import_path, str(found.help)


def test_help_imports_nothing_heavy() -> None:
    """Start-up stays quick because no verb, and nothing that verbs need, is imported before it is called."""
    script = f"""
import sys
from node.cli.main import main
try:
    main(["--help"])
except SystemExit:
    pass
found = [name for name in {_HEAVY!r} if name in sys.modules]
assert not found, found
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_help_takes_less_than_half_a_second() -> None:
    """CPU seconds of one start, the best of three: other work on the machine is not what is measured."""
    took = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-m", "node.cli.main", "--help"], cwd=ROOT, capture_output=True, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        took.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert min(took) < 0.5


def test_the_help_of_a_verb_is_its_whole_docstring(run: Run) -> None:
    """Others speak of a verb with its first line; asked itself, it says everything."""
    assert "The pause outlives a restart." in run("pause", "--help").out
    assert "The pause outlives a restart." not in run("--help").out


def test_every_verb_exists_and_its_help_is_the_first_sentence_of_its_own() -> None:
    """The texts of `hilum --help` stand in main.py, so that nothing is imported for them; they must not go stale there."""
    for path, target, says in verbs(build()):
        module, _, name = target.partition(":")
        verb = getattr(importlib.import_module(module), name)
        assert (verb.__doc__ or "").startswith(says), path
        assert says.endswith("."), path


def test_the_version_is_that_of_the_distribution(run: Run) -> None:
    """`hilum --version` prints what pip knows."""
    from importlib.metadata import version

    assert run("--version").out.strip() == version("hilum")


@pytest.mark.parametrize("arguments", [["no-such-verb"], ["jobs", "show"], ["jobs", "show", "three"], ["config", "check", "--colour"]])
def test_a_usage_error_exits_2(arguments: list[str]) -> None:
    """Scripts tell a misspelt command from one that ran and found something bad."""
    done = subprocess.run([sys.executable, "-m", "node.cli.main", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_an_error_is_a_sentence_a_code_and_what_to_do(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No traceback for anything that hilum can name; exit code 1; nothing on stdout."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "hilum.yaml").write_text("node: {lisen: 127.0.0.1:1}\n")
    answer = run("config", "check")
    assert answer.code == 1
    assert answer.out == ""
    assert answer.err == (
        'hilum.yaml:1:8: node: unknown key "lisen"; did you mean "listen"? [HLM-2003]\n'
        "  what to do: Correct the key's spelling; docs/reference/configuration.md lists every key. Then run `hilum config check`.\n"
    )


def test_every_error_has_a_code_of_its_own_a_remedy_and_the_right_range() -> None:
    """The first digit says where it belongs: 1 intake, 2 configuration, 3 input, 4 engine and model, 5 results, 6 delivery, 7 journal,
    8 training, whose errors no job ever ends with."""
    from inference.errors import EngineError, InputError, ModelError
    from node.domain.errors import ConfigError, DeliveryError, JournalError, RefusedError, ResultError
    from training.errors import TrainingError

    roots = {
        "1": RefusedError,
        "2": ConfigError,
        "3": InputError,
        "5": ResultError,
        "6": DeliveryError,
        "7": JournalError,
        "8": TrainingError,
    }
    for code, error in every_error().items():
        assert "code" in vars(error), f"{error.__qualname__} has inherited the code {code}"
        assert error.remedy.endswith((".", "`")), code
        if error is not HilumError:
            root = roots.get(code[4], (EngineError, ModelError))
            # inference does not know the node's ConfigError and ResultError
            assert issubclass(error, root) or (code[4] in "25" and error.__module__.startswith("inference.")), code


def test_every_error_class_in_the_source_is_known_to_the_remedies() -> None:
    """A code that is journaled has a remedy, wherever its class stands: the source is searched for classes with a code."""
    written = {
        statement.value.value
        for package in ("node", "inference")
        for path in (ROOT / package).rglob("*.py")
        if "code = " in (source := path.read_text(encoding="utf-8"))
        for made in ast.walk(ast.parse(source))
        if isinstance(made, ast.ClassDef)
        for statement in made.body
        if isinstance(statement, ast.Assign)
        and [target.id for target in statement.targets if isinstance(target, ast.Name)] == ["code"]
        and isinstance(statement.value, ast.Constant)
    }
    assert written <= set(every_error())
    for code, error in every_error().items():
        if not error.__module__.startswith("training."):  # no job of a node ends with one of these
            assert remedy(code) == error.remedy, code
    assert "docs/reference/errors.md" in remedy("HLM-9999")
