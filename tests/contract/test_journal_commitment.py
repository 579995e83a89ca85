"""The contract of node.journal.commitments, on every database: what was asked, what reports mean, and what was promised."""

from datetime import datetime, timedelta

import pytest

from node.domain.commitment import (
    Applied,
    AskedCommitment,
    Due,
    FailureReason,
    InstanceReference,
    Report,
    Request,
    RequestState,
    TransactionState,
)
from node.domain.instance import Instance
from node.domain.job import Delivery
from node.domain.state import DeliveryState, JobState
from node.journal.journal import Journal
from tests.unit.journal.story import START, Story

SECOND = timedelta(seconds=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
ROUNDS = 3
CODE = "HLM-6184"


class Committing:
    """A delivery whose sink is asked to commit."""

    def __init__(self, story: Story) -> None:
        assert isinstance(story.journal, Journal)
        self.story = story
        self.journal: Journal = story.journal
        self.job = story.encoded()
        self.delivered()

    def delivered(self) -> None:
        """Every object that is pending was accepted."""
        story, delivery = self.story, self.story.take()
        assert delivery.lease is not None
        for one in story.journal.deliveries.undelivered(delivery.id):
            assert story.journal.deliveries.receipt(delivery.id, delivery.lease, one.id, True, 0, "", story.now)
        assert story.journal.deliveries.delivered(delivery.id, delivery.lease, story.now, commits=True)

    @property
    def delivery(self) -> Delivery:
        """As it stands."""
        return self.story.journal.deliveries.find(job=self.job)[0]

    @property
    def uids(self) -> tuple[str, ...]:
        """Of the objects: the mask, the report."""
        return tuple(one.sop_instance_uid for one in self.story.journal.results.of_job(self.job))

    def due(self) -> Due:
        """What is to be asked now."""
        (due,) = self.journal.commitments.due(self.story.now)
        return due

    def ask(self, uid: str, wait: timedelta = HOUR) -> AskedCommitment | None:
        """Begin a transaction that the peer takes."""
        asked = self.journal.commitments.begin(self.due(), uid, "pacs", self.story.now + wait, self.story.now)
        self.journal.commitments.accepted(uid, self.story.now + wait, self.story.now)
        return asked

    def report(self, uid: str, *committed: str, failed: dict[str, int] | None = None, peer: str = "pacs") -> Applied:
        """A report comes and is taken."""
        said = Report(peer=peer, transaction_uid=uid, committed=committed, failed=tuple((failed or {}).items()), received_at=self.story.now)
        return self.journal.commitments.apply(said, self.story.now + SECOND, ROUNDS, CODE, self.story.now)

    def state(self) -> tuple[DeliveryState, JobState]:
        """Of the delivery, and of its job."""
        return self.delivery.state, self.story.journal.jobs.get(self.job).state


@pytest.fixture
def committing(story: Story) -> Committing:
    """One delivery of two objects."""
    return Committing(story)


# ---- what this node asks


def test_what_is_delivered_waits_until_its_sink_has_committed_to_all(committing: Committing) -> None:
    """DELIVERED, the job not done, nothing purged; the report that names every object ends both."""
    story, (seg, sr) = committing.story, committing.uids
    assert committing.state() == (DeliveryState.DELIVERED, JobState.ENCODED)
    assert story.journal.retention.purgeable(START + DAY, parked=True) == []
    assert story.journal.retention.purge_results(START + DAY, START + DAY) == 0
    asked = committing.ask("1.2.1")
    assert asked is not None
    assert [one.sop_instance_uid for one in asked.references] == [seg, sr]
    assert {one.sop_class_uid for one in asked.references} == {"1.2.840.10008.5.1.4.1.1.66.4"}
    assert committing.report("1.2.1", sr, seg) is Applied.COMMITTED
    assert committing.state() == (DeliveryState.COMMITTED, JobState.DONE)
    assert len(story.journal.retention.purgeable(START + DAY)) == 3


def test_a_transaction_is_durable_before_it_is_sent_and_nobody_asks_beside_it(committing: Committing) -> None:
    """Killed between the two, the transaction is there; a report on it counts; it is asked again when its time is over, not before."""
    due = committing.due()
    story = committing.story
    assert committing.journal.commitments.begin(due, "1.2.1", "pacs", START + HOUR, START) is not None
    assert committing.journal.commitments.due(START + HOUR - SECOND) == []
    assert committing.journal.commitments.begin(due, "1.2.2", "pacs", START + HOUR, START) is None, "another process saw the same"
    assert [one.transaction_uid for one in committing.journal.commitments.transactions(committing.delivery.id)] == ["1.2.1"]
    story.now = START + HOUR
    assert committing.due().asked == 1
    assert committing.report("1.2.1", *committing.uids) is Applied.COMMITTED


def test_an_old_transaction_stays_valid(committing: Committing) -> None:
    """Asked again under a new transaction, the late report on the old one ends the delivery; the second report changes nothing."""
    committing.ask("1.2.1", wait=SECOND)
    committing.story.now += SECOND
    committing.ask("1.2.2")
    assert committing.report("1.2.1", *committing.uids) is Applied.COMMITTED
    assert committing.report("1.2.2", *committing.uids) is Applied.LATE
    assert committing.report("1.2.2", *committing.uids) is Applied.DUPLICATE
    assert committing.report("1.2.2", failed=dict.fromkeys(committing.uids, 0x0112)) is Applied.DUPLICATE
    assert committing.state() == (DeliveryState.COMMITTED, JobState.DONE)


def test_what_is_unknown_and_who_is_a_stranger_change_nothing(committing: Committing) -> None:
    """A transaction that nobody began, and one that another peer speaks of."""
    committing.ask("1.2.1")
    before = committing.journal.commitments.transactions(committing.delivery.id)
    assert committing.report("1.2.999", *committing.uids) is Applied.UNKNOWN
    assert committing.report("1.2.1", *committing.uids, peer="other") is Applied.STRANGER
    assert committing.report("1.2.1", failed=dict.fromkeys(committing.uids, 0x0122), peer="other") is Applied.STRANGER
    assert committing.journal.commitments.transactions(committing.delivery.id) == before
    assert committing.state() == (DeliveryState.DELIVERED, JobState.ENCODED)
    assert committing.report("1.2.1", *committing.uids) is Applied.COMMITTED


@pytest.mark.parametrize(
    "reason", [FailureReason.NO_SUCH_INSTANCE, FailureReason.PROCESSING_FAILURE, FailureReason.RESOURCE_LIMITATION, 0xC123]
)
def test_what_failed_is_sent_again_and_nothing_else(committing: Committing, reason: int) -> None:
    """Its receipt is overtaken; what was committed to is neither sent nor asked for again."""
    story, (seg, sr) = committing.story, committing.uids
    committing.ask("1.2.1")
    assert committing.report("1.2.1", seg, failed={sr: reason}) is Applied.AGAIN
    assert committing.state() == (DeliveryState.WAITING, JobState.ENCODED)
    assert (committing.delivery.code, f"0x{reason:04X}" in str(committing.delivery.reason)) == (CODE, True)
    assert [one.sop_instance_uid for one in story.journal.deliveries.undelivered(committing.delivery.id)] == [sr]
    story.now += SECOND
    committing.delivered()
    asked = committing.ask("1.2.2")
    assert asked is not None
    assert [one.sop_instance_uid for one in asked.references] == [sr]
    assert committing.report("1.2.2", sr) is Applied.COMMITTED


def test_sending_again_is_bounded(committing: Committing) -> None:
    """An archive that loses the same object again and again is a person's affair; the operator's resend begins anew."""
    story, (seg, sr) = committing.story, committing.uids
    for number in range(ROUNDS):
        committing.ask(f"1.2.{number}")
        assert committing.report(f"1.2.{number}", seg, failed={sr: 0x0112}) is Applied.AGAIN
        story.now += SECOND
        committing.delivered()
    committing.ask("1.2.100")
    assert committing.report("1.2.100", failed={sr: 0x0112}) is Applied.PARKED
    assert committing.state() == (DeliveryState.PARKED, JobState.ENCODED)
    assert committing.delivery.code == CODE
    story.journal.deliveries.resend(committing.job, "archive", story.now)
    committing.delivered()
    committing.ask("1.2.101")
    assert committing.report("1.2.101", failed={seg: 0x0112}) is Applied.AGAIN, "a new round"


@pytest.mark.parametrize("reason", [FailureReason.CLASS_INSTANCE_CONFLICT, FailureReason.CLASS_NOT_SUPPORTED])
def test_what_sending_cannot_cure_is_parked(committing: Committing, reason: int) -> None:
    """The same bytes would fail again."""
    seg, sr = committing.uids
    committing.ask("1.2.1")
    assert committing.report("1.2.1", seg, failed={sr: reason}) is Applied.PARKED
    assert committing.delivery.state is DeliveryState.PARKED


def test_a_duplicate_transaction_is_asked_again_and_nothing_is_sent(committing: Committing) -> None:
    """0131 says nothing of the objects."""
    committing.ask("1.2.1")
    assert committing.report("1.2.1", failed=dict.fromkeys(committing.uids, 0x0131)) is Applied.WAITS
    assert committing.story.journal.deliveries.undelivered(committing.delivery.id) == []
    committing.story.now += SECOND
    committing.ask("1.2.2")
    assert committing.report("1.2.2", *committing.uids) is Applied.COMMITTED


def test_what_a_report_does_not_speak_of_is_asked_for_again(committing: Committing) -> None:
    """`All committed` that names one of two objects commits to one; objects that nobody asked for count for nothing."""
    seg, sr = committing.uids
    committing.ask("1.2.1")
    assert committing.report("1.2.1", seg, "1.9.9.9") is Applied.WAITS
    assert committing.state() == (DeliveryState.DELIVERED, JobState.ENCODED)
    committing.story.now += SECOND
    asked = committing.ask("1.2.2")
    assert asked is not None
    assert [one.sop_instance_uid for one in asked.references] == [sr]
    assert committing.report("1.2.2", sr) is Applied.COMMITTED


def test_an_object_in_both_lists_has_failed(committing: Committing) -> None:
    """Whoever contradicts himself has not committed."""
    seg, sr = committing.uids
    committing.ask("1.2.1")
    assert committing.report("1.2.1", seg, sr, failed={sr: 0x0112}) is Applied.AGAIN


def test_a_report_on_an_earlier_round_changes_nothing(committing: Committing) -> None:
    """The operator sent everything again; the old report says nothing of what was sent since."""
    committing.ask("1.2.1")
    committing.story.journal.deliveries.resend(committing.job, "archive", committing.story.now)
    assert committing.report("1.2.1", *committing.uids) is Applied.LATE
    assert committing.state() == (DeliveryState.WAITING, JobState.ENCODED)
    committing.delivered()
    assert committing.state() == (DeliveryState.DELIVERED, JobState.ENCODED)


def test_a_late_success_counts_while_its_object_is_sent_again(committing: Committing) -> None:
    """Two transactions speak of one object, the failure first: it is sent again, and what was committed to meanwhile need not be asked."""
    seg, sr = committing.uids
    committing.ask("1.2.1", wait=SECOND)
    committing.story.now += SECOND
    committing.ask("1.2.2")
    assert committing.report("1.2.1", seg, failed={sr: 0x0112}) is Applied.AGAIN
    assert committing.report("1.2.2", seg, sr) is Applied.LATE
    committing.story.now += SECOND
    committing.delivered()
    assert committing.state() == (DeliveryState.COMMITTED, JobState.DONE)


def test_a_refusal_is_told_and_tried_again(committing: Committing) -> None:
    """The delivery says why; the next transaction is another one; a report on the refused one would still count."""
    due = committing.due()
    now = committing.story.now
    assert committing.journal.commitments.begin(due, "1.2.1", "pacs", now + HOUR, now) is not None
    committing.journal.commitments.refused("1.2.1", "HLM-6051", "away", now + SECOND, now)
    assert (committing.delivery.code, committing.delivery.reason) == ("HLM-6051", "away")
    assert committing.journal.commitments.due(now) == []
    committing.story.now += SECOND
    assert (committing.due().asked, committing.due().refused) == (0, 1)
    committing.ask("1.2.2")
    assert (committing.delivery.code, committing.delivery.reason) == (None, None)
    states = [one.state for one in committing.journal.commitments.transactions(committing.delivery.id)]
    assert states == [TransactionState.REFUSED, TransactionState.ACCEPTED]
    assert committing.report("1.2.1", *committing.uids) is Applied.COMMITTED, "it had arrived after all"


def test_an_answer_that_comes_after_the_report_changes_nothing(committing: Committing) -> None:
    """The report was faster than the response to the N-ACTION, or than the process that was killed and tells it now."""
    due, now = committing.due(), committing.story.now
    committing.journal.commitments.begin(due, "1.2.1", "pacs", now + HOUR, now)
    assert committing.report("1.2.1", *committing.uids) is Applied.COMMITTED
    committing.journal.commitments.accepted("1.2.1", now + HOUR, now)
    committing.journal.commitments.refused("1.2.1", "HLM-6051", "away", now, now)
    assert committing.state() == (DeliveryState.COMMITTED, JobState.DONE)
    assert committing.journal.commitments.transactions(committing.delivery.id)[0].state is TransactionState.REPORTED


def test_parking_and_doing_without(story: Story) -> None:
    """A peer that never commits: parked where it is required, over where it is not; each once."""
    committing = Committing(story)
    number = committing.delivery.id
    assert committing.journal.commitments.park(number, "HLM-6151", "it has no such service", story.now)
    assert not committing.journal.commitments.park(number, "HLM-6151", "it has no such service", story.now)
    assert not committing.journal.commitments.leave(number, "it has no such service", story.now)
    story.journal.deliveries.resend(committing.job, "archive", story.now)
    committing.delivered()
    assert committing.journal.commitments.leave(number, "it has no such service", story.now)
    assert committing.state() == (DeliveryState.DELIVERED, JobState.DONE)


def test_a_paused_sink_is_not_asked(committing: Committing) -> None:
    """What the operator paused rests."""
    from node.journal.port import Pausable

    committing.story.journal.pauses.add(Pausable.SINK, "archive", START)
    assert committing.journal.commitments.due(START) == []
    committing.story.journal.pauses.remove(Pausable.SINK, "archive")
    assert committing.journal.commitments.due(START, busy_sinks=["archive"]) == []
    assert committing.due().sink == "archive"


def test_without_commitment_a_delivery_ends_at_once(story: Story) -> None:
    """As ever."""
    job = story.encoded()
    story.deliver()
    assert story.journal.jobs.get(job).state is JobState.DONE


def test_an_older_copy_of_the_journal_asks_anew(committing: Committing) -> None:
    """Whatever was answered since is not in it: what waited for a report is due now, with all of its sink's patience; a report on the
    transaction that it knows still counts."""
    committing.ask("1.2.1", wait=DAY)
    committing.story.now += 5 * DAY
    assert committing.journal.commitments.ask_anew(committing.story.now) == 1
    assert committing.due().waiting_since == committing.story.now
    committing.ask("1.2.2")
    assert committing.report("1.2.1", *committing.uids) is Applied.COMMITTED
    assert committing.journal.commitments.ask_anew(committing.story.now) == 0


def test_a_clock_that_went_back_puts_off_no_question_and_no_answer(committing: Committing, story: Story) -> None:
    """By a year: sinks are asked and peers are answered now; what waits for as long as it is meant to goes on waiting."""
    bounds = {"arrivals": HOUR, "held": HOUR, "retries": HOUR, "lease": HOUR}
    committing.ask("1.2.1")
    committing.journal.commitment_requests.receive(_request("1.1.1.1", at=story.now), story.now)
    assert isinstance(story.journal, Journal)
    assert story.journal.processes.bring_near(story.now, **bounds) == 0
    story.now -= timedelta(days=365)
    assert committing.journal.commitment_requests.due(story.now) == []
    assert story.journal.processes.bring_near(story.now, **bounds) >= 2
    assert committing.due().delivery == committing.delivery.id
    assert [one.request.received_at for one in committing.journal.commitment_requests.due(story.now)] == [story.now]


# ---- what peers ask


def _request(*uids: str, transaction: str = "1.3.1", peer: str = "ct1", at: datetime = START) -> Request:
    references = tuple(InstanceReference(sop_class_uid="1.2.840.10008.5.1.4.1.1.2", sop_instance_uid=uid) for uid in uids)
    return Request(peer=peer, transaction_uid=transaction, references=references, received_at=at)


@pytest.fixture
def promising(story: Story) -> Journal:
    """A journal with three instances."""
    story.receive(1, 2, 3)
    assert isinstance(story.journal, Journal)
    return story.journal


def _rows(journal: Journal) -> list[Instance]:
    return journal.instances.by_uid("1.1.1.1", "1.1.1.2", "1.1.1.3")


def test_a_request_is_judged_then_reported(promising: Journal) -> None:
    """Received, judged with one reason a reference, reported; each state is durable, and its work is due until it is done."""
    promising.commitment_requests.receive(_request("1.1.1.1", "1.1.1.9"), START)
    (pending,) = promising.commitment_requests.due(START)
    assert (pending.state, pending.request) == (RequestState.RECEIVED, _request("1.1.1.1", "1.1.1.9"))
    assert promising.commitment_requests.judge(pending.id, [0, 0x0112], _rows(promising)[:1], START)
    assert not promising.commitment_requests.judge(pending.id, [0, 0], _rows(promising), START), "what was said is said"
    (judged,) = promising.commitment_requests.due(START)
    assert [(one.sop_instance_uid, reason) for one, reason in judged.verdicts] == [("1.1.1.1", 0), ("1.1.1.9", 0x0112)]
    promising.commitment_requests.put_off(judged.id, START + SECOND, "away")
    assert promising.commitment_requests.due(START) == []
    assert promising.commitment_requests.due(START + SECOND)[0].attempts == 1
    promising.commitment_requests.end(judged.id, True, "", START)
    assert promising.commitment_requests.due(START + DAY) == []


def test_the_same_request_again_is_one_request_and_is_reported_anew(promising: Journal) -> None:
    """Its sender did not get our answer, or lost the report: at least once, in any order of its references."""
    promising.commitment_requests.receive(_request("1.1.1.1", "1.1.1.2"), START)
    promising.commitment_requests.receive(_request("1.1.1.2", "1.1.1.1"), START)
    (pending,) = promising.commitment_requests.due(START)
    promising.commitment_requests.judge(pending.id, [0, 0], _rows(promising)[:2], START)
    promising.commitment_requests.end(pending.id, True, "", START)
    promising.commitment_requests.receive(_request("1.1.1.1", "1.1.1.2"), START)
    (again,) = promising.commitment_requests.due(START)
    assert (again.id, again.state) == (pending.id, RequestState.RECEIVED)


def test_other_instances_under_a_used_transaction_fail(promising: Journal) -> None:
    """0131, duplicate transaction UID (PS3.3 C.14.1.1); the first request is untouched, another peer's transaction is another one."""
    promising.commitment_requests.receive(_request("1.1.1.1"), START)
    for _ in range(2):
        promising.commitment_requests.receive(_request("1.1.1.2"), START)
    promising.commitment_requests.receive(_request("1.1.1.2", peer="ct2"), START)
    first, second, other = promising.commitment_requests.due(START)
    assert (first.state, other.state) == (RequestState.RECEIVED, RequestState.RECEIVED)
    assert (second.state, [reason for _, reason in second.verdicts]) == (RequestState.JUDGED, [0x0131])


def test_what_was_promised_is_not_purged_sooner_than_pixels_are_kept(story: Story, promising: Journal) -> None:
    """Counted from the promise: neither retention for age nor a full disk takes it sooner, and a purge under way notices."""
    story.route()
    rows = _rows(promising)
    promising.commitment_requests.receive(_request("1.1.1.1"), START)
    promising.commitment_requests.judge(promising.commitment_requests.due(START)[0].id, [0], rows[:1], START + HOUR)
    assert promising.commitment_requests.committed([row.id for row in rows]) == {rows[0].id: START + HOUR}
    later = START + DAY
    free = promising.retention.purgeable(later, promised_before=START + HOUR)
    assert [row.sop_instance_uid for row in free] == ["1.1.1.2", "1.1.1.3"]
    promising.retention.tombstone([row.id for row in rows], later, promised_before=START + HOUR)
    assert [row.standing for row in _rows(promising)] == ["current", "purged", "purged"]
    promising.retention.tombstone([rows[0].id], later, promised_before=START + HOUR + SECOND)
    assert _rows(promising)[0].standing == "purged"


def test_nothing_is_promised_that_was_purged_meanwhile(story: Story, promising: Journal) -> None:
    """Between the look and the promise retention took an instance: the request is judged anew."""
    story.route()
    rows = _rows(promising)
    promising.commitment_requests.receive(_request("1.1.1.1", "1.1.1.2"), START)
    promising.retention.tombstone([rows[1].id], START)
    pending = promising.commitment_requests.due(START)[0]
    assert not promising.commitment_requests.judge(pending.id, [0, 0], rows[:2], START)
    assert promising.commitment_requests.committed([row.id for row in rows]) == {}
    assert promising.commitment_requests.due(START)[0].state is RequestState.RECEIVED
    assert promising.commitment_requests.judge(pending.id, [0, 0x0112], rows[:1], START)
