"""Blobs that no row names: how one transaction buries them while no other begins to need them.

A sweep that finds bytes without a row may meet somebody who has just put equal bytes under that name and is about to commit the row.
Whoever commits a blob's name looks for its tombstone in the same transaction; whoever buries looks for rows in his; neither runs beside
the other.
"""

from collections.abc import Collection

from sqlalchemy import Connection, select, text

from node.journal import schema
from node.journal.errors import BlobBuried

_LOCK = 4711207


def refuse_buried(connection: Connection, blobs: Collection[str]) -> None:
    """Let no row name a blob that is about to be deleted; nor let one be buried until this transaction ends.

    Raises
    ------
    BlobBuried
        One is.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock_shared(:lock)"), {"lock": _LOCK})
    table = schema.tombstone.c
    buried = connection.execute(select(table.blob).where(table.blob.in_(list(blobs))).limit(1)).scalar()
    if buried is not None:
        raise BlobBuried(f"blob {buried} is being deleted")


def alone(connection: Connection) -> None:
    """Wait for those who are committing names of blobs, and keep new ones waiting; SQLite has one writer anyway."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
