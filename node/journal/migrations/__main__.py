"""Writes a revision: `python -m node.journal.migrations MESSAGE`, after the tables of node.journal.schema and its `HEAD` have changed.

What goes into it is what the tables have more than the revisions that there are build, as alembic's comparison finds it: constraints' names
and the conditions of partial indices that change under one name it does not see, and rows that are to be changed it cannot know. Without a
revision in versions/ it is the baseline.
"""

import sys
import tempfile
from pathlib import Path
from typing import Any

from alembic import command
from alembic.autogenerate.api import AutogenContext
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine
from sqlalchemy.sql.elements import False_

from node.journal.database import alembic_config
from node.journal.schema import HEAD, Words, metadata


def main(config: Config, message: str) -> None:
    """Write the revision `HEAD` among those of `config`."""
    config.set_main_option("file_template", "%%(rev)s_%%(slug)s")
    config.attributes.update(target_metadata=metadata, render_item=_written)
    with tempfile.TemporaryDirectory() as folder:
        engine = create_engine(f"sqlite:///{Path(folder) / 'empty.db'}")
        with engine.begin() as connection:
            config.attributes["connection"] = connection
            if ScriptDirectory.from_config(config).get_current_head():
                command.upgrade(config, "head")
            command.revision(config, message, autogenerate=True, rev_id=HEAD)
        engine.dispose()


def _written(kind: str, item: Any, _context: AutogenContext) -> Any:
    """What a revision has to say on both databases, and without our classes, which it outlives; False: as alembic writes it."""
    if kind == "type" and isinstance(item, Words):
        return "sa.Text()"
    if kind == "server_default" and isinstance(item.arg, False_):
        return "sa.false()"
    return False


if __name__ == "__main__":
    main(alembic_config(), sys.argv[1])
