"""Why bytes could not be kept: those that a sender is answered, and those that the node itself meets."""

from node.domain.errors import JournalError, RefusedError


class NoRoom(RefusedError):
    """The disk of the blobs is full, or fuller than the configuration allows."""

    code = "HLM-1001"
    remedy = "Free space on the disk of `store: blobs`, or lower `min_free`; senders keep their instances and try again."
    status = 0xA700


class DiskFailed(RefusedError):
    """The disk of the blobs could not take an instance."""

    code = "HLM-1002"
    remedy = "Look at the disk of `store: blobs` (`hilum doctor`, the system's log); senders keep their instances and try again."
    status = 0xA700


class BlobDiffers(JournalError):
    """Other bytes already lie under the name of a blob."""

    code = "HLM-7050"
    remedy = "Report this as a defect of hilum, with the name of the blob: names are made from what they hold."
    retry = False


class BlobsFailed(JournalError):
    """The folder of the blobs cannot be written."""

    code = "HLM-7051"
