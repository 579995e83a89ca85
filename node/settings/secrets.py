"""Files that only the node's user may read: private keys and passcodes. What is in them is in no message."""

import hmac
import os
import stat
from pathlib import Path

from node.domain.errors import ConfigError
from node.settings.tls import User

_MOST_BYTES = 4096


class NotPrivate(ConfigError):
    """A private key or passcode may be read by others than the node's user."""

    code = "HLM-2070"
    remedy = (
        "`chown` the file to the user that runs hilum and `chmod 600` it (640 where root owns it); if it stood open for long, renew it."
    )


class PasscodeUnusable(ConfigError):
    """The passcode of a user cannot be read, or is empty."""

    code = "HLM-2072"
    remedy = "Write the passcode, and nothing else, into the file (`chmod 600`), or set the environment variable where hilum is started."


def demand_private(path: Path) -> None:
    """Refuse a file that others may read. A group may read what root owns: so secrets reach a service that is not root.

    Raises
    ------
    NotPrivate
        Others may read it, or write it.
    OSError
        It cannot be looked at.
    """
    about = path.stat()
    open_to = about.st_mode & (stat.S_IRWXO | stat.S_IWGRP | stat.S_IXGRP | (0 if about.st_uid == 0 else stat.S_IRGRP))
    if open_to:
        raise NotPrivate(f"{path} (mode {stat.S_IMODE(about.st_mode):04o}) may be read by others")


def passcode_of(user: User) -> bytes:
    """The passcode of a user, read now, so that it can be changed while the node runs; without line ends.

    Raises
    ------
    NotPrivate, PasscodeUnusable
        It cannot be had.
    """
    if user.passcode_variable is not None:
        passcode = os.environb.get(os.fsencode(user.passcode_variable), b"")
        if not passcode:
            raise PasscodeUnusable(f"{user.place}the environment variable {user.passcode_variable} is not set")
        return passcode
    if user.passcode_file is None:
        return b""
    try:
        demand_private(user.passcode_file)
        with user.passcode_file.open("rb") as file:
            passcode = file.read(_MOST_BYTES).rstrip(b"\r\n")
    except FileNotFoundError as absent:
        what = "is not there; write the passcode, and nothing else, into it, and `chmod 600` it"
        raise PasscodeUnusable(f"{user.place}{user.passcode_file} {what}") from absent
    except OSError as unreadable:
        raise PasscodeUnusable(f"{user.place}{user.passcode_file}: {unreadable.strerror}") from unreadable
    except NotPrivate as refused:
        raise NotPrivate(f"{user.place}{refused}") from refused
    if not passcode:
        raise PasscodeUnusable(f"{user.place}{user.passcode_file} is empty")
    return passcode


def is_user(user: User, *, username: str, passcode: bytes) -> bool:
    """Whether name and passcode are the user's; takes the same time wherever they differ.

    Raises
    ------
    NotPrivate, PasscodeUnusable
        The passcode to compare with cannot be had.
    """
    named = hmac.compare_digest(user.name.encode(), username.encode("utf-8", "surrogateescape"))
    known = hmac.compare_digest(passcode_of(user), passcode) if user.has_passcode else True
    return named and known
