"""Sequences that the node writes itself are what pydicom writes: every object, taken apart and written by pydicom, has the same bytes."""

from io import BytesIO
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from node.domain.profile import Compression, MaskEncoding, Profile
from node.results.encode import encode
from node.results.pixels import Pixels
from node.results.port import ResultTooLong
from tests.results import made

PROFILES = (
    Profile(name="label maps", masks=MaskEncoding.LABELMAP),
    Profile(name="compressed", masks=MaskEncoding.LABELMAP, compression=Compression.RLE),
)


def rewritten(data: bytes) -> bytes:
    """Every element parsed, every sequence built of data sets, all of it written anew."""
    dataset = pydicom.dcmread(BytesIO(data))

    def forget(level: Dataset) -> None:
        for element in level:
            if element.VR == "SQ":
                for item in element.value:
                    forget(item)
                    item.is_undefined_length_sequence_item = False
                element.is_undefined_length = False
        # as if nothing had ever been read: nothing is written as it stood
        level.set_original_encoding(None, None, "")

    forget(dataset)
    file = BytesIO()
    pydicom.dcmwrite(file, dataset, implicit_vr=False, little_endian=True, enforce_file_format=True)
    return file.getvalue()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["classic", "enhanced", "two apart", "two that overlap"])
def test_objects_are_what_pydicom_writes(kind: str, tmp_path: Path) -> None:
    """One segment (shared by all frames), several (each frame names its own), single-frame and multi-frame sources."""
    files = made.enhanced(tmp_path) if kind == "enhanced" else made.series(tmp_path)
    mask = made.blob()
    other = np.roll(mask, 1, axis=2) if kind == "two that overlap" else np.roll(mask, 1, axis=2) & ~mask
    segments = [made.segment("one", mask)] + ([made.segment("other", other)] if kind.startswith("two") else [])
    objects = encode(made.encoding(files, made.measured(*segments, affine=made.AXIAL), profiles=PROFILES))
    forms = {one.form for one in objects if one.kind == "seg"}
    assert forms == ({"binary"} if kind == "two that overlap" else {"binary", "labelmap", "labelmap+rle"})
    for one in objects:
        # what pydicom reads of fragments it writes as fragments
        assert rewritten(one.data) == one.data


def test_pixels_that_no_element_can_hold_are_refused() -> None:
    """PS3.5 7.1: lengths have 32 bits; refused by name before any memory is taken."""
    beyond = Pixels(vr=b"OB", size=2**32, write=lambda out: None)
    with pytest.raises(ResultTooLong):
        beyond.append_to(BytesIO())
