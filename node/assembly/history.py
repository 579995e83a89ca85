"""Telling the journal's history to the audit trail, in the flow process of the host that leads."""

import contextlib
from collections.abc import Iterator
from datetime import timedelta

from node.assembly.audit import open_trail, process_of
from node.assembly.stages import Led
from node.flow.audit import AuditStage
from node.flow.clock import Clock, Tick
from node.journal.port import Journal, Leader
from node.observe.audit.trail import Trail
from node.settings.config import Config

_EVERY = timedelta(seconds=1)


@contextlib.contextmanager
def telling_history(config: Config, journal: Journal, leader: Leader) -> Iterator[None]:
    """Follow the journal's history while the block runs, and this process leads.

    On a clock of its own: neither a slow disk nor a long history may keep other sweeps waiting.
    """
    trail = open_trail(config)
    if trail is None:
        yield
        return
    stage = audit_stage(config, journal, trail)
    stage.begin()
    clock = Clock([Tick(stage=Led(stage, leader), every=_EVERY)])
    clock.start()
    try:
        yield
    finally:
        clock.stop()
        trail.close()


def audit_stage(config: Config, journal: Journal, trail: Trail) -> AuditStage:
    """What tells the history."""
    return AuditStage(journal, config, journal.now, trail.write, process=process_of(config, "flow"))
