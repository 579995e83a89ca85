"""Who may use the console: what pages and the command both do to accounts and keys. It needs nothing of what pages are made of."""

import hashlib
import re
import secrets
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from node.domain.account import AccessKey, Account, KeyKind
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


def make_token(accounts: "Accounts", account: Account, label: str, days: int, now: datetime) -> str:
    """A token with an account's role, for ten years at most; its secret, which nobody can be told again.

    Raises
    ------
    UnfitAccount
        The account is gone or disabled, or so many days are none or too many.
    """
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
