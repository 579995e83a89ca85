"""Jobs that withdraw superseded objects from an archive, which objects each of them names, and why."""
# ruff: noqa: E501 - the comments are those of node.journal.schema, as it was

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"

_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Nothing was withdrawn before."""
    op.add_column(
        "job",
        sa.Column(
            "rejection",
            sa.Text(),
            nullable=True,
            comment="of a withdrawal, why: wrong (made from wrong, mixed or incomplete images) | replaced (by a later result)",
        ),
    )
    op.create_table(
        "withdrawn_object",
        sa.Column("job_id", _KEY, nullable=False, comment="the withdrawal"),
        sa.Column("object_id", _KEY, nullable=False, comment="an object that its sink had accepted"),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name=op.f("fk_withdrawn_object_job_id")),
        sa.ForeignKeyConstraint(["object_id"], ["result_object.id"], name=op.f("fk_withdrawn_object_object_id")),
        sa.PrimaryKeyConstraint("job_id", "object_id", name=op.f("pk_withdrawn_object")),
        comment="Exactly what a withdrawal withdraws from its sink.",
    )
    op.create_index("ix_withdrawn_object_object_id", "withdrawn_object", ["object_id"], unique=False)
    if op.get_bind().dialect.name != "postgresql":
        return
    op.alter_column(
        "job",
        "kind",
        comment="analysis | statement: says of the study that the application gave no result | withdrawal: withdraws superseded objects from its sink",
    )
    op.alter_column(
        "result_object",
        "kind",
        comment="seg | sr (measurements, evaluations) | detections (SR) | sc (page) | overlay (SC) | map | derived | registration | narrative (SR) | pdf | explanation | explanation-map | statement (SR: there is no result) | withdrawal (Key Object Selection)",
    )
