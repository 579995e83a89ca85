"""How a verb ends that cannot go on: what it refuses to do because of what it was asked; a sentence with a code and what to do, or one JSON
object; where a defect's details lie; the streams.

Nothing that a verb meets reaches a person as a traceback.
"""

import contextlib
import io
import json
import os
import platform
import re
import sys
import tempfile
import traceback
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from inference.errors import HilumError
from node.domain.errors import ConfigError, JournalError

if TYPE_CHECKING:
    from cyclopts import CycloptsError


class NothingFound(ConfigError):
    """Nothing bears the name, identifier or path that the command was given."""

    code = "HLM-2060"
    remedy = "Look at what there is: `hilum studies list`, `hilum jobs list`, `hilum config check`."


class Ambiguous(ConfigError):
    """Several things end like the UID that the command was given."""

    code = "HLM-2061"
    remedy = "Give more of the UID; `--json` prints them whole."


class NotDone(ConfigError):
    """The command was understood, and could not be carried out for some of what it was given."""

    code = "HLM-2062"
    remedy = "Look at the present state with `hilum jobs show JOB` or `hilum studies show STUDY`."


class NoHealthPage(ConfigError):
    """The node was asked for its health, and its configuration gives it no address to answer at."""

    code = "HLM-2063"
    remedy = 'Give it one: `node: {metrics: "127.0.0.1:9464"}`, and start it again.'


class WrongWords(ConfigError):
    """The options of a verb do not go together, or one of them is not of its form."""

    code = "HLM-2064"
    remedy = "`--help` behind the verb says what it takes."


class NobodyServes(ConfigError):
    """A running node was to be asked something, and none of this host serves the store of the configuration."""

    code = "HLM-2066"
    remedy = "Start it with `hilum serve`, or name the configuration that it was started with: --config FILE."


class SeveralPatients(ConfigError):
    """A study was to be erased by its UID, and headers in it name several patients: an archive merged, or a sender mixed, two of them."""

    code = "HLM-2065"
    remedy = "`hilum patients erase --id ID` erases what is one patient's of it; `--study UID --all-patients` all of it, whoever's it is."


class NobodyToTell(ConfigError):
    """A trial message was to be sent, and the configuration names nobody who gets messages."""

    code = "HLM-2069"
    remedy = "Give it `notify: {mail: …}` or `notify: {webhook: …}` (docs/howto/be-told.md)."


class Defect(ConfigError):
    """A verb met something that nobody foresaw; the message says where, and in which file the details lie."""

    code = "HLM-2120"
    remedy = "Call it again. If it stays so, report it as a defect of hilum, with that file and what you called."


class NotPermitted(ConfigError):
    """The operating system does not let this user do what the verb needs: a store is its node's user's alone."""

    code = "HLM-2121"
    remedy = "Run it as the user that the node runs as: `sudo -u USER hilum …`. If it is a place that you named, name one of your own."


class SystemRefused(ConfigError):
    """The operating system refused what the verb needs: a full or read-only disk, too few file handles, a file that is not there."""

    code = "HLM-2122"
    remedy = "Mend what the message names, then call it again. The node, where one runs, is not touched by this."


class NobodyErased(ConfigError):
    """Nothing of the patient or studies that were to be erased is held here, or whoever was asked did not agree."""

    code = "HLM-2124"
    remedy = (
        "Compare the ID with `hilum studies list --search ID`: it is as headers have it, capitals and leading zeros count, and several "
        "issuers may give the same one (`--issuer`)."
    )


class NothingToSend(ConfigError):
    """None of what was named is, or holds, a DICOM instance."""

    code = "HLM-2125"
    remedy = "Name files as a PACS or modality exports them (DICOM Part 10), folders of such, or zips; a DICOMDIR alone holds no images."


class AlreadyThere(ConfigError):
    """A node was to be begun where a file stands that it would have written over."""

    code = "HLM-2130"
    remedy = "Name another folder, or move the file away. Nothing was written."


