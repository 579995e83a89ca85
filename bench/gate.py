"""What `hilum routes explain` says beforehand, against what becomes of it: every real series with every application that comes with hilum.

The files are explained by the command's own function, by a route for each application. Then they go the way of a job: they are read and
assembled, what the application accepts and what the judge says of it is asked, and the application analyses, up to the first network that
it calls, for whose weights nobody asks here. A comparison gets the series itself for a prior, and no registration is run.
"""

import os
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Never

from bench.rows import Row, say
from inference.applications import catalog
from inference.applications.accept import check
from inference.applications.analysing import analyse
from inference.applications.port import Accepts, Application, Takes
from inference.errors import InputError
from inference.imaging.judge.judging import Judge
from inference.imaging.subject import Parts
from inference.imaging.subjects import Assembled, subjects
from node.routing.gate import Fit

DATA = Path(os.environ.get("HILUM_DATA", Path(__file__).resolve().parents[1] / "../shared/data"))
MOST_OPEN = 0.10
"""Share of what runs of which it may be said that headers do not tell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """One series and one application: what was said, and what came; `refused` "" where it was taken."""

    where: str
    series_instance_uid: str
    application: str
    said: Fit
    reason: str
    refused: str

    @property
    def disagrees(self) -> bool:
        """Whether something else came than was said; what was left open may be either."""
        return self.said is not Fit.OPEN and (self.said is Fit.TAKES) != (not self.refused)


def measure() -> list[Row]:
    """All series of the real images; the pairs of which explaining and the way disagree are printed."""
    if not DATA.is_dir():
        say("the real images are not here (HILUM_DATA): nothing is explained")
        return []
    pairs = [pair for source in sources(DATA) for pair in pairs_of(source)]
    for pair in pairs:
        if pair.disagrees:
            say(f"{pair.where} × {pair.application}: said {pair.said.value} ({pair.reason}), came {pair.refused or 'a result'}")
    ran = [pair for pair in pairs if not pair.refused]
    left_open, wrong = [pair for pair in ran if pair.said is Fit.OPEN], [pair for pair in pairs if pair.disagrees]
    series = {(pair.where, pair.series_instance_uid) for pair in pairs}
    say(f"{len(series)} series, {len(pairs)} pairs, {len(ran)} run, {len(wrong)} disagreements")
    say(f"cannot be known from headers: {len(left_open)} of those that run, {sum(pair.said is Fit.OPEN for pair in pairs)} of all")
    share = len(left_open) / len(ran) if ran else 0.0
    return [
        Row(name="explained otherwise than it came", value=len(wrong), unit="pairs", goal="0", met=not wrong),
        Row(name="said to be unknown, of what runs", value=share, unit="", goal=f"at most {MOST_OPEN:g}", met=share <= MOST_OPEN),
        Row(name="pairs of series and application", value=len(pairs), unit="pairs"),
    ]


def sources(data: Path) -> Iterator[Path]:
    """Each zip, and each folder that holds DICOM files itself."""
    for path in sorted((data / "dicom").rglob("*")):
        if path.suffix == ".zip" or (path.is_dir() and any(_is_dicom(each) for each in path.iterdir())):
            yield path


def files_of(source: Path) -> Iterator[bytes]:
    """What is in a zip or a folder; of a folder the DICOM files in it, none further down."""
    if source.is_dir():
        yield from (path.read_bytes() for path in sorted(source.iterdir()) if _is_dicom(path))
    else:
        with zipfile.ZipFile(source) as archive:
            yield from (archive.read(name) for name in archive.namelist() if not name.endswith("/"))


def pairs_of(source: Path, applications: Sequence[str] = ()) -> Iterator[Pair]:
    """Every series of a zip or a folder with each of the applications; () are all that come with hilum and take one series."""
    from node.cli.routes import of_files
    from node.dicom.header import read_header
    from node.records.decisions import application_records

    # one over several series is given no pair: its route waits for the others
    names = applications or [name for name in catalog.names() if not catalog.load(name).roles]
    with tempfile.TemporaryDirectory(prefix="hilum-gate-") as name:
        folder = Path(name)
        files: dict[str, list[Path]] = {}
        for path in _unpacked(source, folder):
            try:
                files.setdefault(read_header(path)[0].series_instance_uid, []).append(path)
            except InputError:
                continue
        series = {uid: _Series(uid, paths, folder) for uid, paths in files.items()}
        explained, _ = of_files(_configuration(folder, names), folder / "files", None, None)
        for study in explained:
            for decision in study.decisions:
                uid = decision.series_instance_uid
                (one,) = application_records(decision)
                refused = _refused(catalog.load(one["application"]), series[uid])
                said = Fit(one["answer"])
                yield Pair(
                    where=source.name,
                    series_instance_uid=uid,
                    application=one["application"],
                    said=said,
                    reason=one["reason"],
                    refused=refused,
                )


class _Network(Exception):
    """The application calls its network."""


class _Series:
    """One series, read once in each way in which applications take it; a way that fails fails for the next one as well."""

    def __init__(self, uid: str, files: Sequence[Path], folder: Path) -> None:
        self._uid, self._files, self._folder = uid, files, folder
        self._read: dict[tuple[Takes, Parts], list[Assembled] | InputError] = {}

    def as_taken(self, accepts: Accepts) -> list[Assembled]:
        """To be looked at alone; InputError where it cannot be put together so."""
        way = accepts.takes, accepts.parts
        if way not in self._read:
            try:
                self._read[way] = self.anew(accepts)
            except InputError as refused:
                self._read[way] = refused
        if isinstance(found := self._read[way], InputError):
            raise found
        return found

    def anew(self, accepts: Accepts) -> list[Assembled]:
        """For who may change it."""
        prior = [] if accepts.takes is not Takes.PAIR else _as_prior(self._files, self._uid, self._folder / "prior")
        return subjects(accepts.takes, accepts.parts, [*self._files, *prior], self._uid, dict.fromkeys(prior, "prior"))


def _refused(application: Application, series: _Series) -> str:
    """Why the application is given no such series, or declines it before its first network; "" where it is given it."""
    accepts = application.accepts
    try:
        for made in series.as_taken(accepts):
            check(application, made.subject)
            Judge(application.expects, made.subject, made.headers).before()
        if accepts.takes is not Takes.PAIR:
            for made in series.anew(accepts):
                try:
                    analyse(application, made.subject, _network)
                except _Network:
                    continue
    except InputError as refused:
        return f"{refused} [{refused.code}]"
    return ""


class _Asked:
    """The network of which nobody has the weights."""

    def __call__(self, model: Any, tensors: Any, /) -> Never:
        raise _Network

    def at_once(self, model: Any) -> int:
        return 1

    def call_of(self, model: Any) -> None:
        return None


_network = _Asked()


def _as_prior(files: Sequence[Path], uid: str, folder: Path) -> list[Path]:
    """The same images as another series: under a UID that differs in its last digit, wherever it stands in the bytes."""
    folder.mkdir(exist_ok=True)
    for path in folder.iterdir():
        path.unlink()
    other = uid[:-1] + ("2" if uid[-1] != "2" else "3")
    made = [folder / path.name for path in files]
    for path, copy in zip(files, made, strict=True):
        copy.write_bytes(path.read_bytes().replace(uid.encode(), other.encode()))
    return made


def _configuration(folder: Path, names: Sequence[str]) -> Any:
    from node.assembly.configuration import load

    routes = "".join(f"  - {{name: {name}, run: [{name}], each: true, send: [copies]}}\n" for name in names)
    path = folder / "hilum.yaml"
    path.write_text(f"sinks: {{copies: {{kind: folder, path: copies}}}}\nroutes:\n{routes}", encoding="utf-8")
    return load(path)


def _unpacked(source: Path, folder: Path) -> Iterator[Path]:
    """The DICOM files of a zip or a folder, below `files`; of a folder those in it, none further down."""
    (folder / "files").mkdir()
    for number, content in enumerate(files_of(source)):
        if content[128:132] == b"DICM":
            (path := folder / "files" / f"{number:05}.dcm").write_bytes(content)
            yield path


def _is_dicom(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"
