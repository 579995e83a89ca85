"""The consoles of all hosts count failed logins together."""

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"


def upgrade() -> None:
    """One table."""
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "console_attempt",
        sa.Column("id", number, autoincrement=True, nullable=False, comment="order of attempts"),
        sa.Column("network", sa.Text(), nullable=False, comment="an IPv4 address, or the /64 of an IPv6 address"),
        sa.Column("at", sa.BigInteger(), nullable=False, comment="when"),
        sa.PrimaryKeyConstraint("id", name="pk_console_attempt"),
        comment="Logins of the last minutes that failed, or that are being checked; all consoles of the node count them together.",
    )
    op.create_index("ix_console_attempt_at", "console_attempt", ["at"])
    op.create_index("ix_console_attempt_network_at", "console_attempt", ["network", "at"])
