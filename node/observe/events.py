"""Events: one JSON line each on stderr, without patient data unless the configuration asks for it."""

import logging
import sys
import traceback
import warnings
from collections.abc import Callable, Collection, Mapping
from typing import Any

import structlog
from structlog.typing import EventDict

_heard: dict[str, Callable[[str, Mapping[str, Any]], None]] = {}


def start_events(process: str, level: int = logging.INFO) -> None:
    """Write this process's events to stderr; call once at the start of every process. Libraries' warnings are not shown any more."""
    # they quote the values that they complain of, patients' names among them, and are no JSON
    warnings.simplefilter("ignore")

    def name_process(_logger: object, _method: str, fields: EventDict) -> EventDict:
        # not a context variable: the listener's threads would not have it
        return {"process": process, **fields}

    structlog.configure(
        processors=[
            name_process,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
    )


def event(name: str, **fields: Any) -> None:
    """Something happened that an operator may look for; `name` is stable ("job.inferred"), units stand in the field names."""
    structlog.get_logger().info(name, **fields)
    _pass_on(name, fields)


def alarm(name: str, **fields: Any) -> None:
    """Something happened that an operator must look at."""
    structlog.get_logger().warning(name, **fields)
    _pass_on(name, fields)


def hear(names: Collection[str], listener: Callable[[str, Mapping[str, Any]], None]) -> None:
    """Have `listener` called with each event of these names that this process tells from now on, in the thread that tells it."""
    _heard.update(dict.fromkeys(names, listener))


def hear_no_more() -> None:
    """Forget every listener."""
    _heard.clear()


def _pass_on(name: str, fields: Mapping[str, Any]) -> None:
    listener = _heard.get(name)
    if listener is not None:
        listener(name, fields)


def trace(defect: BaseException) -> list[str]:
    """Where an unforeseen exception came from, frame by frame, for an event; not its words, which may quote the patient."""
    return [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(defect.__traceback__)]
