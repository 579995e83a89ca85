"""Why an instance is refused with a DIMSE status, and why a peer could not be asked; rejected associations are events, not errors."""

from node.domain.errors import DeliveryError


class PeerAway(DeliveryError):
    """The peer cannot be reached, or does not answer."""

    code = "HLM-6001"
    remedy = "Check that the peer runs, its address and port, and the network between; hilum tries again by itself."


class PeerRejected(DeliveryError):
    """The peer rejects the association."""

    code = "HLM-6002"
    remedy = "Let the peer's administrator enter this node's AE title and address; hilum tries again by itself."


class PeerRefuses(DeliveryError):
    """The peer took the association but none of what was asked of it."""

    code = "HLM-6003"
    remedy = "Ask the peer's administrator which services and SOP classes it offers to this node."


class NotAFile(DeliveryError):
    """A file that is to be sent cannot be read, or is no Part 10 file."""

    code = "HLM-6004"
    remedy = "Look at the file: it must be a complete DICOM file with its file meta information (PS3.10 7.1)."
    retry = False
