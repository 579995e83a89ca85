"""The console's process: the journal, the blobs, and what answers browsers.

The node's own receiver as a caller on this machine reaches it; what is looked at every half minute: all that `hilum doctor` finds in a
moment, without asking anybody over a network. Peers, sinks, engines and the hospital's logins are asked by looks of their own; models are
read by the command alone.
"""

import contextlib
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING

from inference.errors import HilumError
from node.assembly import compose
from node.assembly.audit import open_trail, process_of
from node.assembly.compose import calling as requestor_of
from node.assembly.configuration import load, waiting_keys
from node.assembly.doctor.logins import demand_console, logins
from node.assembly.doctor.peers import look_at_callers, look_at_certificates, look_at_senders, subjects
from node.assembly.doctor.store import look_at_bucket, look_at_disk, of_journal
from node.console.context import Sent, StudyAccessAudit, UploadLimits
from node.console.edited_routes import EditedRoutes
from node.console.trials import Trials
from node.domain.health import Area, Dependency, DoctorFinding
from node.flow.scheduling import Scheduler, Tick
from node.journal.claims import pausable
from node.observe.association_log import kept_lines
from node.records.associations import sender_records
from node.records.peers import peer_records
from node.settings.config import Config
from node.settings.hospital import LdapDirectory, OidcProvider
from node.settings.peers import May, Peer
from node.settings.tls import PeerTls, TlsListener
from node.store.encryption import keep_temporaries_in_memory
from node.store.hosts import association_folder, owner_of, sinks_of
from node.store.in_force import ConfigInForce, Present
from node.upkeep.retention import make_room
from node.upkeep.sweeps import HeartbeatStage

if TYPE_CHECKING:
    from node.console.directory import Directory
    from node.console.health import Health
    from node.console.provider import Provider
    from node.dimse.requestor.outgoing import Sendable
    from node.dimse.requestor.peer import PeerRequestor
    from node.journal.journal import Journal


_STRANGER = "HILUM-SEND"
_NEXT_FILE_S = 30.0
"""How long the association of an upload waits for its next file; a browser that is closed sends none."""
_SHARE_OF_MEMORY = 4
"""An uploaded file, and what it unpacks to, get no more than a quarter each of what encrypted files may have in memory."""
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}


class OwnReceiverOf:
    """That of the configuration of now (`node.console.context.OwnReceiver`).

    Parameters
    ----------
    port
        Where it listens, as its supervisor knows; 0: as the configuration says.
    """

    def __init__(self, present: Present, port: int = 0) -> None:
        self._present = present
        node = present.config.node
        self._secure = None if node.plain else node.tls
        host, configured = (node.host, node.port) if self._secure is None else (self._secure.host, self._secure.port)
        self._port = port or configured
        self._host = _EVERYWHERE.get(host, host)
        self._kept: tuple[str, PeerRequestor] | None = None

    @property
    def listens(self) -> bool:
        """See the port."""
        return self._port != 0

    @property
    def titles(self) -> tuple[str, ...]:
        """Of peers that may store from where this machine calls itself, and name no user; those with a certificate where TLS alone is
        spoken: the node shows its own."""
        if not self._port:
            return ()
        admitted = {one.ae_title for one in self._present.config.peers.values() if self._is_here(one)}
        here = sorted(admitted, key=lambda title: (title != _STRANGER, title))
        return tuple(here) or ((_STRANGER,) if self._present.config.node.strangers else ())

    def _is_here(self, peer: Peer) -> bool:
        if May.STORE not in peer.may or peer.user is not None or (peer.certificate is not None and not self._secure):
            return False
        return peer.host == self._host or (_is_loopback(peer.host) and _is_loopback(self._host))

    def send(self, file: Path, name: str, calling: str, unpacked: Path, most: int, *, more: bool) -> Sent:
        """See the port."""
        from node.dimse.requestor.outgoing import collect

        try:
            return self._send(collect([file], unpacked, largest=most), file, name, calling)
        finally:
            if not more:
                self._release()

    def _send(self, found: "Sendable", file: Path, name: str, calling: str) -> Sent:
        told = {path: f"{name}{shown.removeprefix(str(file))}" for shown, path in found.files}
        left = [(f"{name}{shown.removeprefix(str(file))}", reason) for shown, reason in (*found.unusable, *found.skipped)]
        if not found.files:
            return Sent(accepted=0, studies=(), left=tuple(left))
        statuses = self._requestor(calling).store([str(path) for path in told])
        taken = []
        for path, status in zip(told, statuses, strict=True):
            if status.accepted:
                taken.append(path)
            else:
                answer = "no answer" if status.status is None else f"{status.status:04X}"
                left.append((told[path], f"{answer} {status.detail}".rstrip()))
        return Sent(accepted=len(taken), studies=tuple(dict.fromkeys(filter(None, map(_study_of, taken)))), left=tuple(left))

    def _requestor(self, calling: str) -> "PeerRequestor":
        """What calls under this title: the one of the file before, whose association stands, or a new one."""
        if self._kept is not None and self._kept[0] != calling:
            self._release()
        if self._kept is None:
            self._kept = calling, requestor_of(self._peer(), calling, idle_s=_NEXT_FILE_S)
        return self._kept[1]

    def _release(self) -> None:
        if self._kept is not None:
            self._kept[1].close()
        self._kept = None

    def _peer(self) -> Peer:
        node = self._present.config.node
        tls = None if self._secure is None else _to_oneself(self._secure)
        return Peer(name="this node", ae_title=node.ae_titles[0], host=self._host, port=self._port, tls=tls)


