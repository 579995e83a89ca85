"""The store: which one the journal is of, what it holds that shows it, whether the database is whole, which blobs its rows name, and the
tombstones of those that none names: while one stands no row may begin to name them.

A sweep that finds bytes without a row may meet a process that has just put equal bytes under that name and is about to commit the row. The
transaction that commits a blob's name looks for its tombstone; the one that makes tombstones looks for rows; an advisory lock keeps the two
from running side by side.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Column, Connection, Table, delete, exists, insert, select, text, update

from node.domain.instance import Standing
from node.journal import schema
from node.journal.database import SOUGHT, JournalPart, rerun
from node.journal.errors import BlobTombstoned
from node.journal.rows import micros

_LOCK = 4711207
_tombstone = schema.tombstone.c
_TOMBSTONED = select(_tombstone.blob).where(_tombstone.blob.in_(SOUGHT)).limit(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What a journal knows of its store. `signed`: the blobs were seen to bear the identity; until then a first start may have been cut."""

    identity: str
    signed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedBlob:
    """A blob that a row wants. `size` in bytes and `digest` (SHA-256, hex) of the file, or with `of_data_set` the digest of what follows
    its file meta information; None: the row does not say, and the blob itself proves what it holds."""

    name: str
    size: int | None = None
    digest: str | None = None
    of_data_set: bool = False


