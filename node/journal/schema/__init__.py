"""The journal's tables: one schema for SQLite and PostgreSQL. Every table, column and state is explained here and in the database.

Conventions: times are microseconds since 1970-01-01 UTC in a BIGINT; a missing peer and a study-wide scope are empty strings, so that
unique indices see them as values; states are the texts of node.domain.state; JSON is text. The event names are listed at `event`.
Changing a table means a new `HEAD` and a revision in migrations/versions, which `python -m node.journal.migrations MESSAGE` writes. Until
the first release there is one, which makes the journal: delete it, and let it be written anew under the next number, so that no journal is
taken for what it is not.
"""

from node.journal.schema.arrivals import arrival, arrival_instance, decision
from node.journal.schema.columns import NEVER, Key, Micros, Words, metadata
from node.journal.schema.commitments import commitment, commitment_object, promise, promise_asked
from node.journal.schema.deliveries import delivery, delivery_turn, receipt
from node.journal.schema.instances import (
    aside,
    erased,
    instance,
    other_result,
    other_result_series,
    patient_series,
    series_header,
    tombstone,
)
from node.journal.schema.jobs import job, job_instance, job_route, job_sink, job_turn
from node.journal.schema.operation import (
    beat,
    config_revision,
    console_account,
    console_attempt,
    console_key,
    event,
    follower,
    pause,
    store,
)
from node.journal.schema.results import measured_value, result_object, withdrawn_object
from node.journal.schema.shortage import hold, refused_instance, series_count, torn_series

__all__ = [
    "HEAD",
    "NEVER",
    "Key",
    "Micros",
    "Words",
    "arrival",
    "arrival_instance",
    "aside",
    "beat",
    "commitment",
    "commitment_object",
    "config_revision",
    "console_account",
    "console_attempt",
    "console_key",
    "decision",
    "delivery",
    "delivery_turn",
    "erased",
    "event",
    "follower",
    "hold",
    "instance",
    "job",
    "job_instance",
    "job_route",
    "job_sink",
    "job_turn",
    "measured_value",
    "metadata",
    "other_result",
    "other_result_series",
    "patient_series",
    "pause",
    "promise",
    "promise_asked",
    "receipt",
    "refused_instance",
    "result_object",
    "series_count",
    "series_header",
    "store",
    "tombstone",
    "torn_series",
    "withdrawn_object",
]

HEAD = "0030"
"""The revision of migrations/versions that this folder describes."""
