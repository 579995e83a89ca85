"""Audit messages of a node's own life: it began to serve or stopped, and its configuration is not the one of the last start."""

import hashlib
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from node.observe.audit import codes
from node.observe.audit.message import Action, AlertSubject, EventOutcome, Message, Participant
from node.observe.events import alarm

_CONFIGURATION = "configuration.sha256"


def activity(kind: codes.Code, process: str, ae_titles: Sequence[str]) -> Message:
    """The start or stop of the node, launched by this process's user (PS3.15 A.5.3.1)."""
    return Message(
        event=codes.APPLICATION_ACTIVITY,
        action=Action.EXECUTE,
        at=datetime.now(UTC),
        kinds=(kind,),
        participants=(
            Participant(user_id=process, ae_titles=tuple(ae_titles), roles=(codes.APPLICATION,)),
            Participant(user_id=f"uid {os.getuid()}", requestor=True, roles=(codes.LAUNCHER,)),
        ),
    )


def configuration_changed(path: Path, folder: Path, process: str, ae_titles: Sequence[str]) -> Message | None:
    """An alert where the configuration file is not the one of the last start, which is remembered in `folder`."""
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    kept = folder / _CONFIGURATION
    try:
        before = kept.read_text(encoding="ascii").strip() if kept.exists() else None
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        kept.write_text(f"{digest}\n", encoding="ascii")
    except OSError as failed:
        alarm("audit.failed", reason=str(failed.strerror), messages=1)
        return None
    if before in (None, digest):
        return None
    assert before is not None, "it was looked at"
    told = AlertSubject(subject=path.as_uri(), description=f"configuration {before[:12]} became {digest[:12]}", is_node=False)
    return Message(
        event=codes.SECURITY_ALERT,
        action=Action.EXECUTE,
        at=datetime.now(UTC),
        kinds=(codes.SOFTWARE_CONFIGURATION,),
        outcome=EventOutcome.SUCCESS,
        participants=(Participant(user_id=process, ae_titles=tuple(ae_titles)),),
        objects=(told,),
    )
