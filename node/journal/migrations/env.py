"""Alembic's entrance: runs the revisions inside the transaction that node.journal.database gives it."""

from alembic import context

context.configure(**context.config.attributes)
context.run_migrations()
