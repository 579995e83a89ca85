"""Who may use the console: what pages and the command both do to accounts and keys. It needs nothing of what pages are made of."""

import hashlib
import re
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from node.console.errors import NameTaken, NotAdmitted
from node.domain.account import AccessKey, Account, AccountOrigin, KeyKind, Role
from node.domain.errors import ConfigError

if TYPE_CHECKING:
    from node.journal.accounts import Accounts

LEAST = 10
"""Characters of a password."""
SHOWN = 12
"""How much of a key's digest names it to people."""
LONGEST_DAYS = 3650
FAILURES = 10
WINDOW = timedelta(minutes=5)
"""Failed logins of a network, over all consoles of the node. An account is never locked for failing: whoever knows its name could lock its
owner out."""
WHERE = {AccountOrigin.LDAP: "directory", AccountOrigin.OIDC: "provider"}
"""What people call the one of the hospital that vouches."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")


class UnfitAccount(ConfigError):
    """A user name or password for the console is not taken: too short, not the same twice, or there already. Nothing was changed."""

    code = "HLM-2123"
    remedy = "Call it again with what the message asks for; `hilum console users list` says who is there."


def demand_name(name: str) -> None:
    """Refuse what is no user name.

    Raises
    ------
    UnfitAccount
    """
    if not _NAME.fullmatch(name):
        raise UnfitAccount(f'"{name}" is no user name: up to 64 letters, digits, dots, hyphens, underscores, at-signs')


def demand_password(password: str) -> None:
    """Refuse a password that is too short.

    Raises
    ------
    UnfitAccount
    """
    if len(password) < LEAST:
        raise UnfitAccount(f"that password has {len(password)} characters, and {LEAST} are the least: nothing was changed")


def demand_local(account: Account, what: str) -> None:
    """Refuse what is decided where somebody else vouches for a person.

    Raises
    ------
    UnfitAccount
    """
    if account.origin is not AccountOrigin.LOCAL:
        where = WHERE[account.origin]
        raise UnfitAccount(f'"{account.name}" is let in by the hospital\'s {where}, which decides about {what}: nothing was changed')


@dataclass(frozen=True, slots=True, kw_only=True)
class Vouched:
    """A person as the hospital knows them now. `subject` is theirs alone, whatever the name; `role` None: no group of theirs has one.
    `session` is the provider's own, where it names one."""

    name: str
    subject: str
    role: Role | None
    session: str = ""


def admit(accounts: "Accounts", origin: AccountOrigin, vouched: Vouched, now: datetime) -> Account:
    """The account of whom the hospital vouches for, opened where there is none; it has the role that the groups give from now on.

    Raises
    ------
    NotAdmitted
        No group has a role: sessions end. An admin disabled the person here.
    NameTaken
    UnfitAccount
        The hospital's name is none that a user here can have.
    """
    where = WHERE[origin]
    if vouched.role is None:
        accounts.turn_away(origin, vouched.subject)
        raise NotAdmitted(f"the hospital's {where} knows {vouched.name}, and no group of theirs has a role here", vouched.name)
    demand_name(vouched.name)
    account = accounts.admit(
        Account(name=vouched.name, role=vouched.role, password=None, created_at=now, origin=origin, subject=vouched.subject)
    )
    if account is None:
        raise NameTaken(f"{vouched.name} of the hospital's {where} cannot log in: somebody else has that name here", vouched.name)
    if account.disabled_at is not None:
        raise NotAdmitted(f"an admin of this node disabled {account.name}", account.name)
    return account


def make_token(accounts: "Accounts", account: Account, label: str, days: int, now: datetime) -> str:
    """A token with an account's role, for ten years at most; its secret, which nobody can be told again.

    Raises
    ------
    UnfitAccount
        The account is gone, disabled, or the hospital's: a token outlives whoever has left. So many days are none or too many.
    """
    demand_local(account, "who may ask: make a user of this node for the program")
    if not 1 <= days <= LONGEST_DAYS:
        raise UnfitAccount(f"a token is good for 1 to {LONGEST_DAYS} days")
    secret = new_secret()
    key = AccessKey(
        digest=digest_of(secret),
        account=account.name,
        role=account.role,
        kind=KeyKind.TOKEN,
        label=label,
        created_at=now,
        ends_at=now + timedelta(days=days),
    )
    if not accounts.open_key(key):
        raise UnfitAccount(f'there is no user "{account.name}" any more, or it is disabled')
    return secret


def key_of(accounts: "Accounts", kind: KeyKind, beginning: str, now: datetime) -> AccessKey | None:
    """The one key of this kind whose digest begins so; None where it is too short a beginning, of none or of several."""
    found = [one for one in accounts.keys(kind, now) if len(beginning) >= SHOWN and one.digest.startswith(beginning)]
    return found[0] if len(found) == 1 else None


def new_secret() -> str:
    """A new secret of 256 bits."""
    return secrets.token_urlsafe(32)


def digest_of(secret: str) -> str:
    """Under which a secret is kept."""
    return hashlib.sha256(secret.encode()).hexdigest()
