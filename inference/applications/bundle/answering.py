"""Networks that classify or estimate: what they see of a single image, and what their probabilities and numbers say."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference import codes
from inference.applications.bundle.errors import ColoursMissing
from inference.applications.bundle.steps import ImageOnGrid
from inference.codes import Code
from inference.findings import Evaluation, Measurement, PredictionInterval
from inference.imaging.resample import Grid
from inference.imaging.subject import Image

_LUMA = (0.299, 0.587, 0.114)
_COLOURS = 3
_WHITE = 255
_LEAST = 1e-9
"""What an image of one value alone is divided by."""
ROUNDED = 2.0**-7
"""By how much probabilities that were computed in 16 bits may miss 0 to 1: bfloat16 has 8 significant ones."""


class Samples(StrEnum):
    """Samples per pixel (PS3.3 C.7.6.3.1.1) that a network sees of a single image.

    One grey value, colours as their luma (ITU-R BT.601); that value as a picture file of 8 bits has it; this as each of three; or red,
    green and blue.
    """

    GREY = "grey"
    PICTURE = "picture"
    COPIED = "copied"
    RGB = "rgb"

    @property
    def channels(self) -> int:
        """How many they are."""
        return 1 if self in (Samples.GREY, Samples.PICTURE) else _COLOURS


class Decides(StrEnum):
    """What makes a statement of a probability: limits of each answer; the largest of all channels, the background's among them; nothing."""

    LIMITS = "limits"
    LARGEST = "largest"
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerChannel:
    """One channel of a network that classifies as a statement.

    Where limits decide, the finding is absent below `absent`, and present from `present` on; between the two it is undetermined.
    """

    channel: int
    finding: Code
    present: float = 0.5
    absent: float = 0.5
    site: Code | None = None

    def by_limits(self, probability: float) -> Code:
        """Present, Absent or Undetermined by the two limits."""
        return codes.PRESENT if probability >= self.present else codes.ABSENT if probability < self.absent else codes.UNDETERMINED


@dataclass(frozen=True, slots=True, kw_only=True)
class NumberChannel:
    """One channel of a network that estimates as a measurement: the number is what the channel gives, in `unit`.

    `within` is how far from it the true value lies at most with the probability `level`; None where nobody knows. `least` is what the
    quantity cannot be below: neither the number nor its interval is said to be; None where there is no such bound.
    """

    channel: int
    name: Code
    unit: Code
    within: float | None = None
    level: float = 0.9
    least: float | None = None

    def of(self, value: float, images: tuple[int, ...] = ()) -> Measurement:
        """The measurement, about these images."""
        least = -math.inf if self.least is None else self.least
        value, interval = max(value, least), None
        if self.within is not None:
            interval = PredictionInterval(low=max(value - self.within, least), high=value + self.within, level=self.level)
        return Measurement(name=self.name, value=value, unit=self.unit, images=images, interval=interval)


def stated(
    answers: Sequence[AnswerChannel], decides: Decides, probabilities: NDArray[Any], images: tuple[int, ...] = ()
) -> tuple[Evaluation, ...]:
    """The statements for the probabilities of all channels (C,), about these images."""
    largest = int(probabilities.argmax())

    def value(answer: AnswerChannel) -> Code:
        if decides is Decides.NOTHING:
            return codes.UNDETERMINED
        if decides is Decides.LARGEST:
            return codes.PRESENT if answer.channel == largest else codes.ABSENT
        return answer.by_limits(float(probabilities[answer.channel]))

    return tuple(
        Evaluation(
            finding=answer.finding,
            value=value(answer),
            finding_site=answer.site,
            probability=_within_bounds(float(probabilities[answer.channel])),
            images=images,
        )
        for answer in answers
    )


def _within_bounds(probability: float) -> float:
    """From 0 to 1 but for what no rounding makes of a probability, which stays as it is and is no certainty."""
    bounded = min(max(probability, 0.0), 1.0)
    return bounded if abs(bounded - probability) <= ROUNDED else probability


def single_image(image: Image) -> ImageOnGrid:
    """A single image as (1, Y, X), within its header's window; colours as their luma. Its grid is one of pixels."""
    values = np.nan_to_num(image.pixels.astype(np.float32))
    if values.ndim == _COLOURS:
        values = values @ np.array(_LUMA, dtype=np.float32)
    elif image.window is not None:
        values = np.clip(values, *image.window)
    return _on_pixels(values)


def picture(image: Image) -> ImageOnGrid:
    """A single image as a picture file of 8 bits has it, (1, Y, X) whole numbers of 0 to 255: from the lowest to the highest value of the
    header's window, linear. Without a window values of 0 to 255 are as they are, others reach from the image's lowest to its highest."""
    seen = single_image(image)
    low, high = (float(seen.values.min()), float(seen.values.max())) if image.window is None else image.window
    if image.pixels.ndim == _COLOURS or (image.window is None and low >= 0 and high <= _WHITE):
        return seen
    values = (seen.values - low) / max(high - low, _LEAST) * _WHITE
    return replace(seen, values=np.rint(values).astype(np.float32))


def colours(image: Image) -> list[ImageOnGrid]:
    """The red, the green and the blue of a single image, each as (1, Y, X).

    Raises
    ------
    ColoursMissing
        It has one grey value a pixel.
    """
    if image.pixels.ndim != _COLOURS:
        raise ColoursMissing("the image has one grey value a pixel, and the model sees its colours")
    return [_on_pixels(image.pixels[..., colour].astype(np.float32)) for colour in range(_COLOURS)]


def _on_pixels(values: NDArray[np.float32]) -> ImageOnGrid:
    rows, columns = values.shape
    return ImageOnGrid(values=values[None].astype(np.float32), grid=Grid(shape=(1, rows, columns), affine=np.eye(4)))
