"""What the journal says of blobs, and how it lets those go that no row names; over every journal."""

import pytest

from node.domain.errors import JournalError
from node.domain.instance import Standing
from tests.unit.journal.story import Story


def test_rows_say_which_bytes_are_wanted(story: Story) -> None:
    """Those of instances, findings and objects; of others it knows nothing."""
    story.receive(1, 2)
    story.receive(3)
    story.route(story.job_asked())
    held = story.claim()
    findings = f"findings/{held.id}-abc.bin"
    assert story.journal.jobs.inferred(held.id, held.lease or "", findings, "model", story.now)
    wanted = ["instances/1.dcm", "instances/3.dcm", findings]
    unknown = ["instances/9.dcm", "results/1-sr-x.dcm", "findings/99-x.bin", "else"]
    assert story.journal.retention.kept_blobs([*wanted, *unknown]) == dict.fromkeys(wanted, True)


def test_purged_bytes_are_known_and_not_wanted(story: Story) -> None:
    """Should they come back, with an old copy of the bucket, nobody takes them for lost ones."""
    (row,) = story.receive(1)
    story.route()
    story.journal.retention.tombstone([row], story.now)
    story.journal.retention.swept(story.journal.retention.purged_blobs())
    assert story.journal.retention.kept_blobs(["instances/1.dcm"]) == {"instances/1.dcm": False}
    assert story.journal.retention.tombstone_unreferenced(["instances/1.dcm"], story.now) == ["instances/1.dcm"]


def test_only_what_no_row_wants_is_buried(story: Story) -> None:
    """Named ones are left alone; the others have one tombstone each, however often."""
    story.receive(1)
    for _ in range(2):
        assert story.journal.retention.tombstone_unreferenced(["instances/1.dcm", "results/7-sr-x.dcm", "findings/7-x.bin"], story.now) == [
            "results/7-sr-x.dcm",
            "findings/7-x.bin",
        ]
    assert sorted(story.journal.retention.purged_blobs().values()) == ["findings/7-x.bin", "results/7-sr-x.dcm"]


def test_a_row_cannot_name_what_is_being_deleted(story: Story) -> None:
    """Refused, with a retry, until the bytes are gone: then they are put again, and the row stands."""
    story.journal.retention.tombstone_unreferenced(["instances/1.dcm"], story.now)
    with pytest.raises(JournalError) as buried:
        story.receive(1)
    assert buried.value.retry
    assert story.journal.instances.by_uid("1.1.1.1") == []
    story.journal.retention.swept(story.journal.retention.purged_blobs())
    story.receive(1)
    (row,) = story.journal.instances.by_uid("1.1.1.1")
    assert row.standing is Standing.CURRENT


def test_findings_cannot_name_what_is_being_deleted(story: Story) -> None:
    """A worker that takes up a job again after days puts the same bytes under the same name."""
    story.receive(1)
    story.route(story.job_asked())
    held = story.claim()
    name = f"findings/{held.id}-abc.bin"
    story.journal.retention.tombstone_unreferenced([name], story.now)
    with pytest.raises(JournalError):
        story.journal.jobs.inferred(held.id, held.lease or "", name, "model", story.now)
    story.journal.retention.swept(story.journal.retention.purged_blobs())
    assert story.journal.jobs.inferred(held.id, held.lease or "", name, "model", story.now)
