"""Published files come over HTTP, whole: gone on with where they broke off (RFC 9110 14.2), compared by digest, moved into place at once.

The address of a list is asked by the proxy of the environment (HTTPS_PROXY, NO_PROXY). Bytes go into a file of their own, `.NAME.part`,
private to whoever fetches; beside it stands what the server said of them, for only the same file is gone on with.
"""

import contextlib
import fcntl
import hashlib
import http.client
import json
import os
import re
import shutil
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias, cast
from urllib.error import HTTPError
from urllib.parse import urlsplit

from inference.engines.errors import WrongWeights
from inference.errors import EngineError, ModelError
from node.catalogue.published import PublishedFile
from node.settings.kinds import is_loopback

Told: TypeAlias = Callable[[int, int | None], None]
"""How many bytes are here, and how many there will be, where that is known."""
MOST_BYTES: Final = 64 * 2**30
"""Of a file whose size no list says."""
_FOLDER_MODE, _FILE_MODE = 0o700, 0o600
_CHUNK = 1 << 20
_SIZE = re.compile(r"[0-9]{1,18}")
"""What a server may say of how long a file is; Python makes no number of some thousand digits."""
_RANGE = re.compile(rf"bytes ({_SIZE.pattern})-{_SIZE.pattern}/({_SIZE.pattern}|\*)")


class SourceAway(EngineError):
    """Where a published file lies does not answer, answers otherwise, or broke off; what came of it is kept."""

    code = "HLM-4011"
    remedy = (
        "Look at the network and the proxy (docs/howto/secure-the-node.md), and call it again: it goes on where it broke off. Without a "
        "way out, fetch the file elsewhere and name it: `hilum models fetch NAME --file PATH`."
    )
    retry = False


class UnsafeAddress(ModelError):
    """A published file's address leads to one that is not reached over TLS; it was not followed."""

    code = "HLM-4170"
    remedy = (
        "Tell whoever publishes the list; fetch the file from its publisher's own page, and name it: `hilum models fetch NAME --file PATH`."
    )


class FileNotKept(ModelError):
    """What is fetched cannot be kept: no room, or no right to write there."""

    code = "HLM-4171"
    remedy = (
        "Make room on the disk, or write there as the user that owns the folder; `models: {fetched: FOLDER}` names another. Then call it "
        "again: it goes on where it broke off."
    )


