"""What is counted after a round: instances in the store, results in the archive, files that nothing refers to."""

import itertools
import sqlite3
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError

from inference.codes import VOLUME
from node.assembly import compose
from node.assembly.configuration import load
from node.journal.journal import Journal
from node.spool.commitment_inbox import FolderCommitmentInbox
from node.spool.shortfalls import FolderShortfalls
from node.upkeep.orphans import Orphans
from tests.crash.reading import Reading
from tests.crash.sender import Study, content_of
from tests.lab import report

RESULTS = 3
"""A segmentation, a report and a page."""
_INCOMPLETE = "The series may be incomplete"


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """What was counted: SOP Instance UIDs that were acknowledged and are lost, studies without exactly one set of results, orphan files."""

    acknowledged: int
    lost: list[str]
    doubled: list[str]
    orphaned: list[str]

    @property
    def good(self) -> bool:
        return not (self.lost or self.doubled or self.orphaned)


class Counting:
    """Looks at what is there past the node: at the files of `store` and of the `archive`, and at the journal."""

    def __init__(self, store: Path, archive: Path, journal_url: str, reading: Reading) -> None:
        self._reading = reading
        self._store = store
        self._archive = archive
        self._url = journal_url
        self._identities: dict[Path, tuple[str, str]] = {}
        self._judged: dict[str, int] = {}
        """Studies whose results were found right, by how many copies of them there were."""

    def forget(self) -> None:
        """The archive is another one from now on."""
        self._judged.clear()
        self._identities.clear()

    def count(self, studies: Collection[Study]) -> Count:
        """Count what is there now; the node is dead."""
        return Count(
            acknowledged=sum(len(study.acknowledged) for study in studies),
            lost=self._lost(studies),
            doubled=self._doubled(studies),
            orphaned=self._orphans(),
        )

    # ---- the archive
    def results(self) -> dict[str, dict[str, list[Path]]]:
        """Every copy that the archive ever got, by study and SOP Instance UID."""
        found: dict[str, dict[str, list[Path]]] = defaultdict(lambda: defaultdict(list))
        for path in sorted(self._archive.iterdir()):
            if (identity := self._identity(path)) is not None:
                found[identity[0]][identity[1]].append(path)
        return found

    def uid_of(self, path: Path) -> str:
        """The SOP Instance UID of a file of the archive."""
        identity = self._identity(path)
        return "" if identity is None else identity[1]

    def _identity(self, path: Path) -> tuple[str, str] | None:
        """Study and SOP Instance UID; None for a file that is only being written, or was when the archive was killed."""
        if path not in self._identities:
            try:
                dataset = dcmread(path, stop_before_pixels=True, specific_tags=["StudyInstanceUID", "SOPInstanceUID"])
                self._identities[path] = str(dataset.StudyInstanceUID), str(dataset.SOPInstanceUID)
            except (InvalidDicomError, AttributeError, EOFError, OSError):
                return None
        return self._identities[path]

    def _doubled(self, studies: Collection[Study]) -> list[str]:
        """Studies that have not exactly one set of results: one object of each kind, the same bytes in every copy, the right volume. A note
        that there was no result yet, of a part that was too little, is none: this archive takes no withdrawals, and keeps it. Neither is a
        set that says itself that its transfer had broken off, once the one behind it says that it takes its place."""
        doubled, results = [], self.results()
        for study in studies:
            objects = results[study.uid]
            copies = sum(map(len, objects.values()))
            if study.unacknowledged or self._judged.get(study.uid) == copies:
                continue
            if _is_one_set(study, objects):
                self._judged[study.uid] = copies
            else:
                doubled.append(study.uid)
        return doubled

    # ---- the store
    def _lost(self, studies: Collection[Study]) -> list[str]:
        """Instances that were acknowledged and are not there, byte for byte."""
        with closing(Journal.open(self._url)) as journal:
            lost = []
            for study in studies:
                rows = {row.sop_instance_uid: row for row in journal.instances.of_study(study.uid)}
                for uid in study.acknowledged:
                    row = rows.get(uid)
                    path = None if row is None else self._store / "blobs" / row.blob
                    if path is None or not path.exists() or self._reading.digest_of(path) != study.digests[uid]:
                        lost.append(uid)
            return lost

    def torn(self, studies: Collection[Study]) -> list[str]:
        """Instances that are journaled with other bytes than anybody sent."""
        with closing(Journal.open(self._url)) as journal:
            return [
                row.sop_instance_uid
                for study in studies
                for row in journal.instances.of_study(study.uid)
                if (path := self._store / "blobs" / row.blob).exists()  # else it is lost, if it was acknowledged
                and self._reading.digest_of(path) != study.digests[row.sop_instance_uid]
            ]

    def _orphans(self) -> list[str]:
        """Files that nothing refers to."""
        blobs = self._store / "blobs"
        files = [path for path in blobs.rglob("*") if path.is_file()]
        names = [path.relative_to(blobs).as_posix() for path in files]
        with closing(Journal.open(self._url)) as journal:
            kept = journal.retention.kept_blobs(names)
        # what a receiver owes waits for the journal, as what it acknowledged does
        owed = {name for name in names if name.startswith("owed/") and name.endswith((".refused", ".torn", "/reserve"))}
        ours = ("marks/", "sealed/")
        # what says whose store it is; with a second one two stores were mixed
        signs = {name for name in names if name.startswith("store/")}
        known = owed | (signs if len(signs) == 1 else set())
        return [name for name in names if not kept.get(name, False) and name not in known and not name.startswith(ours)]

    def sweep(self, configuration: Path) -> int:
        """The sweep for orphans as it will be in two days: nothing is too young for it any more. How many instances it took back."""
        config = load(configuration)
        blobs = compose.open_blobs(config)
        # whoever opens them sweeps what the dead left
        FolderCommitmentInbox(config.store.spooled)
        FolderShortfalls(config.store.spooled)
        with closing(compose.open_journal(config)) as journal:
            inbox = compose.open_inbox(config, blobs)
            orphans = Orphans(journal, inbox, blobs, lambda: datetime.now(UTC) + timedelta(days=2))
            while orphans.step():
                pass
            while gone := journal.retention.purged_blobs():
                for blob in gone.values():
                    blobs.delete(blob)
                journal.retention.swept(gone)
            return len(inbox.waiting(1000))

    def integrity(self) -> str:
        """What SQLite says of the journal's file."""
        with closing(sqlite3.connect(self._store / "hilum.db")) as database:
            return str(database.execute("PRAGMA integrity_check").fetchone()[0])


