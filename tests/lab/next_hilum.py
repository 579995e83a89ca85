"""The next hilum: its journal's schema is one made revision further than this one's. Upgrades are tried with it."""

import contextlib
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from node.journal import database
from node.journal.schema import HEAD

NEXT = f"{int(HEAD) + 1:04d}"
_REVISION = f"""
from alembic import context

revision = "{NEXT}"
down_revision = "{HEAD}"


def upgrade():
    context.config.attributes["change"]()
"""


@contextlib.contextmanager
def next_hilum(change: Callable[[], None]) -> Iterator[None]:
    """Inside, this process is the next hilum: journals that it opens are at `NEXT`, where `change` brings them (in terms of alembic.op)."""
    ours = database.alembic_config
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patched:
        scripts = Path(folder) / "migrations"
        shutil.copytree(Path(database.__file__).with_name("migrations"), scripts, ignore=shutil.ignore_patterns("__pycache__"))
        (scripts / "versions" / f"{NEXT}_change.py").write_text(_REVISION)

        def config() -> Any:
            found = ours()
            found.set_main_option("script_location", str(scripts))
            found.attributes["change"] = change
            return found

        patched.setattr(database, "alembic_config", config)
        patched.setattr(database, "HEAD", NEXT)
        yield
