"""The matrix of result kinds and validators: what each independent program says of each object, and the page that holds it.

`python -m tests.results.matrix` writes docs/reference/validators.md; test_matrix.py compares the page with what a run says.
"""

import importlib.metadata
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Self

from node.domain.profile import Kind
from node.results.port import Encoded
from tests.lab import adapters, validators
from tests.lab.allowlist import FALSE_ALARMS, FalseAlarm, judged
from tests.lab.needs import program, python_program
from tests.lab.validators import Verdict
from tests.results import read_back
from tests.results.kinds import ROWS, Encodings, Job, Row

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "validators.md"
RENEW = "python -m tests.results.matrix"

REPORTS = (Kind.SR, Kind.DETECTIONS, Kind.NARRATIVE, Kind.STATEMENT, Kind.WITHDRAWAL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Object:
    """One object that is looked at, with the job that it belongs to."""

    path: Path
    encoded: Encoded
    job: Job
    about: str

    def at(self, path: Path) -> Self:
        """The same object, as it stands in another file."""
        return replace(self, path=path)

    @property
    def together(self) -> Sequence[Path]:
        """The object with everything that belongs to its study."""
        own = self.job.paths[self.encoded.sop_instance_uid]
        return [self.path if path == own else path for path in self.job.together]

    @property
    def plain(self) -> Path:
        """The file as dicom3tools can read it."""
        return read_back.inflated(self.path)


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A validator. `looks` gives None where it has nothing to say of the kind; `good` is what a cell says when it found nothing."""

    name: str
    version: Callable[[], str]
    looks: Callable[[Object], Verdict | None]
    good: str = "0 errors"


def _said(command: Sequence[object], pattern: str) -> str:
    done = subprocess.run([str(word) for word in command], stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False)
    found = re.search(pattern, (done.stdout + done.stderr).decode(errors="replace"))
    assert found, f"{command[0]} does not say its version"
    return found[1]


def _dicom3tools(tool: Callable[[], Path]) -> Callable[[], str]:
    return lambda: _said([tool(), "-version"], r"snapshot\.(\d{8})")


def _pixelmed() -> str:
    return _said([program("dpkg-query", "dpkg"), "-W", "-f", "${Version}", "pixelmed-apps"], r"(\d{8})")


def _reports(look: Callable[[Path, str], Verdict]) -> Callable[[Object], Verdict | None]:
    return lambda one: look(one.path, one.about) if one.encoded.kind in REPORTS else None


def _reader(name: str, look: Callable[[Object], list[str] | None]) -> Callable[[Object], Verdict | None]:
    """A program that reads objects, as a validator: its faults are in what it read."""

    def judge(one: Object) -> Verdict | None:
        said = look(one)
        if said is None:
            return None
        faults, alarms = judged(name, said, one.about)
        return Verdict(faults=faults, alarms=alarms)

    return judge


def _entities(one: Object) -> Verdict:
    return validators.judge_entities([read_back.inflated(path) for path in one.together], newest=True)


def _slicer(one: Object) -> list[str] | None:
    if one.encoded.kind is Kind.SEG:
        return read_back.slicer_masks(one.path, one.job.case, one.encoded)
    if one.encoded.kind is Kind.MAP:
        return read_back.slicer_map(one.path, one.job.case)
    return None


def _viewer(one: Object) -> list[str] | None:
    if one.encoded.kind is Kind.SEG:
        return read_back.viewer_masks(one.path, one.job.case, one.encoded)
    if one.encoded.kind is Kind.MAP:
        return read_back.viewer_map(one.path, one.job.case)
    if one.encoded.kind is Kind.DETECTIONS:
        return read_back.viewer_regions(one.path, one.job.case)
    return None


COLUMNS: Sequence[Column] = (
    Column(
        name="dciodvfy",
        version=_dicom3tools(lambda: program("dciodvfy", "dicom3tools")),
        looks=lambda one: validators.judge_modules(one.plain, one.about),
    ),
    Column(
        name="dciodvfy",
        version=_dicom3tools(lambda: python_program("dciodvfy", "dicom3tools")),
        looks=lambda one: validators.judge_modules(one.plain, one.about, newest=True),
    ),
    Column(
        name="dcentvfy",
        version=_dicom3tools(lambda: python_program("dcentvfy", "dicom3tools")),
        looks=_entities,
    ),
    Column(
        name="dsrdump",
        version=lambda: _said([program("dsrdump", "dcmtk"), "--version"], r"v(\d+\.\d+\.\d+)"),
        looks=_reports(lambda path, about: validators.judge_tree(path, about)[0]),
    ),
    Column(name="PixelMed DicomSRValidator", version=_pixelmed, looks=_reports(validators.judge_templates)),
    Column(
        name="dcmqi",
        version=lambda: importlib.metadata.version("dcmqi"),
        looks=_reader("dcmqi", _slicer),
        good="0 errors, equal",
    ),
    Column(
        name="@cornerstonejs/adapters",
        version=lambda: adapters.VERSION,
        looks=_reader("adapters", _viewer),
        good="0 errors, equal",
    ),
)


@cache
def title(column: Column) -> str:
    """Name and version, for the head of the table."""
    return f"{column.name} {column.version()}"


def cell(column: Column, one: Object) -> tuple[str, list[str], list[FalseAlarm]]:
    """What the table says, the faults (none in a good object), and the false alarms passed over."""
    verdict = column.looks(one)
    if verdict is None:
        return "not for this kind", [], []
    if verdict.faults:
        return f"{len(verdict.faults)} errors", verdict.faults, verdict.alarms
    shorts = sorted({alarm.short for alarm in verdict.alarms})
    return ("0 errors, but: " + ", ".join(shorts)) if shorts else column.good, [], verdict.alarms


def look(row: Row, job: Job) -> Object:
    """The object of a row."""
    encoded = row.find(job)
    return Object(path=job.paths[encoded.sop_instance_uid], encoded=encoded, job=job, about=row.about)


def page(cells: Iterable[tuple[str, Sequence[str]]], alarms: Iterable[FalseAlarm]) -> str:
    """The page of the reference: one line a kind, then why each false alarm that was raised is one."""
    heads = [title(column) for column in COLUMNS]
    text = [
        "# Validators\n\n",
        f"<!-- Made by `{RENEW}`; tests/results/test_matrix.py compares it with what a run says. -->\n\n",
        "Programs that are no part of hilum, and what they say of one object of each kind, as the encoder made it in the last run of ",
        "the tests. *0 errors* are those beyond the false alarms, which are named and explained below; *equal* means that voxels or ",
        "regions are, one by one, where they were found; a dash, that the program has nothing to say of the kind.\n\n",
        f"| object | {' | '.join(heads)} |\n|---|{'---|' * len(heads)}\n",
    ]
    for name, said in cells:
        text.append(f"| {name} | {' | '.join('–' if one == 'not for this kind' else one for one in said)} |\n")
    text.append("\n## False alarms\n\n| name | validator | why it is one |\n|---|---|---|\n")
    raised = set(alarms)
    text += [f"| {alarm.short} | {alarm.validator} | {alarm.why} |\n" for alarm in FALSE_ALARMS if alarm in raised]
    return "".join(text)


def main() -> int:
    """Run everything and write the page; 1 when an object has a fault."""
    cells, alarms, faulty = [], [], False
    with tempfile.TemporaryDirectory() as folder:
        encodings = Encodings(Path(folder))
        for row in ROWS:
            one = look(row, encodings.of(row.case))
            said = [cell(column, one) for column in COLUMNS]
            for column, (_, faults, passed) in zip(COLUMNS, said, strict=True):
                alarms += passed
                for fault in faults:
                    faulty = True
                    print(f"{row.name}: {title(column)}: {fault}", file=sys.stderr)
            cells.append((row.name, [text for text, _, _ in said]))
    if not faulty:
        PAGE.write_text(page(cells, alarms), encoding="utf-8")
    return int(faulty)


if __name__ == "__main__":
    sys.exit(main())
