"""A narrative goes with the masks that its sentences refer to: one for binary masks, one for each other form that its readers get."""

from io import BytesIO
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread

from node.domain.profile import ARCHIVE, Kind, Language, Profile
from node.results.encode import encode
from node.results.port import Encoded
from tests.results import made

LABEL_MAP = "1.2.840.10008.5.1.4.1.1.66.7"
BINARY = "1.2.840.10008.5.1.4.1.1.66.4"


def written(tmp_path: Path, *profiles: Profile) -> list[Encoded]:
    files = made.series(tmp_path, made.AXIAL)
    return encode(made.encoding(files, made.one_segment(made.AXIAL), profiles=profiles))


def referred(one: Encoded) -> set[str]:
    """The segmentations that a narrative or a PDF names."""
    dataset = dcmread(BytesIO(one.data))
    items: list[Dataset] = list(dataset.get("SourceInstanceSequence") or ())
    for study in dataset.get("CurrentRequestedProcedureEvidenceSequence") or ():
        for series in study.ReferencedSeriesSequence:
            items += series.ReferencedSOPSequence
    return {str(item.ReferencedSOPInstanceUID) for item in items if item.ReferencedSOPClassUID in (LABEL_MAP, BINARY)}


@pytest.mark.slow
def test_each_narrative_refers_to_the_masks_of_its_form(tmp_path: Path) -> None:
    """Else a reader who got label maps would hold sentences about binary masks that nobody sent."""
    objects = written(tmp_path, ARCHIVE, Profile(name="reading", kinds=frozenset({Kind.NARRATIVE}), languages=(Language.CHINESE,)))
    masks = {one.form: one.sop_instance_uid for one in objects if one.kind is Kind.SEG}
    found = {(one.kind.value, one.form): referred(one) for one in objects if one.kind in (Kind.NARRATIVE, Kind.PDF)}
    assert found == {
        ("narrative", "en"): {masks["binary"]},
        ("narrative", "en+labelmap+rle"): {masks["labelmap+rle"]},
        ("narrative", "zh"): {masks["binary"]},
        ("pdf", "en"): {masks["binary"]},
        ("pdf", "en+labelmap+rle"): {masks["labelmap+rle"]},
    }


@pytest.mark.slow
def test_what_another_sink_wants_changes_nothing_in_a_narrative(tmp_path: Path) -> None:
    """The English one about binary masks is the same object, bit for bit, with label maps beside it or without."""
    reading = Profile(name="reading", kinds=frozenset({Kind.NARRATIVE}))
    alone = next(one for one in written(tmp_path / "a", reading) if one.kind is Kind.NARRATIVE)
    beside = next(one for one in written(tmp_path / "a", reading, ARCHIVE) if (one.kind, one.form) == (Kind.NARRATIVE, "en"))
    assert alone == beside
