"""What moved the answers of an application without code about a single image, by methods that passed the gate of its model's training.

Those of a node ask the network of changed images alone, which every engine can; what needs gradients stays with training.
"""

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from inference import codes
from inference.applications.bundle.answering import AnswerChannel
from inference.applications.bundle.finish import Activation, Finishing, voxelwise
from inference.applications.bundle.steps import ImageOnGrid
from inference.applications.occluding import OCCLUSION, occlusion
from inference.findings import Explanation
from inference.imaging.resample import Interpolation

METHODS: Final = (OCCLUSION,)
"""Those that a node can compute."""
WINDOWS = 7
"""How many squares of occlusion would lie side by side along an axis; they overlap by half."""

Ask: TypeAlias = Callable[[NDArray[np.float32]], NDArray[Any]]
"""The network's channels (N, K) for images (N, C, Y, X), before any activation."""


def problem(explained: Sequence[str], answers: Sequence[AnswerChannel], finish: Sequence[Finishing], images: bool, batch: Any) -> str:
    """What is wrong with methods that an application.json names; "" where nothing is."""
    if not explained:
        return ""
    if unknown := [method for method in explained if method not in METHODS]:
        return f'no node computes "{unknown[0]}"; of explanations there are {", ".join(METHODS)}'
    if not images or not answers or not (len(finish) == 1 and isinstance(finish[0], Activation)):
        return "explanations are of answers about single images, whose network ends in one activation"
    if not isinstance(batch, int) or batch < 1:
        return f"batch is {batch!r}, and says how many images one call takes, 1 or more"
    return ""


def explanations(
    seen: ImageOnGrid, index: int, answers: Sequence[AnswerChannel], finish: Sequence[Finishing], ask: Ask, batch: int
) -> Iterator[Explanation]:
    """What moved the likeliest of the answers about one image, on its own pixels.

    Parameters
    ----------
    seen
        What the network sees of the image: (1, Y, X), or (C, 1, Y, X), and the way back.
    index
        Of the image.
    batch
        How many images one call takes.
    """
    image = np.ascontiguousarray(seen.values.reshape(-1, *seen.values.shape[-2:]))
    said = voxelwise(ask(image[None])[0], finish)
    answer = max(answers, key=lambda one: float(said[one.channel]))
    (activation,) = finish
    assert isinstance(activation, Activation), "nothing else is read"

    def odds(images: Iterable[NDArray[np.float32]]) -> NDArray[np.float64]:
        waiting, found = iter(images), []
        while lot := list(itertools.islice(waiting, batch)):
            found += [log_odds(given, activation, answer.channel) for given in ask(np.stack(lot))]
        return np.array(found)

    side = [max(1, length // WINDOWS) for length in image.shape[1:]]
    found = occlusion(image, side, [max(1, length // 2) for length in side], odds)
    values = seen.undo(found[None], Interpolation.LINEAR)[0].astype(np.float32)
    yield Explanation(label=OCCLUSION, values=values, image=index, finding=answer.finding, quantity=codes.SALIENCY)


def log_odds(channels: NDArray[Any], activation: Activation, channel: int) -> float:
    """Of one answer, from the network's channels (K,): of a class among others, or of a finding by itself, which is its logit."""
    logits = channels.astype(np.float64)
    if not activation.softmax:
        return float(logits[channel])
    others = np.delete(logits, channel)
    return float(logits[channel] - np.logaddexp.reduce(others))
