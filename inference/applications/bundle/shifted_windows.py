"""Masks of shifted windows (Swin UNETR), computed once when a network is exported.

MONAI computes at every call which voxels of a window lie beside each other in the image (Liu et al., Swin Transformer, section 3.2), region
by region, from nothing but the window's sides. Traced, that is nine of ten operators of the network: minutes of an import, and work at each
inference.
"""

import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any


@contextmanager
def regions_kept() -> Iterator[None]:
    """What is traced meanwhile holds the regions of each window as values, where its sides are numbers.

    Only one trace at a time: MONAI's function is another one meanwhile.
    """
    module: Any = sys.modules.get("monai.networks.nets.swin_unetr")
    if module is None:
        # nothing that was built attends to windows
        yield
        return
    import torch

    traced = module.compute_mask

    def compute_mask(dims: Sequence[Any], window_size: Sequence[int], shift_size: Sequence[int], device: Any) -> Any:
        if not all(type(side) is int for side in dims):
            return traced(dims, window_size, shift_size, device)
        # tracing is a thread's own: in another one there are values
        with ThreadPoolExecutor(1) as untraced:
            regions = untraced.submit(lambda: _regions(traced(dims, window_size, shift_size, torch.device("cpu")))).result().to(device)
        # the mask itself, of every pair of voxels, would be larger than the weights
        apart = regions.unsqueeze(1) != regions.unsqueeze(2)
        return torch.where(apart, -100.0, 0.0)

    module.compute_mask = compute_mask
    try:
        yield
    finally:
        module.compute_mask = traced


def _regions(mask: Any) -> Any:
    """Of each voxel of each window (windows, voxels) the first that it may attend to; of a mask (windows, voxels, voxels), 0 or -100."""
    return (mask == 0).int().argmax(dim=-1).int()
