"""Pauses: routes, sinks and engines that the operator has paused; intake goes on."""

from datetime import datetime

from sqlalchemy import Select, delete, exists, insert, select

from node.journal import schema
from node.journal.database import JournalPart, rerun
from node.journal.port import Pausable
from node.journal.rows import micros, moment
from node.settings.config import Config


class Pauses(JournalPart):
    """What the operator has paused."""

    @rerun
    def add(self, kind: Pausable, name: str, now: datetime) -> None:
        """Pause it; again is no error and keeps the first time."""
        with self._database.writing() as connection:
            if not connection.execute(select(exists().where(schema.pause.c.kind == kind.value, schema.pause.c.name == name))).scalar():
                connection.execute(insert(schema.pause).values(kind=kind.value, name=name, since=micros(now)))

    @rerun
    def remove(self, kind: Pausable, name: str, now: datetime) -> bool:
        """Let it go on; False when it was not paused."""
        with self._database.writing() as connection:
            gone = connection.execute(delete(schema.pause).where(schema.pause.c.kind == kind.value, schema.pause.c.name == name))
            return gone.rowcount == 1

    def find(self) -> list[tuple[Pausable, str, datetime]]:
        """What is paused, since when."""
        with self._database.reading() as connection:
            rows = connection.execute(select(schema.pause).order_by(schema.pause.c.since))
            return [(Pausable(row.kind), row.name, moment(row.since)) for row in rows]


def paused(kind: Pausable) -> Select[tuple[str]]:
    """The names of one kind that the operator has paused."""
    return select(schema.pause.c.name).where(schema.pause.c.kind == kind.value)


def pausable(config: Config) -> dict[Pausable, list[str]]:
    """Names of a configuration that an operator may pause: pausing another would hold back nothing."""
    return {
        Pausable.ROUTE: [route.name for route in config.routes],
        Pausable.SINK: list(config.sinks),
        Pausable.ENGINE: sorted({*config.engines, "default"}),
    }
