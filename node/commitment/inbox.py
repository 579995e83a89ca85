"""Takes what peers said of storage commitment from the receiver's spool into the journal: requests, and reports on requests of ours."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Protocol

from node.domain.commitment import Applied, Report, Request
from node.domain.errors import DeliveryError
from node.domain.stage import Clock
from node.journal.journal import Journal
from node.observe import metrics
from node.observe.events import alarm, event
from node.settings.config import Config

_BATCH = 50
_MOST_ROUNDS = 3
"""How often objects are sent again because the peer that accepted them would not commit to them."""
_AGAIN = timedelta(minutes=1)
_ALARMING = (Applied.UNKNOWN, Applied.STRANGER, Applied.PARKED)


class NotCommitted(DeliveryError):
    """The sink accepted objects, and then would not commit to them."""

    code = "HLM-6184"
    remedy = (
        "Ask the sink's administrator why, with the reasons and UIDs in the sentence; then `hilum jobs resend JOB` sends all of it again."
    )
    retry = False


class CommitmentInbox(Protocol):
    """Requests and reports that were made durable on this host and are not in the journal yet."""

    def keep(self, message: Request | Report) -> None: ...

    def waiting(self, limit: int) -> list[Path]: ...

    def read(self, entry: Path) -> tuple[Request | Report, float] | None:
        """What it says, and when it was written (seconds since 1970, this host's clock); None: it is gone, or nothing."""
        ...

    def drop(self, entry: Path) -> None: ...


class CommitmentInboxStage:
    """Stage: the journal first, then the file goes; what is taken twice changes nothing the second time."""

    name = "slips"

    def __init__(self, journal: Journal, inbox: CommitmentInbox, config: Config, clock: Clock) -> None:
        self._journal = journal
        self._inbox = inbox
        self._config = config
        self._clock = clock

    def adopt(self, config: Config) -> None:
        """Go by the pauses of these sinks."""
        self._config = config

    def step(self) -> int:
        """Take some; how many."""
        taken = 0
        for entry in self._inbox.waiting(_BATCH):
            found = self._inbox.read(entry)
            if found is None:
                continue
            said, written_at = found
            # by the clock that all hosts share
            said = replace(said, received_at=self._journal.at(written_at))
            if isinstance(said, Request):
                self._journal.commitment_requests.receive(said, self._clock())
                event("commitment.requested", peer=said.peer, transaction_uid=said.transaction_uid, instances=len(said.references))
            else:
                self._apply(said)
            self._inbox.drop(entry)
            taken += 1
        return taken

    def _apply(self, report: Report) -> None:
        now = self._clock()
        pauses = [sink.retry_first for sink in self._config.sinks.values() if sink.peer == report.peer]
        again_at = now + max(pauses, default=_AGAIN)
        applied = self._journal.commitments.apply(report, again_at, _MOST_ROUNDS, NotCommitted.code, now)
        metrics.COMMITMENTS.add(peer=report.peer, outcome=applied.value)
        said = {
            "peer": report.peer,
            "transaction_uid": report.transaction_uid,
            "committed": len(report.committed),
            "failed": len(report.failed),
            "outcome": applied.value,
        }
        if applied in _ALARMING:
            alarm("commitment.reported", **said)
        else:
            event("commitment.reported", **said)
