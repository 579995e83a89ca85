"""PostgreSQL as a program: a fresh cluster in a folder of its own, on loopback and a socket only, restarted or killed at will."""

import contextlib
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import psutil
import psycopg
from psycopg import sql

from node.journal.journal import Journal
from tests.lab import needs
from tests.lab.loopback import free_port
from tests.lab.program import Program, suspend, wait_until

_VERSIONS = Path("/usr/lib/postgresql")
_READY_S = 240
_ROLE = "hilum"
PASSWORD = "p@ss/w%rd: ü"
"""Of the role that the node uses: it has what URLs must escape."""


def _binaries() -> Path:
    """Debian keeps one folder a version and none of them on the path."""
    found = sorted(_VERSIONS.glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]))
    if not found:
        needs.absent("initdb", "apt-get install -y --no-install-recommends postgresql")
    return found[-1].parent


class Postgres:
    """A server; it runs as an unprivileged user where the tests run as root, because PostgreSQL refuses root.

    Parameters
    ----------
    home
        Where its log goes; the data lies in a folder of its own, which an unprivileged user may enter.
    durable
        Flush every commit, as in production; without it a commit survives the server, not the machine, which is what tests need.
    """

    def __init__(self, home: Path | None = None, *, durable: bool = False) -> None:
        self._bin = _binaries()
        self.folder = Path(tempfile.mkdtemp(prefix="hilum-postgres-"))
        self._log = (home or self.folder) / "log"
        self._log.parent.mkdir(parents=True, exist_ok=True)
        self._as: list[str] = []
        if os.geteuid() == 0:
            user = pwd.getpwnam("postgres")
            os.chown(self.folder, user.pw_uid, user.pw_gid)
            setpriv = needs.program("setpriv", "util-linux")
            self._as = [str(setpriv), "--reuid=postgres", "--regid=postgres", "--clear-groups", "--pdeathsig=KILL", "--"]
        self.port = free_port()
        self._data = self.folder / "data"
        self._durable = durable
        self._databases = 0
        self._empty = ""
        self.url = ""
        """The URL of a first database, made at the first start."""
        self._admin = secrets.token_hex(16)
        self._program: Program | None = None
        self._initialise()

    def _run(self, *command: object) -> None:
        done = subprocess.run([*self._as, *map(str, command)], capture_output=True, text=True, check=False, cwd=self.folder)
        assert done.returncode == 0, done.stdout + done.stderr

    def _initialise(self) -> None:
        secret = self.folder / "admin"
        secret.write_text(self._admin)
        secret.chmod(0o644)  # in a folder that only the server's user and root may enter
        words = ["-D", self._data, "-U", "admin", "-A", "scram-sha-256", f"--pwfile={secret}", "-E", "UTF8", "--locale=C.UTF-8"]
        self._run(self._bin / "initdb", *words, *([] if self._durable else ["--no-sync"]))

    # ---- its life

    def start(self) -> None:
        """Return when it takes connections."""
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": self.port,
            "unix_socket_directories": self.folder,
            "fsync": "on" if self._durable else "off",
            "shared_buffers": "64MB",
            # parallel queries' memory lies in its folder, and goes with it: a server that is killed leaves what it has in /dev/shm
            "dynamic_shared_memory_type": "mmap",
            "max_connections": 80,
            "log_min_messages": "warning",
        }
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        first = self._program is None
        self._program = Program([*self._as, self._bin / "postgres", "-D", self._data, *options], self._log)
        wait_until(self._answers, _READY_S, f"PostgreSQL on port {self.port}")
        if first:
            with self.admin() as connection:
                connection.execute(
                    sql.SQL("CREATE ROLE {} LOGIN CREATEDB PASSWORD {}").format(sql.Identifier(_ROLE), sql.Literal(PASSWORD))
                )
            self.url = self.database()

    def _answers(self) -> bool:
        assert self._program is not None
        assert self._program.running, self._program.said()
        try:
            self.admin().close()
        except psycopg.OperationalError:
            return False
        return True

    def admin(self, database: str = "postgres") -> "psycopg.Connection[tuple[object, ...]]":
        """A connection of the superuser, in autocommit."""
        words: dict[str, Any] = {
            "host": str(self.folder),
            "port": str(self.port),
            "user": "admin",
            "password": self._admin,
            "dbname": database,
        }
        return psycopg.connect(autocommit=True, connect_timeout=60, **words)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """SIGINT breaks sessions off and ends in order (`fast`); SIGQUIT ends without a checkpoint, as a crash would (`immediate`)."""
        assert self._program is not None
        self._program.signal(how)
        self._program.process.wait(60)

    def restart(self, how: signal.Signals = signal.SIGINT) -> None:
        """As `systemctl restart` would, or after a crash."""
        self.stop(how)
        self.start()

    def kill(self) -> None:
        """SIGKILL every process of the server at once: no session hears of it."""
        assert self._program is not None
        try:
            family = [psutil.Process(self._program.process.pid)]
            # it forks no session meanwhile, which would live a moment longer and hold the memory that the next start asks for
            suspend(family[0])
            family += family[0].children(recursive=True)
        except psutil.NoSuchProcess:
            family = []
        for process in family:
            with contextlib.suppress(psutil.NoSuchProcess):  # its server ended it
                process.kill()
        psutil.wait_procs(family, timeout=30)
        self._program.process.wait(30)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    # ---- its databases

    def database(self, *, socket: bool = False, encoding: str = "UTF8") -> str:
        """The URL of a new, empty database of the node's role; by the socket also from another network namespace."""
        return self.address(self._make("template0", encoding), socket=socket)

    def empty_journal(self) -> str:
        """The URL, by the socket, of a new database that holds a journal at the present schema without a row: a copy of one that is made
        once a server. Making one has tests of its own."""
        if not self._empty:
            empty = self._make("template0", "UTF8")
            Journal.open(self.address(empty, socket=True)).close()
            self._empty = empty
        return self.address(self._make(self._empty, "UTF8"), socket=True)

    def _make(self, template: str, encoding: str) -> str:
        self._databases += 1
        name = f"journal_{self._databases}"
        with self.admin() as connection:
            made = sql.SQL("CREATE DATABASE {} OWNER {} ENCODING {} LOCALE 'C' TEMPLATE {}")
            connection.execute(made.format(sql.Identifier(name), sql.Identifier(_ROLE), sql.Literal(encoding), sql.Identifier(template)))
        return name

    def address(self, database: str, *, socket: bool = False, password: str | None = PASSWORD) -> str:
        """How the configuration names a database."""
        login = _ROLE if password is None else f"{_ROLE}:{quote(password, safe='')}"
        if socket:
            return f"postgresql://{login}@:{self.port}/{database}?host={self.folder}"
        return f"postgresql://{login}@127.0.0.1:{self.port}/{database}"

    def ask(self, url: str, statement: str, values: Sequence[object] = ()) -> list[tuple[object, ...]]:
        """What the superuser sees in the database of `url`, past the code under test."""
        with self.admin(url.partition("?")[0].rpartition("/")[2]) as connection:
            return connection.execute(statement, values).fetchall()

    def ask_nothing(self, url: str, statements: str) -> None:
        """Let the superuser do something to the database of `url`."""
        with self.admin(url.partition("?")[0].rpartition("/")[2]) as connection:
            connection.execute(statements.encode())
