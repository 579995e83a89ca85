"""What series are short of, and which routes wait for the rest."""

from sqlalchemy import Column, Index, Integer, Table

from node.journal.schema.columns import Micros, Words, metadata, reference, row_id

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
