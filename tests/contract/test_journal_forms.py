"""Forms in every journal: those of objects and deliveries come back as they were written, and old journals get those that were meant."""

from collections.abc import Callable
from dataclasses import replace

from alembic import command
from sqlalchemy import create_engine, insert

from node.journal import schema
from node.journal.database import alembic_config
from node.journal.sql import SqlJournal
from tests.unit.journal.story import LEASE, START, Story


def test_objects_keep_their_forms(story: Story) -> None:
    """A journal that lost a form would mix masks and reports."""
    job = story.queued()
    claimed = story.claim()
    assert claimed.lease is not None
    story.infer(claimed)
    made = [replace(story.made(job, kind), form=form, blob=f"{kind}{form}") for kind, form in (("seg", "labelmap+rle"), ("sr", ""))]
    assert story.journal.encoded(job, claimed.lease, made, START)
    assert [one.form for one in story.journal.objects(job)] == ["labelmap+rle", ""]
    assert [one.form for one in story.journal.undelivered(story.take().id)] == ["labelmap+rle", ""]


def test_the_form_of_a_delivery_stands_until_everything_is_sent_again(story: Story) -> None:
    """Chosen once, it outlives retries and processes; a new round chooses anew. The history says why."""
    job = story.encoded()
    delivery = story.take()
    assert delivery.form == ""
    assert delivery.lease is not None
    journal = story.journal
    assert journal.choose_form(delivery.id, delivery.lease, "labelmap", "", story.now)
    assert journal.choose_form(delivery.id, delivery.lease, "binary", "labelmap: the sink takes none", story.now)
    assert journal.retry_delivery(delivery.id, delivery.lease, story.now, "HLM-6000", "away", story.now)
    assert story.take().form == "binary"
    journal.resend(job, None, story.now)
    assert [one.form for one in journal.deliveries(job=job)] == [""]
    told = [line.detail for line in journal.events("delivery", delivery.id) if line.name == "delivery.form"]
    assert told == ["labelmap", "binary: labelmap: the sink takes none"]


def test_the_form_is_fenced(story: Story) -> None:
    """A process whose lease ran out may not turn a set that another one sends."""
    story.encoded()
    zombie = story.take()
    assert zombie.lease is not None
    story.now += 2 * LEASE
    heir = story.take()
    assert not story.journal.choose_form(zombie.id, zombie.lease, "labelmap", "", story.now)
    assert story.journal.deliveries(job=heir.job) == [heir]


def test_a_journal_of_before_there_were_forms_says_which_report_belongs_to_the_masks(
    journal_url: str, opened: Callable[[str], SqlJournal]
) -> None:
    """Masks were binary, and the report that was made right after them is theirs; a report of a job without masks, and the second one of
    a job with masks, is about none. What waited is delivered, and sent again, as it was."""
    engine = create_engine(journal_url.replace("sqlite:", "sqlite:///").replace("postgresql:", "postgresql+psycopg:"))
    with engine.begin() as connection:
        config = alembic_config()
        config.attributes["connection"] = connection
        command.upgrade(config, "0002")
        at = 1_700_000_000_000_000
        series = {"study_instance_uid": "1", "series_instance_uid": "1.1"}
        arrival = {"id": 1, "peer": "", "called_ae": "HILUM", "state": "routed", "revision": 1, "instances": 0, **series}
        connection.execute(insert(schema.arrival).values(**arrival, opened_at=at, last_instance_at=at, due_at=at))
        for job, kinds in ((1, ("seg", "sr", "sr", "sc")), (2, ("sr", "sc"))):
            asked = {"application": "a", "application_version": "1", "engine": "default", "rank": 1, "input_digest": "d", **series}
            stands = {"state": "encoded", "attempts": 1, "due_at": at, "created_at": at, "moved_at": at}
            connection.execute(insert(schema.job).values(id=job, arrival_id=1, **asked, **stands))
            sends = {"sink": "archive", "state": "waiting", "round": 1, "attempts": 0, "due_at": at, "waiting_since": at}
            connection.execute(insert(schema.delivery).values(id=job, job_id=job, **sends))
            for number, kind in enumerate(kinds):
                facts = {"sop_class_uid": "1.2", "series_instance_uid": "1.3", "description": kind, "size": 1, "digest": "d"}
                row = {"job_id": job, "kind": kind, "sop_instance_uid": f"1.{job}.{number}", "blob": f"{job}.{number}", **facts}
                connection.execute(insert(schema.result_object).values(**row))
    engine.dispose()
    journal = opened(journal_url)
    assert [(one.kind, one.form) for one in journal.objects(1)] == [("seg", "binary"), ("sr", "binary"), ("sr", ""), ("sc", "")]
    assert [(one.kind, one.form) for one in journal.objects(2)] == [("sr", ""), ("sc", "")]
    assert [one.form for one in journal.deliveries()] == ["", ""]
