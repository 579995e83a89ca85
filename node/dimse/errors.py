"""Why an instance is refused with a DIMSE status, and why a peer could not be asked; rejected associations are events, not errors."""

from node.domain.errors import DeliveryError


class PeerAway(DeliveryError):
    """The peer cannot be reached, or does not answer."""

    code = "HLM-6001"
    remedy = "Check that the peer runs, its address and port, and the network between."


class PeerRejected(DeliveryError):
    """The peer rejects the association."""

    code = "HLM-6002"
    remedy = (
        "Call it by an AE title that it knows (`--calling`; the node's own is `ae_title`), or let its administrator enter this one, with "
        "the address that it is called from."
    )


class CalledTitleUnknown(PeerRejected):
    """The peer does not know the AE title that it was called by."""

    code = "HLM-6007"
    remedy = (
        "Correct the AE title that is called: before the @ of `--to`, or `ae_title` of the peer in the configuration. It is the one that "
        "the receiver was given; capitals count."
    )


class NotDicom(PeerAway):
    """What answers at the peer's address and port speaks another protocol than DICOM."""

    code = "HLM-6008"
    remedy = "Give the port of its DICOM listener (often 104, 4242 or 11112), with TLS where it wants that; web pages have another."


class PeerRefuses(DeliveryError):
    """The peer took the association but none of what was asked of it."""

    code = "HLM-6003"
    remedy = "Ask the peer's administrator which services and SOP classes it offers to this node."


class NotAFile(DeliveryError):
    """A file that is to be sent cannot be read, or is no Part 10 file."""

    code = "HLM-6004"
    remedy = "Look at the file: it must be a complete DICOM file with its file meta information (PS3.10 7.1)."
    retry = False
