"""People whom a hospital's OpenLDAP knows log in at the console: which role their groups give, and why somebody is not let in."""

import json
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from ruamel.yaml import YAML
from structlog.testing import capture_logs

from node.assembly.configuration import load
from node.assembly.console import trials_of
from node.assembly.doctor.logins import logins, look_at_logins
from node.console.accounts import FAILURES
from node.console.app import build
from node.console.directory import Directory, DirectorySweep
from node.console.errors import DirectoryAway
from node.console.health import Health
from node.domain.account import Account, AccountOrigin, Role
from node.domain.health import FRESH_S, Answer
from node.settings.console import Console
from tests.lab.browser import chromium
from tests.lab.howto import HowTo
from tests.lab.loopback import free_port
from tests.lab.openldap import GROUPS, NODE, NODE_PASSCODE, PEOPLE, OpenLdap, directory
from tests.lab.program import wait_until
from tests.unit.cli.conftest import CONFIG, Hospital, Run, empty, hospital, place, run
from tests.unit.console.conftest import HASH, PASSWORD, Browser, context_of

__all__ = ["empty", "hospital", "place", "run"]
pytestmark = [pytest.mark.slow, pytest.mark.peers]
THEIRS = "a password at the hospital"
STAFF = {
    "eve": ("radiology", "hilum-admins"),
    "gina": ("hilum-operators", "hilum-viewers"),
    "vic": ("hilum-viewers",),
    "nora": ("radiology",),
    "ada": ("hilum-viewers",),
    "o*(b)rien": ("hilum-viewers",),
}
PATIENT_MS = 120_000


@pytest.fixture
def slapd(tmp_path: Path) -> Iterator[OpenLdap]:
    """A directory of its own: tests change it."""
    with directory(tmp_path / "ldap", STAFF, password=THEIRS) as found:
        yield found


def settings_of(slapd: OpenLdap, folder: Path, *, url: str = "", more: str = "", authorities: bool = True) -> str:
    """The block `console` of a configuration."""
    (folder / "ldap.passcode").write_text(NODE_PASSCODE)
    (folder / "ldap.passcode").chmod(0o600)
    roles = f'{{admin: "cn=hilum-admins,{GROUPS}", operator: "cn=hilum-operators,{GROUPS}", viewer: "cn=hilum-viewers,{GROUPS}"}}'
    trust = f"authorities: {slapd.authority}, " if authorities else ""
    login = f'{{name: "{NODE}", passcode_file: ldap.passcode}}'
    return (
        f'console: {{listen: "127.0.0.1:0", ldap: {{url: "{url or slapd.url}", {trust}login: {login}, people: "{PEOPLE}", '
        f'filter: "(&(objectClass=person)(employeeType=staff))", roles: {roles}{more}}}}}\n'
    )


def console_of(slapd: OpenLdap, folder: Path, **of: str | bool) -> Console:
    """The console of a configuration with this directory."""
    config = folder / "ldap.yaml"
    config.write_text(CONFIG + settings_of(slapd, folder, **of), encoding="utf-8")  # type: ignore[arg-type]
    loaded = load(config)
    assert loaded.console is not None
    return loaded.console


def asked(slapd: OpenLdap, folder: Path, **of: str | bool) -> Directory:
    """The directory as a configuration has it."""
    settings = console_of(slapd, folder, **of).ldap
    assert settings is not None
    return Directory(settings)


@pytest.fixture
def browser(hospital: Hospital, slapd: OpenLdap, place: Path) -> Iterator[Callable[..., Browser]]:
    """Browsers at a console with that directory, and one user of its own: ada, an admin."""
    hospital.journal.accounts.open(Account(name="ada", role=Role.ADMIN, password=HASH, created_at=hospital.now))
    with browsers(hospital, asked(slapd, place)) as found:
        yield found


@contextmanager
def browsers(hospital: Hospital, at: Directory, health: Health | None = None) -> Iterator[Callable[..., Browser]]:
    """Open browsers at a console with a directory."""
    trials = trials_of(hospital.config)
    context = context_of(hospital, trials)
    app, opened = build(replace(context, directory=at, health=health or context.health), threading.Event()), []

    def open_() -> Browser:
        opened.append(Browser(client=TestClient(app, base_url="http://localhost", follow_redirects=False)))
        return opened[-1]

    yield open_
    for one in opened:
        one.client.close()
    trials.close()


def said(browser: Browser, name: str, password: str = THEIRS) -> tuple[int, str]:
    """The status of a login, and the page."""
    answer = browser.client.post("/login", data={"name": name, "password": password})
    return answer.status_code, answer.text


