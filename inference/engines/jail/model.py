"""A model whose code runs in a process of its own: loaded there, called like a function, loaded again after its process died."""

import math
import os
import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.engines.choosing import said_of
from inference.engines.errors import EngineTimeout, WrongTensors
from inference.engines.execution import Execution, Runtime, installed, reference
from inference.engines.extras import demand
from inference.engines.jail import messages
from inference.engines.jail.errors import JailBroken, ModelHung, Unconfined
from inference.engines.jail.loading import to_json
from inference.engines.jail.memory import Copies, KeptSharedMemory
from inference.engines.jail.process import AnswerLimits, Arrays, Jailed
from inference.engines.measured import Measured
from inference.engines.modelconfig import ModelConfig
from inference.engines.pinned import is_pinned
from inference.engines.port import Golden, ModelRef
from inference.engines.processors import usable_memory
from inference.errors import quoted

CALL_S, VALUES_A_SECOND = 120.0, 20_000
"""How long an answer may take: a start, and a second for so many values of the input. Networks here take a hundredth of it."""
LOAD_S, BYTES_A_SECOND = 120.0, 2_000_000
"""How long loading may take: a start, and a second for so many bytes of the file."""
SHARE = 0.8
"""Of the memory of the machine, for the models of all workers."""
_MOST_AXES = 16
_NUMBERS = re.compile(r"[<>|][biuf]\d{1,2}")
"""What numpy may be asked for a type with: it evaluates some forms of longer ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a model may take, and whether one that can carry a program may be loaded where the kernel cannot confine it.

    `together` is what the models of a worker may keep between calls; None: as much as one may take.
    """

    memory: int
    together: int | None = None
    allow_code: bool = False

    @staticmethod
    def usual(workers: int = 1, *, memory: int | None = None, allow_code: bool = False) -> "Limits":
        """As the configuration says; without `memory`, a worker's share of most of the machine's."""
        share = int(usable_memory() * SHARE / max(1, workers))
        # who gives one model more than the share means it
        return Limits(memory=memory or share, together=max(share, memory or 0), allow_code=allow_code)


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """How a model is computed; `instead` is why in another way than the one that was asked for, "" where it is that one."""

    execution: Execution
    threads: int
    instead: str

    @property
    def runtime(self) -> str:
        return said_of(self.execution, self.threads)