class FetchedElsewhere(ModelError):
    """Another process fetches the same model just now."""

    code = "HLM-4172"
    remedy = "Wait until it has ended, and call it again."


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long a server is waited for.

    Attributes
    ----------
    read_s
        For the next bytes.
    window_s, least_bytes
        A server that gives fewer bytes within so many seconds is given up.
    pauses_s
        Before each further attempt, where the one before brought bytes and broke off.
    """

    read_s: float = 60.0
    window_s: float = 120.0
    least_bytes: int = 64 * 1024
    pauses_s: tuple[float, ...] = (1.0, 5.0, 15.0)


@contextlib.contextmanager
def fetching(folder: Path) -> Iterator[None]:
    """Hold the folder of one model's files for this process.

    Raises
    ------
    FetchedElsewhere, FileNotKept
    """
    with keeping(folder):
        _make(folder)
        lock = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _FILE_MODE)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as held:
            raise FetchedElsewhere(f"another process fetches {folder.name} into {folder} just now") from held
        yield
    finally:
        os.close(lock)


def fetch(file: PublishedFile, folder: Path, told: Told, patience: Patience | None = None) -> Path:
    """The file, whole and private, in `folder`, which `fetching` holds; one that is there already is not asked for again.

    Returns
    -------
    Path
        Its digest is the list's; where the list has none, it is for the caller to ask for it (`digests`).

    Raises
    ------
    SourceAway, UnsafeAddress, FileNotKept
        What came is kept, and gone on with.
    WrongWeights
        It is another file than the list says, by size or digest; it is gone.
    """
    whole, part = folder / file.name, _Part(file, folder)
    if whole.is_file():
        with keeping(folder):
            if _is_listed(file, whole) and (file.sha256 is not None or part.came_from == file.url):
                return whole
            whole.unlink()  # of an older list
    waits = iter((patience or Patience()).pauses_s)
    while True:
        before = part.size
        try:
            part.fill(told, patience or Patience())
            break
        except SourceAway:
            pause = next(waits, None)
            if pause is None or part.size <= before:
                raise
            time.sleep(pause)
    with keeping(folder):
        try:
            compare(file, part.path, f"what came from {_host(file.url)}")
        except WrongWeights:
            part.discard()
            raise
        os.replace(part.path, whole)
        if file.sha256 is not None:  # without a digest, whence it came is all that tells it from another
            part.discard()
    return whole


def compare(file: PublishedFile, path: Path, called: str) -> None:
    """Refuse a file that is another one than the list says.

    Raises
    ------
    WrongWeights
        The message names both sizes, or both digests.
    """
    size = path.stat().st_size
    found = _digests(path)
    wrong = ""
    if file.size is not None and size != file.size:
        wrong = f"has {size} bytes, where the list says {file.size}"
    elif file.sha256 is not None and found["sha256"] != file.sha256:
        wrong = f"has SHA-256 {found['sha256']}, where the list says {file.sha256}"
    elif file.sha1 is not None and found["sha1"] != file.sha1:
        wrong = f"has SHA-1 {found['sha1']}, where its publisher says {file.sha1}"
    if wrong:
        raise WrongWeights(f"{file.name}: {called} {wrong}")


def sha256_of(path: Path) -> str:
    """The digest of a file, hex."""
    return _digests(path)["sha256"]


def _is_listed(file: PublishedFile, path: Path) -> bool:
    try:
        compare(file, path, "what is there")
    except WrongWeights:
        return False
    return True


def _digests(path: Path) -> dict[str, str]:
    made = {name: hashlib.new(name, usedforsecurity=name != "sha1") for name in ("sha256", "sha1")}
    with path.open("rb") as content:
        while chunk := content.read(_CHUNK):
            for each in made.values():
                each.update(chunk)
    return {name: each.hexdigest() for name, each in made.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Said:
    """What a server said of a file when its first byte came; `validator` tells whether it still has the same one (RFC 9110 8.8)."""

    url: str
    validator: str | None
    size: int | None


class _Part:
    """What is here of a file that comes."""

    def __init__(self, file: PublishedFile, folder: Path) -> None:
        self.path = folder / f".{file.name}.part"
        self._file = file
        self._note = folder / f".{file.name}.json"

    @property
    def size(self) -> int:
        """Bytes that are here."""
        try:
            return self.path.stat().st_size
        except OSError:
            return 0

    @property
    def came_from(self) -> str | None:
        """The address that was asked for what is here; None where nothing says it."""
        said = self._noted()
        return None if said is None else said.url

    def discard(self) -> None:
        """Take it away, and what was said of it."""
        self.path.unlink(missing_ok=True)
        self._note.unlink(missing_ok=True)

    def fill(self, told: Told, patience: Patience) -> None:
        """Ask for what is missing, and append it."""
        said, here = self._gone_on_with(), self.size
        if said is not None and here and here == (self._file.size or said.size):
            return
        if said is None:
            here = 0
        headers = {"User-Agent": "hilum", "Accept-Encoding": "identity"}
        if here:
            headers["Range"] = f"bytes={here}-"
            if said is not None and said.validator is not None:
                headers["If-Range"] = said.validator
        with _answer(self._file.url, headers, patience.read_s) as answer:
            begins, size = self._begins(answer, said, here)
            self._demand_fit(size, begins)
            with keeping(self.path.parent):
                descriptor = os.open(
                    self.path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | (os.O_APPEND if begins else os.O_TRUNC), _FILE_MODE
                )
            with os.fdopen(descriptor, "wb", buffering=0) as out:  # what a full disk does not take is not tried again when it is closed
                if begins == 0:
                    with keeping(self.path.parent):  # only now: what was said of this file is never beside bytes of another
                        noted = _Said(url=self._file.url, validator=_validator(answer), size=size)
                        write_note(self._note, json.dumps(asdict(noted)).encode())
                for chunk in _chunks(answer, self._file.url, patience):
                    begins += len(chunk)
                    if begins > (size or MOST_BYTES):
                        self._refuse(f"is longer than {size or MOST_BYTES} bytes")
                    with keeping(self.path.parent):
                        rest = memoryview(chunk)
                        while rest:
                            rest = rest[out.write(rest) :]
                    told(begins, size)
                with keeping(self.path.parent):
                    os.fsync(out.fileno())
        if size is not None and begins < size:
            raise SourceAway(f"{_host(self._file.url)} broke off after {begins} of {size} bytes of {self._file.name}")

    def _gone_on_with(self) -> _Said | None:
        """What was said of the bytes that are here, where they may be gone on with: none without something that tells files apart."""
        said = self._noted()
        known = said is not None and (said.validator is not None or self._file.sha256 is not None)
        return said if said is not None and known and said.url == self._file.url and self.size else None

    def _noted(self) -> _Said | None:
        try:
            return _Said(**json.loads(self._note.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None

    def _begins(self, answer: http.client.HTTPResponse, said: _Said | None, here: int) -> tuple[int, int | None]:
        """At which byte the answer begins, and the size of the whole file."""
        if answer.status == 206 and said is not None:
            found = _RANGE.fullmatch(answer.headers.get("Content-Range", ""))
            size = None if found is None or found[2] == "*" else int(found[2])
            same = said.validator in (None, _validator(answer)) and (size is None or said.size in (None, size))
            if found is None or int(found[1]) != here or not same:
                self._note.unlink(missing_ok=True)  # the next attempt begins anew
                raise SourceAway(f"{_host(self._file.url)} goes on with another file than {self._file.name} that it began with")
            return here, size or said.size or self._file.size
        if answer.status == 416:  # it has no more than is here, so that it is another file
            self._note.unlink(missing_ok=True)
        if answer.status != 200:
            raise SourceAway(f"{_host(self._file.url)} answers {answer.status} for {self._file.name}")
        length = answer.headers.get("Content-Length", "")
        return 0, int(length) if _SIZE.fullmatch(length) else self._file.size

    def _demand_fit(self, size: int | None, begins: int) -> None:
        """Refuse a size that is not the list's, and one for which there is no room."""
        if size is None:
            return
        if self._file.size not in (None, size):
            self._refuse(f"has {size} bytes, where the list says {self._file.size}")
        if self._file.size is None and size > MOST_BYTES:
            self._refuse(f"has {size} bytes; more than {MOST_BYTES} are not fetched")
        with keeping(self.path.parent):
            free = shutil.disk_usage(self.path.parent).free
        if size - begins > free:
            raise FileNotKept(f"{self._file.name} needs {size - begins} bytes more in {self.path.parent}; {free} are free")

    def _refuse(self, why: str) -> None:
        with keeping(self.path.parent):
            self.discard()
        raise WrongWeights(f"{self._file.name}: what {_host(self._file.url)} gives {why}")


