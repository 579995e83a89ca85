"""What the tables are made of: how text, times and numbers of rows are kept, and how constraints are named."""

from sqlalchemy import BigInteger, Column, Dialect, ForeignKey, Integer, MetaData, Text
from sqlalchemy.types import TypeDecorator

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)


class Words(TypeDecorator[str]):
    """Text as both databases can keep it: PostgreSQL takes no NUL, neither takes half a surrogate pair, and senders write both."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """Replace what cannot be kept by U+FFFD."""
        if value is None or (value.isascii() and "\0" not in value):
            return value
        return "".join("\ufffd" if letter == "\0" or "\ud800" <= letter <= "\udfff" else letter for letter in value)


Key = BigInteger().with_variant(Integer(), "sqlite")  # SQLite numbers rows by itself only in an INTEGER PRIMARY KEY
Micros = BigInteger()
NEVER = 2**63 - 1
"""The latest time there is: where what has no deadline stands among deadlines."""


def row_id(comment: str) -> Column[int]:
    """The number of a row, by which others refer to it."""
    return Column("id", Key, primary_key=True, autoincrement=True, comment=comment)


def reference(column: str, table: str, comment: str, *, primary_key: bool = False, nullable: bool = False) -> Column[int]:
    """A row of `table`, by its number."""
    return Column(column, Key, ForeignKey(f"{table}.id"), primary_key=primary_key, nullable=nullable, comment=comment)
