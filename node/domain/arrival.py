"""Arrivals: what came for one study or series until nothing more was expected."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from node.domain.state import ArrivalState


class Completeness(StrEnum):
    """Why an arrival counts as complete."""

    QUIET = "quiet"  # nothing came for the quiet window
    COUNT = "count"  # the sender's own count (C-FIND) was reached, and the shortened window passed
    GROWING = "growing"  # it went on growing, or never met a count, for as long as any may
    OPERATOR = "operator"  # completed by hand
    PRIOR = "prior"  # nothing of its own came, but what it is compared with, or needs beside it, did, changed, or does not fit


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """One revision of a study (`series_instance_uid` None) or of a series, as it came from one peer.

    `supersedes` is the arrival that this one revises because instances came late. `counted`: the sender's count is met by what came last.
    `waits`: an open one is kept open for what a route needs, and nothing came since; `waits_for` says for what. `attempts` counts how often
    routing it failed, since it was complete or put back; `code` and `reason` say why it did last.
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
    counted: bool = False
    waits: bool = False
    waits_for: str = ""
    attempts: int = 0
    code: str | None = None
    reason: str | None = None
