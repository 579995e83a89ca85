"""Storage commitment in the flow process: asking sinks to commit, and finding out and reporting what peers asked of this node."""

import contextlib
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import TYPE_CHECKING

from node.assembly import compose
from node.assembly.stages import Led
from node.blobs.port import Blobs
from node.flow.commit import Commit
from node.flow.port import Stage
from node.flow.promise import Promise
from node.journal.port import Journal, Leader
from node.settings.config import Config

if TYPE_CHECKING:
    from node.dimse.committing import PeerCommitment


@contextlib.contextmanager
def committing(
    config: Config, journal: Journal, blobs: Blobs, leader: Leader, horizon: Callable[[], datetime | None]
) -> Iterator[list[Stage]]:
    """The stages, for the block; of all flow processes the leader alone steps them."""

    def committer(peer: str) -> "PeerCommitment":
        return compose.committer(config, peer, journal.now)

    asks = Commit(journal, config, journal.now, committer, compose.open_slips(config))
    answers = Promise(journal, blobs, config, journal.now, committer, horizon=horizon)
    try:
        yield [Led(asks, leader), Led(answers, leader)]
    finally:
        asks.close()
        answers.close()
