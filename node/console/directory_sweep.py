"""What ends the sessions of those whom the hospital's directory lets in no more, and gives them the role that they have there now."""

from datetime import timedelta

from node.console.accounts import Vouched, admit
from node.console.directory import Directory
from node.console.errors import DirectoryAway, DirectoryUnfit, NotAdmitted
from node.domain.account import Account, AccountOrigin, KeyKind
from node.journal.journal import Journal
from node.observe.security import ConsoleLoginRefused, tell


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
        except NotAdmitted as refused:
            tell(ConsoleLoginRefused(account=account.name, address="", reason=f"the session ends: {refused} [{refused.code}]"))
            return False
        return True
