"""The hospital's directory: whether name and password are somebody's there, and which role their groups give (LDAP: RFC 4511, RFC 4513).

The node logs in with an account of its own, looks for the one entry of that name, and binds as it with the password. Which groups somebody
is in is asked of the groups: so it needs no overlay of the server, and Active Directory follows members of members. A sweep ends the
sessions of those whom it lets in no more, and gives the others the role that they have there now.
"""

import contextlib
import ssl
import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

import ldap3
from ldap3.core.exceptions import LDAPException, LDAPInvalidFilterError
from ldap3.utils.conv import escape_bytes, escape_filter_chars

from node.console.accounts import UnfitAccount, Vouched, admit
from node.console.errors import DirectoryAway, DirectoryUnfit, HospitalRefuses, NotAdmitted
from node.domain.account import Account, AccountOrigin, KeyKind, Role
from node.journal.journal import Journal
from node.observe.security import ConsoleLoginRefused, tell
from node.settings.hospital import LdapDirectory, LdapServer
from node.settings.secrets import passcode_of

_TIMEOUT_S = 5  # whole seconds: ldap3 gives the kernel a number of them
_AT_ONCE = 16
"""Who asks more is told to come again: a directory that hangs takes no more of the console's threads."""
_SUCCESS, _SIZE_LIMIT, _NO_SUCH_OBJECT, _INVALID_CREDENTIALS = 0, 4, 32, 49
_LASTING: Final = ("objectGUID", "entryUUID")
"""Attributes by which an entry is known whatever its name and place: Active Directory's (MS-ADTS 3.1.1.1.4), and RFC 4530's."""
_MEMBERS_OF_MEMBERS: Final = "1.2.840.113556.1.4.1941"
"""LDAP_MATCHING_RULE_TRANSITIVE_EVAL (MS-ADTS 3.1.1.3.4.4.3), unknown elsewhere, where the rest of a filter counts."""
_WHY: Final = {
    "530": "does not let this person in at this hour",
    "531": "does not let this person in from here",
    "532": "says that the password has expired",
    "533": "has disabled this person",
    "701": "says that this person's account has expired",
    "773": "wants a new password first",
    "775": "has locked this person",
}
"""`data` of Active Directory's refusals (Windows error codes, in hexadecimal)."""


