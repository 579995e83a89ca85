"""docs/tutorial.md executed as written, on the published head: its commands in their order, its YAML, and what it says that happens.

`make demo` of its first part is test_demo's. What stands in capitals is the reader's to fill in, and filled in here; the default port of
DICOM is taken by the node, which has a network of its own.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pydicom
import pytest

from inference.applications.mr_brain.application import APPLICATION
from node.cli.demo_needs import demo_series
from tests.lab.dcmtk import StoreScp
from tests.lab.loopback import outside
from tests.lab.node import CommandResult, models
from tests.lab.program import Program, wait_until
from tests.lab.series import another_study

pytestmark = [pytest.mark.slow, pytest.mark.peers, pytest.mark.registry, pytest.mark.timeout(900)]

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "tutorial.md"
HILUM = Path(sys.executable).with_name("hilum")
ARCHIVE_PORT = 4242
_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.DOTALL | re.MULTILINE)


class Reader:
    """Somebody who types what the page says, in a folder beside `var/demo`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.text = PAGE.read_text(encoding="utf-8")
        self.typed: list[str] = []

    def part(self, number: int) -> str:
        """A numbered part of the page."""
        (found,) = re.findall(rf"^## {number}\. .*?(?=^## |\Z)", self.text, re.DOTALL | re.MULTILINE)
        return str(found)

    def commands(self, number: int) -> list[str]:
        """The commands of a part, in order."""
        blocks = [block for language, block in _BLOCK.findall(self.part(number)) if language in ("", "sh", "console")]
        return [line for block in blocks for line in block.splitlines() if line]

    def yaml(self, number: int) -> list[str]:
        """The pieces of configuration of a part, in order."""
        return [block for language, block in _BLOCK.findall(self.part(number)) if language == "yaml"]

    def type(self, command: str, code: int = 0, **means: str) -> CommandResult:
        """Run one command of the page; words in `means` are put in for those of the page."""
        self.typed.append(command)
        words = [means.get(word.replace("-", "_"), word) for word in command.split()]
        assert words[0] == "hilum", command
        # into a pipe, of no width
        environment = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
        done = subprocess.run(
            [str(HILUM), *words[1:]], cwd=self.folder, env=environment, capture_output=True, text=True, check=False, timeout=300
        )
        assert done.returncode == code, (command, done.returncode, done.stdout, done.stderr)
        assert "Traceback" not in done.stderr
        return CommandResult(code=done.returncode, out=done.stdout, err=done.stderr)

    @contextmanager
    def serving(self) -> Iterator[Program]:
        """`hilum serve` in its own terminal, until its node is ready, and to its end."""
        self.typed.append("hilum serve")
        printed = self.folder.with_name("serve.jsonl")
        printed.unlink(missing_ok=True)
        running = Program([sys.executable, "-c", _IN_FOLDER, self.folder, HILUM, "serve"], printed.with_suffix(".log"), stdout=printed)
        try:
            wait_until(lambda: '"node.ready"' in printed.read_text() or not running.running, 240, "node.ready")
            assert running.running, running.said()
            assert json.loads(printed.read_text().splitlines()[0])["event"] == "node.ready", "one JSON line, the first"
            yield running
        finally:
            code = running.stop(120)
        assert code == 0, running.said()


_IN_FOLDER = "import os, sys; os.chdir(sys.argv[1]); os.execv(sys.argv[2], sys.argv[2:])"


