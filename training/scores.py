"""Figures that recipes share."""

import numpy as np
from numpy.typing import NDArray


def dice(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    """Dice's coefficient of two masks, 0 to 1; NaN where both are empty."""
    sizes = int(np.count_nonzero(one)) + int(np.count_nonzero(other))
    return 2 * int(np.count_nonzero(one & other)) / sizes if sizes else float("nan")