class ModelInJail:
    """A model in a confined process; call it with arrays by tensor name, from any thread: calls take turns.

    Parameters
    ----------
    content
        Gives the bytes of the file, each time that the model is loaded; a process that died is replaced at the next call.
    execution
        The only way to compute it; None: the measured one, or the file's own library, as `choosing.open_model` says.
    seen
        Is told of this model each time that its memory was looked at: while it is loaded, while it computes, and after that.
    """

    def __init__(
        self,
        model: ModelRef,
        config: ModelConfig,
        file: Path,
        content: Callable[[], bytes],
        *,
        threads: int,
        limits: Limits,
        execution: Execution | None = None,
        measured: Measured | None = None,
        golden: Golden | None = None,
        seen: "Callable[[ModelInJail], None] | None" = None,
    ) -> None:
        self._what = f'model "{model.name}" version {model.version}'
        self._said = to_json(model, config, file, threads, execution=execution, measured=measured, golden=golden)
        self._file = file
        self._content = content
        self._limits = limits
        self._threads = threads
        self._lock = threading.Lock()
        self._process: Jailed | None = None
        first = execution or (measured.execution if measured else reference(file))
        self._imports = imports_of(file.name) if first.runtime is Runtime.TORCH and installed(Runtime.TORCH) else ()
        self.inputs, self.outputs, self.copies = KeptSharedMemory(), KeptSharedMemory(), Copies()
        """What it keeps from call to call: memory that its process can write into, and that of its answers, which it cannot reach."""
        self._given: list[dict[str, Any]] = []
        self._answered: Arrays = {}
        """Shapes and types of the last answer, without memory."""
        self._seen = seen
        self._resident = 0
        self.used_at = 0.0

    @property
    def warm(self) -> bool:
        """Whether its process is there."""
        process = self._process
        return process is not None and process.alive

    @property
    def pid(self) -> int | None:
        """The number of its process."""
        process = self._process
        return process.pid if process is not None and process.alive else None

    @property
    def memory(self) -> int:
        """Bytes that it keeps: those of its process, when they were last looked at, and those that are shared with it from call to call."""
        return self._resident + self.inputs.size + self.outputs.size + self.copies.size

    def open(self) -> Opened:
        """Load it, now.

        Raises
        ------
        Unconfined
            The file can carry a program, and this kernel confines nothing.
        EngineError, ModelError
            As loading it says; its process died, hung or took too much.
        """
        with self._lock:
            self.used_at = time.monotonic()
            return self._open()

    def __call__(self, inputs: Mapping[str, NDArray[Any]], *, ends_at: float | None = None) -> Arrays:
        """Compute; `ends_at` is the time on the monotonic clock when the caller has no more use for the answer.

        Raises
        ------
        EngineError, ModelError
            As the model's library says; its process died, hung or took too much.
        """
        if not self._lock.acquire(timeout=-1 if ends_at is None else max(0.0, ends_at - time.monotonic())):
            raise EngineTimeout(f"{self._what}: another call was under way until the deadline")
        try:
            self.used_at = time.monotonic()
            if not self.warm:
                self._open()
            assert self._process is not None, "it was just opened"
            return self._computed(self._process, inputs, ends_at)
        finally:
            self._lock.release()

    def end(self, *, wait: bool = True) -> bool:
        """End its process; False where a call is under way and is not waited for. It is loaded again when it is called again."""
        if not self._lock.acquire(blocking=wait):
            return False
        try:
            if self._process is not None:
                self._process.end()
            self._process, self._resident = None, 0
            self.inputs.give_back()
            self.outputs.give_back()
            self.copies.give_back()
            return True
        finally:
            self._lock.release()

    def _open(self) -> Opened:
        content = self._content()
        process = Jailed(self._imports)
        try:
            refuse_unconfined(self._what, process, carries_code=carries_code(self._file.name, content), limits=self._limits)
            bounds = AnswerLimits(seconds=LOAD_S + len(content) / BYTES_A_SECOND, memory=self._limits.memory, seen=self._look)
            said = given(self._what, process, {**self._said, "do": "load"}, content, bounds)
            try:
                opened = Opened(execution=Execution.named(str(said["way"])), threads=self._threads, instead=str(said["instead"] or ""))
            except (KeyError, ValueError) as nonsense:
                raise JailBroken(f"{self._what}: it does not say how it is computed") from nonsense
        except BaseException:  # raised again: no process stays behind a model that was not loaded
            process.end()
            raise
        self._process = process
        return opened

    def _look(self, resident: int) -> None:
        self._resident = resident
        if self._seen is not None:
            self._seen(self)

    def _computed(self, process: Jailed, inputs: Mapping[str, NDArray[Any]], ends_at: float | None) -> Arrays:
        rows, size = messages.layout(inputs)
        longest = time.monotonic() + CALL_S + sum(array.size for array in inputs.values()) / VALUES_A_SECOND
        until = longest if ends_at is None else min(longest, ends_at)
        bounds = AnswerLimits(seconds=max(0.0, until - time.monotonic()), memory=self._limits.memory, seen=self._look)
        given = self.inputs.of(size)
        messages.copy_into(self.inputs.memory, rows, inputs)
        asked = {"do": "compute", "inputs": rows, "size": size}
        # inputs as those of the last call have an answer of its shapes, most likely: what is computed there needs not be written twice
        alike, self._given = rows == self._given, rows
        offered = alike and bool(self._answered)
        meant, room = messages.layout(self._answered)
        try:
            if offered:
                answer = process.ask(self._what, {**asked, "outputs": meant, "room": room}, bounds, given, self.outputs.of(room))
            else:
                answer = process.ask(self._what, asked, bounds, given)
            self._answered = checked(self._what, answer.get("outputs"), self._limits.memory)
            rows, size = messages.layout(self._answered)
            # where none was offered, what lies there is the answer to an earlier call, whatever is said
            if not offered or rows != meant or answer.get("there") is not True:
                process.ask(self._what, {"do": "hand over"}, bounds, self.outputs.of(size))
            # its own memory stays within its reach: what is believed is a copy
            return self.copies.of(self.outputs.memory, rows, size)
        except ModelHung as late:
            if until == ends_at:
                raise EngineTimeout(f"{self._what}: the deadline passed while it was computed; its process was ended") from late
            raise
        except WrongTensors:
            # OpenVINO, which computes ONNX, can be spoilt by sides that a network does not take: it was seen to die of them in a later call
            if Path(self._file.name).suffix == ".onnx":
                process.end()
            raise
        except JailBroken:
            process.end()
            raise
        finally:
            self.inputs.shrink()
            self.outputs.shrink()
            self.copies.shrink()
            self._look(self._resident if process.alive else 0)


