"""Which route takes which series, beside a second evaluator that was written on its own: samples aside, all that decides between routes and
between series, on made routes and studies. Roles: what the rules promise of whatever is made.
"""

import itertools
import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from inference.applications.port import Accepts, Role, Takes
from node.domain.route import Route
from node.routing.decisions import SeriesView, decide, seen
from node.routing.roles import roles_filled
from node.routing.untaken import in_turn
from node.settings.routes import ROUTES, refuse_lone_choices, with_clock
from node.settings.schedule import SCHEDULE
from node.settings.source import Here, child, snippet
from tests.unit.flow.mini import APPLICATION

NOW = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
HERE = Here(file="", folder=Path(), names={"applications": {"a"}, "sinks": {"s"}, "peers": {"ct1", "ct2"}, "called": set()})
PARTS, KERNELS = ("CHEST", "HEAD"), ("SOFT", "SHARP")
SOFT = {"ConvolutionKernel": "SOFT"}
PREFERENCES = (["thinnest"], [SOFT], ["newest", "thinnest"], [SOFT, "most images"], ["thinnest", SOFT, "newest"])
HOURS = (
    {"between": ["11:00", "13:00"]},
    {"between": ["13:00", "11:00"]},
    {"weekday": "tue"},
    [{"weekday": "sun"}, {"between": ["12:59", "13:01"]}],
)
IN_HOURS = (False, True, True, True)
"""Whether one in the afternoon of a Tuesday lies in each: noon in UTC is that in Berlin in winter."""


def made_routes(chance: random.Random) -> list[dict[str, Any]]:
    """As YAML has them."""
    made: list[dict[str, Any]] = []
    for number in range(chance.randint(1, 4)):
        one: dict[str, Any] = {"name": f"r{number}", "run": "a", "send": "s"}
        if chance.random() < 0.6:
            one["when"] = chance.choice(({"BodyPartExamined": chance.choice(PARTS)}, SOFT, {"SliceThickness": {"max": 2}}))
        if chance.random() < 0.15:
            one["disabled"] = True
        if chance.random() < 0.2:
            one["from"] = chance.choice(("ct1", "ct2"))
        if chance.random() < 0.3:
            one["hours"] = chance.choice(HOURS)
        if chance.random() < 0.3:
            one["else"] = True
        kind = chance.random()
        if kind < 0.2:
            one["each"] = True
        elif kind < 0.6 and "else" not in one:
            one["choose"] = chance.choice("xy")
        if kind >= 0.2 and chance.random() < 0.5:
            one["prefer"] = chance.choice(PREFERENCES)
        made.append(one)
    for name in "xy":
        sharing = [one for one in made if one.get("choose") == name]
        order = next((one["prefer"] for one in sharing if "prefer" in one), None)
        for one in sharing:
            if len(sharing) == 1:
                del one["choose"]
            elif "prefer" in one:
                one["prefer"] = order
    return made


def made_series(chance: random.Random) -> list[dict[str, Any]]:
    """Thickness, images, numbers and times that are alike often enough for every rule to decide."""
    return [
        {
            "images": chance.choice((0, 20, 20, 30)),
            "BodyPartExamined": chance.choice(PARTS),
            "ConvolutionKernel": chance.choice(KERNELS),
            **({"SliceThickness": chance.choice((1.0, 1.0, 5.0))} if chance.random() < 0.9 else {}),
            **({"SeriesNumber": chance.choice((1, 2, 3))} if chance.random() < 0.9 else {}),
            **({"SeriesDate": chance.choice(("20260309", "20260310"))} if chance.random() < 0.9 else {}),
        }
        for _ in range(chance.randint(1, 5))
    ]


def view(number: int, made: Mapping[str, Any]) -> SeriesView:
    header = {key: (value,) for key, value in made.items() if key != "images"}
    one = seen(f"1.{number}", [("1.2.840.10008.5.1.4.1.1.2", {"Modality": ("CT",), **header})])
    return replace(one, instances=max(1, made["images"]), images=made["images"], without=("KO",) if not made["images"] else ())


def asked(route: Mapping[str, Any], one: Mapping[str, Any]) -> bool:
    """Whether the conditions of a made route hold for a made series, sent by ct1 at noon in UTC."""
    if route.get("disabled") or route.get("from") == "ct2":
        return False
    if "hours" in route and not IN_HOURS[HOURS.index(route["hours"])]:
        return False
    wants = route.get("when", {}).items()
    return all(one.get(key, 9) <= 2 if key == "SliceThickness" else one[key] == wanted for key, wanted in wants)


EVERY_ROUTES = ("most images", "thinnest", "lowest number")


