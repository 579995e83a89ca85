"""Chooses the plug-ins: which journal, blobs, sinks and engines a configuration means. Heavy ones are imported when asked for."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inference.applications.asking import stated_numbers, unfit_parts
from inference.engines.kind import Opening
from inference.engines.kinds import BY_NAME, DEFAULT
from inference.errors import HilumError
from node.observe.events import event
from node.settings.config import DEFAULT_ENGINE, Config, EngineSettings, SinkSettings
from node.settings.load import parts_of
from node.settings.peers import Peer
from node.settings.source import SeriesNumbersClash, UnfitParts, UnfitRoles, UnservedVersion
from node.settings.store import Bucket

if TYPE_CHECKING:
    from inference.applications.port import Application
    from inference.engines.choosing import Fallback
    from inference.engines.jail.model import Limits
    from inference.engines.kind import EngineKind
    from inference.engines.port import Control, Engine
    from node.blobs.bucket import BucketBlobs
    from node.blobs.encryption.blobs import EncryptedBlobs
    from node.blobs.encryption.decrypted import FileEncryption
    from node.blobs.folder import FolderBlobs
    from node.dimse.listener import Listener
    from node.dimse.port import Intake
    from node.dimse.requestor.commitment import PeerCommitment
    from node.dimse.requestor.peer import PeerRequestor
    from node.domain.stage import Clock
    from node.journal.journal import Journal
    from node.journal.wake_up import WakeUps
    from node.records.decisions import RouteExplainer
    from node.sinks.port import Recipient, Sink
    from node.spool.commitment_inbox import FolderCommitmentInbox
    from node.spool.inbox import FolderInbox
    from node.spool.shortfalls import FolderShortfalls
    from node.store.hosts import WakeUpPipe
    from node.store.identity import Meant


_IDLE_S = 3.0  # a job's next parcel, or the next job's, comes sooner; most archives end an idle association after 10 to 60 s


def local_wake_up(config: Config, name: str) -> "WakeUpPipe":
    """What wakes the processes of stage `name` ("index", "flow", "work") on this host; needs nothing but this host."""
    from node.store import hosts
    from node.store.hosts import WakeUpPipe

    return WakeUpPipe(hosts.run_folder(config), f"{name}.bell")


def wake_up(config: Config, name: str) -> "WakeUps":
    """What wakes the processes of stage `name`, on every host that shares the journal."""
    from node.assembly.roles import shares_journal

    local = local_wake_up(config, name)
    if not shares_journal(config):
        return local
    from node.journal.wake_up import PostgresWakeUps

    return PostgresWakeUps(config.store.journal, name, local=local)


def open_journal(config: Config, meant: "Meant | None" = None) -> "Journal":
    """The journal, brought to the present schema if need be; created only where there was no store, or where `meant` says so.

    Raises
    ------
    JournalLost
        There is none, and blobs are there that had one.
    StoresMixed
        On a server there is another store's.
    """
    from node.backup.manifest import refuse_half_restored
    from node.journal.journal import Journal
    from node.store.identity import NOTHING, refuse_another_journal, refuse_unless_new

    refuse_half_restored(config)
    journal = Journal.open(config.store.journal, lambda: refuse_unless_new(config, lambda: open_bare_blobs(config), meant or NOTHING))
    try:
        refuse_another_journal(config, journal, meant or NOTHING)
    except BaseException:  # raised again: no connection stays open behind a refusal
        journal.close()
        raise
    return journal


def open_blobs(config: Config) -> "FolderBlobs | BucketBlobs | EncryptedBlobs":
    """Instance, findings and result bytes; encrypted where the configuration says so."""
    from node.store.encryption import open_encryption

    encryption = open_encryption(config)
    if encryption is None:
        return open_bare_blobs(config)
    from node.blobs.encryption.blobs import EncryptedBlobs

    return EncryptedBlobs(open_bare_blobs(config), encryption)


def open_bare_blobs(config: Config) -> "FolderBlobs | BucketBlobs":
    """The bytes as they lie there, encrypted or not: for questions about names alone."""
    store = config.store
    if store.bucket is None:
        from node.blobs.folder import FolderBlobs

        return FolderBlobs(store.blobs)
    from node.blobs.bucket import BucketBlobs
    from node.blobs.cache import Cache

    cache = Cache(store.blobs, most_bytes=store.bucket.cache_bytes, min_free_bytes=store.min_free_bytes)
    return BucketBlobs(store.bucket, cache)


def ask_bucket(bucket: Bucket) -> str:
    """Whether a bucket answers and lets the node in, as a sentence; touches nothing on this host.

    Raises
    ------
    BucketAway, BucketRefused
        It cannot be used.
    """
    from node.blobs.objects import Objects

    return Objects(bucket).check()


def open_intake(config: Config, *, kept: Callable[[], None] = lambda: None) -> "FolderInbox":
    """Where the receiver keeps instances; needs nothing but this host's disk. `kept` is called when some became entries."""
    from node.store.encryption import open_encryption
    from node.store.identity import places_of

    beside = [path for path in places_of(config).values() if path.exists()]
    return _intake(config, open_encryption(config), kept=kept, beside=beside)


