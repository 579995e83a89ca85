"""The commitment inbox on a disk that refuses."""

import errno
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from node.domain.commitment import InstanceReference, Request
from node.spool.commitment_inbox import FolderCommitmentInbox
from node.spool.room import DiskFailed


def test_what_the_peer_was_told_is_not_kept_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The flush of the name is refused: the peer hears so and asks again; one request is answered, not two."""
    inbox = FolderCommitmentInbox(tmp_path)
    reference = InstanceReference(sop_class_uid="1.2.840.10008.5.1.4.1.1.2", sop_instance_uid="1.2.3")
    asked = Request(peer="ct1", transaction_uid="1.2.4", received_at=datetime.now(UTC), references=(reference,))

    def fails(_: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    inbox.keep(asked)
    with monkeypatch.context() as failing:
        failing.setattr(os, "fsync", fails)
        with pytest.raises(DiskFailed):
            inbox.keep(asked)
    assert len(inbox.waiting(10)) == 1
