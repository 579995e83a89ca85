"""`hilum console users|tokens`: who may log in, and what is refused."""

import io

import pytest

from node.console.access import digest_of, password_fits
from node.domain.account import Role
from tests.unit.cli.conftest import Hospital, Run, run

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
    assert run("console", "users", "remove", "otto").code == 0
    assert run("console", "users", "remove", "otto").code == 1
    assert run("console", "tokens", "add", "otto").code == 1
