"""What was measured, to stand beside what is measured later of the same patient."""
# ruff: noqa: E501 - the comments are those of node.journal.schema, as it was

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    """One table; what was measured before stands in findings alone, and is compared with nothing. And two comments, where the database keeps
    comments, say what there is since 0013."""
    key = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "measured_value",
        sa.Column("job_id", key, nullable=False, comment="the job whose findings hold it"),
        sa.Column("position", sa.Integer, nullable=False, comment="order in the findings"),
        sa.Column("version", sa.Text, nullable=False, comment="version of the application that measured it"),
        sa.Column("part", sa.Text, nullable=False, comment="the part of the series that it is about; empty for all of it"),
        sa.Column(
            "of", sa.Text, nullable=False, comment="segment | total: of several segments together | series: of all that was analysed"
        ),
        sa.Column("structure", sa.Text, nullable=False, comment="code and scheme of the segment, or of what several are together"),
        sa.Column("laterality", sa.Text, nullable=False, comment="code and scheme; empty where there is none"),
        sa.Column("site", sa.Text, nullable=False, comment="code and scheme of the finding site; empty where there is none"),
        sa.Column("label", sa.Text, nullable=False, comment="of the segment, or of the parts of a total, a line each"),
        sa.Column("name", sa.Text, nullable=False, comment="code and scheme of what was measured"),
        sa.Column("unit", sa.Text, nullable=False, comment="code and scheme of the unit"),
        sa.Column("derivation", sa.Text, nullable=False, comment="code and scheme (mean, maximum); empty where there is none"),
        sa.Column("value", sa.Double, nullable=False, comment="the number, exact as it was found"),
        sa.PrimaryKeyConstraint("job_id", "position", name="pk_measured_value"),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name="fk_measured_value_job_id"),
        comment="What a job measured that may stand beside a later study's value; bounds, lesions and detections are not kept.",
    )
    if op.get_bind().dialect.name != "postgresql":
        return
    op.alter_column(
        "job",
        "state",
        comment="queued: claimable | inferred: findings durable | encoded: objects durable, deliveries inserted | done: all delivered | parked: a person decides | failed: attempts used up | not_applicable: its application excludes such a series by its headers | cancelled: by the operator | superseded: a revision has other inputs",
    )
    op.alter_column(
        "result_object",
        "kind",
        comment="seg | sr (measurements, evaluations) | detections (SR) | sc (page) | overlay (SC) | map | derived | registration | narrative (SR) | pdf | explanation | explanation-map | statement (SR: there is no result)",
    )
