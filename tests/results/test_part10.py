"""Objects are named by their own bytes: the UIDs of every kind recomputed from the file alone, by pydicom and by arithmetic."""

from io import BytesIO

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import SecondaryCaptureImageStorage

from docs.example_results import examples
from node.domain.profile import Kind
from node.results.part10 import INSTANCE_TO_COME, named
from node.results.pixels import Pixels
from node.results.port import ResultMisidentified
from tests.lab.own_uids import digest_of, uid_of


@pytest.mark.slow
@pytest.mark.parametrize("number", [0, 1], ids=["first hospital", "second hospital"])
def test_every_kind_is_named_by_its_own_bytes(number: int) -> None:
    """All kinds and forms, deflated and compressed ones too; the series is named by its one object, or by all of its images in order."""
    series: dict[str, list[str]] = {}
    for one in examples()[number].objects:
        digest = digest_of(one.data)
        assert one.sop_instance_uid == uid_of("instance", digest), (one.kind, one.form)
        dataset = pydicom.dcmread(BytesIO(one.data), specific_tags=["SOPInstanceUID", "SeriesInstanceUID"])
        assert dataset.SOPInstanceUID == dataset.file_meta.MediaStorageSOPInstanceUID == one.sop_instance_uid
        assert dataset.SeriesInstanceUID == one.series_instance_uid
        series.setdefault(one.series_instance_uid, []).append(digest)
    assert {uid: uid_of("series", *digests) for uid, digests in series.items()} == {uid: uid for uid in series}
    assert any(len(digests) > 1 for digests in series.values())
    assert len(series) > len(Kind)


def dataset_of(words: str) -> Dataset:
    """The least that is written."""
    made = Dataset()
    made.SOPClassUID, made.SpecificCharacterSet, made.ImageComments = SecondaryCaptureImageStorage, "ISO_IR 192", words
    return made


def test_one_bit_of_pixels_is_another_object() -> None:
    """Pixels that are written straight into the file count as much as what stands in the data set."""

    def written(last: int) -> str:
        def write(out: np.ndarray) -> None:
            out[-1] = last

        return named(dataset_of("pixels"), Pixels(vr=b"OB", size=1 << 16, write=write)).sop_instance_uid

    assert written(0) == written(0)
    assert len({written(0), written(1), written(2)}) == 3


def test_shorter_uids_are_drawn_again() -> None:
    """Three of a hundred digests give a UID of 42 characters or fewer, which would not fill the place that was kept for it."""
    uids = [made for words in range(400) for made in [named(dataset_of(str(words)))]]
    for one in uids:
        dataset = pydicom.dcmread(BytesIO(one.data))
        assert (dataset.SOPInstanceUID, dataset.SeriesInstanceUID) == (one.sop_instance_uid, one.series_instance_uid)
        assert one.sop_instance_uid == uid_of("instance", digest_of(one.data))
    assert {len(one.sop_instance_uid) for one in uids} == {43, 44}


def test_an_object_cannot_refer_to_itself() -> None:
    """Its name would be part of what it is named by: refused, rather than sent with the name of a place."""
    made = dataset_of("itself")
    item = Dataset()
    item.ReferencedSOPInstanceUID = INSTANCE_TO_COME
    made.ReferencedInstanceSequence = [item]
    with pytest.raises(ResultMisidentified, match="refers to itself"):
        named(made)
