"""Every page and call for every role; what another site sends, and who guesses, is refused."""

import contextlib
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from node.console import login
from node.console.access import password_fits, password_hash
from node.console.accounts import FAILURES, WINDOW, digest_of
from node.domain.account import AccessKey, Account, KeyKind, Role
from node.domain.state import JobState
from tests.unit.cli.conftest import HEAD, TILTED, Hospital
from tests.unit.console.conftest import HASH, PASSWORD, Browser, Open, browsers, here

PEOPLE = ("vera", "otto", "ada")
PAGES = (
    "/",
    "/studies",
    f"/studies/{HEAD}",
    f"/studies/{HEAD}/series/{HEAD}.1",
    f"/studies/{TILTED}",
    "/parked",
    "/peers",
    "/pace",
    "/models",
)
CALLS = ("/api/queue", "/api/studies", f"/api/studies/{HEAD}", "/api/parked", "/api/jobs/1", "/api/health", "/api/pace", "/api/models")


@pytest.mark.parametrize("name", PEOPLE)
def test_everybody_who_is_logged_in_sees_every_page(browser: Open, name: str) -> None:
    """With the headers that keep other sites and caches out, and no script in the page itself."""
    mine = browser(name)
    for path in (*PAGES, *CALLS):
        answer = mine.client.get(path)
        assert answer.status_code == 200, path
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["content-security-policy"].startswith("default-src 'none'; script-src 'self';")
        assert not re.search(r"<script(?! src=\"/static/)|<style| style=| on[a-z]+=|https?://", answer.text), path


def test_nobody_sees_anything(browser: Open) -> None:
    """Pages lead to the login, parts of pages and programs are told; what is not there is not told from what is."""
    client = browser().client
    for path in (*PAGES, "/studies/1.2.3"):
        answer = client.get(path)
        assert (answer.status_code, answer.headers["location"]) == (303, "/login"), path
    for path in (*CALLS, "/api/studies/1.2.3"):
        answer = client.get(path)
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer"), path
    assert client.get("/live").status_code == 401
    assert client.get("/studies", headers={"HX-Request": "true"}).headers["hx-redirect"] == "/login"
    for path in ("/jobs/2/retry", "/api/jobs/2/cancel", "/logout"):
        assert client.post(path).status_code in (303, 401)


@pytest.mark.parametrize(("name", "may"), [("vera", False), ("otto", True), ("ada", True)])
def test_who_may_retry_and_cancel(browser: Open, hospital: Hospital, name: str, may: bool) -> None:
    """A viewer is shown no buttons, and what a viewer sends all the same changes nothing."""
    mine = browser(name)
    (job,) = hospital.journal.jobs.find(study=TILTED)
    assert ("Retry" in mine.client.get("/parked").text) is may
    assert mine.post(f"/jobs/{job.id}/retry") == (303 if may else 403)
    assert hospital.journal.jobs.get(job.id).state is (JobState.QUEUED if may else JobState.PARKED)
    assert mine.post(f"/jobs/{job.id}/cancel", study=TILTED) == (303 if may else 403)
    ended = hospital.journal.jobs.get(job.id)
    assert (ended.state, ended.reason) == (
        (JobState.CANCELLED, f"cancelled by {name} at the console") if may else (JobState.PARKED, job.reason)
    )


def test_what_cannot_be_done_is_said(browser: Open) -> None:
    """Unknown jobs, verbs and studies, and states that do not allow it."""
    mine = browser("otto")
    assert mine.post("/jobs/999/retry") == 404
    assert mine.post("/jobs/1/delete") == 404
    assert mine.post("/jobs/1/cancel") == 409, "it is done"
    assert mine.client.get("/studies/1.2.3").status_code == 404
    assert mine.client.get("/studies?before=x").status_code == 422
    assert mine.client.get("/nowhere").status_code == 404


