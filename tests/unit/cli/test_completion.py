"""What helps who types: completion in the shell, and `man hilum`."""

import os
import select
import subprocess
import termios
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


@pytest.mark.peers
def test_fish_completes_verbs_options_and_choices(run: Run, tmp_path: Path) -> None:
    """Asked by fish's own `complete`; files are offered where a file is meant, and beside no verb."""
    fish = program("fish", "fish")
    (tmp_path / "hilum.fish").write_text(run("completion", "fish").out)
    (tmp_path / "evening.dcm").touch()

    def completed(line: str) -> set[str]:
        command = [str(fish), "--no-config", "--command", f"source hilum.fish; complete --do-complete '{line}'"]
        said = subprocess.run(command, cwd=tmp_path, env={"HOME": str(tmp_path)}, capture_output=True, text=True, check=True)
        assert said.stderr == ""
        return {one.partition("\t")[0] for one in said.stdout.splitlines()}

    assert completed("hilum ev") == {"evaluate", "events"}
    assert {path[0] for path, _, _ in verbs(build())} <= completed("hilum ")
    assert completed("hilum jobs ") == {"list", "show", "retry", "cancel", "resend"}
    assert "--follow" in completed("hilum events --f")
    assert completed("hilum jobs list --state par") == {"parked"}
    assert completed("hilum send ev") == {"evening.dcm"}


@pytest.mark.peers
def test_zsh_completes_verbs_options_and_choices(run: Run, tmp_path: Path) -> None:
    """Typed into a zsh at a terminal, with the key of completion after each."""
    zsh = program("zsh", "zsh")
    (tmp_path / "_hilum").write_text(run("completion", "zsh").out)
    (tmp_path / "evening.dcm").touch()
    ours, theirs = os.openpty()
    # as wide as no candidate is cut
    termios.tcsetwinsize(ours, (100, 200))
    variables = {"HOME": str(tmp_path), "TERM": "dumb", "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"}
    shell = subprocess.Popen(
        [zsh, "-f", "-i"], cwd=tmp_path, env=variables, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
    )
    os.close(theirs)

    def until(words: str, typed: str) -> str:
        """What is shown after the keys, up to these words."""
        os.write(ours, typed.encode())
        shown = ""
        while words not in shown:
            assert select.select([ours], [], [], 60)[0], shown
            shown += os.read(ours, 65536).decode()
        return shown

    def offered(line: str, awaited: str) -> str:
        """All that is shown for a line, which `awaited` is a part of; the line is taken back."""
        return until(awaited, f"{line}\t") + until("over", '\x15echo ov""er\n')

    try:
        until("ready", 'PS1=; fpath=($PWD $fpath); autoload -Uz compinit; compinit -u -D; setopt nobeep; echo rea""dy\n')
        offered("hilum even", "events")
        of_jobs = offered("hilum jobs ", "retry")
        assert all(verb in of_jobs for verb in ("list", "show", "cancel", "resend"))
        assert "evening" not in of_jobs
        offered("hilum send even", "evening")
        offered("hilum jobs list --state par", "parked")
    finally:
        shell.kill()
        shell.wait()
        os.close(ours)


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
