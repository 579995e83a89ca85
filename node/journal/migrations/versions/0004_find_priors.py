"""Series are found by their patient: what is compared with its prior asks for it."""
# ruff: noqa: E501 - the comments are those of node.journal.schema, as it was

import json
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """What was received before is found, too, as far as its headers were not forgotten."""
    op.create_table(
        "patient_series",
        sa.Column("patient_id", sa.Text(), nullable=False, comment="PatientID (0010,0020); never empty"),
        sa.Column("issuer", sa.Text(), nullable=False, comment="IssuerOfPatientID (0010,0021); empty where headers have none"),
        sa.Column("series_instance_uid", sa.Text(), nullable=False, comment="a series that an instance of this patient is of"),
        sa.Column("study_instance_uid", sa.Text(), nullable=False, comment="the series' study"),
        sa.Column("modality", sa.Text(), nullable=False, comment="Modality (0008,0060)"),
        sa.Column(
            "studied_at",
            sa.Text(),
            nullable=False,
            comment="when the study began, YYYYMMDDHHMMSS or a part; empty: unknown",
        ),
        sa.PrimaryKeyConstraint("patient_id", "issuer", "series_instance_uid", name=op.f("pk_patient_series")),
        comment="Which series headers ever called a patient's: how priors are found. Whether they still do is asked of the headers themselves.",
    )
    op.create_index(op.f("ix_patient_series_series_instance_uid"), "patient_series", ["series_instance_uid"])
    op.create_index(op.f("ix_patient_series_study_instance_uid"), "patient_series", ["study_instance_uid"])
    _fill()
    if op.get_bind().dialect.name == "postgresql":
        op.alter_column(
            "arrival", "completed_by", comment="quiet | count | operator | prior (came or changed later; all else was complete before)"
        )


def _fill() -> None:
    """From the first header of each series, and from those instances that call the patient otherwise."""
    connection = op.get_bind()
    first = "SELECT DISTINCT i.study_instance_uid AS study, i.series_instance_uid AS series, h.content AS content, '' AS delta FROM series_header AS h JOIN instance AS i ON i.header_base = h.id"
    others = "SELECT i.study_instance_uid AS study, i.series_instance_uid AS series, h.content AS content, i.header_delta AS delta FROM series_header AS h JOIN instance AS i ON i.header_base = h.id WHERE i.header_delta LIKE '%PatientID%'"
    found: dict[tuple[str, str, str], dict[str, str]] = {}
    for query in (first, others):
        for row in connection.execute(sa.text(query)):
            values = _values(row.content, row.delta)
            if values["patient_id"]:
                key = (values["patient_id"], values["issuer"], row.series)
                found.setdefault(key, {**values, "series_instance_uid": row.series, "study_instance_uid": row.study})
    if found:
        names = ("patient_id", "issuer", "series_instance_uid", "study_instance_uid", "modality", "studied_at")
        op.bulk_insert(sa.table("patient_series", *(sa.column(name, sa.Text()) for name in names)), list(found.values()))


def _values(content: str, delta: str) -> dict[str, str]:
    header: dict[str, list[Any]] = json.loads(content)
    if delta:
        changes = json.loads(delta)
        header = {keyword: values for keyword, values in header.items() if keyword not in changes["drop"]} | changes["set"]

    def first(keyword: str) -> str:
        return next((str(value).strip() for value in header.get(keyword, ()) if str(value).strip()), "")

    return {
        "patient_id": first("PatientID"),
        "issuer": first("IssuerOfPatientID"),
        "modality": first("Modality"),
        "studied_at": first("StudyDate") + (first("StudyTime") if first("StudyDate") else ""),
    }