def refuse_tombstoned(connection: Connection, blobs: Collection[str]) -> None:
    """Let no row name a blob that is about to be deleted; nor let a tombstone be made until this transaction ends.

    Raises
    ------
    BlobTombstoned
        One is.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock_shared(:lock)"), {"lock": _LOCK})
    found = connection.execute(_TOMBSTONED, {"sought": list(blobs)}).scalar()
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


_store = schema.store
_PROOFS = (schema.instance, schema.arrival, schema.event, schema.tombstone, schema.aside)

_MOST = 20
_AT_ONCE = 500


class StoreIdentity(JournalPart):
    """Which store the journal is of, and whether it is whole."""

    def known(self) -> Known | None:
        """Which store it is of; None: it was never said."""
        with self._database.reading() as connection:
            row = connection.execute(select(_store)).first()
            return None if row is None else Known(identity=row.identity, signed=row.signed_at is not None)

    @rerun
    def belong(self, identity: str) -> Known:
        """Be of the store `identity`, unless it is of one already; of which it is."""
        with self._database.writing() as connection:
            lock_tombstones(connection)
            row = connection.execute(select(_store)).first()
            if row is not None:
                return Known(identity=row.identity, signed=row.signed_at is not None)
            connection.execute(insert(_store).values(identity=identity, signed_at=None))
            return Known(identity=identity, signed=False)

    @rerun
    def belong_anew(self, identity: str, now: datetime) -> None:
        """Be of the store `identity`, whose blobs bear it, whatever it was of before."""
        with self._database.writing() as connection:
            lock_tombstones(connection)
            connection.execute(delete(_store))
            connection.execute(insert(_store).values(identity=identity, signed_at=micros(now)))

    @rerun
    def signed(self, now: datetime) -> None:
        """The blobs bear its identity."""
        with self._database.writing() as connection:
            connection.execute(update(_store).where(_store.c.signed_at.is_(None)).values(signed_at=micros(now)))

    def knows_anything(self) -> bool:
        """Whether anything was ever received, deleted or noted under it."""
        with self._database.reading() as connection:
            return any(connection.execute(select(exists(select(table)))).scalar() for table in _PROOFS)

    def wanted_blobs(self, limit: int) -> list[str]:
        """Names of blobs that its rows want, the oldest and the newest instances' first of all."""
        instance = schema.instance.c
        names = select(instance.blob).where(instance.standing != Standing.PURGED.value)
        made = select(schema.result_object.c.blob).where(schema.result_object.c.purged_at.is_(None))
        with self._database.reading() as connection:
            found = [
                *connection.execute(names.order_by(instance.id).limit(limit)).scalars(),
                *connection.execute(names.order_by(instance.id.desc()).limit(limit)).scalars(),
                *connection.execute(made.limit(limit)).scalars(),
            ]
        return list(dict.fromkeys(found))

    def damage(self) -> Iterator[str]:
        """What the database itself finds damaged, a sentence each, at most a few; may raise `JournalCorrupt` as well."""
        if self._database.shared:
            self._check_indices()
        else:
            with self._database.reading() as connection:
                told = [str(row[0]) for row in connection.exec_driver_sql(f"PRAGMA integrity_check({_MOST})")]
                keys = connection.exec_driver_sql("PRAGMA foreign_key_check").fetchmany(_MOST)
            yield from (one for one in told if one != "ok")
            yield from (f"table {row[0]}: row {row[1]} refers to a row of {row[2]} that is not there" for row in keys)

    def unreadable(self) -> Iterator[str]:
        """Read every row: a sentence for each table with one that holds what no hilum writes. Quotes no value."""
        for table in schema.metadata.sorted_tables:
            with self._database.reading() as connection:
                _at_leisure(connection)
                rows = connection.execute(select(table).execution_options(yield_per=_AT_ONCE))
                for number, row in enumerate(rows, start=1):
                    wrong = [column.name for column, value in zip(table.columns, row, strict=True) if not _fits(column, value)]
                    if wrong:
                        yield f"table {table.name}: row {number} holds no {wrong[0]} that hilum writes"
                        break

    def named_blobs(self) -> Iterator[NamedBlob]:
        """Every blob that a row wants, as they are asked for; what is purged meanwhile may still be named."""
        instance, made, job = schema.instance, schema.result_object, schema.job
        for row in self._by_id(instance, instance.c.standing != Standing.PURGED.value):
            yield NamedBlob(name=row.blob, size=row.size, digest=row.digest, of_data_set=True)
        for row in self._by_id(made, made.c.purged_at.is_(None)):
            yield NamedBlob(name=row.blob, size=row.size, digest=row.digest)
        for row in self._by_id(job, job.c.findings_blob.is_not(None)):
            yield NamedBlob(name=row.findings_blob)

    def _by_id(self, table: Table, wanted: Any) -> Iterator[Any]:
        """The rows in batches, each a transaction of its own: nothing that is looked at for hours keeps an old moment of the journal."""
        after = 0
        while True:
            with self._database.reading() as connection:
                rows = connection.execute(select(table).where(wanted, table.c.id > after).order_by(table.c.id).limit(_AT_ONCE)).all()
            yield from rows
            if len(rows) < _AT_ONCE:
                return
            after = rows[-1].id

    def _check_indices(self) -> None:
        """Let amcheck look at each index, where it is installed (`CREATE EXTENSION amcheck`) and this user may ask it: it raises."""
        for index in self._indices():
            with self._database.reading() as connection:
                _at_leisure(connection)
                connection.execute(text("SELECT bt_index_check(:index, true)"), {"index": index})

    def _indices(self) -> list[int]:
        """The indices that amcheck may be asked of."""
        may = text("SELECT has_function_privilege(oid, 'EXECUTE') FROM pg_proc WHERE proname = 'bt_index_check' AND pronargs = 2")
        of_here = text(
            "SELECT c.oid FROM pg_class c JOIN pg_am a ON a.oid = c.relam WHERE a.amname = 'btree' AND c.relkind = 'i' "
            "AND c.relnamespace = current_schema()::regnamespace ORDER BY c.relname"
        )
        with self._database.reading() as connection:
            return list(connection.execute(of_here).scalars()) if connection.execute(may).scalar() else []


def _at_leisure(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(text("SET LOCAL statement_timeout = 0"))


def _fits(column: Column[Any], value: object) -> bool:
    """Whether a value is of its column's type; SQLite keeps any value in any column."""
    if value is None:
        return bool(column.nullable)
    kind = column.type.python_type
    return isinstance(value, (int, float) if kind is float else kind)
