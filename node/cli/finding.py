"""What `hilum doctor` says of one thing."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing looked at. `level` is "good", "warning" or "bad"; `fix` says what to do unless it is good."""

    subject: str
    level: str
    detail: str
    fix: str = ""
