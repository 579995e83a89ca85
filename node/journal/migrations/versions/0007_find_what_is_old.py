"""However long the history is, a sweep reads only what it is about: results that are kept, and deliveries under way."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

_LEFT = """
    SELECT made.id FROM result_object AS made JOIN job ON job.id = made.job_id
    WHERE made.purged_at IS NULL AND job.findings_blob IS NULL AND job.state NOT IN ('queued', 'inferred')
    AND NOT EXISTS (SELECT 1 FROM delivery WHERE delivery.job_id = job.id AND delivery.state IN ('waiting', 'delivered'))
"""


def upgrade() -> None:
    """Two indices. Objects whose findings an earlier sweep purged already go now: the sweep looks for findings from here on."""
    op.execute(f"INSERT INTO tombstone (blob, at) SELECT blob, 0 FROM result_object WHERE id IN ({_LEFT})")
    op.execute(f"UPDATE result_object SET purged_at = 0 WHERE id IN ({_LEFT})")
    kept, leased = sa.text("findings_blob IS NOT NULL"), sa.text("lease IS NOT NULL")
    op.create_index("ix_job_kept", "job", ["moved_at"], sqlite_where=kept, postgresql_where=kept)
    op.create_index("ix_delivery_leased", "delivery", ["sink"], sqlite_where=leased, postgresql_where=leased)
