"""The kinds of nodes under test that rows are played on: what the table says in brackets behind a row's name."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.crash.node_under_test import NodeUnderTest
from tests.lab.postgres import Postgres

ASSOCIATION = "durability association"
SEVERAL = "two receive processes"
SECURED = "senders with TLS"
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
    ENCRYPTED: {"encrypted": True},
    ENCRYPTED_ASSOCIATION: {"encrypted": True, "durability": "association"},
    COMMITMENT: {"commits": True},
    RETENTION: {"commits": True},
    COMMITMENT_ASSOCIATION: {"commits": True, "durability": "association"},
}


@contextmanager
def node_of_kind(kind: str, folder: Path, *, records: bool = False) -> Iterator[NodeUnderTest]:
    """A node under test of this kind, running."""
    if kind == POSTGRES:
        with Postgres(folder) as server, NodeUnderTest(folder, journal=server.url, records=records) as under_test:
            yield under_test
        return
    with NodeUnderTest(folder, **_KINDS[kind], records=records) as under_test:
        yield under_test
