"""Storage commitment (PS3.4 Annex J) in both roles: asked of an archive, and promised to senders."""

from sqlalchemy import Column, Index, Integer, Table, text

from node.journal.schema.columns import Micros, Words, metadata, reference, row_id

commitment = Table(
    "commitment",
    metadata,
    row_id("order in which they were begun"),
    Column("transaction_uid", Words, nullable=False, unique=True, comment="Transaction UID (0008,1195); durable before it is sent"),
    reference("delivery_id", "delivery", "the delivery whose objects it asks for"),
    Column("round", Integer, nullable=False, comment="delivery.round when it was begun"),
    Column("peer", Words, nullable=False, comment="name of the peer that is asked; a report from another one changes nothing"),
    Column(
        "state",
        Words,
        nullable=False,
        comment="begun: the N-ACTION may have been sent | accepted: answered with success | refused: not, or it never arrived | "
        "reported: the report came",
    ),
    Column("asked_at", Micros, nullable=False, comment="when it was begun"),
    Column("answered_at", Micros, nullable=True, comment="when the report came"),
    Column("detail", Words, nullable=False, server_default="", comment="why it was refused, or what the report said"),
    Index("ix_commitment_delivery_id", "delivery_id"),
    comment="Storage commitment that this node asks for (PS3.4 Annex J): one transaction.",
)

commitment_object = Table(
    "commitment_object",
    metadata,
    reference("commitment_id", "commitment", "the transaction", primary_key=True),
    reference("object_id", "result_object", "an object that it asks for", primary_key=True),
    Column(
        "failure_reason",
        Integer,
        nullable=True,
        comment="0: committed; else Failure Reason (0008,1197); null: the report does not speak of it",
    ),
    comment="What a report says of each object that its transaction asked for.",
)

promise_asked = Table(
    "promise_asked",
    metadata,
    row_id("order in which they came"),
    Column("peer", Words, nullable=False, comment="name of the peer that asks"),
    Column("transaction_uid", Words, nullable=False, comment="its Transaction UID (0008,1195)"),
    Column("digest", Words, nullable=False, comment="SHA-256 of the sorted references: the same request again is the same row"),
    Column(
        "state",
        Words,
        nullable=False,
        comment="received: to be judged | judged: the report is on its way | reported: the peer took it | unreported: it did not for a day",
    ),
    Column("content", Words, nullable=False, comment="JSON: [SOP Class UID, SOP Instance UID, 0 or Failure Reason] of each reference"),
    Column("received_at", Micros, nullable=False, comment="when it was acknowledged"),
    Column("attempts", Integer, nullable=False, comment="how often the report was tried"),
    Column("due_at", Micros, nullable=False, comment="not looked at before"),
    Column("detail", Words, nullable=False, server_default="", comment="why the report was not taken the last time"),
    Index("uq_promise_asked_peer_transaction_uid_digest", "peer", "transaction_uid", "digest", unique=True),
    comment="Storage commitment that a peer asks of this node: one request.",
)
Index(
    "ix_promise_asked_due",
    promise_asked.c.due_at,
    sqlite_where=text("state || '' IN ('received', 'judged')"),
    postgresql_where=text("state || '' IN ('received', 'judged')"),
)

promise = Table(
    "promise",
    metadata,
    reference("instance_id", "instance", "an instance that this node committed to", primary_key=True),
    Column(
        "at", Micros, nullable=False, comment="when it last did; the bytes stay for as long as the store keeps pixels, counted from here"
    ),
    comment="Instances that senders may have deleted because this node committed to them.",
)
