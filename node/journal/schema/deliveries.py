"""Deliveries to sinks, and the proof of each object."""

from sqlalchemy import Boolean, Column, Index, Integer, SmallInteger, Table, false, text

from node.journal.schema.columns import Micros, Words, metadata, reference, row_id

delivery = Table(
    "delivery",
    metadata,
    row_id("row id"),
    reference("job_id", "job", "the job whose objects it brings"),
    Column("sink", Words, nullable=False, comment="name of the sink"),
    Column(
        "state",
        Words,
        nullable=False,
        comment="waiting: claimable | delivered: every object accepted | committed: the sink has committed to all of them | "
        "parked: refused for good, a person decides | cancelled: by the operator, or superseded before it left",
    ),
    Column(
        "awaits_commitment",
        Boolean,
        nullable=False,
        server_default=false(),
        comment="of a delivered one: it is over only when the sink has committed to it",
    ),
    Column("round", Integer, nullable=False, comment="1, and one more for each time everything is sent again"),
    Column("attempts", Integer, nullable=False, comment="claims in this round"),
    Column("lease", Words, nullable=True, comment="<owner>/<random>, as at job"),
    Column("lease_until", Micros, nullable=True, comment="when another may claim it"),
    Column("ended_lease", Words, nullable=True, comment="the lease under which it was parked last, as at job"),
    Column("delivered_at", Micros, nullable=True, comment="when its sink had accepted every object for the first time"),
    Column("due_at", Micros, nullable=False, comment="not claimed before"),
    Column("waiting_since", Micros, nullable=False, comment="when this round began; the sink's give-up counts from here"),
    Column("code", Words, nullable=True, comment="error code of the last failure"),
    Column("reason", Words, nullable=True, comment="the sentence of the last failure"),
    Column(
        "form",
        Words,
        nullable=False,
        server_default="",
        comment="the form in which masks and their reports go in this round; empty until it was chosen",
    ),
    Column("peer", Words, nullable=False, server_default="", comment="the peer of its job, whose turn it takes; empty for strangers"),
    Column(
        "turn",
        SmallInteger,
        nullable=False,
        server_default="1",
        comment="the class that its job was in when it was made: 0 urgent, 1 routine, 2 offpeak; claimed in this order",
    ),
    comment="The objects of one job on their way to one sink.",
)
Index("uq_delivery_job_sink", delivery.c.job_id, delivery.c.sink, unique=True)
Index(
    "ix_delivery_claim",
    delivery.c.due_at,
    delivery.c.id,
    sqlite_where=text("state || '' = 'waiting'"),
    postgresql_where=text("state || '' = 'waiting'"),
)
Index(
    "ix_delivery_turn",
    delivery.c.sink,
    delivery.c.turn,
    delivery.c.peer,
    delivery.c.due_at,
    delivery.c.id,
    sqlite_where=text("state || '' = 'waiting'"),
    postgresql_where=text("state || '' = 'waiting'"),
)
Index("ix_delivery_state", delivery.c.state)
Index(
    "ix_delivery_commitment",
    delivery.c.due_at,
    delivery.c.id,
    sqlite_where=text("awaits_commitment = 1"),
    postgresql_where=text("awaits_commitment"),
)
Index("ix_delivery_leased", delivery.c.sink, sqlite_where=text("lease IS NOT NULL"), postgresql_where=text("lease IS NOT NULL"))

receipt = Table(
    "receipt",
    metadata,
    row_id("row id; the newest of one object in one round counts"),
    reference("delivery_id", "delivery", "the delivery"),
    reference("object_id", "result_object", "the object that was sent"),
    Column("round", Integer, nullable=False, comment="delivery.round when it was sent"),
    Column("accepted", Boolean, nullable=False, comment="whether the sink has it"),
    Column("left_out", Boolean, nullable=False, server_default=false(), comment="whether the sink does not get it, and it was not sent"),
    Column("status", Integer, nullable=True, comment="DIMSE or HTTP status; null when none came"),
    Column("detail", Words, nullable=False, comment="the sink's words, or why the object is left out"),
    Column("at", Micros, nullable=False, comment="when the status came"),
    Index("ix_receipt_delivery_id", "delivery_id", "object_id"),
    comment="What a sink said of one object, append-only: the proof of delivery.",
)

delivery_turn = Table(
    "delivery_turn",
    metadata,
    Column("sink", Words, primary_key=True, comment="the sink"),
    Column("turn", SmallInteger, primary_key=True, autoincrement=False, comment="the class, as at delivery"),
    Column("peer", Words, primary_key=True, comment="the peer, as at delivery"),
    Column("number", Micros, nullable=False, comment="the largest is that of the peer of which a delivery was claimed last"),
    comment="In which order deliveries of peers to a sink were last claimed: in one class, the peer goes first that waits longest.",
)