def _intake(
    config: Config, encryption: "FileEncryption | None", *, kept: Callable[[], None] = lambda: None, beside: Sequence[Path] = ()
) -> "FolderInbox":
    from node.spool.inbox import FolderInbox

    store = config.store
    return FolderInbox(
        store.spooled,
        min_free_bytes=store.min_free_bytes,
        most_waiting=store.most_waiting,
        durability=store.durability,
        kept=kept,
        encryption=encryption,
        beside=beside,
    )


def open_inbox(config: Config, blobs: "FolderBlobs | BucketBlobs | EncryptedBlobs") -> "FolderInbox":
    """What the receiver has kept, as the index empties it: in the folder of the blobs, where indexing moves nothing, or on its way to blobs
    that hosts share."""
    encryption = encryption_of(blobs)
    if config.store.bucket is None and config.store.spool is None:
        return _intake(config, encryption)
    from node.spool.inbox import UploadingInbox

    return UploadingInbox(config.store.spooled, blobs, min_free_bytes=config.store.min_free_bytes, encryption=encryption)


def encryption_of(blobs: "FolderBlobs | BucketBlobs | EncryptedBlobs") -> "FileEncryption | None":
    """What these blobs are encrypted with."""
    from node.blobs.encryption.blobs import EncryptedBlobs

    return blobs.encryption if isinstance(blobs, EncryptedBlobs) else None


def open_shortfalls(config: Config, *, kept: "Callable[[], None]" = lambda: None) -> "FolderShortfalls":
    """Where the receiver keeps what series lack that came; needs nothing but this host's disk."""
    from node.spool.shortfalls import FolderShortfalls

    return FolderShortfalls(config.store.spooled, kept=kept)


def open_commitment_inbox(config: Config) -> "FolderCommitmentInbox":
    """Where the receiver keeps what peers say of storage commitment; needs nothing but this host's disk."""
    from node.spool.commitment_inbox import FolderCommitmentInbox

    return FolderCommitmentInbox(config.store.spooled)


def committer(config: Config, peer: str, clock: "Clock") -> "PeerCommitment":
    """Storage commitment with a peer, by its name."""
    from node.dimse.requestor.commitment import PeerCommitment

    return PeerCommitment(peer, requestor(config, config.peers[peer]).called, clock)


def requestor(config: Config, peer: Peer, *, brisk: bool = False, idle_s: float = 0.0) -> "PeerRequestor":
    """What asks `peer` for things, calling under the node's first AE title; `brisk` gives up soon, for questions that may go unanswered;
    with `idle_s` an association for C-STORE stays open so long for the next one."""
    from node.dimse.requestor.opening import Timeouts
    from node.dimse.requestor.peer import PeerRequestor

    timeouts = Timeouts(connect_s=3.0, acse_s=3.0, dimse_s=5.0) if brisk else Timeouts()
    return PeerRequestor(peer, calling_ae=config.node.ae_titles[0], timeouts=timeouts, idle_s=idle_s)


def calling(peer: Peer, calling_ae: str, *, idle_s: float = 0.0) -> "PeerRequestor":
    """What asks `peer` for things under an AE title of the caller's choice; `idle_s` as of `requestor`."""
    from node.dimse.requestor.peer import PeerRequestor

    return PeerRequestor(peer, calling_ae=calling_ae, idle_s=idle_s)


def open_listener(config: Config, intake: "Intake") -> "Listener":
    """What accepts associations as the configuration says, and hands instances to `intake`; in this process alone."""
    from node.dimse.listener import Listener

    return Listener(config, intake)


def open_sink(config: Config, sink: SinkSettings) -> "Sink":
    """The plug-in behind one entry of `sinks:`."""
    from node.sinks.kinds import BY_NAME as SINKS
    from node.sinks.port import Opening as SinkOpening

    opening = SinkOpening(name=sink.name, requestor=lambda peer: requestor(config, config.peers[peer], idle_s=_IDLE_S))
    return SINKS[sink.destination.kind].open(sink.destination, opening)


