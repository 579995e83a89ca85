"""Deliveries wait in classes, as their jobs did."""

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"

_WAITING = sa.text("state || '' = 'waiting'")


def upgrade() -> None:
    """What waits goes in the class of its job. Which peer had which turn is forgotten: each has its next at once."""
    comment = "the class that its job was in when it was made: 0 urgent, 1 routine, 2 offpeak; claimed in this order"
    op.add_column("delivery", sa.Column("turn", sa.SmallInteger(), nullable=False, server_default="1", comment=comment))
    op.execute("UPDATE delivery SET turn = (SELECT job.turn FROM job WHERE job.id = delivery.job_id)")
    op.drop_index("ix_delivery_turn", "delivery")
    columns = ["sink", "turn", "peer", "due_at", "id"]
    op.create_index("ix_delivery_turn", "delivery", columns, unique=False, sqlite_where=_WAITING, postgresql_where=_WAITING)
    op.drop_table("delivery_turn")
    op.create_table(
        "delivery_turn",
        sa.Column("sink", sa.Text(), nullable=False, comment="the sink"),
        sa.Column("turn", sa.SmallInteger(), nullable=False, autoincrement=False, comment="the class, as at delivery"),
        sa.Column("peer", sa.Text(), nullable=False, comment="the peer, as at delivery"),
        sa.Column(
            "number", sa.BigInteger(), nullable=False, comment="the largest is that of the peer of which a delivery was claimed last"
        ),
        sa.PrimaryKeyConstraint("sink", "turn", "peer", name=op.f("pk_delivery_turn")),
        comment="In which order deliveries of peers to a sink were last claimed: in one class, the peer goes first that waits longest.",
    )
