"""Why an instance is refused with a DIMSE status, and why a peer could not be asked; rejected associations are events, not errors."""

from node.domain.errors import DeliveryError, RefusedError


class NotAUid(RefusedError):
    """The Affected SOP Instance UID is no UID (PS3.7 9.1.1.1.9: invalid SOP instance)."""

    code = "HLM-1011"
    remedy = "The sender must give the instance a UID by PS3.5 9.1; hilum never invents one."
    status = 0x0117


class WrongContext(RefusedError):
    """The SOP class of the command is not the one that its presentation context was negotiated for (PS3.4 B.2.3)."""

    code = "HLM-1012"
    remedy = "Report this to the sender's vendor: its presentation contexts are mixed up."
    status = 0xA900


class OtherInstance(RefusedError):
    """Command and data set name different instances or SOP classes (PS3.4 B.2.3: data set does not match SOP class)."""

    code = "HLM-1013"
    remedy = "Report this to the sender's vendor; the instance stays there."
    status = 0xA900


class NotADataset(RefusedError):
    """The bytes are no data set in the negotiated transfer syntax, or are cut off (PS3.4 B.2.3: cannot understand)."""

    code = "HLM-1014"
    remedy = "Send the instance again; if it is refused again, the file is damaged where it comes from."
    status = 0xC000


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
