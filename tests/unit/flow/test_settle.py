"""When a study counts as complete: the quiet window, the sender's own count, the operator's word."""

from concurrent.futures import Executor, Future
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from node.domain.arrival import Completeness
from node.domain.errors import DeliveryError
from node.domain.state import ArrivalState
from node.flow.settle import SettleStage, complete_now
from node.settings.peers import May, Peer, Scope
from node.settings.peers import Settle as Rule
from tests.unit.flow.mini import CT1, START, CountingPeer, MiniNode


class AtOnce(Executor):
    """Runs what it is given before it returns."""

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:  # noqa: BLE001  (an executor hands on whatever was raised)
            future.set_exception(error)
        return future


class Never(Executor):
    """Takes questions and leaves them without an answer, as a PACS that hangs does."""

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        return Future()


class Slow(Executor):
    """Answers when it is told to, so that a question is under way for a whole step."""

    def __init__(self) -> None:
        self._asked: list[tuple[Future[Any], Any, Any]] = []

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        self._asked.append((future, fn, args))
        return future

    def answer(self) -> None:
        """What was asked until now."""
        for future, fn, args in self._asked:
            future.set_result(fn(*args))
        self._asked.clear()


def settle_of(node: MiniNode, peer: CountingPeer | None = None, **options: Any) -> SettleStage:
    return SettleStage(node.journal, node.config, node.clock, lambda _: peer or CountingPeer(), executor=AtOnce(), **options)


def with_rule(node: MiniNode, rule: Rule, *, find: bool = False) -> None:
    may = CT1.may | {May.FIND} if find else CT1.may
    node.configure(peers={"ct1": replace(CT1, settle=rule, may=may)})


def test_a_study_is_complete_after_its_quiet_window_and_not_before(node: MiniNode) -> None:
    """Ten seconds after the last instance, by default."""
    node.receive("1.1", "1.1.1")
    settle = settle_of(node)
    node.clock.advance(9.9)
    assert settle.step() == 0
    node.clock.advance(0.2)
    assert settle.step() == 1
    (arrival,) = node.arrivals()
    assert (arrival.state, arrival.completed_by, arrival.instances) == (ArrivalState.COMPLETE, Completeness.QUIET, 4)
    assert settle.step() == 0


def test_the_loop_sleeps_until_the_window_ends(node: MiniNode) -> None:
    """Neither a second longer, as a sweep may, nor again and again while an arrival that is due must wait for the inbox."""
    node.receive("1.1", "1.1.1")
    settle = settle_of(node, horizon=lambda: START)
    assert settle.due_in_s(1.0) == 1.0
    node.clock.advance(9.75)
    assert settle.step() == 0
    assert settle.due_in_s(1.0) == pytest.approx(0.25)
    node.clock.advance(0.5)
    assert settle.due_in_s(1.0) == 0.0
    assert settle.step() == 0  # an instance that was received before lies in the inbox
    assert settle.due_in_s(1.0) == 1.0


def test_a_second_series_within_the_window_restarts_it(node: MiniNode) -> None:
    """Network cases 5 and 7: Three associations three seconds apart are one study when the window is five seconds."""
    with_rule(node, Rule(quiet=timedelta(seconds=5)))
    settle = settle_of(node)
    for series in ("1.1.1", "1.1.2", "1.1.3"):
        node.receive("1.1", series)
        node.clock.advance(3)
        assert settle.step() == 0
    node.clock.advance(2.1)
    assert settle.step() == 1
    assert [(arrival.instances, arrival.revision) for arrival in node.arrivals()] == [(12, 1)]


def test_instances_after_the_window_open_a_revision_that_names_its_predecessor(node: MiniNode) -> None:
    """Network case 5: Six seconds apart with a window of five: never a silent split, the second revision has everything."""
    with_rule(node, Rule(quiet=timedelta(seconds=5)))
    settle = settle_of(node)
    node.receive("1.1", "1.1.1")
    node.clock.advance(6)
    assert settle.step() == 1
    node.receive("1.1", "1.1.2")
    node.clock.advance(6)
    assert settle.step() == 1
    first, second = node.arrivals()
    assert (second.revision, second.supersedes, second.instances) == (2, first.id, 8)