class Directory:
    """A directory as its settings describe it. May be asked by many threads."""

    def __init__(self, settings: LdapDirectory) -> None:
        self._settings = settings
        self._places = threading.BoundedSemaphore(_AT_ONCE)

    def vouch(self, name: str, password: str) -> Vouched | None:
        """Who it is; None where there is nobody of this name, or the password is not theirs.

        Raises
        ------
        DirectoryAway, DirectoryUnfit
        HospitalRefuses
            The directory says why it does not let the person in.
        """
        if not name or not password:
            return None  # a bind without a password is nobody's, and succeeds (RFC 4513 5.1.2)
        with self._asking() as (connection, server):
            entry = self._one(connection, f"({self._settings.name}={escape_filter_chars(name)})")
            if entry is None or not self._binds(server, entry["dn"], password.encode()):
                return None
            return self._vouched(connection, entry)

    def look_up(self, subject: str) -> Vouched | None:
        """Who has this `subject` now; None: nobody any more whom the filter finds.

        Raises
        ------
        DirectoryAway, DirectoryUnfit
        """
        attribute, _, value = subject.partition(" ")
        asked = escape_bytes(UUID(value).bytes_le) if attribute == "objectGUID" else escape_filter_chars(value)
        with self._asking() as (connection, _):
            entry = self._one(connection, f"({attribute}={asked})")
            return None if entry is None else self._vouched(connection, entry)

    def examine(self) -> tuple[str, list[str]]:
        """The server that answers, and what is named in the settings and not there.

        Raises
        ------
        DirectoryAway, DirectoryUnfit
        """
        with self._asking() as (connection, server):
            found = self._search(connection, self._settings.people, f"(&{self._settings.only}({self._settings.name}=*))", most=1)
            missing = [] if found else [f'nobody under "{self._settings.people}" whom `filter` takes has a {self._settings.name}']
            named = self._settings.roles.named
            missing += [f'there is no group "{group}"' for group in named if not self._is_there(connection, group)]
            return str(server), missing

    @contextlib.contextmanager
    def _asking(self) -> Iterator[tuple[ldap3.Connection, LdapServer]]:
        """A connection that is logged in as the node, to the first server that answers."""
        login = self._settings.login
        passcode = passcode_of(login)
        try:
            passcode.decode()
        except UnicodeDecodeError as other:  # RFC 4511 4.2 wants UTF-8 of passwords that are text; ldap3 encodes nothing else
            raise DirectoryUnfit(f"{login.place}the passcode of {login.name} is not UTF-8") from other
        if not self._places.acquire(blocking=False):
            raise DirectoryAway("too many logins wait for the hospital's directory just now: try again")
        try:
            reasons = []
            for server in self._settings.servers:
                try:
                    connection = self._bound(server, login.name, passcode)
                except DirectoryAway as away:
                    reasons.append(str(away))
                    continue
                if connection.result["result"] != _SUCCESS:
                    raise DirectoryUnfit(f"{server} does not take the node's login {login.name}: {_says(connection)}")
                try:
                    with _named(server):
                        yield connection, server
                finally:
                    _end(connection)
                return
            raise DirectoryAway("; ".join(reasons))
        finally:
            self._places.release()

    def _binds(self, server: LdapServer, dn: str, password: bytes) -> bool:
        connection = self._bound(server, dn, password)
        result = dict(connection.result)
        _end(connection)
        if result["result"] == _SUCCESS:
            return True
        code = str(result["message"]).partition(", data ")[2].partition(",")[0]
        if code in _WHY:
            raise HospitalRefuses(f"the hospital's directory {_WHY[code]}")
        if result["result"] == _INVALID_CREDENTIALS:
            return False
        raise HospitalRefuses(f"the hospital's directory lets this person in no more: {_says(connection, result)}")

    def _bound(self, server: LdapServer, dn: str, password: bytes) -> ldap3.Connection:
        """A connection that asked to be logged in; `result` says what became of it. The password goes as bytes: of a text ldap3 makes
        another one (SASLprep, RFC 4013), which no other login of the hospital does."""
        with _named(server):
            tls = None if self._settings.plaintext else _tls(server, self._settings)
            to = ldap3.Server(
                server.host, port=server.port, use_ssl=server.implicit, tls=tls, get_info=ldap3.NONE, connect_timeout=_TIMEOUT_S
            )
            connection = ldap3.Connection(
                to, user=dn, password=password, auto_referrals=False, receive_timeout=_TIMEOUT_S, check_names=False, read_only=True
            )
            try:
                connection.open()
                if tls is not None and not server.implicit and not connection.start_tls():
                    raise DirectoryAway(f"{server} offers no STARTTLS")
                connection.bind()
            except BaseException:  # raised again: no socket stays open behind a failure
                _end(connection)
                raise
            return connection

    def _one(self, connection: ldap3.Connection, condition: str) -> dict[str, Any] | None:
        found = self._search(connection, self._settings.people, f"(&{self._settings.only}{condition})", most=2)
        if len(found) > 1:
            raise DirectoryUnfit(f'several people under "{self._settings.people}" have that {self._settings.name}')
        return found[0] if found else None

    def _search(self, connection: ldap3.Connection, base: str, asked: str, *, most: int) -> list[dict[str, Any]]:
        try:
            connection.search(base, asked, ldap3.SUBTREE, attributes=[self._settings.name, *_LASTING], size_limit=most)
        except LDAPInvalidFilterError as unfit:
            raise DirectoryUnfit(f"`filter` {self._settings.only} is none that the directory can be asked with") from unfit
        if connection.result["result"] not in (_SUCCESS, _SIZE_LIMIT):
            raise DirectoryUnfit(f'the directory does not let the node look under "{base}": {_says(connection)}')
        return [one for one in connection.response or () if one["type"] == "searchResEntry"]

    def _vouched(self, connection: ldap3.Connection, entry: dict[str, Any]) -> Vouched:
        has = entry["raw_attributes"]
        name = has.get(self._settings.name) or [b""]
        return Vouched(name=name[0].decode("utf-8", "replace"), subject=_subject(entry), role=self._role(connection, entry["dn"]))

    def _role(self, connection: ldap3.Connection, dn: str) -> Role | None:
        who = escape_filter_chars(dn)
        asked = f"(|(member={who})(uniqueMember={who})(member:{_MEMBERS_OF_MEMBERS}:={who}))"
        for role, groups in self._settings.roles.ranked:
            if any(self._is_there(connection, group, asked) for group in groups):
                return role
        return None

    def _is_there(self, connection: ldap3.Connection, group: str, asked: str = "(objectClass=*)") -> bool:
        connection.search(group, asked, ldap3.BASE, attributes=[ldap3.NO_ATTRIBUTES])
        if connection.result["result"] not in (_SUCCESS, _NO_SUCH_OBJECT):
            raise DirectoryUnfit(f'the directory does not let the node look at the group "{group}": {_says(connection)}')
        return any(one["type"] == "searchResEntry" for one in connection.response or ())