def negotiates(sink: SinkSettings) -> bool:
    """Whether a sink takes only some kinds of objects, and says which."""
    from node.sinks.kinds import BY_NAME as SINKS

    return SINKS[sink.destination.kind].negotiates


def recipient(config: Config, sink: SinkSettings) -> "Recipient":
    """Whom the audit trail names for what one entry of `sinks:` got."""
    from node.sinks.kinds import BY_NAME as SINKS

    return SINKS[sink.destination.kind].recipient(sink.destination, config)


def engine_settings(config: Config, name: str) -> EngineSettings:
    """The engine that `engines:` calls `name`; one that the configuration does not mention has the defaults."""
    return config.engines.get(name) or EngineSettings(name=name)


def engine_kind(config: Config, name: str) -> "EngineKind[Any]":
    """Of which kind an engine is."""
    return BY_NAME[engine_settings(config, name).options.kind]


def open_engine(config: Config, name: str) -> "Engine":
    """The engine that `engines:` calls `name`; computes and sends nothing yet."""
    opening = Opening(repository=config.models, workers=config.node.workers, tell=_fallback)
    return engine_kind(config, name).open(engine_settings(config, name).options, opening)


def model_limits(config: Config, name: str = "default") -> "Limits":
    """What the process of one model may take on this machine: as an engine says that computes here, else as one that is told nothing."""
    kind = engine_kind(config, name)
    if kind.limits is not None:
        return kind.limits(engine_settings(config, name).options, config.node.workers)
    assert DEFAULT.limits is not None, "the default engine computes here"
    return DEFAULT.limits(DEFAULT.options(), config.node.workers)


def _fallback(fallback: "Fallback") -> None:
    event(
        "engine.fallback",
        model=fallback.model.name,
        version=fallback.model.version,
        wanted=str(fallback.wanted),
        used=str(fallback.used),
        reason=fallback.reason,
    )


def open_control(config: Config, name: str) -> "Control":
    """What loads and unloads models on the server behind an engine.

    Raises
    ------
    NotATriton
        The engine computes in this process, or the configuration has none of this name.
    """
    from inference.engines.errors import NotATriton

    settings = config.engines.get(name)
    control = None if settings is None else BY_NAME[settings.options.kind].control
    if settings is None or control is None:
        there = ", ".join(sorted(each for each in config.engines if engine_kind(config, each).control is not None)) or "none"
        raise NotATriton(f'engine "{name}" is no Triton server in {config.path} (there: {there})')
    return control(settings.options, config.models)


@lru_cache(maxsize=64)
def _application(name: str, folders: tuple[Path, ...], state: object) -> "Application":
    from inference.applications.catalog import load

    return load(name, folders)


def served(config: Config, name: str) -> "Application":
    """The application called `name`, with the models' versions that the repository serves now; loaded again only when these change.

    One whose manifest says no number in Series Numbers has none: what is decided and computed needs none, and to find it every manifest of
    the routes is looked at.
    """
    from inference.applications.serving import as_served
    from node.flow.infer import with_acceptance

    found = as_served(manifest(config, name), config.models)
    if any(route.accepted and name in route.run for route in config.routes):
        return with_acceptance(config, found)
    return found


def application(config: Config, name: str) -> "Application":
    """The same with its number in Series Numbers, which its objects need."""
    found = served(config, name)
    return found if found.series else replace(found, series=series_numbers(config, name)[name])


def manifest(config: Config, name: str) -> "Application":
    """The application called `name` as it declares itself, whatever the repository serves; it takes the parts of series that are asked of
    it here."""
    from inference.applications.catalog import state

    found = _application(name, config.application_folders, state(name, config.application_folders))
    settings = config.applications.get(name)
    if settings is None or settings.parts is None:
        return found
    from inference.applications.manifest import of_parts

    return of_parts(found, settings.parts)


def series_numbers(config: Config, *names: str) -> dict[str, int]:
    """The numbers, in Series Numbers, of the applications that the routes run and of those `names`; one that cannot be loaded counts as
    one that says no number.

    Raises
    ------
    BrokenApplication
        Two claim the same.
    """
    from inference.applications.errors import BrokenApplication, UnknownApplication
    from inference.applications.numbering import numbered
    from inference.errors import ModelError

    stated = {}
    for name in {one for route in config.routes for one in route.run}.union(names):
        try:
            stated[name] = manifest(config, name).series
        except (BrokenApplication, UnknownApplication, ModelError):
            # what is wrong with it is said to whoever runs it; the numbers of the others stay
            stated[name] = 0
    return numbered(stated)


