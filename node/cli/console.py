"""`hilum console users|sessions|tokens`: who may use the console. What is changed is told to the audit trail, as at the console itself."""

import contextlib
import getpass
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from node.cli.ending import NothingFound
from node.cli.opened import ConfigOption, JsonOption, journal
from node.console.accounts import FAILURES, SHOWN, WINDOW, UnfitAccount, demand_local, demand_name, demand_password, key_of, make_token
from node.domain.account import Account, KeyKind, Role
from node.domain.places import address_group

if TYPE_CHECKING:
    from node.journal.journal import Journal


def add_user(name: str, /, *, role: Role = Role.VIEWER, config: ConfigOption = None) -> None:
    """Let a person in; the password is asked for, or read from standard input.

    Parameters
    ----------
    name
        By which the person logs in.
    role
        viewer (looks), operator (also retries and cancels) or admin.
    """
    demand_name(name)
    with _changing(config) as (opened, told):
        if opened.accounts.get(name) is not None:
            raise UnfitAccount(f'there is a user "{name}" already: `hilum console users role` and `… password` change it')
        password = _hashed(_password())
        if not opened.accounts.open(Account(name=name, role=role, password=password, created_at=opened.now())):
            raise UnfitAccount(f'there is a user "{name}" already')
        told("add", f"user {name} as {role}")
    print(f'user "{name}" may log in as {role}')


