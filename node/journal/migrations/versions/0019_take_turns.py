"""Peers take turns: whose jobs and deliveries these are, by what index they are found, and when each peer had its last turn."""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"

_WAITING_JOB = sa.text("state || '' IN ('queued', 'inferred')")
_WAITING_DELIVERY = sa.text("state || '' = 'waiting'")
_COMPLETE = sa.text("state || '' = 'complete'")


def upgrade() -> None:
    """Of every job and delivery there is a peer; nobody has had a turn yet."""
    for table, of in (("job", "its arrival"), ("delivery", "its job")):
        comment = f"the peer of {of}, whose turn it takes; empty for strangers"
        op.add_column(table, sa.Column("peer", sa.Text(), nullable=False, server_default="", comment=comment))
    op.execute("UPDATE job SET peer = (SELECT arrival.peer FROM arrival WHERE arrival.id = job.arrival_id)")
    op.execute("UPDATE delivery SET peer = (SELECT job.peer FROM job WHERE job.id = delivery.job_id)")
    _index("ix_job_turn", "job", ["turn", "peer", "place", "due_at", "id"], _WAITING_JOB)
    _index("ix_delivery_turn", "delivery", ["sink", "peer", "due_at", "id"], _WAITING_DELIVERY)
    _index("ix_arrival_turn", "arrival", ["peer", "id"], _COMPLETE)
    op.create_table(
        "job_turn",
        sa.Column("turn", sa.SmallInteger(), nullable=False, autoincrement=False, comment="the class, as at job"),
        sa.Column("placed", sa.Boolean(), nullable=False, comment="of jobs with a place in the class, or of those without"),
        sa.Column("peer", sa.Text(), nullable=False, comment="the peer, as at job"),
        sa.Column("number", sa.BigInteger(), nullable=False, comment="the largest is that of the peer of which a job was claimed last"),
        sa.Column("at", sa.BigInteger(), nullable=False, comment="when that was"),
        sa.PrimaryKeyConstraint("turn", "placed", "peer", name=op.f("pk_job_turn")),
        comment="When jobs of a peer were last claimed: of those in one class without a place, the peer goes first that waits longest.",
    )
    op.create_table(
        "delivery_turn",
        sa.Column("sink", sa.Text(), nullable=False, comment="the sink"),
        sa.Column("peer", sa.Text(), nullable=False, comment="the peer, as at delivery"),
        sa.Column(
            "number", sa.BigInteger(), nullable=False, comment="the largest is that of the peer of which a delivery was claimed last"
        ),
        sa.PrimaryKeyConstraint("sink", "peer", name=op.f("pk_delivery_turn")),
        comment="In which order deliveries of peers to a sink were last claimed: the peer goes first that waits longest.",
    )
    if op.get_bind().dialect.name == "postgresql":
        op.alter_column(
            "job",
            "place",
            comment="its place in the class: the deadline, later behind others of its peer; without one the last, or when it ran out of "
            "patience in the first class",
        )


def _index(name: str, table: str, columns: list[str], where: sa.TextClause) -> None:
    op.create_index(name, table, columns, unique=False, sqlite_where=where, postgresql_where=where)
