"""Inferers: call a bundle's network window by window over the image, or once with the whole of it, unless the repository says otherwise."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from inference.applications.port import Infer, ModelRef
from inference.engines import port
from inference.engines.calling import run
from inference.engines.port import Tiles
from inference.engines.tiling import SIGMA

Floats: TypeAlias = NDArray[np.float32]
Finish: TypeAlias = Callable[[Floats], NDArray[Any]]

_LEAST = 1e-3
"""What a voxel of a window weighs at least in MONAI."""

PADDING = {"constant": "constant", "replicate": "edge", "reflect": "reflect"}
"""How an image smaller than the window is made larger: torch's names, and numpy's."""


class Inferer(Protocol):
    """One way of calling the network; a frozen dataclass whose fields are JSON."""

    def __call__(self, infer: Infer, model: ModelRef, values: Floats, input: str, output: str, finish: Finish | None) -> NDArray[Any]:
        """The network's channels (C, …) float32 on the grid of `values`, or what `finish` makes of them, voxel by voxel."""
        ...

    def window(self, shape: tuple[int, int, int]) -> tuple[int, int, int]:
        """What the network sees of an image of this shape."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SlidingWindow:
    """Windows of `roi_size` (-1: as long as the image), blended evenly ("constant") or by a Gaussian ("gaussian")."""

    roi_size: tuple[int, int, int]
    overlap: float = 0.25
    sw_batch_size: int = 1
    mode: str = "constant"
    sigma_scale: float = SIGMA
    padding_mode: str = "constant"
    cval: float = 0.0

    def __call__(self, infer: Infer, model: ModelRef, values: Floats, input: str, output: str, finish: Finish | None) -> NDArray[Any]:
        window = self.window((values.shape[0], values.shape[1], values.shape[2]))
        padded, inside = self._padded(values, window)
        answer = run(
            infer,
            model,
            padded[None],
            input=input,
            output=output,
            by_default=Tiles(window=window, overlap=self.overlap, batch=self.sw_batch_size),
            fill=self.cval,
            sigma=self.sigma_scale if self.mode == "gaussian" else math.inf,
            least=_LEAST if self.mode == "gaussian" else 0.0,
            finish=finish,
        )
        lead = (slice(None),) * (answer.ndim - 3)
        whole: NDArray[Any] = answer[(*lead, *inside)]
        return whole

    def window(self, shape: tuple[int, int, int]) -> tuple[int, int, int]:
        first, second, third = (side if side > 0 else length for side, length in zip(self.roi_size, shape, strict=True))
        return first, second, third

    def _padded(self, values: Floats, window: tuple[int, int, int]) -> tuple[Floats, tuple[slice, ...]]:
        """The image made as large as the window with its own values, where the bundle wants that, and where the image lies in it."""
        lack = [max(side - length, 0) for side, length in zip(window, values.shape, strict=True)]
        if self.padding_mode == "constant" or not any(lack):
            return values, (slice(None),) * 3
        around = [(each // 2, each - each // 2) for each in lack]
        padded = np.pad(values, around, mode="edge" if PADDING[self.padding_mode] == "edge" else "reflect")
        inside = tuple(slice(before, before + length) for (before, _), length in zip(around, values.shape, strict=True))
        return padded, inside


@dataclass(frozen=True, slots=True, kw_only=True)
class Whole:
    """One call with the whole image."""

    def __call__(self, infer: Infer, model: ModelRef, values: Floats, input: str, output: str, finish: Finish | None) -> NDArray[Any]:
        return run(infer, model, values[None], input=input, output=output, by_default=port.WholeImage(), finish=finish)

    def window(self, shape: tuple[int, int, int]) -> tuple[int, int, int]:
        return shape


INFERERS: dict[str, Callable[..., Inferer]] = {each.__name__: each for each in (SlidingWindow, Whole)}
"""Every inferer by its name in application.json."""
