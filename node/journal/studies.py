"""Studies as a list shows them: paged by their newest arrival, and found by words; however long the list, a page costs a page."""

import json
import re
from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy import ColumnElement, Connection, Text, cast, exists, func, or_, select

from node.domain.instance import Header
from node.journal import schema
from node.journal.database import JournalPart
from node.journal.instances import bases, restored
from node.journal.port import FoundStudy

_arrival = schema.arrival.c
_known = schema.patient_series.c
_header = schema.series_header.c
_READ = "PatientName|AccessionNumber|StudyDescription"
_MOST_HEADERS = 20_000
"""So many of the newest headers that could fit are looked into: a word that fits more tells nothing."""


class StudyList(JournalPart):
    """Studies as a list shows them."""

    def find(self, words: Collection[str], *, patients: bool, before: int | None, limit: int) -> list[FoundStudy]:
        """The studies whose newest arrival is older than arrival `before`, the newest first.

        Each of `words` stands somewhere in the study's UID, sender, applications or modalities; with `patients` also in the patient's ID
        or name, the accession number, or the study's description or date. Of headers the one that came first of each series is read.
        """
        later = schema.arrival.alias("later")
        statement = select(_arrival.id, _arrival.study_instance_uid).where(
            ~exists().where(later.c.study_instance_uid == _arrival.study_instance_uid, later.c.id > _arrival.id)
        )
        if before is not None:
            statement = statement.where(_arrival.id < before)
        with self._database.reading() as connection:
            for word in words:
                statement = statement.where(_says(connection, word, patients=patients))
            rows = connection.execute(statement.order_by(_arrival.id.desc()).limit(limit))
            return [FoundStudy(study_instance_uid=row.study_instance_uid, arrival=row.id) for row in rows]

    def newest_headers(self, arrivals: Collection[int]) -> Mapping[int, Header]:
        """Of each of these arrivals the header of the instance that came last; without those whose headers are forgotten."""
        member, instance = schema.arrival_instance.c, schema.instance
        last = select(member.arrival_id, func.max(member.instance_id).label("last")).where(member.arrival_id.in_(list(arrivals)))
        newest = last.group_by(member.arrival_id).subquery()
        columns: list[ColumnElement[Any]] = [newest.c.arrival_id, instance.c.header_base, instance.c.header_delta]
        with self._database.reading() as connection:
            rows = connection.execute(select(*columns).join(instance, instance.c.id == newest.c.last)).all()
            known = bases(connection, {row.header_base for row in rows if row.header_base is not None})
            return {row.arrival_id: restored(row, known) for row in rows if row.header_base is not None}


def _says(connection: Connection, word: str, *, patients: bool) -> ColumnElement[bool]:
    """Whether a study has the word."""
    job = schema.job.c
    mine = _known.study_instance_uid == _arrival.study_instance_uid
    ways = [
        _contains(connection, _arrival.study_instance_uid, word),
        _contains(connection, _arrival.peer, word),
        exists().where(job.study_instance_uid == _arrival.study_instance_uid, _contains(connection, job.application, word)),
        exists().where(mine, _known.modality == word.upper()),
    ]
    if patients:
        ways.append(exists().where(mine, _contains(connection, _known.patient_id, word)))
        day = word.replace("-", "")
        if day.isdigit():
            ways.append(exists().where(mine, _known.studied_at.startswith(day, autoescape=True)))
        ways.append(_arrival.study_instance_uid.in_(_named(connection, word)))
    return or_(*ways)


def _named(connection: Connection, word: str) -> list[str]:
    """Studies of which a header says the word where a person would look for it."""
    text = json.dumps(word, ensure_ascii=False)[1:-1]
    # a small letter outside ASCII is not its capital to SQLite: any letter will do, and the pattern decides
    likely = _contains(connection, _header.content, text, others_fit=True)
    wanted = re.compile(rf'"(?:{_READ})":\["(?:[^"\\]|\\.)*?{re.escape(text)}', re.IGNORECASE)
    instance = schema.instance.c
    study = select(instance.study_instance_uid).where(instance.header_base == _header.id).limit(1).correlate(schema.series_header)
    rows = connection.execute(
        select(_header.content, study.scalar_subquery().label("study")).where(likely).order_by(_header.id.desc()).limit(_MOST_HEADERS)
    )
    return list(dict.fromkeys(study for content, study in rows if study is not None and wanted.search(content)))


def _contains(connection: Connection, column: ColumnElement[str], word: str, *, others_fit: bool = False) -> ColumnElement[bool]:
    """The column has the word, whatever its case."""
    escaped = "".join(f"\\{letter}" if letter in "%_\\" else "_" if others_fit and not letter.isascii() else letter for letter in word)
    text = cast(column, Text)
    pattern = f"%{escaped}%"
    return text.ilike(pattern, escape="\\") if connection.dialect.name == "postgresql" else text.like(pattern, escape="\\")
