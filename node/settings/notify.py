"""`notify:` whom to tell, by mail or a webhook, when something waits for a person."""

import re
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from urllib.parse import urlsplit

from node.domain.notice import About
from node.settings.blocks import Block, Key, Nodes, Values
from node.settings.errors import BadValue, MissingKey
from node.settings.kinds import ADDRESS, DURATION, Address, Choice, FilePath, Scalar, Several, is_loopback
from node.settings.messengers import MailTls, MailTo, Notify, WebhookTo
from node.settings.security import User
from node.settings.source import Here
from node.settings.tls import USER, VARIABLE

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


def _mail(*, server: Address, sender: str, to: tuple[str, ...], tls: MailTls, authorities: Path | None, login: User | None) -> MailTo:
    return MailTo(host=server.host, port=server.port, sender=sender, to=to, tls=tls, authorities=authorities, login=login)


def _check_mail(values: Values, nodes: Nodes, here: Here) -> None:
    clear = values["tls"] is MailTls.NONE
    if clear and values["login"] is not None and not is_loopback(values["server"].host):
        raise here.about("tls").refuse(BadValue, nodes["tls"], "the passcode of `login` would cross the network in the clear")
    if clear and values["authorities"] is not None:
        raise here.refuse(BadValue, nodes["authorities"], '"authorities" belong to a server that is spoken to with TLS')
    if values["login"] is not None and not values["login"].has_passcode:
        raise here.about("login").refuse(MissingKey, nodes["login"], 'needs "passcode_file" or "passcode_variable"')


MAIL = Block(
    build=_mail,
    check=_check_mail,
    keys=(
        Key(name="server", kind=ADDRESS, required=True, says="The mail server, `host:port`: 587 for submission, 465 with `tls: implicit`."),
        Key(name="from", field="sender", kind=MAILBOX, required=True, says="Who writes: an address that the server lets this node use."),
        Key(name="to", kind=Several(of=MAILBOX, bare=True, least=1), required=True, says="Who gets the mail."),
        Key(
            name="tls",
            kind=Choice(of=MailTls),
            default="starttls",
            says="How the server is spoken to: `starttls` (a server without it is not spoken to), `implicit` or `none`.",
        ),
        Key(
            name="authorities",
            kind=FilePath(),
            says="PEM file of the authority that signed the server's certificate; default: the system's.",
        ),
        Key(name="login", kind=USER, says="Who the node is there, with a passcode, which is read at each message."),
    ),
)


def _webhook(*, url: str, authorities: Path | None, secret_file: Path | None, secret_variable: str | None) -> WebhookTo:
    secret = None
    if secret_file is not None or secret_variable is not None:
        secret = User(name="webhook", passcode_file=secret_file, passcode_variable=secret_variable)
    return WebhookTo(url=url, authorities=authorities, secret=secret)


def _check_webhook(values: Values, nodes: Nodes, here: Here) -> None:
    if values["secret_file"] is not None and values["secret_variable"] is not None:
        raise here.refuse(BadValue, nodes["secret_variable"], "the secret is in a file, or in a variable; name one of them")
    if values["authorities"] is not None and not values["url"].startswith("https"):
        raise here.refuse(BadValue, nodes["authorities"], '"authorities" belong to an address behind https://')


WEBHOOK = Block(
    build=_webhook,
    check=_check_webhook,
    keys=(
        Key(
            name="url",
            kind=PAGE,
            required=True,
            says="Where a POST of JSON goes; chat programs show its `text`. Redirections are not followed.",
        ),
        Key(name="authorities", kind=FilePath(), says="PEM file of the authority that signed its certificate; default: the system's."),
        Key(
            name="secret_file",
            kind=FilePath(),
            says="A private file with a shared secret: `X-Hilum-Signature` is then `sha256=` and the HMAC-SHA-256 of the body.",
        ),
        Key(name="secret_variable", kind=VARIABLE, says="The environment variable that holds the secret, where it is in no file."),
    ),
)


def _notify(
    *, mail: MailTo | None, webhook: WebhookTo | None, about: tuple[_About, ...], every: timedelta, late: timedelta, link: str | None
) -> Notify:
    kinds = frozenset(About(one.value) for one in about)
    return Notify(mail=mail, webhook=webhook, about=kinds, every=every, late=late, link=link or "")


def _check(values: Values, nodes: Nodes, here: Here) -> None:
    if nodes and values["mail"] is None and values["webhook"] is None:
        raise here.refuse(MissingKey, next(iter(nodes.values())), 'nobody would be told: give "mail" or "webhook"')


NOTIFY = Block(
    build=_notify,
    check=_check,
    keys=(
        Key(name="mail", kind=MAIL, says="Tell by mail."),
        Key(name="webhook", kind=WEBHOOK, says="Tell a chat room, or a program of yours."),
        Key(
            name="about",
            kind=Several(of=Choice(of=_About), bare=True, least=1),
            default="[parked, sink, disk, held, process]",
            says="What is told: `parked` jobs and deliveries, a `sink` that takes nothing, a `disk` that "
            "fills or is away, instances and series that are `held`, a `process` of the node that gives no sign of life. "
            "No message names a patient.",
        ),
        Key(
            name="every",
            kind=DURATION,
            default="5m",
            says="One message in so long at most; the first goes at once, the next tells the rest.",
        ),
        Key(
            name="late",
            kind=DURATION,
            default="10m",
            says="How long results may wait for a sink that is not paused, and received instances for a journal or a bucket that is away.",
        ),
        Key(name="link", kind=PAGE, says="The console's address, as the reader of a message reaches it; stands in each message."),
    ),
)
