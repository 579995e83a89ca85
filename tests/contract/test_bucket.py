"""Blobs in a bucket, beyond the port: a store that is away, lies or refuses, keys that stay secret, copies within their bound."""

import logging
import multiprocessing
import os
import subprocess
import sys
import time
import uuid
from datetime import timedelta
from pathlib import Path

import pytest

from node.blobs import objects
from node.blobs.bucket import BucketBlobs
from node.blobs.cache import Cache
from node.blobs.objects import BucketAway, BucketRefused
from node.blobs.port import BlobDamaged, BlobDiffers
from node.settings.store import Bucket
from node.spool.inbox import UploadingInbox
from tests.contract.test_blobs import keep
from tests.lab.s3 import BUCKET, S3, SECRET_KEY, bucket_blobs

pytestmark = [pytest.mark.slow, pytest.mark.registry]

MIB = 1 << 20


@pytest.fixture
def prefix() -> str:
    """A place in the bucket of the test's own."""
    return uuid.uuid4().hex


@pytest.fixture
def blobs(s3: S3, tmp_path: Path, prefix: str) -> BucketBlobs:
    """One host's blobs."""
    return bucket_blobs(s3, tmp_path / "one", prefix=prefix)


@pytest.fixture
def other(s3: S3, tmp_path: Path, prefix: str) -> BucketBlobs:
    """Another host's blobs in the same place."""
    return bucket_blobs(s3, tmp_path / "other", prefix=prefix)


# ---- what lies in the bucket
def test_what_one_host_puts_another_reads(s3: S3, blobs: BucketBlobs, other: BucketBlobs, prefix: str) -> None:
    """The object lies below the prefix with these very bytes; the other host fetches it once."""
    blobs.put("results/1.dcm", b"abc")
    assert s3.read(f"{prefix}/results/1.dcm") == b"abc"
    assert other.path("results/1.dcm").read_bytes() == b"abc"
    s3.remove(f"{prefix}/results/1.dcm")
    assert other.path("results/1.dcm").read_bytes() == b"abc"


def test_a_large_object_travels_in_parts(s3: S3, blobs: BucketBlobs, other: BucketBlobs, prefix: str) -> None:
    """More than one request may carry: both ways, byte for byte; equal bytes again are accepted, others not."""
    data = os.urandom(MIB) * 70
    blobs.put("large", memoryview(data))
    assert other.path("large").read_bytes() == data
    assert s3.read(f"{prefix}/large") == data
    other.put("large", data)
    with pytest.raises(BlobDiffers):
        other.put("large", data[:-1] + bytes([data[-1] ^ 1]))


