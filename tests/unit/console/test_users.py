"""`hilum console users|tokens` and the page of users: who may log in, what is refused, and what each may no more at once."""

import html
import io
import os
import pwd
import re
from base64 import b64decode
from datetime import timedelta
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from node.console.access import password_fits
from node.console.accounts import FAILURES, digest_of, make_token
from node.domain.account import Account, KeyKind, Role
from node.journal.errors import JournalFull
from tests.lab.audit import events, trail
from tests.unit.cli.conftest import Hospital, Run, run
from tests.unit.console.conftest import Open

__all__ = ["run"]


def test_people_come_and_go(run: Run, empty: Hospital, monkeypatch: pytest.MonkeyPatch) -> None:
    """The password goes in by standard input, and lies in the journal as its hash; a short one changes nothing."""
    monkeypatch.setattr("sys.stdin", io.StringIO("correct horse battery\nshort\nanother long one\n"))
    assert run("console", "users", "add", "otto", "--role", "operator").out == 'user "otto" may log in as operator\n'
    (otto,) = empty.journal.accounts.find()
    assert (otto.role, password_fits(otto.password, "correct horse battery"), password_fits(otto.password, "wrong")) == (
        Role.OPERATOR,
        True,
        False,
    )
    assert "correct" not in str(otto.password)
    assert run("console", "users", "add", "ann").code == 1, "the password is too short"
    assert run("console", "users", "add", "otto").code == 1, "there is one"
    assert run("console", "users", "add", "a b").code == 1, "no name"
    assert [(one["name"], one["role"]) for one in run("console", "users", "list", "--json").json] == [("otto", "operator")]
    secret = run("console", "tokens", "add", "otto", "--for", "nagios").out.strip()
    key = empty.journal.accounts.key(digest_of(secret), empty.journal.now())
    assert key is not None
    for days in ("0", "-5", "3651"):
        refused = run("console", "tokens", "add", "otto", "--days", days)
        assert (refused.code, refused.out, "1 to 3650 days" in refused.err) == (1, "", True)
    (listed,) = run("console", "tokens", "list", "--json").json
    assert (listed["user"], listed["for"], secret in str(listed)) == ("otto", "nagios", False)
    assert run("console", "tokens", "remove", "x" * 12).code == 1
    assert run("console", "tokens", "remove", listed["id"]).code == 0
    assert empty.journal.accounts.key(key.digest, empty.journal.now()) is None
    assert run("console", "users", "role", "otto", "admin").out == 'user "otto" is admin now\n'
    assert run("console", "users", "password", "otto").code == 0
    (otto,) = empty.journal.accounts.find()
    assert (otto.role, password_fits(otto.password, "another long one"), password_fits(otto.password, "correct horse battery")) == (
        Role.ADMIN,
        True,
        False,
    )
    assert (run("console", "users", "role", "ann", "admin").code, run("console", "users", "password", "ann").code) == (1, 1)
    for last in (("remove", "otto"), ("role", "otto", "viewer")):
        refused = run("console", "users", *last)
        assert (refused.code, "HLM-7015" in refused.err) == (1, True)
    monkeypatch.setattr("sys.stdin", io.StringIO("a third long one\n"))
    assert run("console", "users", "add", "ada", "--role", "admin").code == 0
    assert run("console", "users", "remove", "otto").code == 0
    assert run("console", "users", "remove", "otto").code == 1
    assert run("console", "tokens", "add", "otto").code == 1


NEW = "a password for gina"


def sessions(hospital: Hospital, name: str) -> list[str]:
    """How the page names somebody's sessions."""
    return [one.digest[:12] for one in hospital.journal.accounts.keys(KeyKind.SESSION, hospital.journal.now()) if one.account == name]


