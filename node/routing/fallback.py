"""Fallback: a route with `else: true` takes the series that no other route takes, so it is decided behind the others, when needs, roles
and the gate have answered for them. Pure functions over decisions.
"""

from collections.abc import Callable, Mapping, Sequence

from node.domain.route import Decision, Route


def in_turn(
    routes: Sequence[Route],
    decided: Callable[[Sequence[Route], Mapping[str, str]], Sequence[Decision]],
    takes: Callable[[Route, Decision], bool],
) -> list[Decision]:
    """The decisions of all routes, in the order of the routes.

    Parameters
    ----------
    decided
        Decides by some of the routes, of which fallbacks leave what others take: the names of routes by series.
    takes
        Whether something comes of what a route decided about a series, be it a job that waits.
    """
    last = [route for route in routes if route.fallback]
    first = [route for route in routes if not route.fallback]
    decisions = list(decided(first, {}))
    if not last:
        return decisions
    by_name = {route.name: route for route in first}
    taken: dict[str, str] = {}
    for one in decisions:
        if one.series_instance_uid not in taken and takes(by_name[one.route], one):
            taken[one.series_instance_uid] = one.route
    place = {route.name: number for number, route in enumerate(routes)}
    return sorted([*decisions, *decided(last, taken)], key=lambda one: place[one.route])
