"""Events: a line each on stderr (JSON, or for people on a terminal), without patient data unless the configuration asks for it.
For programs a line is a JSON object."""

import contextlib
import json
import logging
import os
import re
import sys
import traceback
import warnings
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

import structlog
from structlog.typing import EventDict

_LEFT: Final = ("timestamp", "process", "level", "event")
_SENTENCES: Final = ("reason", "says", "detail")
"""Fields that are read last, for they are written for people."""
_WIDTH_PROCESS, _WIDTH_NAME = 10, 26
_BOLD, _DIM, _YELLOW, _END = "\x1b[1m", "\x1b[2m", "\x1b[33m", "\x1b[0m"
_QUOTED = re.compile("«[^»]*(?:»|$)")  # what `inference.errors.quoted` puts around values of data sets


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


def start_events(process: str, level: int = logging.INFO) -> None:
    """Write this process's events to stderr; once at the start of each process. Libraries' warnings and logs are not shown any more."""
    # they quote the values that they complain of, patients' names among them, are no JSON, and a peer that sends what is none can make
    # as many and as long ones as it likes
    warnings.simplefilter("ignore")
    logging.basicConfig(handlers=[logging.NullHandler()])  # a logger without a handler would write to stderr

    def name_process(_logger: object, _method: str, fields: EventDict) -> EventDict:
        # not a context variable: the listener's threads would not have it
        return {"process": process, **fields}

    structlog.configure(
        processors=[
            name_process,
            _without_patients,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            _render,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *_: structlog.WriteLogger(_stderr),
    )


def write_as(form: LogForm) -> None:
    """From now on this process writes its events in this form; before, as stderr asks for it."""
    _render.form = form


class _Renderer:
    """Writes an event in the form that holds at that moment: a process tells events before it has read its configuration."""

    def __init__(self) -> None:
        self.form = LogForm.AUTO
        self._as_json = structlog.processors.JSONRenderer()

    def __call__(self, logger: Any, method: str, fields: EventDict) -> str | bytes:
        if for_people(self.form):
            return PeopleRenderer(colours=in_colour())(logger, method, fields)
        return self._as_json(logger, method, fields)


_render = _Renderer()


def tell_patients() -> None:
    """From now on this process's events quote values of data sets, patients' data among them."""
    _without_patients.quotes = True


class _Stderr:
    """stderr, as far as it takes what is written: a log on a full disk, or one that nobody reads any more, ends nothing but itself.

    Whoever tells an event holds a seat, a lock or an instance that is half kept, and does not expect that telling fails.
    """

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.write(text)
        return len(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.flush()


_stderr: Any = _Stderr()


class _WithoutPatients:
    """Leaves out what messages quote of data sets: «…»."""

    def __init__(self) -> None:
        self.quotes = False

    def __call__(self, _logger: object, _method: str, fields: EventDict) -> EventDict:
        return without_patients(fields)


def without_patients(said: Mapping[str, Any]) -> dict[str, Any]:
    """The same without what it quotes of data sets, unless this process tells that (`tell_patients`)."""
    return dict(said) if _without_patients.quotes else {name: _unquoted(value) for name, value in said.items()}


def _unquoted(value: Any) -> Any:
    if isinstance(value, str):
        return _QUOTED.sub("«…»", value) if "«" in value else value
    if isinstance(value, dict):
        return {name: _unquoted(one) for name, one in value.items()}
    return [_unquoted(one) for one in value] if isinstance(value, list | tuple) else value


_without_patients = _WithoutPatients()


def event(name: str, **fields: Any) -> None:
    """Something happened that an operator may look for; `name` is stable ("job.inferred"), units stand in the field names."""
    structlog.get_logger().info(name, **fields)


def alarm(name: str, **fields: Any) -> None:
    """Something happened that an operator must look at."""
    structlog.get_logger().warning(name, **fields)


def trace(defect: BaseException) -> list[str]:
    """Where an unforeseen exception came from, frame by frame, for an event; not its words, which may quote the patient."""
    return [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(defect.__traceback__)]