def test_an_arrival_that_goes_on_growing_is_complete_by_growing(node: MiniNode) -> None:
    """An instance every five seconds never leaves a quiet window; after a minute what came is complete, and what comes then is a revision
    that has everything, and is bounded as well."""
    with_rule(node, Rule(quiet=timedelta(seconds=7), growing=timedelta(minutes=1)))
    settle = settle_of(node)
    completed = []
    for number in range(1, 27):
        node.receive("1.1", "1.1.1", [number])
        if settle.step():
            completed.append(number)
        node.clock.advance(5)
    assert completed == [13, 26]
    first, second = node.arrivals()
    assert [one.completed_by for one in (first, second)] == [Completeness.GROWING] * 2
    assert (first.instances, first.revision, second.instances, second.revision, second.supersedes) == (13, 1, 26, 2, first.id)


def test_a_count_that_is_never_met_holds_no_arrival_beyond_the_longest(node: MiniNode) -> None:
    """The sender lists more and more while it sends: nothing is short for good, and nothing waits for ever."""
    with_rule(node, Rule(quiet=timedelta(seconds=7), growing=timedelta(minutes=1)), find=True)
    peer = CountingPeer()
    settle = settle_of(node, peer)
    done = 0
    for number in range(1, 14):
        node.receive("1.1", "1.1.1", [number])
        peer.counts, peer.series = number + 100, {"1.1.1": number + 100}
        done += settle.step()
        node.clock.advance(5)
    (arrival,) = node.arrivals()
    assert (done, arrival.completed_by, arrival.instances) == (1, Completeness.GROWING, 13)


def test_interleaved_studies_settle_apart(node: MiniNode) -> None:
    """Network case 6: Each has its own clock and its own instances."""
    for number in range(1, 5):
        node.receive("1.1", "1.1.1", [number])
        node.receive("2.2", "2.2.1", [number])
        node.clock.advance(1)
    node.clock.advance(4)
    node.receive("2.2", "2.2.1", [5])
    node.clock.advance(6)
    assert settle_of(node).step() == 1
    assert [(arrival.study_instance_uid, arrival.state.value, arrival.instances) for arrival in node.arrivals()] == [
        ("1.1", "complete", 4),
        ("2.2", "received", 5),
    ]


def test_series_settle_one_by_one_where_the_peer_says_so(node: MiniNode) -> None:
    """Three mammography series of one study are three arrivals."""
    with_rule(node, Rule(scope=Scope.SERIES, quiet=timedelta(seconds=5)))
    for series in ("1.1.1", "1.1.2", "1.1.3"):
        node.receive("1.1", series)
    node.clock.advance(5.1)
    assert settle_of(node).step() == 3
    assert {arrival.series_instance_uid for arrival in node.arrivals(ArrivalState.COMPLETE)} == {"1.1.1", "1.1.2", "1.1.3"}


def test_an_instance_that_arrives_at_that_very_moment_keeps_the_arrival_open(node: MiniNode) -> None:
    """Between reading what is due and completing it, an instance is journaled: the manifest must not freeze without it."""
    node.receive("1.1", "1.1.1")
    node.clock.advance(11)

    journal = node.journal
    original = journal.arrivals.complete

    def complete(*given: Any, **options: Any) -> bool:
        node.receive("1.1", "1.1.1", [99])
        return original(*given, **options)

    journal.arrivals.complete = complete  # type: ignore[method-assign]
    assert settle_of(node).step() == 0
    journal.arrivals.complete = original  # type: ignore[method-assign]
    assert [arrival.state for arrival in node.arrivals()] == [ArrivalState.RECEIVED]
    node.clock.advance(11)
    assert settle_of(node).step() == 1
    assert node.arrivals()[0].instances == 5


