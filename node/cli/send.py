"""`hilum send`: send DICOM files as a PACS would, and say of each instance what the peer answered."""

import re
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from node.cli.ending import NothingFound, NothingToSend
from node.cli.opened import ConfigOption, JsonOption, configuration

if TYPE_CHECKING:
    from node.dimse.port import StoreStatus
    from node.dimse.requestor.outgoing import Sendable
    from node.settings.peers import Peer


_DESTINATION = re.compile(r"(?P<ae_title>[^@\\]{1,16})@(?:\[(?P<ipv6>[0-9A-Fa-f:.]+)\]|(?P<host>[^:@\[\]]+)):(?P<port>[0-9]{1,5})")
_CALLING = "HILUM-SEND"
_MOST_TOLD = 20


def _is_destination(_: type, value: str) -> None:
    if ("@" in value or re.search(r":[0-9]+$", value)) and (why := _unfit(value)):
        raise ValueError(f'"{value}" is not AET@HOST:PORT (as ORTHANC@10.0.0.5:4242): {why}')


def _unfit(value: str) -> str:
    """What is wrong with a destination; nothing where it is one."""
    title, at, place = value.rpartition("@")
    host, colon, port = place.rpartition(":")
    if not at:
        return "the AE title that the receiver was given stands before an @"
    if not title.strip():
        return "the AE title before the @ is missing"
    if len(title) > 16 or "\\" in title or "@" in title:
        return f'"{title}" is no AE title: 1 to 16 characters, no backslash'
    if not colon or not host:
        return f'HOST:PORT belongs behind the @, and "{place}" is not both'
    if not (port.isdecimal() and 0 < int(port) < 65536):
        return f'"{port}" is no port: a number from 1 to 65535'
    return "" if _DESTINATION.fullmatch(value) else f'"{host}" is no host; an IPv6 address stands in brackets: [::1]'


def _is_there(_: type, path: Path) -> None:
    if not path.exists():
        raise ValueError(f'there is no file or folder "{path}"')


def _is_title(_: type, value: str | None) -> None:
    if value is not None and not (0 < len(value.strip()) <= 16 and value.isascii() and value.isprintable() and "\\" not in value):
        raise ValueError(f'"{value}" is no AE title: 1 to 16 characters, no backslash')


def _is_size(_: type, value: str | None) -> None:
    from node.settings.kinds import size

    if value is not None:
        size(value)


def send(
    *paths: Annotated[Path, Parameter(validator=_is_there)],
    to: Annotated[str, Parameter(validator=_is_destination)],
    calling: Annotated[str | None, Parameter(validator=_is_title)] = None,
    config: ConfigOption = None,
    largest: Annotated[str | None, Parameter(validator=_is_size)] = None,
    as_json: JsonOption = False,
) -> int:
    """Send DICOM files as a PACS would. Ends with 0 only if there were instances and the peer accepted every one.

    Data sets go out as they lie in the files, in their own transfer syntax where the peer takes it. Files that are not DICOM are
    skipped and counted; DICOM files whose meta information does not say what they are, and zips that cannot be read, are skipped, named,
    and end it with 1.

    Parameters
    ----------
    paths
        Files, folders, zips (also a zip in a zip).
    to
        AET@HOST:PORT, or the name of a peer in the configuration.
    calling
        The AE title to call under (HILUM-SEND, or the node's own when `to` names a peer).
    largest
        What one zip may unpack to (4GB). Without it: a hundred times its own size, and 100 MB in any case; a larger one is refused, and
        nothing is sent.
    """
    from node.assembly.compose import calling as requestor_of
    from node.cli import screen
    from node.dimse.requestor.outgoing import collect
    from node.settings.kinds import size

    if not paths:
        raise NothingToSend("no path was given")
    peer, own_title = _peer(to, config)
    requestor = requestor_of(peer, calling or own_title)
    with tempfile.TemporaryDirectory(prefix="hilum-send-") as unpacked:
        found = collect(paths, Path(unpacked), largest=None if largest is None else size(largest))
        if not found.files:
            if found.unusable:
                raise NothingToSend(f"nothing to send: {found.unusable[0][0]}: {found.unusable[0][1]}")
            reason = f"; {found.skipped[0][0]} is {found.skipped[0][1]}" if found.skipped else ""
            raise NothingToSend(f"nothing to send: {screen.plural(len(found.skipped), 'file')} looked at, and no DICOM instance{reason}")
        with _progress(len(found.files), quiet=as_json) as advance:
            statuses = requestor.store([str(path) for _, path in found.files], on_status=lambda _: advance())
    if as_json:
        _print_json(peer, found, statuses)
    else:
        _tell(peer, found, statuses)
    return 0 if all(status.accepted for status in statuses) and not found.unusable else 1


