"""Withdrawals as other programs read them: valid, with the title that says why, naming exactly what is withdrawn."""

from io import BytesIO
from pathlib import Path

import pytest
from highdicom.ko import KeyObjectSelection
from pydicom import dcmread

from docs.example_results import examples
from node.domain.profile import Kind
from tests.lab import validators

EXPECTED = (("113037", "Rejected for Patient Safety Reasons", 3), ("113001", "Rejected for Quality Reasons", 4))


@pytest.mark.peers
@pytest.mark.slow
def test_validators_and_highdicom_read_both_notes(tmp_path: Path) -> None:
    """dciodvfy and DCMTK find no error; highdicom reads as many references as are withdrawn, the first objects of each example."""
    for number, (example, (code, meaning, count)) in enumerate(zip(examples(), EXPECTED, strict=True)):
        (note,) = [one for one in example.objects if one.kind is Kind.WITHDRAWAL]
        path = tmp_path / f"{number}.dcm"
        path.write_bytes(note.data)
        assert validators.dciodvfy(path) == []
        faults, tree = validators.dsrdump(path)
        assert faults == []
        assert meaning in tree
        read = dcmread(BytesIO(note.data))
        assert read.ConceptNameCodeSequence[0].CodeValue == code
        named = {
            str(one.ReferencedSOPSequence[0].ReferencedSOPInstanceUID)
            for one in KeyObjectSelection.from_sequence([read])[0].ContentSequence
            if "ReferencedSOPSequence" in one
        }
        assert named == {one.sop_instance_uid for one in example.objects[:count]}
