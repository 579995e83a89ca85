"""Values of plans.json and dataset.json, each looked at before it is used: of the right kind, and no larger than any image needs."""

from collections.abc import Mapping, Sequence
from typing import Any

from inference.applications.bundle.errors import HostileBundle, UnreadableBundle


def mapping(said: Any, key: str) -> Mapping[str, Any]:
    """An object of JSON."""
    if not isinstance(said, Mapping):
        raise UnreadableBundle(f"{key} is {_short(said)}, not an object")
    return said


def must(said: Mapping[str, Any], key: str, kind: type[Any]) -> Any:
    """What stands at a key, of a kind."""
    value = said.get(key)
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise UnreadableBundle(f"{key} is {_short(value)}; plans of nnU-Net say it otherwise")
    return value


def truth(said: Mapping[str, Any], key: str, without: bool) -> bool:
    """Yes or no."""
    value = said.get(key, without)
    if not isinstance(value, bool):
        raise UnreadableBundle(f"{key} is {_short(value)}, neither true nor false")
    return value


def number(said: Mapping[str, Any], key: str, least: int, most: int) -> int:
    """A whole number within bounds."""
    return whole(said.get(key), key, least, most)


def whole(value: Any, key: str, least: int, most: int) -> int:
    """A whole number within bounds.

    Raises
    ------
    UnreadableBundle, HostileBundle
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise UnreadableBundle(f"{key} is {_short(value)}, not a whole number from {least} on")
    if value > most:
        raise HostileBundle(f"{key} is {value}, more than {most}")
    return value


def counts(said: Any, stages: int, key: str, most: int) -> tuple[int, ...]:
    """A whole number for each stage, or one for all."""
    each = said if isinstance(said, Sequence) and not isinstance(said, str) else [said] * stages
    if len(each) != stages:
        raise UnreadableBundle(f"{key} has {len(each)} entries for {stages} stages")
    return tuple(whole(one, key, 1, most) for one in each)


def sides(said: Any, axes: int, key: str, most: int) -> tuple[int, ...]:
    """A whole number for each axis."""
    if not isinstance(said, Sequence) or isinstance(said, str) or len(said) != axes:
        raise UnreadableBundle(f"{key} is {_short(said)}, not {axes} whole numbers")
    return tuple(whole(one, key, 1, most) for one in said)


def positive(said: Any, key: str) -> float:
    """A number above 0."""
    if isinstance(said, bool) or not isinstance(said, int | float) or not 0 < said < 1e9:
        raise UnreadableBundle(f"{key} is {_short(said)}, not a number above 0")
    return float(said)


def finite(said: Any, key: str) -> float:
    """A number."""
    if isinstance(said, bool) or not isinstance(said, int | float) or not abs(said) < 1e12:
        raise UnreadableBundle(f"{key} is {_short(said)}, not a number")
    return float(said)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"
