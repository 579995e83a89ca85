"""The digest of a configuration: SHA-256 of what decides about routing, in one canonical text; equal digests route equally."""

import hashlib
import json
from dataclasses import replace
from typing import Any

from node.domain.profile import VIEWER, Kind
from node.domain.route import Condition, Needs, Route
from node.settings.config import Config, Sink


def digest(config: Config) -> Config:
    """The same configuration with its digest. Comments, the order of keys, and settings that do not route (time-outs) leave it as it is."""
    canonical = json.dumps(_meaning(config), sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return replace(config, digest=hashlib.sha256(canonical.encode()).hexdigest())


def _meaning(config: Config) -> dict[str, Any]:
    return {
        "called": sorted(config.node.ae_titles),
        "peers": {name: [peer.ae_title, peer.host, peer.settle.scope.value] for name, peer in config.peers.items()},
        "sinks": {name: _sink(sink) for name, sink in config.sinks.items()},
        "routes": [_route(route) for route in config.routes],
    }


def _sink(sink: Sink) -> list[Any]:
    profile = sink.profile
    # a sink that differs in the page alone means what it meant before there were profiles
    same = replace(profile, name=VIEWER.name, kinds=profile.kinds | {Kind.SC}) == VIEWER
    wants = (
        []
        if same
        else [*(profile.masks, profile.compression, profile.empty_masks, sorted(profile.kinds), profile.languages, profile.not_taken)]
    )
    return [sink.kind.value, sink.peer or "", str(sink.path or ""), Kind.SC in profile.kinds, *wants]


def _route(route: Route) -> dict[str, Any]:
    return {
        "name": route.name,
        "from": sorted(route.peers),
        "to": sorted(route.called),
        "when": sorted(_condition(condition) for condition in route.when),
        "run": sorted(route.run),
        "priority": route.priority.value,
        "send": sorted(route.send),
        "each": route.each,
        # a route without any means what it meant before there were such
        **({"any": sorted(_condition(one) for one in route.any_series)} if route.any_series else {}),
        **({"all": sorted(_condition(one) for one in route.all_series)} if route.all_series else {}),
        **({} if route.needs is None else {"needs": _needs(route.needs)}),
        **({} if route.deadline is None else {"deadline_s": route.deadline.total_seconds()}),
    }


def _needs(needs: Needs) -> list[Any]:
    series = {one.name: sorted(_condition(condition) for condition in one.when) for one in needs.series}
    return [series, needs.within.total_seconds(), needs.otherwise.value]


def _condition(condition: Condition) -> list[str]:
    return [condition.keyword, condition.operator.value, str(condition.negated), *(repr(value) for value in condition.expected)]
