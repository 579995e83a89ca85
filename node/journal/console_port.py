"""The part of the journal port that the console asks for; tests/contract/test_journal_console.py holds every journal to it."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from node.domain.account import AccessKey, Account, KeyKind, Role
from node.domain.header import Header


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundStudy:
    """A study and its newest arrival, by which lists are ordered and paged."""

    study_instance_uid: str
    arrival: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """A job that is done: when the last instance of its arrival was received, when it was first claimable, and when every sink had it."""

    application: str
    last_instance_at: datetime
    queued_at: datetime
    done_at: datetime


class ConsoleJournal(Protocol):
    """Accounts and their keys, studies as a list shows them, and how fast they went through."""

    def accounts(self) -> list[Account]:
        """All of them, by name."""
        ...

    def account(self, name: str) -> Account | None: ...
    def open_account(self, account: Account) -> bool:
        """False when there is one of this name, which stays as it is."""
        ...

    def change_account(self, name: str, *, role: Role | None = None, password: str | None = None) -> bool:
        """Give an account another role, which its sessions and tokens have at once, or another password, which ends its sessions; False
        when there is none."""
        ...

    def close_account(self, name: str) -> bool:
        """The account and its keys go; False when there is none."""
        ...

    def open_key(self, key: AccessKey, *, password: str | None = None) -> bool:
        """Keep a key of an account that is there; keys that have ended are forgotten on the way. False when there is none, or when its
        password is not (any more) the one of this hash, by which somebody showed who they are."""
        ...

    def key(self, digest: str, now: datetime) -> AccessKey | None:
        """The key, unless it has ended."""
        ...

    def keys(self, kind: KeyKind, now: datetime) -> list[AccessKey]: ...
    def close_key(self, digest: str) -> bool: ...
    def attempt(self, network: str, now: datetime, *, most: int, window: timedelta) -> datetime | None:
        """Count an attempt to log in from a network before it is made; until when to wait instead, when there were `most` in the window
        before now. None: make it. Attempts that are older than the window are forgotten on the way."""
        ...

    def forget_attempt(self, network: str, now: datetime) -> None:
        """What was counted at that moment does not count: it did not fail."""
        ...

    def find_studies(self, words: Collection[str], *, patients: bool, before: int | None, limit: int) -> list[FoundStudy]:
        """The studies whose newest arrival is older than arrival `before`, the newest first.

        Each of `words` stands somewhere in the study's UID, sender, applications or modalities; with `patients` also in the patient's ID
        or name, the accession number, or the study's description or date. Of headers the one that came first of each series is read.
        """
        ...

    def newest_headers(self, arrivals: Collection[int]) -> Mapping[int, Header]:
        """Of each of these arrivals the header of the instance that came last; without those whose headers are forgotten."""
        ...

    def ended(self, since: datetime, limit: int) -> list[Ended]:
        """The jobs that became done since then, the newest `limit` of them, in no order. One whose results an operator sent again became
        done again."""
        ...

    def settled(self, since: datetime, limit: int) -> list[datetime]:
        """When the last instance came of each arrival that is complete and had it since then; the newest `limit`, in no order."""
        ...
