"""How far the audit trail has told the history, and by what erased studies are known again for a while."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Nobody has followed the history before, and nothing was erased."""
    op.create_table(
        "follower",
        sa.Column("name", sa.Text(), nullable=False, comment="who follows the history: audit"),
        sa.Column(
            "position",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            nullable=False,
            comment="the last event.id of which it has told what there was to tell",
        ),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_follower")),
        comment="How far those who follow the history have come.",
    )
    op.create_table(
        "erased",
        sa.Column("mark", sa.Text(), nullable=False, comment="SHA-256 over the study and its patient; it names neither"),
        sa.Column("until", sa.BigInteger(), nullable=False, comment="until when what comes under it is dropped; then the row goes too"),
        sa.PrimaryKeyConstraint("mark", name=op.f("pk_erased")),
        comment="Studies that were erased on request not long ago.",
    )