def better(order: Sequence[Any], one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether the first comes before the second, in this order; of two that are alike neither does."""
    for word in order:
        mine, theirs = (
            {
                "thinnest": -each.get("SliceThickness", 999.0),
                "most images": each["images"],
                "newest": int(each.get("SeriesDate", "0")),
                "lowest number": -each.get("SeriesNumber", 999),
            }[word]
            if isinstance(word, str)
            else each["ConvolutionKernel"] == "SOFT"
            for each in (one, other)
        )
        if mine != theirs:
            return bool(mine > theirs)
    return False


def chosen(routes: Sequence[Mapping[str, Any]], series: Sequence[Mapping[str, Any]], barred: set[tuple[str, int]]) -> set[tuple[str, int]]:
    """By the page of the reference: (route, series). `barred` are those of which no application of the route is for the series."""
    taken: set[tuple[str, int]] = set()
    for last in (False, True):
        turn = [route for route in routes if route.get("else", False) is last]
        left = {number for number in range(len(series)) if not last or number not in {at for _, at in taken}}
        found = set()
        for choice in dict.fromkeys(route.get("choose", route["name"]) for route in turn):
            sharing = [route for route in turn if route.get("choose", route["name"]) == choice]
            pairs = [(route["name"], at) for at in sorted(left) for route in sharing if series[at]["images"] and asked(route, series[at])]
            if sharing[0].get("each"):
                found |= set(pairs)
                continue
            pairs = [one for one in pairs if one not in barred] or pairs
            order: list[Any] = next((route["prefer"] for route in sharing if "prefer" in route), [])
            best = [one for one in pairs if not any(better([*order, *EVERY_ROUTES], series[other], series[one[1]]) for _, other in pairs)]
            first = [one for one in best if one[1] == min(at for _, at in best)]  # of two that are alike the first UID
            found |= set(first[:1])
        taken |= found
    return taken


def test_a_second_evaluator_agrees_on_what_routes_take() -> None:
    """Fifteen hundred studies: `prefer`, `each`, `choose`, `else`, `hours`, `from`, `disabled`, and what no application is for."""
    chance = random.Random(77)
    berlin = SCHEDULE.read(snippet("timezone: Europe/Berlin"), HERE).timezone
    several = 0
    for _ in range(1_500):
        made, studied = made_routes(chance), made_series(chance)
        tree = snippet(json.dumps({"routes": made}))
        here = replace(HERE, problems=[])
        listed = child(tree, "routes")
        assert listed is not None
        routes = with_clock(ROUTES.read(listed, here), berlin, listed, here)
        refuse_lone_choices(routes, listed, here)
        assert here.problems == []
        barred = {(one["name"], at) for one in made for at in range(len(studied)) if chance.random() < 0.2}
        views = [view(at, one) for at, one in enumerate(studied)]

        def decided(of: Sequence[Route], taken: Mapping[str, str], *, views: list[SeriesView] = views, barred: Any = barred) -> Any:
            def excluded(route: Route, seen_as: SeriesView) -> bool:
                return (route.name, int(seen_as.series_instance_uid[2:])) in barred

            return decide(of, views, peer="ct1", calling="CT1", called="HILUM", now=NOW, excluded=excluded, taken=taken, came=NOW)

        found = in_turn(routes, decided, lambda _, one: one.chosen)
        takes = {(one.route, int(one.series_instance_uid[2:])) for one in found if one.chosen}
        assert takes == chosen(made, studied, barred), (made, studied, barred)
        several += len(takes) > 1
    assert several > 250


def test_roles_are_filled_as_the_rules_promise() -> None:
    """A thousand studies: what fills a role holds its conditions; none fills two; the order of the series changes nothing; a role stays
    empty only where each series that it could have fills another one, or several are alike to what the route prefers."""
    chance = random.Random(69)
    roles = tuple(Role(name=name) for name in ("one", "two", "three"))
    application = replace(APPLICATION, accepts=Accepts(modality=("CT",), takes=Takes.VOLUMES), roles=roles)
    filled = 0
    for _ in range(1_000):
        asks = [{"BodyPartExamined": chance.choice(PARTS)}, SOFT, {"SliceThickness": {"max": 2}}]
        conditions = {role.name: chance.choice(asks) for role in roles}
        made: dict[str, Any] = {
            "name": "r",
            "run": "a",
            "send": "s",
            "roles": conditions,
            "prefer": chance.choice((["thinnest"], ["most images", SOFT])),
        }
        (route,) = ROUTES.read(snippet(json.dumps([made])), HERE)
        studied = [{**one, "images": max(20, one["images"])} for one in made_series(chance)]
        views = [view(at, one) for at, one in enumerate(studied)]
        answer = roles_filled(route, application, views, NOW)
        has = {role: int(uid[2:]) for role, uid in answer.series.items()}
        assert len(set(has.values())) == len(has)
        fits = {role: [at for at, one in enumerate(studied) if asked({"when": when}, one)] for role, when in conditions.items()}
        for role, at in has.items():
            assert at in fits[role]
        for role in fits.keys() - has.keys():
            left = [at for at in fits[role] if at not in has.values()]
            order = made["prefer"]
            ahead = [at for at in left if all(better(order, studied[at], studied[other]) for other in left if other != at)]
            assert len(left) != 1, (made, studied)
            assert not ahead, (made, studied)
        for turned in itertools.islice(itertools.permutations(views), 1, 4):
            assert roles_filled(route, application, turned, NOW).series == answer.series
        filled += len(has)
    assert filled > 1_000
