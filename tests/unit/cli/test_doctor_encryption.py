"""`hilum doctor` about what encrypting nodes leave decrypted in memory."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from node.assembly.configuration import load
from node.cli.doctor.command import look_at_encryption
from node.settings.config import Config
from node.store.encryption import memory_folder

_NODE = """\
import sys
from pathlib import Path
from node.store.encryption import open_encryption
from node.assembly.configuration import load
sealing = open_encryption(load(Path(sys.argv[1]), applications=()))
sealing.memory.add("image", [b"decrypted"], 9)
print("there", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def memory() -> Iterator[Path]:
    """A folder in memory of this test's own."""
    with tempfile.TemporaryDirectory(dir="/dev/shm", prefix="doctor-") as folder:
        yield Path(folder)


def _config(folder: Path, memory: Path) -> Config:
    folder.mkdir()
    key = folder / "at-rest.key"
    key.write_bytes(os.urandom(32))
    key.chmod(0o600)
    encryption = f"{{key_file: at-rest.key, memory: 64MiB, folder: {memory}}}"
    (folder / "hilum.yaml").write_text(f"store: {{blobs: 'file:blobs', encryption: {encryption}}}\n")
    return load(folder / "hilum.yaml", applications=())


def _left(config: Config) -> list[str]:
    return [found.detail for found in look_at_encryption(config) if found.subject == "left in memory"]


def test_it_names_what_a_killed_node_left_and_nothing_that_is_in_use(tmp_path: Path, memory: Path) -> None:
    """Two nodes of one user: while the second runs nothing is said of it; killed, its folder is named, by itself and by the other, until it
    is deleted."""
    one, other = _config(tmp_path / "one", memory), _config(tmp_path / "other", memory)
    assert other.store.encryption is not None
    folder = memory_folder(other.store, other.store.encryption)
    process = subprocess.Popen(
        [sys.executable, "-c", _NODE, str(other.path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=Path.cwd()
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "there\n"
        assert any(path.read_bytes() == b"decrypted" for path in folder.rglob("*") if path.is_file())
        assert _left(one) == _left(other) == []
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    said = [f"decrypted, of nodes that were killed: {folder}"]
    assert _left(one) == _left(other) == said
    with subprocess.Popen(
        [sys.executable, "-c", _NODE, str(other.path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as again:
        assert again.stdout is not None
        assert again.stdout.readline() == "there\n"
        assert _left(one) == []
    assert _left(one) == []
    assert not folder.exists()
