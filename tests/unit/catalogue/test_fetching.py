"""Published files come whole: gone on with where they broke off, compared by digest, refused where they are others, never half in place."""

import hashlib
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from inference.engines.errors import WrongWeights
from node.catalogue import fetching
from node.catalogue.fetching import FetchedElsewhere, FileNotKept, Patience, SourceAway, UnsafeAddress, fetch
from node.catalogue.published import PublishedFile
from tests.lab.loopback import free_port
from tests.lab.program import wait_until
from tests.lab.published import Shelf, published_files
from tests.lab.small_disk import small_disk

_CONTENT = bytes(range(256)) * 4096
_AT_ONCE = Patience(pauses_s=())
"""Nothing is asked for a second time."""


@pytest.fixture
def shelf() -> Iterator[Shelf]:
    """A server with one file, `net.zip`."""
    with published_files(net_zip=_CONTENT) as server:
        yield server


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where files are kept."""
    return tmp_path / "models.fetched" / "net"


def _file(shelf: Shelf, content: bytes = _CONTENT, name: str = "net.zip") -> PublishedFile:
    return PublishedFile(
        name=name, url=shelf.url(name), size=len(content), sha256=hashlib.sha256(content).hexdigest(), sha1=None, becomes=""
    )


def _got(file: PublishedFile, folder: Path, patience: Patience = _AT_ONCE) -> Path:
    with fetching.fetching(folder):
        return fetch(file, folder, lambda came, size: None, patience)


def _left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name != ".lock")


def test_it_arrives_whole_and_private(shelf: Shelf, folder: Path) -> None:
    """Under its own name, with nothing beside it, for whoever fetched alone; a second call asks nobody."""
    path = _got(_file(shelf), folder)
    assert path.read_bytes() == _CONTENT
    assert _left(folder) == ["net.zip"]
    assert [stat.S_IMODE(one.stat().st_mode) for one in (path, folder)] == [0o600, 0o700]
    assert _got(_file(shelf), folder) == path
    assert shelf.asked == [("net.zip", None)]


def test_progress_is_told(shelf: Shelf, folder: Path) -> None:
    """Bytes that are here, of how many: it never falls, and ends with all."""
    told: list[tuple[int, int | None]] = []
    with fetching.fetching(folder):
        fetch(_file(shelf), folder, lambda came, size: told.append((came, size)), _AT_ONCE)
    assert told == sorted(told)
    assert told[-1] == (len(_CONTENT), len(_CONTENT))


def test_what_broke_off_is_gone_on_with_by_the_next_call(shelf: Shelf, folder: Path) -> None:
    """Cut in the middle, that is an error, and nothing stands under the file's name; the next call asks for the rest alone."""
    shelf.cut, shelf.cuts = 300_000, 1
    with pytest.raises(SourceAway, match=f"broke off after 300000 of {len(_CONTENT)} bytes"):
        _got(_file(shelf), folder)
    assert "net.zip" not in _left(folder)
    assert _got(_file(shelf), folder).read_bytes() == _CONTENT
    assert shelf.asked == [("net.zip", None), ("net.zip", "bytes=300000-")]


def test_what_breaks_off_is_gone_on_with_in_the_same_call(shelf: Shelf, folder: Path) -> None:
    """As long as each attempt brings something, three more times."""
    shelf.cut, shelf.cuts = 300_000, 3
    assert _got(_file(shelf), folder, Patience(pauses_s=(0, 0, 0))).read_bytes() == _CONTENT
    assert [begins for _, begins in shelf.asked] == [None, "bytes=300000-", "bytes=600000-", "bytes=900000-"]


def test_a_server_that_knows_no_ranges_gives_it_from_the_beginning(shelf: Shelf, folder: Path) -> None:
    """What was here is not put before the whole."""
    shelf.cut, shelf.cuts, shelf.ranges = 300_000, 1, False
    with pytest.raises(SourceAway):
        _got(_file(shelf), folder)
    assert _got(_file(shelf), folder).read_bytes() == _CONTENT


def test_a_file_that_was_changed_between_is_not_pieced_together(shelf: Shelf, folder: Path) -> None:
    """The tag differs: it comes from the beginning, and is the list's or is refused."""
    shelf.cut, shelf.cuts = 300_000, 1
    with pytest.raises(SourceAway):
        _got(_file(shelf), folder)
    other = _CONTENT[::-1]
    shelf.files["net.zip"], shelf.tag = other, '"two"'
    with pytest.raises(WrongWeights, match=f"SHA-256 {hashlib.sha256(other).hexdigest()}"):
        _got(_file(shelf), folder)
    assert _left(folder) == []
    assert _got(_file(shelf, other), folder).read_bytes() == other


