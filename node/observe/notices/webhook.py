"""Notices to a webhook: a POST of JSON, which chat programs show (they read `text`), and programs of one's own understand."""

import hashlib
import hmac
import http.client
import json
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

from node.domain.notice import Notice
from node.observe.notices.errors import MessengerAway

SIGNATURE = "X-Hilum-Signature"
"""`sha256=` and the HMAC-SHA-256 of the body under the shared secret, in hexadecimal."""
_TIMEOUT_S = 10.0  # of each step: a node that ends waits for it


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """Posts to one address.

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
        to = urlsplit(self.url)
        body = json.dumps(_content(notice)).encode("utf-8")
        headers = {"Content-Type": "application/json", "User-Agent": "hilum"}
        try:
            secret = self.secret()
            if secret is not None:
                headers[SIGNATURE] = f"sha256={hmac.new(secret, body, hashlib.sha256).hexdigest()}"
            assert to.hostname is not None, "settings refuse an address without a host"
            if to.scheme == "https":
                connection: http.client.HTTPConnection = http.client.HTTPSConnection(
                    to.hostname, to.port, timeout=_TIMEOUT_S, context=self.context()
                )
            else:
                connection = http.client.HTTPConnection(to.hostname, to.port, timeout=_TIMEOUT_S)
            try:
                connection.request("POST", f"{to.path or '/'}{'?' + to.query if to.query else ''}", body, headers)
                status = connection.getresponse().status
            finally:
                connection.close()
        except (OSError, http.client.HTTPException, UnicodeError) as failed:
            raise MessengerAway(f"the webhook at {to.hostname} does not answer: {failed or type(failed).__name__}") from failed
        if not 200 <= status < 300:
            raise MessengerAway(f"the webhook at {to.hostname} answers {status}")


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
