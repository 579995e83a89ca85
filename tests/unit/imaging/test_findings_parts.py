"""The findings of several parts survive the way to disk and back; those of a series in one part are the file that they always were."""

import pytest

from inference import findings_file, findings_parts
from inference.findings_file import FindingsFileDamaged

from .test_findings_file import some_findings

PARTS = [("b 0 s/mm2", some_findings()), ("Phase – 2", some_findings((3, 2, 2)))]


def test_one_whole_is_the_file_of_before() -> None:
    """Findings that were journaled before there were parts are read, and written the same."""
    findings = some_findings()
    assert findings_parts.written([("", findings)]).data == findings_file.dumps(findings)
    assert findings_parts.written([("", findings)]).digest == findings_file.digest(findings)
    ((name, read),) = findings_parts.loads(findings_file.dumps(findings))
    assert name == ""
    assert findings_file.digest(read) == findings_file.digest(findings)


def test_parts_are_read_back_in_their_order() -> None:
    """With their names, every mask of each."""
    read = findings_parts.loads(findings_parts.written(PARTS).data)
    assert [name for name, _ in read] == ["b 0 s/mm2", "Phase – 2"]
    assert [findings_file.digest(each) for _, each in read] == [findings_file.digest(each) for _, each in PARTS]
    assert [each.segments[0].mask.shape for _, each in read] == [(5, 7, 11), (3, 2, 2)]
    assert findings_parts.written(read).data == findings_parts.written(PARTS).data


def test_one_named_part_is_no_whole() -> None:
    """Its name is not lost."""
    assert [name for name, _ in findings_parts.loads(findings_parts.written(PARTS[:1]).data)] == ["b 0 s/mm2"]


def test_the_digest_knows_names_and_order() -> None:
    """Another name, another order, another finding: another digest."""
    swapped = [(PARTS[1][0], PARTS[0][1]), (PARTS[0][0], PARTS[1][1])]
    digests = {findings_parts.written(parts).digest for parts in (PARTS, PARTS[::-1], swapped, PARTS[:1])}
    assert len(digests) == 4


@pytest.mark.parametrize("at", [0, 20, 30, 60, 200, -1])
def test_damage_is_named(at: int) -> None:
    """A byte changed, or the end cut off: never other findings."""
    whole = findings_parts.written(PARTS).data
    changed = bytearray(whole)
    changed[at] ^= 0xFF
    for damaged in (bytes(changed), whole[: at if at > 0 else -1], whole + b"x"):
        with pytest.raises(FindingsFileDamaged):
            findings_parts.loads(damaged)
