"""Values that were computed of a volume are held as its own are."""

import numpy as np
import pytest

from inference.imaging.volume import SliceSource, Volume


@pytest.mark.parametrize(
    ("held", "computed", "given"),
    [
        (np.int16, [-40000.0, -0.6, 1.5, 2.5, 40000.0], [-32768, -1, 2, 2, 32767]),
        (np.float32, [-40000.0, -0.6, 1.5, 2.5, 40000.0], [-40000.0, -0.6, 1.5, 2.5, 40000.0]),
    ],
)
def test_whole_values_stay_whole_within_sixteen_bits(held: type[np.generic], computed: list[float], given: list[float]) -> None:
    """Rounded to even and limited where the volume has whole values; left alone where it has not, in single precision."""
    volume = Volume(
        voxels=np.zeros((1, 1, 5), dtype=held),
        affine=np.eye(4),
        sources=(SliceSource(sop_instance_uid="1.2", sop_class_uid="1.3"),),
        modality="MR",
        study_instance_uid="1.4",
        series_instance_uid="1.5",
        frame_of_reference_uid="1.6",
    )
    found = volume.held_alike(np.array(computed)[None, None])
    assert found.dtype == held
    assert found[0, 0] == pytest.approx(np.array(given, dtype=held))
