"""`routes: {needs: …}` series that the study must hold too before a route runs: which, for how long to wait for them, and what then."""

from datetime import timedelta

from ruamel.yaml.nodes import Node

from node.domain.route import NeededSeries, Needs, Otherwise
from node.settings.blocks import Block, Key, pairs
from node.settings.conditions import Conditions
from node.settings.errors import MissingKey
from node.settings.kinds import DURATION, Choice, Schema
from node.settings.source import Here, Refused


class Needed:
    """The mapping of what the operator calls the series to the conditions on each."""

    wants = "a mapping: what you call each series, and conditions on its DICOM keywords"

    def read(self, at: Node, here: Here) -> tuple[NeededSeries, ...]:
        found, sound = pairs(at, here, known=None)
        if sound and not found:
            raise here.refuse(MissingKey, at, "names no series that could be needed")
        series = []
        for name, (key, value) in found.items():
            inner = here.about(name)
            try:
                when = Conditions().read(value, inner)
                if not when:
                    raise inner.refuse(MissingKey, key, "no conditions; every series would do")
                series.append(NeededSeries(name=name, when=when))
            except Refused:
                sound = False
        if not sound:
            raise Refused
        return tuple(series)

    def schema(self) -> Schema:
        return {"type": "object", "minProperties": 1, "additionalProperties": Conditions().schema()}


def _needs(*, series: tuple[NeededSeries, ...], within: timedelta, otherwise: Otherwise) -> Needs:
    return Needs(series=series, within=within, otherwise=otherwise)


NEEDS = Block(
    build=_needs,
    keys=(
        Key(
            name="series",
            kind=Needed(),
            required=True,
            says="What you call each of them, and conditions that must all hold for some series of the study.",
        ),
        Key(
            name="within",
            kind=DURATION,
            default="10m",
            says="How long to wait for them after the last image of the series that the route takes came.",
        ),
        Key(
            name="otherwise",
            kind=Choice(of=Otherwise),
            default="park",
            says="When one is still missing then: `ignore` (the route does not run; the decision keeps the reason), `proceed` (it runs "
            "without) or `park` (the job waits for a person, or for the series).",
        ),
    ),
)
