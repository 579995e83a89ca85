"""Tombstones of blobs: one is made for bytes that no row wants, and while it stands no row may begin to name them.

A sweep that finds bytes without a row may meet a process that has just put equal bytes under that name and is about to commit the row.
The transaction that commits a blob's name looks for its tombstone; the one that makes tombstones looks for rows; an advisory lock keeps
the two from running side by side.
"""

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import Connection, insert, select, text

from node.journal import schema
from node.journal.errors import BlobTombstoned
from node.journal.rows import micros

_LOCK = 4711207


def refuse_tombstoned(connection: Connection, blobs: Collection[str]) -> None:
    """Let no row name a blob that is about to be deleted; nor let a tombstone be made until this transaction ends.

    Raises
    ------
    BlobTombstoned
        One is.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock_shared(:lock)"), {"lock": _LOCK})
    table = schema.tombstone.c
    found = connection.execute(select(table.blob).where(table.blob.in_(list(blobs))).limit(1)).scalar()
    if found is not None:
        raise BlobTombstoned(f"blob {found} is being deleted")


def lock_tombstones(connection: Connection) -> None:
    """Wait for those who are committing names of blobs, and keep new ones waiting; SQLite has one writer anyway."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})


def insert_tombstone(connection: Connection, blob: str, now: datetime) -> int:
    """A tombstone for one blob; how many, so that they are counted where they are made."""
    connection.execute(insert(schema.tombstone).values(blob=blob, at=micros(now)))
    return 1
