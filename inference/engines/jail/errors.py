"""What can go wrong with a model's process: it died, it took too long or too much, it said nonsense, or the kernel cannot confine it."""

from inference.engines.errors import EngineTimeout, OutOfMemory
from inference.errors import EngineError, ModelError


class ModelDied(EngineError):
    """The process that computes this one model ended in the middle of a call; the worker itself goes on."""

    code = "HLM-4032"
    remedy = (
        "The message says how it ended: signal 9 mostly means that the machine ran out of memory, 6 and 11 that a library broke. "
        "The job is tried again in a fresh process, as often as `attempts` says."
    )


class ModelHung(EngineTimeout):
    """A model did not answer in the time that the size of its input explains; its process was ended."""

    code = "HLM-4033"
    remedy = (
        "The job is tried again by itself, as often as `attempts` says. A model that hangs every time computes without end, or on a "
        "machine that is far too slow for it: `hilum models verify MODEL` runs it on a small input."
    )


class MemoryBound(OutOfMemory):
    """A model took more memory than one model may; its process was ended before the machine ran out."""

    code = "HLM-4034"
    remedy = "Give the engine more (`engines: {default: {memory: …}}`), or the model smaller tiles."


class JailBroken(ModelError):
    """A model's process said or did what hilum's own code in it never does: the model took it over, or a library wrote over its memory."""

    code = "HLM-4109"
    remedy = "Do not use the model before you know where it came from; nothing that it said was used."


class Unconfined(ModelError):
    """This kernel cannot confine a model's process, and the model's format can carry a program."""

    code = "HLM-4110"
    remedy = (
        "Run the node on a kernel with Landlock and seccomp filters (`hilum doctor` says what is missing), serve the model as ONNX "
        "(`hilum models convert`, on a machine that has both), or, if you trust its author as you trust a program that you install, write "
        "`allow_code: true` for the engine; `hilum models import` takes `--allow-code`."
    )
