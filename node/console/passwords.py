"""Passwords and secrets: Argon2id for what people choose, SHA-256 for what this program draws."""

import hashlib
import hmac
import secrets
import threading

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

LEAST = 10
"""Characters of a password."""
_AT_ONCE = threading.Semaphore(2)  # each takes 64 MiB and a tenth of a second: a flood of logins must not take the machine
_HASHER = PasswordHasher()
_NOBODY = _HASHER.hash(secrets.token_urlsafe())


def hashed(password: str) -> str:
    """The Argon2id hash in the PHC string format."""
    return _HASHER.hash(password)


def fits(known: str | None, password: str) -> bool:
    """Whether the password is the one of the hash; takes as long where there is no such account (None)."""
    with _AT_ONCE:
        try:
            return _HASHER.verify(known or _NOBODY, password) and known is not None
        except (Argon2Error, InvalidHashError):
            return False


def drawn() -> str:
    """A new secret of 256 bits."""
    return secrets.token_urlsafe(32)


def digest_of(secret: str) -> str:
    """Under which a secret is kept."""
    return hashlib.sha256(secret.encode()).hexdigest()


def form_token(secret: str) -> str:
    """What forms of a session carry: who cannot read its pages cannot know it."""
    return hmac.new(secret.encode(), b"form", hashlib.sha256).hexdigest()