def imports_of(file: str) -> tuple[str, ...]:
    """What is imported once for all processes that load such a file by its own library."""
    match Path(file).suffix:
        case ".onnx":
            return ()
        case ".pt2":
            # the last is what an exported program's sizes are looked at with: 0.3 s of each process that loads one
            return ("torch", "torch._dynamo", "torch.export._trace")
        case _:
            return ("torch",)


def carries_code(file: str, content: bytes) -> bool:
    """Whether a model's file can carry a program of an author whom nobody vouches for: all but ONNX, which is a graph of operators.

    torch evaluates text of a torch.export file as Python; the sieve holds each such text to a grammar of sizes, and would be all that
    stands before it where the kernel confines nothing.
    """
    return Path(file).suffix != ".onnx" and not is_pinned(content)


def refuse_unconfined(what: str, process: Jailed, *, carries_code: bool, limits: Limits) -> None:
    """Refuse what can carry a program where the kernel does not confine it, unless it is allowed.

    Raises
    ------
    Unconfined
    """
    if not process.confined.whole and not limits.allow_code and carries_code:
        raise Unconfined(f"{what} can carry a program, and this kernel lacks {process.confined.lacking()}")


def given(what: str, process: Jailed, said: Mapping[str, Any], content: bytes, bounds: AnswerLimits) -> dict[str, Any]:
    """Ask with a file's bytes beside the question."""
    place = messages.shared_memory(len(content))
    try:
        messages.put_bytes(place, content)
        return process.ask(what, {**said, "size": len(content)}, bounds, place)
    finally:
        os.close(place)


def checked(what: str, outputs: Any, most: int) -> Arrays:
    """Arrays without memory of the shapes and types that a process says; numbers only."""
    shapes: Arrays = {}
    total = 0
    try:
        for row in outputs:
            said, shape = str(row["dtype"]), row["shape"]
            if not _NUMBERS.fullmatch(said):
                raise JailBroken(f"{what}: it gives an array of {quoted(said)}")
            dtype = np.dtype(said)
            sides = all(type(side) is int and 0 <= side <= most for side in shape) and len(shape) <= _MOST_AXES
            if not dtype.isnative or not sides:
                raise JailBroken(f"{what}: it gives an array of {dtype} and {len(shape)} axes")
            total += math.prod(shape) * dtype.itemsize
            if total > most:
                raise JailBroken(f"{what}: it gives {total / 2**30:.1f} GiB")
            shapes[str(row["name"])] = np.broadcast_to(np.zeros((), dtype), tuple(shape))
    except (TypeError, ValueError, KeyError) as nonsense:
        raise JailBroken(f"{what}: it does not say what it computed") from nonsense
    return shapes


def computation_in_jail(
    model: ModelRef, execution: Execution, config: ModelConfig, file: Path, content: bytes, threads: int, limits: Limits
) -> ModelInJail:
    """A model loaded to be computed in one way: `runtimes.computation`, in a process of its own, which ends when nobody holds it.

    Raises
    ------
    Unconfined, EngineError, ModelError
    """
    made = ModelInJail(model, config, file, lambda: content, threads=threads, limits=limits, execution=execution)
    made.open()
    return made


def call_in_jail(
    what: str,
    function: str,
    content: bytes,
    arguments: Mapping[str, Any],
    *,
    limits: Limits,
    carries_code: bool,
    imports: Sequence[str] = (),
    seconds: float | None = None,
) -> tuple[Any, bytes]:
    """Run one of hilum's own functions on a file's bytes in a confined process of its own.

    Parameters
    ----------
    function
        "inference.engines.deriving:tensors": takes the bytes and the arguments by name, gives what JSON can say, or that and bytes.
    carries_code
        Whether the file can carry a program that the function may run.
    seconds
        None: as long as loading a file of this size may take.

    Returns
    -------
    tuple
        What the function gave; nothing in it is to be trusted.

    Raises
    ------
    Unconfined, EngineError, ModelError
    """
    demand(what, *(name for name in imports if "." not in name))
    process = Jailed(imports)
    try:
        refuse_unconfined(what, process, carries_code=carries_code, limits=limits)
        bounds = AnswerLimits(seconds=seconds or LOAD_S + len(content) / BYTES_A_SECOND, memory=limits.memory)
        said = given(what, process, {"do": "call", "function": function, "arguments": dict(arguments)}, content, bounds)
        count = said.get("bytes")
        if type(count) is not int or not 0 <= count <= limits.memory:
            raise JailBroken(f"{what}: it does not say how much it made")
        if count == 0:
            return said.get("value"), b""
        place = messages.shared_memory(count)
        try:
            process.ask(what, {"do": "hand over"}, bounds, place)
            return said.get("value"), messages.taken_bytes(place, count)
        finally:
            os.close(place)
    finally:
        process.end()
