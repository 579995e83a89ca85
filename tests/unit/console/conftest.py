"""A console over the memory of a hospital's day, asked in process; whoever asks is logged in as a browser would be."""

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import pytest
import uvicorn
from argon2 import PasswordHasher
from fastapi.testclient import TestClient

from node.assembly.console import OwnReceiverOf, edited_routes, glance, trials_of
from node.assembly.doctor.logins import logins
from node.assembly.doctor.peers import subjects
from node.blobs.folder import FolderBlobs
from node.blobs.port import Blobs
from node.console.app import build
from node.console.context import ConsoleContext, StudyAccessAudit
from node.console.health import Health, SharedLook
from node.console.images.gallery import Gallery
from node.console.trials import Trials
from node.domain.account import Account, Role
from node.journal.claims import pausable
from node.observe.association_log import kept_lines
from node.observe.audit.message import Message
from node.records.associations import sender_records
from node.records.peers import peer_records
from node.settings.console import Console
from node.store.hosts import association_folder, sinks_of
from node.store.in_force import Present
from node.upkeep.retention import make_room
from tests.lab.program import wait_until
from tests.unit.cli.conftest import Hospital, empty, hospital, place

__all__ = ["empty", "hospital", "place"]
PASSWORD = "correct horse battery"
# logging in is not what most tests are about: a hash says itself what checking it costs, and this one costs nothing
HASH = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD)
_TOKEN = re.compile(r'name="form_token" value="([0-9a-f]+)"')


def patient_in(text: str) -> tuple[bool, bool]:
    """Whether the hospital's patient is named, and whether her ID stands there: not among the digits of a time or a UID."""
    return "Jane" in text, re.search(r"(?<![\d.])4711(?![\d.])", text) is not None


@dataclass(slots=True)
class Browser:
    """One person's browser; `form_token` is what its pages carry."""

    client: TestClient
    form_token: str = ""

    def log_in(self, name: str, password: str = PASSWORD) -> int:
        """Log in; the status of the answer."""
        answer = self.client.post("/login", data={"name": name, "password": password})
        if answer.status_code == 303:
            found = _TOKEN.search(self.client.get("/studies").text)
            assert found is not None
            self.form_token = found[1]
        return int(answer.status_code)

    def post(self, path: str, **fields: str) -> int:
        """Send a form of one of its pages; the status of the answer."""
        return int(self.client.post(path, data={"form_token": self.form_token, **fields}).status_code)


Open = Callable[..., Browser]


@pytest.fixture
def browser(hospital: Hospital) -> Iterator[Open]:
    """Open browsers at a console that knows vera (viewer), otto (operator) and ada (admin); with a name somebody is logged in."""
    yield from browsers(hospital)


def browsers(hospital: Hospital, blobs: Blobs | None = None, told: list[Message] | None = None) -> Iterator[Open]:
    """The same over any journal and blobs; `told` gets what is said to the audit trail."""
    for name, role in (("vera", Role.VIEWER), ("otto", Role.OPERATOR), ("ada", Role.ADMIN)):
        hospital.journal.accounts.open(Account(name=name, role=role, password=HASH, created_at=hospital.now))
    trials = trials_of(hospital.config)
    app, opened = build(context_of(hospital, trials, blobs=blobs, told=told), threading.Event()), []

    def open_(name: str | None = None, password: str = PASSWORD) -> Browser:
        one = Browser(client=TestClient(app, base_url="http://localhost", follow_redirects=False))
        opened.append(one)
        if name is not None:
            assert one.log_in(name, password) == 303
        return one

    yield open_
    for one in opened:
        one.client.close()
    trials.close()


@contextmanager
def served(hospital: Hospital, blobs: Blobs | None = None, console: Console | None = None) -> Iterator[str]:
    """The same console to a real browser, with ada (admin), and with the hospital's provider of `console`; its address."""
    hospital.journal.accounts.open(Account(name="ada", role=Role.ADMIN, password=HASH, created_at=hospital.now))
    trials, ending = trials_of(hospital.config), threading.Event()
    context = context_of(hospital, trials, blobs=blobs)
    if console is not None:
        from node.console.provider import Provider

        provider = None if console.oidc is None else Provider(console.oidc)
        health = Health([*subjects(hospital.config), *logins(console)], lambda: glance(hospital.config, hospital.journal))
        context = replace(context, provider=provider, health=health)
    app = build(context, ending)
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="critical"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    wait_until(lambda: server.started, 60, "the console listens")
    try:
        yield f"http://localhost:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        ending.set()
        server.should_exit = True
        thread.join(30)
        trials.close()


def context_of(
    hospital: Hospital, trials: Trials, *, settings: Console | None = None, blobs: Blobs | None = None, told: list[Message] | None = None
) -> ConsoleContext:
    """What a console over the hospital's journal has at hand."""
    said: list[Message] = [] if told is None else told
    return ConsoleContext(
        journal=hospital.journal,
        settings=settings or Console(host="127.0.0.1", port=0),
        gallery=Gallery(hospital.journal, blobs or FolderBlobs(hospital.config.store.blobs)),
        accesses=StudyAccessAudit(hospital.journal, said.append),
        health=Health(list(subjects(hospital.config)), lambda: glance(hospital.config, hospital.journal)),
        senders=SharedLook(partial(sender_records, hospital.journal, list(hospital.config.peers))),
        windows=SharedLook(partial(peer_records, hospital.journal, hospital.config.peers)),
        models=hospital.config.models,
        application_folders=hospital.config.application_folders,
        editing=edited_routes(hospital.config, None, trials),
        peers=lambda: hospital.config.peers,
        associations=SharedLook(lambda: list(kept_lines(association_folder(hospital.config)))),
        sinks_of=partial(sinks_of, hospital.config),
        make_room=partial(make_room, hospital.config, hospital.journal, blobs or FolderBlobs(hospital.config.store.blobs)),
        pausable=lambda: pausable(hospital.config),
        receiver=OwnReceiverOf(Present(hospital.config)),
    )


def here(path: str) -> Path:
    """A file of the console."""
    return Path(__file__).parents[3] / "node" / "console" / path
