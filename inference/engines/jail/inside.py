"""What runs in a confined process: it loads one model and computes it, or runs one of hilum's own functions on an untrusted file."""

import io
import os
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from importlib import import_module
from typing import Any

from inference.engines.errors import ComputationFailed
from inference.engines.errors import OutOfMemory as NoMemory
from inference.engines.execution import ComputesInto
from inference.engines.jail.loading import load
from inference.engines.jail.messages import (
    MOST_TEXT,
    arrays,
    hear_with_descriptors,
    layout,
    mapped,
    put,
    put_bytes,
    say,
    taken,
    taken_bytes,
)
from inference.errors import HilumError

_OWN = "inference."


class Lossy(io.TextIOBase):
    """Standard output of a process whose pipe may be full: what does not fit is dropped."""

    def writable(self) -> bool:
        return True

    def write(self, text: str, /) -> int:
        with suppress(OSError):
            os.write(1, text.encode(errors="replace"))
        return len(text)


def serve(channel: socket.socket) -> None:
    """Answer the worker until it is gone."""
    process = _Process()
    while True:
        try:
            said, descriptors = hear_with_descriptors(channel)
        except (EOFError, ConnectionError):
            return
        try:
            answer = process.answer(said, descriptors)
        except HilumError as refused:
            answer = {"error": type(refused).__name__, "text": str(refused)[:MOST_TEXT]}
        except MemoryError:
            answer = {"error": NoMemory.__name__, "text": "the process has no more memory"}
        except Exception as failed:  # noqa: BLE001  (whatever a model makes a library raise: the worker names the model)
            answer = {"error": ComputationFailed.__name__, "text": f"{type(failed).__name__}: {failed}"[:MOST_TEXT]}
        finally:
            for descriptor in descriptors:
                os.close(descriptor)
        say(channel, answer)


class _Process:
    """One model, or one function; what it made waits here until the worker has sent memory for it."""

    def __init__(self) -> None:
        self._compute: Callable[[Mapping[str, Any]], dict[str, Any]] | None = None
        self._arrays: dict[str, Any] = {}
        self._bytes = b""

    def answer(self, said: Mapping[str, Any], descriptors: list[int]) -> dict[str, Any]:
        match said["do"]:
            case "load":
                self._compute, answer = load(said, taken_bytes(descriptors[0], said["size"]))
                return answer
            case "compute":
                assert self._compute is not None, "a model is loaded first"
                inputs = taken(descriptors[0], said["inputs"], said["size"])
                if len(descriptors) > 1 and self._computed_into(inputs, descriptors[1], said):
                    return {"outputs": said["outputs"], "there": True}
                self._arrays = self._compute(inputs)
                return {"outputs": layout(self._arrays)[0]}
            case "call":
                return self._call(said, taken_bytes(descriptors[0], said["size"]))
            case "hand over":
                put(descriptors[0], self._arrays)
                put_bytes(descriptors[0], self._bytes)
                self._arrays, self._bytes = {}, b""
                return {}
            case other:
                raise ValueError(f"nothing is called {other!r}")

    def _computed_into(self, inputs: Mapping[str, Any], place: int, said: Mapping[str, Any]) -> bool:
        """Compute into the worker's memory; False where this computation cannot, or answers in other shapes today."""
        compute: object = self._compute
        if not isinstance(compute, ComputesInto):
            return False
        return compute.into(inputs, arrays(mapped(place, said["room"]), said["outputs"]))

    def _call(self, said: Mapping[str, Any], content: bytes) -> dict[str, Any]:
        module, _, name = said["function"].partition(":")
        assert module.startswith(_OWN), "hilum's own functions alone"
        result = getattr(import_module(module), name)(content, **said["arguments"])
        value, self._bytes = result if isinstance(result, tuple) else (result, b"")
        return {"value": value, "bytes": len(self._bytes)}
