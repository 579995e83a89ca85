"""Where voxels are put: in memory, or, where there are very many, in a file that the system may write out when it needs the memory."""

import tempfile
from typing import Any

import numpy as np
from numpy.typing import NDArray

MAPPED_BYTES = 1 << 30
"""From this size on an array lies in a file: two thousand slices of 512 x 512."""


def space(shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    """An array of this shape, to be filled.

    A large one is a memory map of a file without a name in the folder for temporary files (TMPDIR): its pages count as the system's
    cache, not as memory that only the end of the process gives back, and it is gone with the last view of it.
    """
    size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    if size < MAPPED_BYTES:
        return np.empty(shape, dtype=dtype)
    with tempfile.TemporaryFile(prefix="hilum-voxels-") as file:
        return np.memmap(file, dtype=dtype, mode="w+", shape=shape)
