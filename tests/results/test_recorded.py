"""The objects of every kind are the recorded ones, byte for byte."""

from pathlib import Path

import pytest

from node.domain.profile import Kind
from tests.results import recorded

pytestmark = pytest.mark.slow


def test_every_object_has_the_recorded_bytes(tmp_path: Path) -> None:
    """Clock, node name, versions and Series Number pinned: whoever means to change an object writes the record anew, and sees which did."""
    assert recorded.lines(tmp_path) == recorded.FILE.read_text(encoding="utf-8").splitlines()


def test_every_kind_is_recorded() -> None:
    """Otherwise a kind could change unseen."""
    assert {line.split()[1] for line in recorded.FILE.read_text(encoding="utf-8").splitlines()} == {kind.value for kind in Kind}
