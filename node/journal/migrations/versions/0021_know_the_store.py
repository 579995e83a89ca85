"""The journal knows which store it is of, and its file that it is hilum's."""

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"

_APPLICATION_ID = 1751739501


def upgrade() -> None:
    """Without a row: the first start with the blobs at hand makes it."""
    op.create_table(
        "store",
        sa.Column("identity", sa.Text(), nullable=False, comment="128 random bits (hex), which the blobs bear as the name store/IDENTITY"),
        sa.Column("signed_at", sa.BigInteger(), nullable=True, comment="when the blobs were seen to bear it; null until then"),
        sa.PrimaryKeyConstraint("identity", name="pk_store"),
        comment="Which store this journal is of: one row, made at the first start.",
    )
    if op.get_bind().dialect.name == "sqlite":
        op.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
