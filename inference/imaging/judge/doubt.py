"""Doubts: signs that speak against a picture, each with its value in words, and whether it is only unusual or cannot be."""

from dataclasses import dataclass

from inference.translatable import Translatable


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubt:
    """One sign that is not as usual.

    Attributes
    ----------
    said
        For people, a clause ("it is as high as it is long").
    impossible
        Beyond what was ever seen of the part: one such sign is enough to decline.
    """

    said: Translatable
    impossible: bool


MOST_DOUBTS = 2
"""Unusual signs that one patient may have; more of them together decline."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """A sign's usual and possible values; None is no bound."""

    usual: tuple[float | None, float | None]
    possible: tuple[float | None, float | None]

    def doubt(self, value: float, said: Translatable) -> list[Doubt]:
        """What a value speaks against; nothing within the usual."""
        if _within(value, self.usual):
            return []
        return [Doubt(said=said, impossible=not _within(value, self.possible))]


def _within(value: float, bounds: tuple[float | None, float | None]) -> bool:
    low, high = bounds
    return (low is None or value >= low) and (high is None or value <= high)


def declines(doubts: list[Doubt]) -> bool:
    """Whether these are too many, or one of them cannot be."""
    return any(doubt.impossible for doubt in doubts) or len(doubts) > MOST_DOUBTS
