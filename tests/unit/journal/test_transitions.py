"""The transition table, walked: what it allows happens with its event, what it does not is refused and leaves no trace."""

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import update

from node.domain.commitment import InstanceReference, Request, RequestState, TransactionState
from node.domain.instance import Standing
from node.domain.state import DELIVERY_TRANSITIONS, JOB_TRANSITIONS, ArrivalState, DeliveryState, HistoryEvent, JobState
from node.journal.errors import TransitionRefused
from node.journal.journal import Journal
from node.journal.transitions import ARRIVAL, COMMITMENT, DELIVERY, INSTANCE, JOB, REQUEST, StateMachine, move, state_of
from tests.unit.journal.story import START, Story

# written out once more, by hand, from the design: the table may not change without this
ALLOWED = {
    "arrival": "received>complete complete>routed complete>parked parked>complete parked>routed",
    "job": "queued>inferred queued>parked queued>failed queued>not_applicable queued>cancelled queued>superseded "
    "inferred>encoded inferred>parked inferred>failed inferred>cancelled inferred>superseded "
    "encoded>done encoded>cancelled encoded>superseded done>encoded done>superseded "
    "parked>queued parked>inferred parked>cancelled parked>superseded "
    "failed>queued failed>inferred failed>cancelled failed>superseded "
    "not_applicable>queued not_applicable>cancelled not_applicable>superseded cancelled>queued cancelled>inferred cancelled>encoded",
    "delivery": "waiting>delivered waiting>parked waiting>cancelled delivered>committed delivered>waiting delivered>parked "
    "committed>waiting parked>waiting parked>cancelled cancelled>waiting",
    "commitment": "begun>accepted begun>refused begun>reported accepted>reported refused>reported",
    "request": "received>judged received>unreported judged>reported judged>unreported judged>received "
    "reported>received reported>judged unreported>received unreported>judged",
    "instance": "current>replaced current>purged replaced>purged conflict>purged result>purged "
    "held>current held>conflict held>refused held>purged refused>current refused>conflict refused>purged "
    "purged>current purged>replaced purged>conflict purged>result purged>held purged>refused",
}
TOLD = {
    "held>current": "accepted", "held>conflict": "accepted", "refused>current": "accepted", "refused>conflict": "accepted",
    "held>refused": "held_refused", **{f"purged>{kept}": "restored" for kept in Standing if kept is not Standing.PURGED},
}  # fmt: skip
"""What the events of instances call a change that is not called by the new state."""
STATES: dict[str, list[str]] = {
    "arrival": [*ArrivalState],
    "job": [*JobState],
    "delivery": [*DeliveryState],
    "commitment": [*TransactionState],
    "request": [*RequestState],
    "instance": [*Standing],
}
SUBJECTS: dict[str, StateMachine[Any]] = {
    "arrival": ARRIVAL, "job": JOB, "delivery": DELIVERY, "commitment": COMMITMENT, "request": REQUEST, "instance": INSTANCE,
}  # fmt: skip
WALK = [(subject, before, after) for subject, states in STATES.items() for before in states for after in states]


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    """A journal with one of each."""
    journal = Journal.open(f"sqlite:{tmp_path_factory.mktemp('journal') / 'journal.db'}")
    told = Story(journal)
    told.encoded()
    delivery = told.take()
    assert delivery.lease is not None
    for one in journal.results.of_job(delivery.job):
        assert journal.deliveries.receipt(delivery.id, delivery.lease, one.id, True, 0, "", START)
    assert journal.deliveries.delivered(delivery.id, delivery.lease, START, commits=True)
    (due,) = journal.commitments.due(START)
    assert journal.commitments.begin(due, "2.25.1", "archive", START, START)
    reference = InstanceReference(sop_class_uid="1.2.840.10008.5.1.4.1.1.2", sop_instance_uid="1.1.1.1")
    journal.commitment_requests.receive(Request(peer="ct1", transaction_uid="2.25.2", references=(reference,), received_at=START), START)
    yield told
    journal.close()


@pytest.mark.parametrize(("name", "before", "after"), WALK, ids=[f"{s}-{b}-{a}" for s, b, a in WALK])
def test_every_pair_of_states(story: Story, name: str, before: str, after: str) -> None:
    """Allowed: the state and one event, in one transaction. Not allowed: an error, the old state, no event."""
    journal, subject = story.journal, SUBJECTS[name]
    assert isinstance(journal, Journal)
    with journal.database.writing() as connection:
        connection.execute(update(subject.table).where(subject.table.c.id == 1).values({subject.column: before}))
    events = story.names(name, 1)
    if f"{before}>{after}" in ALLOWED[name].split():
        with journal.database.writing() as connection:
            assert move(connection, subject, 1, subject.states(after), START) == before
        happened = TOLD.get(f"{before}>{after}", after) if name == "instance" else after
        assert story.names(name, 1) == [*events, f"{name}.{happened}"]
    else:
        with pytest.raises(TransitionRefused, match=f"{name} 1 is {before}"), journal.database.writing() as connection:
            move(connection, subject, 1, subject.states(after), START)
        assert story.names(name, 1) == events
    with journal.database.reading() as connection:
        assert state_of(connection, subject, 1) == (after if f"{before}>{after}" in ALLOWED[name].split() else before)


def test_every_state_can_be_reached_from_the_first() -> None:
    """No state of jobs or deliveries is cut off: the table has a way from where rows begin."""
    for table, first in ((JOB_TRANSITIONS, JobState.QUEUED), (DELIVERY_TRANSITIONS, DeliveryState.WAITING)):
        reached, edge = {first}, {first}
        while edge:
            edge = {after for before in edge for after in table[before]} - reached  # type: ignore[index]
            reached |= edge
        assert reached == set(table)


def test_who_follows_the_history_knows_changes_by_the_names_that_they_are_written_with() -> None:
    """All but the four that are no change of a state."""
    written = {f"{machine.name}.{state}" for machine in (ARRIVAL, JOB, DELIVERY, INSTANCE) for state in machine.states}
    others = {"arrival.counted", "delivery.claimed", "delivery.retry", "instance.duplicate"}
    assert set(HistoryEvent) - written == others
