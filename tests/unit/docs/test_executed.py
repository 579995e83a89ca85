"""How-tos executed as written: the commands of their blocks in order, over a hospital's day, and the lines that they promise.

Words that stand for a study, a job or a key are the reader's to fill in, and filled in here. Pages whose commands need a network, a
registry or hours of training are run by tests of their own (tests/package, tests/peers, tests/training), or by nobody yet.
"""

import io
import shlex
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.lab.howto import HowTo
from tests.unit.cli.conftest import Hospital, Run, empty, hospital, place, run
from tests.unit.console.test_pages import hold

__all__ = ["empty", "hospital", "place", "run"]
_PROMPTS = ("Password:", "Again:", "…")


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A page of docs/howto; `means` is what stands for the reader's own words, `ends` the exit codes that are not 0, `typed` what is typed
    at a prompt."""

    name: str
    means: Mapping[str, str] = field(default_factory=dict)
    ends: Mapping[str, int] = field(default_factory=dict)
    typed: Mapping[str, str] = field(default_factory=dict)


PAGES = (
    # of a node that does not run nobody takes up routes, and nothing was ever in force
    Page(
        name="change-routes.md",
        ends={"hilum config reload": 1, "hilum config diff 12 14": 1, "hilum config rollback 12": 1},
    ),
    Page(name="mend-a-parked-job.md", means={"JOB": "2"}),
    # each decides about what is held: the second finds nothing more
    Page(name="held-instances.md", means={"STUDY": "1.2.3"}, ends={"hilum studies refuse-held STUDY": 1}),
    Page(name="erase-a-patient.md", typed={"hilum patients erase --id 4711": "4711\n"}),
    Page(name="console.md", typed={"hilum console users add ada --role admin": "correct horse battery\n"}),
    # peers are away here: doctor says so
    Page(name="choose-what-a-sink-gets.md", ends={"hilum doctor": 1}),
    Page(name="storage-commitment.md", means={"JOB": "1"}, ends={"hilum doctor": 1}),
)


def _steps(page: HowTo) -> list[tuple[str, list[str]]]:
    """The commands of a page that are run, each with the lines that it says come then (`$ ` before each command, where it says any)."""
    steps: list[tuple[str, list[str]]] = []
    for block in page.all_blocks():
        if block.reason or not block.commands:
            continue
        commands, prompted = iter(block.commands), "$ " in block.text
        for line in filter(None, map(str.strip, block.text.splitlines())):
            if prompted and not line.startswith("$ "):
                steps[-1][1].append(line)
            else:
                steps.append((next(commands), []))
    return steps


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.name))
def test_a_page_does_what_it_says(page: Page, hospital: Hospital, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each command ends as the page has it, says what the page says that it says, and no code is told that nobody foresaw."""
    if page.name == "held-instances.md":
        hospital.receive("1.2.3", "pacs", "HILUM", (5, {"Modality": ("MR",), "SeriesDescription": ("T1 MPRAGE sag",)}))
        hold(hospital)
    told = HowTo(page.name)
    for command, lines in _steps(told):
        words = [page.means.get(word, word) for word in shlex.split(told.typed(command))]
        if words[0] != "hilum":
            subprocess.run(words, check=True)
            continue
        monkeypatch.setattr("sys.stdin", io.StringIO(next((typed for begins, typed in page.typed.items() if command == begins), "")))
        said = run(*words[1:])
        assert said.code == page.ends.get(command, 0), (command, said)
        assert "HLM-212" not in said.err, said.err
        for line in lines:
            if not line.startswith(_PROMPTS):
                assert line in said.out, (command, line, said.out)
    told.followed()


def test_pages_are_read_as_people_read_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page of which nothing was seen would pass, and so would one of which a command was left out."""
    (tmp_path / "page.md").write_text(
        "```\nhilum jobs list   # all\n```\n\n```console\n$ hilum x\nsays this\n$ hilum y\n```\n\n```yaml\nnode: {}\n```\n\n"
        "<!-- not run by a test: it takes an hour -->\n```\nhilum z\n```\n\n## Next\n\n```sh\nhilum v \\\n  --w\n```\n"
    )
    monkeypatch.setattr("tests.lab.howto.FOLDER", tmp_path)
    page = HowTo("page.md")
    assert _steps(page) == [("hilum jobs list", []), ("hilum x", ["says this"]), ("hilum y", []), ("hilum v \\", []), ("--w", [])]
    for command in ("hilum jobs list", "hilum x"):
        assert page.typed(command) == command
    with pytest.raises(AssertionError, match=r"nobody ran these commands of page\.md: \['hilum y', 'hilum v"):
        page.followed()
    page.typed(page.shell("Next")[0])
    page.followed("Next")
    with pytest.raises(AssertionError, match=r"\['hilum y'\]"):
        page.followed()
    with pytest.raises(AssertionError, match="has no command 'hilum u'"):
        page.typed("hilum u")