def _to_oneself(listener: TlsListener) -> PeerTls:
    """TLS to the node's own listener, whose certificate is expected under the first name that it bears."""
    from cryptography import x509

    bears = x509.load_pem_x509_certificate(listener.certificate.read_bytes())
    names = bears.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    first = next(iter((*names.get_values_for_type(x509.DNSName), *map(str, names.get_values_for_type(x509.IPAddress)))), "")
    return PeerTls(
        authorities=listener.authorities,
        certificate=listener.certificate,
        key=listener.key,
        server_name=first,
        profile=listener.profile,
        places=listener.places,
    )


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _study_of(path: Path) -> str:
    """The study of an instance that the receiver took."""
    from node.dicom.header import read_header

    identity, _ = read_header(path)
    return identity.study_instance_uid


def glance(config: Config, journal: "Journal") -> Iterator[DoctorFinding]:
    """Disk, bucket, journal, clock, processes, certificates, senders, and what waits for a person."""
    yield from look_at_disk(config)
    yield from look_at_bucket(config)
    try:
        yield from of_journal(config, journal)
    except HilumError as broken:
        yield DoctorFinding(area=Area.JOURNAL, subject="journal", level="bad", detail=f"{broken} [{broken.code}]", fix=broken.remedy)
    yield from look_at_certificates(config)
    yield from look_at_senders(config)
    yield from look_at_callers(config)


_BEAT_EVERY = timedelta(seconds=10)
_LOOK_EVERY = timedelta(seconds=1)


def upload_limits(config: Config) -> UploadLimits:
    """What an upload may hold where its files lie meanwhile: on the disk for temporary files, or in memory where the store is encrypted."""
    plain, encryption = UploadLimits(), config.store.encryption
    if encryption is None:
        return plain
    share = encryption.memory_bytes // _SHARE_OF_MEMORY
    return UploadLimits(file_bytes=min(plain.file_bytes, share), unpacked_bytes=min(plain.unpacked_bytes, share))


