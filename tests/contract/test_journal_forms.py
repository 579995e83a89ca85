"""Forms in every journal: those of objects and deliveries come back as they were written."""

from dataclasses import replace

from tests.unit.journal.story import LEASE, START, Story


def test_objects_keep_their_forms(story: Story) -> None:
    """A journal that lost a form would mix masks and reports."""
    job = story.queued()
    claimed = story.claim()
    assert claimed.lease is not None
    story.infer(claimed)
    made = [replace(story.made(job, kind), form=form, blob=f"{kind}{form}") for kind, form in (("seg", "labelmap+rle"), ("sr", ""))]
    assert story.journal.jobs.encoded(job, claimed.lease, made, START)
    assert [one.form for one in story.journal.results.of_job(job)] == ["labelmap+rle", ""]
    assert [one.form for one in story.journal.deliveries.undelivered(story.take().id)] == ["labelmap+rle", ""]


def test_the_form_of_a_delivery_stands_until_everything_is_sent_again(story: Story) -> None:
    """Chosen once, it outlives retries and processes; a new round chooses anew. The history says why."""
    job = story.encoded()
    delivery = story.take()
    assert delivery.form == ""
    assert delivery.lease is not None
    journal = story.journal
    assert journal.deliveries.choose_form(delivery.id, delivery.lease, "labelmap", "", story.now)
    assert journal.deliveries.choose_form(delivery.id, delivery.lease, "binary", "labelmap: the sink takes none", story.now)
    assert journal.deliveries.retry(delivery.id, delivery.lease, story.now, "HLM-6000", "away", story.now)
    assert story.take().form == "binary"
    journal.deliveries.resend(job, None, story.now)
    assert [one.form for one in journal.deliveries.find(job=job)] == [""]
    told = [line.detail for line in journal.events.of("delivery", delivery.id) if line.name == "delivery.form"]
    assert told == ["labelmap", "binary: labelmap: the sink takes none"]


def test_the_form_is_fenced(story: Story) -> None:
    """A process whose lease ran out may not turn a set that another one sends."""
    story.encoded()
    zombie = story.take()
    assert zombie.lease is not None
    story.now += 2 * LEASE
    heir = story.take()
    assert not story.journal.deliveries.choose_form(zombie.id, zombie.lease, "labelmap", "", story.now)
    assert story.journal.deliveries.find(job=heir.job) == [heir]
