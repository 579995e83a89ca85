"""Decisions say which applications compare the series with a prior."""

import json
import re

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"

_TOLD = re.compile(r"; ([a-z][a-z0-9-]*): (?:compared with |no prior: )")
"""As the programs before wrote it into the sentence for people."""


def upgrade() -> None:
    """What was decided before said it in its sentence alone."""
    # a default, so that a node of the release before goes on inserting until it is replaced too
    op.add_column(
        "decision",
        sa.Column(
            "compares",
            sa.Text(),
            nullable=False,
            server_default="[]",
            comment="JSON: the applications that compare it with a prior",
        ),
    )
    connection = op.get_bind()
    told_so = "chosen AND (reason LIKE '%: compared with %' OR reason LIKE '%: no prior: %')"
    rows = connection.execute(sa.text("SELECT arrival_id, position, reason FROM decision WHERE " + told_so))
    told = [{"arrival": row.arrival_id, "position": row.position, "compares": json.dumps(_TOLD.findall(row.reason))} for row in rows]
    if told:
        connection.execute(sa.text("UPDATE decision SET compares = :compares WHERE arrival_id = :arrival AND position = :position"), told)
