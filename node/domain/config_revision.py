"""A configuration that came into force: who wanted it, when and why. How it is kept and compared stands elsewhere."""

from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigRevision:
    """One of them.

    Attributes
    ----------
    number
        From 1, in the order in which they came into force on any host; 0 for one that is not kept yet.
    at
        When it did.
    author
        Who asked for it: an account of the console, the user of a command, or what made the node read its file.
    reason
        In the author's words; mostly empty.
    host, path
        Whose supervisor took it, of which file.
    digest
        The meaning of its routes, as decisions name it.
    text
        The file as it stood, but for values that may be secret (node.settings.kept_text).
    """

    number: int = 0
    at: datetime
    author: str
    reason: str
    host: str
    path: str
    digest: str
    text: str

    @property
    def text_digest(self) -> str:
        """SHA-256 (hex) of the text. That of the file would tell a password to whoever tries many: all else of it stands in the text."""
        return sha256(self.text.encode()).hexdigest()
