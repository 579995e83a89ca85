"""What tells that a series is short, the routes that wait for its rest, and the jobs that go without it."""

from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"

_ARRIVAL = (
    sa.Column("counted_last", sa.BigInteger, comment="last_instance_at when the sender's count was met; void once they differ"),
    sa.Column("waits_last", sa.BigInteger, comment="last_instance_at when it was kept open for a route; void once they differ"),
    sa.Column("waits_for", sa.Text, comment="what it is kept open for, in words; null where nothing ever was"),
)
_JOB = (
    sa.Column("lack", sa.Text, comment="what tells that its series is short, as at hold; null: it is not known to be"),
    sa.Column("came", sa.Integer, comment="of a short series, how many instances came"),
    sa.Column("expected", sa.Integer, comment="of a short series, how many there are; null where nobody can say"),
    sa.Column("marked", sa.Boolean, comment="of a short series, whether results begin with INCOMPLETE; else they have a remark"),
)
_LAST = "last "


def upgrade() -> None:
    """Four tables; columns of arrivals and jobs."""
    for table, columns in (("arrival", _ARRIVAL), ("job", _JOB)):
        for column in columns:
            op.add_column(table, column)
    _tables()
    _told_so_far()


def _tables() -> None:
    key = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "hold",
        sa.Column("arrival_id", key, nullable=False, comment="the open arrival that waits for the rest; it is held while that waits"),
        sa.Column("series_instance_uid", sa.Text, nullable=False, comment="the series that is known to be short"),
        sa.Column("route", sa.Text, nullable=False, comment="the route that it is withheld from"),
        sa.Column(
            "lack",
            sa.Text,
            nullable=False,
            comment="refused: by this node | count: the sender lists more | gap: slices are missing | torn: the transfer broke off",
        ),
        sa.Column("came", sa.Integer, nullable=False, comment="how many instances of the series came"),
        sa.Column("expected", sa.Integer, comment="how many there are; null where nobody can say"),
        sa.Column("since", sa.BigInteger, nullable=False, comment="since when the route has waited for it, over all revisions"),
        sa.Column("until", sa.BigInteger, nullable=False, comment="when the route waits no longer"),
        sa.PrimaryKeyConstraint("arrival_id", "series_instance_uid", "route", name="pk_hold"),
        sa.ForeignKeyConstraint(["arrival_id"], ["arrival.id"], name="fk_hold_arrival_id"),
        comment="Series that a route withholds from its applications because they are known to be short.",
    )
    op.create_table(
        "refused_instance",
        sa.Column("id", key, nullable=False, autoincrement=True, comment="row id"),
        sa.Column("sop_instance_uid", sa.Text, nullable=False, comment="SOP Instance UID (0008,0018)"),
        sa.Column("series_instance_uid", sa.Text, nullable=False, comment="Series Instance UID (0020,000E) of what was refused"),
        sa.Column("study_instance_uid", sa.Text, nullable=False, comment="Study Instance UID (0020,000D) of what was refused"),
        sa.Column("peer", sa.Text, nullable=False, comment="the peer that sent it; empty for a stranger"),
        sa.Column("status", sa.Integer, nullable=False, comment="the C-STORE status that it was answered with"),
        sa.Column("at", sa.BigInteger, nullable=False, comment="when it was last refused"),
        sa.PrimaryKeyConstraint("id", name="pk_refused_instance"),
        comment="Instances that this node refused: owed until a row of `instance` has their SOP Instance UID.",
    )
    op.create_index("uq_refused_instance_sop_instance_uid_peer", "refused_instance", ["sop_instance_uid", "peer"], unique=True)
    op.create_index("ix_refused_instance_study_instance_uid", "refused_instance", ["study_instance_uid"])
    op.create_index("ix_refused_instance_at", "refused_instance", ["at"])
    op.create_table(
        "torn_series",
        sa.Column("association", sa.Text, nullable=False, comment="the association that broke off"),
        sa.Column("series_instance_uid", sa.Text, nullable=False, comment="a series that was under way over it"),
        sa.Column("study_instance_uid", sa.Text, nullable=False, comment="the series' study"),
        sa.Column("peer", sa.Text, nullable=False, comment="the peer that sent it; empty for a stranger"),
        sa.Column("at", sa.BigInteger, nullable=False, comment="when it ended"),
        sa.PrimaryKeyConstraint("association", "series_instance_uid", name="pk_torn_series"),
        comment="Series whose transfer ended without release; the row goes when an instance of the series comes later.",
    )
    op.create_index("ix_torn_series_study_instance_uid", "torn_series", ["study_instance_uid"])
    op.create_index("ix_torn_series_at", "torn_series", ["at"])
    op.create_table(
        "series_count",
        sa.Column("series_instance_uid", sa.Text, nullable=False, comment="the series"),
        sa.Column("peer", sa.Text, nullable=False, comment="the peer that was asked"),
        sa.Column("study_instance_uid", sa.Text, nullable=False, comment="the series' study"),
        sa.Column(
            "listed",
            sa.Integer,
            nullable=False,
            comment="NumberOfSeriesRelatedInstances (0020,1209), or its matches at IMAGE level",
        ),
        sa.Column("same_since", sa.BigInteger, nullable=False, comment="the question that was first answered so"),
        sa.Column("asked_at", sa.BigInteger, nullable=False, comment="the last question; later than same_since: it does not grow any more"),
        sa.PrimaryKeyConstraint("series_instance_uid", "peer", name="pk_series_count"),
        comment="How many instances of a series its sender lists, by C-FIND.",
    )
    op.create_index("ix_series_count_study_instance_uid", "series_count", ["study_instance_uid"])
    op.create_index("ix_series_count_asked_at", "series_count", ["asked_at"])


def _told_so_far() -> None:
    """Of open arrivals: what they wait for and which count they met, as the programs before wrote it into sentences for people."""
    connection = op.get_bind()
    told = connection.execute(
        sa.text(
            "SELECT arrival.id, arrival.supersedes, event.name, event.detail FROM arrival JOIN event ON event.subject = 'arrival' "
            "AND event.subject_id = arrival.id WHERE arrival.state = 'received' AND event.name IN ('arrival.waits', 'arrival.counted')"
        )
    ).all()
    for row in told:
        words, _, last = row.detail.rpartition(_LAST)
        try:
            at = (datetime.fromisoformat(last) - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds()
        except (ValueError, TypeError):
            continue
        values = {"arrival": row.id, "last": round(at * 1e6), "words": words.removesuffix("; ")}
        if row.name == "arrival.counted":
            connection.execute(sa.text("UPDATE arrival SET counted_last = :last WHERE id = :arrival"), values)
        elif row.supersedes is not None:
            connection.execute(sa.text("UPDATE arrival SET waits_last = :last, waits_for = :words WHERE id = :arrival"), values)
