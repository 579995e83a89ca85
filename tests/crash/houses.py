"""The kinds of houses that rows are played in: what the table says in brackets behind a row's name."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.crash.house import House
from tests.lab.postgres import Postgres

ASSOCIATION = "durability association"
SEVERAL = "two receive processes"
SECURED = "senders with TLS"
STOCK = "stock receiver"
ENCRYPTED = "encryption at rest"
ENCRYPTED_ASSOCIATION = "encryption at rest, durability association"
COMMITMENT = "storage commitment"
COMMITMENT_ASSOCIATION = "storage commitment, durability association"
RETENTION = "storage commitment, retention as it will be"
POSTGRES = "PostgreSQL"
_KINDS: dict[str, dict[str, Any]] = {
    "": {},
    ASSOCIATION: {"durability": "association"},
    SEVERAL: {"receivers": 2},
    SECURED: {"secured": True},
    STOCK: {"receiver": "stock"},
    ENCRYPTED: {"encrypted": True},
    ENCRYPTED_ASSOCIATION: {"encrypted": True, "durability": "association"},
    COMMITMENT: {"commits": True},
    RETENTION: {"commits": True},
    COMMITMENT_ASSOCIATION: {"commits": True, "durability": "association"},
}


@contextmanager
def house_of(kind: str, folder: Path, *, records: bool = False) -> Iterator[House]:
    """A house of this kind, its node running."""
    if kind == POSTGRES:
        with Postgres(folder) as server, House(folder, journal=server.url, records=records) as house:
            yield house
        return
    with House(folder, **_KINDS[kind], records=records) as house:
        yield house
