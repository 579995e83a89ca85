"""The errors of the sinks; those of the DICOM network stand in node.dimse."""

from node.domain.errors import DeliveryError


class FolderAway(DeliveryError):
    """The folder of a sink cannot be written."""

    code = "HLM-6020"
    remedy = "Mount the folder, free space on it, or let the node's user write to it; the delivery is tried again by itself."
