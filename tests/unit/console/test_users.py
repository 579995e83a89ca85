"""`hilum console users|tokens` and the page of users: who may log in, what is refused, and what each may no more at once."""

import html
import io
import re
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from node.console.access import password_fits
from node.console.accounts import digest_of
from node.domain.account import KeyKind, Role
from node.journal.errors import JournalFull
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
    assert "correct" not in otto.password
    assert run("console", "users", "add", "ann").code == 1, "the password is too short"
    assert run("console", "users", "add", "otto").code == 1, "there is one"
    assert run("console", "users", "add", "a b").code == 1, "no name"
    assert [(one["name"], one["role"]) for one in run("console", "users", "list", "--json").json] == [("otto", "operator")]
    secret = run("console", "tokens", "add", "otto", "--for", "nagios").out.strip()
    key = empty.journal.accounts.key(digest_of(secret), empty.journal.now())
    assert key is not None
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
