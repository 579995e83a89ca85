"""Create the journal."""
# ruff: noqa: E501 - the comments are those of node.journal.schema, as it was

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision: str | None = None


def upgrade() -> None:
    """Create every table."""
    op.create_table(
        "arrival",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False, comment="row id"),
        sa.Column("peer", sa.Text(), nullable=False, comment="the peer it came from; empty for strangers"),
        sa.Column("study_instance_uid", sa.Text(), nullable=False, comment="the study"),
        sa.Column(
            "series_instance_uid", sa.Text(), nullable=False, comment="the series, where series settle one by one; empty for a whole study"
        ),
        sa.Column("called_ae", sa.Text(), nullable=False, comment="called AE title of the first instance"),
        sa.Column(
            "state", sa.Text(), nullable=False, comment="received: more may come | complete: the manifest is frozen | routed: jobs inserted"
        ),
        sa.Column("revision", sa.Integer(), nullable=False, comment="1, and one more for each time instances came late"),
        sa.Column(
            "supersedes", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True, comment="the arrival that this one revises"
        ),
        sa.Column("opened_at", sa.BigInteger(), nullable=False, comment="when its first instance was journaled"),
        sa.Column(
            "last_instance_at", sa.BigInteger(), nullable=False, comment="when its newest instance was received; grows with every batch"
        ),
        sa.Column("due_at", sa.BigInteger(), nullable=False, comment="when it counts as complete if nothing comes"),
        sa.Column("completed_at", sa.BigInteger(), nullable=True, comment="when the manifest froze"),
        sa.Column("completed_by", sa.Text(), nullable=True, comment="quiet | count | operator"),
        sa.Column("config_digest", sa.Text(), nullable=True, comment="digest of the configuration that routed it"),
        sa.Column("instances", sa.Integer(), nullable=False, comment="how many instances the manifest has"),
        sa.ForeignKeyConstraint(["supersedes"], ["arrival.id"], name=op.f("fk_arrival_supersedes")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_arrival")),
        comment="What came for one study (or series) from one peer until nothing more was expected; one row a revision.",
    )
    op.create_index("ix_arrival_due", "arrival", ["state", "due_at"], unique=False)
    op.create_index("ix_arrival_latest", "arrival", ["study_instance_uid", "series_instance_uid", "peer", "revision"], unique=False)
    op.create_index(
        "uq_arrival_open",
        "arrival",
        ["study_instance_uid", "series_instance_uid", "peer"],
        unique=True,
        sqlite_where=sa.text("state = 'received'"),
        postgresql_where=sa.text("state = 'received'"),
    )
    op.create_table(
        "aside",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False, comment="row id"),
        sa.Column("at", sa.BigInteger(), nullable=False, comment="when it was set aside"),
        sa.Column("entry", sa.Text(), nullable=False, comment="name of the file, where the inbox keeps such files"),
        sa.Column("sender", sa.Text(), nullable=False, comment="calling AE title and address as far as known"),
        sa.Column("code", sa.Text(), nullable=False, comment="error code"),
        sa.Column("reason", sa.Text(), nullable=False, comment="why it cannot be indexed"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_aside")),
        sa.UniqueConstraint("entry", name=op.f("uq_aside_entry")),
        comment="Received files that are no readable instances: kept, reported, never analysed.",
    )
    op.create_table(
        "beat",
        sa.Column("process", sa.Text(), nullable=False, comment="stage and process id"),
        sa.Column("at", sa.BigInteger(), nullable=False, comment="when it last said so"),
        sa.Column("state", sa.Text(), nullable=False, comment="what it was doing"),
        sa.PrimaryKeyConstraint("process", name=op.f("pk_beat")),
        comment="Signs of life of the node's processes.",
    )
    op.create_table(
        "event",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False, comment="order of events"
        ),
        sa.Column("at", sa.BigInteger(), nullable=False, comment="when"),
        sa.Column("subject", sa.Text(), nullable=False, comment="arrival | job | delivery | instance"),
        sa.Column(
            "subject_id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            nullable=False,
            comment="row id of the subject; 0 for an instance that has no row",
        ),
        sa.Column(
            "name",
            sa.Text(),
            nullable=False,
            comment="<subject>.<new state> for every change of state; besides: arrival.overtaken, job.claimed, job.released, job.joined, job.retry, job.hastened, delivery.claimed, delivery.released, delivery.retry, delivery.again, instance.duplicate, instance.conflict, instance.replaced, instance.restored, instance.purged, instance.own_result, and what stages note",
        ),
        sa.Column("detail", sa.Text(), nullable=False, comment="a sentence, or code and reason"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_event")),
        comment="Append-only history; written in the same transaction as the change that it tells.",
    )
    op.create_index("ix_event_subject", "event", ["subject", "subject_id", "id"], unique=False)
    op.create_table(
        "pause",
        sa.Column("kind", sa.Text(), nullable=False, comment="route | sink | engine"),
        sa.Column("name", sa.Text(), nullable=False, comment="its name in the configuration"),
        sa.Column("since", sa.BigInteger(), nullable=False, comment="when the operator paused it"),
        sa.PrimaryKeyConstraint("kind", "name", name=op.f("pk_pause")),
        comment="What the operator has paused; intake goes on.",
    )
    op.create_table(
        "series_header",
        sa.Column(
            "id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
            comment="what instance.header_base names",
        ),
        sa.Column("series_instance_uid", sa.Text(), nullable=False, comment="the series whose first instance this is"),
        sa.Column("content", sa.Text(), nullable=False, comment="JSON: DICOM keyword → list of values"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_series_header")),
        comment="The routing header of the first instance of a series; the others keep only their difference from it.",
    )
    op.create_index(op.f("ix_series_header_series_instance_uid"), "series_header", ["series_instance_uid"], unique=False)
    op.create_table(
        "tombstone",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False, comment="row id"),
        sa.Column("blob", sa.Text(), nullable=False, comment="name of the bytes that are to be deleted"),
        sa.Column("at", sa.BigInteger(), nullable=False, comment="when retention decided it"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tombstone")),
        comment="Bytes to be deleted, committed before they are; the row goes when they are gone.",
    )
    op.create_table(
        "decision",
        sa.Column(
            "arrival_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False, comment="the arrival that was routed"
        ),
        sa.Column("position", sa.Integer(), nullable=False, comment="order in which the routes were tried"),
        sa.Column("route", sa.Text(), nullable=False, comment="name of the route"),
        sa.Column("series_instance_uid", sa.Text(), nullable=False, comment="the series it was tried on"),
        sa.Column("matched", sa.Boolean(), nullable=False, comment="whether every condition held"),
        sa.Column("chosen", sa.Boolean(), nullable=False, comment="whether this series was picked to run"),
        sa.Column("tried", sa.Text(), nullable=False, comment="JSON: [[key, expected, found, held], …]"),
        sa.Column("reason", sa.Text(), nullable=False, comment="the sentence for people"),
        sa.ForeignKeyConstraint(["arrival_id"], ["arrival.id"], name=op.f("fk_decision_arrival_id")),
        sa.PrimaryKeyConstraint("arrival_id", "position", name=op.f("pk_decision")),
        comment="Why each route did or did not match each series of an arrival.",
    )
    op.create_table(
        "instance",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False, comment="row id"),
        sa.Column("sop_instance_uid", sa.Text(), nullable=False, comment="SOP Instance UID (0008,0018)"),
        sa.Column("sop_class_uid", sa.Text(), nullable=False, comment="SOP Class UID (0008,0016)"),
        sa.Column("study_instance_uid", sa.Text(), nullable=False, comment="Study Instance UID (0020,000D)"),
        sa.Column("series_instance_uid", sa.Text(), nullable=False, comment="Series Instance UID (0020,000E)"),
        sa.Column("transfer_syntax_uid", sa.Text(), nullable=False, comment="Transfer Syntax UID (0002,0010) of the bytes kept"),
        sa.Column("blob", sa.Text(), nullable=False, comment="name of the bytes in the blobs"),
        sa.Column("size", sa.BigInteger(), nullable=False, comment="bytes of the Part 10 file"),
        sa.Column(
            "digest", sa.Text(), nullable=False, comment="SHA-256 (hex) of the data set bytes as received, without file meta information"
        ),
        sa.Column("calling_ae", sa.Text(), nullable=False, comment="calling AE title of the association it came over"),
        sa.Column("called_ae", sa.Text(), nullable=False, comment="called AE title of the association it came over"),
        sa.Column("address", sa.Text(), nullable=False, comment="network address of the sender"),
        sa.Column("peer", sa.Text(), nullable=False, comment="the peer of the configuration that sent it; empty for a stranger"),
        sa.Column("received_at", sa.BigInteger(), nullable=False, comment="when its bytes were durable"),
        sa.Column(
            "standing",
            sa.Text(),
            nullable=False,
            comment="current: jobs use it | replaced: corrected bytes came later | conflict: same UID, other pixels | purged: bytes deleted",
        ),
        sa.Column("standing_kept", sa.Text(), nullable=True, comment="the standing before purged; what a restored instance gets back"),
        sa.Column(
            "header_base",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            nullable=True,
            comment="the header it differs from; null once headers are forgotten",
        ),
        sa.Column("header_delta", sa.Text(), nullable=True, comment="JSON: {set: {keyword: values}, drop: [keyword]} against header_base"),
        sa.ForeignKeyConstraint(["header_base"], ["series_header.id"], name=op.f("fk_instance_header_base")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_instance")),
        sa.UniqueConstraint("blob", name=op.f("uq_instance_blob")),
        comment="One composite instance as it was received. A purged row is the tombstone that stays.",
    )
    op.create_index("ix_instance_age", "instance", ["standing", "received_at"], unique=False)
    op.create_index("ix_instance_header_base", "instance", ["header_base"], unique=False)
    op.create_index("uq_instance_bytes", "instance", ["sop_instance_uid", "digest"], unique=True)
    op.create_index(
        "uq_instance_current",
        "instance",
        ["sop_instance_uid"],
        unique=True,
        sqlite_where=sa.text("standing = 'current'"),
        postgresql_where=sa.text("standing = 'current'"),
    )
    op.create_table(
        "job",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False, comment="row id"),
        sa.Column(
            "arrival_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False, comment="the arrival whose routing made it"
        ),
        sa.Column("study_instance_uid", sa.Text(), nullable=False, comment="the study"),
        sa.Column("series_instance_uid", sa.Text(), nullable=False, comment="the series that is analysed"),
        sa.Column("application", sa.Text(), nullable=False, comment="name of the application"),
        sa.Column("application_version", sa.Text(), nullable=False, comment="its version when the job was made"),
        sa.Column("engine", sa.Text(), nullable=False, comment="the engine of the configuration that runs it"),
        sa.Column("rank", sa.SmallInteger(), nullable=False, comment="priority: 0 urgent, 1 routine, 2 offpeak; claimed in this order"),
        sa.Column(
            "state",
            sa.Text(),
            nullable=False,
            comment="queued: claimable | inferred: findings durable | encoded: objects durable, deliveries inserted | done: all delivered | parked: a person decides | failed: attempts used up | cancelled: by the operator | superseded: a revision has other inputs",
        ),
        sa.Column("attempts", sa.Integer(), nullable=False, comment="claims so far; a study that kills its worker is seen by them"),
        sa.Column("lease", sa.Text(), nullable=True, comment="<owner>/<random>: the fence; a finish under another lease touches nothing"),
        sa.Column("lease_until", sa.BigInteger(), nullable=True, comment="when another may claim it"),
        sa.Column("due_at", sa.BigInteger(), nullable=False, comment="not claimed before"),
        sa.Column("created_at", sa.BigInteger(), nullable=False, comment="when routing made it"),
        sa.Column("moved_at", sa.BigInteger(), nullable=False, comment="when the state last changed"),
        sa.Column(
            "input_digest", sa.Text(), nullable=False, comment="SHA-256 over the sorted (SOP Instance UID, digest) pairs of its instances"
        ),
        sa.Column(
            "predecessor",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            nullable=True,
            comment="the job on earlier inputs that this one replaces",
        ),
        sa.Column("findings_blob", sa.Text(), nullable=True, comment="name of the findings in the blobs, from inferred on"),
        sa.Column(
            "inferred_at", sa.BigInteger(), nullable=True, comment="when the findings were journaled; dates in the objects come from it"
        ),
        sa.Column("model_digest", sa.Text(), nullable=True, comment="digest of the model that made the findings"),
        sa.Column("code", sa.Text(), nullable=True, comment="error code of the last failure"),
        sa.Column("reason", sa.Text(), nullable=True, comment="the sentence of the last failure"),
        sa.ForeignKeyConstraint(["arrival_id"], ["arrival.id"], name=op.f("fk_job_arrival_id")),
        sa.ForeignKeyConstraint(["predecessor"], ["job.id"], name=op.f("fk_job_predecessor")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_job")),
        comment="One application on one series; routes that ask for the same share it.",
    )
    op.create_index("ix_job_arrival_id", "job", ["arrival_id"], unique=False)
    op.create_index(
        "ix_job_claim",
        "job",
        ["rank", "due_at", "id"],
        unique=False,
        sqlite_where=sa.text("state || '' IN ('queued', 'inferred')"),
        postgresql_where=sa.text("state || '' IN ('queued', 'inferred')"),
    )
    op.create_index("ix_job_same", "job", ["study_instance_uid", "series_instance_uid", "application", "id"], unique=False)
    op.create_index("ix_job_state", "job", ["state", "moved_at"], unique=False)
    op.create_table(
        "arrival_instance",
        sa.Column("arrival_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False, comment="the arrival"),
        sa.Column(
            "instance_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False, comment="an instance of its manifest"
        ),
        sa.ForeignKeyConstraint(["arrival_id"], ["arrival.id"], name=op.f("fk_arrival_instance_arrival_id")),
        sa.ForeignKeyConstraint(["instance_id"], ["instance.id"], name=op.f("fk_arrival_instance_instance_id")),
        sa.PrimaryKeyConstraint("arrival_id", "instance_id", name=op.f("pk_arrival_instance")),
        comment="The manifest of an arrival; a revision begins with its predecessor's.",
    )
    op.create_index("ix_arrival_instance_instance_id", "arrival_instance", ["instance_id"], unique=False)
    op.create_table(
        "delivery",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False, comment="row id"),
        sa.Column(
            "job_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False, comment="the job whose objects it brings"
        ),
        sa.Column("sink", sa.Text(), nullable=False, comment="name of the sink"),
        sa.Column(
            "state",
            sa.Text(),
            nullable=False,
            comment="waiting: claimable | delivered: every object accepted | committed: commitment reported, or not asked for | parked: refused for good, a person decides | cancelled: by the operator, or superseded before it left",
        ),
        sa.Column("round", sa.Integer(), nullable=False, comment="1, and one more for each time everything is sent again"),
        sa.Column("attempts", sa.Integer(), nullable=False, comment="claims in this round"),
        sa.Column("lease", sa.Text(), nullable=True, comment="<owner>/<random>, as at job"),
        sa.Column("lease_until", sa.BigInteger(), nullable=True, comment="when another may claim it"),
        sa.Column("due_at", sa.BigInteger(), nullable=False, comment="not claimed before"),
        sa.Column("waiting_since", sa.BigInteger(), nullable=False, comment="when this round began; the sink's give-up counts from here"),
        sa.Column("code", sa.Text(), nullable=True, comment="error code of the last failure"),
        sa.Column("reason", sa.Text(), nullable=True, comment="the sentence of the last failure"),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name=op.f("fk_delivery_job_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_delivery")),
        comment="The objects of one job on their way to one sink.",
    )
    op.create_index(
        "ix_delivery_claim",
        "delivery",
        ["due_at", "id"],
        unique=False,
        sqlite_where=sa.text("state || '' = 'waiting'"),
        postgresql_where=sa.text("state || '' = 'waiting'"),
    )
    op.create_index("ix_delivery_state", "delivery", ["state"], unique=False)
    op.create_index("uq_delivery_job_sink", "delivery", ["job_id", "sink"], unique=True)
    op.create_table(
        "job_instance",
        sa.Column("job_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False, comment="the job"),
        sa.Column(
            "instance_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False, comment="an instance that it analyses"
        ),
        sa.ForeignKeyConstraint(["instance_id"], ["instance.id"], name=op.f("fk_job_instance_instance_id")),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name=op.f("fk_job_instance_job_id")),
        sa.PrimaryKeyConstraint("job_id", "instance_id", name=op.f("pk_job_instance")),
        comment="Exactly what a job uses; the digest over it is job.input_digest.",
    )
    op.create_index("ix_job_instance_instance_id", "job_instance", ["instance_id"], unique=False)
    op.create_table(
        "job_route",
        sa.Column("job_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False, comment="the job"),
        sa.Column("route", sa.Text(), nullable=False, comment="a route that asked for it"),
        sa.Column("position", sa.Integer(), nullable=False, comment="order in which they asked"),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name=op.f("fk_job_route_job_id")),
        sa.PrimaryKeyConstraint("job_id", "route", name=op.f("pk_job_route")),
        comment="The routes of a job; it rests only while all of them are paused.",
    )
    op.create_table(
        "job_sink",
        sa.Column("job_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False, comment="the job"),
        sa.Column("sink", sa.Text(), nullable=False, comment="a sink that gets the objects"),
        sa.Column("position", sa.Integer(), nullable=False, comment="order in which the routes named them"),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name=op.f("fk_job_sink_job_id")),
        sa.PrimaryKeyConstraint("job_id", "sink", name=op.f("pk_job_sink")),
        comment="The sinks of a job: the union of what its routes ask.",
    )
    op.create_table(
        "result_object",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False, comment="row id"),
        sa.Column("job_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False, comment="the job that made it"),
        sa.Column("kind", sa.Text(), nullable=False, comment="seg | sr | sc"),
        sa.Column("sop_instance_uid", sa.Text(), nullable=False, comment="derived SOP Instance UID; how an own result is recognised"),
        sa.Column("sop_class_uid", sa.Text(), nullable=False, comment="SOP Class UID"),
        sa.Column("series_instance_uid", sa.Text(), nullable=False, comment="derived Series Instance UID"),
        sa.Column("description", sa.Text(), nullable=False, comment="series description for people"),
        sa.Column("blob", sa.Text(), nullable=False, comment="name of the bytes in the blobs"),
        sa.Column("size", sa.BigInteger(), nullable=False, comment="bytes of the Part 10 file"),
        sa.Column("digest", sa.Text(), nullable=False, comment="SHA-256 (hex) of the file"),
        sa.Column("purged_at", sa.BigInteger(), nullable=True, comment="when retention deleted the bytes; null while they are kept"),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name=op.f("fk_result_object_job_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_result_object")),
        comment="One encoded DICOM object; its bytes never change.",
    )
    op.create_index("ix_result_object_job_id", "result_object", ["job_id"], unique=False)
    op.create_index(op.f("ix_result_object_sop_instance_uid"), "result_object", ["sop_instance_uid"], unique=False)
    op.create_table(
        "receipt",
        sa.Column(
            "id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
            comment="row id; the newest of one object in one round counts",
        ),
        sa.Column("delivery_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False, comment="the delivery"),
        sa.Column("object_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False, comment="the object that was sent"),
        sa.Column("round", sa.Integer(), nullable=False, comment="delivery.round when it was sent"),
        sa.Column("accepted", sa.Boolean(), nullable=False, comment="whether the sink has it"),
        sa.Column("status", sa.Integer(), nullable=True, comment="DIMSE or HTTP status; null when none came"),
        sa.Column("detail", sa.Text(), nullable=False, comment="the sink's words"),
        sa.Column("at", sa.BigInteger(), nullable=False, comment="when the status came"),
        sa.ForeignKeyConstraint(["delivery_id"], ["delivery.id"], name=op.f("fk_receipt_delivery_id")),
        sa.ForeignKeyConstraint(["object_id"], ["result_object.id"], name=op.f("fk_receipt_object_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_receipt")),
        comment="What a sink said of one object, append-only: the proof of delivery.",
    )
    op.create_index("ix_receipt_delivery_id", "receipt", ["delivery_id", "object_id"], unique=False)
