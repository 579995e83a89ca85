"""Accounts of the console, their keys, and who failed to log in, in the journal: every console of the node knows the same people."""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, Select, and_, delete, func, insert, or_, select, text, update

from node.domain.account import AccessKey, Account, AccountOrigin, KeyKind, Role
from node.journal import schema
from node.journal.database import JournalPart, rerun
from node.journal.errors import LastAdmin
from node.journal.rows import micros, moment

_account = schema.console_account.c
_key = schema.console_key.c
_attempt = schema.console_attempt.c
_LOCK = 4711213


class Accounts(JournalPart):
    """Accounts of the console, their keys, and attempts to log in."""

    def find(self) -> list[Account]:
        """All of them, by name."""
        with self._database.reading() as connection:
            return [_to_account(row) for row in connection.execute(select(schema.console_account).order_by(_account.name))]

    def get(self, name: str) -> Account | None:
        """The account of this name, if there is one."""
        with self._database.reading() as connection:
            row = connection.execute(select(schema.console_account).where(_account.name == name)).one_or_none()
            return None if row is None else _to_account(row)

    @rerun
    def open(self, account: Account) -> bool:
        """False when there is one of this name, which stays as it is."""
        with self._database.writing() as connection:
            if connection.execute(select(_account.name).where(_account.name == account.name)).scalar() is not None:
                return False
            connection.execute(insert(schema.console_account).values(**_values(account)))
            return True

    @rerun
    def admit(self, account: Account) -> Account | None:
        """Let in whom a provider or directory vouches for: the account of that subject, which has this role from now on, or this one, new.
        None when the name is somebody else's here."""
        mine = (_account.origin == account.origin.value, _account.subject == account.subject)
        with self._database.writing() as connection:
            connection.execute(update(schema.console_account).where(*mine).values(role=account.role.value))
            row = connection.execute(select(schema.console_account).where(*mine)).one_or_none()
            if row is not None:
                return _to_account(row)
            if connection.execute(select(_account.name).where(_account.name == account.name)).scalar() is not None:
                return None
            connection.execute(insert(schema.console_account).values(**_values(account)))
            return account

    @rerun
    def turn_away(self, origin: AccountOrigin, subject: str) -> str | None:
        """End the keys of whom a provider or directory gives no role any more; the name here, if there is one."""
        with self._database.writing() as connection:
            mine = (_account.origin == origin.value, _account.subject == subject)
            name = connection.execute(select(_account.name).where(*mine)).scalar()
            connection.execute(delete(schema.console_key).where(_key.account == name))
            return None if name is None else str(name)

    @rerun
    def disable(self, name: str, at: datetime | None) -> bool:
        """Let a person in no more, whoever vouches for them, and end their sessions; their tokens open nothing meanwhile. `at` None: let
        them in again. False when there is none.

        Raises
        ------
        LastAdmin
            It is the only admin.
        """
        with self._database.writing() as connection:
            if at is not None:
                _demand_another_admin(connection, name)
                connection.execute(delete(schema.console_key).where(_key.account == name, _key.kind == KeyKind.SESSION.value))
            change = update(schema.console_account).where(_account.name == name).values(disabled_at=None if at is None else micros(at))
            return connection.execute(change).rowcount == 1

    @rerun
    def change(self, name: str, *, role: Role | None = None, password: str | None = None) -> bool:
        """Give an account another role, which its sessions and tokens have at once, or another password, which ends its sessions; False
        when there is none.

        Raises
        ------
        LastAdmin
            It is the only admin, and is to be none any more.
        """
        values = {key: value for key, value in (("role", role and role.value), ("password", password)) if value is not None}
        with self._database.writing() as connection:
            # first, for its lock: a login that is opened at this moment is waited for, and its session ended as well
            if role not in (None, Role.ADMIN):
                _demand_another_admin(connection, name)
            found = connection.execute(update(schema.console_account).where(_account.name == name).values(**values)).rowcount == 1
            if password is not None:
                connection.execute(delete(schema.console_key).where(_key.account == name, _key.kind == KeyKind.SESSION.value))
            return found

    @rerun
    def close(self, name: str) -> bool:
        """The account and its keys go; False when there is none.

        Raises
        ------
        LastAdmin
            It is the only admin.
        """
        with self._database.writing() as connection:
            _demand_another_admin(connection, name)
            connection.execute(delete(schema.console_key).where(_key.account == name))
            return connection.execute(delete(schema.console_account).where(_account.name == name)).rowcount == 1

    @rerun
    def open_key(self, key: AccessKey, *, password: str | None = None, asked_at: datetime | None = None) -> bool:
        """Keep a key of an account that is there; keys that have ended are forgotten on the way. False when there is none; when its
        password is not (any more) the one of this hash, by which somebody showed who they are; when the provider, which was asked about the
        person at `asked_at`, has told since that they logged out of this session of its."""
        with self._database.writing() as connection:
            connection.execute(delete(schema.console_key).where(_key.ends_at <= micros(key.created_at)))
            shown = select(_account.password, _account.subject).where(_account.name == key.account, _account.disabled_at.is_(None))
            known = connection.execute(shown.with_for_update()).one_or_none()
            if known is None or password not in (None, known.password):
                return False  # it was closed or disabled, or its password changed, a moment ago
            if asked_at is not None and _logged_out(connection, known.subject, key.provider_session, asked_at):
                return False
            values = {"digest": key.digest, "account": key.account, "kind": key.kind.value, "label": key.label}
            values["provider_session"] = key.provider_session
            times = {"created_at": micros(key.created_at), "ends_at": micros(key.ends_at)}
            connection.execute(insert(schema.console_key).values(**values, **times))
            return True

    def key(self, digest: str, now: datetime, idle: timedelta | None = None) -> AccessKey | None:
        """The key, unless it has ended, its account is disabled, or it is a session that was not used for `idle`."""
        with self._database.reading() as connection:
            row = connection.execute(_good(now, idle).where(_key.digest == digest)).one_or_none()
            return None if row is None else _to_key(row)

    def keys(self, kind: KeyKind, now: datetime, idle: timedelta | None = None) -> list[AccessKey]:
        """Those of one kind that are good, the oldest first."""
        with self._database.reading() as connection:
            rows = connection.execute(_good(now, idle).where(_key.kind == kind.value).order_by(_key.created_at))
            return [_to_key(row) for row in rows]

    @rerun
    def use_key(self, digest: str, now: datetime) -> None:
        """Remember that a key was used now."""
        with self._database.writing() as connection:
            connection.execute(update(schema.console_key).where(_key.digest == digest).values(used_at=micros(now)))

    @rerun
    def close_key(self, digest: str) -> bool:
        """The key goes; False when there is none."""
        with self._database.writing() as connection:
            return connection.execute(delete(schema.console_key).where(_key.digest == digest)).rowcount == 1

    @rerun
    def log_out(self, issuer: str, subject: str, session: str, *, token: str, now: datetime, until: datetime) -> list[str] | None:
        """End sessions of whom a provider says to have logged out there: those of one of its sessions, and of which none is known, or of
        everybody of that session where `subject` is empty; all of the person's where `session` is. What the provider was asked about before
        opens none after it (`open_key`). `token` is the digest of what tells it, and is taken once until `until`.

        Returns
        -------
        Whose they were, one name a session; None where the token was taken before.
        """
        person = _account.subject == f"{issuer} {subject}" if subject else _account.subject.startswith(f"{issuer} ", autoescape=True)
        people = select(_account.name).where(_account.origin == AccountOrigin.OIDC.value, person)
        ended = [_key.kind == KeyKind.SESSION.value, _key.account.in_(people)]
        if session:
            ended.append(_key.provider_session.in_((session, "") if subject else (session,)))
        with self._database.writing() as connection:
            _alone(connection, issuer)  # whoever opens a session meanwhile finds this logout, or is found by it
            connection.execute(delete(schema.console_logout).where(schema.console_logout.c.until <= micros(now)))
            taken = select(schema.console_logout.c.digest).where(schema.console_logout.c.digest == token)
            if connection.execute(taken).scalar() is not None:
                return None
            told = {"at": micros(now), "issuer": issuer, "subject": subject, "session": session}
            connection.execute(insert(schema.console_logout).values(digest=token, until=micros(until), **told))
            names = connection.execute(select(_key.account).where(*ended).order_by(_key.account)).scalars().all()
            connection.execute(delete(schema.console_key).where(*ended))
            return list(names)

    @rerun
    def attempt(self, network: str, now: datetime, *, most: int, window: timedelta) -> datetime | None:
        """Count an attempt to log in from a network before it is made; until when to wait instead, when there were `most` in the window
        before now. None: make it. Attempts that are older than the window are forgotten on the way."""
        since = micros(now - window)
        with self._database.reading() as connection:
            times = _attempts(connection, network, since)
        if len(times) < most:
            with self._database.writing() as connection:
                _alone(connection, network)
                times = _attempts(connection, network, since)
                if len(times) < most:
                    connection.execute(delete(schema.console_attempt).where(_attempt.at <= since))
                    connection.execute(insert(schema.console_attempt).values(network=network, at=micros(now)))
                    return None
        return moment(times[-most]) + window

    def waiting(self, now: datetime, *, most: int, window: timedelta) -> list[tuple[str, datetime]]:
        """Networks that made `most` attempts in the window before now, and until when each waits."""
        asked = select(_attempt.network, _attempt.at).where(_attempt.at > micros(now - window)).order_by(_attempt.at)
        found: dict[str, list[int]] = {}
        with self._database.reading() as connection:
            for row in connection.execute(asked):
                found.setdefault(row.network, []).append(row.at)
        return [(network, moment(times[-most]) + window) for network, times in sorted(found.items()) if len(times) >= most]

    @rerun
    def forget_attempts(self, network: str) -> bool:
        """Let a network try again at once; False when nothing of it was counted."""
        with self._database.writing() as connection:
            return connection.execute(delete(schema.console_attempt).where(_attempt.network == network)).rowcount > 0

    @rerun
    def forget_attempt(self, network: str, now: datetime) -> None:
        """What was counted at that moment does not count: it did not fail."""
        mine = select(_attempt.id).where(_attempt.network == network, _attempt.at == micros(now)).limit(1)
        with self._database.writing() as connection:
            connection.execute(delete(schema.console_attempt).where(_attempt.id == mine.scalar_subquery()))


