"""One store: its journal, its blobs and its spool know each other by an identity, and nothing is served where they do not agree (ADR-0048).

The journal makes the identity, because it settles who was first; then the blobs bear it; then the journal knows that they do. A first start
that ends anywhere in between is gone on with by the next. The blobs bear an empty blob `store/IDENTITY`, and a spool of its own the same
file: a blob, so that a folder, a bucket and encrypted ones bear it alike; in its name, so that it is never half written and needs no key.
"""

import re
import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from node.blobs.files import flush_folder, make_folder, write_flushed
from node.blobs.port import Blobs, BlobsFailed
from node.domain.errors import JournalError
from node.observe.events import event
from node.settings.config import Config
from node.store.hosts import make_run_folder, run_folder

if TYPE_CHECKING:
    from node.journal.journal import Journal


STORE = "store/"
_IDENTITY = re.compile(r"[0-9a-f]{32}")
_KINDS = ("instances/", "findings/", "results/", "marks/")
_MOST = 100


def new_identity() -> str:
    """128 random bits, in hexadecimal."""
    return secrets.token_hex(16)


def identities(blobs: Blobs) -> list[str]:
    """Of which stores these blobs say they are: one, none of a new place, several where two stores were mixed."""
    return sorted(_named(islice(blobs.names(STORE), _MOST)))


def sign(blobs: Blobs, identity: str) -> None:
    """Let blobs bear an identity, durable."""
    blobs.put(f"{STORE}{identity}", b"")


def hold_anything(blobs: Blobs) -> bool:
    """Whether anything that a journal knew of lies there; what waits in a spool was in none yet."""
    return any(next(iter(blobs.names(kind)), None) is not None for kind in _KINDS)


def identities_of_spool(root: Path) -> list[str]:
    """The same of a spool's folder. BlobsFailed where there is no telling."""
    try:
        return sorted(_named(path.name for path in (root / STORE).glob("*")))
    except OSError as failed:
        raise BlobsFailed(f"{root} cannot be read: {failed.strerror}") from failed


def sign_spool(root: Path, identity: str) -> None:
    """Let a spool's folder bear an identity, durable. BlobsFailed where it cannot be written."""
    folder = root / STORE
    try:
        make_folder(folder)
        if not (folder / identity).exists():
            write_flushed(folder / identity, [])
        flush_folder(folder)
    except OSError as failed:
        raise BlobsFailed(f"{folder} cannot be written: {failed.strerror}") from failed


def _named(names: Iterable[str]) -> set[str]:
    return {last for name in names if _IDENTITY.fullmatch(last := name.rpartition("/")[2])}


class JournalLost(JournalError):
    """There is no journal, or an empty one, where the blobs are those of a store that had one."""

    code = "HLM-7059"
    remedy = (
        "Mount the journal's disk, or correct `store: {journal: …}`; or restore the last backup (`hilum restore`). Only where it is lost "
        "for good: `hilum serve --new-journal` begins a new one over these blobs, which takes back the instances of the old one a day "
        "later and knows nothing else of it."
    )


class BlobsLost(JournalError):
    """The journal is of a store whose blobs (or whose spool) are not there: gone, not mounted, or another place."""

    code = "HLM-7060"
    remedy = (
        "Mount the disk of the blobs, or correct `store: {blobs: …}` (`bucket`, `spool`); or restore the last backup. Only where they "
        "are lost for good: `hilum serve --new-blobs` goes on without them, and what the journal names of them cannot be analysed or "
        "sent again."
    )


class StoresMixed(JournalError):
    """The journal and the blobs (or the spool) are of different stores: each knows who it is, and they do not agree."""

    code = "HLM-7061"
    remedy = (
        "Correct `store:` of the configuration, or restore journal and blobs of one backup. There is no option to mean it: instances of "
        "one store would be analysed, deleted and sent under the rows of another."
    )


class NotANewJournal(JournalError):
    """`--new-journal` was given, and the journal holds rows."""

    code = "HLM-7062"
    remedy = "Move the old journal away (its file with -wal and -shm, or the database's schema) and start again with the option."
    retry = False


