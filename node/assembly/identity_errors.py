"""What may be wrong with a journal and blobs that do not belong together."""

from node.domain.errors import JournalError


class JournalLost(JournalError):
    """There is no journal, or an empty one, where the blobs are those of a store that had one."""

    code = "HLM-7059"
    remedy = (
        "Mount the journal's disk, or correct `store: {journal: …}`; or restore the last backup (`hilum restore`). Only where it is lost "
        "for good: `hilum serve --new-journal` begins a new one over these blobs, which takes back the instances of the old one a day "
        "later and knows nothing else of it."
    )


class BlobsLost(JournalError):
    """The journal is of a store whose blobs (or whose spool) are not there: gone, not mounted, or another place."""

    code = "HLM-7060"
    remedy = (
        "Mount the disk of the blobs, or correct `store: {blobs: …}` (`bucket`, `spool`); or restore the last backup. Only where they "
        "are lost for good: `hilum serve --new-blobs` goes on without them, and what the journal names of them cannot be analysed or "
        "sent again."
    )


class StoresMixed(JournalError):
    """The journal and the blobs (or the spool) are of different stores: each knows who it is, and they do not agree."""

    code = "HLM-7061"
    remedy = (
        "Correct `store:` of the configuration, or restore journal and blobs of one backup. There is no option to mean it: instances of "
        "one store would be analysed, deleted and sent under the rows of another."
    )


class NotANewJournal(JournalError):
    """`--new-journal` was given, and the journal holds rows."""

    code = "HLM-7062"
    remedy = "Move the old journal away (its file with -wal and -shm, or the database's schema) and start again with the option."
    retry = False
