"""`hilum console users|tokens`: who may use the console."""

import getpass
import sys
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from node.cli.errors import NothingFound
from node.cli.opened import ConfigOption, JsonOption, journal
from node.console.accounts import SHOWN, UnfitAccount, demand_name, demand_password, key_of, make_token
from node.domain.account import Account, KeyKind, Role

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
    with journal(config) as (_, opened):
        if opened.accounts.get(name) is not None:
            raise UnfitAccount(f'there is a user "{name}" already: `hilum console users role` and `… password` change it')
        password = _hashed(_password())
        if not opened.accounts.open(Account(name=name, role=role, password=password, created_at=opened.now())):
            raise UnfitAccount(f'there is a user "{name}" already')
    print(f'user "{name}" may log in as {role}')


def list_users(*, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """List who may log in."""
    from node.cli import screen

    with journal(config) as (_, opened):
        found = opened.accounts.find()
    if as_json:
        screen.as_json([{"name": one.name, "role": one.role.value, "created_at": screen.stamp(one.created_at)} for one in found])
        return
    table = screen.table("user", "role", "since")
    for one in found:
        table.add_row(one.name, one.role.value, screen.when(one.created_at))
    screen.out().print(table if found else "no users yet; `hilum console users add NAME --role operator` lets somebody in")


def change_role(name: str, role: Role, /, *, config: ConfigOption = None) -> None:
    """Give a person another role; sessions and tokens have it at once.

    Parameters
    ----------
    name
        The user.
    role
        viewer (looks), operator (also retries and cancels) or admin.
    """
    with journal(config) as (_, opened):
        if not opened.accounts.change(name, role=role):
            raise NothingFound(_unknown(opened, name))
    print(f'user "{name}" is {role} now')


def change_password(name: str, /, *, config: ConfigOption = None) -> None:
    """Give a person another password, which is asked for, or read from standard input; ends sessions, not tokens.

    Parameters
    ----------
    name
        The user.
    """
    with journal(config) as (_, opened):
        if opened.accounts.get(name) is None:
            raise NothingFound(_unknown(opened, name))
        if not opened.accounts.change(name, password=_hashed(_password())):
            raise NothingFound(_unknown(opened, name))
    print(f'user "{name}" logs in with the new password')


def remove_user(name: str, /, *, config: ConfigOption = None) -> None:
    """Let a person in no more, and end their sessions and tokens at once.

    Parameters
    ----------
    name
        The user.
    """
    with journal(config) as (_, opened):
        if not opened.accounts.close(name):
            raise NothingFound(_unknown(opened, name))
    print(f'user "{name}" is removed')


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
        How long it is good.
    """
    with journal(config) as (_, opened):
        account = opened.accounts.get(user)
        if account is None:
            raise NothingFound(_unknown(opened, user))
        secret = make_token(opened.accounts, account, label, days, opened.now())
    print(secret)


def list_tokens(*, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """List the tokens that are good."""
    from node.cli import screen

    with journal(config) as (_, opened):
        found = opened.accounts.keys(KeyKind.TOKEN, opened.now())
    rows = [
        {
            "id": one.digest[:SHOWN],
            "user": one.account,
            "for": one.label,
            "used_at": screen.stamp(one.used_at),
            "ends_at": screen.stamp(one.ends_at),
        }
        for one in found
    ]
    if as_json:
        screen.as_json(rows)
        return
    table = screen.table("id", "user", "for", "last used", "until")
    for row, one in zip(rows, found, strict=True):
        table.add_row(str(row["id"]), one.account, one.label, screen.when(one.used_at), screen.when(one.ends_at))
    screen.out().print(table if found else "no tokens")


def remove_token(number: Annotated[str, Parameter(name="id")], /, *, config: ConfigOption = None) -> None:
    """End a token at once.

    Parameters
    ----------
    number
        Its id, as `hilum console tokens list` prints it.
    """
    with journal(config) as (_, opened):
        found = key_of(opened.accounts, KeyKind.TOKEN, number, opened.now())
        if found is None or not opened.accounts.close_key(found.digest):
            raise NothingFound(f'no token has the id "{number}"')
    print("the token is ended")


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
