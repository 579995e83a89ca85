"""Every journal keeps the console's accounts and keys, and finds studies by words, page by page."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from sqlalchemy import delete

from node.domain.account import AccessKey, Account, AccountOrigin, KeyKind, Role
from node.journal import schema
from node.journal.errors import LastAdmin
from node.journal.journal import Journal
from tests.unit.journal.story import START, Story

ANN = Account(name="ann", role=Role.OPERATOR, password="$argon2id$…", created_at=START)
_ROUNDS = 10
KEY = AccessKey(
    digest="d1",
    account="ann",
    role=Role.OPERATOR,
    kind=KeyKind.SESSION,
    label="",
    created_at=START,
    ends_at=START + timedelta(hours=1),
)


def test_an_account_is_opened_once_and_closed_with_its_keys(story: Story) -> None:
    """A second account of the name changes nothing; whoever is removed is logged out everywhere at once."""
    journal = story.journal
    assert journal.accounts.open(ANN)
    assert not journal.accounts.open(replace(ANN, role=Role.ADMIN))
    assert journal.accounts.find() == [ANN]
    assert journal.accounts.get("bob") is None
    journal.accounts.open_key(KEY)
    assert journal.accounts.key("d1", START) == KEY
    assert journal.accounts.close("ann")
    assert not journal.accounts.close("ann")
    assert (journal.accounts.find(), journal.accounts.key("d1", START)) == ([], None)
    assert not journal.accounts.open_key(KEY)
    assert journal.accounts.key("d1", START) is None, "a key of nobody opens nothing"


def test_a_role_counts_at_once_and_a_password_ends_sessions(story: Story) -> None:
    """Tokens are no passwords: they stay. Nobody's account is not changed."""
    journal = story.journal
    journal.accounts.open(ANN)
    token = replace(KEY, digest="d2", kind=KeyKind.TOKEN, label="nagios")
    journal.accounts.open_key(KEY)
    journal.accounts.open_key(token)
    assert journal.accounts.change("ann", role=Role.VIEWER)
    assert [journal.accounts.key(digest, START) for digest in ("d1", "d2")] == [replace(one, role=Role.VIEWER) for one in (KEY, token)]
    assert journal.accounts.change("ann", password="$argon2id$other")
    assert journal.accounts.get("ann") == replace(ANN, role=Role.VIEWER, password="$argon2id$other")
    assert (journal.accounts.key("d1", START), journal.accounts.key("d2", START)) == (None, replace(token, role=Role.VIEWER))
    assert not journal.accounts.change("bob", role=Role.ADMIN)


def test_the_last_admin_stays_though_two_end_each_other(story: Story, opened: Callable[[str], Journal], journal_url: str) -> None:
    """Alone nobody is removed or made less; of two that remove each other at once, on two connections, one goes."""
    one, other = story.journal, opened(journal_url)
    for name in ("ada", "eve"):
        one.accounts.open(replace(ANN, name=name, role=Role.ADMIN))
    for _ in range(_ROUNDS):
        barrier = threading.Barrier(2, timeout=30)

        def end(journal: Journal, name: str, barrier: threading.Barrier = barrier) -> bool:
            barrier.wait()
            try:
                return journal.accounts.close(name)
            except LastAdmin:
                return False

        with ThreadPoolExecutor(2) as pool:
            ended = [pool.submit(end, journal, name) for journal, name in ((one, "ada"), (other, "eve"))]
            assert sorted(each.result() for each in ended) == [False, True]
        (left,) = one.accounts.find()
        for refused in (one.accounts.close, lambda name: one.accounts.change(name, role=Role.VIEWER)):
            with pytest.raises(LastAdmin):
                refused(left.name)
        assert one.accounts.change(left.name, role=Role.ADMIN, password="$argon2id$other")
        one.accounts.open(replace(ANN, name="ada" if left.name == "eve" else "eve", role=Role.ADMIN))


def test_when_a_key_was_used_is_kept(story: Story) -> None:
    """The last time, of the one that was used."""
    journal = story.journal
    journal.accounts.open(ANN)
    for digest in ("d1", "d2"):
        journal.accounts.open_key(replace(KEY, digest=digest))
    for minutes in (1, 7):
        journal.accounts.use_key("d1", START + timedelta(minutes=minutes))
    assert {one.digest: one.used_at for one in journal.accounts.keys(KeyKind.SESSION, START)} == {
        "d1": START + timedelta(minutes=7),
        "d2": None,
    }


def test_a_password_that_was_changed_opens_no_session(story: Story) -> None:
    """Whoever showed it a moment before comes too late; who showed none, as the maker of a token, does not."""
    journal = story.journal
    journal.accounts.open(ANN)
    assert journal.accounts.change("ann", password="$argon2id$other")
    assert not journal.accounts.open_key(KEY, password=ANN.password)
    assert journal.accounts.key("d1", START) is None
    assert journal.accounts.open_key(KEY, password="$argon2id$other")
    assert journal.accounts.open_key(replace(KEY, digest="d2", kind=KeyKind.TOKEN))


