"""The node's errors: one tree with inference.errors.HilumError at its root; codes are stable, docs/reference/errors.md lists them."""

import errno

from inference.errors import HilumError, InputError, ModelError


class ConfigError(HilumError):
    """The configuration is refused at start; the message begins with file:line:column."""

    code = "HLM-2000"
    remedy = "Correct the line and run `hilum config check`."


class RefusedError(HilumError):
    """An instance or association is refused with a DIMSE status; nothing was acknowledged."""

    code = "HLM-1000"
    remedy = "The sender keeps the instance; see the reason in the event log."
    status: int = 0xA700


class PixelsGone(InputError):
    """Pixels that the job needs were deleted by retention."""

    code = "HLM-3081"
    remedy = "Send the study again and `hilum jobs retry JOB` (or keep pixels longer: `store: {keep: …}`)."


class AnotherVersion(ModelError):
    """A route of the job asks for a version of the application that is not the one installed, or served, here."""

    code = "HLM-4184"
    remedy = (
        "Bring that version back (`hilum models rollback`, or the package of before), or write the version that is here into the `run` of "
        "the route and `hilum config reload`; then `hilum jobs retry JOB`. Where the route is to ask for none any more, or has another "
        "name by now, send the study again."
    )


class ApplicationUnaccepted(ModelError):
    """A route of the job asks for an application that is accepted here, and this one is not, in this version and with these models."""

    code = "HLM-4185"
    remedy = (
        "`hilum evaluate APPLICATION --data STUDIES`, look at its card, `hilum models accept APPLICATION`, `hilum jobs retry JOB`; or go "
        "back to the models that were accepted (`hilum models rollback`). Where it cannot be tested: take `accepted: required` out of the "
        "route, and send the study again."
    )


class ResultError(HilumError):
    """A result object did not pass its check and was not sent."""

    code = "HLM-5000"
    remedy = "Report this as a defect, with the job's identifier; nothing wrong has left the node."


class SourcesUnfit(ResultError):
    """The headers of the sources and the volume that was analysed do not belong together."""

    code = "HLM-5010"
    remedy = "Run `hilum jobs retry JOB`: the series is analysed again. If it stays, report this as a defect."


class SourcesNameless(SourcesUnfit):
    """The sources say to no study, or to no series, that they belong."""

    code = "HLM-5011"
    remedy = "Send the series again with the study and series UIDs that were taken from it, or cancel the job."


class DeliveryError(HilumError):
    """The sink is away or out of resources; the delivery is tried again by itself."""

    code = "HLM-6000"
    remedy = "Run `hilum doctor`: it asks every sink."
    retry = True


class DeliveryRefused(DeliveryError):
    """The sink refuses the object for good; a person decides."""

    code = "HLM-6100"
    remedy = "Ask the sink's administrator with the status in the reason, then `hilum jobs resend`."
    retry = False


class JournalError(HilumError):
    """The journal or the blobs cannot be written or read."""

    code = "HLM-7000"
    remedy = "Look at the disk (`hilum doctor`); senders are answered 0xA700 and keep their instances until it is mended."
    retry = True


_THE_MACHINES = frozenset({errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.EINTR, errno.ENOSPC, errno.EDQUOT, errno.EROFS})


def is_of_the_file(failed: OSError) -> bool:
    """Whether other files may do all the same (EIO, EACCES, …), so that one need not hold up the others."""
    return failed.errno not in _THE_MACHINES
