"""Contract of the journal: configurations that came into force."""

from dataclasses import replace
from datetime import timedelta

from node.domain.config_revision import ConfigRevision
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
