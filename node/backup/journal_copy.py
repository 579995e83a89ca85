"""A consistent copy of the journal while the node runs: SQLite's online backup, or pg_dump of one moment; and the way back."""

import contextlib
import os
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from node.backup.manifest import JOURNAL_DUMP, JOURNAL_FILE, BackupDamaged, NoBackup, NotEmpty
from node.journal.place import Server, server

_NAMED = """
SELECT blob FROM instance WHERE standing <> 'purged'
UNION ALL SELECT blob FROM result_object WHERE purged_at IS NULL
UNION ALL SELECT findings_blob FROM job WHERE findings_blob IS NOT NULL
"""
_REVISION = "SELECT version_num FROM alembic_version"
_DUMP_S = 6 * 3600
_NO_TIMEOUTS = {"statement_timeout": "0", "lock_timeout": "30s", "idle_in_transaction_session_timeout": "0"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Copied:
    """The copy of a journal: the file's name in the backup, its schema, and the blobs that its rows want."""

    name: str
    schema: str
    blobs: tuple[str, ...]


def copy_journal(url: str, folder: Path) -> Copied:
    """Copy the journal at `url` into `folder`; nobody waits for it.

    Raises
    ------
    NoBackup
        It cannot be read, the folder not written, or pg_dump is not installed.
    """
    return _copy_file(Path(url.removeprefix("sqlite:")), folder) if url.startswith("sqlite:") else _dump(server(url), folder)


def _copy_file(path: Path, folder: Path) -> Copied:
    target = folder / JOURNAL_FILE
    target.unlink(missing_ok=True)
    try:
        with (
            contextlib.closing(sqlite3.connect(f"{path.as_uri()}?mode=rw", uri=True, timeout=30)) as live,
            contextlib.closing(sqlite3.connect(target)) as copy,
        ):
            target.chmod(0o600)
            live.backup(copy)  # in one step: a reader's moment, which no writer waits for
            copy.execute("PRAGMA journal_mode = DELETE")
            told = copy.execute("PRAGMA quick_check").fetchone()[0]
            if told != "ok":
                raise NoBackup(f"{path} is damaged: {told}")
            schema = copy.execute(_REVISION).fetchone()[0]
            return Copied(name=JOURNAL_FILE, schema=schema, blobs=tuple(row[0] for row in copy.execute(_NAMED)))
    except sqlite3.Error as failed:
        raise NoBackup(f"{path} cannot be copied: {failed}") from failed


def _dump(at: Server, folder: Path) -> Copied:
    target = folder / JOURNAL_DUMP
    target.unlink(missing_ok=True)
    with _connected(at) as connection:
        # what pg_dump sees and what is read here is one moment
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        snapshot = connection.execute("SELECT pg_export_snapshot()").fetchone()[0]
        _run("pg_dump", at, "--format=custom", "--no-owner", "--no-privileges", f"--snapshot={snapshot}", f"--file={target}")
        target.chmod(0o600)
        schema = connection.execute(_REVISION).fetchone()[0]
        return Copied(name=JOURNAL_DUMP, schema=schema, blobs=tuple(row[0] for row in connection.execute(_NAMED)))


def refuse_if_there(url: str) -> None:
    """Refuse to restore over a journal.

    Raises
    ------
    NotEmpty
        There is one.
    """
    if url.startswith("sqlite:"):
        path = Path(url.removeprefix("sqlite:"))
        for one in (path, path.with_name(f"{path.name}-wal")):
            if one.exists():
                raise NotEmpty(f"{one} is there already")
        return
    at = server(url)
    if tables := _tables(at):
        raise NotEmpty(f"{at.name} has {tables} tables already")


def restore_journal(url: str, copy: Path) -> None:
    """Bring a copy back: all of it, or nothing. What lies there is what an earlier call brought back.

    Raises
    ------
    BackupDamaged
        It cannot be brought back.
    """
    if url.startswith("sqlite:"):
        path = Path(url.removeprefix("sqlite:"))
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        partial = path.with_name(f"{path.name}.restoring")
        shutil.copyfile(copy, partial)
        partial.chmod(0o600)
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        for one in (path, *(path.with_name(f"{path.name}{suffix}") for suffix in ("-wal", "-shm"))):
            one.unlink(missing_ok=True)  # pages of the other one must not be taken for this one's
        partial.rename(path)
        return
    try:
        if _tables(server(url)):
            return  # it came in one transaction
        _run("pg_restore", server(url), "--no-owner", "--no-privileges", "--exit-on-error", "--single-transaction", "--dbname=", str(copy))
    except NoBackup as failed:
        raise BackupDamaged(str(failed)) from failed


def _tables(at: Server) -> int:
    with _connected(at) as connection:
        return int(connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = current_schema()").fetchone()[0])


@contextlib.contextmanager
def _connected(at: Server) -> Iterator[Any]:
    import psycopg

    try:
        with at.connect(session=_NO_TIMEOUTS) as connection:
            yield connection
    except psycopg.Error as failed:
        raise NoBackup(f"{at.name}: {type(failed).__name__}") from failed


def _run(name: str, at: Server, *arguments: str) -> None:
    words = at.url.translate_connect_args(username="user", database="dbname")
    asked = {**words, **at.url.query}
    variables = {"host": "PGHOST", "port": "PGPORT", "user": "PGUSER", "dbname": "PGDATABASE", "password": "PGPASSWORD"}
    environment = {variables[key]: str(value) for key, value in asked.items() if key in variables}
    if at.password_file is not None:
        environment["PGPASSWORD"] = at.password_file.read_text(encoding="utf-8").strip("\r\n")
    given = [word if word != "--dbname=" else f"--dbname={asked.get('dbname', '')}" for word in arguments]
    try:
        done = subprocess.run(
            [_program(name), *given], env={**os.environ, **environment}, capture_output=True, text=True, timeout=_DUMP_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as failed:
        raise NoBackup(f"{name}: {failed}") from failed
    if done.returncode != 0:
        last = done.stderr.strip().splitlines()[-1:] or [f"exit code {done.returncode}"]
        raise NoBackup(f"{name}: {last[0]}")


def _program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        # Debian keeps one folder a version
        installed = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: float(path.parts[-3]))
        found = str(installed[-1]) if installed else None
    if found is None:
        raise NoBackup(f"{name} is not installed: apt-get install postgresql-client")
    return found
