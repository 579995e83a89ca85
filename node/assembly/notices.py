"""Telling people: the messengers that `notify:` names, and the stages that use them in the flow process."""

import contextlib
import os
import socket
import ssl
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeAlias

from inference.errors import HilumError
from node.domain.notice import About, Item, Notice
from node.domain.sizes import sizes
from node.flow.scheduling import Scheduler, Tick
from node.journal.journal import Journal
from node.journal.port import Leader
from node.observe.events import alarm
from node.observe.messengers import Mail, MessengerAway, Webhook
from node.records.remedies import remedy
from node.settings.config import Config
from node.settings.notify import MailTls, MailTo, WebhookTo
from node.settings.secrets import passcode_of
from node.settings.tls import User
from node.spool.room import CROWDED
from node.upkeep.notices import NoticeStage, Troubles, held_back, late_sinks, short_series

_LOOK_EVERY = timedelta(seconds=5)
_FILLS, ROOMY = 2.0, 2.5
"""Of `min_free`: with less than so much a disk fills, well before anything is refused; with so much it has room again."""

Messenger: TypeAlias = Callable[[Notice], None]


def messengers(config: Config) -> dict[str, Messenger]:
    """What sends, by name."""
    notify = config.notify
    found: dict[str, Messenger] = {}
    if notify.mail is not None:
        found["mail"] = _mail(notify.mail)
    if notify.webhook is not None:
        found["webhook"] = _webhook(notify.webhook)
    return found


def trial(config: Config) -> Notice:
    """A message that says nothing but that messages come."""
    says = "This is a trial: nothing is wrong. Messages of this node reach you here."
    item = Item(about=About.TRIAL, says=says)
    return Notice(node=_name(config), at=datetime.now(UTC), items=(item,), link=config.notify.link)


def tell_now(config: Config, item: Item) -> None:
    """Tell one thing at once and once, without a journal; what could not be told is an event."""
    notice = Notice(node=_name(config), at=datetime.now(UTC), items=(item,), link=config.notify.link)
    for name, send in messengers(config).items():
        try:
            send(notice)
        except HilumError as failed:
            alarm("notice.not_sent", messenger=name, code=failed.code, reason=str(failed))


@contextlib.contextmanager
def telling_people(config: Config, journal: Journal, leader: Leader) -> Iterator[None]:
    """Tell people while the block runs; each messenger on a clock of its own, so that a server that is away keeps nothing waiting."""
    clocks = []
    for name, send in messengers(config).items():
        stage = NoticeStage(
            journal,
            journal.now,
            messenger=name,
            send=send,
            leads=lambda: leader.leads,
            troubles=_troubles(config, journal, leader),
            remedy=remedy,
            about=config.notify.about,
            every=config.notify.every,
            node=_name(config),
            link=f"{config.notify.link.rstrip('/')}/parked" if config.notify.link else "",
        )
        stage.begin()
        clocks.append(Scheduler([Tick(stage=stage, every=_LOOK_EVERY)]))
    for clock in clocks:
        clock.start()
    try:
        yield
    finally:
        for clock in clocks:
            clock.stop()


def _troubles(config: Config, journal: Journal, leader: Leader) -> Troubles:
    full = False

    def look(now: datetime) -> Mapping[str, Item]:
        nonlocal full
        if not leader.leads:
            shared: Mapping[str, Item] = {}
        else:
            shared = {**late_sinks(journal, now, config.notify.late), **held_back(journal), **short_series(journal)}
        disk = _disk(config, ROOMY if full else _FILLS)
        full = bool(disk)
        return {**shared, **disk}

    return look


def _disk(config: Config, mark: float) -> dict[str, Item]:
    """The spool's disk, told of well before it refuses anything; one that cannot be asked is told of by others."""
    spool, least = config.store.spooled, config.store.min_free_bytes
    try:
        status = os.statvfs(spool)
    except OSError:
        return {}
    free = status.f_bavail * status.f_frsize
    if free >= mark * least:
        return {}
    there, crowded = sizes(free, int(CROWDED * least))
    says = f"The disk of {socket.gethostname()} fills: {there} are free in {spool}. Below {crowded} no association is admitted."
    mend = "Make room: `hilum doctor` says what uses it, `store: {keep: …}` deletes sooner. Senders keep what they are refused."
    return {"disk": Item(about=About.DISK, says=says, remedy=mend)}


def _name(config: Config) -> str:
    return f"{config.node.ae_titles[0]}@{socket.gethostname()}"


def _mail(to: MailTo) -> Mail:
    def login() -> tuple[str, str] | None:
        return None if to.login is None else (to.login.name, passcode_of(to.login).decode("utf-8", "surrogateescape"))

    return Mail(
        host=to.host,
        port=to.port,
        sender=to.sender,
        to=to.to,
        starttls=to.tls is MailTls.STARTTLS,
        implicit=to.tls is MailTls.IMPLICIT,
        context=lambda: _trusting(to.authorities),
        login=login,
    )


def _webhook(to: WebhookTo) -> Webhook:
    return Webhook(url=to.url, context=lambda: _trusting(to.authorities), secret=lambda: _secret(to.secret))


def _secret(of: User | None) -> bytes | None:
    return None if of is None else passcode_of(of)


def _trusting(authorities: Path | None) -> ssl.SSLContext:
    """Server certificates are verified, with their names."""
    try:
        return ssl.create_default_context(cafile=None if authorities is None else str(authorities))
    except OSError as unusable:
        raise MessengerAway(f"{authorities} holds no authority: {unusable.strerror or unusable}") from unusable
