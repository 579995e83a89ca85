"""Why a request or a report of storage commitment is refused, and why a peer does not commit."""

from node.domain.errors import DeliveryError, RefusedError

_OF_COMPOSITE = 0xA000
_RESOURCE_LIMITATION = 0x0213


def status_of(refused: RefusedError) -> int:
    """The status of a normalised operation; 0xA700, what a C-STORE is told when there is no room, has no meaning there (PS3.7 C.5)."""
    return refused.status if refused.status < _OF_COMPOSITE else _RESOURCE_LIMITATION


class BadCommitment(RefusedError):
    """A request or a report of storage commitment that names no transaction, or no instances (PS3.4 tables J.3-1 and J.3-2)."""

    code = "HLM-1061"
    remedy = "Report this to the sender's vendor; nothing was committed to."
    status = 0x0115


class TooMuchToCommit(RefusedError):
    """A request of storage commitment that is longer than any study."""

    code = "HLM-1062"
    remedy = "The sender must ask in several requests, each of a study or less."
    status = 0x0213


class CommitmentFailed(DeliveryError):
    """The peer could not take the request for storage commitment now."""

    code = "HLM-6051"
    remedy = "It is asked again by itself, under another transaction."


class ReportNotTaken(DeliveryError):
    """A peer that asked this node to commit does not take the report."""

    code = "HLM-6052"
    remedy = "It is sent again by itself, for a day. Check that the peer listens at the address that the configuration has for it."


class NoCommitment(DeliveryError):
    """The peer does not offer storage commitment to this node."""

    code = "HLM-6151"
    remedy = (
        "Let the peer's administrator allow it (Storage Commitment Push Model, 1.2.840.10008.1.20.1) for this node's AE title, then `hilum "
        "jobs resend JOB`; or give the sink `commitment: wanted`, or `no`."
    )
    retry = False
