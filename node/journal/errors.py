"""What can go wrong with the journal itself, and the translation of the database driver's words into it."""

import sqlite3

from sqlalchemy.exc import DBAPIError, OperationalError

from node.domain.errors import JournalError


class JournalBusy(JournalError):
    """Another process held the write lock for longer than the busy time-out."""

    code = "HLM-7001"
    remedy = "Call it again in a moment. When it stays so, look for a program that holds the journal open (`fuser` on the file)."


class JournalFull(JournalError):
    """The disk under the journal is full."""

    code = "HLM-7002"
    remedy = "Free space on the journal's disk (`hilum doctor` says how much is left); senders keep their instances until then."


class JournalUnreachable(JournalError):
    """The journal cannot be opened, read or written."""

    code = "HLM-7003"
    remedy = "Check that what `store: {journal: …}` names exists, is on a healthy disk, and may be written by this user."


class JournalCorrupt(JournalError):
    """The journal's file or database is damaged, or is no journal."""

    code = "HLM-7004"
    remedy = (
        "Stop the node, keep a copy of the file with its -wal, and restore the last backup (`hilum restore`); `hilum doctor --deep` says "
        "what of it is damaged, and `sqlite3 FILE .recover` may save rows. Check the disk and the memory of the machine."
    )
    retry = False


class JournalRace(JournalError):
    """Another process wrote the same fact first; the next look at the journal sees it."""

    code = "HLM-7005"
    remedy = "Call it again; what the node was at goes on without that."


class TransitionRefused(JournalError):
    """The transition table does not allow this change of state."""

    code = "HLM-7006"
    remedy = "Look at its present state (`hilum jobs show`); it may have been ended, superseded or delivered meanwhile."
    retry = False


class UnknownSchema(JournalError):
    """The journal was written by a newer hilum, or by one from before the first release."""

    code = "HLM-7007"
    remedy = "Run the hilum version that last served this journal, or a newer one; there is no way back without a backup."
    retry = False


class NoSuchRow(JournalError):
    """The journal has nothing under this identifier."""

    code = "HLM-7008"
    remedy = "List what there is with `hilum jobs list` or `hilum studies list`."
    retry = False


class BytesForgotten(JournalError):
    """Retention has deleted the bytes that this needs."""

    code = "HLM-7009"
    remedy = "Take the results from where they were delivered to; `store: {keep: …}` says for how long hilum keeps its own copy."
    retry = False


class LastAdmin(JournalError):
    """Nobody else could administer the console's users, so that this one stays an admin."""

    code = "HLM-7015"
    remedy = "Give somebody else the role admin first (`hilum console users role NAME admin`), then call it again."
    retry = False


class BlobTombstoned(JournalError):
    """Bytes that were left behind long ago are being deleted at the moment at which somebody needs equal ones."""

    code = "HLM-7012"
    remedy = "Nothing need be done: it is tried again, and the bytes are put again, once the others are gone."
    retry = True


class JournalAway(JournalError):
    """The database server cannot be reached, refuses this user, or broke the connection off."""

    code = "HLM-7010"
    remedy = (
        "Intake goes on and work waits until the server is back. Check that PostgreSQL runs, that `store: {journal: …}` names it, and that "
        "it takes this user and password (`psql` with the same address says why not)."
    )


class DriverAbsent(JournalError):
    """The Python package that speaks to PostgreSQL is not installed."""

    code = "HLM-7011"
    remedy = "Install it: `pip install 'PATH[postgresql]'`, with the PATH of hilum's wheel or checkout."
    retry = False


class JournalGone(JournalError):
    """The journal is not where it was: its file was deleted, moved or replaced, its file system is not mounted, its tables are gone."""

    code = "HLM-7013"
    remedy = (
        "Mount or move back what belongs there: work goes on by itself then. Else stop the node and restore the last backup; "
        "`hilum serve --new-journal` begins a new one, and knows nothing of what was received before."
    )


class JournalStrange(JournalError):
    """A row of the journal holds what no hilum writes there: text that is no UTF-8, a state that is none, a number out of bounds."""

    code = "HLM-7014"
    remedy = (
        "Run `hilum doctor --deep`, which names the table. Where it finds damage, stop the node and restore the last backup; "
        "where it finds none, report this as a defect of hilum with the events before it."
    )
    retry = False


_BY_SQLITE_NAME: dict[str, type[JournalError]] = {
    "SQLITE_BUSY": JournalBusy,
    "SQLITE_LOCKED": JournalBusy,
    "SQLITE_FULL": JournalFull,
    # the index of the write-ahead log found no room
    "SQLITE_IOERR_SHMSIZE": JournalFull,
    "SQLITE_CORRUPT": JournalCorrupt,
    "SQLITE_NOTADB": JournalCorrupt,
    "SQLITE_CONSTRAINT": JournalRace,
    "SQLITE_CANTOPEN": JournalGone,
    # no such table, no such column: the schema is not what its revision says
    "SQLITE_ERROR": JournalCorrupt,
    "SQLITE_MISMATCH": JournalCorrupt,
    "SQLITE_FORMAT": JournalCorrupt,
}


# PostgreSQL's error codes, the longest prefix counts (its manual, appendix A)
_BY_SQLSTATE: dict[str, type[JournalError]] = {
    "08": JournalAway,  # the connection failed
    "23": JournalRace,  # a unique index or a foreign key: another process was first
    "25P03": JournalAway,  # this session slept inside a transaction and was ended
    "28": JournalAway,  # user or password
    "3D000": JournalAway,  # no such database
    "40001": JournalRace,  # not serialisable
    "40P01": JournalRace,  # a deadlock, of which this was the victim
    "3F000": JournalGone,  # no such schema
    "42P01": JournalGone,  # no such table
    "42703": JournalCorrupt,  # no such column
    "42501": JournalUnreachable,  # not permitted
    "53": JournalAway,  # out of memory, of connections
    "53100": JournalFull,
    "55P03": JournalBusy,  # a lock that another session holds
    "57": JournalAway,  # the server shuts down, crashed, or is starting
    "57014": JournalBusy,  # longer than the statement time-out
    "58030": JournalUnreachable,  # the server's disk failed
    "22021": JournalStrange,  # text that is not of the database's encoding
    "XX001": JournalCorrupt,
    "XX002": JournalCorrupt,
}


def translated(error: DBAPIError, where: str) -> JournalError:
    """The JournalError that `error` means; `where` names the journal without its password."""
    original = error.orig
    if isinstance(original, sqlite3.Error):
        # extended names begin with the primary one: SQLITE_IOERR_WRITE, SQLITE_BUSY_SNAPSHOT
        said = getattr(original, "sqlite_errorname", "")
        name = said if said in _BY_SQLITE_NAME else "_".join(said.split("_")[:2])
        if not name:
            # the driver's own words: of a text that is no UTF-8 it quotes what may be a patient's name
            return JournalStrange(f"{where}: {str(original).partition(' with text')[0]}")
        return _BY_SQLITE_NAME.get(name, JournalUnreachable)(f"{where}: {original}")
    sqlstate = getattr(original, "sqlstate", None)
    # the first line: those that follow may quote values
    said = str(original).partition("\n")[0]
    if sqlstate is not None:
        known = [prefix for prefix in _BY_SQLSTATE if sqlstate.startswith(prefix)]
        kind = _BY_SQLSTATE[max(known, key=len)] if known else JournalError
        return kind(f"{where}: {said} ({sqlstate})")
    if isinstance(error, OperationalError):
        return JournalAway(f"{where}: {said}")
    return JournalError(f"{where}: {said}")
