"""Pages of the console over a journal of 10,000 studies, as a browser gets them from the console's own process, beside one of ten."""

import contextlib
import http.client
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from statistics import median
from urllib.parse import urlencode

from sqlalchemy import insert

from bench.replay import ROOT, configs, fill
from bench.rows import Row, say
from node.console.access import password_hash
from node.domain.account import Account, Role
from node.journal import schema
from node.journal.database import connect
from node.journal.journal import Journal

STUDIES, FEW = 10_000, 10
_GOAL_MS = 200.0
_ROUNDS = 15
_NAME, _PASSWORD = "bench", "correct horse battery"
_STUDY = f"{ROOT}."
_PAGES = {
    "the newest studies": "/studies",
    "a page in the middle": f"/studies?before={STUDIES // 2}",
    "a patient's ID": "/studies?q=P{last}",
    "a name that all have": "/studies?q=jane",
    "a name that none has": "/studies?q=nobody",
    "a study": f"/studies/{_STUDY}{{last}}",
    "the queue": "/",
}


def prepare(folder: Path, studies: int) -> Path:
    """A configuration whose journal holds so many studies, routed, each found by its patient's ID and name, and one account; its file."""
    before, _ = configs(folder)
    url = f"sqlite:{folder}/hilum.db"
    fill(url, studies, before)
    engine, _, _ = connect(url)
    known = [
        {
            "patient_id": f"P{number - 1}",
            "issuer": "",
            "series_instance_uid": f"{_STUDY}{number}.1",
            "study_instance_uid": f"{_STUDY}{number}",
            "modality": "CT",
            "studied_at": "20260101120000",
        }
        for number in range(1, studies + 1)
    ]
    with engine.execution_options(hilum_writes=True).begin() as connection:
        connection.execute(insert(schema.patient_series), known)
    engine.dispose()
    with contextlib.closing(Journal.open(url)) as journal:
        let_in(journal)
    file = folder / "console.yaml"
    text = before.path.read_text(encoding="utf-8")
    store = f'store: {{journal: "{url}", blobs: "file:{folder}/blobs"}}'
    file.write_text(f'{store}\nconsole: {{listen: "127.0.0.1:0"}}\n{text}', encoding="utf-8")
    return file


def let_in(journal: Journal) -> None:
    """Open the account of the visitor."""
    journal.accounts.open(Account(name=_NAME, role=Role.OPERATOR, password=password_hash(_PASSWORD), created_at=datetime.now(UTC)))


@contextlib.contextmanager
def logged_in(config: Path) -> Iterator["Visitor"]:
    """The console's process, and somebody who has logged in there."""
    command = [sys.executable, "-m", "node.assembly.process", str(config), "console"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield Visitor(json.loads(process.stdout.readline())["port"])
        finally:
            process.stdin.close()
            process.wait(60)


class Visitor:
    """Asks with the cookie of a session, over a connection for each page."""

    def __init__(self, port: int, *, patience_s: float = 60) -> None:
        self._port = port
        self._patience_s = patience_s
        form = urlencode({"name": _NAME, "password": _PASSWORD})
        status, _, cookie = self._ask("POST", "/login", form, {"Content-Type": "application/x-www-form-urlencoded"})
        if status != HTTPStatus.SEE_OTHER or not cookie:
            raise RuntimeError(f"the console let nobody in: {status}")
        self._cookie = cookie.partition(";")[0]

    def get(self, path: str) -> bytes:
        """A page, whole."""
        status, content, _ = self._ask("GET", path, "", {"Cookie": self._cookie})
        if status != HTTPStatus.OK:
            raise RuntimeError(f"{path}: {status}")
        return content

    def _ask(self, method: str, path: str, body: str, headers: dict[str, str]) -> tuple[int, bytes, str]:
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self._port, timeout=self._patience_s)) as connection:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.read(), answer.getheader("set-cookie") or ""


def measure(studies: int = STUDIES, rounds: int = _ROUNDS) -> list[Row]:
    """Median milliseconds of each page, from the request to its last byte; the two journals take turns."""
    took: dict[tuple[int, str], list[float]] = {}
    sizes = (studies, FEW)
    with tempfile.TemporaryDirectory(prefix="hilum-bench-", ignore_cleanup_errors=True) as made, contextlib.ExitStack() as open_:
        say(f"{studies} studies are made")
        visitors = {size: open_.enter_context(logged_in(prepare(Path(made) / str(size), size))) for size in sizes}
        for number in range(rounds + 1):
            for name, path in _PAGES.items():
                for size, visitor in visitors.items():
                    began = time.perf_counter()
                    visitor.get(path.format(last=size - 1))
                    if number:  # the first round loads what is loaded once
                        took.setdefault((size, name), []).append((time.perf_counter() - began) * 1e3)
    found = {name: (median(took[studies, name]), median(took[FEW, name])) for name in _PAGES}
    goal = f"< {_GOAL_MS:.0f} ms"
    return [
        Row(name=f"console, {studies} studies: {name}", value=many, unit="ms", baseline=few, goal=goal, met=many < _GOAL_MS)
        for name, (many, few) in found.items()
    ]
