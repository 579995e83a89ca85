"""The node at work: its history and who follows it, signs of life, pauses, and the people of the console."""

from sqlalchemy import Column, ForeignKey, Index, Table, text

from node.journal.schema.columns import Key, Micros, Words, metadata, row_id

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
    Column("state", Words, nullable=False, comment="what it was doing"),
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
    Column("text_digest", Words, nullable=False, comment="SHA-256 (hex) of the file as it stood"),
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