def test_no_session_stays_of_a_login_beside_a_new_password(story: Story, opened: Callable[[str], Journal], journal_url: str) -> None:
    """Whichever comes first, on two connections: the one that was opened by the old password has ended, or was never there."""
    one, other = story.journal, opened(journal_url)
    one.accounts.open(ANN)
    known = str(ANN.password)
    for turn in range(_ROUNDS):
        key, password, barrier = replace(KEY, digest=f"d{turn}"), f"$argon2id${turn}", threading.Barrier(2, timeout=30)

        def log_in(key: AccessKey = key, known: str = known, barrier: threading.Barrier = barrier) -> None:
            barrier.wait()
            one.accounts.open_key(key, password=known)

        with ThreadPoolExecutor(1) as pool:
            logging_in = pool.submit(log_in)
            barrier.wait()
            other.accounts.change("ann", password=password)
            logging_in.result()
        assert one.accounts.key(key.digest, START) is None
        known = password


@pytest.mark.parametrize(
    ("subject", "session", "stay"),
    [
        ("17", "A", ["b", "eve", "other", "ann"]),
        ("17", "", ["eve", "other", "ann"]),
        ("", "A", ["b", "none", "other", "ann"]),
        ("1_", "", ["a", "b", "none", "eve", "other", "ann"]),
    ],
)
def test_a_logout_ends_what_the_provider_says_and_counts_once(story: Story, subject: str, session: str, stay: list[str]) -> None:
    """The session that is named and those of which none is known, or all of the person's; nobody's of another provider, of this node, or
    of another name: whether they were open, or are opened by what the provider was asked for before, and no others. The same token is taken
    again when it is no good any more."""
    accounts, minute = story.journal.accounts, timedelta(minutes=1)
    accounts.open(ANN)
    people = {"gina": "https://idp 17", "eve": "https://idp 18", "max": "https://idp.example 17"}
    for name, known in people.items():
        accounts.open(replace(ANN, name=name, password=None, origin=AccountOrigin.OIDC, subject=known))
    of = {"a": ("gina", "A"), "b": ("gina", "B"), "none": ("gina", ""), "eve": ("eve", "A"), "other": ("max", "A"), "ann": ("ann", "")}

    def opens(asked_at: datetime, mark: str = "") -> list[str]:
        key = {digest: replace(KEY, digest=digest + mark, account=name, provider_session=known) for digest, (name, known) in of.items()}
        asked = {digest: None if key[digest].account == "ann" else asked_at for digest in of}
        return [digest for digest in of if accounts.open_key(key[digest], asked_at=asked[digest])]

    assert opens(START) == list(of)

    def told(at: datetime) -> list[str] | None:
        return accounts.log_out("https://idp", subject, session, token="t", now=at, until=at + 7 * minute)

    assert told(START) == sorted(of[digest][0] for digest in of if digest not in stay)
    assert [digest for digest in of if accounts.key(digest, START) is not None] == stay
    assert opens(START, " asked before") == stay
    assert opens(START + timedelta(microseconds=1), " asked after") == list(of)
    for name in ("ann", *people):
        accounts.close(name)
    assert told(START + 6 * minute) is None
    assert told(START + 7 * minute) == []


def test_no_session_stays_of_a_login_beside_a_logout_at_the_provider(
    story: Story, opened: Callable[[str], Journal], journal_url: str
) -> None:
    """Whichever comes first, on two connections: the session has ended, or was never there."""
    one, other = story.journal, opened(journal_url)
    one.accounts.open(replace(ANN, password=None, origin=AccountOrigin.OIDC, subject="https://idp 17"))
    met = set()
    for turn in range(_ROUNDS):
        key, barrier = replace(KEY, digest=f"d{turn}", provider_session="A"), threading.Barrier(2, timeout=30)

        def log_in(key: AccessKey = key, barrier: threading.Barrier = barrier) -> bool:
            barrier.wait()
            return one.accounts.open_key(key, asked_at=START)

        with ThreadPoolExecutor(1) as pool:
            logging_in = pool.submit(log_in)
            barrier.wait()
            ended = other.accounts.log_out("https://idp", "", "A", token=f"t{turn}", now=START, until=START + timedelta(minutes=7))
            met.add((logging_in.result(), ended == ["ann"]))
        assert one.accounts.key(key.digest, START) is None
        with story.journal.database.writing() as connection:
            connection.execute(delete(schema.console_logout))
    assert met <= {(True, True), (False, False)}


