"""`hours:` of a route: when the study came, by the clock of `schedule: {timezone: …}`."""

from ruamel.yaml.nodes import Node, SequenceNode

from node.domain.route import WEEKDAYS, Window
from node.settings.blocks import Block, Key
from node.settings.conditions import times_of_day
from node.settings.kinds import Choice, Schema, Several
from node.settings.source import Here, MissingKey, Refused


class TimesOfDay:
    """A begin and an end."""

    wants = "two times of the day such as `[22:00, 06:00]`"

    def read(self, at: Node, here: Here) -> tuple[str, str]:
        return times_of_day(at, here)

    def schema(self) -> Schema:
        return {"type": "array", "items": {"type": "string"}, "minItems": 2, "maxItems": 2}


def _window(*, between: tuple[str, str] | None, weekday: tuple[str, ...] | None) -> Window:
    return Window(between=between, weekdays=weekday or ())


WINDOW = Block(
    build=_window,
    keys=(
        Key(
            name="between",
            kind=TimesOfDay(),
            says="From the first time of the day until before the second, over midnight where that is earlier.",
        ),
        Key(
            name="weekday",
            kind=Several(of=Choice(of=WEEKDAYS), bare=True, least=1),
            says="Days of the week; over midnight that on which the window began.",
        ),
    ),
)


class Windows:
    """A window, or a list of them of which one is enough."""

    wants = "a mapping, below, or a list of such of which one holds"
    of = WINDOW

    def read(self, at: Node, here: Here) -> tuple[Window, ...]:
        if isinstance(at, SequenceNode) and not at.value:
            raise here.refuse(MissingKey, at, "an empty list; no study comes in none of its hours")
        found: list[Window] = []
        sound = True
        for one in at.value if isinstance(at, SequenceNode) else [at]:
            try:
                window = WINDOW.read(one, here)
                if window == Window():
                    raise here.refuse(MissingKey, one, "neither `between` nor `weekday`; every study comes then")
                found.append(window)
            except Refused:
                sound = False
        if not sound:
            raise Refused
        return tuple(found)

    def schema(self) -> Schema:
        return {**WINDOW.schema(), "type": ["object", "array"], "items": {"$ref": "#/$defs/window"}, "minItems": 1}
