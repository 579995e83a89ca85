"""The journal's schema revisions, run by alembic; opening a journal brings it to the newest."""
