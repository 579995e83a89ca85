"""Configurations that came into force, with who wanted each, when and why."""

from collections.abc import Collection
from dataclasses import replace

from sqlalchemy import Row, insert, select

from node.domain.config_revision import ConfigRevision
from node.journal import schema
from node.journal.database import JournalPart, rerun
from node.journal.rows import micros, moment

_revision = schema.config_revision.c
_AT_ONCE = 20


class ConfigRevisions(JournalPart):
    """The revisions of the configuration, numbered in the order in which they came into force."""

    @rerun
    def add(self, one: ConfigRevision) -> ConfigRevision:
        """Keep it; what the newest has already, word for word, is that one."""
        with self._database.writing() as connection:
            newest = connection.execute(select(schema.config_revision).order_by(_revision.id.desc()).limit(1)).one_or_none()
            if newest is not None and newest.text == one.text:
                return _to_revision(newest)
            values = {name: getattr(one, name) for name in ("author", "reason", "host", "path", "digest", "text")}
            made = connection.execute(insert(schema.config_revision).values(at=micros(one.at), **values))
            assert made.inserted_primary_key is not None, "one row was inserted"
            return replace(one, number=made.inserted_primary_key[0])

    def find(self, *, limit: int = 100) -> list[ConfigRevision]:
        """The newest, the newest first."""
        with self._database.reading() as connection:
            rows = connection.execute(select(schema.config_revision).order_by(_revision.id.desc()).limit(limit))
            return [_to_revision(row) for row in rows]

    def newest_of(self, text_digests: Collection[str]) -> dict[str, ConfigRevision]:
        """Of each of these digests of a text the newest that has it; without those that none has."""
        found: dict[str, ConfigRevision] = {}
        newest_first = select(schema.config_revision).order_by(_revision.id.desc()).execution_options(yield_per=_AT_ONCE)
        with self._database.reading() as connection:
            for row in connection.execute(newest_first):
                if found.keys() >= set(text_digests):
                    break
                one = _to_revision(row)
                if one.text_digest in text_digests:
                    found.setdefault(one.text_digest, one)
        return found

    def get(self, number: int) -> ConfigRevision | None:
        """The one of this number, if there is one."""
        with self._database.reading() as connection:
            row = connection.execute(select(schema.config_revision).where(_revision.id == number)).one_or_none()
            return None if row is None else _to_revision(row)


def _to_revision(row: Row[tuple[object, ...]]) -> ConfigRevision:
    return ConfigRevision(
        number=row.id,
        at=moment(row.at),
        author=row.author,
        reason=row.reason,
        host=row.host,
        path=row.path,
        digest=row.digest,
        text=row.text,
    )
