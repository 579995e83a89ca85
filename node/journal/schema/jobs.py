"""Jobs: one application on one series, who asked for it, where its objects go, and exactly what it uses."""

from sqlalchemy import Boolean, Column, Index, Integer, SmallInteger, Table, false, text

from node.journal.schema.columns import NEVER, Micros, Words, metadata, reference, row_id

job = Table(
    "job",
    metadata,
    row_id("row id"),
    reference("arrival_id", "arrival", "the arrival whose routing made it"),
    Column("study_instance_uid", Words, nullable=False, comment="the study"),
    Column("series_instance_uid", Words, nullable=False, comment="the series that is analysed"),
    Column("application", Words, nullable=False, comment="name of the application"),
    Column("application_version", Words, nullable=False, comment="its version when the job was made"),
    Column("engine", Words, nullable=False, comment="the engine of the configuration that runs it"),
    Column("rank", SmallInteger, nullable=False, comment="priority that the routes asked for: 0 urgent, 1 routine, 2 offpeak"),
    Column(
        "state",
        Words,
        nullable=False,
        comment="queued: claimable | inferred: findings durable | encoded: objects durable, deliveries inserted | done: all delivered | "
        "parked: a person decides | failed: attempts used up | not_applicable: its application excludes such a series by its headers | "
        "cancelled: by the operator | superseded: a revision has other inputs",
    ),
    Column("attempts", Integer, nullable=False, comment="claims so far; a study that kills its worker is seen by them"),
    Column(
        "engines_lost",
        Integer,
        nullable=False,
        server_default="0",
        comment="how often its engine ended in the middle of it",
    ),
    Column("lease", Words, nullable=True, comment="<owner>/<random>: the fence; a finish under another lease touches nothing"),
    Column("lease_until", Micros, nullable=True, comment="when another may claim it"),
    Column("ended_lease", Words, nullable=True, comment="the lease under which it ended last: by it a step knows itself again"),
    Column("due_at", Micros, nullable=False, comment="not claimed before"),
    Column("created_at", Micros, nullable=False, comment="when routing made it"),
    Column("moved_at", Micros, nullable=False, comment="when the state last changed"),
    Column("done_at", Micros, nullable=True, comment="when it was done for the first time"),
    Column("input_digest", Words, nullable=False, comment="SHA-256 over the sorted (SOP Instance UID, digest) pairs of its instances"),
    reference("predecessor", "job", "the job on earlier inputs that this one replaces", nullable=True),
    Column("findings_blob", Words, nullable=True, comment="name of the findings in the blobs, from inferred on"),
    Column("inferred_at", Micros, nullable=True, comment="when the findings were journaled; dates in the objects come from it"),
    Column("model_digest", Words, nullable=True, comment="digest of the model that made the findings"),
    Column("findings_version", Words, nullable=True, comment="version of the application that made the findings; null where none did"),
    Column("code", Words, nullable=True, comment="error code of the last failure"),
    Column("reason", Words, nullable=True, comment="the sentence of the last failure"),
    Column("deadline_at", Micros, nullable=True, comment="when its results should be there; null without a deadline"),
    Column("lack", Words, nullable=True, comment="what tells that its series is short, as at hold; null: it is not known to be"),
    Column("came", Integer, nullable=True, comment="of a short series, how many instances came"),
    Column("expected", Integer, nullable=True, comment="of a short series, how many there are; null where nobody can say"),
    Column("marked", Boolean, nullable=True, comment="of a short series, whether results begin with INCOMPLETE; else they have a remark"),
    Column(
        "turn",
        SmallInteger,
        nullable=False,
        server_default="1",
        comment="the class it waits in: its rank, less one for each time that it waited for longer than patience; claimed in this order",
    ),
    Column(
        "place",
        Micros,
        nullable=False,
        server_default=str(NEVER),
        comment="its place in the class: the deadline, later behind others of its peer; without one the last, or when it ran out of "
        "patience in the first class",
    ),
    Column(
        "waits_since",
        Micros,
        nullable=False,
        server_default=str(NEVER),
        comment="since when it waits in its class; the latest time there is once it cannot move up any more",
    ),
    Column(
        "kind",
        Words,
        nullable=False,
        server_default="analysis",
        comment="analysis | statement: says of the study that the application gave no result | "
        "withdrawal: withdraws superseded objects from its sink",
    ),
    Column(
        "declined",
        Boolean,
        nullable=False,
        server_default=false(),
        comment="of a parked one: the images are the cause, not the machinery",
    ),
    Column(
        "when_excluded",
        Words,
        nullable=False,
        server_default="ignore",
        comment="what its routes want where its application excludes the series: ignore (not_applicable, nobody need look) | "
        "tell (the same, and the reader is told where the study has no result) | park (a person decides)",
    ),
    Column(
        "delivered_before",
        Boolean,
        nullable=False,
        server_default=false(),
        comment="it was cancelled once because every sink had its results; revived after that, it is done again",
    ),
    Column(
        "rejection",
        Words,
        nullable=True,
        comment="of a withdrawal, why: wrong (made from wrong, mixed or incomplete images) | replaced (by a later result)",
    ),
    Column("peer", Words, nullable=False, server_default="", comment="the peer of its arrival, whose turn it takes; empty for strangers"),
    comment="One application on one series; routes that ask for the same share it.",
)
# an expression, not the bare column: SQLite's planner would take ix_job_state for a claim and sort every job that waits
Index(
    "ix_job_claim",
    job.c.turn,
    job.c.place,
    job.c.due_at,
    job.c.id,
    sqlite_where=text("state || '' IN ('queued', 'inferred')"),
    postgresql_where=text("state || '' IN ('queued', 'inferred')"),
)
# the same queue by peer: whose first job is the next of its turn
Index(
    "ix_job_turn",
    job.c.turn,
    job.c.peer,
    job.c.place,
    job.c.due_at,
    job.c.id,
    sqlite_where=text("state || '' IN ('queued', 'inferred')"),
    postgresql_where=text("state || '' IN ('queued', 'inferred')"),
)
# a lease is there only while a job is claimed: this index is as small as the workers are few
Index("ix_job_leased", job.c.application, sqlite_where=text("lease IS NOT NULL"), postgresql_where=text("lease IS NOT NULL"))
Index(
    "ix_job_patience",
    job.c.waits_since,
    sqlite_where=text("state || '' IN ('queued', 'inferred')"),
    postgresql_where=text("state || '' IN ('queued', 'inferred')"),
)
Index("ix_job_same", job.c.study_instance_uid, job.c.series_instance_uid, job.c.application, job.c.id)
Index("ix_job_arrival_id", job.c.arrival_id)
Index("ix_job_state", job.c.state, job.c.moved_at)
# what retention looks among: jobs whose findings and objects are kept
Index("ix_job_kept", job.c.moved_at, sqlite_where=text("findings_blob IS NOT NULL"), postgresql_where=text("findings_blob IS NOT NULL"))

