"""What went on growing for too long is told by the word of its key, `growing`: `longest` is about short series."""

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"

_SAYS = "quiet | count | growing | operator | prior (came or changed later; all else was complete before)"


def upgrade() -> None:
    """The word, in what was complete before."""
    op.execute("UPDATE arrival SET completed_by = 'growing' WHERE completed_by = 'longest'")
    if op.get_bind().dialect.name == "postgresql":
        op.alter_column("arrival", "completed_by", existing_type=sa.Text(), comment=_SAYS)
