"""Result objects say in which form they are, and deliveries in which form they go."""
# ruff: noqa: E501 - the comments are those of node.journal.schema, as it was

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

_KINDS = "seg | sr (measurements, evaluations) | detections (SR) | sc (page) | overlay (SC) | map | derived | registration | narrative (SR) | pdf"


def upgrade() -> None:
    """What was made before is of the one form that there was: binary masks, and the report that was made right after them."""
    # defaults, so that a node of the release before goes on inserting until it is replaced too
    op.add_column(
        "result_object",
        sa.Column(
            "form",
            sa.Text(),
            nullable=False,
            server_default="",
            comment="of masks and the reports that refer to them: binary | labelmap | either with +<compression>; of narratives and pdf the language, with +<form> where they refer to masks that are not binary; empty for what has one form",
        ),
    )
    op.add_column(
        "delivery",
        sa.Column(
            "form",
            sa.Text(),
            nullable=False,
            server_default="",
            comment="the form in which masks and their reports go in this round; empty until it was chosen",
        ),
    )
    op.execute("UPDATE result_object SET form = 'binary' WHERE kind = 'seg'")
    # of a job with masks the first report refers to them; a second one is about what has no mask
    op.execute(
        "UPDATE result_object SET form = 'binary' WHERE id IN ("
        "SELECT min(report.id) FROM result_object AS report WHERE report.kind = 'sr' AND EXISTS ("
        "SELECT 1 FROM result_object AS mask WHERE mask.kind = 'seg' AND mask.job_id = report.job_id AND mask.id < report.id) "
        "GROUP BY report.job_id)"
    )
    if op.get_bind().dialect.name == "postgresql":
        op.alter_column("result_object", "kind", comment=_KINDS)
        op.alter_column(
            "event",
            "name",
            comment="<subject>.<new state> for every change of state; besides: arrival.overtaken, job.claimed, job.released, job.joined, job.retry, job.hastened, job.moved_up, delivery.claimed, delivery.released, delivery.retry, delivery.again, delivery.form, instance.duplicate, instance.conflict, instance.replaced, instance.restored, instance.purged, instance.own_result, and what stages note",
        )
