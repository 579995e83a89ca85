"""Arrivals: what came of a study until nothing more was expected, and what each route decided on it."""

from sqlalchemy import Boolean, Column, Index, Integer, Table, false, text

from node.journal.schema.columns import Micros, Words, metadata, reference, row_id

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
    Column("counted_last", Micros, nullable=True, comment="last_instance_at when the sender's count was met; void once they differ"),
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
        "application excludes it",
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