_RECORD = "store"
_SAMPLE = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Meant:
    """What the operator says is not lost by mistake: the journal, or the blobs."""

    new_journal: bool = False
    new_blobs: bool = False


NOTHING = Meant()


def refuse_unless_new(config: Config, open_blobs: Callable[[], Blobs], meant: Meant = NOTHING) -> None:
    """Let no journal be made where there was one; `open_blobs` opens the blobs as they lie there.

    Raises
    ------
    JournalLost
        The blobs are those of a store, or this host has served one here.
    """
    if meant.new_journal:
        return
    where = _journal_name(config)
    try:
        blobs = open_blobs()
        there = identities(blobs)
        holds = bool(there) or hold_anything(blobs)
    except JournalError as away:
        if not away.retry:
            raise
        # the processes compare as soon as the blobs are there
        there, holds = [], False
    if holds:
        of = f" of the store {there[0]}" if there else ""
        raise JournalLost(f"{where} holds no journal, and {_blobs_name(config)} holds the blobs{of}")
    if (known := recorded(config)) is not None:
        raise JournalLost(f"{where} holds no journal, and this host served the store {known} from here; its blobs are gone as well")


def refuse_another_journal(config: Config, journal: "Journal", meant: Meant = NOTHING) -> None:
    """Keep whoever asks a server by name (a command, a process that starts again) from another store's journal behind that name.

    Raises
    ------
    StoresMixed
        It holds rows, and is of another store than this host serves.
    """
    if config.store.journal.startswith("sqlite:") or meant.new_journal:
        return
    here, known = recorded(config), journal.store.known()
    if here is not None and known is not None and known.identity != here and journal.store.knows_anything():
        raise StoresMixed(f"{_journal_name(config)} is the journal of the store {known.identity}, and this host serves {here}")


def agree(config: Config, journal: "Journal", blobs: Blobs, meant: Meant = NOTHING) -> str:
    """Compare journal, blobs and spool, and let new ones know each other; the store's identity.

    Raises
    ------
    JournalLost, BlobsLost, StoresMixed
        They do not belong together.
    NotANewJournal
        `meant` says that it is new, and it holds rows.
    JournalError
        One of them is away.
    """
    there, known = identities(blobs), journal.store.known()
    if len(there) > 1:
        raise StoresMixed(f"{_blobs_name(config)} holds the blobs of several stores: {', '.join(there)}")
    borne = there[0] if there else None
    if meant.new_journal and (known is None or known.identity != borne) and journal.store.knows_anything():
        raise NotANewJournal(f"{_journal_name(config)} holds what was received before")
    if known is None:
        identity = _first(config, journal, blobs, borne, meant)
    elif borne is None:
        if known.signed and not meant.new_blobs:
            raise BlobsLost(f"{_blobs_name(config)} is not where the blobs of the store {known.identity} are, of which the journal is")
        identity = known.identity
    elif borne == known.identity:
        identity = borne
    elif journal.store.knows_anything():
        raise StoresMixed(
            f"{_journal_name(config)} is the journal of the store {known.identity}, and {_blobs_name(config)} holds the blobs of {borne}"
        )
    elif meant.new_journal:
        journal.store.belong_anew(borne, journal.now())
        identity = borne
    else:
        raise JournalLost(f"{_journal_name(config)} is a new journal, and {_blobs_name(config)} holds the blobs of the store {borne}")
    _refuse_spool(config, identity, meant)
    if borne is None:
        sign(blobs, identity)
    if known is None or not known.signed:
        journal.store.signed(journal.now())
        event("store.identified", identity=identity)
    _keep(config, identity)
    return identity