def test_attempts_are_counted_by_network_in_a_window_that_slides(story: Story) -> None:
    """Before they are made; one that did not fail is not counted, and whoever attempts from one network locks nobody else out."""
    journal, minute, window = story.journal, timedelta(minutes=1), timedelta(minutes=5)

    def attempt(network: str, minutes: int) -> datetime | None:
        return journal.accounts.attempt(network, START + minutes * minute, most=3, window=window)

    assert [attempt("10.0.0.1", at) for at in (0, 1, 2)] == [None] * 3
    assert (attempt("10.0.0.1", 3), attempt("2001:db8::/64", 3)) == (START + window, None)
    journal.accounts.forget_attempt("10.0.0.1", START + 2 * minute)
    assert (attempt("10.0.0.1", 4), attempt("10.0.0.1", 4)) == (None, START + window)
    assert (attempt("10.0.0.1", 5), attempt("10.0.0.1", 5)) == (None, START + minute + window)


def test_many_attempts_at_once_are_counted_once_each(story: Story, opened: Callable[[str], Journal], journal_url: str) -> None:
    """By two consoles of one node: no more are made than one console would let through."""
    consoles = (story.journal, opened(journal_url))

    def attempt(number: int) -> datetime | None:
        return consoles[number % 2].accounts.attempt("10.0.0.1", START, most=5, window=timedelta(minutes=5))

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(attempt, range(24))).count(None) == 5


def test_a_key_ends(story: Story) -> None:
    """At its end, or when it is closed; ended ones are forgotten when the next is opened."""
    journal = story.journal
    journal.accounts.open(ANN)
    journal.accounts.open_key(KEY)
    assert journal.accounts.key("d1", KEY.ends_at - timedelta(seconds=1)) is not None
    assert journal.accounts.key("d1", KEY.ends_at) is None
    later = replace(KEY, digest="d2", kind=KeyKind.TOKEN, label="nagios", created_at=KEY.ends_at, ends_at=KEY.ends_at + timedelta(days=9))
    journal.accounts.open_key(later)
    assert journal.accounts.key("d1", START) is None, "forgotten"
    assert journal.accounts.keys(KeyKind.TOKEN, KEY.ends_at) == [later]
    assert (journal.accounts.close_key("d2"), journal.accounts.close_key("d2")) == (True, False)


@pytest.mark.parametrize(
    ("words", "patients", "found"),
    [
        ([], False, ["3.3", "2.2", "1.1"]),
        (["2.2"], False, ["2.2"]),
        (["CT1"], False, ["3.3", "2.2", "1.1"]),
        (["mr"], False, ["2.2"]),
        (["doe"], True, ["1.1"]),
        (["doe"], False, []),
        (["Doe", "mr"], True, []),
        (["MÜLLER"], True, ["2.2"]),
        (["100%"], True, []),
        (["0_"], True, []),
        (['"hostile'], True, ["3.3"]),
        (["PatientName"], True, []),
        (["A-77"], True, ["3.3"]),
        (["2024-02"], True, ["2.2"]),
        (["4712"], True, ["2.2"]),
    ],
)
def test_words_find_studies(story: Story, words: list[str], patients: bool, found: list[str]) -> None:
    """Each word has to stand somewhere; patients' data are asked only for those who may see them; nothing is a wildcard."""
    people = (("4711", "Doe^Jane", "CT", "A-1"), ("4712", "Müller^Änne", "MR", "A-2"), ("4713", '<b>"hostile\\', "CT", "A-77"))
    for number, (patient, name, modality, accession) in enumerate(people, start=1):
        header = {
            "PatientID": (patient,),
            "PatientName": (name,),
            "Modality": (modality,),
            "AccessionNumber": (accession,),
            "StudyDate": (f"20240{number}01",),
        }
        study = f"{number}.{number}"
        story.receive(number, study_instance_uid=study, series_instance_uid=f"{study}.1", header=header)
    assert [one.study_instance_uid for one in story.journal.studies.find(words, patients=patients, before=None, limit=9)] == found


def test_pages_follow_each_other(story: Story) -> None:
    """A study stands in the list once, where its newest arrival is; the next page begins where this one ends."""
    for number in range(1, 6):
        story.receive(number, study_instance_uid=f"{number}", series_instance_uid=f"{number}.1", header={"PatientName": (f"P{number}",)})
    story.receive(9, study_instance_uid="2", series_instance_uid="2.1", peer="ct2", header={"PatientName": ("Corrected",)})
    journal = story.journal
    first = journal.studies.find([], patients=True, before=None, limit=3)
    second = journal.studies.find([], patients=True, before=first[-1].arrival, limit=3)
    assert [[one.study_instance_uid for one in page] for page in (first, second)] == [["2", "5", "4"], ["3", "1"]]
    headers = journal.studies.newest_headers([one.arrival for one in first])
    assert [headers[one.arrival]["PatientName"] for one in first] == [("Corrected",), ("P5",), ("P4",)]


