"""The transition table, walked: what it allows happens with its event, what it does not is refused and leaves no trace."""

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import update

from node.domain.state import DELIVERY_TRANSITIONS, JOB_TRANSITIONS, ArrivalState, DeliveryState, JobState
from node.journal.errors import TransitionRefused
from node.journal.sql import SqlJournal
from node.journal.transitions import ARRIVAL, DELIVERY, JOB, Subject, move, state_of
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
}
STATES: dict[str, list[str]] = {
    "arrival": [*ArrivalState],
    "job": [*JobState],
    "delivery": [*DeliveryState],
}
SUBJECTS: dict[str, Subject[Any]] = {"arrival": ARRIVAL, "job": JOB, "delivery": DELIVERY}
WALK = [(subject, before, after) for subject, states in STATES.items() for before in states for after in states]


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    """A journal with one of each."""
    journal = SqlJournal.open(f"sqlite:{tmp_path_factory.mktemp('journal') / 'journal.db'}")
    told = Story(journal)
    told.encoded()
    yield told
    journal.close()


@pytest.mark.parametrize(("name", "before", "after"), WALK, ids=[f"{s}-{b}-{a}" for s, b, a in WALK])
def test_every_pair_of_states(story: Story, name: str, before: str, after: str) -> None:
    """Allowed: the state and one event, in one transaction. Not allowed: an error, the old state, no event."""
    journal, subject = story.journal, SUBJECTS[name]
    assert isinstance(journal, SqlJournal)
    with journal._writing() as connection:
        connection.execute(update(subject.table).where(subject.table.c.id == 1).values(state=before))
    events = story.names(name, 1)
    if f"{before}>{after}" in ALLOWED[name].split():
        with journal._writing() as connection:
            assert move(connection, subject, 1, subject.states(after), START) == before
        assert story.names(name, 1) == [*events, f"{name}.{after}"]
    else:
        with pytest.raises(TransitionRefused, match=f"{name} 1 is {before}"), journal._writing() as connection:
            move(connection, subject, 1, subject.states(after), START)
        assert story.names(name, 1) == events
    with journal._reading() as connection:
        assert state_of(connection, subject, 1) == (after if f"{before}>{after}" in ALLOWED[name].split() else before)


def test_every_state_can_be_reached_from_the_first() -> None:
    """No state of jobs or deliveries is cut off: the table has a way from where rows begin."""
    for table, first in ((JOB_TRANSITIONS, JobState.QUEUED), (DELIVERY_TRANSITIONS, DeliveryState.WAITING)):
        reached, edge = {first}, {first}
        while edge:
            edge = {after for before in edge for after in table[before]} - reached  # type: ignore[index]
            reached |= edge
        assert reached == set(table)
