"""Contract of the journal: configurations that came into force."""

from dataclasses import replace
from datetime import timedelta

from node.domain.config_revision import ConfigRevision
from node.records.revisions import revisions_apart, running
from tests.unit.journal.story import START, Story


def revision(text: str, author: str = "anna", minutes: int = 0) -> ConfigRevision:
    return ConfigRevision(
        at=START + timedelta(minutes=minutes),
        author=author,
        reason="thin slices alone",
        host="node1",
        path="/etc/hilum/hilum.yaml",
        digest=f"meaning of {text}",
        text=text,
    )


def test_revisions_are_numbered_and_the_same_text_again_is_none(story: Story) -> None:
    """A way back is a revision of its own; what is in force already is not."""
    kept = [story.journal.config_revisions.add(revision(text, minutes=at)) for at, text in enumerate(("one", "two", "two", "one"))]
    assert [one.number for one in kept] == [kept[0].number, kept[0].number + 1, kept[0].number + 1, kept[0].number + 2]
    assert story.journal.config_revisions.find() == [kept[3], kept[1], kept[0]]
    assert story.journal.config_revisions.find(limit=1) == [kept[3]]
    assert story.journal.config_revisions.get(kept[1].number) == replace(revision("two", minutes=1), number=kept[1].number)
    assert story.journal.config_revisions.get(99) is None


ROUTES = "node: {{listen: {listen}}}\nroutes: [{{name: lungs, when: {{Modality: {modality}}}, run: [ct-lung], send: [out]}}]\n"


def goes_by(story: Story, process: str, one: ConfigRevision) -> None:
    """A process gives a sign of life, and says by what it goes."""
    story.journal.config_revisions.add(one)
    story.journal.processes.beat(process, one.text_digest, story.journal.now())


def test_hosts_that_go_by_different_configurations_are_told_apart_once_both_have_stood(story: Story) -> None:
    """What only one host can know (where it listens) is no difference, nor is a comment. In the minute after a reload nothing is said: the
    processes of a host take it up one by one. A process that is silent goes by nothing."""
    now = story.journal.now()
    before = replace(revision(ROUTES.format(listen=1, modality="CT")), at=now - timedelta(hours=2))
    alike = replace(revision("# the other host\n" + ROUTES.format(listen=2, modality="CT")), at=now - timedelta(hours=1))
    goes_by(story, "flow one-1a2b3c:11", before)
    goes_by(story, "work one-1a2b3c:12", before)
    goes_by(story, "flow two-4d5e6f:11", alike)
    story.journal.processes.beat("spool two-4d5e6f/spool", now.isoformat(), now)
    found = running(story.journal)
    assert [(one.name, one.host, one.revision and one.revision.number) for one in found] == [
        ("flow one-1a2b3c:11", "one-1a2b3c", 1),
        ("flow two-4d5e6f:11", "two-4d5e6f", 2),
        ("work one-1a2b3c:12", "one-1a2b3c", 1),
    ]
    assert revisions_apart(found, now) == ""
    goes_by(story, "flow two-4d5e6f:11", replace(revision(ROUTES.format(listen=2, modality="MR")), at=now - timedelta(minutes=5)))
    found = running(story.journal)
    assert revisions_apart(found, now - timedelta(minutes=4, seconds=30)) == ""
    assert revisions_apart(found, now) == (
        "hosts go by configurations that differ in `routes:`: one-1a2b3c by revision 1, two-4d5e6f by revision 3. "
        "Studies are decided by whichever of them leads"
    )
    story.journal.processes.beat("flow two-4d5e6f:11", alike.text_digest, now - timedelta(minutes=2))
    assert revisions_apart(running(story.journal), now) == ""