def test_groups_give_the_role_and_the_local_admin_stays(browser: Callable[..., Browser], hospital: Hospital) -> None:
    """The highest of several; a name of this node is this node's, whatever the directory has; the trail tells who came in."""
    with capture_logs() as events:
        for name in ("eve", "gina", "vic"):
            assert browser().log_in(name, THEIRS) == 303
        assert (browser().log_in("ada", THEIRS), browser().log_in("ada", PASSWORD)) == (403, 303)
    assert [(one["account"], one["role"]) for one in events if one["event"] == "console.login"] == [
        ("eve", "admin"),
        ("gina", "operator"),
        ("vic", "viewer"),
        ("ada", "admin"),
    ]
    found = {one.name: (one.origin, one.role, one.password is None) for one in hospital.journal.accounts.find()}
    assert found == {
        "ada": (AccountOrigin.LOCAL, Role.ADMIN, False),
        "eve": (AccountOrigin.LDAP, Role.ADMIN, True),
        "gina": (AccountOrigin.LDAP, Role.OPERATOR, True),
        "vic": (AccountOrigin.LDAP, Role.VIEWER, True),
    }


def test_the_block_of_the_page_lets_people_in(hospital: Hospital, slapd: OpenLdap, place: Path, run: Run) -> None:
    """docs/howto/hospital-login.md: its block, with OpenLDAP's words from its table. The first server of its list is away. The page's
    commands say that it can be meant, and that the directory takes it."""
    page = HowTo("hospital-login.md")
    name, filter_ = (re.findall(rf"^\| `{key}` \| .*?`([^`]+)`[^`]* \|", page.text, re.MULTILINE)[0] for key in ("name", "filter"))
    assert (name, filter_) == ("uid", "(&(objectClass=person)(employeeType=staff))")
    ldap = YAML(typ="safe").load(page.blocks("yaml")[0])["console"]["ldap"]
    (place / ldap["login"]["passcode_file"]).write_text(NODE_PASSCODE)
    (place / ldap["login"]["passcode_file"]).chmod(0o600)
    ldap |= {"url": [f"ldaps://127.0.0.1:{free_port()}", slapd.url], "authorities": str(slapd.authority)}
    ldap |= {"people": PEOPLE, "name": name, "filter": filter_}
    ldap["login"]["name"] = NODE
    ldap["roles"] = {role: f"cn=hilum-{role}s,{GROUPS}" for role in ldap["roles"]}
    config = place / "page.yaml"
    config.write_text(f"{CONFIG}console: {json.dumps({'listen': '127.0.0.1:0', 'ldap': ldap})}\n", encoding="utf-8")
    check, doctor = (page.typed(command).split()[1:] for command in page.commands())
    assert run(*check, "--config", str(config)).code == 0
    (found,) = (one for one in run(*doctor, "--json", "--config", str(config)).json["findings"] if one["subject"] == "ldap")
    assert found["level"] == "good", found
    page.followed()
    console = load(config).console
    assert console is not None
    assert console.ldap is not None
    with browsers(hospital, Directory(console.ldap)) as browser:
        assert [browser().log_in(who, THEIRS) for who in ("eve", "gina", "vic")] == [303] * 3
    roles = {one.name: one.role for one in hospital.journal.accounts.find()}
    assert roles == {"eve": Role.ADMIN, "gina": Role.OPERATOR, "vic": Role.VIEWER}


@pytest.mark.parametrize(
    ("name", "password"),
    [
        ("eve", "wrong"),
        ("eve", ""),  # a bind without a password is nobody's, and the directory says success
        ("eve", "\u00ad"),  # a soft hyphen, of which SASLprep (RFC 4013) leaves nothing
        ("eve", "a\u0007b"),
        ("nobody", THEIRS),
        ("*", THEIRS),
        ("ev*", THEIRS),
        ("ev\\65", THEIRS),  # an escaped "e"
        ("eve)(objectClass=*", THEIRS),
        ("*)(uid=*))(|(uid=*", THEIRS),
        (f"eve,{PEOPLE}", THEIRS),
        ("hilum", NODE_PASSCODE),
    ],
)
def test_what_is_nobodys_opens_nothing(browser: Callable[..., Browser], hospital: Hospital, name: str, password: str) -> None:
    """Filters in a name are text; no account is made, and it is not told which of the two was wrong."""
    status, page = said(browser(), name, password)
    assert (status, "Name or password is wrong." in page) == (403, True)
    assert [one.name for one in hospital.journal.accounts.find()] == ["ada"]