def test_what_waits_in_the_inbox_holds_completion_back(node: MiniNode) -> None:
    """An arrival is judged only up to the moment that the index has reached: its next instance may already be received."""
    node.receive("1.1", "1.1.1")
    node.clock.advance(11)
    assert settle_of(node, horizon=lambda: START + timedelta(seconds=9)).step() == 0
    assert settle_of(node, horizon=lambda: START + timedelta(seconds=10.5)).step() == 1


def test_the_senders_count_shortens_the_window(node: MiniNode) -> None:
    """All four that the sender has are here: complete two seconds after the last one, by count."""
    with_rule(node, Rule(quiet=timedelta(seconds=60)), find=True)
    peer = CountingPeer()
    peer.counts = 4
    settle = settle_of(node, peer)
    node.receive("1.1", "1.1.1")
    node.clock.advance(0.1)
    settle.step()
    assert peer.asked == []  # instances still stream in
    node.clock.advance(0.5)
    settle.step()  # asks
    assert peer.asked == [("1.1", None)]
    settle.step()  # reads the answer
    node.clock.advance(1.3)
    assert settle.step() == 0
    node.clock.advance(0.2)
    assert settle.step() == 1
    assert node.arrivals()[0].completed_by is Completeness.COUNT


@pytest.mark.parametrize("counts", [5, 0, None])
def test_a_count_that_is_not_reached_changes_nothing(node: MiniNode, counts: int | None) -> None:
    """More at the sender, nothing there, or no answer: the quiet window decides."""
    with_rule(node, Rule(quiet=timedelta(seconds=20)), find=True)
    peer = CountingPeer()
    peer.counts = counts
    settle = settle_of(node, peer)
    node.receive("1.1", "1.1.1")
    for _ in range(19):
        node.clock.advance(1)
        assert settle.step() == 0
    node.clock.advance(1.1)
    assert settle.step() == 1
    assert node.arrivals()[0].completed_by is Completeness.QUIET
    assert len(peer.asked) <= 10  # every two seconds at most


def test_an_instance_after_the_count_makes_it_void(node: MiniNode) -> None:
    """Counts grow while a scan runs: a fifth instance starts the long window again."""
    with_rule(node, Rule(quiet=timedelta(seconds=60)), find=True)
    peer = CountingPeer()
    peer.counts = 4
    settle = settle_of(node, peer)
    node.receive("1.1", "1.1.1")
    node.clock.advance(0.6)
    settle.step()
    settle.step()
    peer.counts = 9
    node.clock.advance(0.4)
    node.receive("1.1", "1.1.1", [5])
    node.clock.advance(30)
    assert settle.step() == 0
    node.clock.advance(31)
    assert settle.step() == 1
    arrival = node.arrivals()[0]
    assert (arrival.completed_by, arrival.instances) == (Completeness.QUIET, 5)


def test_a_short_window_does_not_outrun_the_question(node: MiniNode) -> None:
    """Quiet of one second stays one second for a sender that answers; what it lists is known before, and confirmed where it is more."""
    with_rule(node, Rule(quiet=timedelta(seconds=1)), find=True)
    peer = CountingPeer()
    peer.counts = 4
    settle = settle_of(node, peer)
    node.receive("1.1", "1.1.1")
    node.clock.advance(0.6)
    assert settle.step() == 0
    node.clock.advance(0.5)
    assert settle.step() == 1
    peer.counts, peer.series = 384, {"1.2.1": 384}
    node.receive("1.2", "1.2.1")
    for _ in range(5):  # asked at 1.1 s, read and asked once more at 3.3
        node.clock.advance(1.1)
        settle.step()
    assert [arrival.state for arrival in node.arrivals()] == [ArrivalState.COMPLETE] * 2
    assert [(one.count, one.stands) for one in node.journal.shortage.shortfalls("1.2")["1.2.1"].counts] == [(384, True)]


