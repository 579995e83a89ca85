"""Journal, blobs and spool of one store know each other, and a start where they do not is refused with a sentence; on a folder and SQLite.

PostgreSQL and a bucket: tests/peers/test_store_identity.py.
"""

import contextlib
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from node.assembly import compose
from node.assembly.configuration import load
from node.domain.errors import JournalError
from node.settings.config import Config
from node.store.identity import NOTHING, BlobsLost, JournalLost, Meant, NotANewJournal, StoresMixed, agree, identities, recorded, sign
from tests.unit.journal.story import START, Story


class _Place:
    """One store in a folder, started (as far as identities go) and filled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        config = folder / "hilum.yaml"
        config.write_text(
            f"node: {{ae_title: HILUM, listen: '127.0.0.1:0'}}\n"
            f"store: {{journal: 'sqlite:{folder}/journal/hilum.db', blobs: 'file:{folder}/blobs', min_free: 1MB}}\n"
        )
        self.config: Config = load(config)

    @property
    def journal(self) -> Path:
        return self.folder / "journal"

    @property
    def blobs(self) -> Path:
        return self.folder / "blobs"

    def start(self, meant: Meant = NOTHING) -> str:
        with contextlib.closing(compose.open_journal(self.config, meant)) as journal:
            return agree(self.config, journal, compose.open_bare_blobs(self.config), meant)

    def fill(self) -> None:
        blobs = compose.open_bare_blobs(self.config)
        with contextlib.closing(compose.open_journal(self.config)) as journal:
            story = Story(journal)
            story.receive(1, 2, 3)
            for number in (1, 2, 3):
                blobs.put(f"instances/{number}.dcm", b"an instance")

    def of_before(self) -> None:
        """As an earlier release left it: neither journal, blobs nor host know an identity."""
        shutil.rmtree(self.blobs / "store")
        (self.folder / "blobs.run" / "store").unlink()
        with contextlib.closing(compose.open_journal(self.config)) as journal, journal.database.writing() as connection:
            connection.exec_driver_sql("DELETE FROM store")


@pytest.fixture
def place(tmp_path: Path) -> _Place:
    """A store that was started once and received something."""
    made = _Place(tmp_path / "one")
    made.start()
    made.fill()
    return made


@pytest.fixture
def other(tmp_path: Path) -> _Place:
    """Another one."""
    made = _Place(tmp_path / "other")
    made.start()
    made.fill()
    return made


def test_a_new_store_is_made_and_known_again(tmp_path: Path) -> None:
    """The first start makes one identity, later ones find it: in the journal, in the name of a blob, at this host."""
    place = _Place(tmp_path)
    identity = place.start()
    assert identities(compose.open_bare_blobs(place.config)) == [identity] == [recorded(place.config)]
    assert place.start() == identity
    assert len(identity) == 32


def _journal_deleted(place: _Place) -> None:
    shutil.rmtree(place.journal)


def _journal_emptied(place: _Place) -> None:
    _journal_deleted(place)
    place.journal.mkdir()
    (place.journal / "hilum.db").touch()


def _journal_new(place: _Place) -> None:
    """A journal of another place, that never received anything, lies there."""
    fresh = _Place(place.folder.parent / "fresh")
    fresh.start()
    _journal_deleted(place)
    shutil.copytree(fresh.journal, place.journal)


def _both_deleted(place: _Place) -> None:
    shutil.rmtree(place.journal)
    shutil.rmtree(place.blobs)


def _blobs_deleted(place: _Place) -> None:
    shutil.rmtree(place.blobs)


def _blobs_emptied(place: _Place) -> None:
    _blobs_deleted(place)
    place.blobs.mkdir()


@pytest.mark.parametrize(
    ("loss", "kind"),
    [
        (_journal_deleted, JournalLost),
        (_journal_emptied, JournalLost),
        (_journal_new, JournalLost),
        (_both_deleted, JournalLost),
        (_blobs_deleted, BlobsLost),
        (_blobs_emptied, BlobsLost),
    ],
)
def test_what_is_gone_is_not_begun_anew_by_mistake(place: _Place, loss: Callable[[_Place], None], kind: type[JournalError]) -> None:
    """Deleted, empty or not mounted: refused, as often as it is tried, with what is wrong and the option that means it; nothing is made."""
    loss(place)
    there = (place.journal / "hilum.db").exists()
    for _ in range(2):
        with pytest.raises(kind) as told:
            place.start()
    assert "--new-" in told.value.remedy
    assert str(place.folder) in str(told.value)
    assert (place.journal / "hilum.db").exists() == there
    assert not list(place.blobs.glob("store/*")) or kind is JournalLost


@pytest.mark.parametrize(("loss", "meant"), [(_journal_deleted, "journal"), (_journal_new, "journal"), (_blobs_emptied, "blobs")])
def test_a_loss_that_is_meant_is_gone_on_without(place: _Place, loss: Callable[[_Place], None], meant: str) -> None:
    """`--new-journal` and `--new-blobs`: the store keeps its identity, and the next start needs no option."""
    identity = place.start()
    loss(place)
    assert place.start(Meant(new_journal=meant == "journal", new_blobs=meant == "blobs")) == identity
    assert place.start() == identity


def test_a_store_that_is_wholly_lost_is_begun_anew_where_both_are_meant(place: _Place) -> None:
    """Journal and blobs deleted together: both options make a new store with an identity of its own."""
    before = place.start()
    _both_deleted(place)
    with pytest.raises(BlobsLost):
        place.start(Meant(new_journal=True))
    assert place.start(Meant(new_journal=True, new_blobs=True)) != before


def test_journal_and_blobs_of_two_stores_are_refused_whatever_is_meant(place: _Place, other: _Place) -> None:
    """A journal of another store, or blobs of another one: neither option makes one of them."""
    _journal_deleted(place)
    shutil.copytree(other.journal, place.journal)
    for meant in (NOTHING, Meant(new_blobs=True)):
        with pytest.raises(StoresMixed, match=r"hilum\.db is the journal of the store"):
            place.start(meant)
    with pytest.raises(NotANewJournal):
        place.start(Meant(new_journal=True))


def test_blobs_that_two_stores_were_mixed_in_are_refused(place: _Place, other: _Place) -> None:
    """Two installations in one place: each would take the other's instances for its own lost ones."""
    sign(compose.open_bare_blobs(place.config), other.start())
    with pytest.raises(StoresMixed, match="several stores"):
        place.start()


