"""Messages as those get them who are told: through a real mail server, and at a real webhook."""

import hashlib
import hmac
import ssl
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from node.domain.notice import About, Item, Notice
from node.observe.messengers import SIGNATURE, Mail, MessengerAway, Webhook
from tests.lab.certificates import Authority
from tests.lab.messages import Mailbox, mail_server, webhook_server

NOTICE = Notice(
    node="HILUM@host",
    at=datetime(2026, 3, 1, 12, 30, tzinfo=UTC),
    items=(
        Item(about=About.PARKED, says="Job 7 (ct-lung) is parked: HLM-3010.", remedy="Send the missing slices.", code="HLM-3010", job=7),
        Item(about=About.SINK, says="No more: 2 deliveries wait for the sink pacs.", over=True),
    ),
    more=3,
    link="https://hilum.hospital/parked",
)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """Who signed the mail server's certificate."""
    return Authority(tmp_path / "ca")


@pytest.fixture
def box(authority: Authority) -> Iterator[Mailbox]:
    """A mail server that wants TLS and a login."""
    with mail_server(authority.signs("mx", alternative="IP:127.0.0.1"), "hilum", "s3cret") as box:
        yield box


@pytest.fixture
def mail(authority: Authority, box: Mailbox) -> Mail:
    """What sends to it."""
    return Mail(
        host="127.0.0.1",
        port=box.port,
        sender="hilum@hospital.example",
        to=("ops@hospital.example", "night@hospital.example"),
        starttls=True,
        implicit=False,
        context=lambda: ssl.create_default_context(cafile=str(authority.certificate)),
        login=lambda: ("hilum", "s3cret"),
    )


def test_mail_reaches_everybody_over_tls_and_says_what_to_do(mail: Mail, box: Mailbox) -> None:
    """Subject, remedy, link; marked as sent by a machine, so that nobody's holiday answers it."""
    mail(NOTICE)
    (came,) = box.came
    assert box.to == [["ops@hospital.example", "night@hospital.example"]]
    assert came["Subject"] == "hilum HILUM@host: 4 parked, 1 thing mended"
    assert came["Auto-Submitted"] == "auto-generated"
    text = came.get_content()
    for words in ("Job 7 (ct-lung) is parked: HLM-3010.", "Send the missing slices.", "and 3 more", "https://hilum.hospital/parked"):
        assert words in text


def test_mail_that_is_not_taken_is_said_to_be(mail: Mail, box: Mailbox, tmp_path: Path) -> None:
    """A wrong passcode, a server that refuses, one that nobody here trusts, one that is not there: each is away, and nothing was sent."""
    stranger = Authority(tmp_path / "stranger")
    box.refusing = "452 no room"
    with pytest.raises(MessengerAway, match="452 no room"):
        mail(NOTICE)
    box.refusing = ""
    for other, why in (
        (replace(mail, login=lambda: ("hilum", "wrong")), "535"),
        (replace(mail, login=lambda: None), "530"),
        (replace(mail, starttls=False), "530|STARTTLS|not supported"),
        (replace(mail, context=lambda: ssl.create_default_context(cafile=str(stranger.certificate))), "certificate"),
        (replace(mail, port=1), "refused"),
    ):
        with pytest.raises(MessengerAway, match=why):
            other(NOTICE)
    assert box.came == []


def test_a_mailbox_that_is_gone_keeps_nobody_else_waiting(mail: Mail, box: Mailbox) -> None:
    """The others have the message: it is sent, and the log names who has not; with nobody left it is not."""
    box.unknown = {"ops@hospital.example"}
    with capture_logs() as said:
        mail(NOTICE)
    assert box.to == [["night@hospital.example"]]
    assert [(one["event"], one["recipients"]) for one in said] == [("notice.refused", ["ops@hospital.example"])]
    box.unknown.add("night@hospital.example")
    with pytest.raises(MessengerAway, match=r"550|refused"):
        mail(NOTICE)


def test_what_cannot_be_written_is_away_and_no_defect(mail: Mail) -> None:
    """A passcode beyond ASCII, a host that no name can be."""
    with pytest.raises(MessengerAway):
        replace(mail, login=lambda: ("hilum", "pässword"))(NOTICE)
    with pytest.raises(MessengerAway):
        replace(mail, host="a..b")(NOTICE)
    with pytest.raises(MessengerAway):
        Webhook(url=f"http://{'a' * 70}.hospital/", context=ssl.create_default_context, secret=lambda: None)(NOTICE)


def test_a_post_is_signed_and_followed_nowhere_else() -> None:
    """Chat programs read `text`; whoever has the secret knows that the node said it. A redirection is an error, not another address."""
    with webhook_server() as posts:
        webhook = Webhook(url=f"http://127.0.0.1:{posts.port}/in?room=ct", context=ssl.create_default_context, secret=lambda: b"shared")
        webhook(NOTICE)
        ((headers, body),) = posts.came
        assert headers[SIGNATURE] == f"sha256={hmac.new(b'shared', body, hashlib.sha256).hexdigest()}"
        (content,) = posts.content
        assert content["text"].startswith("HILUM@host: 4 parked")
        assert [item["job"] for item in content["items"]] == [7, 0]
        for status in (307, 404, 500):
            posts.status = status
            with pytest.raises(MessengerAway, match=str(status)):
                webhook(NOTICE)
        assert posts.asked == 4
    with pytest.raises(MessengerAway, match=r"127\.0\.0\.1"):
        webhook(NOTICE)


def test_nothing_is_signed_without_a_secret() -> None:
    """Where none is shared."""
    with webhook_server() as posts:
        Webhook(url=f"http://127.0.0.1:{posts.port}", context=ssl.create_default_context, secret=lambda: None)(NOTICE)
    ((headers, _),) = posts.came
    assert SIGNATURE not in headers


def test_a_login_in_the_address_is_neither_sent_nor_taken_for_the_host() -> None:
    """Who receives it is whom the address names; what is said of a refusal quotes no login."""
    with webhook_server() as posts:
        webhook = Webhook(url=f"http://anna:pw@127.0.0.1:{posts.port}/in", context=ssl.create_default_context, secret=lambda: None)
        webhook(NOTICE)
        ((headers, _),) = posts.came
        assert headers["Host"] == f"127.0.0.1:{posts.port}"
        assert "pw" not in str(headers)
        posts.status = 401
        with pytest.raises(MessengerAway, match=r"^the webhook at 127.0.0.1 answers 401$"):
            webhook(NOTICE)
