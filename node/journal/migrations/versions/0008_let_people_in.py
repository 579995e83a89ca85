"""Who may use the console, and the sessions and tokens that stand for them."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Two tables."""
    op.create_table(
        "console_account",
        sa.Column("name", sa.Text, nullable=False, comment="by which a person logs in"),
        sa.Column("role", sa.Text, nullable=False, comment="viewer: looks | operator: retries, cancels | admin: everything"),
        sa.Column("password", sa.Text, nullable=False, comment="Argon2id, in the PHC string format"),
        sa.Column("created_at", sa.BigInteger, nullable=False, comment="when it was opened"),
        sa.PrimaryKeyConstraint("name", name="pk_console_account"),
        comment="People who may use the console.",
    )
    op.create_table(
        "console_key",
        sa.Column("digest", sa.Text, nullable=False, comment="SHA-256 (hex) of the secret, which is kept nowhere"),
        sa.Column("account", sa.Text, nullable=False, comment="whose it is"),
        sa.Column("kind", sa.Text, nullable=False, comment="session: a browser's | token: a program's"),
        sa.Column("label", sa.Text, nullable=False, comment="what a token is for; empty for sessions"),
        sa.Column("created_at", sa.BigInteger, nullable=False, comment="when it was opened"),
        sa.Column("ends_at", sa.BigInteger, nullable=False, comment="when it ends"),
        sa.PrimaryKeyConstraint("digest", name="pk_console_key"),
        sa.ForeignKeyConstraint(["account"], ["console_account.name"], name="fk_console_key_account"),
        comment="What stands for a person: sessions and API tokens.",
    )
    op.create_index("ix_console_key_account", "console_key", ["account"])
