"""People log in at the console through a hospital's provider, in Chromium; and what is refused of a provider that is away, or lies."""

import base64
import json
import re
import secrets
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from fastapi import FastAPI
from fastapi.testclient import TestClient
from structlog.testing import capture_logs

from node.assembly.configuration import load
from node.assembly.console import trials_of
from node.assembly.doctor.logins import logins, look_at_logins
from node.console.accounts import FAILURES
from node.console.app import build
from node.console.context import TRIES
from node.console.errors import ProviderUnfit, TokenRefused
from node.console.provider import Provider
from node.domain.account import Account, AccountOrigin, Role
from tests.lab.howto import HowTo
from tests.lab.loopback import free_port
from tests.lab.oidc import CLIENT, SECRET, provider
from tests.lab.program import wait_until
from tests.unit.cli.conftest import CONFIG, Hospital, empty, hospital, place
from tests.unit.console.conftest import HASH, PASSWORD, Browser, context_of

if TYPE_CHECKING:
    from playwright.sync_api import Browser as Chromium
    from playwright.sync_api import Page

__all__ = ["empty", "hospital", "place"]
pytestmark = [pytest.mark.slow, pytest.mark.peers]
STAFF = {"eve": ["staff", "hilum-admins"], "gina": ["hilum-operators"], "nora": ["staff"], "ada": ["hilum-viewers"]}
BACK = "/login/hospital/back"
LOGOUT = "http://schemas.openid.net/event/backchannel-logout"
PATIENT_MS = 120_000
PAGE = HowTo("hospital-login.md")


def settings_of(issuer: str, folder: Path, *, port: int = 0, more: str = "") -> str:
    """The block `console` of a configuration."""
    secret = folder / "oidc.secret"
    secret.write_text(SECRET)
    secret.chmod(0o600)
    roles = "{admin: hilum-admins, operator: hilum-operators, viewer: hilum-viewers}"
    # as docs/howto/hospital-login.md has it, but for the provider and the groups
    (said,) = re.findall(r"    (client_id: hilum\n.*?)    roles:", PAGE.blocks("yaml")[1], re.DOTALL)
    page = ", ".join(line.strip() for line in said.splitlines())
    assert f"client_id: {CLIENT}, secret_file: {secret.name}" in page
    return f'console: {{listen: "127.0.0.1:{port}", oidc: {{issuer: "{issuer}", {page}, roles: {roles}{more}}}}}\n'


@contextmanager
def served(hospital: Hospital, place: Path, block: str) -> Iterator[None]:
    """The console as the node starts it, with one user of its own: ada, an admin."""
    hospital.journal.accounts.open(Account(name="ada", role=Role.ADMIN, password=HASH, created_at=hospital.now))
    config = place / "console.yaml"
    config.write_text(CONFIG + block, encoding="utf-8")
    command = [sys.executable, "-m", "node.assembly.process", str(config), "console"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2])
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        assert json.loads(process.stdout.readline())["port"]
        yield
    finally:
        process.stdin.close()
        assert process.wait(120) == 0


@contextmanager
def pages(browser: "Chromium") -> Iterator[Callable[[], "Page"]]:
    """Pages, each of a browser profile of its own."""
    from playwright.sync_api import expect

    expect.set_options(timeout=PATIENT_MS)
    with ExitStack() as profiles:

        def page() -> "Page":
            context = profiles.enter_context(browser.new_context())
            context.set_default_timeout(PATIENT_MS)
            made = context.new_page()
            made.route("**/*googleapis.com/**", lambda route: route.abort())  # the provider's pages ask for a font there
            return made

        yield page


def through_the_provider(page: "Page", address: str, name: str) -> None:
    """Log in as a person would: the button, the provider's own page, its consent."""
    page.goto(f"{address}/login")
    page.click("text=Log in with the hospital's account")
    page.fill("[name=login]", name)
    page.fill("[name=password]", "whatever the provider asks for")
    page.click("button[type=submit]")
    page.click("text=Continue")


