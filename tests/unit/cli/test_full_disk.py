"""A disk that is full in the middle of an import or a backup: a sentence that names the place, and nothing half-done that counts."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from node.cli.main import main

from .conftest import Hospital

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[3]
_FILLS = """
import contextlib, io, json, subprocess, sys
from pathlib import Path
from node.cli.main import main
from inference.engines.errors import RepositoryNotWritten
from inference.engines.writing import put_in_place

def call(*words):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main([str(word) for word in words])
    return {"code": code, "out": out.getvalue(), "err": err.getvalue()}

place, sizes, words, after = Path(sys.argv[1]), *map(json.loads, sys.argv[2:])
told = []
for size in sizes:
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", place], check=True)
    done = call(*words)
    left = sorted(str(path.relative_to(place)) for path in place.rglob("*") if path.is_file())
    told.append({**done, "left": left, "after": call(*after)})
    subprocess.run(["umount", place], check=True)
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8k", "none", place], check=True)
(place / "card").write_bytes(b"before")
try:
    put_in_place(place / "card", b"after" * 4096)
except RepositoryNotWritten as full:
    told.append({"full": str(full), "left": sorted(path.name for path in place.iterdir()), "card": (place / "card").read_text()})
print(json.dumps(told))
"""


def _filled(tmp_path: Path, sizes: list[str], words: list[str], after: list[str]) -> list[dict[str, Any]]:
    """What a command said on a disk of each size, what it left, and what another said then; last, of a file that is replaced."""
    if (
        shutil.which("unshare") is None
        or subprocess.run(["unshare", "--user", "--map-root-user", "--mount", "true"], check=False).returncode != 0
    ):
        pytest.skip("no user may mount anything in a namespace of its own here (unshare)")
    place = tmp_path / "disk"
    place.mkdir()
    program = [sys.executable, "-c", _FILLS, str(place), *map(json.dumps, (sizes, words, after))]
    done = subprocess.run(
        ["unshare", "--user", "--map-root-user", "--mount", *program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    told: list[dict[str, Any]] = json.loads(done.stdout)
    return told


def test_an_import_that_finds_no_room_leaves_the_repository_as_it_was(tmp_path: Path) -> None:
    """At each of its steps: the folder, the weights, what lies beside them, configuration and card; and what is replaced stands."""
    models = str(tmp_path / "disk" / "models")
    words = ["models", "import", "hippocampus", "--no-tune", "--repository", models]
    *told, replaced = _filled(
        tmp_path, ["4k", "8k", "1m", "2500k", "2700k", "40m"], words, ["models", "list", "--json", "--repository", models]
    )
    for one in told[:-2]:
        assert (one["code"], one["left"], one["after"]["out"]) == (1, [], "[]\n"), one
        assert f"the model repository cannot be written ({models}" in one["err"]
        assert "No space left on device [HLM-4152]" in one["err"]
    assert told[-1]["code"] == 0
    assert json.loads(told[-1]["after"]["out"])[0]["model"] == "hippocampus_parts"
    assert (replaced["left"], replaced["card"]) == (["card"], "before")


def test_a_backup_that_finds_no_room_is_none(empty: Hospital, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At each of its steps: journal, models, manifest. What was copied lies in a folder that is called so, and is no backup."""
    monkeypatch.chdir(place)
    assert main(["models", "import", "hippocampus", "--no-tune", "--config", "hilum.yaml"]) == 0
    to = str(tmp_path / "disk" / "backups")
    words = ["backup", "--to", to, "--config", str(place / "hilum.yaml")]
    *told, _ = _filled(tmp_path, ["4k", "256k", "1m", "2m", "40m"], words, ["restore", "--help"])
    for one in told[:-1]:
        assert one["code"] == 1, one
        assert "[HLM-7056]" in one["err"]
        assert "full" in one["err"] or "No space left on device" in one["err"]
        assert all(".part/" in path or path == "backups/.lock" for path in one["left"]), one["left"]
    assert told[-1]["code"] == 0
    assert any(path.endswith("Z/manifest.json") for path in told[-1]["left"])