class NotBegun(ConfigError):
    """The files of a new node could not be written: no room, no right to write there, or what is named is no folder."""

    code = "HLM-2131"
    remedy = "Mend what the sentence says, or name another folder; `hilum init` goes on where it was."


class ForeignPackage(ConfigError):
    """A package of the command is not the one that was installed with it: a folder on PYTHONPATH, or another distribution, has its name."""

    code = "HLM-2132"
    remedy = (
        "Install hilum into an environment of its own (`python3 -m venv`), without what has the same name; unset PYTHONPATH, and start it "
        "by that environment's `bin/hilum`."
    )


_NO_NUMBER = re.compile(r'unable to convert ("[^"]*") into (?:int|float)')
_SAFE_STREAMS = ("stdin", "stdout", "stderr")
_FRAMES = 2


def told(error: HilumError, remedy: str = "") -> str:
    """What the user reads: the sentence with its code, and what to do: `remedy`, else the error's own."""
    from node.settings.source import ConfigRefused

    code = "" if isinstance(error, ConfigRefused) else f" [{error.code}]"  # its lines carry their own codes
    return f"{error}{code}\n  what to do: {remedy or _fitting(error)}"


def record(error: HilumError, remedy: str = "") -> dict[str, Any]:
    """The same for a script: `code`, `message`, `remedy`; of a refused configuration `problems` besides, each with its code."""
    problems = [{"code": one.code, "message": str(one)} for one in getattr(error, "problems", ())]
    return {"code": error.code, "message": str(error), "remedy": remedy or _fitting(error), **({"problems": problems} if problems else {})}


def _fitting(error: HilumError) -> str:
    """What whoever called the verb can do: where the machine keeps this user out, not what the node's user would do."""
    cause = error.__cause__
    if isinstance(cause, PermissionError) and cause.filename and not isinstance(error, NotPermitted):
        return f"This runs as {_user()}{_owner(cause)}. {NotPermitted.remedy}"
    return error.remedy


def say(error: HilumError, remedy: str = "", *, as_json: bool) -> None:
    """Tell how the verb ended, where the words for it belong: JSON on stdout, a sentence on stderr. Who is kept out of a store is told so
    under one code, whatever verb met it first."""
    if isinstance(error, JournalError) and isinstance(error.__cause__, PermissionError):
        error = _kept_out(error.__cause__)
    if as_json:
        try:
            print(json.dumps(record(error, remedy), indent=1), flush=True)
            return
        except OSError:
            nobody_reads()
    with contextlib.suppress(OSError):  # there is nobody left to tell
        print(told(error, remedy), file=sys.stderr)


def misused(error: "CycloptsError", path: Sequence[str]) -> tuple[WrongWords, str]:
    """The error, and what to do, where the words after `hilum` are not what the verb at `path` takes."""
    from cyclopts import ValidationError

    said = str(error)
    if isinstance(error, ValidationError) and error.argument is not None:
        said = f"{error.argument.name}: {error.exception_message}"
    said = _NO_NUMBER.sub(r"\1 is no number", said)
    return WrongWords(" ".join(said.split())), f"`{' '.join(['hilum', *path, '--help'])}` says what it takes."


def unforeseen(defect: Exception, path: Sequence[str]) -> HilumError:
    """What nothing in hilum has a name for, as an error that says what it was, and in which file the details lie."""
    if isinstance(defect, ImportError) and (library := _not_whole(defect, path)) is not None:
        return library
    if isinstance(defect, PermissionError) and defect.filename:
        return _kept_out(defect)
    where = _written(defect, path)
    if isinstance(defect, OSError):
        return SystemRefused(f"{_of_the_system(defect)}. {where}")
    # not its words: they may quote a patient
    return Defect(f"hilum {' '.join(path)} stumbled over a {type(defect).__name__} at {_place(defect)}. {where}")


