"""What can be wrong with an application, with a series for it, and with what it said."""

from inference.errors import HilumError, InputError, ModelError

FOREIGN_CODE_FAILS = (
    ImportError,
    SyntaxError,
    NameError,
    AttributeError,
    TypeError,
    ValueError,
    LookupError,
    ArithmeticError,
    AssertionError,
    RuntimeError,
    OSError,
)
"""What somebody else's code may raise while it is imported or called, short of ending the process."""


class UnknownApplication(HilumError):
    """No folder and no entry point has this name."""

    code = "HLM-2801"
    remedy = "Correct the name, or add the application's folder to `models: {applications: […]}`."


class BrokenApplication(HilumError):
    """The application's folder is there, but its code or its manifest is wrong."""

    code = "HLM-2802"
    remedy = "Correct the application's folder; docs/howto/write-an-application.md shows a complete one."


class NotAccepted(InputError):
    """What the application declares of series excludes this one: its modality, slices, spacing, extent or plane, as its headers say."""

    code = "HLM-3101"
    remedy = (
        "Nothing need be done: the application is not applicable to the series, which ends its job. Where it should be, send a series that "
        "fits, or correct its headers and send it again; the reason says what does not fit."
    )


class UndeclaredOutput(ModelError):
    """The application said something that its manifest does not declare; nothing of it is reported."""

    code = "HLM-4201"
    remedy = "Report this to the application's author: manifest (`outputs`) and code do not belong together."


class InvalidOutput(ModelError):
    """The application said something that cannot be true: a mask on another grid, a number that is none, a label twice."""

    code = "HLM-4202"
    remedy = "Report this to the application's author, with the job's identifier; nothing of it was reported."
