"""Masks of shifted windows while a network is traced: MONAI's own, voxel by voxel, and from values."""

import pytest

from inference.applications.bundle.shifted_windows import regions_kept

torch = pytest.importorskip("torch")
swin_unetr = pytest.importorskip("monai.networks.nets.swin_unetr")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sides", "window", "shift"), [((14, 7, 21), (7, 7, 7), (3, 3, 3)), ((4, 8, 4), (4, 4, 4), (0, 2, 0)), ((8, 12), (4, 4), (2, 2))]
)
def test_masks_are_those_of_monai(sides: tuple[int, ...], window: tuple[int, ...], shift: tuple[int, ...]) -> None:
    """In volumes and pictures, shifted or not; in a trace no region is filled any more; afterwards MONAI's function is its own."""
    from torch.fx.experimental.proxy_tensor import make_fx

    own = swin_unetr.compute_mask
    expected = own(sides, window, shift, torch.device("cpu"))
    with regions_kept():
        traced = make_fx(lambda image: image + swin_unetr.compute_mask(sides, window, shift, image.device))(torch.zeros(()))
    assert swin_unetr.compute_mask is own
    assert torch.equal(traced(torch.zeros(())), expected)
    assert len(traced.graph.nodes) < 12
    if any(shift):
        assert expected.any()
