"""By which names the console is reached, and whose word about the browser's address is believed."""

import socket
import threading
from collections.abc import Iterator
from datetime import timedelta
from ipaddress import ip_network

import pytest
from fastapi.testclient import TestClient
from structlog.testing import capture_logs

from node.assembly.console import trials_of
from node.console.accounts import FAILURES, digest_of
from node.console.addresses import asker, is_reached_by, named
from node.console.app import build
from node.domain.account import AccessKey, Account, KeyKind, Role
from node.observe.audit.message import Message
from node.settings.console import Console
from node.settings.kinds import TrustedProxies
from tests.unit.cli.conftest import HEAD, Hospital
from tests.unit.console.conftest import HASH, context_of

_PROXIES = TrustedProxies(networks=(ip_network("10.0.0.2/32"), ip_network("10.88.0.0/16")))
_OWN = socket.gethostname().lower()


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("node.hospital.example:8443", "node.hospital.example"),
        ("NODE.hospital.example.", "node.hospital.example"),
        ("127.0.0.1:8080", "127.0.0.1"),
        ("[::1]:8080", "::1"),
        ("[0:0::1]", "::1"),
        ("[::1]evil.example", ""),
        ("[evil", ""),
        ("", ""),
        (None, ""),
    ],
)
def test_what_a_host_header_names(header: str | None, name: str) -> None:
    """Without its port, as it is usually written."""
    assert named(header) == name


@pytest.mark.parametrize(
    ("name", "settings", "reached", "good"),
    [
        ("localhost", Console(host="10.0.0.7", port=1), "10.0.0.7", True),
        ("::1", Console(host="10.0.0.7", port=1), "10.0.0.7", True),
        ("10.0.0.7", Console(host="10.0.0.7", port=1), "10.0.0.7", True),
        (_OWN, Console(host="10.0.0.7", port=1), "10.0.0.7", True),
        ("10.0.0.7", Console(host="0.0.0.0", port=1), "10.0.0.7", True),
        ("10.0.0.8", Console(host="0.0.0.0", port=1), "10.0.0.7", False),
        ("node.example", Console(host="node.example", port=1), "10.0.0.7", True),
        ("hilum.example", Console(host="0.0.0.0", port=1, hosts=("hilum.example",)), "10.0.0.7", True),
        ("evil.example", Console(host="0.0.0.0", port=1, hosts=("hilum.example",)), "10.0.0.7", False),
        ("hilum.example.evil.example", Console(host="0.0.0.0", port=1, hosts=("hilum.example",)), "10.0.0.7", False),
        ("", Console(host="0.0.0.0", port=1), "", False),
    ],
)
def test_by_which_names_it_is_reached(name: str, settings: Console, reached: str, good: bool) -> None:
    """Loopback, this machine, the address that was connected to, and what the configuration names."""
    assert is_reached_by(name, settings, reached) is good


@pytest.fixture
def told() -> list[Message]:
    """What the console says to the audit trail."""
    return []


@pytest.fixture
def client(hospital: Hospital, told: list[Message]) -> Iterator[TestClient]:
    """Somebody at a console behind 127.0.0.1, which people call hilum.example."""
    trials = trials_of(hospital.config)
    settings = Console(
        host="127.0.0.1", port=0, hosts=("hilum.example",), trusted_proxies=TrustedProxies(networks=(ip_network("127.0.0.1/32"),))
    )
    app = build(context_of(hospital, trials, settings=settings, told=told), threading.Event())
    with TestClient(app, base_url="http://hilum.example", client=("127.0.0.1", 5000), follow_redirects=False) as one:
        yield one
    trials.close()


def test_another_name_is_refused(client: TestClient) -> None:
    """A name that somebody made resolve to this machine (DNS rebinding): no page, script or call, and a sentence that says what to do,
    drawn as other pages are, which leads nowhere."""
    assert client.get("/login").status_code == 200
    for path in ("/", "/login", "/static/slices.js", "/api/queue", "/nowhere"):
        answer = client.get(path, headers={"Host": "evil.example"})
        assert answer.status_code == 421, path
        assert "evil.example" in answer.text
        assert "hosts" in answer.text
        assert answer.headers["content-security-policy"].startswith("default-src 'none'")
    refusal = client.get("/login", headers={"Host": "evil.example"}).text
    assert "<p>This console is not called “evil.example”" in refusal
    assert ("/static/console.css" in refusal, 'href="/"' in refusal) == (True, False)
    assert client.get("/static/console.css", headers={"Host": "evil.example"}).status_code == 200
    assert "<script" not in client.get("/login", headers={"Host": "<script>alert(1)</script>"}).text.replace('<script src="/static/', "")
    assert client.get("/login", headers={"Host": ""}).status_code == 400


