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


class BlobsGone(JournalError):
    """The folder of the blobs was deleted or replaced under the node, or its file system is not mounted any more."""

    code = "HLM-7063"
    remedy = (
        "Mount or move back what belongs there: work goes on by itself then. Senders are refused meanwhile and keep their instances. "
        "Else stop the node and restore the last backup."
    )


class BucketAway(JournalError):
    """The object store of the bucket does not answer."""

    code = "HLM-7052"
    remedy = (
        "See whether the object store of `store: bucket` runs and can be reached (`hilum doctor`); meanwhile instances are kept in the "
        "spool and work waits, and both go on by themselves."
    )
    retry = True


class BucketRefused(JournalError):
    """The object store refuses what the node asks of it, or is not trusted: keys, rights, bucket's name, or certificate are wrong."""

    code = "HLM-7053"
    remedy = (
        "Check `store: bucket` (name, region, credentials, ca) and that its keys may list, read, write and delete below the prefix; "
        "instances are kept in the spool until then."
    )
    retry = True


class BlobDamaged(JournalError):
    """What was fetched is not what was put: the digest that was kept with the blob differs."""

    code = "HLM-7054"
    remedy = "It is fetched again by itself; should that go on, the object store or the way to it damages data."
    retry = True