job_route = Table(
    "job_route",
    metadata,
    reference("job_id", "job", "the job", primary_key=True),
    Column("route", Words, primary_key=True, comment="a route that asked for it"),
    Column("position", Integer, nullable=False, comment="order in which they asked"),
    comment="The routes of a job; it rests only while all of them are paused.",
)

job_sink = Table(
    "job_sink",
    metadata,
    reference("job_id", "job", "the job", primary_key=True),
    Column("sink", Words, primary_key=True, comment="a sink that gets the objects"),
    Column("position", Integer, nullable=False, comment="order in which the routes named them"),
    comment="The sinks of a job: the union of what its routes ask.",
)

job_instance = Table(
    "job_instance",
    metadata,
    reference("job_id", "job", "the job", primary_key=True),
    reference("instance_id", "instance", "an instance that it analyses", primary_key=True),
    Index("ix_job_instance_instance_id", "instance_id"),
    comment="Exactly what a job uses; the digest over it is job.input_digest.",
)

job_turn = Table(
    "job_turn",
    metadata,
    Column("turn", SmallInteger, primary_key=True, autoincrement=False, comment="the class, as at job"),
    Column("placed", Boolean, primary_key=True, comment="of jobs with a place in the class, or of those without"),
    Column("peer", Words, primary_key=True, comment="the peer, as at job"),
    Column("number", Micros, nullable=False, comment="the largest is that of the peer of which a job was claimed last"),
    Column("at", Micros, nullable=False, comment="when that was"),
    comment="When jobs of a peer were last claimed: of those in one class without a place, the peer goes first that waits longest.",
)