def test_a_name_of_filter_characters_is_looked_for_as_it_is(browser: Callable[..., Browser]) -> None:
    """Found, its group too; no user here can be called so, which the page says."""
    status, page = said(browser(), "o*(b)rien")
    assert (status, "is no user name" in page, "HLM-2123" in page) == (403, True, True)


def test_who_is_in_no_group_is_told_so(browser: Callable[..., Browser], hospital: Hospital) -> None:
    """In a sentence, with what to do; the trail has who it was, as that was proven."""
    with capture_logs() as events:
        status, page = said(browser(), "nora")
    assert (status, "no group of theirs has a role here" in page, "HLM-2140" in page) == (403, True, True)
    assert [(one["account"], "HLM-2140" in one["reason"]) for one in events if one["event"] == "console.login_refused"] == [("nora", True)]
    assert hospital.journal.accounts.get("nora") is None


def test_who_leaves_is_logged_out_and_another_role_counts(
    browser: Callable[..., Browser], slapd: OpenLdap, hospital: Hospital, place: Path
) -> None:
    """Within `ask_again`, without a login: who is disabled at the hospital, or in no group any more. Its own users are not asked for."""
    eve, gina, vic, ada = browser(), browser(), browser(), browser()
    assert [one.log_in(name, THEIRS) for one, name in ((eve, "eve"), (gina, "gina"), (vic, "vic"))] == [303] * 3
    assert ada.log_in("ada") == 303
    sweep = DirectorySweep(hospital.journal, asked(slapd, place), timedelta(hours=2))
    assert sweep.step() == 0
    slapd.change("eve", employeeType="left")
    slapd.move("gina", out_of="hilum-operators", into="radiology")
    slapd.move("vic", out_of="hilum-viewers", into="radiology")
    with capture_logs() as events:
        assert sweep.step() == 2
    assert [one.client.get("/studies").status_code for one in (eve, gina, vic, ada)] == [303, 200, 303, 200]
    assert gina.client.get("/routes").status_code == 403
    assert [one["account"] for one in events if one["event"] == "console.login_refused"] == ["eve", "vic"]
    assert (said(browser(), "eve")[0], said(browser(), "vic")[0]) == (403, 403)


def test_one_whose_name_is_none_here_keeps_nobody_else_in(
    browser: Callable[..., Browser], slapd: OpenLdap, hospital: Hospital, place: Path
) -> None:
    """Whoever is called so since is logged out as well, as the next login is refused; those behind in the list are asked for."""
    eve, vic = browser(), browser()
    assert [one.log_in(name, THEIRS) for one, name in ((eve, "eve"), (vic, "vic"))] == [303] * 2
    slapd.rename("eve", "eve b")
    slapd.move("vic", out_of="hilum-viewers", into="radiology")
    assert DirectorySweep(hospital.journal, asked(slapd, place), timedelta(hours=2)).step() == 2
    assert [one.client.get("/studies").status_code for one in (eve, vic)] == [303, 303]
    status, page = said(browser(), "eve b")
    assert (status, "HLM-2123" in page) == (403, True)


def test_while_the_directory_is_away_a_local_admin_logs_in(browser: Callable[..., Browser], slapd: OpenLdap, hospital: Hospital) -> None:
    """The page says what is wrong; the address is not made to wait for it, and sessions stay."""
    gina = browser()
    assert gina.log_in("gina", THEIRS) == 303
    slapd.process.kill()
    for _ in range(FAILURES + 1):
        status, page = said(browser(), "gina")
        assert status == 503
        assert all(words in page for words in ("does not answer", "HLM-2142", "Users of this node log in meanwhile"))
    assert browser().log_in("ada") == 303
    assert gina.client.get("/studies").status_code == 200


