"""The journals, the blobs and the object store that the contract suites are run over."""

import uuid
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from node.blobs.encryption.blobs import EncryptedBlobs
from node.blobs.encryption.decrypted import DecryptedFiles, FileEncryption
from node.blobs.encryption.encrypted_file import EncryptionKeys, key_of
from node.blobs.folder import FolderBlobs
from node.blobs.port import Blobs
from node.journal.journal import Journal
from tests.lab import empty_journal
from tests.lab.postgres import Postgres
from tests.lab.s3 import S3, bucket_blobs
from tests.unit.journal.story import Story


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """One PostgreSQL server for all tests that ask for it; each has a database of its own."""
    with Postgres() as server:
        yield server


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3]:
    """One object store for all tests that ask for it; each has a prefix of its own."""
    with S3(tmp_path_factory.mktemp("s3") / "swift") as server:
        yield server


@pytest.fixture(params=["folder", "sealed", pytest.param("bucket", marks=[pytest.mark.slow, pytest.mark.registry])])
def blobs(request: pytest.FixtureRequest, tmp_path: Path) -> Blobs:
    """One of every kind of blobs."""
    if request.param == "folder":
        return FolderBlobs(tmp_path / "blobs")
    if request.param == "sealed":
        key = key_of(bytes(range(32)))
        memory = partial(DecryptedFiles, tmp_path / "opened", most_bytes=1 << 30, on_disk=True)
        return EncryptedBlobs(FolderBlobs(tmp_path / "blobs"), FileEncryption(EncryptionKeys(first=key, by_id={key.id: key}), memory))
    server: S3 = request.getfixturevalue("s3")
    return bucket_blobs(server, tmp_path / "blobs", prefix=uuid.uuid4().hex)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.peers)])
def journal_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a new, empty journal is, or may be made: a file, or a database of a real server."""
    if request.param == "sqlite":
        return f"sqlite:{tmp_path / 'journal.db'}"
    server: Postgres = request.getfixturevalue("postgres")
    return server.empty_journal()


@pytest.fixture
def opened() -> Iterator[Callable[[str], Journal]]:
    """Open journals that are closed at the end of the test."""
    journals: list[Journal] = []

    def open_(url: str) -> Journal:
        journals.append(Journal.open(empty_journal.make(url)))
        return journals[-1]

    yield open_
    for journal in journals:
        journal.close()


@pytest.fixture
def story(journal_url: str, opened: Callable[[str], Journal]) -> Story:
    """One story on each journal there is."""
    return Story(opened(journal_url))
