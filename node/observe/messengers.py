"""Messengers: what tells a person, by mail or by a webhook.

Mail is SMTP (RFC 5321), mostly with STARTTLS (RFC 3207) and a login (RFC 4954). A webhook gets a POST of JSON, which chat programs show
(they read `text`), and programs of one's own understand.
"""

import hashlib
import hmac
import http.client
import json
import smtplib
import ssl
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import format_datetime, make_msgid
from urllib.error import HTTPError
from urllib.parse import urlsplit

from node.domain.errors import DeliveryError
from node.domain.notice import Notice
from node.observe.events import alarm

SIGNATURE = "X-Hilum-Signature"
"""`sha256=` and the HMAC-SHA-256 of the body under the shared secret, in hexadecimal."""
_TIMEOUT_S = 10.0  # of each step: a node that ends waits for it


class MessengerAway(DeliveryError):
    """The mail server or the webhook's host does not take the message now: it is kept, and sent again."""

    code = "HLM-6190"
    remedy = "See the reason: the address, a firewall, or a login that is not taken. `hilum notify` tries it at once."
    retry = True


class Unmoved(urllib.request.HTTPRedirectHandler):
    """Follows nothing: what is said goes where the settings say alone (and by the proxy of the environment: HTTPS_PROXY, NO_PROXY)."""

    def redirect_request(self, *_: object, **__: object) -> None:
        """Called by urllib for an answer that leads elsewhere; it is an error then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mail:
    """Sends to all of `to` in one message.

    Parameters
    ----------
    starttls, implicit
        TLS from the greeting on, or from the first byte; neither: in the clear.
    context
        Whom to trust.
    login
        Name and passcode, asked for at each message; None: there is none.
    """

    host: str
    port: int
    sender: str
    to: tuple[str, ...]
    starttls: bool
    implicit: bool
    context: Callable[[], ssl.SSLContext]
    login: Callable[[], tuple[str, str] | None]

    def __call__(self, notice: Notice) -> None:
        """Send it. Where the server refuses some of the recipients the others have it: it is not sent again, and an event says so.

        Raises
        ------
        MessengerAway
            The server did not take it for anybody.
        """
        message = EmailMessage()
        message["Subject"] = f"hilum {notice.subject}"
        message["From"] = self.sender
        message["To"] = ", ".join(self.to)
        message["Date"] = format_datetime(notice.at)
        message["Message-ID"] = make_msgid(domain=self.sender.rpartition("@")[2])
        message["Auto-Submitted"] = "auto-generated"  # RFC 3834: no out-of-office answers
        message.set_content(notice.text)
        try:
            with self._connected() as server:
                login = self.login()
                if login is not None:
                    server.login(*login)
                refused = server.send_message(message)
        except (OSError, smtplib.SMTPException, UnicodeError) as failed:  # a passcode that is not ASCII, a name that no host can have
            raise MessengerAway(f"the mail server {self.host}:{self.port} does not take the message: {_smtp_says(failed)}") from failed
        if refused:
            alarm("notice.refused", server=f"{self.host}:{self.port}", recipients=sorted(refused))

    def _connected(self) -> smtplib.SMTP:
        if self.implicit:
            return smtplib.SMTP_SSL(self.host, self.port, timeout=_TIMEOUT_S, context=self.context())
        server = smtplib.SMTP(self.host, self.port, timeout=_TIMEOUT_S)
        if self.starttls:
            try:
                server.starttls(context=self.context())
            except BaseException:  # raised again: no socket stays open behind a failed handshake
                server.close()
                raise
        return server


def _smtp_says(failed: Exception) -> str:
    if isinstance(failed, smtplib.SMTPResponseException):
        said = failed.smtp_error
        return f"{failed.smtp_code} {said.decode('utf-8', 'replace') if isinstance(said, bytes) else said}"
    return str(failed) or type(failed).__name__


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """Posts to one address, of which a login is not sent.

    Parameters
    ----------
    context
        Whom to trust behind https.
    secret
        What signs the body, asked for at each message; None: nothing does.
    """

    url: str
    context: Callable[[], ssl.SSLContext]
    secret: Callable[[], bytes | None]

    def __call__(self, notice: Notice) -> None:
        """Post it.

        Raises
        ------
        MessengerAway
            There was no answer, or it was no 2xx: whoever moved says so, and nothing is followed elsewhere.
        """
        parts = urlsplit(self.url)
        host = parts.hostname
        address = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()  # urllib takes a login for a part of the host's name
        body = json.dumps(_content(notice)).encode("utf-8")
        headers = {"Content-Type": "application/json", "User-Agent": "hilum"}
        try:
            secret = self.secret()
            if secret is not None:
                headers[SIGNATURE] = f"sha256={hmac.new(secret, body, hashlib.sha256).hexdigest()}"
            opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=self.context()), Unmoved)
            with opener.open(urllib.request.Request(address, body, headers), timeout=_TIMEOUT_S):
                pass  # 2xx: it has it
        except HTTPError as refused:
            refused.close()
            raise MessengerAway(f"the webhook at {host} answers {refused.code}") from refused
        except (OSError, http.client.HTTPException, UnicodeError) as failed:
            reason = getattr(failed, "reason", failed)
            raise MessengerAway(f"the webhook at {host} does not answer: {reason or type(failed).__name__}") from failed


def _content(notice: Notice) -> dict[str, object]:
    return {
        "text": f"{notice.subject}\n{notice.text}",
        "node": notice.node,
        "at": notice.at.isoformat(),
        "link": notice.link,
        "more": notice.more,
        "items": [
            {"about": one.about.value, "says": one.says, "remedy": one.remedy, "code": one.code, "job": one.job, "over": one.over}
            for one in notice.items
        ],
    }