@pytest.mark.parametrize("in_token", [True, False])
def test_people_come_in_through_the_provider(browser: "Chromium", hospital: Hospital, place: Path, tmp_path: Path, in_token: bool) -> None:
    """The groups give the role, from the ID token or the UserInfo endpoint; who is in none, or has a local user's name, is told so; a local
    admin gets in beside it, and when the provider is away, which the page says."""
    from playwright.sync_api import expect

    port = free_port()
    address = f"http://127.0.0.1:{port}"
    with (
        provider(tmp_path / "provider", STAFF, f"{address}{BACK}", in_token=in_token) as peer,
        served(hospital, place, settings_of(peer.issuer, place, port=port)),
        pages(browser) as opened,
    ):
        for name, role in (("eve", Role.ADMIN), ("gina", Role.OPERATOR)):
            page = opened()
            through_the_provider(page, address, name)
            expect(page.locator(".me")).to_contain_text(name)
            assert page.url == f"{address}/"
            account = hospital.journal.accounts.get(name)
            assert account is not None
            assert (account.role, account.origin, account.subject) == (role, AccountOrigin.OIDC, f"{peer.issuer} {name}")
            cookies = {one["name"] for one in page.context.cookies(address)}
            assert cookies == {"hilum_session"}
        for name, words in (("nora", "no group of theirs has a role here"), ("ada", "somebody else has that name here")):
            page = opened()
            through_the_provider(page, address, name)
            expect(page.locator(".said")).to_contain_text(words)
            expect(page.locator("form.login")).to_be_visible()
        peer.process.kill()
        page = opened()
        page.goto(f"{address}/login")
        # what the console knows of a provider is good for minutes: the browser itself would find nobody there
        page.fill("[name=name]", "ada")
        page.fill("[name=password]", PASSWORD)
        page.click("button:has-text('Log in')")
        expect(page.locator(".me")).to_contain_text("ada")


@pytest.mark.parametrize("by_session", [True, False])
def test_who_logs_out_at_the_provider_is_logged_out_here(
    browser: "Chromium", hospital: Hospital, place: Path, tmp_path: Path, by_session: bool
) -> None:
    """At once: that session of gina's where the provider names it, all of hers where it does not; eve and the local admin stay."""
    from playwright.sync_api import expect

    port = free_port()
    address = f"http://127.0.0.1:{port}"
    people = STAFF | {"eve": ["hilum-admins"]}
    with (
        provider(tmp_path / "p", people, f"{address}{BACK}", logout=f"{address}/login/hospital/logout", by_session=by_session) as peer,
        served(hospital, place, settings_of(peer.issuer, place, port=port)),
        pages(browser) as opened,
    ):
        gina, elsewhere, eve = opened(), opened(), opened()
        for page, name in ((gina, "gina"), (elsewhere, "gina"), (eve, "eve")):
            through_the_provider(page, address, name)
            expect(page.locator(".me")).to_contain_text(name)
        gina.goto(f"{peer.issuer}/session/end")
        gina.click("text=Yes, sign me out")
        expect(gina.locator("body")).to_contain_text("Sign-out Success")
        for page, stays in ((gina, False), (elsewhere, by_session), (eve, True)):
            page = page.context.new_page()  # a page that is renewed goes to the login by itself, which would cut this short
            page.goto(f"{address}/studies")
            assert page.url == f"{address}/{'studies' if stays else 'login'}", peer.process.log.read_text()


