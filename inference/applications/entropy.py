"""Entropy: how unsure a network that marks structures is of each voxel, by the probabilities that decide."""

from collections.abc import Iterable
from typing import Final

import numpy as np
from numpy.typing import NDArray

ENTROPY: Final = "Entropy"


def entropy(probabilities: Iterable[NDArray[np.float32]], count: int, *, exclusive: bool) -> NDArray[np.float32]:
    """Of the probabilities (…) of `count` channels, as a share of the largest that there can be, (…).

    Exclusive ones are taken as shares of their sum: beside what the network saw they are interpolated with nothing, and it is no less sure
    there. Where it saw nothing, 0.
    """
    found: NDArray[np.float32] | None = None
    total: NDArray[np.float32] | None = None
    for one in probabilities:
        p = np.clip(one, 0, 1, dtype=np.float32)
        mine = _plogp(p) if exclusive else _plogp(p) + _plogp(1 - p)
        found = mine if found is None else np.add(found, mine, out=found) if exclusive else np.minimum(found, mine, out=found)
        if exclusive:
            total = p if total is None else np.add(total, p, out=total)
    assert found is not None, "a network has channels"
    if total is not None:
        seen = np.where(total > 0, total, np.float32(1))
        found = np.subtract(found / seen, np.log(seen), dtype=np.float32)
    # rounding may leave a little more than all that there can be, or less than nothing
    share: NDArray[np.float32] = np.clip(found / np.float32(-np.log(count if exclusive else 2)), 0, 1, dtype=np.float32)
    return share


def _plogp(p: NDArray[np.float32]) -> NDArray[np.float32]:
    # 0 · log 0 is 0
    found: NDArray[np.float32] = p * np.log(np.where(p > 0, p, np.float32(1)))
    return found
