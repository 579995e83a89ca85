"""Storage commitment in both roles: what sinks were asked to commit to, and what this node committed to."""
# ruff: noqa: E501 - the comments are those of node.journal.schema, as it was

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

_WANTS = sa.text("state || '' IN ('received', 'judged')")


def _key() -> sa.types.TypeEngine[int]:
    return sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Nothing was asked before: what is delivered is committed already."""
    op.create_table(
        "commitment",
        sa.Column("id", _key(), autoincrement=True, nullable=False, comment="order in which they were begun"),
        sa.Column("transaction_uid", sa.Text(), nullable=False, comment="Transaction UID (0008,1195); durable before it is sent"),
        sa.Column("delivery_id", _key(), nullable=False, comment="the delivery whose objects it asks for"),
        sa.Column("round", sa.Integer(), nullable=False, comment="delivery.round when it was begun"),
        sa.Column("peer", sa.Text(), nullable=False, comment="name of the peer that is asked; a report from another one changes nothing"),
        sa.Column(
            "state",
            sa.Text(),
            nullable=False,
            comment="begun: the N-ACTION may have been sent | accepted: answered with success | refused: not, or it never arrived | reported: the report came",
        ),
        sa.Column("asked_at", sa.BigInteger(), nullable=False, comment="when it was begun"),
        sa.Column("answered_at", sa.BigInteger(), nullable=True, comment="when the report came"),
        sa.Column("detail", sa.Text(), nullable=False, server_default="", comment="why it was refused, or what the report said"),
        sa.ForeignKeyConstraint(["delivery_id"], ["delivery.id"], name=op.f("fk_commitment_delivery_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_commitment")),
        sa.UniqueConstraint("transaction_uid", name=op.f("uq_commitment_transaction_uid")),
        comment="Storage commitment that this node asks for (PS3.4 Annex J): one transaction.",
    )
    op.create_index(op.f("ix_commitment_delivery_id"), "commitment", ["delivery_id"])
    op.create_table(
        "commitment_object",
        sa.Column("commitment_id", _key(), nullable=False, comment="the transaction"),
        sa.Column("object_id", _key(), nullable=False, comment="an object that it asks for"),
        sa.Column(
            "reason",
            sa.Integer(),
            nullable=True,
            comment="0: committed; else Failure Reason (0008,1197); null: the report does not speak of it",
        ),
        sa.ForeignKeyConstraint(["commitment_id"], ["commitment.id"], name=op.f("fk_commitment_object_commitment_id")),
        sa.ForeignKeyConstraint(["object_id"], ["result_object.id"], name=op.f("fk_commitment_object_object_id")),
        sa.PrimaryKeyConstraint("commitment_id", "object_id", name=op.f("pk_commitment_object")),
        comment="What a report says of each object that its transaction asked for.",
    )
    op.create_table(
        "promise_asked",
        sa.Column("id", _key(), autoincrement=True, nullable=False, comment="order in which they came"),
        sa.Column("peer", sa.Text(), nullable=False, comment="name of the peer that asks"),
        sa.Column("transaction_uid", sa.Text(), nullable=False, comment="its Transaction UID (0008,1195)"),
        sa.Column("digest", sa.Text(), nullable=False, comment="SHA-256 of the sorted references: the same request again is the same row"),
        sa.Column(
            "state",
            sa.Text(),
            nullable=False,
            comment="received: to be judged | judged: the report is on its way | reported: the peer took it | unreported: it did not for a day",
        ),
        sa.Column(
            "content", sa.Text(), nullable=False, comment="JSON: [SOP Class UID, SOP Instance UID, 0 or Failure Reason] of each reference"
        ),
        sa.Column("received_at", sa.BigInteger(), nullable=False, comment="when it was acknowledged"),
        sa.Column("attempts", sa.Integer(), nullable=False, comment="how often the report was tried"),
        sa.Column("due_at", sa.BigInteger(), nullable=False, comment="not looked at before"),
        sa.Column("detail", sa.Text(), nullable=False, server_default="", comment="why the report was not taken the last time"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_promise_asked")),
        comment="Storage commitment that a peer asks of this node: one request.",
    )
    op.create_index(
        op.f("uq_promise_asked_peer_transaction_uid_digest"), "promise_asked", ["peer", "transaction_uid", "digest"], unique=True
    )
    op.create_index("ix_promise_asked_due", "promise_asked", ["due_at"], sqlite_where=_WANTS, postgresql_where=_WANTS)
    op.create_table(
        "promise",
        sa.Column("instance_id", _key(), nullable=False, comment="an instance that this node committed to"),
        sa.Column(
            "at",
            sa.BigInteger(),
            nullable=False,
            comment="when it last did; the bytes stay for as long as the store keeps pixels, counted from here",
        ),
        sa.ForeignKeyConstraint(["instance_id"], ["instance.id"], name=op.f("fk_promise_instance_id")),
        sa.PrimaryKeyConstraint("instance_id", name=op.f("pk_promise")),
        comment="Instances that senders may have deleted because this node committed to them.",
    )
    if op.get_bind().dialect.name == "postgresql":
        op.alter_column(
            "event",
            "name",
            comment="<subject>.<new state> for every change of state; besides: arrival.overtaken, job.claimed, job.released, job.joined, job.retry, job.hastened, job.moved_up, delivery.claimed, delivery.released, delivery.retry, delivery.again, delivery.form, delivery.asked, delivery.reported, instance.duplicate, instance.conflict, instance.replaced, instance.restored, instance.purged, instance.own_result, and what stages note",
        )
