"""Numbers of applications in Series Numbers: each application that a node runs has one of its own."""

from collections import defaultdict
from collections.abc import Mapping

from inference.applications.errors import BrokenApplication

GREATEST_SERIES = 99


def numbered(stated: Mapping[str, int]) -> dict[str, int]:
    """The number of every application that runs in one node.

    Parameters
    ----------
    stated
        By the application's name: the number that its manifest says, or 0. Those without one get, in the order of their names, the highest
        that are left: whoever writes manifests counts from 1.

    Raises
    ------
    BrokenApplication
        Two claim one number, or there are more applications than numbers.
    """
    claimed: dict[int, list[str]] = defaultdict(list)
    for name, number in sorted(stated.items()):
        if number:
            claimed[number].append(name)
    twice = [f"{' and '.join(names)} both have the number {number}" for number, names in sorted(claimed.items()) if len(names) > 1]
    if twice:
        raise BrokenApplication(f"Series Numbers tell applications apart, and {'; '.join(twice)} (`series` in their manifests)")
    free = [number for number in range(GREATEST_SERIES, 0, -1) if number not in claimed]
    without = [name for name, number in sorted(stated.items()) if not number]
    if len(without) > len(free):
        raise BrokenApplication(f"Series Numbers tell {GREATEST_SERIES} applications apart, and {len(stated)} run here")
    return {name: number for name, number in stated.items() if number} | dict(zip(without, free, strict=False))