def _not_whole(defect: ImportError, path: Sequence[str]) -> HilumError | None:
    """The library that is here in part, or the extra that is not installed, of which the module is that could not be imported."""
    from inference.engines.extras import EXTRAS, not_installed
    from node.assembly.libraries import half_installed

    module, halves = (defect.name or "").partition(".")[0], half_installed()
    for half in halves:
        if not half.modules.isdisjoint((module, _module_at(defect))):
            return half
    if not isinstance(defect, ModuleNotFoundError):
        return None
    if module in EXTRAS:
        return not_installed(f"hilum {' '.join(path)}", module)
    return next((half for half in halves if not half.modules), None)  # nothing is left that tells what its modules are called


def _module_at(defect: ImportError) -> str:
    """What raised it: a library says in words of its own what it lacks."""
    frames = [frame for frame, _ in traceback.walk_tb(defect.__traceback__)]
    return str(frames[-1].f_globals.get("__name__", "")).partition(".")[0] if frames else ""


def _kept_out(refused: PermissionError) -> NotPermitted:
    return NotPermitted(f"{_of_the_system(refused)}; this runs as {_user()}{_owner(refused)}")


def _of_the_system(refused: OSError) -> str:
    what = refused.strerror or str(refused) or type(refused).__name__
    return f"{refused.filename}: {what}" if refused.filename else what


def _user() -> str:
    return f'the user "{_name_of(os.geteuid())}"'


def _name_of(number: int) -> str:
    import pwd

    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:  # a container's user may have no name
        return str(number)


def _owner(refused: OSError) -> str:
    """Whose the nearest folder is that this user may look at."""
    path = os.path.abspath(os.fsdecode(refused.filename)) if refused.filename else ""
    while path and path != os.path.dirname(path):
        with contextlib.suppress(OSError):
            owner = os.stat(path).st_uid
            return "" if owner == os.geteuid() else f', and {path} is "{_name_of(owner)}"\'s'
        path = os.path.dirname(path)
    return ""


def _place(defect: Exception) -> str:
    frames = traceback.extract_tb(defect.__traceback__)
    return " < ".join(f"{os.path.relpath(one.filename)}:{one.lineno}" for one in reversed(frames[-_FRAMES:])) or "its start"


def _written(defect: Exception, path: Sequence[str]) -> str:
    """Write the details into a file of this user's alone (mode 0600), and say where it lies."""
    from importlib import metadata

    try:
        version = metadata.version("hilum")
    except metadata.PackageNotFoundError:  # pip is replacing it
        version = "(not installed)"
    head = (
        f"hilum {version}, Python {platform.python_version()}, {platform.platform()}\n"
        f"hilum {' '.join(path)} (its arguments are not written down)\n"
        "What stands below may quote a patient's data: look through it before you hand it on.\n\n"
    )
    try:
        descriptor, name = tempfile.mkstemp(prefix="hilum-", suffix=".txt")
        with open(descriptor, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(head + "".join(traceback.format_exception(defect)))
    except OSError as unwritable:
        return f"The details could not be written ({unwritable.strerror or unwritable}): it was at {_place(defect)}."
    return f"The details lie in {name}."


def open_streams() -> None:
    """Have all three standard streams, each of which takes whatever is written.

    A stream that whoever called closed is replaced: else the first file that is opened, a journal mostly, would get its number and
    what is printed. What an encoding lacks is written as an escape rather than not at all.
    """
    for number, name in enumerate(_SAFE_STREAMS):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free: this one
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, "r" if number == 0 else "w", encoding="utf-8", closefd=False))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def nobody_reads() -> None:
    """Nobody reads stdout any more (`hilum jobs list | head`): what is left of it goes nowhere, the interpreter's own flush too."""
    with contextlib.suppress(OSError):  # in memory there is no such number (io.UnsupportedOperation)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def end_stdout() -> None:
    """Write out what waits for stdout; what it does not take goes nowhere, rather than into the interpreter's last words."""
    try:
        sys.stdout.flush()
    except OSError:
        nobody_reads()


def leave_at_once(codes: Sequence[int]) -> None:
    """End a process whose exit code is in `codes` without taking its interpreter down, which would write to, and so copy, all memory that
    forks share. Registered with `atexit` before anything else, it is called when all else is done; without a code it does nothing."""
    if codes:
        with contextlib.suppress(OSError):
            sys.stdout.flush()
        os._exit(codes[0])