class _OverTls(urllib.request.HTTPRedirectHandler):
    """Follows a redirect to an address over TLS alone; on this machine, one that begins here may stay here."""

    def redirect_request(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        """Called by urllib for an answer that leads elsewhere."""
        began, leads = urlsplit(req.full_url), urlsplit(newurl)
        stays = began.scheme == "http" and leads.scheme == "http" and is_loopback(leads.hostname or "")
        if leads.scheme != "https" and not stays:
            raise UnsafeAddress(f"{began.hostname} leads to {leads.scheme}://{leads.hostname or ''}, which is not reached over TLS")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


@contextlib.contextmanager
def _answer(url: str, headers: dict[str, str], timeout_s: float) -> Iterator[http.client.HTTPResponse]:
    host = _host(url)
    opener = urllib.request.build_opener(_OverTls)
    try:
        answer = opener.open(urllib.request.Request(url, headers=headers), timeout=timeout_s)
    except HTTPError as refused:
        if refused.code == 416:
            with refused:
                yield cast(http.client.HTTPResponse, refused)
            return
        leads = refused.headers.get("Location", "")
        refused.close()
        if 300 <= refused.code < 400 and urlsplit(leads).scheme not in ("", "https"):
            raise UnsafeAddress(f"{host} leads to {urlsplit(leads).scheme}:, which is not reached over TLS") from refused
        raise SourceAway(f"{host} answers {refused.code} for {urlsplit(url).path}") from refused
    except (OSError, http.client.HTTPException, UnicodeError) as failed:
        reason = getattr(failed, "reason", failed)
        raise SourceAway(f"{host} does not answer: {reason or type(failed).__name__}") from failed
    with answer:
        yield answer


def _chunks(answer: http.client.HTTPResponse, url: str, patience: Patience) -> Iterator[bytes]:
    """What comes, as it comes; a server that hardly gives anything is given up."""
    since_s, came = time.monotonic(), 0
    while True:
        try:
            chunk = answer.read1(_CHUNK)
        except (OSError, http.client.HTTPException) as failed:
            raise SourceAway(f"{_host(url)} broke off: {failed or type(failed).__name__}") from failed
        if not chunk:
            return
        yield chunk
        came += len(chunk)
        now_s = time.monotonic()
        if now_s - since_s >= patience.window_s:
            if came < patience.least_bytes:
                raise SourceAway(f"{_host(url)} gave {came} bytes within {now_s - since_s:.0f} s")
            since_s, came = now_s, 0


def _validator(answer: http.client.HTTPResponse) -> str | None:
    """What tells whether the file is still the same: a strong entity tag, or when it was last changed."""
    tag: str | None = answer.headers.get("ETag")
    return tag if tag is not None and not tag.startswith("W/") else answer.headers.get("Last-Modified")


def _host(url: str) -> str:
    parts = urlsplit(url)
    return parts.netloc.rpartition("@")[2]


def _make(folder: Path) -> None:
    if not folder.is_dir():
        folder.mkdir(parents=True, exist_ok=True, mode=_FOLDER_MODE)
        folder.chmod(_FOLDER_MODE)


def write_note(path: Path, content: bytes) -> None:
    """Write what is known of a part beside it, for its user's eyes alone."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, _FILE_MODE)
    with os.fdopen(descriptor, "wb") as out:
        out.write(content)


@contextlib.contextmanager
def keeping(folder: Path) -> Iterator[None]:
    """Say where writing fails that it was what is fetched.

    Raises
    ------
    FileNotKept
    """
    try:
        yield
    except OSError as refused:
        what = refused.strerror or type(refused).__name__
        raise FileNotKept(f"what is fetched cannot be kept ({refused.filename or folder}): {what}") from refused
