"""Result objects say which part of a series they are about."""

import re

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"

_TOLD = re.compile(r" \[(.+)\]$")
"""As the programs before ended the description with it."""


def upgrade() -> None:
    """What was made before said it in its description alone."""
    # a default, so that a node of the release before goes on inserting until it is replaced too
    op.add_column(
        "result_object",
        sa.Column(
            "part", sa.Text(), nullable=False, server_default="", comment="the part of the series that it is about; empty for all of it"
        ),
    )
    connection = op.get_bind()
    rows = connection.execute(sa.text("SELECT id, description FROM result_object WHERE description LIKE '% [%]'"))
    told = [{"id": row.id, "part": found[1]} for row in rows if (found := _TOLD.search(row.description))]
    if told:
        connection.execute(sa.text("UPDATE result_object SET part = :part WHERE id = :id"), told)
