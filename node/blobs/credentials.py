"""Keys of the object store from a file of the usual form (`[default]`, `aws_access_key_id = …`), read again when it may have changed."""

import configparser
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from node.blobs.errors import BucketRefused

_GOOD_FOR = timedelta(minutes=5)
"""Keys are rotated by writing the file anew."""


class CredentialsFile:
    """A credential provider of obstore. What it reads is in no message of its own, nor in its `repr`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self()  # what is wrong with the file is said at once, and by us

    def __call__(self) -> dict[str, Any]:
        """The keys of the section `[default]`.

        Raises
        ------
        BucketRefused
            The file cannot be read, or lacks a key.
        """
        parsed = configparser.ConfigParser(interpolation=None)
        try:
            parsed.read_string(self._path.read_text(encoding="utf-8"))
            section = parsed["default"]
            keys = {"access_key_id": section["aws_access_key_id"], "secret_access_key": section["aws_secret_access_key"]}
        except OSError as failed:
            raise BucketRefused(f"{self._path}: {failed.strerror}") from failed
        except (configparser.Error, KeyError, UnicodeDecodeError):
            # the parser's words quote lines of the file
            raise BucketRefused(f"{self._path} has no [default] with aws_access_key_id and aws_secret_access_key") from None
        return {**keys, "token": section.get("aws_session_token"), "expires_at": datetime.now(UTC) + _GOOD_FOR}
