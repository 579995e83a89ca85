"""The mask of a segment: what is read is what was given, whatever is held of it."""

import copy
import pickle
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from inference import codes
from inference.findings import Segment

SHAPE = (20, 512, 512)
"""5 MiB: large enough to be held as a box."""


def segment(mask: NDArray[np.bool_]) -> Segment:
    return Segment(label="made", mask=mask, category=codes.TISSUE, type=codes.LUNG, rgb=(1, 2, 3))


def masks() -> dict[str, NDArray[np.bool_]]:
    """Nothing, one voxel in a corner, a cloud in a small box, one that nearly fills its grid, a small grid, and one that lies across."""
    rng = np.random.default_rng(5)
    none, corner, cloud, wide = (np.zeros(SHAPE, dtype=np.bool_) for _ in range(4))
    corner[-1, -1, -1] = True
    cloud[3:9, 100:220, 300:380] = rng.random((6, 120, 80)) < 0.3
    wide[1:, 5:, :500] = rng.random((19, 507, 500)) < 0.5
    small = rng.random((5, 7, 11)) < 0.2
    return {"none": none, "corner": corner, "cloud": cloud, "wide": wide, "small": small, "across": np.asfortranarray(cloud)}


@pytest.mark.parametrize("name", sorted(masks()))
def test_a_mask_is_read_as_it_was_given(name: str) -> None:
    """Whole, by its shape, by what it fills, by planes across each axis and by parts; of copies and of what is pickled too."""
    mask = masks()[name]
    given = segment(mask.copy())
    renamed = replace(given, label="another")
    for one in (given, renamed, copy.deepcopy(given), pickle.loads(pickle.dumps(renamed))):
        np.testing.assert_array_equal(one.mask, mask)
        assert one.mask.dtype == np.bool_
        assert one.shape == mask.shape
        assert one.has_voxels == (np.count_nonzero(mask) > 0)
    (z, y, x), inside = given.inside
    marked = np.argwhere(mask)
    if marked.size:
        assert [z.start, y.start, x.start] == marked.min(axis=0).tolist()
        assert [z.stop - 1, y.stop - 1, x.stop - 1] == marked.max(axis=0).tolist()
    else:
        assert inside.size == 0
    np.testing.assert_array_equal(inside, mask[z, y, x])
    for axis, side in enumerate(mask.shape):
        for index in (0, side // 3, side - 1):
            np.testing.assert_array_equal(given.plane(index, axis), mask.take(index, axis))
    for box in ((slice(2, 5), slice(None), slice(3, 9)), (slice(0, 4), slice(90, 130), slice(None, 310)), (slice(4, 4),) * 3):
        np.testing.assert_array_equal(given.part(box), mask[box])


def test_a_small_structure_of_a_large_grid_takes_the_memory_of_its_box() -> None:
    """The whole array that was given is not held; one that is made can not be written to, for nobody would read it there."""
    mask = masks()["cloud"]
    one = segment(mask)
    mask[...] = True
    assert np.count_nonzero(one.mask) == np.count_nonzero(masks()["cloud"])
    assert len(pickle.dumps(one)) < 100_000
    with pytest.raises(ValueError, match="read-only"):
        one.mask[0, 0, 0] = True


def test_a_segment_without_a_mask_is_refused() -> None:
    """It has no default, though a class attribute stands where one would."""
    with pytest.raises(TypeError, match="mask"):
        Segment(label="made", category=codes.TISSUE, type=codes.LUNG, rgb=(1, 2, 3))