def _first(config: Config, journal: "Journal", blobs: Blobs, borne: str | None, meant: Meant) -> str:
    """The identity of a journal that has none: it is new, or of an earlier release."""
    if not journal.store.knows_anything():
        holds = borne is not None or hold_anything(blobs)
        if holds and not meant.new_journal:
            of = "" if borne is None else f" of the store {borne}"
            raise JournalLost(f"{_journal_name(config)} is a new journal, and {_blobs_name(config)} holds the blobs{of}")
        if not holds and not meant.new_blobs and (known := recorded(config)) is not None:
            raise BlobsLost(f"this host served the store {known} from here, and neither {_journal_name(config)} nor the blobs are its")
    elif not meant.new_blobs and not _are_there(journal, blobs):
        raise BlobsLost(f"of what {_journal_name(config)} names, nothing lies in {_blobs_name(config)}")
    return journal.store.belong(borne or new_identity()).identity


def _are_there(journal: "Journal", blobs: Blobs) -> bool:
    """Whether blobs that the rows want lie there, or none is wanted: a sample of both ends, half of which may be on its way."""
    wanted = journal.store.wanted_blobs(_SAMPLE)
    return not wanted or 2 * sum(map(blobs.has, wanted)) >= len(wanted)


# ---- the spool, and what this host remembers


def refuse_other_places(config: Config, served: str | None = None) -> None:
    """Keep a process from folders that are not this store's, before it makes anything in them: a disk is not mounted, mostly. Asks neither
    journal nor bucket. `served`: the identity as this process knows it, should the run folder have gone with the disk.

    Raises
    ------
    BlobsLost, StoresMixed
        The folder does not bear the identity that this host has served under.
    JournalLost
        The journal's file is gone.
    """
    known = served or recorded(config)
    if known is None:
        return
    _refuse_spool(config, known, NOTHING, served=known)
    journal = config.store.journal
    if journal.startswith("sqlite:") and not Path(journal.removeprefix("sqlite:")).exists():
        raise JournalLost(f"{_journal_name(config)} is not there, and this host serves the store {known}")


def recorded(config: Config) -> str | None:
    """The identity of the store that this host served last, as its run folder remembers it; None: none yet."""
    try:
        return (run_folder(config) / _RECORD).read_text(encoding="ascii").strip() or None
    except (OSError, UnicodeDecodeError):
        return None


def forget(config: Config) -> None:
    """Another store comes to this place: a restore begins."""
    (run_folder(config) / _RECORD).unlink(missing_ok=True)


def spool_of(config: Config) -> Path | None:
    """The folder of a spool that is not in the folder of the blobs; None: it is."""
    store = config.store
    return store.spool or (store.blobs if store.bucket is not None else None)


def places_of(config: Config) -> dict[str, Path]:
    """The places of a store on this host, by what they are: a journal on a server and a bucket have none."""
    store, places = config.store, dict[str, Path]()
    if store.journal.startswith("sqlite:"):
        places["journal"] = Path(store.journal.removeprefix("sqlite:"))
    if store.bucket is None:
        places["blobs"] = store.blobs
    if (spool := spool_of(config)) is not None:
        places["spool"] = spool
    return places


def _refuse_spool(config: Config, identity: str, meant: Meant, *, served: str | None = None) -> None:
    folder = spool_of(config) or config.store.blobs
    there = identities_of_spool(folder)
    if there and there != [identity]:
        raise StoresMixed(f"{folder} holds the spool of the store {there[0]}, and the journal is of {identity}")
    if not there and (served or recorded(config)) == identity and not meant.new_blobs:
        raise BlobsLost(f"{folder} is not where the spool of the store {identity} is on this host")


def _keep(config: Config, identity: str) -> None:
    if (folder := spool_of(config)) is not None:
        sign_spool(folder, identity)
    if recorded(config) == identity:
        return
    record = make_run_folder(config) / _RECORD
    try:
        coming = record.with_name(f"{_RECORD}.{new_identity()[:6]}.part")
        write_flushed(coming, [identity.encode("ascii")])
        coming.rename(record)
        flush_folder(record.parent)
    except OSError as failed:
        raise BlobsFailed(f"{record} cannot be written: {failed.strerror}") from failed


def _journal_name(config: Config) -> str:
    url = config.store.journal
    if url.startswith("sqlite:"):
        return url.removeprefix("sqlite:")
    from node.journal.place import server

    return server(url).name


def _blobs_name(config: Config) -> str:
    return str(config.store.blobs) if config.store.bucket is None else config.store.bucket.url