def _peer(to: str, config: Path | None) -> "tuple[Peer, str]":
    """The peer, and the AE title to call it under."""
    from node.settings.peers import Peer

    if parts := _DESTINATION.fullmatch(to):
        host = parts["ipv6"] or parts["host"]
        return Peer(name=to, ae_title=parts["ae_title"].strip(), host=host, port=int(parts["port"])), _CALLING
    loaded = configuration(config)
    if to not in loaded.peers:
        from node.settings.source import suggestion

        raise NothingFound(f'no peer "{to}" in {loaded.path}{suggestion(to, loaded.peers)}')
    peer = loaded.peers[to]
    if not peer.port:
        raise NothingFound(f'peer "{to}" does not listen: its port is 0')
    return peer, loaded.node.ae_titles[0]


@contextmanager
def _progress(total: int, *, quiet: bool) -> Iterator[Callable[[], None]]:
    """A bar on a terminal's stderr; nothing elsewhere."""
    if quiet or not sys.stderr.isatty():
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("Sending"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("send", total=total)
        yield lambda: bar.advance(task)


def _print_json(peer: "Peer", found: "Sendable", statuses: "list[StoreStatus]") -> None:
    from node.cli import screen

    instances: list[dict[str, Any]] = [
        {
            "path": name,
            "sop_instance_uid": status.sop_instance_uid,
            "status": None if status.status is None else f"{status.status:04X}",
            "accepted": status.accepted,
            "unknown": status.unknown,
            "detail": status.detail,
        }
        for (name, _), status in zip(found.files, statuses, strict=True)
    ]
    screen.as_json(
        {
            "to": f"{peer.ae_title}@{peer.host}:{peer.port}",
            "accepted": sum(status.accepted for status in statuses),
            "not_accepted": sum(not status.accepted for status in statuses),
            "skipped": [{"path": name, "reason": reason} for name, reason in (*found.unusable, *found.skipped)],
            "instances": instances,
        }
    )


def _tell(peer: "Peer", found: "Sendable", statuses: "list[StoreStatus]") -> None:
    from node.cli import screen

    failed = [(name, status) for (name, _), status in zip(found.files, statuses, strict=True) if not status.accepted]
    for name, status in failed[:_MOST_TOLD]:
        answer = "no answer" if status.status is None else f"{status.status:04X}"
        screen.say(f"{name}: {answer} {status.detail}".rstrip())
    if len(failed) > _MOST_TOLD:
        screen.say(f"… and {len(failed) - _MOST_TOLD} more (--json lists all)")
    screen.say(f"{len(statuses) - len(failed)} of {len(statuses)} instances were accepted by {peer.ae_title} at {peer.host}:{peer.port}")
    for name, reason in found.unusable[:_MOST_TOLD]:
        screen.say(f"{name}: not sent: {reason}")
    if len(found.unusable) > _MOST_TOLD:
        screen.say(f"… and {len(found.unusable) - _MOST_TOLD} more that were not sent (--json lists all)")
    if found.skipped:
        screen.say(f"{len(found.skipped)} files were skipped; the first: {found.skipped[0][0]}: {found.skipped[0][1]}")
