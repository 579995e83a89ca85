"""Examining the journal: is the database whole, does every row hold what its columns say, and which blobs do they name?"""

from collections.abc import Iterator
from typing import Any

from sqlalchemy import Column, Connection, Table, select, text

from node.domain.instance import Standing
from node.domain.store import NamedBlob
from node.journal import schema
from node.journal.database import Database

_MOST = 20
_AT_ONCE = 500


class Examined(Database):
    """The part of the journal that looks at all of itself."""

    def damage(self) -> Iterator[str]:
        """See the port."""
        if self._shared:
            self._check_indices()
        else:
            with self._reading() as connection:
                told = [str(row[0]) for row in connection.exec_driver_sql(f"PRAGMA integrity_check({_MOST})")]
                keys = connection.exec_driver_sql("PRAGMA foreign_key_check").fetchmany(_MOST)
            yield from (one for one in told if one != "ok")
            yield from (f"table {row[0]}: row {row[1]} refers to a row of {row[2]} that is not there" for row in keys)

    def unreadable(self) -> Iterator[str]:
        """See the port."""
        for table in schema.metadata.sorted_tables:
            with self._reading() as connection:
                _at_leisure(connection)
                rows = connection.execute(select(table).execution_options(yield_per=_AT_ONCE))
                for number, row in enumerate(rows, start=1):
                    wrong = [column.name for column, value in zip(table.columns, row, strict=True) if not _fits(column, value)]
                    if wrong:
                        yield f"table {table.name}: row {number} holds no {wrong[0]} that hilum writes"
                        break

    def named_blobs(self) -> Iterator[NamedBlob]:
        """See the port."""
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
            with self._reading() as connection:
                rows = connection.execute(select(table).where(wanted, table.c.id > after).order_by(table.c.id).limit(_AT_ONCE)).all()
            yield from rows
            if len(rows) < _AT_ONCE:
                return
            after = rows[-1].id

    def _check_indices(self) -> None:
        """Let amcheck look at each index, where it is installed (`CREATE EXTENSION amcheck`) and this user may ask it: it raises."""
        for index in self._indices():
            with self._reading() as connection:
                _at_leisure(connection)
                connection.execute(text("SELECT bt_index_check(:index, true)"), {"index": index})

    def _indices(self) -> list[int]:
        """The indices that amcheck may be asked of."""
        may = text("SELECT has_function_privilege(oid, 'EXECUTE') FROM pg_proc WHERE proname = 'bt_index_check' AND pronargs = 2")
        of_here = text(
            "SELECT c.oid FROM pg_class c JOIN pg_am a ON a.oid = c.relam WHERE a.amname = 'btree' AND c.relkind = 'i' "
            "AND c.relnamespace = current_schema()::regnamespace ORDER BY c.relname"
        )
        with self._reading() as connection:
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
