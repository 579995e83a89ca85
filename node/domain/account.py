"""Accounts of the console: people with roles, and the keys (sessions, API tokens) that stand for them."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Role(StrEnum):
    """What a person may do; each may do what those before it may."""

    VIEWER = "viewer"  # look
    OPERATOR = "operator"  # retry, cancel
    ADMIN = "admin"  # all that the console offers

    def may(self, least: "Role") -> bool:
        """Whether this role may do what `least` may."""
        order = list(Role)
        return order.index(self) >= order.index(least)


class KeyKind(StrEnum):
    """For what a key is."""

    SESSION = "session"  # a browser's cookie
    TOKEN = "token"  # a program's Authorization header


class AccountOrigin(StrEnum):
    """Who vouches for a person."""

    LOCAL = "local"  # this node, by a password
    OIDC = "oidc"  # the hospital's provider (OpenID Connect)
    LDAP = "ldap"  # the hospital's directory


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A person.

    Attributes
    ----------
    password
        An Argon2 hash; None where this node does not vouch for the person.
    subject
        Who it is to the provider or directory that does: names are given to others again, this is not; empty of a local one.
    disabled_at
        Since when the person is not let in, whoever vouches; None: is let in.
    """

    name: str
    role: Role
    password: str | None
    created_at: datetime
    origin: AccountOrigin = AccountOrigin.LOCAL
    subject: str = ""
    disabled_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessKey:
    """A session or a token.

    Attributes
    ----------
    digest
        SHA-256 (hex) of the secret, which is kept nowhere.
    role
        The account's now.
    label
        What a token is for; of a session, the address at which it was opened.
    used_at
        When it was used last, to some minutes.
    provider_session
        Session ID (`sid`) of the provider that vouched; empty: it named none, or somebody else vouched.
    """

    digest: str
    account: str
    role: Role
    kind: KeyKind
    label: str
    created_at: datetime
    ends_at: datetime
    used_at: datetime | None = None
    provider_session: str = ""