def test_an_admin_lets_people_in_and_out_with_the_browser(browser: Open, hospital: Hospital) -> None:
    """What the command does, each told to the audit trail with the account and the address; the list says who is there."""
    ada, accounts = browser("ada"), hospital.journal.accounts
    with capture_logs() as events:
        assert ada.post("/users", name="gina", role="operator", password=NEW, again=NEW) == 303
        gina = browser("gina", NEW)
        assert gina.client.get("/routes").status_code == 200
        assert ada.post("/users/gina/role", role="viewer") == 303
        assert gina.client.get("/routes").status_code == 403, "the session has the role at once"
        assert ada.post("/users/gina/password", password=f"{NEW} too", again=f"{NEW} too") == 303
        assert gina.client.get("/").headers["location"] == "/login", "the sessions have ended"
        gina = browser("gina", f"{NEW} too")
        (mine,) = sessions(hospital, "gina")
        assert f"/keys/session/{mine}/end" in ada.client.get("/users").text
        assert ada.post(f"/keys/session/{mine}/end") == 303
        assert gina.client.get("/").headers["location"] == "/login"
        assert ada.post(f"/keys/session/{mine}/end") == 404
        assert ada.post("/users/gina/remove") == 303
    assert accounts.get("gina") is None
    assert [ada.post(f"/users/gina/{verb}", role="viewer", password=NEW, again=NEW) for verb in ("role", "password", "remove")] == [404] * 3
    told = [(one["account"], one["address"], one["verb"], one["subject"]) for one in events if one["event"] == "console.acted"]
    assert told == [
        ("ada", "testclient", verb, f"user gina{more}")
        for verb, more in (
            ("add", " as operator"),
            ("change role of", " to viewer"),
            ("change password of", ""),
            ("end session of", ""),
            ("remove", ""),
        )
    ]


def test_what_is_no_good_is_said_and_changes_nothing(browser: Open, hospital: Hospital) -> None:
    """A short password, two that are not the same, a name that is none or taken: in a sentence, with the name that was typed."""
    ada, before = browser("ada"), hospital.journal.accounts.find()
    for name, password, again, words in (
        ("gina", "short", "short", "10 are the least"),
        ("gina", NEW, f"{NEW}!", "not the same"),
        ("<b>", NEW, NEW, "is no user name"),
        ("otto", NEW, NEW, "already"),
    ):
        fields = {"form_token": ada.form_token, "name": name, "role": "admin", "password": password, "again": again}
        answer = ada.client.post("/users", data=fields)
        assert answer.status_code == 422
        assert words in answer.text
        assert f'value="{html.escape(name)}"' in answer.text
        assert NEW not in answer.text
    assert ada.post("/users", name="gina", role="root", password=NEW, again=NEW) == 422
    assert ada.post("/users/otto/password", password="short", again="short") == 422
    assert hospital.journal.accounts.find() == before


def test_the_last_admin_stays(browser: Open, hospital: Hospital) -> None:
    """Neither removed nor made something else, as long as nobody else is admin."""
    ada = browser("ada")
    assert "/users/ada/remove" not in ada.client.get("/users").text
    assert (ada.post("/users/ada/remove"), ada.post("/users/ada/role", role="viewer")) == (409, 409)
    assert ada.post("/users/otto/role", role="admin") == 303
    assert "/users/ada/remove" in ada.client.get("/users").text
    assert ada.post("/users/ada/remove") == 303
    assert ada.client.get("/users").headers["location"] == "/login"
    assert [one.name for one in hospital.journal.accounts.find() if one.role is Role.ADMIN] == ["otto"]


def test_a_token_is_shown_once_and_when_it_was_used_last(browser: Open, hospital: Hospital) -> None:
    """For a program, until it is ended; the list never has its secret."""
    ada = browser("ada")
    fields = {"form_token": ada.form_token, "user": "vera", "label": "nagios", "days": "30"}
    told = re.search(r'<pre class="paste" tabindex="0">([^<]{40,})</pre>', ada.client.post("/tokens", data=fields).text)
    assert told is not None
    page = ada.client.get("/users").text
    assert (told[1] in page, "nagios" in page, ">never<" in page) == (False, True, True)
    program, header = browser().client, {"Authorization": f"Bearer {told[1]}"}
    assert program.get("/api/queue", headers=header).status_code == 200
    (token,) = hospital.journal.accounts.keys(KeyKind.TOKEN, hospital.journal.now())
    assert token.used_at is not None
    assert token.ends_at - token.created_at == timedelta(days=30)
    assert ">never<" not in ada.client.get("/users").text
    assert ada.post(f"/keys/token/{token.digest[:12]}/end") == 303
    assert program.get("/api/queue", headers=header).status_code == 401
    assert (ada.post("/tokens", user="nobody", days="3"), ada.post("/tokens", user="vera", days="0")) == (404, 422)


