"""Events: a line each on stderr (JSON, or for people on a terminal), without patient data unless the configuration asks for it."""

import contextlib
import logging
import re
import sys
import traceback
import warnings
from collections.abc import Mapping
from typing import Any

import structlog
from structlog.typing import EventDict

from node.observe.log_form import LogForm, PeopleRenderer, for_people, in_colour

_QUOTED = re.compile("«[^»]*(?:»|$)")  # what `inference.errors.quoted` puts around values of data sets


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
        logger_factory=lambda *_: structlog.PrintLogger(_stderr),
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
