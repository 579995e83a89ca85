"""A sender's last studies in a journal, each with the pause that a test says: their rows, as tests/contract/test_journal_pauses.py finds
that completing writes them. Through the journal's own door 300 of them would take seconds."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import insert

from node.journal import schema
from node.journal.journal import Journal
from node.journal.rows import micros

_SECOND = 1_000_000


def paused(journal: Journal, peer: str, gaps_s: Sequence[float], until: datetime) -> None:
    """Routed studies 9.PEER.1, 9.PEER.2, … that came a minute after each other, the last one at `until`."""
    rows = [
        {
            "peer": peer,
            "study_instance_uid": f"9.{len(peer)}.{number}",
            "series_instance_uid": "",
            "called_ae": "HILUM",
            "state": "routed",
            "revision": 1,
            "opened_at": at,
            "last_instance_at": at + int(gap_s * _SECOND),
            "due_at": at + int((gap_s + 10) * _SECOND),
            "completed_at": at + int((gap_s + 10) * _SECOND),
            "completed_by": "quiet",
            "routed_at": at + int((gap_s + 10) * _SECOND),
            "config_digest": "earlier",
            "instances": 2,
            "largest_gap": int(gap_s * _SECOND),
        }
        for number, gap_s in enumerate(gaps_s, 1)
        for at in (micros(until - timedelta(minutes=len(gaps_s) - number)),)
    ]
    with journal.database.writing() as connection:
        connection.execute(insert(schema.arrival), rows)
