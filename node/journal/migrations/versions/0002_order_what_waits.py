"""Jobs get deadlines and a place in the queue."""
# ruff: noqa: E501 - the comments are those of node.journal.schema, as it was

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_NEVER = "9223372036854775807"
_CLAIMABLE = sa.text("state || '' IN ('queued', 'inferred')")
_LEASED = sa.text("lease IS NOT NULL")


def upgrade() -> None:
    """Jobs that wait now keep their order: by priority, then by the time at which they are due."""
    # defaults, so that a node of the release before goes on inserting jobs until it is replaced too
    op.add_column(
        "job", sa.Column("deadline_at", sa.BigInteger(), nullable=True, comment="when its results should be there; null without a deadline")
    )
    op.add_column(
        "job",
        sa.Column(
            "turn",
            sa.SmallInteger(),
            nullable=False,
            server_default="1",
            comment="the class it waits in: its rank, less one for each time that it waited for longer than patience; claimed in this order",
        ),
    )
    op.add_column(
        "job",
        sa.Column(
            "place",
            sa.BigInteger(),
            nullable=False,
            server_default=_NEVER,
            comment="its place in the class: the deadline; without one the last, or when it ran out of patience in the first class",
        ),
    )
    op.add_column(
        "job",
        sa.Column(
            "waits_since",
            sa.BigInteger(),
            nullable=False,
            server_default=_NEVER,
            comment="since when it waits in its class; the latest time there is once it cannot move up any more",
        ),
    )
    op.execute("UPDATE job SET turn = rank, waits_since = created_at")
    op.drop_index("ix_job_claim", table_name="job")
    op.create_index(
        "ix_job_claim", "job", ["turn", "place", "due_at", "id"], unique=False, sqlite_where=_CLAIMABLE, postgresql_where=_CLAIMABLE
    )
    op.create_index("ix_job_leased", "job", ["application"], unique=False, sqlite_where=_LEASED, postgresql_where=_LEASED)
    op.create_index("ix_job_patience", "job", ["waits_since"], unique=False, sqlite_where=_CLAIMABLE, postgresql_where=_CLAIMABLE)
    if op.get_bind().dialect.name == "postgresql":
        op.alter_column("job", "rank", comment="priority that the routes asked for: 0 urgent, 1 routine, 2 offpeak")
        op.alter_column(
            "event",
            "name",
            comment="<subject>.<new state> for every change of state; besides: arrival.overtaken, job.claimed, job.released, job.joined, job.retry, job.hastened, job.moved_up, delivery.claimed, delivery.released, delivery.retry, delivery.again, instance.duplicate, instance.conflict, instance.replaced, instance.restored, instance.purged, instance.own_result, and what stages note",
        )