def test_a_journal_that_takes_nothing_keeps_nobody_from_looking(browser: Open, hospital: Hospital, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a full disk it is not remembered when a session was used; the page that says so is shown (the disk's refusal is played)."""
    vera = browser("vera")
    now = hospital.journal.now
    monkeypatch.setattr(hospital.journal, "now", lambda: now() + timedelta(hours=1))

    asked = []

    def full(*_: object) -> None:
        asked.append(True)
        raise JournalFull("database or disk is full")

    monkeypatch.setattr(type(hospital.journal.accounts), "use_key", full)
    assert (vera.client.get("/").status_code, bool(asked)) == (200, True)


def test_sessions_are_listed_and_ended_by_the_command(browser: Open, run: Run, hospital: Hospital, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever is ended, or disabled, is led to the login at the next look."""
    otto, vera = browser("otto"), browser("vera")
    listed = {one["user"]: one for one in run("console", "sessions", "list", "--json").json}
    assert {name: one["from"] for name, one in listed.items()} == {"otto": "testclient", "vera": "testclient"}
    for width in ("60", "80"):  # what cannot be spared is whole: by its id a session is ended
        monkeypatch.setenv("COLUMNS", width)
        lines = run("console", "sessions", "list").out.splitlines()[1:]
        assert sorted(line.split()[:2] for line in lines) == sorted([one["id"], name] for name, one in listed.items())
    assert run("console", "sessions", "end", listed["otto"]["id"]).out == "the session is ended\n"
    assert run("console", "sessions", "end", listed["otto"]["id"]).code == 1
    assert [one.client.get("/studies").status_code for one in (otto, vera)] == [303, 200]
    assert run("console", "users", "disable", "vera").code == 0
    assert vera.client.get("/studies").headers["location"] == "/login"
    assert browser().log_in("vera") == 403
    assert "disabled" in run("console", "users", "list").out
    assert run("console", "users", "enable", "vera").code == 0
    assert browser().log_in("vera") == 303
    assert (run("console", "users", "disable", "nobody").code, run("console", "users", "enable", "nobody").code) == (1, 1)
    assert run("console", "sessions", "list").code == 0


def test_an_address_that_waits_is_let_go(browser: Open, run: Run) -> None:
    """By the page and by the command; of one that does not wait both say so."""
    ada, guesser = browser("ada"), browser()
    for path in ("page", "command"):
        assert [guesser.log_in("otto", "wrong password") for _ in range(FAILURES)] == [403] * FAILURES
        assert guesser.log_in("otto") == 429
        assert "/waiting/testclient/unlock" in ada.client.get("/users").text
        if path == "page":
            assert ada.post("/waiting/testclient/unlock") == 303
        else:
            assert run("console", "users", "unlock", "testclient").out == "testclient may try again\n"
        assert browser().log_in("otto") == 303
    assert (ada.post("/waiting/testclient/unlock"), run("console", "users", "unlock", "testclient").code) == (404, 1)


def test_what_the_command_changes_is_told_to_the_trail(run: Run, empty: Hospital, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside a node that serves or not: each change by whom the machine knows, none where none was made; where the trail takes nothing,
    nothing is done."""
    folder, config = place / "audit", place / "hilum.yaml"
    plain = config.read_text()
    config.write_text(f"{plain}\naudit: {{folder: {folder}}}\n")
    monkeypatch.setattr("sys.stdin", io.StringIO("correct horse battery\nanother long one\n"))
    assert run("console", "users", "add", "otto", "--role", "operator").code == 0
    assert run("console", "users", "role", "otto", "viewer").code == 0
    assert run("console", "users", "password", "otto").code == 0
    secret = run("console", "tokens", "add", "otto", "--for", "nagios").out.strip()
    (token,) = run("console", "tokens", "list", "--json").json
    assert run("console", "tokens", "remove", token["id"]).code == 0
    assert run("console", "users", "disable", "otto").code == 0
    assert run("console", "users", "remove", "otto").code == 0
    assert run("console", "users", "remove", "otto").code == 1
    messages = trail(folder)
    assert events(messages) == ["Security Alert"] * 7
    told = [b64decode(str(one.get("value"))).decode() for message in messages for one in message.iter("ParticipantObjectDetail")]
    assert told == [
        f"done at the console: {verb} user otto{more}"
        for verb, more in (
            ("add", " as operator"),
            ("change role of", " to viewer"),
            ("change password of", ""),
            ("add token of", ""),
            ("end token of", ""),
            ("disable", ""),
            ("remove", ""),
        )
    ]
    who = {
        str(one.get("UserID")) for message in messages for one in message.iter("ActiveParticipant") if one.get("UserIsRequestor") == "true"
    }
    assert who == {f"{pwd.getpwuid(os.getuid()).pw_name} (uid {os.getuid()})"}
    assert secret not in "".join(path.read_text() for path in folder.iterdir())
    config.write_text(f"{plain}\naudit: {{folder: {next(folder.iterdir())}}}\n")
    refused = run("console", "users", "add", "ann")
    assert (refused.code, "HLM-7055" in refused.err, "nothing was done" in refused.err) == (1, True, True)
    assert empty.journal.accounts.find() == []


def test_the_api_administers_as_the_page_does(browser: Open, hospital: Hospital) -> None:
    """A program with an admin's token: adds, changes, disables, removes, makes tokens and ends keys; what is no good is told as JSON."""
    secret = make_token(hospital.journal.accounts, _known(browser, hospital), "idm", 1, hospital.journal.now())
    client, header = browser().client, {"Authorization": f"Bearer {secret}"}

    def call(path: str, **fields: str) -> tuple[int, dict[str, object]]:
        answer = client.post(f"/api{path}", data=fields, headers=header)
        return answer.status_code, answer.json()

    assert call("/users", name="gina", role="viewer", password="short") == (
        422,
        {"error": "that password has 5 characters, and 10 are the least: nothing was changed"},
    )
    status, told = call("/users", name="gina", role="viewer", password=NEW)
    assert (status, told["name"], told["role"], told["disabled_at"]) == (200, "gina", "viewer", None)
    assert call("/users/gina/role", role="operator")[1]["role"] == "operator"
    gina = browser("gina", NEW)
    assert [one["user"] for one in client.get("/api/keys/session", headers=header).json()["sessions"]] == ["gina"]
    status, made = call("/tokens", user="gina", days="3", label="nagios")
    assert (status, made["user"], client.get("/api/queue", headers={"Authorization": f"Bearer {made['token']}"}).status_code) == (
        200,
        "gina",
        200,
    )
    (key,) = [one for one in client.get("/api/keys/token", headers=header).json()["tokens"] if one["label"] == "nagios"]
    assert call(f"/keys/token/{key['id']}/end") == (200, {"kind": "token", "id": key["id"], "user": "gina"})
    assert call("/users/gina/disable")[1]["disabled_at"] is not None
    assert gina.client.get("/studies").headers["location"] == "/login"
    assert call("/users/gina/remove") == (200, {"name": "gina", "removed": True})
    assert call("/users/gina/remove")[0] == 404
    assert call("/users/ada/disable")[0] == 409
    assert call("/users/ada/everything")[0] == 422
    assert [one["name"] for one in client.get("/api/users", headers=header).json()["users"]] == ["ada", "otto", "vera"]


def _known(browser: Open, hospital: Hospital) -> Account:
    browser()
    ada = hospital.journal.accounts.get("ada")
    assert ada is not None
    return ada
