"""The node's errors: one tree with inference.errors.HilumError at its root; codes are stable, docs/reference/errors.md lists them."""

from inference.errors import HilumError


class ConfigError(HilumError):
    """The configuration is refused at start; the message begins with file:line:column."""

    code = "HLM-2000"
    remedy = "Correct the line and run `hilum config check`."


class RefusedError(HilumError):
    """An instance or association is refused with a DIMSE status; nothing was acknowledged."""

    code = "HLM-1000"
    remedy = "The sender keeps the instance; see the reason in the event log."
    status: int = 0xA700


class ResultError(HilumError):
    """A result object did not pass its check and was not sent."""

    code = "HLM-5000"
    remedy = "Report this as a defect, with the job's identifier; nothing wrong has left the node."


class DeliveryError(HilumError):
    """The sink is away or out of resources; the delivery is tried again by itself."""

    code = "HLM-6000"
    remedy = "Run `hilum doctor`; the delivery is tried again by itself."
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