def _demand_another_admin(connection: Connection, name: str) -> None:
    """Refuse where `name` is the only admin who gets in whatever provider or directory is away. Admins are locked until the end of the
    transaction: of two who end each other one waits."""
    local = (_account.role == Role.ADMIN.value, _account.origin == AccountOrigin.LOCAL.value, _account.disabled_at.is_(None))
    admins = select(_account.name).where(*local).order_by(_account.name).with_for_update()
    if connection.execute(admins).scalars().all() == [name]:
        raise LastAdmin(f'"{name}" is the only admin of the console, and stays so')


def _attempts(connection: Connection, network: str, since: int) -> list[int]:
    asked = select(_attempt.at).where(_attempt.network == network, _attempt.at > since).order_by(_attempt.at)
    return [row.at for row in connection.execute(asked)]


def _logged_out(connection: Connection, person: str, session: str, since: datetime) -> bool:
    """Whether the provider told since then that a person (as the account's subject has it) logged out of this session of its."""
    issuer, _, subject = person.partition(" ")
    _alone(connection, issuer)
    told = schema.console_logout.c
    of_session = and_(told.subject == "", told.session == session, told.session != "")
    of_person = [told.subject == subject] if session == "" else [told.subject == subject, told.session.in_(("", session))]
    asked = select(told.digest).where(told.issuer == issuer, told.at >= micros(since), or_(of_session, and_(*of_person))).limit(1)
    return connection.execute(asked).scalar() is not None