def test_a_short_window_waits_three_seconds_for_an_answer_that_does_not_come(node: MiniNode) -> None:
    """Also after a restart in which the window passed."""
    with_rule(node, Rule(quiet=timedelta(seconds=1)), find=True)
    node.receive("1.1", "1.1.1")
    node.clock.advance(60)
    settle = SettleStage(node.journal, node.config, node.clock, lambda _: CountingPeer(), executor=Never())
    for _ in range(2):
        assert settle.step() == 0
        node.clock.advance(1.4)
    node.clock.advance(0.3)
    assert settle.step() == 1
    settle.close()


@pytest.mark.parametrize("error", [DeliveryError("association rejected"), RuntimeError("a defect of the requestor")])
def test_a_sender_that_cannot_be_asked_delays_nothing(node: MiniNode, error: Exception) -> None:
    """Errors of the question are events, no more."""
    with_rule(node, Rule(quiet=timedelta(seconds=10)), find=True)
    peer = CountingPeer()
    peer.fails = error
    settle = settle_of(node, peer)
    node.receive("1.1", "1.1.1")
    node.clock.advance(1)
    settle.step()
    node.clock.advance(9.1)
    assert settle.step() == 1


def test_a_sender_that_never_answers_delays_nothing(node: MiniNode) -> None:
    """One question hangs; it is not asked twice, and the quiet window runs."""
    with_rule(node, Rule(quiet=timedelta(seconds=10)), find=True)
    settle = SettleStage(node.journal, node.config, node.clock, lambda _: CountingPeer(), executor=Never())
    node.receive("1.1", "1.1.1")
    for _ in range(9):
        node.clock.advance(1)
        assert settle.step() == 0
    node.clock.advance(1.1)
    assert settle.step() == 1
    settle.close()


def test_only_peers_with_find_are_asked(node: MiniNode) -> None:
    """`may` without find: nobody opens an association to them."""
    peer = CountingPeer()
    node.receive("1.1", "1.1.1")
    node.clock.advance(5)
    settle_of(node, peer).step()
    assert peer.asked == []


def test_the_operator_completes_by_hand(node: MiniNode) -> None:
    """Network case 9: `hilum studies complete`: at once, with the reason kept; a second time is no longer possible."""
    node.receive("1.1", "1.1.1")
    (arrival,) = node.arrivals()
    assert complete_now(node.journal.arrivals, arrival, node.clock())
    assert not complete_now(node.journal.arrivals, arrival, node.clock())
    assert node.arrivals()[0].completed_by is Completeness.OPERATOR


def test_a_series_count_that_is_not_met_is_asked_for_twice_and_then_known(node: MiniNode) -> None:
    """The sender lists 384 of a series of which four came: the study waits for the second answer, and the journal knows that it stands.
    Of a series that it lists and did not send, and of a study that counts more for other people's objects, nothing is short."""
    with_rule(node, Rule(quiet=timedelta(seconds=3)), find=True)
    peer = CountingPeer()
    peer.counts, peer.series = 800, {"1.1.1": 384, "1.1.2": 4, "1.1.3": 50}
    settle = settle_of(node, peer)
    node.receive("1.1", "1.1.1")
    node.receive("1.1", "1.1.2")
    for _ in range(5):  # asked at 0.6 s, read at 1.2; asked once more at 3.0, when the window has passed
        node.clock.advance(0.6)
        assert settle.step() == 0
    node.clock.advance(0.6)
    assert settle.step() == 1
    facts = node.journal.shortage.shortfalls("1.1")
    assert {series: [(one.count, one.stands) for one in known.counts] for series, known in facts.items()} == {
        "1.1.1": [(384, True)],
        "1.1.2": [(4, True)],
    }


