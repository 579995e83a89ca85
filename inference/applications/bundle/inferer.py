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
from inference.engines.port import Tensors, Tiles
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
        """The network's channels (C, …) float32 on the grid of `values` (Z, Y, X) or (C, Z, Y, X), or what `finish` makes of them."""
        ...

    def window(self, shape: tuple[int, int, int]) -> tuple[int, int, int]:
        """What the network sees of an image of this shape."""
        ...

    def sides(self, window: tuple[int, int, int]) -> tuple[int, ...]:
        """Those axes of a window that the network's tensors have."""
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
        image = values.reshape(-1, *values.shape[-3:])
        window = self.window((image.shape[1], image.shape[2], image.shape[3]))
        padded, inside = self._padded(image, window)
        answer = run(
            infer,
            model,
            padded,
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

    def sides(self, window: tuple[int, int, int]) -> tuple[int, ...]:
        return window

    def _padded(self, values: Floats, window: tuple[int, int, int]) -> tuple[Floats, tuple[slice, ...]]:
        """The image (C, …) made as large as the window with its own values, where the bundle wants that, and where it lies in it."""
        shape = values.shape[1:]
        lack = [max(side - length, 0) for side, length in zip(window, shape, strict=True)]
        if self.padding_mode == "constant" or not any(lack):
            return values, (slice(None),) * 3
        around = [(each // 2, each - each // 2) for each in lack]
        padded = np.pad(values, [(0, 0), *around], mode="edge" if PADDING[self.padding_mode] == "edge" else "reflect")
        inside = tuple(slice(before, before + length) for (before, _), length in zip(around, shape, strict=True))
        return padded, inside


@dataclass(frozen=True, slots=True, kw_only=True)
class Slices(SlidingWindow):
    """Windows one voxel thick along `axis`, for a network of two axes: slice by slice."""

    axis: int

    def __call__(self, infer: Infer, model: ModelRef, values: Floats, input: str, output: str, finish: Finish | None) -> NDArray[Any]:
        flat: Any = _Flat(infer, self.axis + 2, input, output)
        # a class with slots is made anew, which super() without arguments does not know
        return SlidingWindow.__call__(self, flat, model, values, input, output, finish)

    def sides(self, window: tuple[int, int, int]) -> tuple[int, ...]:
        return tuple(side for axis, side in enumerate(window) if axis != self.axis)


@dataclass(frozen=True, slots=True)
class _Flat:
    """Calls whose windows lose the axis along which they are one voxel thick, and get it back; the bundle says how they are cut."""

    infer: Infer
    axis: int
    input: str
    output: str

    def __call__(self, model: ModelRef, tensors: Tensors, /) -> dict[str, NDArray[Any]]:
        answer = self.infer(model, {**tensors, self.input: tensors[self.input].squeeze(self.axis)})
        return {self.output: np.expand_dims(answer[self.output], self.axis)}

    def at_once(self, model: ModelRef) -> int:
        """As many as the engine says of its own calls."""
        return self.infer.at_once(model)


@dataclass(frozen=True, slots=True, kw_only=True)
class Whole:
    """One call with the whole image."""

    def __call__(self, infer: Infer, model: ModelRef, values: Floats, input: str, output: str, finish: Finish | None) -> NDArray[Any]:
        image = values.reshape(-1, *values.shape[-3:])
        return run(infer, model, image, input=input, output=output, by_default=port.WholeImage(), finish=finish)

    def window(self, shape: tuple[int, int, int]) -> tuple[int, int, int]:
        return shape

    def sides(self, window: tuple[int, int, int]) -> tuple[int, ...]:
        return window


INFERERS: dict[str, Callable[..., Inferer]] = {each.__name__: each for each in (SlidingWindow, Slices, Whole)}
"""Every inferer by its name in application.json."""
