"""A network that says where the middles of things lie on a single image, and how large they are; and what it is taught by.

Zhou and others 2019, "Objects as Points", over a small residual network with a way back up (Lin and others 2017, feature pyramids): it is
trained from nothing, on tens of images, by two cores.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from inference.applications.bundle.centres import EDGES

_PLANES = (8, 24, 48, 96)
_WIDE = 32
_GROUPS = 8
_RARE = -2.2
"""The first logit everywhere: a tenth, so that the first steps are not spent on the background."""
_SPREAD, _LEAST_SPREAD = 0.12, 0.5
"""Standard deviation of the hill around a middle: this share of the side, and so many places at least."""
_SIDES_COUNT = 0.5


class CentreNetwork(nn.Module):
    """(N, 1, Y, X) → (N, classes + 4, Y / 4, X / 4): logits of middles, then `centres.EDGES`."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        first, *others = _PLANES
        self.stem = _convolved(1, first, 2)
        self.stages = nn.ModuleList(
            nn.Sequential(_Residual(before, planes, 2), _Residual(planes, planes, 1))
            for before, planes in zip(_PLANES, others, strict=False)
        )
        self.across = nn.ModuleList(nn.Conv2d(planes, _WIDE, 1) for planes in others)
        self.smooth = _convolved(_WIDE, _WIDE, 1)
        self.middles = nn.Sequential(_convolved(_WIDE, _WIDE, 1), nn.Conv2d(_WIDE, classes, 1))
        self.edges = nn.Sequential(_convolved(_WIDE, _WIDE, 1), nn.Conv2d(_WIDE, EDGES, 1))
        last = self.middles[-1]
        assert isinstance(last, nn.Conv2d)
        assert last.bias is not None
        nn.init.constant_(last.bias, _RARE)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        found, levels = self.stem(images), []
        for stage, across in zip(self.stages, self.across, strict=True):
            found = stage(found)
            levels.append(across(found))
        merged = levels.pop()
        while levels:
            finer = levels.pop()
            merged = finer + functional.interpolate(merged, size=finer.shape[-2:], mode="bilinear", align_corners=False)
        merged = self.smooth(merged)
        return torch.cat([self.middles(merged), self.edges(merged)], dim=1)


def taught(classes: int, stride: int) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    """The loss of maps (N, classes + 4, Y, X) against boxes (N, M, 5), as `augment.boxed` has them: a focal loss of the middles with less
    weight around them, and how far edges are off where a middle is."""

    def loss(maps: torch.Tensor, boxes: torch.Tensor) -> torch.Tensor:
        there = boxes[:, :, 0] >= 0
        corners = boxes[:, :, 1:] / stride
        middles = (corners[:, :, :2] + corners[:, :, 2:]) / 2
        sides = (corners[:, :, 2:] - corners[:, :, :2]).clamp(min=1 / stride)
        rows, columns = maps.shape[-2:]
        # of places outside of the map there are none: a middle on the border belongs to the last
        most = torch.tensor([rows - 1, columns - 1], device=maps.device)
        at = torch.minimum(middles.floor().long().clamp(min=0), most)
        hills = _hills(middles, sides, there, rows, columns)
        kinds = functional.one_hot(boxes[:, :, 0].long().clamp(min=0), classes).to(maps.dtype)
        wanted = (hills[:, :, None] * kinds[:, :, :, None, None]).amax(dim=1)
        case, box = there.nonzero(as_tuple=True)
        hit = torch.zeros_like(wanted)
        hit[case, boxes[case, box, 0].long(), at[case, box, 0], at[case, box, 1]] = 1
        focal = _focal(maps[:, :classes], wanted, hit) / max(len(case), 1)
        return focal + _SIDES_COUNT * _off(maps[:, classes:], middles, sides, at, hills, (case, box))

    return loss


def _hills(middles: torch.Tensor, sides: torch.Tensor, there: torch.Tensor, rows: int, columns: int) -> torch.Tensor:
    """A hill around each middle, (N, M, Y, X), 1 at the middle itself."""
    spread = (_SPREAD * sides).clamp(min=_LEAST_SPREAD)
    axes = [torch.arange(count, device=middles.device) + 0.5 for count in (rows, columns)]
    down, across = (torch.exp(-((axes[axis] - middles[:, :, axis, None]) ** 2) / (2 * spread[:, :, axis, None] ** 2)) for axis in range(2))
    return down[:, :, :, None] * across[:, :, None, :] * there[:, :, None, None]


def _focal(logits: torch.Tensor, wanted: torch.Tensor, hit: torch.Tensor) -> torch.Tensor:
    probable = torch.sigmoid(logits)
    right = hit * (1 - probable) ** 2 * functional.logsigmoid(logits)
    wrong = (1 - hit) * (1 - wanted) ** 4 * probable**2 * functional.logsigmoid(-logits)
    return -(right + wrong).sum()


def _off(
    edges: torch.Tensor,
    middles: torch.Tensor,
    sides: torch.Tensor,
    at: torch.Tensor,
    hills: torch.Tensor,
    there: Sequence[torch.Tensor],
) -> torch.Tensor:
    """How far edges are off at the place of each middle and those around it, weighed by its hill."""
    case, box = there
    if not len(case):
        return edges.sum() * 0
    rows, columns = edges.shape[-2:]
    total, weights = edges.new_zeros(()), edges.new_zeros(())
    for down in (-1, 0, 1):
        for right in (-1, 0, 1):
            row, column = at[case, box, 0] + down, at[case, box, 1] + right
            inside = (row >= 0) & (row < rows) & (column >= 0) & (column < columns)
            one, other, row, column = case[inside], box[inside], row[inside], column[inside]
            way = middles[one, other] - torch.stack([row, column], dim=1) - 0.5
            wanted = torch.cat([way, sides[one, other].log()], dim=1)
            weight = hills[one, other, row, column]
            apart = functional.smooth_l1_loss(edges[one, :, row, column], wanted, beta=0.25, reduction="none").sum(dim=1)
            total, weights = total + (weight * apart).sum(), weights + weight.sum()
    return total / weights.clamp(min=1e-6)


def _convolved(before: int, planes: int, stride: int) -> Any:
    return nn.Sequential(
        nn.Conv2d(before, planes, 3, stride=stride, padding=1, bias=False), nn.GroupNorm(_GROUPS, planes), nn.ReLU(inplace=True)
    )


class _Residual(nn.Module):
    """Two convolutions beside a way around them."""

    def __init__(self, before: int, planes: int, stride: int) -> None:
        super().__init__()
        self.first = _convolved(before, planes, stride)
        self.second = nn.Sequential(nn.Conv2d(planes, planes, 3, padding=1, bias=False), nn.GroupNorm(_GROUPS, planes))
        self.around = nn.Identity() if before == planes and stride == 1 else nn.Conv2d(before, planes, 1, stride=stride, bias=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return functional.relu(self.second(self.first(images)) + self.around(images))
