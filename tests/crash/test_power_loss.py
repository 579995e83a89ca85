"""Power is lost at many lines of what a disk saw, in every way; and receivers that flush too little, or too late, are found by it."""

import random
import shutil
from pathlib import Path

import pytest
from pydicom import dcmread

from tests.crash import power_loss
from tests.crash.after_power_loss import DiskAtPowerLoss, Loss
from tests.crash.counting import RESULTS
from tests.crash.disk import Kind, Lie, Line, Operation
from tests.crash.node_under_test import NodeUnderTest
from tests.crash.power_loss import Record
from tests.crash.rows import Outcome
from tests.crash.sender import Study

_TRIES = 5

pytestmark = [pytest.mark.slow, pytest.mark.peers, pytest.mark.timeout(600)]


def test_nothing_acknowledged_is_lost_with_the_power_and_a_node_starts_on_the_rest(tmp_path: Path) -> None:
    """A recorded run of two studies, the flushes of the first folders that their instances go into failing: hundreds of states of the disk
    are looked at, and a node is started on one in which all is gone that was not flushed when half of the answers had been given."""
    outcome, started = Outcome(name="looked at"), Outcome(name="started")
    draw = random.Random(4)
    with NodeUnderTest(tmp_path / "node", records=True) as under_test:
        under_test.disk.fail(Operation.FSYNC, count=2, path="/blobs/instances", process=" flow")
        recorded = power_loss.record(under_test, 2)
        assert under_test.disk.fired == 2
        archive = tmp_path / "archive"
        shutil.copytree(under_test.sink.folder, archive)
        power_loss.examine(recorded, outcome, draw, 60)
        # where an entry has just become a blob, in a folder that may be new
        settled = [at + 1 for at, line in enumerate(recorded.lines) if line.kind is Kind.RENAME and "/instances/" in line.other]
        for moment, _, tree in power_loss.after_power_losses(recorded, settled, [Loss.SCATTERED] * 8, draw):
            outcome.lost += power_loss.lost(recorded, moment, tree)[0]
        half = recorded.answered[len(recorded.answered) // 2][0] + 1
        ((at, _, tree),) = power_loss.after_power_losses(recorded, [half], [Loss.ALL], draw)
        power_loss.restart(under_test, recorded, at, tree, archive, started)
    assert outcome.lost == []
    assert outcome.acknowledged > 200
    assert started.good, started


def test_receivers_that_leave_out_a_flush_or_answer_before_it_are_found(tmp_path: Path) -> None:
    """The same receiver where its fdatasync does nothing, where its fsync of the folder does nothing, and where each flush is made after
    the answer: every time acknowledged instances are gone after a loss; with honest flushes none is."""
    found = {}
    with NodeUnderTest(tmp_path / "node", records=True) as under_test:
        for lie in (Lie(0), Lie.NO_FDATASYNC, Lie.NO_FSYNC, Lie.LATE):
            under_test.disk.break_receiver(lie)
            study = under_test.study()
            under_test.send_until_acknowledged(study)
            recorded = Record(root=under_test.disk.root, lines=list(under_test.disk.lines()), studies={study.uid: study})
            recorded.kept = [(at, uid) for at, uid in recorded.kept if uid in study.files]
            assert {uid for _, uid in recorded.kept} == set(study.files)
            outcome = Outcome(name=str(lie))
            power_loss.examine(recorded, outcome, random.Random(1), 2 * len(study.files))
            found[lie] = bool(outcome.lost)
        under_test.disk.break_receiver(Lie(0))
        for study in under_test.studies.values():
            under_test.until_done(study)
    assert found == {Lie(0): False, Lie.NO_FDATASYNC: True, Lie.NO_FSYNC: True, Lie.LATE: True}


def test_what_was_answered_before_its_flush_may_go_whole_and_is_never_torn(tmp_path: Path) -> None:
    """`durability: association`: what is owed may be gone with the power, and is in some of the states; what was flushed while its
    association stood, and what was released, is there in each; nothing torn is taken for whole. Where the flushes lie, that is found."""
    with NodeUnderTest(tmp_path / "node", durability="association", records=True) as under_test:
        recorded = power_loss.record(under_test, 1, owing=True)
        honest = Outcome(name="looked at")
        power_loss.examine(recorded, honest, random.Random(2), 30)
        # the first half was seen flushed, the second was released; between answer and flush each may go
        assert {uid for _, uid in recorded.kept} == {uid for _, uid in recorded.answered}
        at, uid = recorded.answered[0]
        assert uid not in recorded.acknowledged(at + 1)
        ((_, _, tree),) = power_loss.after_power_losses(recorded, [at + 1], [Loss.ALL], random.Random(0))
        recorded.kept.append((at, uid))
        assert power_loss.lost(recorded, at + 1, tree) == ({uid}, [])
        # the flush of the entries' names is refused once: a release that is answered all the same would say too much
        under_test.disk.fail(Operation.FLUSH, count=1, path="/blobs/inbox", process=" receive")
        study = under_test.study()
        under_test.send_until_acknowledged(study)
        assert under_test.disk.fired == 1
        under_test.until_done(study)
        under_test.kill()
        refused = Outcome(name="looked at")
        power_loss.examine(
            Record(root=under_test.disk.root, lines=list(under_test.disk.lines()), studies=under_test.studies, owing=True),
            refused,
            random.Random(3),
            60,
        )
        under_test.disk.break_receiver(Lie.NO_FDATASYNC)
        lying = Outcome(name="looked at")
        power_loss.examine(power_loss.record(under_test, 1, owing=True), lying, random.Random(2), 60)
    assert honest.good, honest
    assert refused.good, refused
    assert lying.lost
    assert lying.broken  # torn


def _released_nothing(under_test: NodeUnderTest) -> tuple[Study, Record]:
    """A study that is done, of which every instance was answered 0x0000 and the release by an abort; the node is dead."""
    for _ in range(_TRIES):
        study = under_test.study()
        under_test.disk.fail(Operation.FLUSH, count=1, path="/blobs/inbox", process=" receive")
        under_test.send_until_acknowledged(study)
        under_test.until_done(study)
        under_test.kill()
        recorded = Record(root=under_test.disk.root, lines=list(under_test.disk.lines()), studies=under_test.studies, owing=True)
        if not {uid for _, uid in recorded.kept} & set(study.files):
            return study, recorded  # where the machine is slow, the flush may fail before the last instance is there
        under_test.up()
    raise AssertionError(f"the flush failed at no release of {_TRIES}")


def test_a_result_of_a_transfer_that_broke_off_and_the_one_behind_it_are_one_set(tmp_path: Path) -> None:
    """`durability: association`, and the flush before a release fails: the node aborts, has all instances all the same, and its result
    remarks that the transfer broke off. The sender, which was released nothing, sends again after a power loss: the result of what is whole
    by then names the first as its predecessor. Where it does not, or the first is torn apart, a study is doubled, and that is kept."""
    started = Outcome(name="started")
    with NodeUnderTest(tmp_path / "node", durability="association", records=True) as under_test:
        study, recorded = _released_nothing(under_test)
        archive = tmp_path / "archive"
        shutil.copytree(under_test.sink.folder, archive)
        ((at, _, tree),) = power_loss.after_power_losses(recorded, [len(recorded.lines)], [Loss.ALL], random.Random(0))
        power_loss.restart(under_test, recorded, at, tree, archive, started)
        assert started.good, started
        assert len(under_test.result_uids(study)) == 2 * RESULTS

        archived = (dcmread(path) for copies in under_test.counting.results()[study.uid].values() for path in copies)
        reports = sorted((one for one in archived if one.Modality == "SR"), key=lambda one: one.ContentTime)
        (last,) = (path for path in under_test.sink.received() if under_test.counting.uid_of(path) == reports[-1].SOPInstanceUID)
        del reports[-1].PredecessorDocumentsSequence
        reports[-1].save_as(last)
        under_test.counting.forget()
        assert under_test.counting.count([study]).doubled == [study.uid]

        first = next(path for path in archive.iterdir() if under_test.counting.uid_of(path) == reports[0].SOPInstanceUID)
        first.unlink()
        power_loss.restart(under_test, recorded, at, tree, archive, started)
    assert started.doubled == [study.uid]
    (kept,) = map(Path, started.kept)
    assert reports[0].SOPInstanceUID not in {under_test.counting.uid_of(path) for path in (kept / "archive").iterdir()}
    assert (kept / "store" / "hilum.db").exists()


# ---- the model itself, against what the manual pages say


def _line(kind: Kind, inode: int = 0, path: str = "", other: str = "", offset: int = 0, data: bytes = b"") -> Line:
    return Line(kind, 1, inode, path, other, offset, len(data), data)


def _after(lines: list[Line], loss: Loss) -> dict[str, bytes | None]:
    disk = DiskAtPowerLoss(Path("/s"))
    for line in lines:
        disk.take(line)
    return disk.after(loss, random.Random(0))


_WRITTEN = [_line(Kind.MAKE, 2, "/s/d"), _line(Kind.BEGIN, 1, "/s", offset=1), _line(Kind.END, 1, offset=1)]
_WRITTEN += [_line(Kind.CREATE, 3, "/s/d/part"), _line(Kind.WRITE, 3, data=b"bytes")]
_FLUSH = [_line(Kind.BEGIN, 3, "/s/d/part", offset=2), _line(Kind.END, 3, offset=2)]
_RENAME = [_line(Kind.RENAME, 3, "/s/d/part", "/s/d/whole")]
_NAMED = [_line(Kind.BEGIN, 2, "/s/d", offset=3), _line(Kind.END, 2, offset=3)]


@pytest.mark.parametrize(
    ("lines", "loss", "left"),
    [
        (_WRITTEN, Loss.ALL, {"d": None}),
        (_WRITTEN, Loss.NONE, {"d": None, "d/part": b"bytes"}),
        (_WRITTEN + _FLUSH + _RENAME, Loss.ALL, {"d": None}),
        (_WRITTEN + _RENAME + _NAMED, Loss.ALL, {"d": None, "d/whole": b""}),
        (_WRITTEN + _FLUSH + _RENAME, Loss.DATA, {"d": None, "d/whole": b"bytes"}),
        (_WRITTEN + _FLUSH + _NAMED + _RENAME, Loss.ALL, {"d": None, "d/part": b"bytes"}),
        (_WRITTEN + _FLUSH + _RENAME + _NAMED, Loss.ALL, {"d": None, "d/whole": b"bytes"}),
        ([*_WRITTEN, _FLUSH[0], _line(Kind.FAILED, 3, offset=2), *_RENAME, *_NAMED, *_FLUSH], Loss.ALL, {"d": None, "d/whole": b""}),
        (
            [*_WRITTEN, _FLUSH[0], _line(Kind.WRITE, 3, offset=5, data=b"more"), _FLUSH[1], *_RENAME, *_NAMED],
            Loss.ALL,
            {"d": None, "d/whole": b"bytes"},
        ),
    ],
    ids=[
        "no flush",
        "SIGKILL",
        "data",
        "name",
        "names kept",
        "name before the rename",
        "both",
        "failed, then said ok",
        "written during the flush",
    ],
)
def test_what_is_durable(lines: list[Line], loss: Loss, left: dict[str, bytes | None]) -> None:
    """fsync(2): data by a flush of the file that began after the write, names by one of the folder, nothing by one that failed before."""
    assert _after(lines, loss) == left
