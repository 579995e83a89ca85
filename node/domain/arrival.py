"""Arrivals: what came for one study or series until nothing more was expected."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from node.domain.state import ArrivalState


class Completeness(StrEnum):
    """Why an arrival counts as complete."""

    QUIET = "quiet"  # nothing came for the quiet window
    COUNT = "count"  # the sender's own count (C-FIND) was reached, and the shortened window passed
    OPERATOR = "operator"  # completed by hand
    PRIOR = "prior"  # nothing of its own came, but what it is compared with, or needs beside it, did, changed, or does not fit


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """One revision of a study (`series_instance_uid` None) or of a series, as it came from one peer.

    `supersedes` is the arrival that this one revises because instances came late.
    """

    id: int
    peer: str | None
    study_instance_uid: str
    series_instance_uid: str | None
    called_ae: str
    state: ArrivalState
    revision: int
    supersedes: int | None
    opened_at: datetime
    last_instance_at: datetime
    due_at: datetime
    completed_at: datetime | None
    completed_by: Completeness | None
    instances: int
