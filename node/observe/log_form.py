"""The forms of the log: a JSON object a line for programs, a line for people on a terminal."""

import json
import os
import sys
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from structlog.typing import EventDict

_LEFT: Final = ("timestamp", "process", "level", "event")
_SENTENCES: Final = ("reason", "says", "detail")
"""Fields that are read last, for they are written for people."""
_WIDTH_PROCESS, _WIDTH_NAME = 10, 26
_BOLD, _DIM, _YELLOW, _END = "\x1b[1m", "\x1b[2m", "\x1b[33m", "\x1b[0m"


class LogForm(StrEnum):
    """How events are written to stderr."""

    AUTO = "auto"
    JSON = "json"
    PEOPLE = "people"


def for_people(form: LogForm) -> bool:
    """Whether events are written for people: where it is left open, on a terminal."""
    return form is LogForm.PEOPLE or (form is LogForm.AUTO and _on_terminal())


def in_colour() -> bool:
    """Whether stderr shows colours: a terminal, where nobody asked for none (no-color.org)."""
    return _on_terminal() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def _on_terminal() -> bool:
    try:
        return sys.stderr.isatty()
    except (AttributeError, ValueError):  # there is none, or it is closed
        return False


class PeopleRenderer:
    """One event as a line: the time of day here, the process, the name, the fields, and last what is a sentence. A terminal is shown no
    character that it obeys: peers choose what they call themselves."""

    def __init__(self, *, colours: bool) -> None:
        self._colours = colours

    def __call__(self, _logger: object, _method: str, fields: EventDict) -> str:
        at = datetime.fromisoformat(str(fields["timestamp"])).astimezone()
        alarming = fields.get("level") not in (None, "info", "debug")
        facts = {name: value for name, value in fields.items() if name not in _LEFT and value not in (None, "")}
        sentences = [str(facts.pop(name)) for name in _SENTENCES if isinstance(facts.get(name), str)]
        said = [f"{name}={_value(value)}" for name, value in facts.items()]
        if sentences:
            said.append(_visible(": ".join(sentences)))
        name = f"{fields['event']:<{_WIDTH_NAME}}"
        return " ".join(
            (
                self._in(_DIM, f"{at:%H:%M:%S}"),
                self._in(_DIM, f"{fields.get('process', ''):<{_WIDTH_PROCESS}}"),
                self._in(_YELLOW if alarming else _BOLD, name),
                *said,
            )
        ).rstrip()

    def _in(self, colour: str, text: str) -> str:
        return f"{colour}{text}{_END}" if self._colours else text


def _value(value: Any) -> str:
    if isinstance(value, str):
        return _visible(value) if value and " " not in value and "=" not in value else f'"{_visible(value)}"'
    if isinstance(value, Mapping | list | tuple):
        return json.dumps(value, default=str)
    return str(value)


def _visible(text: str) -> str:
    return text if text.isprintable() else "".join(one if one.isprintable() else f"\\x{ord(one):02x}" for one in text)
