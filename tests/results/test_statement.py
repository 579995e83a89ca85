"""Notes that there is no result, as other programs read them."""

from pathlib import Path

import pytest

from docs.example_results import examples
from node.domain.profile import Kind
from tests.lab import validators

pytestmark = [pytest.mark.peers, pytest.mark.slow]


def test_validators_read_notes_that_there_is_no_result(tmp_path: Path) -> None:
    """Declined and failed: dciodvfy, PixelMed and DCMTK find no error, and DCMTK's tree has the status by its meaning."""
    for number, (example, meaning) in enumerate(zip(examples(), ("Not Attempted", "Failed"), strict=True)):
        notes = [one for one in example.objects if one.kind is Kind.STATEMENT]
        assert notes
        for which, note in enumerate(notes):
            path = tmp_path / f"{number}-{which}.dcm"
            path.write_bytes(note.data)
            assert validators.dciodvfy(path) == []
            assert validators.pixelmed(path) == []
            faults, tree = validators.dsrdump(path)
            assert faults == []
            assert f'"{meaning}"' in tree
