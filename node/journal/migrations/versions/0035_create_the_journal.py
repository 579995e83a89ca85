"""Create the journal."""
# ruff: noqa: E501 - the comments are those of node.journal.schema, as it was

import sqlalchemy as sa
from alembic import op

revision = "0035"
down_revision = None


def upgrade() -> None:
    """Create the journal."""
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
            "state",
            sa.Text(),
            nullable=False,
            comment="received: more may come | complete: the manifest is frozen | routed: jobs inserted | parked: routing it failed",
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
        sa.Column(
            "completed_by",
            sa.Text(),
            nullable=True,
            comment="quiet | count | growing | operator | prior (came or changed later; all else was complete before)",
        ),
        sa.Column("routed_at", sa.BigInteger(), nullable=True, comment="when it was routed"),
        sa.Column("config_digest", sa.Text(), nullable=True, comment="digest of the configuration that routed it"),
        sa.Column("instances", sa.Integer(), nullable=False, comment="how many instances the manifest has"),
        sa.Column(
            "largest_gap",
            sa.BigInteger(),
            nullable=True,
            comment="the longest pause, in microseconds, between two instances that came for it; null while it is open, and where none came",
        ),
        sa.Column(
            "came_after",
            sa.BigInteger(),
            nullable=True,
            comment="microseconds from its predecessor's last instance to its own first; null without one",
        ),
        sa.Column(
            "counted_last",
            sa.BigInteger(),
            nullable=True,
            comment="last_instance_at when the count of its sender, or of the archive asked instead, was met; void once they differ",
        ),
        sa.Column(
            "waits_last",
            sa.BigInteger(),
            nullable=True,
            comment="last_instance_at when it was kept open for a route; void once they differ",
        ),
        sa.Column("waits_for", sa.Text(), nullable=True, comment="what it is kept open for, in words; null where nothing ever was"),
        sa.Column(
            "attempts", sa.Integer(), server_default="0", nullable=False, comment="how often routing it failed since it was complete"
        ),
        sa.Column("code", sa.Text(), nullable=True, comment="why routing it failed last; null where it did not, or was put back"),
        sa.Column("reason", sa.Text(), nullable=True, comment="the same as a sentence for people"),
        sa.ForeignKeyConstraint(["supersedes"], ["arrival.id"], name=op.f("fk_arrival_supersedes")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_arrival")),
        comment="What came for one study (or series) from one peer until nothing more was expected; one row a revision.",
    )
    op.create_index("ix_arrival_due", "arrival", ["state", "due_at"], unique=False)
    op.create_index(
        "ix_arrival_gap",
        "arrival",
        ["peer", "id"],
        unique=False,
        sqlite_where=sa.text("largest_gap IS NOT NULL"),
        postgresql_where=sa.text("largest_gap IS NOT NULL"),
    )
    op.create_index("ix_arrival_latest", "arrival", ["study_instance_uid", "series_instance_uid", "peer", "revision"], unique=False)
    op.create_index(
        "ix_arrival_turn",
        "arrival",
        ["peer", "id"],
        unique=False,
        sqlite_where=sa.text("state || '' = 'complete'"),
        postgresql_where=sa.text("state || '' = 'complete'"),
    )
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
        sa.Column(
            "patient_id",
            sa.Text(),
            server_default="",
            nullable=False,
            comment="PatientID (0010,0020) as far as it can be read; empty: unknown",
        ),
        sa.Column("issuer", sa.Text(), server_default="", nullable=False, comment="IssuerOfPatientID (0010,0021); empty: unknown"),
        sa.Column("accession", sa.Text(), server_default="", nullable=False, comment="AccessionNumber (0008,0050); empty: unknown"),
        sa.Column(
            "study_instance_uid",
            sa.Text(),
            server_default="",
            nullable=False,
            comment="Study Instance UID (0020,000D); empty: it names none, or none that can be read",
        ),
        sa.Column("series_instance_uid", sa.Text(), server_default="", nullable=False, comment="Series Instance UID (0020,000E); likewise"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_aside")),
        sa.UniqueConstraint("entry", name=op.f("uq_aside_entry")),
        comment="Received files that are no readable instances: kept, reported, never analysed.",
    )
    op.create_index(op.f("ix_aside_patient_id"), "aside", ["patient_id"], unique=False)
    op.create_index(op.f("ix_aside_series_instance_uid"), "aside", ["series_instance_uid"], unique=False)
    op.create_index(op.f("ix_aside_study_instance_uid"), "aside", ["study_instance_uid"], unique=False)
    op.create_table(
        "beat",
        sa.Column("process", sa.Text(), nullable=False, comment="stage and process id"),
        sa.Column("at", sa.BigInteger(), nullable=False, comment="when it last said so"),
        sa.Column("state", sa.Text(), nullable=False, comment="by which configuration it goes, as config_revision has it (SHA-256)"),
        sa.PrimaryKeyConstraint("process", name=op.f("pk_beat")),
        comment="Signs of life of the node's processes.",
    )
    op.create_table(
        "config_revision",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False, comment="the revision's number"
        ),
        sa.Column("at", sa.BigInteger(), nullable=False, comment="when it came into force"),
        sa.Column(
            "author", sa.Text(), nullable=False, comment="an account of the console, a command's user, or what made the node read its file"
        ),
        sa.Column("reason", sa.Text(), nullable=False, comment="in the author's words; mostly empty"),
        sa.Column("host", sa.Text(), nullable=False, comment="whose supervisor took it"),
        sa.Column("path", sa.Text(), nullable=False, comment="the file it was read from"),
        sa.Column("digest", sa.Text(), nullable=False, comment="digest of what its routes mean, as arrival.config_digest names it"),
        sa.Column("text", sa.Text(), nullable=False, comment="the file, without values that may be secret"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_config_revision")),
        comment="Configurations that came into force. A row is never changed, and never goes.",
    )
    op.create_table(
        "console_account",
        sa.Column("name", sa.Text(), nullable=False, comment="by which a person logs in"),
        sa.Column("role", sa.Text(), nullable=False, comment="viewer: looks | operator: retries, cancels | admin: everything"),
        sa.Column(
            "password", sa.Text(), nullable=True, comment="Argon2id, in the PHC string format; empty: somebody else vouches for the person"
        ),
        sa.Column("created_at", sa.BigInteger(), nullable=False, comment="when it was opened"),
        sa.Column("origin", sa.Text(), nullable=False, comment="who vouches: local: this node | oidc: a provider | ldap: a directory"),
        sa.Column("subject", sa.Text(), nullable=False, comment="who it is to the provider or directory, whatever the name; empty: local"),
        sa.Column("disabled_at", sa.BigInteger(), nullable=True, comment="since when the person is not let in; empty: is let in"),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_console_account")),
        comment="People who may use the console.",
    )
    op.create_table(
        "console_attempt",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False, comment="order of attempts"
        ),
        sa.Column("network", sa.Text(), nullable=False, comment="an IPv4 address, or the /64 of an IPv6 address"),
        sa.Column("at", sa.BigInteger(), nullable=False, comment="when"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_console_attempt")),
        comment="Logins of the last minutes that failed, or that are being checked; all consoles of the node count them together.",
    )
    op.create_index(op.f("ix_console_attempt_at"), "console_attempt", ["at"], unique=False)
    op.create_index("ix_console_attempt_network_at", "console_attempt", ["network", "at"], unique=False)
    op.create_table(
        "console_logout",
        sa.Column("digest", sa.Text(), nullable=False, comment="SHA-256 (hex) of the token's issuer and jti"),
        sa.Column("until", sa.BigInteger(), nullable=False, comment="until when the token could be shown again; then the row goes"),
        sa.Column(
            "at",
            sa.BigInteger(),
            nullable=False,
            comment="when it was taken: what the provider vouched for before opens no session after it",
        ),
        sa.Column("issuer", sa.Text(), nullable=False, comment="the provider that told it"),
        sa.Column("subject", sa.Text(), nullable=False, comment="who logged out (sub); empty: whoever has the session"),
        sa.Column("session", sa.Text(), nullable=False, comment="of which of its sessions (sid); empty: of all"),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_console_logout")),
        comment="Logouts that the hospital's provider told lately: each is taken once, and ends what is opened beside it.",
    )
    op.create_index(op.f("ix_console_logout_until"), "console_logout", ["until"], unique=False)
    op.create_table(
        "delivery_turn",
        sa.Column("sink", sa.Text(), nullable=False, comment="the sink"),
        sa.Column("turn", sa.SmallInteger(), autoincrement=False, nullable=False, comment="the class, as at delivery"),
        sa.Column("peer", sa.Text(), nullable=False, comment="the peer, as at delivery"),
        sa.Column(
            "number", sa.BigInteger(), nullable=False, comment="the largest is that of the peer of which a delivery was claimed last"
        ),
        sa.PrimaryKeyConstraint("sink", "turn", "peer", name=op.f("pk_delivery_turn")),
        comment="In which order deliveries of peers to a sink were last claimed: in one class, the peer goes first that waits longest.",
    )
    op.create_table(
        "erased",
        sa.Column("mark", sa.Text(), nullable=False, comment="SHA-256 over the study and its patient; it names neither"),
        sa.Column("until", sa.BigInteger(), nullable=False, comment="until when what comes under it is dropped; then the row goes too"),
        sa.PrimaryKeyConstraint("mark", name=op.f("pk_erased")),
        comment="Studies that were erased on request not long ago.",
    )
    op.create_table(
        "event",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False, comment="order of events"
        ),
        sa.Column("at", sa.BigInteger(), nullable=False, comment="when"),
        sa.Column(
            "subject",
            sa.Text(),
            nullable=False,
            comment="arrival | job | delivery | commitment (as SCU) | request (of it, as SCP) | instance",
        ),
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
            comment="<subject>.<new state> for every change of state; besides: arrival.overtaken, job.claimed, job.released, job.joined, job.retry, job.hastened, job.moved_up, delivery.claimed, delivery.released, delivery.retry, delivery.again, delivery.form, delivery.asked, delivery.reported, instance.duplicate, instance.conflict, instance.held, instance.accepted, instance.held_refused, instance.replaced, instance.restored, instance.purged, instance.own_result, instance.other_result, instance.committed_to, request.again, and what stages note",
        ),
        sa.Column("detail", sa.Text(), nullable=False, comment="a sentence for people, or code and reason"),
        sa.Column("code", sa.Text(), nullable=True, comment="error code, where something went wrong"),
        sa.Column("sop_instance_uid", sa.Text(), nullable=True, comment="SOP Instance UID of an instance that has no row"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_event")),
        comment="History; a line is written in the transaction of the change that it tells, never changed, and goes after `keep_history`.",
    )
    op.create_index(
        "ix_event_sop_instance_uid",
        "event",
        ["sop_instance_uid"],
        unique=False,
        sqlite_where=sa.text("sop_instance_uid IS NOT NULL"),
        postgresql_where=sa.text("sop_instance_uid IS NOT NULL"),
    )
    op.create_index("ix_event_subject", "event", ["subject", "subject_id", "id"], unique=False)
    op.create_table(
        "follower",
        sa.Column("name", sa.Text(), nullable=False, comment="who follows the history: audit"),
        sa.Column(
            "position",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            nullable=False,
            comment="the last event.id of which it has told what there was to tell",
        ),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_follower")),
        comment="How far those who follow the history have come.",
    )
    op.create_table(
        "job_turn",
        sa.Column("turn", sa.SmallInteger(), autoincrement=False, nullable=False, comment="the class, as at job"),
        sa.Column("placed", sa.Boolean(), nullable=False, comment="of jobs with a place in the class, or of those without"),
        sa.Column("peer", sa.Text(), nullable=False, comment="the peer, as at job"),
        sa.Column("number", sa.BigInteger(), nullable=False, comment="the largest is that of the peer of which a job was claimed last"),
        sa.Column("at", sa.BigInteger(), nullable=False, comment="when that was"),
        sa.PrimaryKeyConstraint("turn", "placed", "peer", name=op.f("pk_job_turn")),
        comment="When jobs of a peer were last claimed: of those in one class without a place, the peer goes first that waits longest.",
    )
    op.create_table(
        "patient_series",
        sa.Column("patient_id", sa.Text(), nullable=False, comment="PatientID (0010,0020); never empty"),
        sa.Column("issuer", sa.Text(), nullable=False, comment="IssuerOfPatientID (0010,0021); empty where headers have none"),
        sa.Column("series_instance_uid", sa.Text(), nullable=False, comment="a series that an instance of this patient is of"),
        sa.Column("study_instance_uid", sa.Text(), nullable=False, comment="the series' study"),
        sa.Column("modality", sa.Text(), nullable=False, comment="Modality (0008,0060)"),
        sa.Column("studied_at", sa.Text(), nullable=False, comment="when the study began, YYYYMMDDHHMMSS or a part; empty: unknown"),
        sa.PrimaryKeyConstraint("patient_id", "issuer", "series_instance_uid", name=op.f("pk_patient_series")),
        comment="Which series headers ever called a patient's: how priors are found. Whether they still do is asked of the headers themselves.",
    )
    op.create_index(op.f("ix_patient_series_series_instance_uid"), "patient_series", ["series_instance_uid"], unique=False)
    op.create_index(op.f("ix_patient_series_study_instance_uid"), "patient_series", ["study_instance_uid"], unique=False)
    op.create_table(
        "pause",
        sa.Column("kind", sa.Text(), nullable=False, comment="route | sink | engine"),
        sa.Column("name", sa.Text(), nullable=False, comment="its name in the configuration"),
        sa.Column("since", sa.BigInteger(), nullable=False, comment="when the operator paused it"),
        sa.PrimaryKeyConstraint("kind", "name", name=op.f("pk_pause")),
        comment="What the operator has paused; intake goes on.",
    )
    op.create_table(
        "promise_asked",
        sa.Column(
            "id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
            comment="order in which they came",
        ),
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
        sa.Column("detail", sa.Text(), server_default="", nullable=False, comment="why the report was not taken the last time"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_promise_asked")),
        comment="Storage commitment that a peer asks of this node: one request.",
    )
    op.create_index(
        "ix_promise_asked_due",
        "promise_asked",
        ["due_at"],
        unique=False,
        sqlite_where=sa.text("state || '' IN ('received', 'judged')"),
        postgresql_where=sa.text("state || '' IN ('received', 'judged')"),
    )
    op.create_index("uq_promise_asked_peer_transaction_uid_digest", "promise_asked", ["peer", "transaction_uid", "digest"], unique=True)
    op.create_table(
        "refused_instance",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False, comment="row id"),
        sa.Column("sop_instance_uid", sa.Text(), nullable=False, comment="SOP Instance UID (0008,0018)"),
        sa.Column("series_instance_uid", sa.Text(), nullable=False, comment="Series Instance UID (0020,000E) of what was refused"),
        sa.Column("study_instance_uid", sa.Text(), nullable=False, comment="Study Instance UID (0020,000D) of what was refused"),
        sa.Column("peer", sa.Text(), nullable=False, comment="the peer that sent it; empty for a stranger"),
        sa.Column("status", sa.Integer(), nullable=False, comment="the C-STORE status that it was answered with"),
        sa.Column("at", sa.BigInteger(), nullable=False, comment="when it was last refused"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_refused_instance")),
        comment="Instances that this node refused: owed until a row of `instance` has their SOP Instance UID.",
    )
    op.create_index("ix_refused_instance_at", "refused_instance", ["at"], unique=False)
    op.create_index(op.f("ix_refused_instance_study_instance_uid"), "refused_instance", ["study_instance_uid"], unique=False)
    op.create_index("uq_refused_instance_sop_instance_uid_peer", "refused_instance", ["sop_instance_uid", "peer"], unique=True)
    op.create_table(
        "series_count",
        sa.Column("series_instance_uid", sa.Text(), nullable=False, comment="the series"),
        sa.Column("peer", sa.Text(), nullable=False, comment="the peer that was asked"),
        sa.Column("study_instance_uid", sa.Text(), nullable=False, comment="the series' study"),
        sa.Column(
            "listed", sa.Integer(), nullable=False, comment="NumberOfSeriesRelatedInstances (0020,1209), or its matches at IMAGE level"
        ),
        sa.Column("same_since", sa.BigInteger(), nullable=False, comment="the question that was first answered so"),
        sa.Column(
            "asked_at", sa.BigInteger(), nullable=False, comment="the last question; later than same_since: it does not grow any more"
        ),
        sa.PrimaryKeyConstraint("series_instance_uid", "peer", name=op.f("pk_series_count")),
        comment="How many instances of a series its sender lists, by C-FIND.",
    )
    op.create_index("ix_series_count_asked_at", "series_count", ["asked_at"], unique=False)
    op.create_index(op.f("ix_series_count_study_instance_uid"), "series_count", ["study_instance_uid"], unique=False)
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
        "store",
        sa.Column("identity", sa.Text(), nullable=False, comment="128 random bits (hex), which the blobs bear as the name store/IDENTITY"),
        sa.Column("signed_at", sa.BigInteger(), nullable=True, comment="when the blobs were seen to bear it; null until then"),
        sa.PrimaryKeyConstraint("identity", name=op.f("pk_store")),
        comment="Which store this journal is of: one row, made at the first start.",
    )
    op.create_table(
        "tombstone",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False, comment="row id"),
        sa.Column("blob", sa.Text(), nullable=False, comment="name of the bytes that are to be deleted"),
        sa.Column("at", sa.BigInteger(), nullable=False, comment="when retention decided it"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tombstone")),
        comment="Bytes to be deleted, committed before they are; the row goes when they are gone.",
    )
    op.create_table(
        "torn_series",
        sa.Column("association", sa.Text(), nullable=False, comment="the association that broke off"),
        sa.Column("series_instance_uid", sa.Text(), nullable=False, comment="a series that was under way over it"),
        sa.Column("study_instance_uid", sa.Text(), nullable=False, comment="the series' study"),
        sa.Column("peer", sa.Text(), nullable=False, comment="the peer that sent it; empty for a stranger"),
        sa.Column("at", sa.BigInteger(), nullable=False, comment="when it ended"),
        sa.PrimaryKeyConstraint("association", "series_instance_uid", name=op.f("pk_torn_series")),
        comment="Series whose transfer ended without release; the row goes when an instance of the series comes later.",
    )
    op.create_index("ix_torn_series_at", "torn_series", ["at"], unique=False)
    op.create_index(op.f("ix_torn_series_study_instance_uid"), "torn_series", ["study_instance_uid"], unique=False)
    op.create_table(
        "console_key",
        sa.Column("digest", sa.Text(), nullable=False, comment="SHA-256 (hex) of the secret, which is kept nowhere"),
        sa.Column("account", sa.Text(), nullable=False, comment="whose it is"),
        sa.Column("kind", sa.Text(), nullable=False, comment="session: a browser's | token: a program's"),
        sa.Column("label", sa.Text(), nullable=False, comment="what a token is for; of a session where it was opened"),
        sa.Column("created_at", sa.BigInteger(), nullable=False, comment="when it was opened"),
        sa.Column("ends_at", sa.BigInteger(), nullable=False, comment="when it ends"),
        sa.Column("used_at", sa.BigInteger(), nullable=True, comment="when it was used last, to some minutes; empty: never"),
        sa.Column(
            "provider_session", sa.Text(), nullable=False, comment="Session ID (sid) of the provider that vouched; empty: it named none"
        ),
        sa.ForeignKeyConstraint(["account"], ["console_account.name"], name=op.f("fk_console_key_account")),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_console_key")),
        comment="What stands for a person: sessions and API tokens.",
    )
    op.create_index(op.f("ix_console_key_account"), "console_key", ["account"], unique=False)
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
        sa.Column(
            "tried",
            sa.Text(),
            nullable=False,
            comment="JSON: [[key, expected, found, held], …]; behind them the application whose manifest asks",
        ),
        sa.Column("reason", sa.Text(), nullable=False, comment="the sentence for people"),
        sa.Column(
            "compares", sa.Text(), server_default="[]", nullable=False, comment="JSON: the applications that compare it with a prior"
        ),
        sa.Column(
            "withheld",
            sa.Text(),
            nullable=True,
            comment="null, or waits: for a series that the route needs, or the rest of one | parked: the study lacks one that it needs, or the application excludes it, or is not the one that the route asks for",
        ),
        sa.Column(
            "lacks",
            sa.Boolean(),
            server_default=sa.false(),
            nullable=False,
            comment="whether the study lacked a series that the route needs",
        ),
        sa.Column(
            "untaken",
            sa.Text(),
            server_default="[]",
            nullable=False,
            comment="JSON: the applications for which the route expects a series of the study and none is taken; on the one that came nearest",
        ),
        sa.ForeignKeyConstraint(["arrival_id"], ["arrival.id"], name=op.f("fk_decision_arrival_id")),
        sa.PrimaryKeyConstraint("arrival_id", "position", name=op.f("pk_decision")),
        comment="Why each route did or did not match each series of an arrival.",
    )
    op.create_table(
        "hold",
        sa.Column(
            "arrival_id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            nullable=False,
            comment="the open arrival that waits for the rest; it is held while that waits",
        ),
        sa.Column("series_instance_uid", sa.Text(), nullable=False, comment="the series that is known to be short"),
        sa.Column("route", sa.Text(), nullable=False, comment="the route that it is withheld from"),
        sa.Column(
            "lack",
            sa.Text(),
            nullable=False,
            comment="refused: by this node | count: the sender lists more | gap: slices are missing | torn: the transfer broke off",
        ),
        sa.Column("came", sa.Integer(), nullable=False, comment="how many instances of the series came"),
        sa.Column("expected", sa.Integer(), nullable=True, comment="how many there are; null where nobody can say"),
        sa.Column("since", sa.BigInteger(), nullable=False, comment="since when the route has waited for it, over all revisions"),
        sa.Column("until", sa.BigInteger(), nullable=False, comment="when the route waits no longer"),
        sa.ForeignKeyConstraint(["arrival_id"], ["arrival.id"], name=op.f("fk_hold_arrival_id")),
        sa.PrimaryKeyConstraint("arrival_id", "series_instance_uid", "route", name=op.f("pk_hold")),
        comment="Series that a route withholds from its applications because they are known to be short.",
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
        sa.Column(
            "association",
            sa.Text(),
            server_default="",
            nullable=False,
            comment="the association that it came over first, as events name it; empty: not known",
        ),
        sa.Column("received_at", sa.BigInteger(), nullable=False, comment="when its bytes were durable"),
        sa.Column(
            "standing",
            sa.Text(),
            nullable=False,
            comment="current: jobs use it | replaced: corrected bytes came later | conflict: same UID, other pixels | purged: bytes deleted | held: waits for a person | refused: a person said no | result: another hilum node made it, in no arrival",
        ),
        sa.Column(
            "held_for",
            sa.Text(),
            nullable=True,
            comment="identity: another patient or study than its series has | added: to a series that another sender sent first | rewritten: other bytes under a UID that another sender sent first; null for what was never held",
        ),
        sa.Column(
            "whose",
            sa.Text(),
            server_default="",
            nullable=False,
            comment="SHA-256 over its study and the patient whom its header names, neither of which it tells; empty: not known",
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
    op.create_index(
        "ix_instance_other_result",
        "instance",
        ["study_instance_uid"],
        unique=False,
        sqlite_where=sa.text("coalesce(standing_kept, standing) = 'result'"),
        postgresql_where=sa.text("coalesce(standing_kept, standing) = 'result'"),
    )
    op.create_index("ix_instance_series", "instance", ["series_instance_uid", "standing", "whose"], unique=False)
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
        sa.Column("rank", sa.SmallInteger(), nullable=False, comment="priority that the routes asked for: 0 urgent, 1 routine, 2 offpeak"),
        sa.Column(
            "state",
            sa.Text(),
            nullable=False,
            comment="queued: claimable | inferred: findings durable | encoded: objects durable, deliveries inserted | done: all delivered | parked: a person decides | failed: attempts used up | not_applicable: its application excludes such a series by its headers | cancelled: by the operator | superseded: a revision has other inputs",
        ),
        sa.Column("attempts", sa.Integer(), nullable=False, comment="claims so far; a study that kills its worker is seen by them"),
        sa.Column(
            "engines_lost", sa.Integer(), server_default="0", nullable=False, comment="how often its engine ended in the middle of it"
        ),
        sa.Column("lease", sa.Text(), nullable=True, comment="<owner>/<random>: the fence; a finish under another lease touches nothing"),
        sa.Column("lease_until", sa.BigInteger(), nullable=True, comment="when another may claim it"),
        sa.Column("ended_lease", sa.Text(), nullable=True, comment="the lease under which it ended last: by it a step knows itself again"),
        sa.Column("due_at", sa.BigInteger(), nullable=False, comment="not claimed before"),
        sa.Column("created_at", sa.BigInteger(), nullable=False, comment="when routing made it"),
        sa.Column("moved_at", sa.BigInteger(), nullable=False, comment="when the state last changed"),
        sa.Column("done_at", sa.BigInteger(), nullable=True, comment="when it was done for the first time"),
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
        sa.Column(
            "findings_version", sa.Text(), nullable=True, comment="version of the application that made the findings; null where none did"
        ),
        sa.Column("code", sa.Text(), nullable=True, comment="error code of the last failure"),
        sa.Column("reason", sa.Text(), nullable=True, comment="the sentence of the last failure"),
        sa.Column("deadline_at", sa.BigInteger(), nullable=True, comment="when its results should be there; null without a deadline"),
        sa.Column("lack", sa.Text(), nullable=True, comment="what tells that its series is short, as at hold; null: it is not known to be"),
        sa.Column("came", sa.Integer(), nullable=True, comment="of a short series, how many instances came"),
        sa.Column("expected", sa.Integer(), nullable=True, comment="of a short series, how many there are; null where nobody can say"),
        sa.Column(
            "marked",
            sa.Boolean(),
            nullable=True,
            comment="of a short series, whether results begin with INCOMPLETE; else they have a remark",
        ),
        sa.Column(
            "turn",
            sa.SmallInteger(),
            server_default="1",
            nullable=False,
            comment="the class it waits in: its rank, less one for each time that it waited for longer than patience; claimed in this order",
        ),
        sa.Column(
            "place",
            sa.BigInteger(),
            server_default="9223372036854775807",
            nullable=False,
            comment="its place in the class: the deadline, later behind others of its peer; without one the last, or when it ran out of patience in the first class",
        ),
        sa.Column(
            "waits_since",
            sa.BigInteger(),
            server_default="9223372036854775807",
            nullable=False,
            comment="since when it waits in its class; the latest time there is once it cannot move up any more",
        ),
        sa.Column(
            "kind",
            sa.Text(),
            server_default="analysis",
            nullable=False,
            comment="analysis | statement: says of the study that the application gave no result | withdrawal: withdraws superseded objects from its sink",
        ),
        sa.Column(
            "declined",
            sa.Boolean(),
            server_default=sa.false(),
            nullable=False,
            comment="of a parked one: the images are the cause, not the machinery",
        ),
        sa.Column(
            "when_excluded",
            sa.Text(),
            server_default="ignore",
            nullable=False,
            comment="what its routes want where its application excludes the series: ignore (not_applicable, nobody need look) | tell (the same, and the reader is told where the study has no result) | park (a person decides)",
        ),
        sa.Column(
            "delivered_before",
            sa.Boolean(),
            server_default=sa.false(),
            nullable=False,
            comment="it was cancelled once because every sink had its results; revived after that, it is done again",
        ),
        sa.Column(
            "rejection",
            sa.Text(),
            nullable=True,
            comment="of a withdrawal, why: wrong (made from wrong, mixed or incomplete images) | replaced (by a later result)",
        ),
        sa.Column(
            "peer",
            sa.Text(),
            server_default="",
            nullable=False,
            comment="the peer of its arrival, whose turn it takes; empty for strangers",
        ),
        sa.ForeignKeyConstraint(["arrival_id"], ["arrival.id"], name=op.f("fk_job_arrival_id")),
        sa.ForeignKeyConstraint(["predecessor"], ["job.id"], name=op.f("fk_job_predecessor")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_job")),
        comment="One application on one series; routes that ask for the same share it.",
    )
    op.create_index("ix_job_arrival_id", "job", ["arrival_id"], unique=False)
    op.create_index(
        "ix_job_claim",
        "job",
        ["turn", "place", "due_at", "id"],
        unique=False,
        sqlite_where=sa.text("state || '' IN ('queued', 'inferred')"),
        postgresql_where=sa.text("state || '' IN ('queued', 'inferred')"),
    )
    op.create_index(
        "ix_job_kept",
        "job",
        ["moved_at"],
        unique=False,
        sqlite_where=sa.text("findings_blob IS NOT NULL"),
        postgresql_where=sa.text("findings_blob IS NOT NULL"),
    )
    op.create_index(
        "ix_job_leased",
        "job",
        ["application"],
        unique=False,
        sqlite_where=sa.text("lease IS NOT NULL"),
        postgresql_where=sa.text("lease IS NOT NULL"),
    )
    op.create_index(
        "ix_job_patience",
        "job",
        ["waits_since"],
        unique=False,
        sqlite_where=sa.text("state || '' IN ('queued', 'inferred')"),
        postgresql_where=sa.text("state || '' IN ('queued', 'inferred')"),
    )
    op.create_index("ix_job_same", "job", ["study_instance_uid", "series_instance_uid", "application", "id"], unique=False)
    op.create_index("ix_job_state", "job", ["state", "moved_at"], unique=False)
    op.create_index(
        "ix_job_turn",
        "job",
        ["turn", "peer", "place", "due_at", "id"],
        unique=False,
        sqlite_where=sa.text("state || '' IN ('queued', 'inferred')"),
        postgresql_where=sa.text("state || '' IN ('queued', 'inferred')"),
    )
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
            comment="waiting: claimable | delivered: every object accepted | committed: the sink has committed to all of them | parked: refused for good, a person decides | cancelled: by the operator, or superseded before it left",
        ),
        sa.Column(
            "awaits_commitment",
            sa.Boolean(),
            server_default=sa.false(),
            nullable=False,
            comment="of a delivered one: it is over only when the sink has committed to it",
        ),
        sa.Column("round", sa.Integer(), nullable=False, comment="1, and one more for each time everything is sent again"),
        sa.Column("attempts", sa.Integer(), nullable=False, comment="claims in this round"),
        sa.Column("lease", sa.Text(), nullable=True, comment="<owner>/<random>, as at job"),
        sa.Column("lease_until", sa.BigInteger(), nullable=True, comment="when another may claim it"),
        sa.Column("ended_lease", sa.Text(), nullable=True, comment="the lease under which it was parked last, as at job"),
        sa.Column("delivered_at", sa.BigInteger(), nullable=True, comment="when its sink had accepted every object for the first time"),
        sa.Column("due_at", sa.BigInteger(), nullable=False, comment="not claimed before"),
        sa.Column("waiting_since", sa.BigInteger(), nullable=False, comment="when this round began; the sink's give-up counts from here"),
        sa.Column("code", sa.Text(), nullable=True, comment="error code of the last failure"),
        sa.Column("reason", sa.Text(), nullable=True, comment="the sentence of the last failure"),
        sa.Column(
            "form",
            sa.Text(),
            server_default="",
            nullable=False,
            comment="the form in which masks and their reports go in this round; empty until it was chosen",
        ),
        sa.Column(
            "peer", sa.Text(), server_default="", nullable=False, comment="the peer of its job, whose turn it takes; empty for strangers"
        ),
        sa.Column(
            "turn",
            sa.SmallInteger(),
            server_default="1",
            nullable=False,
            comment="the class that its job was in when it was made: 0 urgent, 1 routine, 2 offpeak; claimed in this order",
        ),
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
    op.create_index(
        "ix_delivery_commitment",
        "delivery",
        ["due_at", "id"],
        unique=False,
        sqlite_where=sa.text("awaits_commitment = 1"),
        postgresql_where=sa.text("awaits_commitment"),
    )
    op.create_index(
        "ix_delivery_leased",
        "delivery",
        ["sink"],
        unique=False,
        sqlite_where=sa.text("lease IS NOT NULL"),
        postgresql_where=sa.text("lease IS NOT NULL"),
    )
    op.create_index("ix_delivery_state", "delivery", ["state"], unique=False)
    op.create_index(
        "ix_delivery_turn",
        "delivery",
        ["sink", "turn", "peer", "due_at", "id"],
        unique=False,
        sqlite_where=sa.text("state || '' = 'waiting'"),
        postgresql_where=sa.text("state || '' = 'waiting'"),
    )
    op.create_index("uq_delivery_job_sink", "delivery", ["job_id", "sink"], unique=True)
    op.create_table(
        "job_instance",
        sa.Column("job_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False, comment="the job"),
        sa.Column(
            "instance_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False, comment="an instance that it analyses"
        ),
        sa.Column(
            "role", sa.Text(), server_default="", nullable=False, comment="what its series is for the application, where that takes several"
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
        sa.Column(
            "version", sa.Text(), server_default="", nullable=False, comment="the version of the application that it asked for; empty: any"
        ),
        sa.Column(
            "accepted", sa.Boolean(), server_default=sa.false(), nullable=False, comment="whether it asked for one that is accepted here"
        ),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name=op.f("fk_job_route_job_id")),
        sa.PrimaryKeyConstraint("job_id", "route", name=op.f("pk_job_route")),
        comment="The routes of a job, each as it asked; it rests only while all of them are paused.",
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
        "measured_value",
        sa.Column("job_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False, comment="the job whose findings hold it"),
        sa.Column("position", sa.Integer(), nullable=False, comment="order in the findings"),
        sa.Column("version", sa.Text(), nullable=False, comment="version of the application that measured it"),
        sa.Column("part", sa.Text(), nullable=False, comment="the part of the series that it is about; empty for all of it"),
        sa.Column(
            "of", sa.Text(), nullable=False, comment="segment | total: of several segments together | series: of all that was analysed"
        ),
        sa.Column("structure", sa.Text(), nullable=False, comment="code and scheme of the segment, or of what several are together"),
        sa.Column("laterality", sa.Text(), nullable=False, comment="code and scheme; empty where there is none"),
        sa.Column("site", sa.Text(), nullable=False, comment="code and scheme of the finding site; empty where there is none"),
        sa.Column("label", sa.Text(), nullable=False, comment="of the segment, or of the parts of a total, a line each"),
        sa.Column("name", sa.Text(), nullable=False, comment="code and scheme of what was measured"),
        sa.Column("unit", sa.Text(), nullable=False, comment="code and scheme of the unit"),
        sa.Column("derivation", sa.Text(), nullable=False, comment="code and scheme (mean, maximum); empty where there is none"),
        sa.Column("value", sa.Double(), nullable=False, comment="the number, exact as it was found"),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name=op.f("fk_measured_value_job_id")),
        sa.PrimaryKeyConstraint("job_id", "position", name=op.f("pk_measured_value")),
        comment="What a job measured that may stand beside a later study's value; bounds, lesions and detections are not kept.",
    )
    op.create_table(
        "other_result",
        sa.Column("instance_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False, comment="the result"),
        sa.Column(
            "device_uid",
            sa.Text(),
            nullable=False,
            comment="InstanceCreatorUID (0008,0014): application and model file that made it, alike on every node; empty: it says none",
        ),
        sa.ForeignKeyConstraint(["instance_id"], ["instance.id"], name=op.f("fk_other_result_instance_id")),
        sa.PrimaryKeyConstraint("instance_id", name=op.f("pk_other_result")),
        comment="Results of other hilum nodes: by what they were made.",
    )
    op.create_table(
        "other_result_series",
        sa.Column("instance_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False, comment="the result"),
        sa.Column(
            "series_instance_uid", sa.Text(), nullable=False, comment="Series Instance UID (0020,000E) of a series that it refers to"
        ),
        sa.ForeignKeyConstraint(["instance_id"], ["instance.id"], name=op.f("fk_other_result_series_instance_id")),
        sa.PrimaryKeyConstraint("instance_id", "series_instance_uid", name=op.f("pk_other_result_series")),
        comment="Results of other hilum nodes: from which series they were made.",
    )
    op.create_table(
        "promise",
        sa.Column(
            "instance_id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            nullable=False,
            comment="an instance that this node committed to",
        ),
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
    op.create_table(
        "result_object",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False, comment="row id"),
        sa.Column("job_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False, comment="the job that made it"),
        sa.Column(
            "kind",
            sa.Text(),
            nullable=False,
            comment="seg | sr (measurements, evaluations) | detections (SR) | sc (page) | overlay (SC) | map | derived | registration | narrative (SR) | pdf | explanation | explanation-map | uncertainty-map | statement (SR: there is no result) | withdrawal (Key Object Selection)",
        ),
        sa.Column("sop_instance_uid", sa.Text(), nullable=False, comment="derived SOP Instance UID; how an own result is recognised"),
        sa.Column("sop_class_uid", sa.Text(), nullable=False, comment="SOP Class UID"),
        sa.Column("series_instance_uid", sa.Text(), nullable=False, comment="derived Series Instance UID"),
        sa.Column("description", sa.Text(), nullable=False, comment="series description for people"),
        sa.Column("blob", sa.Text(), nullable=False, comment="name of the bytes in the blobs"),
        sa.Column("size", sa.BigInteger(), nullable=False, comment="bytes of the Part 10 file"),
        sa.Column("digest", sa.Text(), nullable=False, comment="SHA-256 (hex) of the file"),
        sa.Column("purged_at", sa.BigInteger(), nullable=True, comment="when retention deleted the bytes; null while they are kept"),
        sa.Column(
            "form",
            sa.Text(),
            server_default="",
            nullable=False,
            comment="of masks and the reports that refer to them: binary | labelmap | either with +<compression>; of narratives and pdf the language, with +<form> where they refer to masks that are not binary; empty for what has one form",
        ),
        sa.Column(
            "part", sa.Text(), server_default="", nullable=False, comment="the part of the series that it is about; empty for all of it"
        ),
        sa.Column(
            "one_cine",
            sa.Boolean(),
            server_default=sa.false(),
            nullable=False,
            comment="of a mask: it is of several phases of a cine that came as single images of one series",
        ),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name=op.f("fk_result_object_job_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_result_object")),
        comment="One encoded DICOM object; its bytes never change.",
    )
    op.create_index("ix_result_object_job_id", "result_object", ["job_id"], unique=False)
    op.create_index(op.f("ix_result_object_sop_instance_uid"), "result_object", ["sop_instance_uid"], unique=False)
    op.create_table(
        "commitment",
        sa.Column(
            "id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
            comment="order in which they were begun",
        ),
        sa.Column("transaction_uid", sa.Text(), nullable=False, comment="Transaction UID (0008,1195); durable before it is sent"),
        sa.Column(
            "delivery_id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            nullable=False,
            comment="the delivery whose objects it asks for",
        ),
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
        sa.Column("detail", sa.Text(), server_default="", nullable=False, comment="why it was refused, or what the report said"),
        sa.ForeignKeyConstraint(["delivery_id"], ["delivery.id"], name=op.f("fk_commitment_delivery_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_commitment")),
        sa.UniqueConstraint("transaction_uid", name=op.f("uq_commitment_transaction_uid")),
        comment="Storage commitment that this node asks for (PS3.4 Annex J): one transaction.",
    )
    op.create_index("ix_commitment_delivery_id", "commitment", ["delivery_id"], unique=False)
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
        sa.Column(
            "left_out",
            sa.Boolean(),
            server_default=sa.false(),
            nullable=False,
            comment="whether the sink does not get it, and it was not sent",
        ),
        sa.Column("status", sa.Integer(), nullable=True, comment="DIMSE or HTTP status; null when none came"),
        sa.Column("detail", sa.Text(), nullable=False, comment="the sink's words, or why the object is left out"),
        sa.Column("at", sa.BigInteger(), nullable=False, comment="when the status came"),
        sa.ForeignKeyConstraint(["delivery_id"], ["delivery.id"], name=op.f("fk_receipt_delivery_id")),
        sa.ForeignKeyConstraint(["object_id"], ["result_object.id"], name=op.f("fk_receipt_object_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_receipt")),
        comment="What a sink said of one object, append-only: the proof of delivery.",
    )
    op.create_index("ix_receipt_delivery_id", "receipt", ["delivery_id", "object_id"], unique=False)
    op.create_table(
        "withdrawn_object",
        sa.Column("job_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False, comment="the withdrawal"),
        sa.Column(
            "object_id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            nullable=False,
            comment="an object that its sink had accepted",
        ),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name=op.f("fk_withdrawn_object_job_id")),
        sa.ForeignKeyConstraint(["object_id"], ["result_object.id"], name=op.f("fk_withdrawn_object_object_id")),
        sa.PrimaryKeyConstraint("job_id", "object_id", name=op.f("pk_withdrawn_object")),
        comment="Exactly what a withdrawal withdraws from its sink.",
    )
    op.create_index("ix_withdrawn_object_object_id", "withdrawn_object", ["object_id"], unique=False)
    op.create_table(
        "commitment_object",
        sa.Column("commitment_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False, comment="the transaction"),
        sa.Column("object_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False, comment="an object that it asks for"),
        sa.Column(
            "failure_reason",
            sa.Integer(),
            nullable=True,
            comment="0: committed; else Failure Reason (0008,1197); null: the report does not speak of it",
        ),
        sa.ForeignKeyConstraint(["commitment_id"], ["commitment.id"], name=op.f("fk_commitment_object_commitment_id")),
        sa.ForeignKeyConstraint(["object_id"], ["result_object.id"], name=op.f("fk_commitment_object_object_id")),
        sa.PrimaryKeyConstraint("commitment_id", "object_id", name=op.f("pk_commitment_object")),
        comment="What a report says of each object that its transaction asked for.",
    )
