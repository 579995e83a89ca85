"""What helps who types: completion in the shell, and `man hilum`."""

import re
import subprocess
from pathlib import Path

import pytest

from docs.generate import FOLDER
from node.cli.main import build
from tests.lab.needs import program

from .conftest import Run
from .test_main import verbs

_ASKS = """
source "$1"
COMP_WORDS=("${@:2}")
COMP_CWORD=$(( ${#COMP_WORDS[@]} - 1 ))
_hilum
printf '%s\\n' "${COMPREPLY[@]}"
"""


def _completed(script: Path, *words: str) -> set[str]:
    """What bash offers for the last word."""
    done = subprocess.run(["bash", "-c", _ASKS, "bash", script, "hilum", *words], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return {one.strip() for one in done.stdout.splitlines()}


def test_bash_completes_verbs_options_and_choices(run: Run, tmp_path: Path) -> None:
    """Asked as bash asks it."""
    script = tmp_path / "hilum"
    script.write_text(run("completion", "bash").out)
    assert "events" in _completed(script, "ev")
    assert {"list", "show", "retry"} <= _completed(script, "jobs", "")
    assert "--follow" in _completed(script, "events", "--f")
    assert "parked" in _completed(script, "jobs", "list", "--state", "par")


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_the_other_shells_are_told_of_every_verb(run: Run, shell: str) -> None:
    """Neither shell is among the laboratory's programs: that they read it is not tested."""
    text = run("completion", shell).out
    for path, _, _ in verbs(build()):
        assert re.search(rf"\b{re.escape(path[-1])}\b", text), path


def test_another_shell_is_refused(run: Run) -> None:
    """With those that there are."""
    said = run("completion", "tcsh")
    assert said.code == 2
    assert "bash" in said.err


@pytest.mark.peers
def test_the_manual_page_is_one() -> None:
    """groff finds no fault in it, and every verb has its section in what a reader sees."""
    done = subprocess.run(
        [program("groff", "groff"), "-man", "-ww", "-Tutf8", "-P-cbou", "-rLL=200n", FOLDER / "hilum.1"],
        capture_output=True,
        check=True,
        encoding="utf-8",
    )
    assert done.stderr == ""
    headings = {line.strip() for line in done.stdout.splitlines()}
    for path, _, _ in verbs(build()):
        assert " ".join(("hilum", *path)) in headings, path