def test_the_tutorial_does_what_it_says(tmp_path: Path) -> None:
    """A node is made and serves; a study goes through and is followed; an archive that is away gets its results once, when it comes; a
    series with a missing slice waits, and is parked with its reason; an edited route is asked what it would do."""
    with outside():
        files = demo_series(None, tmp_path / "var/demo/input", APPLICATION.sample)
    reader = Reader(tmp_path / "mynode")
    first = str(pydicom.dcmread(files[0], stop_before_pixels=True).StudyInstanceUID)

    activate, init, check, bring, doctor, serve = reader.commands(2)
    assert (activate, serve) == (". .venv/bin/activate", "hilum serve")
    made, entered = init.split(" && ")
    reader.folder = tmp_path
    reader.type(made)
    assert entered == "cd mynode"
    reader.folder = tmp_path / "mynode"
    assert "is good" in reader.type(check).out
    # the weights as an import left them on this machine
    shutil.copytree(models(("mr-brain",)), reader.folder / "models", dirs_exist_ok=True)
    reader.type(bring)
    reader.type(doctor)

    send, listed, explained, jobs, shown = reader.commands(3)
    with reader.serving():
        reader.type(send)
        shown_uid = _listed(reader, listed, first)
        assert "head MR" in reader.type(explained, STUDY_UID=shown_uid).out
        reader.type(jobs)
        passport = reader.type(shown, STUDY_UID=shown_uid).out
        assert "done" in reader.type(jobs).out
        for what in ("HILUM-SEND", "head MR", "deepbet", "SEG", "results"):
            assert what in passport, (what, passport)
    results = sorted((reader.folder / "var/results").rglob("*.dcm"))
    assert {pydicom.dcmread(path, stop_before_pixels=True).Modality for path in results} >= {"SEG", "SR"}

    peer, sink, where = reader.yaml(4)
    _edit(reader.folder / "hilum.yaml", peer, sink, where)
    archive = StoreScp(tmp_path / "archive", aet="PACS")
    archive.port = ARCHIVE_PORT
    given = tmp_path / "var/demo/input"
    second, _ = another_study(given, tmp_path / "second", "second")
    third, whole = another_study(given, tmp_path / "third", "third")
    whole[len(whole) // 2].unlink()
    with reader.serving() as node:
        reader.type("hilum send ../second --to HILUM@127.0.0.1:11112")
        # its log is read, and then it is asked: a question takes as long as an interpreter to start
        wait_until(lambda: "delivery.retry" in node.said(), 240, "the archive is away")
        wait_until(lambda: _deliveries(reader, second) == {"waiting"}, 240, "the analysis is done, the delivery waits", every_s=2)
        assert re.search(r"✗ +(peer pacs|sink archive)", reader.type(doctor, code=1).out), "it names the sink that is away"
        with archive:
            wait_until(lambda: "delivery.delivered" in node.said(), 300, "the results are sent")
            wait_until(lambda: _deliveries(reader, second) == {"delivered"}, 300, "the results arrive", every_s=2)
            kinds = sorted(str(pydicom.dcmread(path, stop_before_pixels=True).Modality) for path in archive.received())
            assert kinds == ["OT", "SEG", "SR"], "once"

        reader.type("hilum send ../third --to HILUM@127.0.0.1:11112")
        listed, complete, parked, one = reader.commands(4)
        wait_until(lambda: "incomplete" in reader.type(listed).out, 60, "it is told as incomplete", every_s=2)
        reader.type(complete, STUDY_UID=_listed(reader, listed, third))
        wait_until(lambda: "HLM-" in reader.type(parked).out, 60, "the job is parked with a code", every_s=2)
        (job,) = json.loads(reader.type(f"{parked} --json").out)
        said = reader.type(one, JOB=str(job["id"])).out
        assert job["code"] in said
        assert job["reason"] in said

    check, explain = reader.commands(5)
    reader.type(check)
    assert "head MR" in reader.type(explain.replace("/some/folder/with/a/study", str(given))).out


def _listed(reader: Reader, command: str, study: str) -> str:
    """The study's UID as the list shows it: where there is little room, its end."""
    wait_until(lambda: study[-15:] in reader.type(command).out, 60, "the study is listed", every_s=1)
    (found,) = [word for word in reader.type(command).out.split() if len(word) > 12 and study.endswith(word.removeprefix("…"))]
    return found


def _edit(file: Path, peer: str, sink: str, where: str) -> None:
    """Put the page's pieces where it says: beside `send` under `peers:`, under `sinks:`, and in the route."""
    text = file.read_text(encoding="utf-8")
    for after, piece in (("peers:\n", peer), ("sinks:\n", sink)):
        assert text.count(f"\n{after}") == 1
        text = text.replace(f"\n{after}", f"\n{after}{piece}")
    assert text.count("\n    send: [results]\n") == 1
    file.write_text(text.replace("    send: [results]\n", where), encoding="utf-8")


def _deliveries(reader: Reader, study: str) -> set[str]:
    """The states of a study's deliveries."""
    done = subprocess.run([str(HILUM), "studies", "show", study, "--json"], cwd=reader.folder, capture_output=True, text=True, check=False)
    return (
        {delivery["state"] for job in json.loads(done.stdout)["jobs"] for delivery in job["deliveries"]} if done.returncode == 0 else set()
    )
