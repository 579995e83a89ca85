"""The journal's tables: one schema for SQLite and PostgreSQL. Every table, column and state is explained here and in the database.

Conventions: times are microseconds since 1970-01-01 UTC in a BIGINT; a missing peer and a study-wide scope are empty strings, so that
unique indices see them as values; states are the texts of node.domain.state; JSON is text. The event names are listed at `event`.
Changing a table means a new revision in migrations/versions and a new `HEAD`.
"""

from sqlalchemy import BigInteger, Boolean, Column, Dialect, ForeignKey, Index, Integer, MetaData, SmallInteger, Table, Text, text
from sqlalchemy.types import TypeDecorator

HEAD = "0009"
"""The revision of migrations/versions that this file describes."""

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)


class Words(TypeDecorator[str]):
    """Text as both databases can keep it: PostgreSQL takes no NUL, neither takes half a surrogate pair, and senders write both."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """Replace what cannot be kept by U+FFFD."""
        if value is None or (value.isascii() and "\0" not in value):
            return value
        return "".join("\ufffd" if letter == "\0" or "\ud800" <= letter <= "\udfff" else letter for letter in value)


Key = BigInteger().with_variant(Integer(), "sqlite")  # SQLite numbers rows by itself only in an INTEGER PRIMARY KEY
Micros = BigInteger()
NEVER = 2**63 - 1
"""The latest time there is: where what has no deadline stands among deadlines."""


def _id(comment: str) -> Column[int]:
    return Column("id", Key, primary_key=True, autoincrement=True, comment=comment)


def _to(column: str, table: str, comment: str, *, primary_key: bool = False, nullable: bool = False) -> Column[int]:
    return Column(column, Key, ForeignKey(f"{table}.id"), primary_key=primary_key, nullable=nullable, comment=comment)


series_header = Table(
    "series_header",
    metadata,
    _id("what instance.header_base names"),
    Column("series_instance_uid", Words, nullable=False, index=True, comment="the series whose first instance this is"),
    Column("content", Words, nullable=False, comment="JSON: DICOM keyword → list of values"),
    comment="The routing header of the first instance of a series; the others keep only their difference from it.",
)

patient_series = Table(
    "patient_series",
    metadata,
    Column("patient_id", Words, primary_key=True, comment="PatientID (0010,0020); never empty"),
    Column("issuer", Words, primary_key=True, comment="IssuerOfPatientID (0010,0021); empty where headers have none"),
    Column("series_instance_uid", Words, primary_key=True, index=True, comment="a series that an instance of this patient is of"),
    Column("study_instance_uid", Words, nullable=False, index=True, comment="the series' study"),
    Column("modality", Words, nullable=False, comment="Modality (0008,0060)"),
    Column("studied_at", Words, nullable=False, comment="when the study began, YYYYMMDDHHMMSS or a part; empty: unknown"),
    comment="Which series headers ever called a patient's: how priors are found. Whether they still do is asked of the headers themselves.",
)

instance = Table(
    "instance",
    metadata,
    _id("row id"),
    Column("sop_instance_uid", Words, nullable=False, comment="SOP Instance UID (0008,0018)"),
    Column("sop_class_uid", Words, nullable=False, comment="SOP Class UID (0008,0016)"),
    Column("study_instance_uid", Words, nullable=False, comment="Study Instance UID (0020,000D)"),
    Column("series_instance_uid", Words, nullable=False, comment="Series Instance UID (0020,000E)"),
    Column("transfer_syntax_uid", Words, nullable=False, comment="Transfer Syntax UID (0002,0010) of the bytes kept"),
    Column("blob", Words, nullable=False, unique=True, comment="name of the bytes in the blobs"),
    Column("size", BigInteger, nullable=False, comment="bytes of the Part 10 file"),
    Column("digest", Words, nullable=False, comment="SHA-256 (hex) of the data set bytes as received, without file meta information"),
    Column("calling_ae", Words, nullable=False, comment="calling AE title of the association it came over"),
    Column("called_ae", Words, nullable=False, comment="called AE title of the association it came over"),
    Column("address", Words, nullable=False, comment="network address of the sender"),
    Column("peer", Words, nullable=False, comment="the peer of the configuration that sent it; empty for a stranger"),
    Column("received_at", Micros, nullable=False, comment="when its bytes were durable"),
    Column(
        "standing",
        Words,
        nullable=False,
        comment="current: jobs use it | replaced: corrected bytes came later | conflict: same UID, other pixels | purged: bytes deleted",
    ),
    Column("standing_kept", Words, nullable=True, comment="the standing before purged; what a restored instance gets back"),
    _to("header_base", "series_header", "the header it differs from; null once headers are forgotten", nullable=True),
    Column("header_delta", Words, nullable=True, comment="JSON: {set: {keyword: values}, drop: [keyword]} against header_base"),
    comment="One composite instance as it was received. A purged row is the tombstone that stays.",
)
Index("uq_instance_bytes", instance.c.sop_instance_uid, instance.c.digest, unique=True)
Index(
    "uq_instance_current",
    instance.c.sop_instance_uid,
    unique=True,
    sqlite_where=text("standing = 'current'"),
    postgresql_where=text("standing = 'current'"),
)
Index("ix_instance_age", instance.c.standing, instance.c.received_at)
Index("ix_instance_header_base", instance.c.header_base)

arrival = Table(
    "arrival",
    metadata,
    _id("row id"),
    Column("peer", Words, nullable=False, comment="the peer it came from; empty for strangers"),
    Column("study_instance_uid", Words, nullable=False, comment="the study"),
    Column("series_instance_uid", Words, nullable=False, comment="the series, where series settle one by one; empty for a whole study"),
    Column("called_ae", Words, nullable=False, comment="called AE title of the first instance"),
    Column("state", Words, nullable=False, comment="received: more may come | complete: the manifest is frozen | routed: jobs inserted"),
    Column("revision", Integer, nullable=False, comment="1, and one more for each time instances came late"),
    _to("supersedes", "arrival", "the arrival that this one revises", nullable=True),
    Column("opened_at", Micros, nullable=False, comment="when its first instance was journaled"),
    Column("last_instance_at", Micros, nullable=False, comment="when its newest instance was received; grows with every batch"),
    Column("due_at", Micros, nullable=False, comment="when it counts as complete if nothing comes"),
    Column("completed_at", Micros, nullable=True, comment="when the manifest froze"),
    Column(
        "completed_by",
        Words,
        nullable=True,
        comment="quiet | count | operator | prior (came or changed later; all else was complete before)",
    ),
    Column("config_digest", Words, nullable=True, comment="digest of the configuration that routed it"),
    Column("instances", Integer, nullable=False, comment="how many instances the manifest has"),
    comment="What came for one study (or series) from one peer until nothing more was expected; one row a revision.",
)
Index(
    "uq_arrival_open",
    arrival.c.study_instance_uid,
    arrival.c.series_instance_uid,
    arrival.c.peer,
    unique=True,
    sqlite_where=text("state = 'received'"),
    postgresql_where=text("state = 'received'"),
)
Index("ix_arrival_latest", arrival.c.study_instance_uid, arrival.c.series_instance_uid, arrival.c.peer, arrival.c.revision)
Index("ix_arrival_due", arrival.c.state, arrival.c.due_at)

arrival_instance = Table(
    "arrival_instance",
    metadata,
    _to("arrival_id", "arrival", "the arrival", primary_key=True),
    _to("instance_id", "instance", "an instance of its manifest", primary_key=True),
    Index("ix_arrival_instance_instance_id", "instance_id"),
    comment="The manifest of an arrival; a revision begins with its predecessor's.",
)

decision = Table(
    "decision",
    metadata,
    _to("arrival_id", "arrival", "the arrival that was routed", primary_key=True),
    Column("position", Integer, primary_key=True, comment="order in which the routes were tried"),
    Column("route", Words, nullable=False, comment="name of the route"),
    Column("series_instance_uid", Words, nullable=False, comment="the series it was tried on"),
    Column("matched", Boolean, nullable=False, comment="whether every condition held"),
    Column("chosen", Boolean, nullable=False, comment="whether this series was picked to run"),
    Column("tried", Words, nullable=False, comment="JSON: [[key, expected, found, held], …]"),
    Column("reason", Words, nullable=False, comment="the sentence for people"),
    Column("compares", Words, nullable=False, server_default="[]", comment="JSON: the applications that compare it with a prior"),
    comment="Why each route did or did not match each series of an arrival.",
)

job = Table(
    "job",
    metadata,
    _id("row id"),
    _to("arrival_id", "arrival", "the arrival whose routing made it"),
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
        "parked: a person decides | failed: attempts used up | cancelled: by the operator | superseded: a revision has other inputs",
    ),
    Column("attempts", Integer, nullable=False, comment="claims so far; a study that kills its worker is seen by them"),
    Column("lease", Words, nullable=True, comment="<owner>/<random>: the fence; a finish under another lease touches nothing"),
    Column("lease_until", Micros, nullable=True, comment="when another may claim it"),
    Column("due_at", Micros, nullable=False, comment="not claimed before"),
    Column("created_at", Micros, nullable=False, comment="when routing made it"),
    Column("moved_at", Micros, nullable=False, comment="when the state last changed"),
    Column("input_digest", Words, nullable=False, comment="SHA-256 over the sorted (SOP Instance UID, digest) pairs of its instances"),
    _to("predecessor", "job", "the job on earlier inputs that this one replaces", nullable=True),
    Column("findings_blob", Words, nullable=True, comment="name of the findings in the blobs, from inferred on"),
    Column("inferred_at", Micros, nullable=True, comment="when the findings were journaled; dates in the objects come from it"),
    Column("model_digest", Words, nullable=True, comment="digest of the model that made the findings"),
    Column("code", Words, nullable=True, comment="error code of the last failure"),
    Column("reason", Words, nullable=True, comment="the sentence of the last failure"),
    Column("deadline_at", Micros, nullable=True, comment="when its results should be there; null without a deadline"),
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
        comment="its place in the class: the deadline; without one the last, or when it ran out of patience in the first class",
    ),
    Column(
        "waits_since",
        Micros,
        nullable=False,
        server_default=str(NEVER),
        comment="since when it waits in its class; the latest time there is once it cannot move up any more",
    ),
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
    _to("job_id", "job", "the job", primary_key=True),
    Column("route", Words, primary_key=True, comment="a route that asked for it"),
    Column("position", Integer, nullable=False, comment="order in which they asked"),
    comment="The routes of a job; it rests only while all of them are paused.",
)

job_sink = Table(
    "job_sink",
    metadata,
    _to("job_id", "job", "the job", primary_key=True),
    Column("sink", Words, primary_key=True, comment="a sink that gets the objects"),
    Column("position", Integer, nullable=False, comment="order in which the routes named them"),
    comment="The sinks of a job: the union of what its routes ask.",
)

job_instance = Table(
    "job_instance",
    metadata,
    _to("job_id", "job", "the job", primary_key=True),
    _to("instance_id", "instance", "an instance that it analyses", primary_key=True),
    Index("ix_job_instance_instance_id", "instance_id"),
    comment="Exactly what a job uses; the digest over it is job.input_digest.",
)

result_object = Table(
    "result_object",
    metadata,
    _id("row id"),
    _to("job_id", "job", "the job that made it"),
    Column(
        "kind",
        Words,
        nullable=False,
        comment="seg | sr (measurements, evaluations) | detections (SR) | sc (page) | overlay (SC) | map | derived | registration | "
        "narrative (SR) | pdf",
    ),
    Column("sop_instance_uid", Words, nullable=False, index=True, comment="derived SOP Instance UID; how an own result is recognised"),
    Column("sop_class_uid", Words, nullable=False, comment="SOP Class UID"),
    Column("series_instance_uid", Words, nullable=False, comment="derived Series Instance UID"),
    Column("description", Words, nullable=False, comment="series description for people"),
    Column("blob", Words, nullable=False, comment="name of the bytes in the blobs"),
    Column("size", BigInteger, nullable=False, comment="bytes of the Part 10 file"),
    Column("digest", Words, nullable=False, comment="SHA-256 (hex) of the file"),
    Column("purged_at", Micros, nullable=True, comment="when retention deleted the bytes; null while they are kept"),
    Column(
        "form",
        Words,
        nullable=False,
        server_default="",
        comment="of masks and the reports that refer to them: binary | labelmap | either with +<compression>; of narratives and pdf the "
        "language, with +<form> where they refer to masks that are not binary; empty for what has one form",
    ),
    Index("ix_result_object_job_id", "job_id"),
    comment="One encoded DICOM object; its bytes never change.",
)

delivery = Table(
    "delivery",
    metadata,
    _id("row id"),
    _to("job_id", "job", "the job whose objects it brings"),
    Column("sink", Words, nullable=False, comment="name of the sink"),
    Column(
        "state",
        Words,
        nullable=False,
        comment="waiting: claimable | delivered: every object accepted | committed: commitment reported, or not asked for | "
        "parked: refused for good, a person decides | cancelled: by the operator, or superseded before it left",
    ),
    Column("round", Integer, nullable=False, comment="1, and one more for each time everything is sent again"),
    Column("attempts", Integer, nullable=False, comment="claims in this round"),
    Column("lease", Words, nullable=True, comment="<owner>/<random>, as at job"),
    Column("lease_until", Micros, nullable=True, comment="when another may claim it"),
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
Index("ix_delivery_state", delivery.c.state)
Index("ix_delivery_leased", delivery.c.sink, sqlite_where=text("lease IS NOT NULL"), postgresql_where=text("lease IS NOT NULL"))

receipt = Table(
    "receipt",
    metadata,
    _id("row id; the newest of one object in one round counts"),
    _to("delivery_id", "delivery", "the delivery"),
    _to("object_id", "result_object", "the object that was sent"),
    Column("round", Integer, nullable=False, comment="delivery.round when it was sent"),
    Column("accepted", Boolean, nullable=False, comment="whether the sink has it"),
    Column("status", Integer, nullable=True, comment="DIMSE or HTTP status; null when none came"),
    Column("detail", Words, nullable=False, comment="the sink's words"),
    Column("at", Micros, nullable=False, comment="when the status came"),
    Index("ix_receipt_delivery_id", "delivery_id", "object_id"),
    comment="What a sink said of one object, append-only: the proof of delivery.",
)

commitment = Table(
    "commitment",
    metadata,
    _id("order in which they were begun"),
    Column("transaction_uid", Words, nullable=False, unique=True, comment="Transaction UID (0008,1195); durable before it is sent"),
    _to("delivery_id", "delivery", "the delivery whose objects it asks for"),
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
    _to("commitment_id", "commitment", "the transaction", primary_key=True),
    _to("object_id", "result_object", "an object that it asks for", primary_key=True),
    Column(
        "reason", Integer, nullable=True, comment="0: committed; else Failure Reason (0008,1197); null: the report does not speak of it"
    ),
    comment="What a report says of each object that its transaction asked for.",
)

promise_asked = Table(
    "promise_asked",
    metadata,
    _id("order in which they came"),
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
    _to("instance_id", "instance", "an instance that this node committed to", primary_key=True),
    Column(
        "at", Micros, nullable=False, comment="when it last did; the bytes stay for as long as the store keeps pixels, counted from here"
    ),
    comment="Instances that senders may have deleted because this node committed to them.",
)

event = Table(
    "event",
    metadata,
    _id("order of events"),
    Column("at", Micros, nullable=False, comment="when"),
    Column("subject", Words, nullable=False, comment="arrival | job | delivery | instance"),
    Column("subject_id", Key, nullable=False, comment="row id of the subject; 0 for an instance that has no row"),
    Column(
        "name",
        Words,
        nullable=False,
        comment="<subject>.<new state> for every change of state; besides: arrival.overtaken, job.claimed, job.released, job.joined, "
        "job.retry, job.hastened, job.moved_up, delivery.claimed, delivery.released, delivery.retry, delivery.again, delivery.form, "
        "delivery.asked, delivery.reported, "
        "instance.duplicate, instance.conflict, instance.replaced, instance.restored, instance.purged, instance.own_result, "
        "and what stages note",
    ),
    Column("detail", Words, nullable=False, comment="a sentence, or code and reason"),
    Index("ix_event_subject", "subject", "subject_id", "id"),
    comment="Append-only history; written in the same transaction as the change that it tells.",
)

pause = Table(
    "pause",
    metadata,
    Column("kind", Words, primary_key=True, comment="route | sink | engine"),
    Column("name", Words, primary_key=True, comment="its name in the configuration"),
    Column("since", Micros, nullable=False, comment="when the operator paused it"),
    comment="What the operator has paused; intake goes on.",
)

aside = Table(
    "aside",
    metadata,
    _id("row id"),
    Column("at", Micros, nullable=False, comment="when it was set aside"),
    Column("entry", Words, nullable=False, unique=True, comment="name of the file, where the inbox keeps such files"),
    Column("sender", Words, nullable=False, comment="calling AE title and address as far as known"),
    Column("code", Words, nullable=False, comment="error code"),
    Column("reason", Words, nullable=False, comment="why it cannot be indexed"),
    comment="Received files that are no readable instances: kept, reported, never analysed.",
)

tombstone = Table(
    "tombstone",
    metadata,
    _id("row id"),
    Column("blob", Words, nullable=False, comment="name of the bytes that are to be deleted"),
    Column("at", Micros, nullable=False, comment="when retention decided it"),
    comment="Bytes to be deleted, committed before they are; the row goes when they are gone.",
)

beat = Table(
    "beat",
    metadata,
    Column("process", Words, primary_key=True, comment="stage and process id"),
    Column("at", Micros, nullable=False, comment="when it last said so"),
    Column("state", Words, nullable=False, comment="what it was doing"),
    comment="Signs of life of the node's processes.",
)

follower = Table(
    "follower",
    metadata,
    Column("name", Words, primary_key=True, comment="who follows the history: audit"),
    Column("position", Key, nullable=False, comment="the last event.id of which it has told what there was to tell"),
    comment="How far those who follow the history have come.",
)

erased = Table(
    "erased",
    metadata,
    Column("mark", Words, primary_key=True, comment="SHA-256 over the study and its patient; it names neither"),
    Column("until", Micros, nullable=False, comment="until when what comes under it is dropped; then the row goes too"),
    comment="Studies that were erased on request not long ago.",
)

console_account = Table(
    "console_account",
    metadata,
    Column("name", Words, primary_key=True, comment="by which a person logs in"),
    Column("role", Words, nullable=False, comment="viewer: looks | operator: retries, cancels | admin: everything"),
    Column("password", Words, nullable=False, comment="Argon2id, in the PHC string format"),
    Column("created_at", Micros, nullable=False, comment="when it was opened"),
    comment="People who may use the console.",
)

console_key = Table(
    "console_key",
    metadata,
    Column("digest", Words, primary_key=True, comment="SHA-256 (hex) of the secret, which is kept nowhere"),
    Column("account", Words, ForeignKey("console_account.name"), nullable=False, index=True, comment="whose it is"),
    Column("kind", Words, nullable=False, comment="session: a browser's | token: a program's"),
    Column("label", Words, nullable=False, comment="what a token is for; empty for sessions"),
    Column("created_at", Micros, nullable=False, comment="when it was opened"),
    Column("ends_at", Micros, nullable=False, comment="when it ends"),
    comment="What stands for a person: sessions and API tokens.",
)
