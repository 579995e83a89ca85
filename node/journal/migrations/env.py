"""Alembic's entrance: runs the revisions inside the transaction that node.journal.database gives it."""

from alembic import context

context.configure(connection=context.config.attributes["connection"])
context.run_migrations()