def _differ(copies: Sequence[Path]) -> bool:
    """Whether the archive got different bytes under one UID; the beginning of a copy is what an archive had written when it was killed."""
    contents = sorted((content_of(path) for path in copies), key=len)
    return not all(contents[-1].startswith(content) for content in contents)


def _is_note(copies: Sequence[Path]) -> bool:
    """Whether it says that there is no result: Summary of Analyses (111065, DCM), and no measurement."""
    dataset = dcmread(max(copies, key=lambda path: path.stat().st_size), stop_before_pixels=True)
    items = dataset.get("ContentSequence", ())
    return any(item.ConceptNameCodeSequence[0].CodeValue == "111065" for item in items if "ConceptNameCodeSequence" in item)


def _is_one_set(study: Study, objects: Mapping[str, list[Path]]) -> bool:
    """Whether one set of results stands: whatever else the archive got is a whole set as well, says that the series may be incomplete, and
    is named as predecessor by the report of the one that replaces it."""
    sets: dict[tuple[str, str], dict[str, Path]] = defaultdict(dict)
    for copies in objects.values():
        if _is_note(copies):
            continue
        if _differ(copies):
            return False
        whole = max(copies, key=lambda path: path.stat().st_size)
        dataset = dcmread(whole, stop_before_pixels=True, specific_tags=["Modality", "ContentDate", "ContentTime"])
        # when the series was analysed: of all objects of one analysis the same
        of_analysis = sets[str(dataset.ContentDate), str(dataset.ContentTime)]
        if of_analysis.setdefault(str(dataset.Modality), whole) != whole:
            return False
    ordered = [sets[analysed] for analysed in sorted(sets)]
    if not ordered or any(sorted(each) != ["OT", "SEG", "SR"] for each in ordered):
        return False
    reports = [each["SR"] for each in ordered]
    return all(_has_volume(one, study) for one in reports) and all(itertools.starmap(_replaces, itertools.pairwise(reports)))


def _has_volume(path: Path, study: Study) -> bool:
    numbers = report.numbers(path, VOLUME.value)
    return len(numbers) == 1 and numbers[0][1] == "cm3" and abs(numbers[0][0] - study.volume_cm3) < 1e-6 * max(1.0, study.volume_cm3)


def _replaces(before: Path, after: Path) -> bool:
    """Whether a report says that it may be of a part (`settle: {short: run}`), and the next one that it takes its place (PS3.3 C.17.2)."""
    replaced, dataset = dcmread(before), dcmread(after)
    named = {
        str(one.ReferencedSOPInstanceUID)
        for of_study in dataset.get("PredecessorDocumentsSequence", ())
        for series in of_study.ReferencedSeriesSequence
        for one in series.ReferencedSOPSequence
    }
    return replaced.SOPInstanceUID in named and any(_INCOMPLETE in text for text in _texts(replaced))


def _texts(item: Dataset) -> Iterator[str]:
    for child in item.get("ContentSequence") or ():
        if child.ValueType == "TEXT":
            yield str(child.TextValue)
        yield from _texts(child)
