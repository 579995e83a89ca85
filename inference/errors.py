"""The root of hilum's errors and those that an analysis may raise; the node's own errors stand in node.domain.errors."""

from typing import ClassVar

_MOST_QUOTED = 64


class HilumError(Exception):
    """Something hilum can name: a stable code, a sentence, what a person can do, and whether a retry helps.

    Every concrete class sets its own `code`; docs/reference/errors.md lists them all and a test compares.
    """

    code: ClassVar[str] = "HLM-0000"
    remedy: ClassVar[str] = "Report this as a defect of hilum, with the event log."
    retry: ClassVar[bool] = False


class InputError(HilumError):
    """The images cannot be analysed as they are; a person decides (the job is parked)."""

    code = "HLM-3000"
    remedy = "Look at the series: the reason names the instances. Cancel the job, or send a corrected series."


class EngineError(HilumError):
    """The engine could not answer; the same job may succeed later."""

    code = "HLM-4000"
    remedy = "Run `hilum doctor`: it asks every engine."
    retry = True


class ModelError(HilumError):
    """The model repository lacks the model, or holds another one than the application was made for."""

    code = "HLM-4100"
    remedy = "Run `hilum models list` and `hilum models import APPLICATION`, then `hilum jobs retry`."


def quoted(value: object) -> str:
    """What a data set says, inside a message: «…». The journal keeps it for a person; the log leaves out what stands between the marks.

    Values of data sets may be about the patient, wherever they stand: a name where a number belongs is what makes a message.
    """
    # ASCII has no such marks: nothing that is quoted can end the quotation
    return f"«{ascii(str(value))[1:-1][:_MOST_QUOTED]}»"
