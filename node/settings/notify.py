"""`notify:` whom to tell, by mail or a webhook, when something waits for a person."""

import re
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from operator import attrgetter
from pathlib import Path
from urllib.parse import urlsplit

from node.domain.notice import About
from node.settings.blocks import Key, Nodes, Values, block, declared, needed, placed, setting
from node.settings.kinds import ADDRESS, DURATION, Choice, FilePath, Scalar, Several, is_loopback
from node.settings.source import BadValue, Here, MissingKey
from node.settings.tls import USER, VARIABLE, User

_MAILBOX = re.compile(r"[^\s@<>,;\"\\]+@[^\s@<>,;\"\\]+")


class _About(StrEnum):
    """What a person may be told about."""

    PARKED = "parked"
    SINK = "sink"
    DISK = "disk"
    HELD = "held"
    PROCESS = "process"


def _mailbox(text: str) -> str:
    if not _MAILBOX.fullmatch(text):
        raise ValueError(f'"{text}" is no mail address; write name@host, without a display name')
    return text


def _url(schemes: tuple[str, ...]) -> Scalar[str]:
    def parse(text: str) -> str:
        try:
            parts = urlsplit(text)
            fits = parts.scheme in schemes and bool(parts.hostname) and parts.port != 0 and text.isascii() and not re.search(r"\s", text)
        except ValueError:
            fits = False
        if not fits:
            raise ValueError(f"this is no address of a web page; write {schemes[0]}://host/…")  # not quoted: it may hold a token
        return text

    return Scalar(wants=f"an address `{schemes[0]}://host/…`", parse=parse, form={"type": "string", "pattern": "^https?://."})


MAILBOX = Scalar(wants="a mail address", parse=_mailbox, form={"type": "string", "pattern": "^[^@]+@[^@]+$"})
PAGE = _url(("https", "http"))


class MailTls(StrEnum):
    """How a mail server is spoken to."""

    STARTTLS = "starttls"
    IMPLICIT = "implicit"
    NONE = "none"


_SERVER = Key(
    name="server", kind=ADDRESS, required=True, says="The mail server, `host:port`: 587 for submission, 465 with `tls: implicit`."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class MailTo:
    """A mail server, and who gets mail through it. `authorities` None trusts what the system trusts."""

    host: str = field(metadata=declared(_SERVER, attrgetter("host")))
    port: int = field(metadata=declared(_SERVER, attrgetter("port")))
    sender: str = field(metadata=needed(MAILBOX, name="from", says="Who writes: an address that the server lets this node use."))
    to: tuple[str, ...] = field(metadata=needed(Several(of=MAILBOX, bare=True, least=1), says="Who gets the mail."))
    tls: MailTls = setting(
        Choice(of=MailTls),
        default="starttls",
        says="How the server is spoken to: `starttls` (a server without it is not spoken to), `implicit` or `none`.",
    )
    authorities: Path | None = setting(
        FilePath(), says="PEM file of the authority that signed the server's certificate; default: the system's."
    )
    login: User | None = setting(USER, says="Who the node is there, with a passcode, which is read at each message.")


def _check_mail(values: Values, nodes: Nodes, here: Here) -> None:
    clear = values["tls"] is MailTls.NONE
    if clear and values["login"] is not None and not is_loopback(values["server"].host):
        raise here.about("tls").refuse(BadValue, nodes["tls"], "the passcode of `login` would cross the network in the clear")
    if clear and values["authorities"] is not None:
        raise here.refuse(BadValue, nodes["authorities"], '"authorities" belong to a server that is spoken to with TLS')
    if values["login"] is not None and not values["login"].has_passcode:
        raise here.about("login").refuse(MissingKey, nodes["login"], 'needs "passcode_file" or "passcode_variable"')


MAIL = block(MailTo, build=MailTo, check=_check_mail)


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookTo:
    """An address that is posted to. What `secret_file` or `secret_variable` holds signs what is posted."""

    url: str = field(metadata=needed(PAGE, says="Where a POST of JSON goes; chat programs show its `text`. Redirections are not followed."))
    authorities: Path | None = setting(FilePath(), says="PEM file of the authority that signed its certificate; default: the system's.")
    secret_file: Path | None = setting(
        FilePath(), says="A private file with a shared secret: `X-Hilum-Signature` is then `sha256=` and the HMAC-SHA-256 of the body."
    )
    secret_variable: str | None = setting(VARIABLE, says="The environment variable that holds the secret, where it is in no file.")
    place: str = placed("secret_file", "secret_variable")

    @property
    def secret(self) -> User | None:
        """What signs, as a user whose name is not used."""
        if self.secret_file is None and self.secret_variable is None:
            return None
        return User(name="webhook", passcode_file=self.secret_file, passcode_variable=self.secret_variable, place=self.place)


def _check_webhook(values: Values, nodes: Nodes, here: Here) -> None:
    if values["secret_file"] is not None and values["secret_variable"] is not None:
        raise here.refuse(BadValue, nodes["secret_variable"], "the secret is in a file, or in a variable; name one of them")
    if values["authorities"] is not None and not values["url"].startswith("https"):
        raise here.refuse(BadValue, nodes["authorities"], '"authorities" belong to an address behind https://')


WEBHOOK = block(WebhookTo, build=WebhookTo, check=_check_webhook)


@dataclass(frozen=True, slots=True, kw_only=True)
class Notify:
    """Who is told. `late` is how long a sink may take nothing; `link` the console's address."""

    mail: MailTo | None = setting(MAIL, says="Tell by mail.")
    webhook: WebhookTo | None = setting(WEBHOOK, says="Tell a chat room, or a program of yours.")
    about: frozenset[About] = setting(
        Several(of=Choice(of=_About), bare=True, least=1),
        default="[parked, sink, disk, held, process]",
        of=lambda words: frozenset(About(one.value) for one in words),
        says="What is told: `parked` jobs and deliveries, a `sink` that takes nothing, a `disk` that "
        "fills or is away, instances and series that are `held`, a `process` of the node that gives no sign of life. "
        "No message names a patient.",
    )
    every: timedelta = setting(
        DURATION,
        default="5m",
        says="One message in so long at most; the first goes at once, the next tells the rest. One more goes at once: of what is held.",
    )
    late: timedelta = setting(
        DURATION,
        default="10m",
        says="How long results may wait for a sink that is not paused, and received instances for a journal or a bucket that is away.",
    )
    link: str = setting(
        PAGE,
        of=lambda page: page or "",
        says="The console's address, as the reader of a message reaches it; stands in each message.",
    )


def _check(values: Values, nodes: Nodes, here: Here) -> None:
    if nodes and values["mail"] is None and values["webhook"] is None:
        raise here.refuse(MissingKey, next(iter(nodes.values())), 'nobody would be told: give "mail" or "webhook"')


NOTIFY = block(Notify, build=Notify, check=_check)
