"""Arrivals that cannot be routed are parked: how often it was tried, and why it failed."""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"


def upgrade() -> None:
    """Of what was received before nothing had failed, or it would not stand there."""
    often = "how often routing it failed since it was complete"
    op.add_column("arrival", sa.Column("attempts", sa.Integer(), nullable=False, server_default="0", comment=often))
    why = "why routing it failed last; null where it did not, or was put back"
    op.add_column("arrival", sa.Column("code", sa.Text(), nullable=True, comment=why))
    op.add_column("arrival", sa.Column("reason", sa.Text(), nullable=True, comment="the same as a sentence for people"))
    if op.get_bind().dialect.name == "postgresql":  # SQLite keeps no comments
        states = "received: more may come | complete: the manifest is frozen | routed: jobs inserted | parked: routing it failed"
        op.alter_column("arrival", "state", comment=states)
        reasons = "quiet | count | longest | operator | prior (came or changed later; all else was complete before)"
        op.alter_column("arrival", "completed_by", comment=reasons)
