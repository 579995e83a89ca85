"""Audit trail of a node: each process tells its own alerts, the supervisor sends. The journal's history is told in
`flow`: the receive process, which opens this too, knows no database."""

import contextlib
import os
import pwd
import socket
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

from node.observe.audit import codes
from node.observe.audit.alerts import Alerts, activity, configuration_changed
from node.observe.audit.forwarding import AuditForwarder, RepositoryAddress, Tls
from node.observe.audit.message import Message, Source, xml
from node.observe.audit.trail import AuditFiles, Trail, unwritable
from node.observe.security import ConsoleActed, listen, listen_no_more
from node.settings.config import Config
from node.store.hosts import owner_of
from node.upkeep.monotonic_clock import MonotonicClock


def source_of(config: Config) -> Source:
    """How the repository calls this node."""
    audit = config.audit
    return Source(name=audit.source or f"{config.node.ae_titles[0]}@{socket.gethostname()}", site=audit.site)


def open_trail(config: Config) -> Trail | None:
    """The trail of this process; None where the configuration has none."""
    folder = config.audit.folder
    if folder is None:
        return None
    return Trail(folder, source_of(config))


def process_of(config: Config, stage: str) -> str:
    """The identity of this process, as events and leases have it."""
    return f"{stage} {owner_of(config, os.getpid())}"


@contextlib.contextmanager
def audited(config: Config, stage: str) -> Iterator[Trail | None]:
    """Tell the security alerts of this process while the block runs."""
    trail = open_trail(config)
    if trail is None:
        yield None
        return
    alerts = Alerts(tell=trail.tell, process=process_of(config, stage), ae_titles=config.node.ae_titles)
    listen(alerts.hear)
    try:
        yield trail
    finally:
        listen_no_more()
        alerts.close()
        trail.close()


@contextlib.contextmanager
def accountable(config: Config) -> Iterator[Callable[[str, str], None]]:
    """Write what a command does at once, beside a node that runs or not; it is handed what to call with the verb and its subject.

    Raises
    ------
    AuditUnwritable
        The trail does not take it: before anything was done, or behind what then was done all the same.
    """
    folder, written = config.audit.folder, list[Message]()
    if folder is None:
        yield lambda verb, subject: None
        return
    alerts = Alerts(tell=written.append, process=process_of(config, "command"), ae_titles=config.node.ae_titles)
    files, source = AuditFiles(folder), source_of(config)

    def told(verb: str, subject: str) -> None:
        alerts.hear(ConsoleActed(account=person(), address="", verb=verb, subject=subject))
        with unwritable("it was done, and "):
            files.append([xml(one, source) for one in written], datetime.now(UTC))
        written.clear()

    with unwritable("nothing was done: "):
        files.make()
        files.append([], datetime.now(UTC))
    yield told


def user_name() -> str:
    """Who runs this process, as this machine names them; not as the environment does, which anybody may set."""
    number = os.getuid()
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:  # a container's user may have no name
        return f"uid {number}"


def person() -> str:
    """The same with the number, which two users of one name do not share."""
    name, number = user_name(), f"uid {os.getuid()}"
    return number if name == number else f"{name} ({number})"


@contextlib.contextmanager
def overseen(config: Config) -> Iterator[Callable[[], None]]:
    """Send the trail to where the configuration says while the block runs. It is handed what to call when the node has begun to serve:
    that tells that the node starts, and at the end that it stops. One that never served did neither."""
    with audited(config, "supervisor") as trail:
        if trail is None:
            yield lambda: None
            return
        audit, folder = config.audit, config.audit.folder
        assert folder is not None, "there is a trail"
        address = None if audit.send is None else RepositoryAddress(host=audit.send.host, port=audit.send.port, secure=audit.send.secure)
        sender = AuditForwarder(
            folder,
            keep=audit.keep,
            address=address,
            tls=Tls(ca=audit.tls.ca, cert=audit.tls.cert, key=audit.tls.key),
            clock=MonotonicClock(lambda: datetime.now(UTC)),  # a clock that was set ahead makes nothing old
        )
        process, ae_titles = process_of(config, "supervisor"), config.node.ae_titles
        serves = False

        def begun() -> None:
            nonlocal serves
            serves = True
            trail.tell(activity(codes.APPLICATION_START, process, ae_titles))
            if changed := configuration_changed(config.path, folder, process, ae_titles):
                trail.tell(changed)

        sender.start()
        try:
            yield begun
        finally:
            if serves:
                trail.tell(activity(codes.APPLICATION_STOP, process, ae_titles))
            trail.flush(5.0)
            sender.stop()
