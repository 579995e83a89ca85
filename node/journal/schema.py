"""The journal's tables: one schema for SQLite and PostgreSQL. Every table, column and state is explained here and in the database.

Conventions: times are microseconds since 1970-01-01 UTC in a BIGINT; a missing peer and a study-wide scope are empty strings, so that
unique indices see them as values; states are the texts of node.domain.state; JSON is text. The event names are listed at `event`. Changing
a table means a new `HEAD` and a revision in migrations/versions, which `python -m node.journal.migrations MESSAGE` writes. Until the first
release there is one, which makes the journal: delete it, and let it be written anew under the next number, so that no journal is taken for
what it is not.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Dialect,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    SmallInteger,
    Table,
    Text,
    false,
    text,
)
from sqlalchemy.types import TypeDecorator

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


def row_id(comment: str) -> Column[int]:
    """The number of a row, by which others refer to it."""
    return Column("id", Key, primary_key=True, autoincrement=True, comment=comment)


def reference(column: str, table: str, comment: str, *, primary_key: bool = False, nullable: bool = False) -> Column[int]:
    """A row of `table`, by its number."""
    return Column(column, Key, ForeignKey(f"{table}.id"), primary_key=primary_key, nullable=nullable, comment=comment)


store = Table(
    "store",
    metadata,
    Column("identity", Words, primary_key=True, comment="128 random bits (hex), which the blobs bear as the name store/IDENTITY"),
    Column("signed_at", Micros, nullable=True, comment="when the blobs were seen to bear it; null until then"),
    comment="Which store this journal is of: one row, made at the first start.",
)

event = Table(
    "event",
    metadata,
    row_id("order of events"),
    Column("at", Micros, nullable=False, comment="when"),
    Column("subject", Words, nullable=False, comment="arrival | job | delivery | commitment (as SCU) | request (of it, as SCP) | instance"),
    Column("subject_id", Key, nullable=False, comment="row id of the subject; 0 for an instance that has no row"),
    Column(
        "name",
        Words,
        nullable=False,
        comment="<subject>.<new state> for every change of state; besides: arrival.overtaken, job.claimed, job.released, job.joined, "
        "job.retry, job.hastened, job.moved_up, delivery.claimed, delivery.released, delivery.retry, delivery.again, delivery.form, "
        "delivery.asked, delivery.reported, "
        "instance.duplicate, instance.conflict, instance.held, instance.accepted, instance.held_refused, "
        "instance.replaced, instance.restored, instance.purged, instance.own_result, "
        "instance.other_result, instance.committed_to, request.again, "
        "and what stages note",
    ),
    Column("detail", Words, nullable=False, comment="a sentence for people, or code and reason"),
    Column("code", Words, nullable=True, comment="error code, where something went wrong"),
    Column("sop_instance_uid", Words, nullable=True, comment="SOP Instance UID of an instance that has no row"),
    Index("ix_event_subject", "subject", "subject_id", "id"),
    Index(
        "ix_event_sop_instance_uid",
        "sop_instance_uid",
        sqlite_where=text("sop_instance_uid IS NOT NULL"),
        postgresql_where=text("sop_instance_uid IS NOT NULL"),
    ),
    comment="History; a line is written in the transaction of the change that it tells, never changed, and goes after `keep_history`.",
)

follower = Table(
    "follower",
    metadata,
    Column("name", Words, primary_key=True, comment="who follows the history: audit"),
    Column("position", Key, nullable=False, comment="the last event.id of which it has told what there was to tell"),
    comment="How far those who follow the history have come.",
)

beat = Table(
    "beat",
    metadata,
    Column("process", Words, primary_key=True, comment="stage and process id"),
    Column("at", Micros, nullable=False, comment="when it last said so"),
    Column(
        "state",
        Words,
        nullable=False,
        comment="by which configuration it goes, as config_revision has it (SHA-256)",
    ),
    comment="Signs of life of the node's processes.",
)

config_revision = Table(
    "config_revision",
    metadata,
    row_id("the revision's number"),
    Column("at", Micros, nullable=False, comment="when it came into force"),
    Column("author", Words, nullable=False, comment="an account of the console, a command's user, or what made the node read its file"),
    Column("reason", Words, nullable=False, comment="in the author's words; mostly empty"),
    Column("host", Words, nullable=False, comment="whose supervisor took it"),
    Column("path", Words, nullable=False, comment="the file it was read from"),
    Column("digest", Words, nullable=False, comment="digest of what its routes mean, as arrival.config_digest names it"),
    Column("text", Words, nullable=False, comment="the file, without values that may be secret"),
    comment="Configurations that came into force. A row is never changed, and never goes.",
)

pause = Table(
    "pause",
    metadata,
    Column("kind", Words, primary_key=True, comment="route | sink | engine"),
    Column("name", Words, primary_key=True, comment="its name in the configuration"),
    Column("since", Micros, nullable=False, comment="when the operator paused it"),
    comment="What the operator has paused; intake goes on.",
)

console_account = Table(
    "console_account",
    metadata,
    Column("name", Words, primary_key=True, comment="by which a person logs in"),
    Column("role", Words, nullable=False, comment="viewer: looks | operator: retries, cancels | admin: everything"),
    Column("password", Words, comment="Argon2id, in the PHC string format; empty: somebody else vouches for the person"),
    Column("created_at", Micros, nullable=False, comment="when it was opened"),
    Column("origin", Words, nullable=False, comment="who vouches: local: this node | oidc: a provider | ldap: a directory"),
    Column("subject", Words, nullable=False, comment="who it is to the provider or directory, whatever the name; empty: local"),
    Column("disabled_at", Micros, comment="since when the person is not let in; empty: is let in"),
    comment="People who may use the console.",
)

console_key = Table(
    "console_key",
    metadata,
    Column("digest", Words, primary_key=True, comment="SHA-256 (hex) of the secret, which is kept nowhere"),
    Column("account", Words, ForeignKey("console_account.name"), nullable=False, index=True, comment="whose it is"),
    Column("kind", Words, nullable=False, comment="session: a browser's | token: a program's"),
    Column("label", Words, nullable=False, comment="what a token is for; of a session where it was opened"),
    Column("created_at", Micros, nullable=False, comment="when it was opened"),
    Column("ends_at", Micros, nullable=False, comment="when it ends"),
    Column("used_at", Micros, comment="when it was used last, to some minutes; empty: never"),
    Column("provider_session", Words, nullable=False, comment="Session ID (sid) of the provider that vouched; empty: it named none"),
    comment="What stands for a person: sessions and API tokens.",
)

console_attempt = Table(
    "console_attempt",
    metadata,
    row_id("order of attempts"),
    Column("network", Words, nullable=False, comment="an IPv4 address, or the /64 of an IPv6 address"),
    Column("at", Micros, nullable=False, index=True, comment="when"),
    Index("ix_console_attempt_network_at", "network", "at"),
    comment="Logins of the last minutes that failed, or that are being checked; all consoles of the node count them together.",
)

console_logout = Table(
    "console_logout",
    metadata,
    Column("digest", Words, primary_key=True, comment="SHA-256 (hex) of the token's issuer and jti"),
    Column("until", Micros, nullable=False, index=True, comment="until when the token could be shown again; then the row goes"),
    Column("at", Micros, nullable=False, comment="when it was taken: what the provider vouched for before opens no session after it"),
    Column("issuer", Words, nullable=False, comment="the provider that told it"),
    Column("subject", Words, nullable=False, comment="who logged out (sub); empty: whoever has the session"),
    Column("session", Words, nullable=False, comment="of which of its sessions (sid); empty: of all"),
    comment="Logouts that the hospital's provider told lately: each is taken once, and ends what is opened beside it.",
)


series_header = Table(
    "series_header",
    metadata,
    row_id("what instance.header_base names"),
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
    row_id("row id"),
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
    Column(
        "association",
        Words,
        nullable=False,
        server_default="",
        comment="the association that it came over first, as events name it; empty: not known",
    ),
    Column("received_at", Micros, nullable=False, comment="when its bytes were durable"),
    Column(
        "standing",
        Words,
        nullable=False,
        comment="current: jobs use it | replaced: corrected bytes came later | conflict: same UID, other pixels | purged: bytes deleted | "
        "held: waits for a person | refused: a person said no | result: another hilum node made it, in no arrival",
    ),
    Column(
        "held_for",
        Words,
        nullable=True,
        comment="identity: another patient or study than its series has | added: to a series that another sender sent first | "
        "rewritten: other bytes under a UID that another sender sent first; null for what was never held",
    ),
    Column(
        "whose",
        Words,
        nullable=False,
        server_default="",
        comment="SHA-256 over its study and the patient whom its header names, neither of which it tells; empty: not known",
    ),
    Column("standing_kept", Words, nullable=True, comment="the standing before purged; what a restored instance gets back"),
    reference("header_base", "series_header", "the header it differs from; null once headers are forgotten", nullable=True),
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
Index("ix_instance_series", instance.c.series_instance_uid, instance.c.standing, instance.c.whose)
Index("ix_instance_header_base", instance.c.header_base)
Index(
    "ix_instance_other_result",
    instance.c.study_instance_uid,
    sqlite_where=text("coalesce(standing_kept, standing) = 'result'"),
    postgresql_where=text("coalesce(standing_kept, standing) = 'result'"),
)

other_result = Table(
    "other_result",
    metadata,
    reference("instance_id", "instance", "the result", primary_key=True),
    Column(
        "device_uid",
        Words,
        nullable=False,
        comment="InstanceCreatorUID (0008,0014): application and model file that made it, alike on every node; empty: it says none",
    ),
    comment="Results of other hilum nodes: by what they were made.",
)

other_result_series = Table(
    "other_result_series",
    metadata,
    reference("instance_id", "instance", "the result", primary_key=True),
    Column("series_instance_uid", Words, primary_key=True, comment="Series Instance UID (0020,000E) of a series that it refers to"),
    comment="Results of other hilum nodes: from which series they were made.",
)

aside = Table(
    "aside",
    metadata,
    row_id("row id"),
    Column("at", Micros, nullable=False, comment="when it was set aside"),
    Column("entry", Words, nullable=False, unique=True, comment="name of the file, where the inbox keeps such files"),
    Column("sender", Words, nullable=False, comment="calling AE title and address as far as known"),
    Column("code", Words, nullable=False, comment="error code"),
    Column("reason", Words, nullable=False, comment="why it cannot be indexed"),
    Column(
        "patient_id",
        Words,
        nullable=False,
        server_default="",
        index=True,
        comment="PatientID (0010,0020) as far as it can be read; empty: unknown",
    ),
    Column("issuer", Words, nullable=False, server_default="", comment="IssuerOfPatientID (0010,0021); empty: unknown"),
    Column("accession", Words, nullable=False, server_default="", comment="AccessionNumber (0008,0050); empty: unknown"),
    Column(
        "study_instance_uid",
        Words,
        nullable=False,
        server_default="",
        index=True,
        comment="Study Instance UID (0020,000D); empty: it names none, or none that can be read",
    ),
    Column(
        "series_instance_uid",
        Words,
        nullable=False,
        server_default="",
        index=True,
        comment="Series Instance UID (0020,000E); likewise",
    ),
    comment="Received files that are no readable instances: kept, reported, never analysed.",
)

tombstone = Table(
    "tombstone",
    metadata,
    row_id("row id"),
    Column("blob", Words, nullable=False, comment="name of the bytes that are to be deleted"),
    Column("at", Micros, nullable=False, comment="when retention decided it"),
    comment="Bytes to be deleted, committed before they are; the row goes when they are gone.",
)

erased = Table(
    "erased",
    metadata,
    Column("mark", Words, primary_key=True, comment="SHA-256 over the study and its patient; it names neither"),
    Column("until", Micros, nullable=False, comment="until when what comes under it is dropped; then the row goes too"),
    comment="Studies that were erased on request not long ago.",
)


arrival = Table(
    "arrival",
    metadata,
    row_id("row id"),
    Column("peer", Words, nullable=False, comment="the peer it came from; empty for strangers"),
    Column("study_instance_uid", Words, nullable=False, comment="the study"),
    Column("series_instance_uid", Words, nullable=False, comment="the series, where series settle one by one; empty for a whole study"),
    Column("called_ae", Words, nullable=False, comment="called AE title of the first instance"),
    Column(
        "state",
        Words,
        nullable=False,
        comment="received: more may come | complete: the manifest is frozen | routed: jobs inserted | parked: routing it failed",
    ),
    Column("revision", Integer, nullable=False, comment="1, and one more for each time instances came late"),
    reference("supersedes", "arrival", "the arrival that this one revises", nullable=True),
    Column("opened_at", Micros, nullable=False, comment="when its first instance was journaled"),
    Column("last_instance_at", Micros, nullable=False, comment="when its newest instance was received; grows with every batch"),
    Column("due_at", Micros, nullable=False, comment="when it counts as complete if nothing comes"),
    Column("completed_at", Micros, nullable=True, comment="when the manifest froze"),
    Column(
        "completed_by",
        Words,
        nullable=True,
        comment="quiet | count | growing | operator | prior (came or changed later; all else was complete before)",
    ),
    Column("routed_at", Micros, nullable=True, comment="when it was routed"),
    Column("config_digest", Words, nullable=True, comment="digest of the configuration that routed it"),
    Column("instances", Integer, nullable=False, comment="how many instances the manifest has"),
    Column(
        "largest_gap",
        Micros,
        nullable=True,
        comment="the longest pause, in microseconds, between two instances that came for it; null while it is open, and where none came",
    ),
    Column(
        "came_after", Micros, nullable=True, comment="microseconds from its predecessor's last instance to its own first; null without one"
    ),
    Column(
        "counted_last",
        Micros,
        nullable=True,
        comment="last_instance_at when the count of its sender, or of the archive asked instead, was met; void once they differ",
    ),
    Column("waits_last", Micros, nullable=True, comment="last_instance_at when it was kept open for a route; void once they differ"),
    Column("waits_for", Words, nullable=True, comment="what it is kept open for, in words; null where nothing ever was"),
    Column("attempts", Integer, nullable=False, server_default="0", comment="how often routing it failed since it was complete"),
    Column("code", Words, nullable=True, comment="why routing it failed last; null where it did not, or was put back"),
    Column("reason", Words, nullable=True, comment="the same as a sentence for people"),
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
# how the last studies of a peer came
Index(
    "ix_arrival_gap",
    arrival.c.peer,
    arrival.c.id,
    sqlite_where=text("largest_gap IS NOT NULL"),
    postgresql_where=text("largest_gap IS NOT NULL"),
)
# what is to be routed, by peer: each has its turn
Index(
    "ix_arrival_turn",
    arrival.c.peer,
    arrival.c.id,
    sqlite_where=text("state || '' = 'complete'"),
    postgresql_where=text("state || '' = 'complete'"),
)

arrival_instance = Table(
    "arrival_instance",
    metadata,
    reference("arrival_id", "arrival", "the arrival", primary_key=True),
    reference("instance_id", "instance", "an instance of its manifest", primary_key=True),
    Index("ix_arrival_instance_instance_id", "instance_id"),
    comment="The manifest of an arrival; a revision begins with its predecessor's.",
)

decision = Table(
    "decision",
    metadata,
    reference("arrival_id", "arrival", "the arrival that was routed", primary_key=True),
    Column("position", Integer, primary_key=True, comment="order in which the routes were tried"),
    Column("route", Words, nullable=False, comment="name of the route"),
    Column("series_instance_uid", Words, nullable=False, comment="the series it was tried on"),
    Column("matched", Boolean, nullable=False, comment="whether every condition held"),
    Column("chosen", Boolean, nullable=False, comment="whether this series was picked to run"),
    Column(
        "tried", Words, nullable=False, comment="JSON: [[key, expected, found, held], …]; behind them the application whose manifest asks"
    ),
    Column("reason", Words, nullable=False, comment="the sentence for people"),
    Column("compares", Words, nullable=False, server_default="[]", comment="JSON: the applications that compare it with a prior"),
    Column(
        "withheld",
        Words,
        nullable=True,
        comment="null, or waits: for a series that the route needs, or the rest of one | parked: the study lacks one that it needs, or the "
        "application excludes it, or is not the one that the route asks for",
    ),
    Column("lacks", Boolean, nullable=False, server_default=false(), comment="whether the study lacked a series that the route needs"),
    Column(
        "untaken",
        Words,
        nullable=False,
        server_default="[]",
        comment="JSON: the applications for which the route expects a series of the study and none is taken; on the one that came nearest",
    ),
    comment="Why each route did or did not match each series of an arrival.",
)


hold = Table(
    "hold",
    metadata,
    reference("arrival_id", "arrival", "the open arrival that waits for the rest; it is held while that waits", primary_key=True),
    Column("series_instance_uid", Words, primary_key=True, comment="the series that is known to be short"),
    Column("route", Words, primary_key=True, comment="the route that it is withheld from"),
    Column(
        "lack",
        Words,
        nullable=False,
        comment="refused: by this node | count: the sender lists more | gap: slices are missing | torn: the transfer broke off",
    ),
    Column("came", Integer, nullable=False, comment="how many instances of the series came"),
    Column("expected", Integer, nullable=True, comment="how many there are; null where nobody can say"),
    Column("since", Micros, nullable=False, comment="since when the route has waited for it, over all revisions"),
    Column("until", Micros, nullable=False, comment="when the route waits no longer"),
    comment="Series that a route withholds from its applications because they are known to be short.",
)

refused_instance = Table(
    "refused_instance",
    metadata,
    row_id("row id"),
    Column("sop_instance_uid", Words, nullable=False, comment="SOP Instance UID (0008,0018)"),
    Column("series_instance_uid", Words, nullable=False, comment="Series Instance UID (0020,000E) of what was refused"),
    Column("study_instance_uid", Words, nullable=False, index=True, comment="Study Instance UID (0020,000D) of what was refused"),
    Column("peer", Words, nullable=False, comment="the peer that sent it; empty for a stranger"),
    Column("status", Integer, nullable=False, comment="the C-STORE status that it was answered with"),
    Column("at", Micros, nullable=False, comment="when it was last refused"),
    Index("uq_refused_instance_sop_instance_uid_peer", "sop_instance_uid", "peer", unique=True),
    comment="Instances that this node refused: owed until a row of `instance` has their SOP Instance UID.",
)
Index("ix_refused_instance_at", refused_instance.c.at)

torn_series = Table(
    "torn_series",
    metadata,
    Column("association", Words, primary_key=True, comment="the association that broke off"),
    Column("series_instance_uid", Words, primary_key=True, comment="a series that was under way over it"),
    Column("study_instance_uid", Words, nullable=False, index=True, comment="the series' study"),
    Column("peer", Words, nullable=False, comment="the peer that sent it; empty for a stranger"),
    Column("at", Micros, nullable=False, comment="when it ended"),
    comment="Series whose transfer ended without release; the row goes when an instance of the series comes later.",
)
Index("ix_torn_series_at", torn_series.c.at)

series_count = Table(
    "series_count",
    metadata,
    Column("series_instance_uid", Words, primary_key=True, comment="the series"),
    Column("peer", Words, primary_key=True, comment="the peer that was asked"),
    Column("study_instance_uid", Words, nullable=False, index=True, comment="the series' study"),
    Column("listed", Integer, nullable=False, comment="NumberOfSeriesRelatedInstances (0020,1209), or its matches at IMAGE level"),
    Column("same_since", Micros, nullable=False, comment="the question that was first answered so"),
    Column("asked_at", Micros, nullable=False, comment="the last question; later than same_since: it does not grow any more"),
    comment="How many instances of a series its sender lists, by C-FIND.",
)
Index("ix_series_count_asked_at", series_count.c.asked_at)


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
    Column("version", Words, nullable=False, server_default="", comment="the version of the application that it asked for; empty: any"),
    Column("accepted", Boolean, nullable=False, server_default=false(), comment="whether it asked for one that is accepted here"),
    comment="The routes of a job, each as it asked; it rests only while all of them are paused.",
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
    Column("role", Words, nullable=False, server_default="", comment="what its series is for the application, where that takes several"),
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


result_object = Table(
    "result_object",
    metadata,
    row_id("row id"),
    reference("job_id", "job", "the job that made it"),
    Column(
        "kind",
        Words,
        nullable=False,
        comment="seg | sr (measurements, evaluations) | detections (SR) | sc (page) | overlay (SC) | map | derived | registration | "
        "narrative (SR) | pdf | explanation | explanation-map | uncertainty-map | statement (SR: there is no result) | "
        "withdrawal (Key Object Selection)",
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
    Column("part", Words, nullable=False, server_default="", comment="the part of the series that it is about; empty for all of it"),
    Column(
        "one_cine",
        Boolean,
        nullable=False,
        server_default=false(),
        comment="of a mask: it is of several phases of a cine that came as single images of one series",
    ),
    Index("ix_result_object_job_id", "job_id"),
    comment="One encoded DICOM object; its bytes never change.",
)

measured_value = Table(
    "measured_value",
    metadata,
    reference("job_id", "job", "the job whose findings hold it", primary_key=True),
    Column("position", Integer, primary_key=True, comment="order in the findings"),
    Column("version", Words, nullable=False, comment="version of the application that measured it"),
    Column("part", Words, nullable=False, comment="the part of the series that it is about; empty for all of it"),
    Column("of", Words, nullable=False, comment="segment | total: of several segments together | series: of all that was analysed"),
    Column("structure", Words, nullable=False, comment="code and scheme of the segment, or of what several are together"),
    Column("laterality", Words, nullable=False, comment="code and scheme; empty where there is none"),
    Column("site", Words, nullable=False, comment="code and scheme of the finding site; empty where there is none"),
    Column("label", Words, nullable=False, comment="of the segment, or of the parts of a total, a line each"),
    Column("name", Words, nullable=False, comment="code and scheme of what was measured"),
    Column("unit", Words, nullable=False, comment="code and scheme of the unit"),
    Column("derivation", Words, nullable=False, comment="code and scheme (mean, maximum); empty where there is none"),
    Column("value", Double, nullable=False, comment="the number, exact as it was found"),
    comment="What a job measured that may stand beside a later study's value; bounds, lesions and detections are not kept.",
)

withdrawn_object = Table(
    "withdrawn_object",
    metadata,
    reference("job_id", "job", "the withdrawal", primary_key=True),
    reference("object_id", "result_object", "an object that its sink had accepted", primary_key=True),
    Index("ix_withdrawn_object_object_id", "object_id"),
    comment="Exactly what a withdrawal withdraws from its sink.",
)


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

HEAD = "0035"
"""The revision of migrations/versions that this file describes."""