def test_a_store_without_conditions_is_looked_into_first(blobs: BucketBlobs, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where `If-None-Match` means nothing a taken name is still refused."""
    monkeypatch.setattr(blobs._objects, "_conditional", False)
    blobs.put("a", b"abc")
    blobs.put("a", b"abc")
    with pytest.raises(BlobDiffers):
        blobs.put("a", b"abd")


def test_an_object_that_was_tampered_with_is_not_believed(s3: S3, blobs: BucketBlobs, other: BucketBlobs, tmp_path: Path) -> None:
    """Its bytes are not those of the digest that it carries: nothing of it becomes a copy."""
    blobs.put("a", b"abc")
    for path in (s3.folder / "srv").rglob("*.data"):
        if path.read_bytes() == b"abc":
            path.write_bytes(b"abX")
    with pytest.raises(BlobDamaged) as damaged:
        other.path("a")
    assert "blob a" in str(damaged.value)
    assert damaged.value.retry
    signs = (".lock", ".life")  # that somebody writes here
    assert [path for path in (tmp_path / "other").rglob("*") if path.is_file() and path.suffix not in signs] == []


def test_what_is_deleted_by_one_host_goes_from_the_copies_of_all(blobs: BucketBlobs, other: BucketBlobs, tmp_path: Path) -> None:
    """At once from the bucket and here, in the next sweep there; what was not deleted stays."""
    for name in ("series/1", "series/2"):
        blobs.put(name, b"pixels")
        other.path(name)
    blobs.delete("series/1")
    assert not blobs.path("series/1").exists()
    assert not other.has("series/1")
    assert other.sweep() == 1
    assert [path.name for path in (tmp_path / "other" / "cache").rglob("*") if path.is_file()] == ["2"]


# ---- away, or refusing
def test_a_store_that_is_away_is_told_from_an_absent_blob(tmp_path: Path, prefix: str) -> None:
    """Every call says so, asks for a retry, and takes seconds; nothing is ever taken for absent. When it is back all goes on."""
    with S3(tmp_path / "swift") as server:
        blobs = bucket_blobs(server, tmp_path / "one", prefix=prefix)
        blobs.put("a", b"abc")
        server.kill()
        fresh = bucket_blobs(server, tmp_path / "two", prefix=prefix)
        calls = {
            "put": lambda: fresh.put("b", b"1"),
            "path": lambda: fresh.path("a"),
            "has": lambda: fresh.has("a"),
            "delete": lambda: fresh.delete("a"),
            "names": lambda: list(fresh.names()),
            "check": fresh._objects.check,
        }
        for name, call in calls.items():
            began = time.monotonic()
            with pytest.raises(BucketAway) as away:
                call()
            assert away.value.retry, name
            assert "no connection" in str(away.value), name
            assert time.monotonic() - began < 40, name
        assert blobs.path("a").read_bytes() == b"abc", "the copy is there all the same"
        server.start()
        assert fresh.path("a").read_bytes() == b"abc"
        fresh.put("b", b"1")


def test_a_bucket_that_does_not_exist_is_no_bucket_without_blobs(s3: S3, tmp_path: Path) -> None:
    """A HEAD cannot tell the two apart: a mistyped name must not make every pixel look deleted."""
    missing = Bucket(name="no-such-bucket", endpoint=s3.endpoint, credentials=s3.credentials())
    blobs = BucketBlobs(missing, Cache(tmp_path, most_bytes=MIB, min_free_bytes=0))
    for call in (lambda: blobs.has("a"), lambda: blobs.path("a"), lambda: blobs.put("a", b"1"), lambda: list(blobs.names())):
        with pytest.raises(BucketRefused, match="no such bucket"):
            call()


def test_wrong_keys_are_refused_and_never_told(s3: S3, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The message says what is refused; neither it, nor its cause, nor any log holds a key or a signature."""
    keys = tmp_path / "keys"
    keys.write_text("[default]\naws_access_key_id = lab:node\naws_secret_access_key = quite-another-secret\n")
    blobs = bucket_blobs(s3, tmp_path / "one", prefix="x", credentials=keys)
    with caplog.at_level(logging.DEBUG), pytest.raises(BucketRefused) as refused:
        blobs.put("a", b"1")
    told = f"{refused.value}{refused.value.__cause__}{refused.value.__context__}{caplog.text}"
    assert "403" in str(refused.value)
    for secret in ("quite-another-secret", SECRET_KEY, "Signature="):
        assert secret not in told


def test_keys_that_are_changed_in_their_file_are_read_again(s3: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rotation: the file is written anew, and no process need be started again."""
    monkeypatch.setattr(objects, "KEYS_GOOD_FOR", timedelta(0))
    keys = tmp_path / "keys"
    keys.write_text("[default]\naws_access_key_id = lab:node\naws_secret_access_key = outdated\n")
    blobs = bucket_blobs(s3, tmp_path / "one", prefix=uuid.uuid4().hex, credentials=keys)
    with pytest.raises(BucketRefused):
        blobs.put("a", b"1")
    keys.write_text(s3.credentials().read_text())
    blobs.put("a", b"1")


@pytest.mark.parametrize("content", ["", "[other]\n", "[default]\naws_access_key_id = x\n", "aws_secret_access_key = s3cr3t\n", None])
def test_a_file_without_keys_is_refused_at_once(s3: S3, tmp_path: Path, content: str | None) -> None:
    """Its path is named, its words are not."""
    keys = tmp_path / "keys"
    if content is not None:
        keys.write_text(content)
    with pytest.raises(BucketRefused) as refused:
        bucket_blobs(s3, tmp_path / "one", prefix="x", credentials=keys)
    assert str(keys) in str(refused.value)
    assert "s3cr3t" not in str(refused.value)


def test_keys_from_the_environment(s3: S3, tmp_path: Path, prefix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no file is named: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "lab:node")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
    blobs = bucket_blobs(s3, tmp_path / "one", prefix=prefix, credentials=None)
    blobs.put("a", b"1")
    assert s3.read(f"{prefix}/a") == b"1"


@pytest.mark.peers
def test_tls_with_the_hospitals_own_certificate(tmp_path: Path, prefix: str) -> None:
    """Trusted when `ca` names it, and refused otherwise."""
    with S3(tmp_path / "swift", tls=True) as server:
        blobs = bucket_blobs(server, tmp_path / "one", prefix=prefix)
        blobs.put("a", b"abc")
        assert server.read(f"{prefix}/a") == b"abc"
        stranger = bucket_blobs(server, tmp_path / "two", prefix=prefix, ca=None)
        with pytest.raises(BucketRefused, match="certificate is not trusted"):
            stranger.path("a")


# ---- the spool before it
def test_an_entry_leaves_the_spool_once_it_is_in_the_bucket(s3: S3, blobs: BucketBlobs, tmp_path: Path, prefix: str) -> None:
    """Published it is in both places; settled it is a copy, without having been fetched. Both may be repeated."""
    spool = UploadingInbox(tmp_path / "one", blobs, min_free_bytes=0)
    keep(spool)
    (entry,) = spool.waiting(1)
    content, inode = entry.read_bytes(), entry.stat().st_ino
    for _ in range(2):
        spool.publish([(entry, "instances/a.dcm")])
        assert s3.read(f"{prefix}/instances/a.dcm") == content
        assert spool.waiting(1) == [entry]
    for _ in range(2):
        spool.move_to_blobs(entry, "instances/a.dcm")
        assert spool.waiting(1) == []
    assert blobs.path("instances/a.dcm").stat().st_ino == inode


def test_one_data_set_that_two_hosts_received_is_one_blob(blobs: BucketBlobs, other: BucketBlobs, tmp_path: Path) -> None:
    """Their files differ in who sent them, their names do not: the second finds the first and is content."""
    spools = [UploadingInbox(tmp_path / host, into, min_free_bytes=0) for host, into in (("one", blobs), ("other", other))]
    for number, spool in enumerate(spools):
        keep(spool, calling_ae=f"PEER{number}")
        (entry,) = spool.waiting(1)
        spool.publish([(entry, "instances/a.dcm")])
        spool.move_to_blobs(entry, "instances/a.dcm")
    assert list(blobs.names()) == ["instances/a.dcm"]


def test_a_store_that_goes_away_in_the_middle_keeps_the_spool(tmp_path: Path, prefix: str) -> None:
    """Everything that was acknowledged is still there, the attempt ends in seconds, and the next one finishes it."""
    with S3(tmp_path / "swift") as server:
        blobs = bucket_blobs(server, tmp_path / "one", prefix=prefix)
        spool = UploadingInbox(tmp_path / "one", blobs, min_free_bytes=0)
        for number in range(30):
            keep(spool, bytes([number]))
        moves = [(entry, f"instances/{number}.dcm") for number, entry in enumerate(spool.waiting(100))]
        spool.publish(moves[:3])
        server.kill()
        began = time.monotonic()
        with pytest.raises(BucketAway):
            spool.publish(moves)
        assert time.monotonic() - began < 60
        assert len(spool.waiting(100)) == 30
        server.start()
        spool.publish(moves)
        assert len(list(blobs.names())) == 30


# ---- copies
def test_copies_stay_within_their_bound_and_the_oldest_go(s3: S3, blobs: BucketBlobs, tmp_path: Path, prefix: str) -> None:
    """Twenty of a megabyte through room for five: those that were used last are there, and all can be had again."""
    for number in range(20):
        blobs.put(f"a/{number}", bytes([number]) * MIB)
    host = bucket_blobs(s3, tmp_path / "small", prefix=prefix, cache_bytes=5 * MIB)
    for number in range(20):
        host.path(f"a/{number}")
        _age(tmp_path / "small" / "cache", 100 - number)
    host.path("a/0")
    left = {path.name for path in (tmp_path / "small" / "cache").rglob("*") if path.is_file()}
    assert len(left) <= 5
    assert {"0", "19"} <= left
    assert all(host.path(f"a/{number}").read_bytes() == bytes([number]) * MIB for number in range(20))


def test_what_is_held_outlives_every_eviction(s3: S3, blobs: BucketBlobs, tmp_path: Path, prefix: str) -> None:
    """A job's files are more than the bound, and other processes fetch meanwhile: each is readable to the end of the job, and the room is
    free afterwards."""
    for number in range(6):
        blobs.put(f"a/{number}", bytes([number]) * MIB)
    small = tmp_path / "small"
    worker = bucket_blobs(s3, small, prefix=prefix, cache_bytes=2 * MIB)
    neighbour = bucket_blobs(s3, small, prefix=prefix, cache_bytes=2 * MIB)
    with worker.hold():
        paths = worker.paths([f"a/{number}" for number in range(5)])
        _age(small / "cache", 1000)
        neighbour.path("a/5")
        assert [path.read_bytes()[0] for path in paths] == [0, 1, 2, 3, 4]
    _age(small / "cache", 1000)
    bucket_blobs(s3, small, prefix=prefix, cache_bytes=2 * MIB)
    assert sum(path.stat().st_size for path in small.rglob("*") if path.is_file()) <= 2 * MIB
    assert list((small / "hold").iterdir()) == [small / "hold" / "evicting.lock"]


def test_copies_give_way_to_what_comes_in(s3: S3, tmp_path: Path, prefix: str) -> None:
    """With less than twice `min_free` on the disk nothing is kept that is not in use, whatever the bound says."""
    cache = Cache(tmp_path, most_bytes=1 << 40, min_free_bytes=0)
    for number in range(5):
        cache.add(f"a/{number}", [b"x" * MIB])
    _age(tmp_path / "cache", 1000)
    Cache(tmp_path, most_bytes=1 << 40, min_free_bytes=1 << 60)
    assert list(cache.names()) == []


def test_processes_share_the_copies(s3: S3, blobs: BucketBlobs, tmp_path: Path, prefix: str) -> None:
    """Four fetch the same forty at once through a bound that holds ten: none ever reads anything but the whole."""
    for number in range(40):
        blobs.put(f"a/{number}", bytes([number]) * 100_000)
    settings = (s3.endpoint, str(s3.credentials()), str(tmp_path / "shared"), prefix)
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        assert pool.map(_read_all, [settings] * 4) == [40] * 4


def test_a_process_that_is_killed_while_it_fetches_leaves_no_half_copy(s3: S3, blobs: BucketBlobs, tmp_path: Path, prefix: str) -> None:
    """SIGKILL between the bytes and their name: what lies there is nobody's copy, and is swept."""
    blobs.put("a", b"x" * MIB)
    program = """
import os, signal, sys
from pathlib import Path
from node.blobs.bucket import BucketBlobs
from node.blobs.cache import Cache
from node.settings.store import Bucket
endpoint, keys, root, bucket, prefix = sys.argv[1:]
os.fdatasync = lambda _: os.kill(os.getpid(), signal.SIGKILL)
given = Bucket(name=bucket, prefix=prefix, endpoint=endpoint, credentials=Path(keys))
BucketBlobs(given, Cache(Path(root), most_bytes=1 << 30, min_free_bytes=0)).path("a")
"""
    words = [sys.executable, "-c", program, s3.endpoint, str(s3.credentials()), str(tmp_path / "killed"), BUCKET, prefix]
    assert subprocess.run(words, capture_output=True, check=False).returncode == -9
    assert [path.stat().st_size for path in (tmp_path / "killed" / "partial").iterdir() if path.suffix != ".life"] == [MIB]
    again = bucket_blobs(s3, tmp_path / "killed", prefix=prefix)
    assert list((tmp_path / "killed" / "partial").iterdir()) == []
    assert again.path("a").read_bytes() == b"x" * MIB


def _age(folder: Path, seconds: float) -> None:
    """Nobody has asked for these for so long."""
    for path in folder.rglob("*"):
        if path.is_file() and time.time() - path.stat().st_mtime < seconds:
            os.utime(path, (time.time() - seconds, time.time() - seconds))


def _read_all(given: tuple[str, str, str, str]) -> int:
    endpoint, keys, root, prefix = given
    bucket = Bucket(name=BUCKET, prefix=prefix, endpoint=endpoint, credentials=Path(keys))
    blobs = BucketBlobs(bucket, Cache(Path(root), most_bytes=MIB, min_free_bytes=0))
    right = 0
    for number in range(40):
        with blobs.hold():
            right += blobs.path(f"a/{number}").read_bytes() == bytes([number]) * 100_000
    return right
