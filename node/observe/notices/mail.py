"""Notices by mail: SMTP (RFC 5321), mostly with STARTTLS (RFC 3207) and a login (RFC 4954)."""

import smtplib
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import format_datetime, make_msgid

from node.domain.notice import Notice
from node.observe.events import alarm
from node.observe.notices.errors import MessengerAway

_TIMEOUT_S = 10.0  # of each step: a node that ends waits for it


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
            raise MessengerAway(f"the mail server {self.host}:{self.port} does not take the message: {_why(failed)}") from failed
        if refused:
            alarm("notice.refused", server=f"{self.host}:{self.port}", recipients=sorted(refused))

    def _connected(self) -> smtplib.SMTP:
        if self.implicit:
            return smtplib.SMTP_SSL(self.host, self.port, timeout=_TIMEOUT_S, context=self.context())
        server = smtplib.SMTP(self.host, self.port, timeout=_TIMEOUT_S)
        if self.starttls:
            try:
                server.starttls(context=self.context())
            except BaseException:
                server.close()
                raise
        return server


def _why(failed: Exception) -> str:
    if isinstance(failed, smtplib.SMTPResponseException):
        said = failed.smtp_error
        return f"{failed.smtp_code} {said.decode('utf-8', 'replace') if isinstance(said, bytes) else said}"
    return str(failed) or type(failed).__name__