def test_what_was_said_of_a_file_is_never_beside_bytes_of_another(shelf: Shelf, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was changed, and whoever fetches is killed as soon as that is noted: the next call goes on with none of the old one's bytes."""
    file = replace(_file(shelf), sha256=None)
    shelf.cut, shelf.cuts = 300_000, 1
    with pytest.raises(SourceAway):
        _got(file, folder)
    shelf.files["net.zip"], shelf.tag = _CONTENT[::-1], '"two"'
    write = fetching.write_note

    def killed(path: Path, content: bytes) -> None:
        write(path, content)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(fetching, "write_note", killed)
        with pytest.raises(KeyboardInterrupt):
            _got(file, folder)
    assert _got(file, folder).read_bytes() == _CONTENT[::-1]


def test_a_part_of_nobody_knows_how_much_is_not_the_whole(shelf: Shelf, folder: Path) -> None:
    """It broke off twice, and the second answer did not say how long the file is; the first one did."""
    file = replace(_file(shelf), sha256=None, size=None)
    shelf.cut, shelf.cuts, shelf.total = 300_000, 2, False
    for came in (300_000, 600_000):
        with pytest.raises(SourceAway, match=f"broke off after {came} of {len(_CONTENT)} bytes"):
            _got(file, folder)
    assert _got(file, folder).read_bytes() == _CONTENT


@pytest.mark.parametrize(("digest", "begins"), [(True, "bytes=300000-"), (False, None)])
def test_without_a_tag_only_a_digest_lets_it_go_on(shelf: Shelf, folder: Path, digest: bool, begins: str | None) -> None:
    """Where neither the server nor the list can tell two files apart, it comes from the beginning."""
    shelf.cut, shelf.cuts, shelf.tag = 300_000, 1, ""
    file = _file(shelf) if digest else replace(_file(shelf), sha256=None)
    with pytest.raises(SourceAway):
        _got(file, folder)
    assert _got(file, folder).read_bytes() == _CONTENT
    assert shelf.asked[-1] == ("net.zip", begins)


def test_another_digest_is_refused_and_kept_nowhere(shelf: Shelf, folder: Path) -> None:
    """Both digests stand in the message."""
    shelf.files["net.zip"] = _CONTENT[:-1] + b"!"
    wanted = _file(shelf)
    with pytest.raises(WrongWeights, match=f"where the list says {wanted.sha256}"):
        _got(wanted, folder)
    assert _left(folder) == []


def test_the_digest_that_a_publisher_gives_is_compared_too(shelf: Shelf, folder: Path) -> None:
    """SHA-1, where the list has nothing better."""
    file = replace(_file(shelf), sha256=None, sha1=hashlib.sha1(_CONTENT, usedforsecurity=False).hexdigest())
    assert _got(file, folder).read_bytes() == _CONTENT
    with pytest.raises(WrongWeights, match="SHA-1"):
        _got(replace(file, sha1="0" * 40), folder)


@pytest.mark.parametrize("length", [True, False])
def test_another_size_is_refused_before_it_is_here(shelf: Shelf, folder: Path, length: bool) -> None:
    """At once where the server says it, else with the first byte too many: what never ends fills no disk."""
    shelf.length, shelf.endless = length, not length
    if length:
        shelf.files["net.zip"] = _CONTENT + b"more"
    with pytest.raises(WrongWeights, match=r"where the list says|is longer than"):
        _got(_file(shelf), folder)
    assert _left(folder) == []


def test_a_file_of_no_known_size_ends_somewhere(shelf: Shelf, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the list nor the server says how long it is, and it never ends."""
    shelf.length, shelf.endless = False, True
    monkeypatch.setattr(fetching, "MOST_BYTES", 5_000_000)
    with pytest.raises(WrongWeights, match="is longer than 5000000 bytes"):
        _got(replace(_file(shelf), size=None, sha256=None), folder)
    assert _left(folder) == []


@pytest.mark.parametrize("leads", ["http://hospital.example/net.zip", "ftp://127.0.0.1/net.zip", "file:///etc/passwd"])
def test_an_address_without_tls_is_not_followed(shelf: Shelf, folder: Path, leads: str) -> None:
    """Wherever it leads: another host, another scheme, this machine's own files."""
    shelf.leads["net.zip"] = leads
    with pytest.raises(UnsafeAddress, match="not reached over TLS"):
        _got(_file(shelf), folder)
    assert _left(folder) == []


def test_an_address_on_this_machine_is_followed(shelf: Shelf, folder: Path) -> None:
    """With the range that was asked for."""
    shelf.leads["net.zip"], shelf.files["elsewhere"] = shelf.url("elsewhere"), _CONTENT
    shelf.cut, shelf.cuts = 300_000, 1
    with pytest.raises(SourceAway):
        _got(_file(shelf), folder)
    assert _got(_file(shelf), folder).read_bytes() == _CONTENT
    assert shelf.asked[-1] == ("elsewhere", "bytes=300000-")


def test_what_is_not_there_says_so(shelf: Shelf, folder: Path) -> None:
    """A file that is gone, and a host that does not answer."""
    with pytest.raises(SourceAway, match="answers 404"):
        _got(_file(shelf, name="other.zip"), folder)
    with pytest.raises(SourceAway, match="does not answer"):
        _got(replace(_file(shelf), url=f"http://127.0.0.1:{free_port()}/net.zip"), folder)


def test_a_server_that_hardly_gives_anything_is_given_up(shelf: Shelf, folder: Path) -> None:
    """Byte by byte: no single wait is long, and the whole would take for ever."""
    shelf.cut, shelf.slow_s = 10, 0.02
    with pytest.raises(SourceAway, match=r"gave \d+ bytes within"):
        _got(_file(shelf), folder, Patience(window_s=0.2, least_bytes=10_000, pauses_s=()))


def test_two_at_once_are_told_apart(shelf: Shelf, folder: Path) -> None:
    """The second, which comes in the middle of the first, says so, and takes nothing of it away."""
    refused: list[FetchedElsewhere] = []

    def told(came: int, size: int | None) -> None:
        if not refused:
            with pytest.raises(FetchedElsewhere, match="another process fetches net") as second:
                _got(_file(shelf), folder)
            refused.append(second.value)

    with fetching.fetching(folder):
        assert fetch(_file(shelf), folder, told, _AT_ONCE).read_bytes() == _CONTENT
    assert (len(refused), shelf.asked) == (1, [("net.zip", None)])


def test_a_folder_that_cannot_be_made(shelf: Shelf, folder: Path) -> None:
    """A file stands in its place."""
    folder.parent.write_text("")
    with pytest.raises(FileNotKept, match=str(folder.parent)):
        _got(_file(shelf), folder)


@pytest.mark.parametrize("says", ["500001", "9" * 5000])
def test_a_size_that_no_list_says_is_held_to_a_limit(shelf: Shelf, folder: Path, monkeypatch: pytest.MonkeyPatch, says: str) -> None:
    """Also one of so many digits that it is no number; where the list says the size itself, that holds."""
    monkeypatch.setattr(fetching, "MOST_BYTES", 500_000)
    shelf.files["net.zip"] = bytes(500_001)
    shelf.says = says
    with pytest.raises(WrongWeights, match=r"500000"):
        _got(replace(_file(shelf), size=None, sha256=None), folder)
    shelf.says = None
    assert _got(_file(shelf, shelf.files["net.zip"]), folder).stat().st_size == 500_001


def test_too_little_room_is_said_before_anything_is_written(shelf: Shelf, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the size that the server gives."""
    monkeypatch.setattr(fetching, "MOST_BYTES", 1 << 60)
    shelf.says = 1 << 50
    with pytest.raises(FileNotKept, match=f"needs {1 << 50} bytes more"):
        _got(replace(_file(shelf), sha256=None, size=None), folder)
    assert _left(folder) == []


def test_a_full_disk_is_said_of_a_few_bytes_too(shelf: Shelf, folder: Path) -> None:
    """Fewer than Python would gather before it writes them."""
    folder.mkdir(parents=True)
    (folder / ".net.zip.part").symlink_to("/dev/full")
    shelf.files["net.zip"] = b"few"
    with pytest.raises(FileNotKept, match="No space left on device"):
        _got(_file(shelf, b"few"), folder)


@pytest.mark.slow
def test_a_disk_that_fills_up_on_the_way(shelf: Shelf, tmp_path: Path) -> None:
    """Nobody said how long the file is: what came stays, and is gone on with once there is room."""
    shelf.length, shelf.files["net.zip"] = False, _CONTENT * 4
    file = replace(_file(shelf, _CONTENT * 4), size=None)
    with small_disk(tmp_path / "disk", "tmpfs", 3) as disk:
        with pytest.raises(FileNotKept, match="No space left on device"):
            _got(file, disk / "net")
        came = (disk / "net" / ".net.zip.part").stat().st_size
        assert 0 < came < len(_CONTENT * 4)
        shutil.copytree(disk / "net", tmp_path / "net")
    assert _got(file, tmp_path / "net").read_bytes() == _CONTENT * 4
    assert shelf.asked[-1] == ("net.zip", f"bytes={came}-")


@pytest.mark.slow
def test_who_ends_it_goes_on_with_it(shelf: Shelf, folder: Path) -> None:
    """A process that is interrupted (^C) leaves what came, and holds nothing."""
    shelf.cut, shelf.slow_s = 250_000, 30
    file = _file(shelf)
    program = (
        "import sys, ast, signal; from pathlib import Path\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # whoever runs the tests in the background has it ignored
        "from node.catalogue.fetching import fetch, fetching\n"
        "from node.catalogue.published import PublishedFile\n"
        "folder = Path(sys.argv[1])\n"
        "with fetching(folder):\n"
        "    fetch(PublishedFile(**ast.literal_eval(sys.argv[2])), folder, lambda came, size: None)\n"
    )
    running = subprocess.Popen([sys.executable, "-c", program, str(folder), repr(asdict(file))], stderr=subprocess.PIPE)
    part = folder / ".net.zip.part"
    wait_until(lambda: part.is_file() and part.stat().st_size >= 250_000, 60, "some of it is here")
    running.send_signal(signal.SIGINT)
    _, said = running.communicate(timeout=60)
    assert (running.returncode != 0, b"KeyboardInterrupt" in said) == (True, True), said
    came = part.stat().st_size
    shelf.slow_s, shelf.cut = 0, None
    assert _got(file, folder).read_bytes() == _CONTENT
    assert shelf.asked[-1] == ("net.zip", f"bytes={came}-")