def test_a_sender_that_does_not_confirm_its_count_holds_nothing_up(node: MiniNode) -> None:
    """It answered once, and never again: ten seconds later the study is complete, and the count says nothing."""
    with_rule(node, Rule(quiet=timedelta(seconds=3)), find=True)
    peer = CountingPeer()
    peer.counts, peer.series = 800, {"1.1.1": 384}
    settle = settle_of(node, peer)
    node.receive("1.1", "1.1.1")
    node.clock.advance(0.6)
    settle.step()
    settle.step()
    peer.fails = DeliveryError("away")
    for _ in range(9):
        node.clock.advance(1)
        assert settle.step() == 0
    node.clock.advance(1.1)
    assert settle.step() == 1
    assert not node.journal.shortage.shortfalls("1.1")["1.1.1"].counts[0].stands


def archived(node: MiniNode, archive: CountingPeer) -> SettleStage:
    """A modality that cannot be asked, with ten seconds of quiet, and the archive that gets its studies too."""
    pacs = replace(CT1, name="pacs", ae_title="PACS", host="10.0.0.9", may=CT1.may | {May.FIND})
    node.configure(peers={"ct1": replace(CT1, settle=Rule(count_at="pacs")), "pacs": pacs})
    return settle_of(node, archive)


def test_what_the_archive_had_a_whole_window_ago_shortens_the_wait_once_it_is_here(node: MiniNode) -> None:
    """The modality sent to the archive first: that lists all 12 for ten seconds and more, while they come here slowly. Two seconds behind
    the last one the study is complete, by the count; it would be so after ten."""
    archive = CountingPeer()
    archive.counts, archive.series = 12, {"1.1.1": 12}
    settle = archived(node, archive)
    for number in range(1, 13):
        node.receive("1.1", "1.1.1", [number])
        assert settle.step() == 0
        node.clock.advance(1.5)
    steps = 0
    while not settle.step():
        node.clock.advance(0.5)
        steps += 1
    (arrival,) = node.arrivals()
    assert (arrival.completed_by, arrival.instances) == (Completeness.COUNT, 12)
    assert 1.5 + 0.5 * steps <= 4.0


def test_an_archive_that_gets_images_as_the_node_does_shortens_nothing(node: MiniNode) -> None:
    """Both have 6, then, after eight seconds without any, both get 6 more: as many there as here said nothing."""
    archive = CountingPeer()
    settle = archived(node, archive)
    for begin in (1, 7):
        for number in range(begin, begin + 6):
            archive.counts, archive.series = number, {"1.1.1": number}
            node.receive("1.1", "1.1.1", [number])
            assert settle.step() == 0
            node.clock.advance(1.0)
        for _ in range(7):
            assert settle.step() == 0
            node.clock.advance(1.0)
    node.clock.advance(3)
    assert settle.step() == 1
    (arrival,) = node.arrivals()
    assert (arrival.instances, arrival.revision) == (12, 1)


@pytest.mark.parametrize(
    ("counts", "series"),
    [
        pytest.param(3, {"1.1.1": 3}, id="less than was here before"),
        pytest.param(4, {"1.1.1": 4}, id="what was here before"),
        pytest.param(10, {"1.1.1": 4, "1.1.9": 6}, id="the results of it, as many as come first"),
        pytest.param(100, {"1.1.1": 4, "1.1.2": 96}, id="more"),
        pytest.param(None, {}, id="no answer"),
    ],
)
@pytest.mark.parametrize("revision", [1, 2])
def test_an_archive_that_lists_something_else_shortens_nothing(
    node: MiniNode, counts: int | None, series: dict[str, int], revision: int
) -> None:
    """Four images are in both; eight seconds later, or an hour, a slow series comes, an image each three seconds, to the node first. The
    archive lists other people's objects, too, and what was deleted it does not: the window decides, and nothing is short by it."""
    archive = CountingPeer()
    archive.counts, archive.series = counts, series
    settle = archived(node, archive)
    node.receive("1.1", "1.1.1")
    for second in range(8 if revision == 1 else 12):
        assert settle.step() == (second == 10)
        node.clock.advance(1.0)
    if revision == 2:
        node.clock.advance(3600)
    for number in range(1, 9):
        node.receive("1.1", "1.1.2", [number])
        for _ in range(3):
            assert settle.step() == 0
            node.clock.advance(1.0)
    node.clock.advance(6.9)
    assert settle.step() == 0
    node.clock.advance(0.2)
    assert settle.step() == 1
    arrival = node.arrivals()[-1]
    assert (arrival.revision, arrival.instances, arrival.completed_by) == (revision, 12, Completeness.QUIET)
    assert node.journal.shortage.shortfalls("1.1") == {}


