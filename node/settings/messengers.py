"""What the configuration says about telling people: by mail, by a webhook, about what, how often."""

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from pathlib import Path

from node.domain.notice import About
from node.settings.security import User


class MailTls(StrEnum):
    """How a mail server is spoken to."""

    STARTTLS = "starttls"
    IMPLICIT = "implicit"
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class MailTo:
    """A mail server, and who gets mail through it. `authorities` None trusts what the system trusts."""

    host: str
    port: int
    sender: str
    to: tuple[str, ...]
    tls: MailTls = MailTls.STARTTLS
    authorities: Path | None = None
    login: User | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookTo:
    """An address that is posted to. `secret` signs what is posted; its name is not used."""

    url: str
    authorities: Path | None = None
    secret: User | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Notify:
    """Who is told. `late` is how long a sink may take nothing; `link` the console's address."""

    mail: MailTo | None = None
    webhook: WebhookTo | None = None
    about: frozenset[About] = frozenset({About.PARKED, About.SINK, About.DISK, About.PROCESS})
    every: timedelta = timedelta(minutes=5)
    late: timedelta = timedelta(minutes=10)
    link: str = ""