@pytest.mark.parametrize(
    ("headers", "address", "scheme"),
    [
        ({"x-forwarded-for": "198.51.100.7"}, "198.51.100.7", ""),
        ({"x-forwarded-for": "203.0.113.9, 198.51.100.7", "x-forwarded-proto": "https"}, "198.51.100.7", "https"),
        ({"x-forwarded-for": "198.51.100.7, 10.88.1.1, 10.0.0.2"}, "198.51.100.7", ""),
        ({"x-forwarded-for": "10.88.1.1"}, "10.88.1.1", ""),
        ({"x-forwarded-for": "unknown, 10.88.1.1"}, "10.88.1.1", ""),
        ({"x-forwarded-for": "198.51.100.7:4711"}, "198.51.100.7", ""),
        ({"x-forwarded-for": "[2001:db8::1]:4711"}, "2001:db8::1", ""),
        ({"x-forwarded-for": "2001:db8::1"}, "2001:db8::1", ""),
        ({"x-forwarded-for": "<script>"}, "", ""),
        ({"x-forwarded-proto": "javascript"}, "", ""),
        ({"forwarded": "for=198.51.100.7;proto=https;by=10.0.0.2"}, "198.51.100.7", "https"),
        ({"forwarded": 'for="[2001:db8::1]:4711", for=10.88.1.1;proto=HTTPS'}, "2001:db8::1", "https"),
        ({"forwarded": "for=203.0.113.9, For=198.51.100.7"}, "198.51.100.7", ""),
        ({"forwarded": "for=_hidden, for=10.88.1.1"}, "10.88.1.1", ""),
        ({"forwarded": "for=198.51.100.7, gibberish!"}, "", ""),
        ({"forwarded": 'for="198.51.100.7'}, "", ""),
        ({"forwarded": "for=203.0.113.9", "x-forwarded-for": "198.51.100.7"}, "", ""),
        ({"forwarded": "for=198.51.100.7", "x-forwarded-for": "198.51.100.7"}, "198.51.100.7", ""),
        ({"x-forwarded-for": "," * 10_000 + "198.51.100.7"}, "198.51.100.7", ""),
        ({"x-forwarded-for": ", ".join(["198.51.100.7"] + ["10.88.1.1"] * 1000)}, "10.88.1.1", ""),
    ],
)
def test_what_proxies_tell(headers: dict[str, str], address: str, scheme: str) -> None:
    """The nearest hop that is no proxy; what a browser claims before it, or in the header that its proxy does not write, is not."""
    assert asker([(name.encode(), value) for name, value in headers.items()], _PROXIES) == (address, scheme)


@pytest.mark.slow
def test_a_network_guesses_as_one(client: TestClient) -> None:
    """One machine has all addresses of an IPv6 /64, a fresh one for each guess."""

    def guess(address: str) -> int:
        with TestClient(client.app, base_url="http://hilum.example", client=(address, 5000), follow_redirects=False) as one:
            return int(one.post("/login", data={"name": "otto", "password": "wrong"}).status_code)

    assert {guess(f"2001:db8::{number:x}") for number in range(FAILURES)} == {403}
    assert (guess("2001:db8::ffff"), guess("2001:db8:0:1::1")) == (429, 403)


def test_only_proxies_are_believed(client: TestClient, hospital: Hospital) -> None:
    """The event of a login names the browser where a proxy tells it, and who connected where anybody else does."""
    for source, told in (("127.0.0.1", "198.51.100.7"), ("192.0.2.9", "192.0.2.9")):
        with TestClient(client.app, base_url="http://hilum.example", client=(source, 5000)) as one, capture_logs() as events:
            one.post("/login", data={"name": "otto", "password": "wrong"}, headers={"X-Forwarded-For": "198.51.100.7"})
        assert [event["address"] for event in events if event["event"] == "console.login_refused"] == [told]


def test_the_audit_trail_says_from_where_somebody_looked(client: TestClient, hospital: Hospital, told: list[Message]) -> None:
    """The browser's address, not its proxy's; the same key from elsewhere is told again, as it may be in other hands."""
    now = hospital.journal.now()
    hospital.journal.accounts.open(Account(name="ada", role=Role.ADMIN, password=HASH, created_at=now))
    key = AccessKey(
        digest=digest_of("s"), account="ada", role=Role.ADMIN, kind=KeyKind.TOKEN, label="", created_at=now, ends_at=now + timedelta(days=1)
    )
    hospital.journal.accounts.open_key(key)
    for source in ("127.0.0.1", "127.0.0.1", "192.0.2.9"):
        with TestClient(client.app, base_url="http://hilum.example", client=(source, 5000)) as one:
            answer = one.get(f"/api/studies/{HEAD}", headers={"X-Forwarded-For": "198.51.100.7", "Authorization": "Bearer s"})
        assert answer.status_code == 200
    people = [message.participants[0] for message in told]
    assert [(one.user_id, one.address) for one in people] == [("ada", "198.51.100.7"), ("ada", "192.0.2.9")]
