"""Telling people: the messengers that `notify:` names, and the stages that use them in the flow process."""

import contextlib
import socket
import ssl
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TypeAlias

from inference.errors import HilumError
from node.domain.notice import About, Item, Notice
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
from node.store.in_force import Present
from node.upkeep.notices import NoticeStage, follower_of, held_back, late_sinks, short_series
from node.upkeep.retention import DiskWatch

_LOOK_EVERY = timedelta(seconds=5)

Messenger: TypeAlias = Callable[[Notice], None]


MAIL, WEBHOOK = MESSENGERS = ("mail", "webhook")


def messengers(config: Config) -> dict[str, Messenger]:
    """What sends, by name."""
    notify = config.notify
    found: dict[str, Messenger] = {}
    if notify.mail is not None:
        found[MAIL] = _mail(notify.mail)
    if notify.webhook is not None:
        found[WEBHOOK] = _webhook(notify.webhook)
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
def telling_people(present: Present, journal: Journal, leader: Leader) -> Iterator[None]:
    """Tell people while the block runs; each messenger on a clock of its own, so that a server that is away keeps nothing waiting."""
    clocks = []
    for name in MESSENGERS:
        stage = MessengerStage(name, present, partial(_notices, journal, leader, name))
        stage.begin()
        clocks.append(Scheduler([Tick(stage=stage, every=_LOOK_EVERY)]))
    for clock in clocks:
        clock.start()
    try:
        yield
    finally:
        for clock in clocks:
            clock.stop()


class MessengerStage:
    """Stage: tells people by one messenger, as long as `notify:` names it; what was told is remembered until `notify:` is another.

    Parameters
    ----------
    build
        What tells by this messenger as a configuration says; None where it names none.
    """

    def __init__(self, messenger: str, present: Present, build: Callable[[Config], NoticeStage | None]) -> None:
        self.name = follower_of(messenger)
        self._present = present
        self._build = build
        self._built_by = present.config
        self._stage = build(present.config)

    def begin(self) -> None:
        """Hold the place from which everything is told, whoever leads later."""
        if self._stage is not None:
            self._stage.begin()

    def step(self) -> int:
        """Tell what there is to tell."""
        config = self._present.config
        if config.notify != self._built_by.notify:
            self._stage, self._built_by = self._build(config), config
            self.begin()
        return 0 if self._stage is None else self._stage.step()


def _notices(journal: Journal, leader: Leader, messenger: str, config: Config) -> NoticeStage | None:
    send = messengers(config).get(messenger)
    if send is None:
        return None
    return NoticeStage(
        journal,
        journal.now,
        messenger=messenger,
        send=send,
        leads=lambda: leader.leads,
        troubles=partial(_troubles, config, journal),
        own=DiskWatch(config.store).look,
        remedy=remedy,
        about=config.notify.about,
        every=config.notify.every,
        node=_name(config),
        link=f"{config.notify.link.rstrip('/')}/parked" if config.notify.link else "",
    )


def _troubles(config: Config, journal: Journal, now: datetime) -> Mapping[str, Item]:
    return {**late_sinks(journal, now, config.notify.late), **held_back(journal), **short_series(journal)}


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
