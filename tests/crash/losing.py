"""Power-loss rows: a run is recorded, the power fails at some line of the record, and a node is started on what the disk then holds."""

import random
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.crash.answers import answers, requests
from tests.crash.disk import Kind, Line, Operation
from tests.crash.house import House
from tests.crash.rows import Outcome
from tests.crash.sender import Study, digest_of_bytes
from tests.crash.wreck import Loss, Wreck, build

_CHANGES = frozenset(Kind) - {Kind.SEND}


@dataclass(slots=True)
class Record:
    """What a disk saw of one run.

    Attributes
    ----------
    answered
        Line number → SOP Instance UIDs that 0x0000 had been given for when that line was written.
    """

    root: Path
    lines: list[Line]
    studies: dict[str, Study]
    answered: list[tuple[int, str]] = field(default_factory=list)
    requested: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for at, line in enumerate(self.lines):
            if line.kind is Kind.SEND:
                self.answered += [(at, answer.sop_instance_uid) for answer in answers(line.data) if answer.status == 0x0000]
                for uid in requests(line.data):
                    self.requested.setdefault(uid, at)

    def acknowledged(self, at: int) -> set[str]:
        """What had been answered when the power failed before line `at`."""
        return {uid for line, uid in self.answered if line < at}

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


def record(house: House, studies: int, *, draw: random.Random | None = None) -> Record:
    """Let studies come in and be done, with some flushes failing where there is a draw; the node is dead afterwards."""
    sent = []
    for _ in range(studies):
        study = house.study()
        if draw is not None:
            stage = draw.choice(["receive", "flow", "work"])
            house.disk.fail(Operation.FLUSH, skip=draw.randrange(6), count=draw.randint(1, 2), process=f" {stage}")
        house.send_until_acknowledged(study)
        sent.append(study)
    for study in sent:
        house.until_done(study)
    house.disk.heal()
    house.kill()
    return Record(root=house.disk.root, lines=list(house.disk.lines()), studies=house.studies)


def wrecks(
    recorded: Record, moments: Sequence[int], losses: Sequence[Loss], draw: random.Random
) -> Iterator[tuple[int, Loss, dict[str, bytes | None]]]:
    """(line, loss, tree) for each moment and each way to lose what was not flushed."""
    wreck, taken = Wreck(recorded.root), 0
    for at in moments:
        for line in recorded.lines[taken:at]:
            wreck.take(line)
        taken = at
        for loss in losses:
            yield at, loss, wreck.after(loss, draw)


def lost(recorded: Record, at: int, tree: dict[str, bytes | None]) -> set[str]:
    """What was acknowledged before line `at` and is not, byte for byte, where a start looks for it: the inbox, or the instances."""
    acknowledged = recorded.acknowledged(at)
    if not acknowledged:
        return set()
    kept = {
        digest_of_bytes(content)
        for path, content in tree.items()
        if content is not None and path.startswith(("blobs/inbox/", "blobs/instances/")) and path.endswith(".dcm")
    }
    digests = recorded.digests()
    return {uid for uid in acknowledged if digests[uid] not in kept}


def restart(house: House, recorded: Record, at: int, tree: dict[str, bytes | None], archive: Path, outcome: Outcome) -> None:
    """Start the node on what is left, with the archive as it was, let senders send again what they were not told 0x0000 for, and count."""
    house.kill()
    house.sink.stop()
    shutil.rmtree(house.store)
    build(tree, house.store)
    acknowledged = recorded.acknowledged(at)
    _archive_of(house, recorded, at, archive)
    house.sink.start()
    for study in house.studies.values():
        study.acknowledged = acknowledged & set(study.files)
    house.up()
    for study in house.studies.values():
        house.send_until_acknowledged(study)
        house.until_done(study)
    outcome.add(house.audit())
    if (said := house.counting.integrity()) != "ok":
        outcome.broken.append(f"the journal is damaged: {said}")
    outcome.rounds += 1
    outcome.hit += 1


def _archive_of(house: House, recorded: Record, at: int, archive: Path) -> None:
    """What had begun to leave before the power failed may be in the archive; it is another machine and loses nothing."""
    house.counting.forget()
    for path in house.sink.received():
        path.unlink()
    for path in archive.iterdir():
        uid = house.counting.uid_of(path)
        if recorded.requested.get(uid, len(recorded.lines)) < at:
            shutil.copy(path, house.sink.folder / path.name)


def name_of(failing: bool) -> str:
    """What a row is called."""
    return f"power lost {'after flushes that failed' if failing else 'at any line of the record'}"


def play(folder: Path, rounds: int, seed: int, *, failing: bool, receiver: str = "") -> tuple[Outcome, Outcome]:
    """Record runs and lose power in them: (every state looked at, the states on which a node was started)."""
    name = name_of(failing)
    looked, started = Outcome(name=f"{name}: states looked at"), Outcome(name=f"{name}, a node started on the rest")
    draw = random.Random(f"{seed}/{failing}")
    with House(folder, records=True, receiver=receiver) as house:
        recorded = record(house, 3, draw=draw if failing else None)
        archive = folder / "archive-at-the-end"
        shutil.copytree(house.sink.folder, archive)
        examine(recorded, looked, draw, 10 * rounds)
        moments = recorded.moments(draw, rounds)
        chosen = [one for one in wrecks(recorded, moments, list(Loss), draw) if draw.random() < rounds / (len(moments) * len(Loss))]
        for at, loss, tree in chosen:
            try:
                restart(house, recorded, at, tree, archive, started)
            except AssertionError as wrong:
                started.rounds += 1
                started.broken.append(f"line {at}, {loss.name}, --seed {seed}: {wrong}")
    return looked, started


def examine(recorded: Record, outcome: Outcome, draw: random.Random, moments: int) -> None:
    """Look at what is left, without a start, at many moments in every way."""
    for at, loss, tree in wrecks(recorded, recorded.moments(draw, moments), list(Loss), draw):
        outcome.rounds += 1
        outcome.hit += 1
        outcome.acknowledged += len(recorded.acknowledged(at))
        outcome.lost += [f"{uid} at line {at} with {loss.name}" for uid in lost(recorded, at, tree)]