def test_a_store_of_an_earlier_release_is_adopted_once(place: _Place) -> None:
    """Neither side knew an identity: what the journal names lies there, so they are one store, from then on by name."""
    place.of_before()
    identity = place.start()
    assert place.start() == identity
    assert identities(compose.open_bare_blobs(place.config)) == [identity]


def test_an_earlier_journal_is_not_adopted_with_blobs_that_are_not_there(place: _Place) -> None:
    """The release is changed and a mount forgotten at the same time."""
    place.of_before()
    shutil.rmtree(place.blobs)
    with pytest.raises(BlobsLost, match="nothing lies in"):
        place.start()


def test_earlier_blobs_are_not_adopted_with_an_empty_journal(place: _Place) -> None:
    """The same, the journal's disk."""
    place.of_before()
    _journal_deleted(place)
    with pytest.raises(JournalLost):
        place.start()


@pytest.mark.parametrize("cut", ["journal", "blobs", "signed"])
def test_a_first_start_that_was_cut_is_gone_on_with(tmp_path: Path, cut: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed behind the journal's row, behind the blobs' name, and before this host remembers: the next start makes one store of them."""
    place = _Place(tmp_path)

    class _Killed(Exception):
        pass

    def kill(*_: object, **__: object) -> None:
        raise _Killed

    where = {"journal": "sign", "blobs": "event", "signed": "_keep"}[cut]
    with monkeypatch.context() as dying:
        dying.setattr(f"node.store.identity.{where}", kill)
        with pytest.raises(_Killed):
            place.start()
    with contextlib.closing(compose.open_journal(place.config)) as journal:
        known = journal.store.known()
    assert known is not None
    assert place.start() == known.identity
    assert place.start() == known.identity


def test_an_older_copy_of_the_same_journal_is_taken(place: _Place, tmp_path: Path) -> None:
    """A database that was put back as it was last night is of the same store (ADR-0008 says what becomes of the rest)."""
    shutil.copytree(place.journal, tmp_path / "night")
    with contextlib.closing(compose.open_journal(place.config)) as journal:
        journal.events.note("instance", 0, "instance.seen", "today", START)
    _journal_deleted(place)
    shutil.copytree(tmp_path / "night", place.journal)
    place.start()


def test_a_command_makes_no_journal_where_one_was(place: _Place) -> None:
    """`hilum jobs list` beside a disk that is not mounted is refused as the node is, and leaves nothing behind."""
    _journal_deleted(place)
    with pytest.raises(JournalLost):
        compose.open_journal(place.config)
    assert not place.journal.exists()