@dataclass(slots=True)
class Liar:
    """A provider that says whatever a test wants: its own keys, discovery and tokens."""

    issuer: str
    key: Any
    kid: str = "one"
    said: dict[str, Any] = field(default_factory=dict)
    token: Callable[[dict[str, Any]], str] | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    codes: list[dict[str, list[str]]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    open: threading.Event = field(default_factory=threading.Event)
    """Set: what is asked for is answered; else when it is."""

    def signed(self, claims: dict[str, Any]) -> str:
        """An ID token as a good provider makes it."""
        return str(jwt.encode(claims, self.key, algorithm="RS256", headers={"kid": self.kid}))


@cache
def key_pair(name: str) -> rsa.RSAPrivateKey:
    """The key of this name, drawn once: it takes a tenth of a second."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@contextmanager
def liar() -> Iterator[Liar]:
    """One that answers on this machine."""

    class Answers(BaseHTTPRequestHandler):
        def _say(self, found: object, status: int = 200) -> None:
            body = found if isinstance(found, bytes) else json.dumps(found).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_GET(self) -> None:
            one.asked.append(self.path)
            assert one.open.wait(30)
            if self.path.endswith("/openid-configuration"):
                places = {name: f"{one.issuer}/{name}" for name in ("authorization_endpoint", "token_endpoint", "jwks_uri")}
                self._say({"issuer": one.issuer, **places, **one.metadata})
            else:
                shown = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(one.key.public_key()))
                self._say({"keys": [{**shown, "kid": one.kid, "use": "sig", "alg": "RS256"}]})

        def do_POST(self) -> None:
            one.codes.append(parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode()))
            make = one.token or one.signed
            self._say({"access_token": "a", "token_type": "Bearer", "id_token": make(one.said)})

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    one = Liar(issuer=f"http://127.0.0.1:{server.server_port}", key=key_pair("one"))
    one.open.set()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield one
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def asked(hospital: Hospital, place: Path, issuer: str, more: str = "") -> Iterator[Browser]:
    """A browser at a console with this provider."""
    hospital.journal.accounts.open(Account(name="ada", role=Role.ADMIN, password=HASH, created_at=hospital.now))
    config = place / "oidc.yaml"
    config.write_text(CONFIG + settings_of(issuer, place, more=more), encoding="utf-8")
    loaded = load(config)
    assert loaded.console is not None
    assert loaded.console.oidc is not None
    trials = trials_of(hospital.config)
    app = build(replace(context_of(hospital, trials), provider=Provider(loaded.console.oidc)), threading.Event())
    with TestClient(app, base_url="http://localhost", follow_redirects=False) as client:
        yield Browser(client=client)
    trials.close()


def begun(browser: Browser) -> dict[str, str]:
    """What the provider is asked with."""
    there = browser.client.get("/login/hospital")
    assert there.status_code == 303
    return {name: values[0] for name, values in parse_qs(urlsplit(there.headers["location"]).query).items()}


def came_back(browser: Browser, one: Liar, hospital: Hospital, **wrong: Any) -> tuple[int, str]:
    """A login through a provider whose ID token has `wrong` claims; the status, and the page."""
    query = begun(browser)
    now = hospital.journal.now()
    claims = {
        "iss": one.issuer,
        "aud": CLIENT,
        "sub": "17",
        "nonce": query["nonce"],
        "iat": now,
        "exp": now + timedelta(minutes=5),
        "preferred_username": "gina",
        "groups": ["hilum-operators"],
    }
    one.said = {key: value for key, value in (claims | wrong).items() if value is not None}
    answer = browser.client.get(BACK, params={"code": "c", "state": query["state"]})
    return answer.status_code, answer.text


def _unsigned(claims: dict[str, Any]) -> str:
    return str(jwt.encode(claims, "", algorithm="none"))


def _by_another(claims: dict[str, Any]) -> str:
    return str(jwt.encode(claims, key_pair("another's"), algorithm="RS256", headers={"kid": "one"}))


def _of_another_kind(claims: dict[str, Any]) -> str:
    return str(jwt.encode(claims, ec.generate_private_key(ec.SECP256R1()), algorithm="ES256", headers={"kid": "one"}))


def _by_the_public_key(claims: dict[str, Any]) -> str:
    """HS256 with what everybody knows: the client's name, as long as PyJWT wants it."""
    return str(jwt.encode(claims, CLIENT * 8, algorithm="HS256", headers={"kid": "one"}))


def _by_an_unknown_key(claims: dict[str, Any]) -> str:
    return str(jwt.encode(claims, key_pair("another's"), algorithm="RS256", headers={"kid": "two"}))


def _changed(claims: dict[str, Any]) -> str:
    head, body, signature = _by_another(claims).split(".")
    made = json.loads(base64.urlsafe_b64decode(body + "=="))
    text = base64.urlsafe_b64encode(json.dumps(made | {"groups": ["hilum-admins"]}).encode()).rstrip(b"=").decode()
    return f"{head}.{text}.{signature}"


def test_only_the_providers_own_word_counts(hospital: Hospital, place: Path) -> None:
    """Unsigned, signed by others, changed; of another issuer, program or login; expired, of the future: refused (HLM-2147); no account is
    made. A minute between the clocks is borne. A key that is new is asked for."""
    minutes = timedelta(minutes=1)
    with liar() as one, asked(hospital, place, one.issuer) as browser:
        for token in (_unsigned, _by_another, _of_another_kind, _by_the_public_key, _by_an_unknown_key, _changed, lambda _: "no token"):
            one.token = token
            status, page = came_back(browser, one, hospital)
            assert (status, "HLM-2147" in page) == (403, True), token
        hospital.journal.accounts.forget_attempts("testclient")
        one.token, now = None, hospital.journal.now()
        for wrong in (
            {"iss": "https://elsewhere.example"},
            {"aud": "another program"},
            {"aud": [CLIENT, "another program"], "azp": "another program"},
            {"nonce": "of another login"},
            {"nonce": None},
            {"exp": now - 3 * minutes},
            {"iat": now + 3 * minutes},
            {"exp": None},
            {"sub": None},
        ):
            status, page = came_back(browser, one, hospital, **wrong)
            assert (status, "HLM-2147" in page) == (403, True), wrong
        assert [known.name for known in hospital.journal.accounts.find()] == ["ada"]
        hospital.journal.accounts.forget_attempts("testclient")
        with capture_logs() as events:
            assert came_back(browser, one, hospital, exp=now - 0.5 * minutes, iat=now + 0.5 * minutes)[0] == 303
        assert [(event["account"], event["role"]) for event in events if event["event"] == "console.login"] == [("gina", "operator")]
        (verifier,) = one.codes[-1]["code_verifier"]
        assert len(verifier) >= 43


def test_an_answer_belongs_to_the_browser_that_asked(hospital: Hospital, place: Path) -> None:
    """Without its cookie, with another state, of another issuer (RFC 9207) or with an error: refused; what an error says is not shown as it
    is. Ten of them, and the address waits."""
    with liar() as one, asked(hospital, place, one.issuer) as browser:
        query = begun(browser)
        for answer, words in (
            ({"code": "c", "state": "of somebody else"}, "HLM-2148"),
            ({"code": "c"}, "HLM-2148"),
        ):
            begun(browser)
            page = browser.client.get(BACK, params=answer)
            assert (page.status_code, words in page.text) == (403, True)
        browser.client.cookies.clear()
        page = browser.client.get(BACK, params={"code": "c", "state": query["state"]})
        assert (page.status_code, "HLM-2148" in page.text) == (403, True)
        for error, words in (("access_denied", "access_denied"), ("<b>call 0900-1</b>", "an error without a name")):
            page = browser.client.get(BACK, params={"error": error, "state": begun(browser)["state"]})
            assert (page.status_code, words in page.text, "0900" in page.text) == (403, True, False)
        page = browser.client.get(BACK, params={"code": "c", "state": begun(browser)["state"], "iss": "https://elsewhere.example"})
        assert (page.status_code, "HLM-2147" in page.text) == (403, True)
        assert one.codes == [], "no code went anywhere"
        for _ in range(FAILURES):
            page = browser.client.get(BACK, params={"code": "c", "state": "x"})
        assert page.status_code == 429


def test_a_role_is_that_of_now(hospital: Hospital, place: Path) -> None:
    """At the next login; without a group the sessions end; with a taken name, none, or more groups than a token holds nobody comes in."""
    with liar() as one, asked(hospital, place, one.issuer) as browser:
        assert came_back(browser, one, hospital)[0] == 303
        assert browser.client.get("/routes").status_code == 200
        other = Browser(client=browser.client)
        assert came_back(other, one, hospital, groups=["hilum-viewers"])[0] == 303
        assert browser.client.get("/routes").status_code == 403
        assert came_back(other, one, hospital, groups=[])[0] == 403
        assert browser.client.get("/studies").status_code == 303
        for wrong, code in (
            ({"sub": "18"}, "HLM-2141"),
            ({"preferred_username": None}, "HLM-2146"),
            ({"preferred_username": "a b"}, "HLM-2123"),
            ({"groups": None, "_claim_names": {"groups": "src1"}}, "HLM-2146"),
        ):
            assert code in came_back(other, one, hospital, **wrong)[1]


def told_logout(
    browser: Browser, one: Liar, hospital: Hospital, *, signed: Callable[[dict[str, Any]], str] | None = None, **wrong: Any
) -> int:
    """The status of a logout token that the provider sends, with `wrong` claims."""
    now = hospital.journal.now()
    claims = {
        "iss": one.issuer,
        "aud": CLIENT,
        "sub": "17",
        "iat": now,
        "exp": now + timedelta(minutes=2),
        "jti": secrets.token_hex(8),
        "events": {LOGOUT: {}},
    }
    said = {key: value for key, value in (claims | wrong).items() if value is not None}
    answer = browser.client.post("/login/hospital/logout", data={"logout_token": (signed or one.signed)(said)})
    assert answer.headers["cache-control"] == "no-store"
    return int(answer.status_code)


def test_only_the_providers_own_word_logs_out(hospital: Hospital, place: Path) -> None:
    """Unsigned, by others, of another issuer or client, old, without `jti`, event or person, an ID token, a token taken before: 400, told,
    and nobody is logged out. One that is good counts once, of the one session that it names, though a browser elsewhere sent it."""
    minutes = timedelta(minutes=1)
    with liar() as one, asked(hospital, place, one.issuer) as browser, capture_logs() as events:
        assert came_back(browser, one, hospital, sid="A")[0] == 303
        other = Browser(client=TestClient(browser.client.app, base_url="http://localhost", follow_redirects=False))
        assert came_back(other, one, hospital, sid="B")[0] == 303
        now = hospital.journal.now()
        for token in (
            _unsigned,
            _by_another,
            _of_another_kind,
            _by_the_public_key,
            _by_an_unknown_key,
            _changed,
            lambda _: "",
            lambda _: "a.b",
        ):
            assert told_logout(browser, one, hospital, signed=token) == 400
        wrongs: tuple[dict[str, Any], ...] = (
            {"iss": "https://elsewhere.example"},
            {"aud": "another program"},
            {"iat": now - 7 * minutes, "exp": now + minutes},
            {"iat": now + 3 * minutes},
            {"exp": now - 2 * minutes},
            {"exp": None},
            {"iat": None},
            {"jti": None},
            {"jti": ""},
            {"events": None},
            {"events": {"http://schemas.openid.net/event/other": {}}},
            {"events": {LOGOUT: "yes"}},
            {"events": LOGOUT},
            {"nonce": "n"},
            {"sub": None},
        )
        for wrong in wrongs:
            assert told_logout(browser, one, hospital, **wrong) == 400, wrong
        refused = [event for event in events if event["event"] == "console.logout_refused"]
        assert 0 < len(refused) <= TRIES
        assert all("HLM-2147" in event["reason"] for event in refused)
        assert [each.client.get("/studies").status_code for each in (browser, other)] == [200, 200]
        assert told_logout(browser, one, hospital, sub="another person") == 200
        assert [each.client.get("/studies").status_code for each in (browser, other)] == [200, 200]
        once = "of one logout"
        assert told_logout(browser, one, hospital, sub=None, sid="B", jti=once) == 200
        assert [each.client.get("/studies").status_code for each in (browser, other)] == [200, 303]
        assert came_back(other, one, hospital, sid="B")[0] == 303
        assert told_logout(browser, one, hospital, sid="B", jti=once) == 400
        assert other.client.get("/studies").status_code == 200
        assert told_logout(browser, one, hospital) == 200
        assert [each.client.get("/studies").status_code for each in (browser, other)] == [303, 303]
        assert [event["account"] for event in events if event["event"] == "console.logout"] == ["gina"] * 3
        other.client.close()


@pytest.mark.parametrize("who", [{"sub": "17"}, {"sub": None, "sid": "A"}, {"sub": "17", "sid": "A"}])
def test_a_logout_in_the_middle_of_its_own_login_ends_it(hospital: Hospital, place: Path, who: dict[str, Any]) -> None:
    """While the provider hands out the very ID token: nobody is logged in, and is told to begin again (HLM-2148), which does log in; who
    logs out meanwhile in another session, or is somebody else, hinders nobody."""
    with liar() as one, asked(hospital, place, one.issuer) as browser:
        elsewhere = Browser(client=TestClient(browser.client.app, base_url="http://localhost", follow_redirects=False))

        def logged_out_meanwhile(claims: dict[str, Any], **named: Any) -> str:
            assert told_logout(elsewhere, one, hospital, **named) == 200
            return one.signed(claims)

        one.token = lambda claims: logged_out_meanwhile(claims, **who)
        status, page = came_back(browser, one, hospital, sid="A")
        assert (status, "HLM-2148" in page, "logged out" in page) == (403, True, True)
        assert browser.client.get("/studies").status_code == 303
        for other in ({"sub": "17", "sid": "B"}, {"sub": "18"}, {"sub": None, "sid": "B"}):
            one.token = lambda claims, other=other: logged_out_meanwhile(claims, **other)
            assert came_back(browser, one, hospital, sid="A")[0] == 303
            assert browser.client.get("/studies").status_code == 200
        one.token = None
        assert came_back(browser, one, hospital, sid="A")[0] == 303
        elsewhere.client.close()


def test_logouts_count_while_the_provider_is_asked_for_its_keys(hospital: Hospital, place: Path) -> None:
    """Many at once, at a console that knows no keys yet and a provider that is slow to show them: each is taken, and the keys are asked for
    once. By keys that were shown before they are taken while the provider is away; a login is not."""
    with liar() as one, asked(hospital, place, one.issuer) as browser, ThreadPoolExecutor(24) as pool:
        one.open.clear()
        clients = [TestClient(browser.client.app, base_url="http://localhost", follow_redirects=False) for _ in range(24)]
        told = pool.map(lambda client: told_logout(Browser(client=client), one, hospital), clients)
        wait_until(lambda: bool(one.asked), 30, "the provider is asked")
        one.open.set()
        assert list(told) == [200] * len(clients)
        assert one.asked.count("/jwks_uri") == 1
        one.metadata = {"issuer": "https://elsewhere.example"}
        with pytest.raises(ProviderUnfit):
            _known_to(browser).examine()
        assert told_logout(browser, one, hospital) == 200
        for client in clients:
            client.close()


def _known_to(browser: Browser) -> Provider:
    app = browser.client.app
    assert isinstance(app, FastAPI)
    known = app.state.context.provider
    assert isinstance(known, Provider)
    return known


def _rolled(one: Liar, kid: str) -> None:
    """The provider signs with another key from now on, and shows that one alone."""
    one.key, one.kid = key_pair(kid), kid


def test_a_key_that_is_rolled_is_taken_at_once(hospital: Hospital, place: Path) -> None:
    """However soon after the last time that keys were fetched, by logins and by logouts, several at once; each roll is fetched once or, for
    those who came while that went on, twice."""
    with liar() as one, asked(hospital, place, one.issuer) as browser, ThreadPoolExecutor(12) as pool:
        for kid in ("two", "three"):
            _rolled(one, kid)
            assert came_back(browser, one, hospital)[0] == 303, kid
            assert one.asked.count("/jwks_uri") == int(kid == "three") + 1
        clients = [TestClient(browser.client.app, base_url="http://localhost", follow_redirects=False) for _ in range(12)]
        _rolled(one, "four")
        told = pool.map(lambda client: told_logout(Browser(client=client), one, hospital), clients)
        assert list(told) == [200] * len(clients)
        assert one.asked.count("/jwks_uri") in (3, 4)
        for client in clients:
            client.close()


def test_tokens_that_anybody_makes_up_do_not_have_the_provider_asked_for_each(hospital: Hospital, place: Path) -> None:
    """200 logout tokens that name keys of which nobody knows: the provider is asked for its keys ten times, and once more every five
    seconds that it lasts. A key that is rolled in the middle of it is good for a login at once, and by that for logouts."""
    with liar() as one, asked(hospital, place, one.issuer) as browser:
        known, flooder = _known_to(browser), key_pair("another's")
        assert came_back(browser, one, hospital)[0] == 303
        begun_s, before = time.monotonic(), one.asked.count("/jwks_uri")
        for each in range(200):
            with pytest.raises(TokenRefused):
                known.logged_out(jwt.encode({"iss": one.issuer}, flooder, algorithm="RS256", headers={"kid": f"made up {each}"}))
        granted = one.asked.count("/jwks_uri") - before
        assert 10 <= granted <= 10 + (time.monotonic() - begun_s) / 5
        _rolled(one, "rolled")
        assert came_back(browser, one, hospital)[0] == 303
        assert told_logout(browser, one, hospital) == 200


def test_keys_of_the_day_before_count_for_nobody_however_many_ask(hospital: Hospital, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The provider cannot be asked for more than a day: a token that a key of before signed is not taken, the twentieth neither."""
    with liar() as one, asked(hospital, place, one.issuer) as browser:
        assert told_logout(browser, one, hospital) == 200
        later_s = time.monotonic() + timedelta(hours=25).total_seconds()
        monkeypatch.setattr("node.console.provider.time", SimpleNamespace(time=time.time, monotonic=lambda: later_s))
        one.metadata = {"issuer": "https://elsewhere.example"}
        assert 200 not in [told_logout(browser, one, hospital) for _ in range(20)]


def test_without_a_provider_nobody_tells_of_logouts(hospital: Hospital) -> None:
    """404; and no other form may come from elsewhere than a page of ours."""
    trials = trials_of(hospital.config)
    with TestClient(build(context_of(hospital, trials), threading.Event()), base_url="http://localhost", follow_redirects=False) as client:
        assert client.post("/login/hospital/logout", data={"logout_token": "a.b.c"}).status_code == 404
        elsewhere = {"Origin": "https://elsewhere.example"}
        assert client.post("/login", data={"name": "ada", "password": PASSWORD}, headers=elsewhere).status_code == 403
    trials.close()


def test_groups_lie_where_the_settings_say(hospital: Hospital, place: Path) -> None:
    """A path into objects, as Keycloak has its roles; one group that stands there without a list."""
    with liar() as one, asked(hospital, place, one.issuer, ', groups: "realm_access.roles"') as browser:
        assert came_back(browser, one, hospital, groups=["hilum-admins"])[0] == 403
        assert came_back(browser, one, hospital, realm_access={"roles": "hilum-viewers"})[0] == 303


def test_a_provider_that_is_away_or_another_is_said(hospital: Hospital, place: Path) -> None:
    """On the login page and by doctor: nobody there, another issuer, endpoints without TLS, no JSON; a local admin logs in."""

    def found() -> list[tuple[str, str]]:
        return [(one.level, one.detail) for one in look_at_logins(load(place / "oidc.yaml"))]

    with liar() as one, asked(hospital, place, one.issuer) as browser:
        ((level, detail),) = found()
        assert (level, "signs with 1 key" in detail) == ("good", True)
        for metadata, words in (
            ({"issuer": "https://elsewhere.example"}, "elsewhere.example"),
            ({"token_endpoint": "http://login.hospital.example/token"}, "no address behind https://"),
            ({"jwks_uri": None}, "jwks_uri"),
        ):
            one.metadata = metadata
            page = browser.client.get("/login/hospital")
            assert (page.status_code, words in page.text, "HLM-2146" in page.text) == (503, True, True)
            assert words in found()[0][1]
        (place / "oidc.secret").chmod(0o644)
        one.metadata = {}
        assert "HLM-2070" in found()[-1][1]
        status, page = came_back(browser, one, hospital)
        assert (status, "HLM-2070" in page) == (503, True)
    with asked(hospital, place, one.issuer) as browser:
        page = browser.client.get("/login/hospital")
        assert (page.status_code, "does not answer" in page.text, "HLM-2145" in page.text) == (503, True, True)
        assert "HLM-2145" in found()[0][1]
        console = load(place / "oidc.yaml").console
        assert console is not None
        (login,) = logins(console)
        assert login.ask is not None
        assert "HLM-2145" in login.ask().detail
        assert re.search(r"Users of this node log in meanwhile", page.text)
        assert browser.log_in("ada") == 303


def test_a_public_client_has_no_secret(browser: "Chromium", hospital: Hospital, place: Path, tmp_path: Path) -> None:
    """Without `secret_file` the real provider takes the code with the verifier alone."""
    from playwright.sync_api import expect

    port = free_port()
    address = f"http://127.0.0.1:{port}"
    with (
        provider(tmp_path / "provider", STAFF, f"{address}{BACK}", secret=False) as peer,
        served(hospital, place, settings_of(peer.issuer, place, port=port).replace(" secret_file: oidc.secret,", "")),
        pages(browser) as opened,
    ):
        page = opened()
        through_the_provider(page, address, "gina")
        expect(page.locator(".me")).to_contain_text("gina")
