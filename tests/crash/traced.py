"""What strace saw of the system calls of an unmodified node: which ones, in which order, on which files and sockets."""

import codecs
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from tests.crash.answers import answers
from tests.lab.needs import program

_CALLS = "openat,write,writev,pwrite64,fsync,fdatasync,syncfs,rename,renameat,renameat2,link,linkat,sendto,sendmsg"
_LINE = re.compile(r"^(\d+) +(?:<\.\.\. (\w+) resumed>|(\w+)\()(.*)$")
_DESCRIPTOR = re.compile(r"^(\d+)<([^>]*)>")
_STRING = re.compile(r'"((?:[^"\\]|\\.)*)"')
_RESULT = re.compile(r"= (-?\d+)[^=]*$")


@dataclass(frozen=True, slots=True)
class Call:
    """One call that succeeded: the numbers of the lines at which it began and ended, what it was about, and its strings."""

    name: str
    began: int
    ended: int
    path: str
    strings: tuple[bytes, ...]


def command(log: Path) -> Sequence[object]:
    """What a program is run under."""
    strace = program("strace", "strace")
    return [strace, "-f", "-qq", "-y", "-x", "-s", "2048", "--seccomp-bpf", "-e", f"trace={_CALLS}", "-e", "signal=none", "-o", log, "--"]


def calls(log: Path) -> Iterator[Call]:
    """The calls that succeeded, by the lines at which they ended; one that was cut off is left out."""
    begun: dict[str, tuple[str, int, str]] = {}
    for at, line in enumerate(log.read_text(errors="replace").splitlines()):
        found = _LINE.match(line)
        if found is None:
            continue
        thread, resumed, name, rest = found.groups()
        if resumed is None and rest.endswith("<unfinished ...>"):
            begun[thread] = (name, at, rest.removesuffix("<unfinished ...>"))
            continue
        started = at
        if resumed is not None:
            if thread not in begun:
                continue
            name, started, before = begun.pop(thread)
            rest = before + rest
        result = _RESULT.search(rest)
        if result is None or int(result[1]) < 0:
            continue
        descriptor = _DESCRIPTOR.match(rest)
        strings = tuple(codecs.escape_decode(each.encode())[0] for each in _STRING.findall(rest))
        yield Call(name, started, at, "" if descriptor is None else descriptor[2], strings)


@dataclass(frozen=True, slots=True)
class Answered:
    """One 0x0000 that left, and what was missing before it; empty: nothing."""

    sop_instance_uid: str
    missing: str


def answered(seen: Sequence[Call]) -> list[Answered]:
    """For every 0x0000 of a C-STORE: was the file with the instance's bytes flushed after its last byte, renamed into the inbox, and was
    the folder flushed by a call that began after the rename, all before the response began to leave?"""
    found = []
    for call in seen:
        if call.name in ("sendto", "sendmsg", "write") and not call.path.startswith("/"):
            for sent in call.strings[:1]:
                found += [
                    Answered(answer.sop_instance_uid, _missing(seen, answer.sop_instance_uid, call.began))
                    for answer in answers(sent)
                    if answer.status == 0x0000
                ]
    return found


def _missing(seen: Sequence[Call], uid: str, before: int) -> str:
    # what follows the UID in the head of its file ends it: padding, or the next element
    its_uid = re.compile(re.escape(uid.encode()) + rb"(?![0-9.])")
    writes = [call for call in seen if call.name in ("write", "writev", "pwrite64") and call.path.startswith("/")]
    files = {call.path for call in writes if call.ended < before and any(its_uid.search(one) for one in call.strings)}
    reasons = [_missing_of(seen, writes, path, before) for path in sorted(files) if path.endswith(".part")]
    if not reasons:
        return "no file was written"
    return "" if "" in reasons else "; ".join(reasons)


def _missing_of(seen: Sequence[Call], writes: Sequence[Call], path: str, before: int) -> str:
    last = max(call.ended for call in writes if call.path == path)
    flush = next((call for call in seen if call.name in ("fdatasync", "fsync") and call.path == path and call.began > last), None)
    if flush is None or flush.ended > before:
        return f"{path} was not flushed after its last byte"
    renamed = next((call for call in seen if call.name.startswith("rename") and call.strings[0] == path.encode()), None)
    if renamed is None or renamed.ended > before:
        return f"{path} was not renamed"
    folder = str(PurePosixPath(renamed.strings[1].decode()).parent)
    named = [call for call in seen if call.name == "fsync" and call.path == folder and renamed.ended < call.began and call.ended < before]
    return "" if named else f"{folder} was not flushed after the rename"
