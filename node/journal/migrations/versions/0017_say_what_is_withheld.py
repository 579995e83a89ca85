"""Decisions say whether what a route asks for waits, or was parked because the study lacks a series."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"

_LACKED = "tried LIKE '%[\"needs %'"
"""As the programs before wrote the condition of a needed series; the sentences behind it are theirs, too."""


def upgrade() -> None:
    """What was decided before said it in its sentence alone."""
    op.add_column(
        "decision",
        sa.Column(
            "withheld",
            sa.Text(),
            nullable=True,
            comment="null, or waits: for a series that the route needs, or the rest of one | parked: the study lacks one that it needs",
        ),
    )
    waits = f"NOT chosen AND (({_LACKED} AND reason LIKE 'waits %') OR (tried LIKE '%[\"whole\", %' AND reason LIKE 'held until %'))"
    parked = f"chosen AND {_LACKED} AND reason LIKE '%is parked: the study has no series %'"
    op.execute(sa.text(f"UPDATE decision SET withheld = 'waits' WHERE {waits}"))
    op.execute(sa.text(f"UPDATE decision SET withheld = 'parked' WHERE {parked}"))
