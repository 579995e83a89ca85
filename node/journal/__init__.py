"""The durable memory: one SQL schema for SQLite and PostgreSQL."""
