"""Which store a journal is of, and what it holds that shows it."""

from datetime import datetime

from sqlalchemy import delete, exists, insert, select, update

from node.domain.instance import Standing
from node.domain.store import Known
from node.journal import schema
from node.journal.buried import alone
from node.journal.database import Database, rerun
from node.journal.rows import micros

_store = schema.store
_PROOFS = (schema.instance, schema.arrival, schema.event, schema.tombstone, schema.aside)


class Identified(Database):
    """The part of the journal that knows which store it is of."""

    def known_store(self) -> Known | None:
        """See the port."""
        with self._reading() as connection:
            row = connection.execute(select(_store)).first()
            return None if row is None else Known(identity=row.identity, signed=row.signed_at is not None)

    @rerun
    def belong(self, identity: str) -> Known:
        """See the port."""
        with self._writing() as connection:
            alone(connection)
            row = connection.execute(select(_store)).first()
            if row is not None:
                return Known(identity=row.identity, signed=row.signed_at is not None)
            connection.execute(insert(_store).values(identity=identity, signed_at=None))
            return Known(identity=identity, signed=False)

    @rerun
    def belong_anew(self, identity: str, now: datetime) -> None:
        """See the port."""
        with self._writing() as connection:
            alone(connection)
            connection.execute(delete(_store))
            connection.execute(insert(_store).values(identity=identity, signed_at=micros(now)))

    @rerun
    def signed(self, now: datetime) -> None:
        """See the port."""
        with self._writing() as connection:
            connection.execute(update(_store).where(_store.c.signed_at.is_(None)).values(signed_at=micros(now)))

    def knows_anything(self) -> bool:
        """See the port."""
        with self._reading() as connection:
            return any(connection.execute(select(exists(select(table)))).scalar() for table in _PROOFS)

    def wanted_blobs(self, limit: int) -> list[str]:
        """See the port."""
        instance = schema.instance.c
        names = select(instance.blob).where(instance.standing != Standing.PURGED.value)
        made = select(schema.result_object.c.blob).where(schema.result_object.c.purged_at.is_(None))
        with self._reading() as connection:
            found = [
                *connection.execute(names.order_by(instance.id).limit(limit)).scalars(),
                *connection.execute(names.order_by(instance.id.desc()).limit(limit)).scalars(),
                *connection.execute(made.limit(limit)).scalars(),
            ]
        return list(dict.fromkeys(found))
