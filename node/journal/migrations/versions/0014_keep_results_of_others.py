"""What another node made is an instance of a standing of its own."""
# ruff: noqa: E501 - the comments are those of node.journal.schema, as it was

from alembic import op

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    """The comments of the columns say so, where the database keeps comments."""
    if op.get_bind().dialect.name != "postgresql":
        return
    op.alter_column(
        "instance",
        "standing",
        comment="current: jobs use it | replaced: corrected bytes came later | conflict: same UID, other pixels | purged: bytes deleted | held: waits for a person | refused: a person said no | result: another hilum node made it, in no arrival",
    )
    op.alter_column(
        "event",
        "name",
        comment="<subject>.<new state> for every change of state; besides: arrival.overtaken, job.claimed, job.released, job.joined, job.retry, job.hastened, job.moved_up, delivery.claimed, delivery.released, delivery.retry, delivery.again, delivery.form, delivery.asked, delivery.reported, instance.duplicate, instance.conflict, instance.held, instance.accepted, instance.held_refused, instance.replaced, instance.restored, instance.purged, instance.own_result, instance.other_result, and what stages note",
    )