def test_what_came_since_the_archive_was_asked_makes_its_count_void(node: MiniNode) -> None:
    """All 4 have stood there for a window, and are here; a fifth comes before the answer is read."""
    archive = CountingPeer()
    archive.counts, archive.series = 4, {"1.1.1": 4}
    settle = archived(node, archive)
    for number in range(1, 5):
        for _ in range(3 if number > 1 else 0):
            assert settle.step() == 0
            node.clock.advance(1.0)
        node.receive("1.1", "1.1.1", [number])
    for _ in range(2):  # asked a second after the fourth
        assert settle.step() == 0
        node.clock.advance(1.0)
    node.receive("1.1", "1.1.1", [5])
    for _ in range(10):
        assert settle.step() == 0
        node.clock.advance(1.0)
    node.clock.advance(0.1)
    assert settle.step() == 1
    assert node.arrivals()[0].completed_by is Completeness.QUIET


@pytest.mark.parametrize("own", [1, 3])
def test_an_archive_that_is_asked_in_the_place_of_others_is_still_asked_about_what_it_sends(node: MiniNode, own: int) -> None:
    """Five studies of a modality that cannot be asked are open, older than those of the archive itself. Every question takes half a second:
    each study of both is asked about again and again, and before it is complete."""
    pacs = replace(CT1, name="pacs", ae_title="PACS", host="10.0.0.9", may=CT1.may | {May.FIND})
    node.configure(peers={"ct1": replace(CT1, settle=Rule(count_at="pacs", quiet=timedelta(minutes=1))), "pacs": pacs})
    archive, slow = CountingPeer(), Slow()
    archive.counts = 100
    settle = SettleStage(node.journal, node.config, node.clock, lambda _: archive, executor=slow)
    of_ct1, of_pacs = [f"1.1{number}" for number in range(5)], [f"1.2{number}" for number in range(own)]
    for study in of_ct1:
        node.receive(study, f"{study}.1")
    for study in of_pacs:
        node.receive(study, f"{study}.1", peer="pacs")
    for _ in range(18):
        assert settle.step() == 0
        slow.answer()
        node.clock.advance(0.5)
    asked = [study for study, _ in archive.asked]
    assert all(asked.count(study) >= 3 for study in (*of_ct1, *of_pacs)), asked


def test_archives_that_hang_leave_senders_their_questions(node: MiniNode) -> None:
    """Three archives do not answer: two of them are asked, and threads are left for a sender."""
    peers = {"own": replace(CT1, name="own", ae_title="OWN", may=CT1.may | {May.FIND})}
    for number in range(3):
        peers[f"pacs{number}"] = replace(CT1, name=f"pacs{number}", ae_title=f"PACS{number}", may=CT1.may | {May.FIND})
        peers[f"ct{number}"] = replace(CT1, name=f"ct{number}", ae_title=f"CT{number}", settle=Rule(count_at=f"pacs{number}"))
    node.configure(peers=peers)
    asked: list[str] = []

    def requestor_of(peer: Peer) -> CountingPeer:
        asked.append(peer.name)
        return CountingPeer()

    slow = Slow()
    settle = SettleStage(node.journal, node.config, node.clock, requestor_of, executor=slow)
    for number, sender in enumerate(("ct0", "ct1", "ct2", "own")):
        node.receive(f"1.{number}", f"1.{number}.1", peer=sender)
    for _ in range(3):
        settle.step()
        node.clock.advance(1.0)
    slow.answer()
    assert sorted(asked) == ["own", "pacs0", "pacs1"]