def test_how_fast_jobs_went_is_told_from_their_last_instance(story: Story) -> None:
    """Those that are done since then, with what they waited for; open arrivals have not settled yet."""
    job = story.done()
    first = story.now
    story.now += timedelta(hours=2)
    story.receive(9, study_instance_uid="2.2", series_instance_uid="2.2.1", sop_instance_uid="2.2.1.9")
    assert story.journal.arrivals.last_received(START, 10) == [first]
    assert story.journal.arrivals.last_received(first + timedelta(seconds=1), 10) == []
    (one,) = story.journal.jobs.done_since(START, 10)
    assert (one.application, one.last_instance_at, one.queued_at, one.done_at) == (
        story.journal.jobs.get(job).application,
        first,
        first,
        first,
    )
    assert story.journal.jobs.done_since(first + timedelta(seconds=1), 10) == []
    assert story.journal.jobs.done_since(START, 0) == []


def test_whom_the_hospital_lets_in_is_known_by_its_subject(story: Story) -> None:
    """The same subject is the same account whatever the role and the name are now; a name that is somebody else's here, a local user's or
    that of who left, lets nobody in; without a role the keys end, and of admins only local ones count as such."""
    accounts = story.journal.accounts
    eve = Account(name="eve", role=Role.ADMIN, password=None, created_at=START, origin=AccountOrigin.OIDC, subject="https://idp 17")
    accounts.open(replace(ANN, role=Role.ADMIN))
    assert accounts.admit(eve) == eve
    assert accounts.admit(replace(eve, name="eve.new", role=Role.VIEWER)) == replace(eve, role=Role.VIEWER)
    assert accounts.admit(replace(eve, subject="https://idp 18")) is None
    assert accounts.admit(replace(eve, origin=AccountOrigin.LDAP)) is None
    assert accounts.admit(replace(eve, name="ann", subject="https://idp 19")) is None
    assert accounts.admit(eve) == eve
    assert accounts.open_key(replace(KEY, account="eve"))
    with pytest.raises(LastAdmin):
        accounts.disable("ann", START)
    assert (accounts.turn_away(AccountOrigin.OIDC, "https://idp 17"), accounts.turn_away(AccountOrigin.OIDC, "nobody")) == ("eve", None)
    assert accounts.key("d1", START) is None


def test_who_is_disabled_is_out_until_enabled(story: Story) -> None:
    """Sessions end, and tokens open nothing meanwhile."""
    accounts, token = story.journal.accounts, replace(KEY, digest="d2", kind=KeyKind.TOKEN)
    accounts.open(ANN)
    accounts.open_key(KEY)
    accounts.open_key(token)
    assert accounts.disable("ann", START)
    assert [accounts.key(digest, START) for digest in ("d1", "d2")] == [None, None]
    assert not accounts.open_key(replace(KEY, digest="d3"))
    assert accounts.get("ann") == replace(ANN, disabled_at=START)
    assert accounts.disable("ann", None)
    assert [accounts.key(digest, START) for digest in ("d1", "d2")] == [None, token]
    assert not accounts.disable("bob", START)


def test_a_session_ends_when_it_is_not_used(story: Story) -> None:
    """Tokens do not; from the moment on at which it was opened, or used last."""
    accounts, idle = story.journal.accounts, timedelta(minutes=10)
    accounts.open(ANN)
    accounts.open_key(KEY)
    accounts.open_key(replace(KEY, digest="d2", kind=KeyKind.TOKEN))

    def good(minutes: int) -> list[bool]:
        return [accounts.key(digest, START + timedelta(minutes=minutes), idle) is not None for digest in ("d1", "d2")]

    assert (good(9), good(10)) == ([True, True], [False, True])
    accounts.use_key("d1", START + timedelta(minutes=9))
    assert (good(18), good(19)) == ([True, True], [False, True])
    assert accounts.keys(KeyKind.SESSION, START + timedelta(minutes=19), idle) == []


def test_networks_that_wait_are_listed_and_let_go(story: Story) -> None:
    """Those alone that failed as often as it may be."""
    accounts, window = story.journal.accounts, timedelta(minutes=5)
    for network, often in (("10.0.0.1", 3), ("10.0.0.2", 2)):
        for _ in range(often):
            accounts.attempt(network, START, most=3, window=window)
    assert accounts.waiting(START, most=3, window=window) == [("10.0.0.1", START + window)]
    assert (accounts.forget_attempts("10.0.0.1"), accounts.forget_attempts("10.0.0.1")) == (True, False)
    assert accounts.waiting(START, most=3, window=window) == []