def list_users(*, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """List who may log in."""
    from node.cli import screen

    with journal(config) as (_, opened):
        found = opened.accounts.find()
    if as_json:
        screen.as_json(
            [
                {
                    "name": one.name,
                    "role": one.role.value,
                    "origin": one.origin.value,
                    "created_at": screen.stamp(one.created_at),
                    "disabled_at": screen.stamp(one.disabled_at),
                }
                for one in found
            ]
        )
        return
    rows = [
        {
            "user": one.name,
            "role": one.role.value,
            "by": one.origin.value,
            "since": screen.when(one.created_at),
            "": "disabled" if one.disabled_at else "",
        }
        for one in found
    ]
    nobody = "no users yet; `hilum console users add NAME --role operator` lets somebody in"
    screen.out().print(screen.listing(rows, spare=("since", "by")) if rows else nobody)


def change_role(name: str, role: Role, /, *, config: ConfigOption = None) -> None:
    """Give a person another role; sessions and tokens have it at once.

    Parameters
    ----------
    name
        The user.
    role
        viewer (looks), operator (also retries and cancels) or admin.
    """
    with _changing(config) as (opened, told):
        demand_local(_account(opened, name), "roles")
        if not opened.accounts.change(name, role=role):
            raise NothingFound(_unknown(opened, name))
        told("change role of", f"user {name} to {role}")
    print(f'user "{name}" is {role} now')


def change_password(name: str, /, *, config: ConfigOption = None) -> None:
    """Give a person another password, which is asked for, or read from standard input; ends sessions, not tokens.

    Parameters
    ----------
    name
        The user.
    """
    with _changing(config) as (opened, told):
        demand_local(_account(opened, name), "passwords")  # before anybody types one
        if not opened.accounts.change(name, password=_hashed(_password())):
            raise NothingFound(_unknown(opened, name))
        told("change password of", f"user {name}")
    print(f'user "{name}" logs in with the new password')


def remove_user(name: str, /, *, config: ConfigOption = None) -> None:
    """Let a person in no more, and end their sessions and tokens at once.

    Parameters
    ----------
    name
        The user.
    """
    with _changing(config) as (opened, told):
        if not opened.accounts.close(name):
            raise NothingFound(_unknown(opened, name))
        told("remove", f"user {name}")
    print(f'user "{name}" is removed')


def disable_user(name: str, /, *, config: ConfigOption = None) -> None:
    """Let a person in no more, and end their sessions at once; their tokens open nothing until they are enabled again.

    Parameters
    ----------
    name
        The user.
    """
    with _changing(config) as (opened, told):
        if not opened.accounts.disable(name, opened.now()):
            raise NothingFound(_unknown(opened, name))
        told("disable", f"user {name}")
    print(f'user "{name}" is disabled')


def enable_user(name: str, /, *, config: ConfigOption = None) -> None:
    """Let a person in again who was disabled.

    Parameters
    ----------
    name
        The user.
    """
    with _changing(config) as (opened, told):
        if not opened.accounts.disable(name, None):
            raise NothingFound(_unknown(opened, name))
        told("enable", f"user {name}")
    print(f'user "{name}" may log in')


def unlock(address: str, /, *, config: ConfigOption = None) -> None:
    """Let an address try to log in again at once, that failed too often and waits.

    Parameters
    ----------
    address
        As the page of users lists it.
    """
    with _changing(config) as (opened, told):
        group = address_group(address.partition("/")[0])
        if not opened.accounts.forget_attempts(group):
            waiting = ", ".join(network for network, _ in opened.accounts.waiting(opened.now(), most=FAILURES, window=WINDOW))
            raise NothingFound(f'nothing failed at "{address}" lately; waiting: {waiting or "nobody"}')
        told("unlock", f"address {group}")
    print(f"{group} may try again")


def list_sessions(*, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """List who is logged in, since when, and from where."""
    from node.cli import screen

    with journal(config) as (loaded, opened):
        idle = None if loaded.console is None else loaded.console.idle
        found = opened.accounts.keys(KeyKind.SESSION, opened.now(), idle)
    if as_json:
        screen.as_json(
            [
                {
                    "id": one.digest[:SHOWN],
                    "user": one.account,
                    "from": one.label,
                    "created_at": screen.stamp(one.created_at),
                    "used_at": screen.stamp(one.used_at),
                    "ends_at": screen.stamp(one.ends_at),
                }
                for one in found
            ]
        )
        return
    rows = [
        {
            "id": one.digest[:SHOWN],
            "user": one.account,
            "since": screen.when(one.created_at),
            "last used": screen.when(one.used_at),
            "until": screen.when(one.ends_at),
            "from": screen.visible(one.label),
        }
        for one in found
    ]
    screen.out().print(screen.listing(rows, spare=("until", "since", "last used")) if rows else "nobody is logged in")


def end_session(number: Annotated[str, Parameter(name="id")], /, *, config: ConfigOption = None) -> None:
    """End a session at once.

    Parameters
    ----------
    number
        Its id, as `hilum console sessions list` prints it.
    """
    _end(KeyKind.SESSION, number, config)
    print("the session is ended")


def add_token(
    user: str,
    /,
    *,
    label: Annotated[str, Parameter(name="--for")] = "",
    days: int = 365,
    config: ConfigOption = None,
) -> None:
    """Make a token with a user's role; it is printed once.

    Parameters
    ----------
    user
        Whose role it has; it ends with the user.
    label
        What it is for, for the list.
    days
        How long it is good: ten years at most.
    """
    with _changing(config) as (opened, told):
        secret = make_token(opened.accounts, _account(opened, user), label, days, opened.now())
        told("add token of", f"user {user}")
    print(secret)


def list_tokens(*, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """List the tokens that are good."""
    from node.cli import screen

    with journal(config) as (_, opened):
        found = opened.accounts.keys(KeyKind.TOKEN, opened.now())
    if as_json:
        screen.as_json(
            [
                {
                    "id": one.digest[:SHOWN],
                    "user": one.account,
                    "for": one.label,
                    "used_at": screen.stamp(one.used_at),
                    "ends_at": screen.stamp(one.ends_at),
                }
                for one in found
            ]
        )
        return
    rows = [
        {
            "id": one.digest[:SHOWN],
            "user": one.account,
            "last used": screen.when(one.used_at),
            "until": screen.when(one.ends_at),
            "for": screen.visible(one.label),
        }
        for one in found
    ]
    screen.out().print(screen.listing(rows, spare=("until", "last used")) if rows else "no tokens")


def remove_token(number: Annotated[str, Parameter(name="id")], /, *, config: ConfigOption = None) -> None:
    """End a token at once.

    Parameters
    ----------
    number
        Its id, as `hilum console tokens list` prints it.
    """
    _end(KeyKind.TOKEN, number, config)
    print("the token is ended")


@contextlib.contextmanager
def _changing(config: Path | None) -> "Iterator[tuple[Journal, Callable[[str, str], None]]]":
    """The journal, and what tells the audit trail what was done."""
    from node.assembly.audit import accountable

    with journal(config) as (loaded, opened), accountable(loaded) as told:
        yield opened, told


def _end(kind: KeyKind, number: str, config: Path | None) -> None:
    with _changing(config) as (opened, told):
        found = key_of(opened.accounts, kind, number, opened.now())
        if found is None or not opened.accounts.close_key(found.digest):
            raise NothingFound(f'no {kind} has the id "{number}"')
        told(f"end {kind} of", f"user {found.account}")


def _account(opened: "Journal", name: str) -> Account:
    account = opened.accounts.get(name)
    if account is None:
        raise NothingFound(_unknown(opened, name))
    return account


def _password() -> str:
    """Asked for twice on a terminal; the first line of standard input elsewhere."""
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\n")
    password = getpass.getpass("Password: ")
    if getpass.getpass("Again: ") != password:
        raise UnfitAccount("the two are not the same: nothing was changed")
    return password


def _hashed(password: str) -> str:
    from node.console.errors import ConsoleAbsent

    try:
        from node.console.access import password_hash
    except ModuleNotFoundError as absent:
        raise ConsoleAbsent(f"the console needs {absent.name}") from absent
    demand_password(password)
    return password_hash(password)


def _unknown(opened: "Journal", name: str) -> str:
    return f'there is no user "{name}"; there: {", ".join(one.name for one in opened.accounts.find()) or "nobody"}'