def demand_own_series_numbers(config: Config) -> None:
    """Refuse applications whose results nobody could tell apart by their Series Numbers. No application of others is imported here.

    Raises
    ------
    SeriesNumbersClash
    """
    from inference.applications.errors import BrokenApplication
    from inference.applications.numbering import numbered

    names = {one for route in config.routes for one in route.run}
    if len(names) < 2:  # which a node of one model has at every start, and asking takes a second interpreter
        return
    try:
        if config.application_folders:
            numbered(stated_numbers(config.application_folders, names))
        else:
            series_numbers(config)
    except BrokenApplication as clash:
        raise SeriesNumbersClash(str(clash)) from clash


def demand_fit_parts(config: Config) -> None:
    """Refuse parts of series that applications cannot take. No application of others is imported here.

    Raises
    ------
    UnfitParts
    """
    if (parts := parts_of(config)) and (unfit := unfit_parts(config.application_folders, parts)):
        raise UnfitParts("; ".join(unfit))


def demand_takable(config: Config, *, calls: bool = True) -> None:
    """Refuse what a start would refuse of keys that a reload takes up; no application of others is imported here.

    Parameters
    ----------
    calls
        Whether peers are called from here: what their `tls:` names is looked at then.

    Raises
    ------
    NotPrivate, TlsUnusable
        No handshake could succeed with what the `tls:` of a peer names.
    TracingAbsent
        Spans are to be sent, and what sends them is not installed.
    SeriesNumbersClash, UnfitParts
    """
    from node.dimse.validity import demand_usable_peers

    if calls:
        demand_usable_peers(config)
    if config.observe.traces is not None:
        from node.observe.spans import demand_tracing

        demand_tracing()
    demand_own_series_numbers(config)
    demand_fit_parts(config)


def demand_fit_roles(config: Config) -> None:
    """Refuse roles of routes that their applications do not have, and routes that do not say which series fill those that must be filled.

    Raises
    ------
    UnfitRoles
    """
    if problems := unfit_roles(config):
        raise UnfitRoles("; ".join(problems))


def unfit_roles(config: Config) -> list[str]:
    """Where routes and their applications do not fit in what roles they have, each in a sentence."""
    from node.routing.roles import unknown_roles

    problems = []
    for route in config.routes:
        for name in route.run:
            with suppress(HilumError):  # `hilum doctor` says what is wrong with it
                problems += unknown_roles(route, manifest(config, name))
    return problems


def demand_pinned_versions(config: Config) -> None:
    """Refuse routes that ask for a version of an application that is not the one installed, or served, here.

    Raises
    ------
    UnservedVersion
    """
    if problems := unserved_versions(config):
        raise UnservedVersion("; ".join(problems))


def unserved_versions(config: Config) -> list[str]:
    """Where routes ask for a version of an application that is not the one installed, or served, here, each in a sentence."""
    from node.routing.gate import not_pinned

    asking = [(route, not_pinned(route, partial(served, config))) for route in config.routes if route.pinned]
    return [f"{one.place}{found[one.application]}" for route, found in asking for one in route.pinned if one.application in found]


def unaccepted_applications(config: Config) -> list[str]:
    """Where routes ask for accepted applications, and one is not accepted here as it is served, each in a sentence."""
    from node.routing.gate import not_accepted

    asking = [(route, not_accepted(route, partial(served, config))) for route in config.routes if route.accepted]
    return [f'route "{route.name}": {why}' for route, found in asking for why in found.values()]


def unreachable_routes(config: Config) -> list[str]:
    """The routes of which nothing can ever run, each in a sentence with why."""
    from node.routing.untaken import never_runs

    explainer = route_explainer(config)
    unreachable = {route.name: why for route in config.routes if (why := never_runs(route, explainer.declared(route)))}
    told = "can run nothing, since no application of it takes what its conditions ask for"
    return [f'route "{name}" {told}: {why}. Change `when` or `run`.' for name, why in unreachable.items()]


def engine_of(config: Config, application_name: str) -> str:
    """The engine that runs an application here."""
    settings = config.applications.get(application_name)
    return settings.engine if settings else DEFAULT_ENGINE


def route_explainer(config: Config) -> "RouteExplainer":
    """What tells why the routes of a configuration take a series or not."""
    from node.records.decisions import RouteExplainer

    return RouteExplainer(
        config=config, manifest=partial(manifest, config), served=partial(served, config), engine_of=partial(engine_of, config)
    )
