"""A structure twice, as it was found and as it is."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Masks:
    """Both (Z, Y, X) on one grid."""

    found: NDArray[np.bool_]
    true: NDArray[np.bool_]