def _alone(connection: Connection, subject: str) -> None:
    """Let nobody else count attempts of this network, or open or end sessions of this provider, until the transaction ends; SQLite has one
    writer anyway."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(hashtextextended(:subject, :lock))"), {"subject": subject, "lock": _LOCK})


_KEYS = select(schema.console_key, _account.role).join(schema.console_account, _account.name == _key.account)


def _good(now: datetime, idle: timedelta | None) -> Select[Any]:
    found = _KEYS.where(_key.ends_at > micros(now), _account.disabled_at.is_(None))
    if idle is None:
        return found
    used = func.coalesce(_key.used_at, _key.created_at)
    return found.where(or_(_key.kind != KeyKind.SESSION.value, used > micros(now - idle)))


def _to_account(row: Row[tuple[object, ...]]) -> Account:
    return Account(
        name=row.name,
        role=Role(row.role),
        password=row.password,
        created_at=moment(row.created_at),
        origin=AccountOrigin(row.origin),
        subject=row.subject,
        disabled_at=None if row.disabled_at is None else moment(row.disabled_at),
    )


def _values(account: Account) -> dict[str, object]:
    return {
        "name": account.name,
        "role": account.role.value,
        "password": account.password,
        "created_at": micros(account.created_at),
        "origin": account.origin.value,
        "subject": account.subject,
        "disabled_at": None if account.disabled_at is None else micros(account.disabled_at),
    }


def _to_key(row: Row[tuple[object, ...]]) -> AccessKey:
    return AccessKey(
        digest=row.digest,
        account=row.account,
        role=Role(row.role),
        kind=KeyKind(row.kind),
        label=row.label,
        created_at=moment(row.created_at),
        ends_at=moment(row.ends_at),
        used_at=None if row.used_at is None else moment(row.used_at),
        provider_session=row.provider_session,
    )