def console(
    config: Config, stop: threading.Event, *, ready: Callable[..., None], in_force: Path | None = None, receiver_port: int = 0
) -> None:
    """Answer operators until `stop`; `in_force` is where the configuration in force lies, `receiver_port` where the receiver of the same
    supervisor listens.

    Raises
    ------
    ConsoleAbsent, NotPrivate, TlsUnusable
        What it is made of is not installed; no browser could shake hands.
    """
    assert config.console is not None, "the supervisor starts a console only where the configuration has one"
    demand_console(config.console)
    from node.console.context import ConsoleContext
    from node.console.health import Health, SharedLook
    from node.console.images.gallery import Gallery
    from node.console.server import serve

    with contextlib.ExitStack() as opened:
        journal = opened.enter_context(contextlib.closing(compose.open_journal(config)))
        trials = opened.enter_context(contextlib.closing(trials_of(config)))
        blobs = compose.open_blobs(config)
        if (file_encryption := compose.encryption_of(blobs)) is not None:
            keep_temporaries_in_memory(file_encryption)  # what is uploaded lies in files until the receiver has it
        present = Present(config)
        hospital = list(logins(config.console))
        health = Health([*subjects(config), *hospital], lambda: glance(present.config, journal))
        directory = None if config.console.ldap is None else _directory(config.console.ldap)
        context = ConsoleContext(
            journal=journal,
            settings=config.console,
            gallery=Gallery(journal, blobs),
            accesses=_accesses(config, journal, opened),
            health=health,
            senders=SharedLook(lambda: sender_records(journal, list(present.config.peers))),
            windows=SharedLook(lambda: peer_records(journal, present.config.peers)),
            models=config.models,
            application_folders=config.application_folders,
            editing=edited_routes(config, in_force, trials),
            peers=lambda: present.config.peers,
            associations=SharedLook(lambda: list(kept_lines(association_folder(config)))),
            sinks_of=lambda peer: sinks_of(present.config, peer),
            make_room=partial(make_room, config, journal, blobs),
            pausable=lambda: pausable(present.config),
            receiver=OwnReceiverOf(present, receiver_port),
            upload_limits=upload_limits(config),
            directory=directory,
            provider=None if config.console.oidc is None else _provider(config.console.oidc),
        )
        context.health.look()  # whoever comes first finds it looked at
        context.health.look_at_node()
        beat = HeartbeatStage(journal, f"console {owner_of(config, os.getpid())}", journal.now, config)
        beat.step()
        followed = _Looking(ConfigInForce(config, in_force, [present, _Asked(health, hospital), beat], load=load))
        ticks = [Tick(stage=beat, every=_BEAT_EVERY), Tick(stage=followed, every=_LOOK_EVERY)]
        if directory is not None and config.console.ldap is not None:
            from node.console.directory import DirectorySweep

            ticks.append(Tick(stage=DirectorySweep(journal, directory, config.console.idle), every=config.console.ldap.ask_again))
        clock = Scheduler(ticks)
        clock.start()
        try:
            serve(context, stop, ready=ready)
        finally:
            clock.stop()


def _directory(settings: LdapDirectory) -> "Directory":
    from node.console.directory import Directory

    return Directory(settings)


def _provider(settings: OidcProvider) -> "Provider":
    from node.console.provider import Provider

    return Provider(settings)


def trials_of(config: Config) -> Trials:
    """What tries edited routes out, each time in a process of its own."""
    return Trials(config.path, "node.assembly.trial_process")


def edited_routes(config: Config, in_force: Path | None, trials: Trials) -> EditedRoutes:
    """What the page of routes may do with the file of the configuration."""
    return EditedRoutes(config, in_force, trials, load=load, demand=compose.demand_takable, waiting=waiting_keys)


class _Looking:
    """The stage that has the console go by the configuration in force, on a clock."""

    name = "config"

    def __init__(self, followed: ConfigInForce) -> None:
        self._followed = followed

    def step(self) -> int:
        """Look; never counts as work."""
        self._followed.look()
        return 0


class _Asked:
    """Has the subjects of a configuration that comes into force asked how they are; the hospital's logins are those of the start."""

    def __init__(self, health: "Health", hospital: Sequence[Dependency]) -> None:
        self._health = health
        self._hospital = hospital

    def adopt(self, config: Config) -> None:
        """Ask these from now on."""
        self._health.adopt([*subjects(config), *self._hospital])


def _accesses(config: Config, journal: "Journal", opened: contextlib.ExitStack) -> StudyAccessAudit:
    trail = open_trail(config)
    if trail is None:
        return StudyAccessAudit(journal)
    opened.callback(trail.close)
    return StudyAccessAudit(journal, trail.tell, process=process_of(config, "console"), ae_titles=config.node.ae_titles)