class _VerifiedTls(ldap3.Tls):  # type: ignore[misc]
    """TLS as the standard library verifies it: chain, name, 1.2 at least; ldap3's own compares names itself."""

    def __init__(self, context: ssl.SSLContext, host: str) -> None:
        super().__init__(validate=ssl.CERT_REQUIRED)
        self._context = context
        self._host = host

    def wrap_socket(self, connection: ldap3.Connection, do_handshake: bool = False) -> None:
        """Called by ldap3 once the connection is there, or STARTTLS was answered."""
        connection.socket = self._context.wrap_socket(connection.socket, server_hostname=self._host)


def _tls(server: LdapServer, settings: LdapDirectory) -> _VerifiedTls:
    authorities = settings.authorities
    try:
        context = ssl.create_default_context(cafile=None if authorities is None else str(authorities))
    except OSError as unusable:
        raise DirectoryUnfit(f"{authorities} holds no authority: {unusable.strerror or unusable}") from unusable
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return _VerifiedTls(context, server.host)


@contextlib.contextmanager
def _named(server: LdapServer) -> Iterator[None]:
    """Name the server in what ends a question to it."""
    try:
        yield
    except (LDAPException, OSError) as away:
        raise DirectoryAway(f"{server} does not answer as a directory with TLS: {str(away) or type(away).__name__}") from away


def _end(connection: ldap3.Connection) -> None:
    with contextlib.suppress(LDAPException, OSError):  # whoever is away is not to be told good-bye
        connection.unbind()


def _says(connection: ldap3.Connection, result: dict[str, Any] | None = None) -> str:
    said = result or connection.result
    return f"{said['description']} {said['message']}".strip()


def _subject(entry: dict[str, Any]) -> str:
    for attribute in _LASTING:
        if values := entry["raw_attributes"].get(attribute):
            value = str(UUID(bytes_le=values[0])) if attribute == "objectGUID" else values[0].decode("ascii", "replace")
            return f"{attribute} {value}"
    raise DirectoryUnfit(f"the directory shows the node neither {' nor '.join(_LASTING)} of people, by which they are known again")


class DirectorySweep:
    """Asks the directory about each of its people who has a session. While it is away sessions stay, for as long as they last."""

    name = "directory"

    def __init__(self, journal: Journal, directory: Directory, idle: timedelta) -> None:
        self._journal = journal
        self._directory = directory
        self._idle = idle

    def step(self) -> int:
        """How many are let in no more."""
        accounts, now = self._journal.accounts, self._journal.now()
        here = {one.account for one in accounts.keys(KeyKind.SESSION, now, self._idle)}
        away = 0
        for account in accounts.find():
            if account.origin is not AccountOrigin.LDAP or account.name not in here:
                continue
            try:
                away += not self._stays(account)
            except (DirectoryAway, DirectoryUnfit):
                break  # `hilum doctor` says so, and so does the page to whoever logs in
        return away

    def _stays(self, account: Account) -> bool:
        found = self._directory.look_up(account.subject) or Vouched(name=account.name, subject=account.subject, role=None)
        try:
            admit(self._journal.accounts, AccountOrigin.LDAP, found, self._journal.now())
        except (NotAdmitted, UnfitAccount) as refused:
            self._journal.accounts.turn_away(AccountOrigin.LDAP, account.subject)  # whatever the reason: the next login is refused, too
            tell(ConsoleLoginRefused(account=account.name, address="", reason=f"the session ends: {refused} [{refused.code}]"))
            return False
        return True