def test_the_start_page_tells_how_the_directory_is(hospital: Hospital, slapd: OpenLdap, place: Path) -> None:
    """Well; refused, which is not tried again each half minute; away: red, with its remedy, and counted."""
    hospital.journal.accounts.open(Account(name="ada", role=Role.ADMIN, password=HASH, created_at=hospital.now))
    health = Health(list(logins(console_of(slapd, place))))
    with browsers(hospital, asked(slapd, place), health=health) as opened:
        ada = opened()
        assert ada.log_in("ada") == 303

        def told() -> Answer:
            assert ada.post("/ask/login/ldap", back="/") == 303
            wait_until(lambda: not ada.client.get("/api/status").json()["asking"], 60, "the directory has answered")
            (line,) = health.look()
            assert line.answer is not None
            return line.answer

        assert told().ready
        assert "3 groups named" in ada.client.get("/peers").text
        assert "All is well" in ada.client.get("/").text
        (place / "ldap.passcode").write_text("of last year")
        refused = told()
        assert (refused.ready, "HLM-2143" in refused.detail, refused.lasts_s > 10 * FRESH_S) == (False, True, True)
        slapd.process.kill()
        away = told()
        assert (away.ready, "HLM-2142" in away.detail, away.lasts_s) == (False, True, FRESH_S)
        (trouble,) = ada.client.get("/api/status").json()["troubles"]
        assert (trouble["area"], trouble["level"], trouble["subject"]) == ("logins", "bad", "login ldap")
        assert trouble["fix"] == DirectoryAway.remedy
        page = ada.client.get("/").text
        assert all(words in page for words in ("<title>(1) ", "does not answer", "Users of this node log in meanwhile", "/ask/login/ldap"))
        assert 'aria-label="1 to look at">1</span></a>' in page.partition('href="/peers"')[2]


def test_a_password_goes_to_the_directory_as_it_is(browser: Callable[..., Browser], slapd: OpenLdap) -> None:
    """Signs of a keyboard that SASLprep (RFC 4013) would make other ones of; the other ones are another password."""
    slapd.change("vic", userPassword="Grüße 5 m² ª")
    assert [said(browser(), "vic", password)[0] for password in ("Grüße 5 m2 a", "Grüße 5 m² ª")] == [403, 303]


def test_a_passcode_that_cannot_be_read_is_said(browser: Callable[..., Browser], place: Path) -> None:
    """The node's own: open to others, gone, or of bytes that are not UTF-8; nobody waits for it."""
    passcode = place / "ldap.passcode"
    passcode.chmod(0o644)
    for _ in range(FAILURES + 1):
        status, page = said(browser(), "eve")
        assert (status, "HLM-2070" in page, str(place) in page) == (503, True, False)
    passcode.unlink()
    status, page = said(browser(), "eve")
    assert (status, "HLM-2072" in page) == (503, True)
    passcode.write_bytes(b"\xe4\xf6")
    passcode.chmod(0o600)
    status, page = said(browser(), "eve")
    assert (status, "HLM-2143" in page) == (503, True)
    assert browser().log_in("ada") == 303


def test_guesses_at_the_directory_are_counted_as_others_are(browser: Callable[..., Browser]) -> None:
    """Ten from one address, then it waits: right ones too."""
    guesser = browser()
    assert [said(guesser, "eve", f"guess {number}")[0] for number in range(FAILURES)] == [403] * FAILURES
    assert said(guesser, "eve")[0] == 429


def test_a_name_is_somebodys_for_good(browser: Callable[..., Browser], slapd: OpenLdap, hospital: Hospital) -> None:
    """Who is called otherwise now is the same user here; who gets the name afterwards is not let in by it."""
    assert browser().log_in("vic", THEIRS) == 303
    slapd.rename("vic", "victor")
    assert browser().log_in("victor", THEIRS) == 303
    assert [one.name for one in hospital.journal.accounts.find()] == ["ada", "vic"]
    slapd.rename("gina", "vic")
    status, page = said(browser(), "vic")
    assert (status, "HLM-2141" in page) == (403, True)


def test_what_the_hospital_decides_is_not_changed_here(browser: Callable[..., Browser], hospital: Hospital, run: Run) -> None:
    """Roles, passwords, tokens, on the page, over the API and by the command; an admin disables whom the hospital lets in."""
    assert browser().log_in("gina", THEIRS) == 303
    ada = browser()
    assert ada.log_in("ada") == 303
    page = ada.client.get("/users").text
    assert ("by the hospital's directory" in page.replace("&#39;", "'"), "/users/gina/role" in page) == (True, False)
    assert ada.post("/users/gina/role", role="admin") == 422
    assert ada.post("/users/gina/password", password="another long one", again="another long one") == 422
    assert ada.post("/tokens", user="gina", days="3") == 422
    assert run("console", "users", "role", "gina", "admin").code == 1
    assert {one["name"]: one["origin"] for one in ada.client.get("/api/users").json()["users"]} == {"ada": "local", "gina": "ldap"}
    assert ada.post("/users/ada/disable") == 409, "the only admin of this node stays, whoever is admin at the hospital"
    assert ada.post("/users/gina/disable") == 303
    status, page = said(browser(), "gina")
    assert (status, "An admin of this node disabled gina" in page) == (403, True)


