"""Power-loss rows: a run is recorded, the power fails at some line of the record, and a node is started on what the disk then holds."""

import contextlib
import random
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from structlog.testing import capture_logs

from node.spool.inbox import FolderInbox
from tests.crash.after_power_loss import DiskAtPowerLoss, Loss, build
from tests.crash.answers import Reports, answers, requests
from tests.crash.commitment import ask
from tests.crash.disk import Kind, Line, Operation
from tests.crash.node_kinds import ASSOCIATION, node_of_kind
from tests.crash.node_under_test import PATIENCE_S, NodeUnderTest
from tests.crash.reading import Reading
from tests.crash.rows import Outcome
from tests.crash.sender import Study
from tests.lab.program import wait_until

_RELEASED = 0x06  # the type of an A-RELEASE-RP (PS3.8 9.3.7)
_MEMORY = Path("/dev/shm")
_MOST = 100_000
_INBOX = "/blobs/inbox"
_CHANGES = frozenset(Kind) - {Kind.SEND}


def _is_in_inbox(path: str) -> bool:
    return path.rpartition("/")[0].endswith(_INBOX)


@dataclass(slots=True)
class Record:
    """What a disk saw of one run.

    Attributes
    ----------
    owing
        With `durability: association`: what was answered may go until its association was released, or somebody has seen it flushed.
    seen
        (line, SOP Instance UIDs) of what somebody had seen among the entries when that line was written, its association still standing.
    answered
        (line, SOP Instance UID) of every 0x0000.
    kept
        The same of what must be there from that line on: answered, with `owing` released, or seen and named durably since; or reported as
        committed to.
    """

    root: Path
    lines: list[Line]
    studies: dict[str, Study]
    owing: bool = False
    seen: list[tuple[int, set[str]]] = field(default_factory=list)
    answered: list[tuple[int, str]] = field(default_factory=list)
    kept: list[tuple[int, str]] = field(default_factory=list)
    requested: dict[str, int] = field(default_factory=dict)
    reading: Reading = field(default_factory=Reading)

    def __post_init__(self) -> None:
        standing: dict[tuple[int, int], list[str]] = defaultdict(list)
        reports: dict[tuple[int, int], Reports] = defaultdict(Reports)
        for at, line in enumerate(self.lines):
            if line.kind is not Kind.SEND:
                continue
            association = (line.pid, line.inode)
            if line.data[0] == _RELEASED:
                self.kept += [(at, uid) for uid in standing.pop(association, ())]
                continue
            told = [answer.sop_instance_uid for answer in answers(line.data) if answer.status == 0x0000]
            standing[association] += told
            self.answered += [(at, uid) for uid in told]
            self.kept += [(at, uid) for uid in reports[association].take(line.data)]
            for uid in requests(line.data):
                self.requested.setdefault(uid, at)
        self.kept += [(self._named(at), uid) for at, uids in self.seen for uid in uids]
        if not self.owing:
            self.kept += self.answered

    def _named(self, seen: int) -> int:
        """The line at which a flush of the inbox's folder ended that began after the last entry had come by line `seen`."""
        last = max((at for at, line in enumerate(self.lines[:seen]) if line.kind is Kind.RENAME and _is_in_inbox(line.other)), default=0)
        begun = {line.offset for line in self.lines[last:] if line.kind is Kind.BEGIN and line.path.endswith(_INBOX)}
        ends = (at for at, line in enumerate(self.lines) if line.kind is Kind.END and line.offset in begun)
        return next(ends, len(self.lines))

    def acknowledged(self, at: int) -> set[str]:
        """What must be there when the power failed before line `at`."""
        return {uid for line, uid in self.kept if line < at}

    def digests(self) -> dict[str, str]:
        """SHA-256 of every data set that was sent, by SOP Instance UID."""
        return {uid: digest for study in self.studies.values() for uid, digest in study.digests.items()}

    def moments(self, draw: random.Random, count: int) -> list[int]:
        """Line numbers at which the power may fail: after some answers, after some changes of the disk, at the end."""
        after_answers = [at + 1 for at, _ in self.answered]
        after_changes = [at + 1 for at, line in enumerate(self.lines) if line.kind in _CHANGES]
        some = {
            *draw.sample(after_answers, min(len(after_answers), count // 2)),
            *draw.sample(after_changes, min(len(after_changes), count - count // 2)),
            len(self.lines),
        }
        return sorted(some)


def record(under_test: NodeUnderTest, studies: int, *, draw: random.Random | None = None, owing: bool = False) -> Record:
    """Let studies come in and be done, with some flushes failing where there is a draw; the node is dead afterwards.

    With `owing` the half of each is sent over an association that stands until somebody has seen it flushed.
    """
    sent, seen = [], []
    for _ in range(studies):
        study = under_test.study()
        if draw is not None:
            stage = draw.choice(["receive", "flow", "work"])
            under_test.disk.fail(Operation.FLUSH, skip=draw.randrange(6), count=draw.randint(1, 2), process=f" {stage}")
        if owing:
            under_test.send(study, most=len(study.files) // 2, before_release=lambda study=study: _until_flushed(under_test, study))  # type: ignore[misc]
            seen.append((sum(1 for _ in under_test.disk.lines()), set(study.acknowledged)))
        under_test.send_until_acknowledged(study)
        if under_test.modality is not None:
            ask(under_test, study, random.Random(study.uid))
        sent.append(study)
    for study in sent:
        under_test.until_done(study)
    under_test.disk.heal()
    under_test.kill()
    return Record(
        root=under_test.disk.root,
        lines=list(under_test.disk.lines()),
        studies=under_test.studies,
        owing=owing,
        seen=seen,
        reading=under_test.reading,
    )


def _until_flushed(under_test: NodeUnderTest, study: Study) -> None:
    """Wait until what was acknowledged is an entry: nobody need release an association for that."""
    blobs = under_test.store / "blobs"

    def flushed() -> bool:
        there = set()
        for path in [*(blobs / "inbox").glob("*.dcm"), *(blobs / "instances").rglob("*.dcm")]:
            with contextlib.suppress(FileNotFoundError):  # it went on meanwhile
                there.add(under_test.reading.digest_of(path))
        return all(study.digests[uid] in there for uid in study.acknowledged)

    wait_until(flushed, PATIENCE_S, "what was acknowledged is flushed while its association stands")


def after_power_losses(
    recorded: Record, moments: Sequence[int], losses: Sequence[Loss], draw: random.Random
) -> Iterator[tuple[int, Loss, dict[str, bytes | None]]]:
    """(line, loss, tree) for each moment and each way to lose what was not flushed."""
    disk, taken = DiskAtPowerLoss(recorded.root), 0
    for at in moments:
        for line in recorded.lines[taken:at]:
            disk.take(line)
        taken = at
        for loss in losses:
            yield at, loss, disk.after(loss, draw)


def lost(recorded: Record, at: int, tree: dict[str, bytes | None]) -> tuple[set[str], list[str]]:
    """What must be there at line `at` and is not, byte for byte, once the spool is opened as a start opens it; and what lies there though
    nobody sent it."""
    digests = recorded.digests()
    found = _opened({path: content for path, content in tree.items() if path.startswith(("blobs/inbox", "blobs/coming"))}, recorded.reading)
    found |= {
        path: recorded.reading.digest_of_bytes(content)
        for path, content in tree.items()
        if content is not None and path.startswith("blobs/instances/") and path.endswith(".dcm")
    }
    there, sent = set(found.values()), set(digests.values())
    return {uid for uid in recorded.acknowledged(at) if digests[uid] not in there}, [path for path, one in found.items() if one not in sent]


def _opened(tree: dict[str, bytes | None], reading: Reading) -> dict[str, str]:
    """The entries of a spool with these files after it was opened, and the digests of their data sets."""
    with tempfile.TemporaryDirectory(dir=_MEMORY if _MEMORY.is_dir() else None, prefix="hilum-spool-") as folder, capture_logs():
        build({"blobs": None, **tree}, Path(folder) / "store")
        inbox = FolderInbox(Path(folder) / "store" / "blobs", min_free_bytes=1)
        return {f"blobs/inbox/{entry.name}": reading.digest_of(entry) for entry in inbox.waiting(_MOST)}


def restart(
    under_test: NodeUnderTest,
    recorded: Record,
    at: int,
    tree: dict[str, bytes | None],
    archive: Path,
    outcome: Outcome,
    *,
    called: str = "",
) -> None:
    """Start the node on what is left, with the archive as it was, let senders send again what they were not told 0x0000 for, and count.

    What is wrong then is kept as it was found, in a folder of this round alone; `called` is what an operator needs to play it again.
    """
    wrong_before = outcome.wrong
    try:
        _restart(under_test, recorded, at, tree, archive, outcome)
        outcome.hit += 1
    except AssertionError as wrong:
        outcome.broken.append(f"line {at}, {called}: {wrong}")
    outcome.rounds += 1
    if outcome.wrong > wrong_before:
        outcome.kept.append(str(_keep(under_test, tree, under_test.folder / f"wrong-{outcome.rounds}-line-{at}")))


def _restart(under_test: NodeUnderTest, recorded: Record, at: int, tree: dict[str, bytes | None], archive: Path, outcome: Outcome) -> None:
    under_test.kill()
    under_test.sink.stop()
    shutil.rmtree(under_test.store)
    build(tree, under_test.store)
    acknowledged = recorded.acknowledged(at)
    _archive_of(under_test, recorded, at, archive)
    under_test.sink.start()
    if under_test.archive is not None:
        under_test.archive.committed.clear()  # it may have said so after this moment
    for study in under_test.studies.values():
        study.acknowledged = acknowledged & set(study.files)
    # as it came up, before anything is sent again
    under_test.up()
    under_test.until_empty_inbox()
    if torn := under_test.counting.torn(under_test.studies.values()):
        outcome.broken.append(f"torn instances are presented as whole: {torn}")
    for study in under_test.studies.values():
        under_test.send_until_acknowledged(study)
        under_test.until_done(study)
    outcome.add(under_test.audit())
    if (said := under_test.counting.integrity()) != "ok":
        outcome.broken.append(f"the journal is damaged: {said}")


def _keep(under_test: NodeUnderTest, tree: dict[str, bytes | None], folder: Path) -> Path:
    """Copy what the next round overwrites to `folder`: the disk after the loss, the store as the node left it, the archive, the events."""
    under_test.kill()
    build(tree, folder / "after-the-loss")
    shutil.copytree(under_test.store, folder / "store", ignore=shutil.ignore_patterns("*.bell"))  # named pipes
    shutil.copytree(under_test.sink.folder, folder / "archive")
    shutil.copy(under_test.node.log, folder)
    return folder


def _archive_of(under_test: NodeUnderTest, recorded: Record, at: int, archive: Path) -> None:
    """What had begun to leave before the power failed may be in the archive; it is another machine and loses nothing."""
    under_test.counting.forget()
    for path in under_test.sink.received():
        path.unlink()
    for path in archive.iterdir():
        uid = under_test.counting.uid_of(path)
        if recorded.requested.get(uid, len(recorded.lines)) < at:
            shutil.copy(path, under_test.sink.folder / path.name)


def name_of(failing: bool) -> str:
    """What a row is called."""
    return f"power lost {'after flushes that failed' if failing else 'at any line of the record'}"


def play(folder: Path, kind: str, rounds: int, seed: int, *, failing: bool) -> tuple[Outcome, Outcome]:
    """Record runs and lose power in them: (every state looked at, the states on which a node was started)."""
    name, behind = name_of(failing), f" ({kind})" if kind else ""
    looked, started = Outcome(name=f"{name}: states looked at{behind}"), Outcome(name=f"{name}, a node started on the rest{behind}")
    draw = random.Random(f"{seed}/{kind}/{failing}")
    with node_of_kind(kind, folder, records=True) as under_test:
        recorded = record(under_test, 3, draw=draw if failing else None, owing=kind.endswith(ASSOCIATION))
        archive = folder / "archive-at-the-end"
        shutil.copytree(under_test.sink.folder, archive)
        examine(recorded, looked, draw, 10 * rounds)
        chosen = [(at, draw.choice(list(Loss))) for at in recorded.moments(draw, rounds)][:rounds]
        for at, loss in chosen:
            ((_, _, tree),) = after_power_losses(recorded, [at], [loss], draw)
            restart(under_test, recorded, at, tree, archive, started, called=f"{loss.name}, --seed {seed}")
    return looked, started


def examine(recorded: Record, outcome: Outcome, draw: random.Random, moments: int) -> None:
    """Look at what is left, without a start, at many moments in every way."""
    for at, loss, tree in after_power_losses(recorded, recorded.moments(draw, moments), list(Loss), draw):
        outcome.rounds += 1
        outcome.hit += 1
        outcome.acknowledged += len(recorded.acknowledged(at))
        gone, torn = lost(recorded, at, tree)
        outcome.lost += [f"{uid} at line {at} with {loss.name}" for uid in gone]
        outcome.broken += [f"torn: {path} at line {at} with {loss.name}" for path in torn]
