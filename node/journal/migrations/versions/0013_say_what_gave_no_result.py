"""Jobs that say of a study that an application gave no result, and which jobs were parked because of their images."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    """Every job was an analysis; why one was parked stands in its code alone, as it did."""
    # defaults, so that a node of the release before goes on inserting until it is replaced too
    op.add_column(
        "job",
        sa.Column(
            "kind",
            sa.Text(),
            nullable=False,
            server_default="analysis",
            comment="analysis | statement: says of the study that the application gave no result",
        ),
    )
    op.add_column(
        "job",
        sa.Column(
            "declined",
            sa.Boolean(),
            nullable=False,
            server_default=sa.false(),
            comment="of a parked one: the images are the cause, not the machinery",
        ),
    )