def test_the_certificate_is_verified(slapd: OpenLdap, hospital: Hospital, place: Path, tmp_path: Path) -> None:
    """By its authority and by its name, with ldaps and with STARTTLS; a server without STARTTLS gets no password."""
    hospital.journal.accounts.open(Account(name="ada", role=Role.ADMIN, password=HASH, created_at=hospital.now))
    assert asked(slapd, place, url=slapd.starttls_url).vouch("eve", THEIRS) is not None
    for url in (slapd.url, slapd.starttls_url):
        with browsers(hospital, asked(slapd, place, url=url, authorities=False)) as stranger:
            status, page = said(stranger(), "eve")
        assert (status, "certificate verify failed" in page) == (503, True)
        with browsers(hospital, asked(slapd, place, url=url.replace("localhost", "127.0.0.1"))) as misnamed:
            status, page = said(misnamed(), "eve")
        assert (status, "127.0.0.1" in page, "HLM-2142" in page) == (503, True, True)
    with silent() as port, browsers(hospital, asked(slapd, place, url=f"ldap://localhost:{port}")) as mute:
        assert said(mute(), "eve")[0] == 503


@contextmanager
def silent() -> Iterator[int]:
    """A port that answers everything with what is no LDAP."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(1000)
                    connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        threading.Thread(target=answer, daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)


def test_the_next_server_is_asked_where_one_is_away(slapd: OpenLdap, place: Path) -> None:
    """In their order."""
    config = place / "two.yaml"
    two = settings_of(slapd, place).replace(f'url: "{slapd.url}"', f'url: ["ldaps://localhost:9", "{slapd.url}"]')
    config.write_text(CONFIG + two, encoding="utf-8")
    loaded = load(config)
    assert loaded.console is not None
    assert loaded.console.ldap is not None
    assert Directory(loaded.console.ldap).vouch("eve", THEIRS) is not None


def test_doctor_says_what_is_wrong_of_the_directory(slapd: OpenLdap, place: Path) -> None:
    """The node's passcode, a place or a group that is not there, a filter that is none; and that all is well."""
    config = place / "doctor.yaml"
    good = CONFIG + settings_of(slapd, place)

    def found(text: str) -> list[tuple[str, str]]:
        config.write_text(text, encoding="utf-8")
        return [(one.level, one.detail) for one in look_at_logins(load(config))]

    ((level, detail),) = found(good)
    assert (level, detail) == ("good", f"{slapd.url} answers with TLS and takes the node's login; 3 groups named")
    assert found(good.replace("cn=hilum-viewers", "cn=hilum-readers"))[1] == ("bad", f'there is no group "cn=hilum-readers,{GROUPS}"')
    assert "HLM-2143" in found(good.replace(f'people: "{PEOPLE}"', f'people: "ou=staff,{PEOPLE}"'))[0][1]
    assert "HLM-2143" in found(good.replace("(objectClass=person)", "(objectClass=person)(x=)="))[0][1]
    (place / "ldap.passcode").write_text("another passcode")
    ((level, detail),) = found(good)
    assert (level, "does not take the node's login" in detail, "HLM-2143" in detail) == ("bad", True, True)
    (place / "ldap.passcode").chmod(0o644)
    assert "HLM-2070" in found(good)[0][1]
    slapd.process.kill()
    (place / "ldap.passcode").chmod(0o600)
    assert "HLM-2142" in found(good)[0][1]


def test_a_browser_at_the_console_of_a_node(slapd: OpenLdap, hospital: Hospital, place: Path) -> None:
    """The process as the node starts it: gina logs in; when the hospital has her no more her page leads to the login within `ask_again`."""
    from playwright.sync_api import expect

    hospital.journal.accounts.open(Account(name="ada", role=Role.ADMIN, password=HASH, created_at=hospital.now))
    config = place / "console.yaml"
    config.write_text(CONFIG + settings_of(slapd, place, more=", ask_again: 1s"), encoding="utf-8")
    process = subprocess.Popen(
        [sys.executable, "-m", "node.assembly.process", str(config), "console"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        address = f"http://127.0.0.1:{json.loads(process.stdout.readline())['port']}"
        with chromium() as browser:
            page = browser.new_page()
            page.set_default_timeout(PATIENT_MS)
            expect.set_options(timeout=PATIENT_MS)
            page.goto(address)
            page.fill("[name=name]", "gina")
            page.fill("[name=password]", THEIRS)
            page.click("button.main")
            expect(page.locator(".me")).to_contain_text("gina")
            slapd.change("gina", employeeType="left")
            expect(page.locator("form.login")).to_be_visible()
    finally:
        process.stdin.close()
        assert process.wait(120) == 0
