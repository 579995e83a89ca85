"""A store: a journal and blobs that belong together, and the identity by which they know each other."""

import secrets
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What a journal knows of its store. `signed`: the blobs were seen to bear the identity; until then a first start may have been cut."""

    identity: str
    signed: bool


def new_identity() -> str:
    """128 random bits, in hexadecimal."""
    return secrets.token_hex(16)


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedBlob:
    """A blob that a row wants. `size` in bytes and `digest` (SHA-256, hex) of the file, or with `of_data_set` the digest of what follows
    its file meta information; None: the row does not say, and the blob itself proves what it holds."""

    name: str
    size: int | None = None
    digest: str | None = None
    of_data_set: bool = False