def test_another_sites_page_changes_nothing(browser: Open, hospital: Hospital) -> None:
    """A form without this session's token, with another's, or sent from elsewhere; the login too is our own form only."""
    mine, other = browser("otto"), browser("ada")
    (job,) = hospital.journal.jobs.find(study=TILTED)
    path = f"/jobs/{job.id}/cancel"
    for token in ("", "0" * 64, other.form_token, "ä"):
        assert mine.client.post(path, data={"form_token": token}).status_code == 403
    for headers in ({"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {"Origin": "null"}):
        assert mine.client.post(path, data={"form_token": mine.form_token}, headers=headers).status_code == 403
        assert browser().client.post("/login", data={"name": "otto", "password": PASSWORD}, headers=headers).status_code == 403
    assert mine.client.post(f"/api{path}").status_code == 403, "the cookie alone is not enough for the API either"
    assert hospital.journal.jobs.get(job.id).state is JobState.PARKED


@pytest.mark.slow
def test_guessing_is_slowed_down(browser: Open) -> None:
    """After ten failures an address waits, whatever it sends then; unknown names are answered as wrong passwords are."""
    guesser = browser()
    wrong = {guesser.log_in(name, "wrong password") for name in ("otto", "nobody") * (FAILURES // 2)}
    assert wrong == {403}
    answer = guesser.client.post("/login", data={"name": "otto", "password": PASSWORD})
    assert answer.status_code == 429
    assert 0 < int(answer.headers["retry-after"]) <= WINDOW.total_seconds()


def test_failures_count_in_all_consoles_together(browser: Open, hospital: Hospital) -> None:
    """Another console of the node, over the same journal: who has failed at one waits at both, and a success there is not counted here."""
    hospital.journal.accounts.open(Account(name="olga", role=Role.VIEWER, password=HASH, created_at=hospital.now))
    with contextlib.contextmanager(browsers)(hospital) as other:
        at_one, at_other = browser(), other()
        for turn in range(FAILURES):
            assert (at_one, at_other)[turn % 2].log_in("otto", "wrong password") == 403
            assert at_other.log_in("olga") == (303 if turn < FAILURES - 1 else 429)
        assert (at_one.log_in("otto"), at_other.log_in("otto")) == (429, 429)


def test_a_password_that_changes_meanwhile_opens_nothing(browser: Open, hospital: Hospital, monkeypatch: pytest.MonkeyPatch) -> None:
    """The account's owner changes it because somebody else knows it: what that one sent a moment before is too late."""

    def changes(known: str | None, password: str) -> bool:
        found = password_fits(known, password)
        hospital.journal.accounts.change("otto", password=password_hash("another password"))
        return found

    monkeypatch.setattr(login, "password_fits", changes)
    late = browser()
    assert late.log_in("otto") == 403
    assert "hilum_session" not in late.client.cookies


def test_sixty_guesses_at_once_are_ten_checks(browser: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many come before the first is answered; who knows the password is not counted."""
    checked, barrier = list[int](), threading.Barrier(60, timeout=60)
    refused = threading.Semaphore(0)

    def slow(known: str | None, password: str) -> bool:
        checked.append(1)
        if len(checked) == FAILURES:
            assert all(refused.acquire(timeout=60) for _ in range(60 - FAILURES)), "the others are refused before these are answered"
        return password_fits(known, password)

    monkeypatch.setattr(login, "password_fits", slow)
    clients = [browser() for _ in range(60)]

    def guess(one: Browser) -> int:
        barrier.wait()
        answer = one.log_in("otto", "wrong password")
        if answer == 429:
            refused.release()
        return answer

    with ThreadPoolExecutor(60) as pool:
        said = list(pool.map(guess, clients))
    assert (len(checked), said.count(403), said.count(429)) == (FAILURES, FAILURES, 60 - FAILURES)


def test_who_logs_in_is_not_counted(browser: Open) -> None:
    """More often than anybody may fail."""
    for _ in range(FAILURES + 2):
        browser("otto")


def test_a_session_ends(browser: Open, hospital: Hospital) -> None:
    """By logging out, in the journal and not only in the browser, and with the account."""
    mine, again = browser("otto"), browser("vera")
    cookie = mine.client.cookies["hilum_session"]
    assert mine.post("/logout") == 303
    assert hospital.journal.accounts.key(digest_of(cookie), hospital.journal.now()) is None
    hospital.journal.accounts.close("vera")
    assert again.client.get("/").headers["location"] == "/login"


def test_a_session_that_nobody_uses_ends(browser: Open, hospital: Hospital, monkeypatch: pytest.MonkeyPatch) -> None:
    """A window left open renews itself, and that is no use: after two hours the next look leads to the login. Who looks stays, until the
    session is as old as it may be."""
    idle, at_work, later = browser("vera"), browser("otto"), timedelta(0)
    now = hospital.journal.now
    monkeypatch.setattr(hospital.journal, "now", lambda: now() + later)
    for _ in range(9):
        later += timedelta(minutes=65)
        seen = idle.client.get("/tabs", headers={"HX-Request": "true", "HX-Trigger": "tabs"})
        assert seen.headers.get("hx-redirect") == (None if later < timedelta(hours=2) else "/login")
        assert at_work.client.get("/studies").status_code == 200
    assert idle.client.get("/studies").headers["location"] == "/login"
    later = timedelta(hours=10)
    assert at_work.client.get("/studies").headers["location"] == "/login"


def test_login_and_logout_are_told_with_what_was_wrong(browser: Open) -> None:
    """Each with the address; what was typed as a name is told of nobody, for it may be a password."""
    with capture_logs() as events:
        mine = browser("otto")
        browser().log_in("otto", "wrong password")
        assert (mine.post("/logout"), mine.post("/logout")) == (303, 303)
    told = [
        (one["event"], one.get("account"), one["address"], one.get("reason")) for one in events if one["event"].startswith("console.log")
    ]
    assert told == [
        ("console.login", "otto", "testclient", None),
        ("console.login_refused", "", "testclient", "name or password is wrong"),
        ("console.logout", "otto", "testclient", None),
    ]


def test_a_token_is_for_programs(browser: Open, hospital: Hospital) -> None:
    """It needs no form token; it is no cookie, and a session's secret is no token."""
    now = hospital.journal.now()
    token = AccessKey(
        digest=digest_of("secret"),
        account="otto",
        role=Role.OPERATOR,
        kind=KeyKind.TOKEN,
        label="nagios",
        created_at=now,
        ends_at=now + timedelta(days=1),
    )
    browser()
    hospital.journal.accounts.open_key(token)
    client = browser().client
    (job,) = hospital.journal.jobs.find(study=TILTED)
    answer = client.post(f"/api/jobs/{job.id}/retry", headers={"Authorization": "Bearer secret"})
    assert (answer.status_code, answer.json()) == (200, {"id": job.id, "state": "queued"})
    client.cookies.set("hilum_session", "secret")
    assert client.get("/").headers["location"] == "/login"
    session = browser("otto").client.cookies["hilum_session"]
    assert browser().client.get("/api/queue", headers={"Authorization": f"Bearer {session}"}).status_code == 401


def test_the_description_lists_every_call(browser: Open) -> None:
    """OpenAPI of the calls, without the pages, for those who may log in; pages about it there are none."""
    assert [browser().client.get(path).status_code for path in ("/api/openapi.json", "/docs", "/redoc", "/openapi.json")] == [
        401,
        404,
        404,
        404,
    ]
    paths = browser("vera").client.get("/api/openapi.json").json()["paths"]
    assert sorted(paths) == sorted(
        [
            "/api/ask/{kind}/{name}",
            "/api/associations",
            "/api/config/{block}",
            "/api/config/{block}/check",
            "/api/events",
            "/api/health",
            "/api/jobs",
            "/api/jobs/{job}/objects/{sop_uid}/page.png",
            "/api/jobs/{job}/objects/{sop_uid}/thumbnail.png",
            "/api/jobs/{number}",
            "/api/jobs/{number}/{verb}",
            "/api/models",
            "/api/pace",
            "/api/parked",
            "/api/pauses/{kind}/{name}/{verb}",
            "/api/queue",
            "/api/room",
            "/api/routes",
            "/api/routes/check",
            "/api/routes/explain",
            "/api/routes/replays",
            "/api/routes/replays/{number}",
            "/api/routes/replays/{number}/stop",
            "/api/routes/revisions",
            "/api/routes/revisions/{number}",
            "/api/routes/revisions/{number}/rollback",
            "/api/status",
            "/api/studies",
            "/api/studies/{uid}",
            "/api/studies/{uid}/complete",
            "/api/studies/{uid}/held/{verb}",
            "/api/studies/{uid}/retry",
            "/api/upload",
            "/api/keys/{kind}",
            "/api/keys/{kind}/{beginning}/end",
            "/api/tokens",
            "/api/users",
            "/api/users/{name}/{verb}",
            "/api/waiting/{address}/unlock",
            "/api/studies/{uid}/images/{row}/{frame}.png",
            "/api/studies/{uid}/images/{row}/{frame}/value",
            "/api/studies/{uid}/images/{row}/{frame}/mask/received/{sop_uid}.png",
            "/api/studies/{uid}/images/{row}/{frame}/mask/{job}/{sop_uid}.png",
        ]
    )


def test_assets_come_with_their_licences() -> None:
    """Every script that others wrote is named in LICENSES.txt, and no asset names another host to fetch from."""
    licences = here("static/LICENSES.txt").read_text()
    own = {"console.js", "routes.js", "search.js", "slices.js", "upload.js"}
    others = {path.name for path in here("static").glob("*.js")} - own
    assert others == {"htmx.min.js", "sse.min.js", "prism-core.min.js", "prism-yaml.min.js"}
    assert all(name in licences for name in others)
    assert all("http" not in here(f"static/{name}").read_text() for name in own)
    assert "url(" not in here("static/console.css").read_text()
