"""Patients in the journal: which series headers call theirs, so that the prior of a series is found without reading every header."""

from collections.abc import Collection, Iterable
from typing import Any

from sqlalchemy import Connection, and_, delete, exists, insert, select, update

from node.domain.instance import Instance, Standing
from node.domain.patient import Related, patient_of, studied_at
from node.journal import schema
from node.journal.database import JournalPart

_known = schema.patient_series.c


class Patients(JournalPart):
    """Which series headers call one patient's."""

    def related(self, study_instance_uid: str) -> list[Related]:
        """The series of other studies that headers ever called the same patient's (PatientID with IssuerOfPatientID) as a series of this
        study, the newest study first; until their headers are forgotten."""
        mine, theirs = schema.patient_series.alias("mine"), schema.patient_series.alias("theirs")
        same = and_(mine.c.patient_id == theirs.c.patient_id, mine.c.issuer == theirs.c.issuer)
        columns = (theirs.c.study_instance_uid, theirs.c.series_instance_uid, theirs.c.modality, theirs.c.studied_at)
        others = theirs.c.study_instance_uid != study_instance_uid
        found = select(*columns).distinct().join(mine, same).where(mine.c.study_instance_uid == study_instance_uid, others)
        with self._database.reading() as connection:
            rows = connection.execute(found.order_by(theirs.c.studied_at.desc(), theirs.c.series_instance_uid))
            return [Related(**row._mapping) for row in rows]


def know(connection: Connection, instances: Iterable[Instance]) -> None:
    """Remember whose these are; an instance without a patient ID is nobody's. What is held says whose it is, for erasure, and changes
    nothing about a series that is known."""
    fresh: dict[tuple[str, str, str], dict[str, Any]] = {}
    counts: set[tuple[str, str, str]] = set()
    for instance in sorted(instances, key=lambda one: one.standing is not Standing.HELD):
        patient = patient_of(instance.header)
        if patient is not None:
            key = {"patient_id": patient.patient_id, "issuer": patient.issuer, "series_instance_uid": instance.series_instance_uid}
            this = patient.patient_id, patient.issuer, instance.series_instance_uid
            fresh[this] = key | _facts(instance)
            if instance.standing is not Standing.HELD:
                counts.add(this)
    if not fresh:
        return
    table = schema.patient_series
    series = {values["series_instance_uid"] for values in fresh.values()}
    for row in connection.execute(select(table).where(_known.series_instance_uid.in_(series))).all():
        known = row.patient_id, row.issuer, row.series_instance_uid
        values = fresh.pop(known, None)
        if values is not None and known in counts and values != dict(row._mapping):
            same = and_(*(table.c[column.name] == getattr(row, column.name) for column in table.primary_key))
            connection.execute(update(table).where(same).values(**values))
    if fresh:
        connection.execute(insert(table), list(fresh.values()))


def forget(connection: Connection, series: Collection[str]) -> None:
    """Forget whose these series are, where no header is left that says it."""
    instance = schema.instance.c
    said = exists().where(instance.series_instance_uid == _known.series_instance_uid, instance.header_base.is_not(None))
    connection.execute(delete(schema.patient_series).where(_known.series_instance_uid.in_(series), ~said))


def _facts(instance: Instance) -> dict[str, str]:
    modality = next((str(value) for value in instance.header.get("Modality", ())), "")
    return {"study_instance_uid": instance.study_instance_uid, "modality": modality, "studied_at": studied_at(instance.header)}
