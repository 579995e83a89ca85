"""`hilum init`."""

import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from node.assembly.configuration import load

from .conftest import Run

ROOT = Path(__file__).parents[3]
INIT = [sys.executable, "-m", "node.cli.main", "init"]


def test_a_new_node_has_a_configuration_that_is_good(tmp_path: Path, run: Run) -> None:
    """Folders are made down to it; all that comes with hilum for operators stands beside it, and nobody else may read it."""
    answer = run("init", str(tmp_path / "some" / "node"))
    assert answer.code == 0
    there = tmp_path / "some" / "node"
    assert run("config", "check", str(there / "hilum.yaml"), "--json").json["problems"] == []
    initial = ROOT / "node" / "initial"
    files = [each for pattern in ("*.yaml", "*.service", "dashboards/*", "examples/*") for each in initial.glob(pattern)]
    assert len(files) == len([each for each in there.rglob("*") if each.is_file()]) - 1, "but for the schema"
    for file in files:
        assert (there / file.relative_to(initial)).read_bytes() == file.read_bytes()
    assert (there / "hilum.schema.json").read_text() == run("config", "schema").out
    assert {each.name for each in there.iterdir() if each.is_dir()} == {"dashboards", "examples", "models", "var"}
    assert {each.stat().st_mode & 0o077 for each in (there, *there.rglob("*"))} == {0}


def test_the_store_may_lie_elsewhere(tmp_path: Path, run: Run) -> None:
    """As a service has it: the configuration in /etc/hilum, all that grows in /var/lib/hilum."""
    state = tmp_path / "lib" / "hilum"
    made = run("init", str(tmp_path / "etc"), "--state", str(state), "--json").json
    config = load(Path(made["config"]))
    assert (config.store.journal, config.store.blobs) == (f"sqlite:{state}/hilum.db", state / "blobs")
    assert (config.models, config.sinks["results"].destination.identity[-1]) == (state / "models", str(state / "results"))
    assert state / "models" in map(Path, made["written"])
    assert not (tmp_path / "etc" / "var").exists()
    refused = run("init", str(tmp_path / "other"), "--state", "/srv/a folder")
    assert (refused.code, "HLM-2064" in refused.err, (tmp_path / "other").exists()) == (1, True, False)


def test_nothing_is_written_over(tmp_path: Path, run: Run) -> None:
    """Not the configuration, and no file of the same name that somebody else wrote; what is refused leaves the folder as it was."""
    (tmp_path / "hilum.yaml").write_text("node: {ae_title: MINE}\n")
    refused = run("init", str(tmp_path))
    assert (refused.code, [each.name for each in tmp_path.iterdir()]) == (1, ["hilum.yaml"])
    assert "hilum.yaml is there already [HLM-2130]" in refused.err
    (tmp_path / "hilum.yaml").rename(tmp_path / "hilum.service")
    assert "hilum.service is there already [HLM-2130]" in run("init", str(tmp_path)).err
    assert [each.name for each in tmp_path.iterdir()] == ["hilum.service"]


def test_a_file_where_the_folder_should_be_is_told(tmp_path: Path, run: Run) -> None:
    """In a sentence that names it."""
    (tmp_path / "file").touch()
    refused = run("init", str(tmp_path / "file" / "node"))
    assert (refused.code, str(tmp_path / "file") in refused.err, "[HLM-2131]" in refused.err) == (1, True, True)


@pytest.mark.slow
def test_a_file_that_cannot_be_written_whole_is_told_and_the_next_attempt_goes_on(tmp_path: Path) -> None:
    """Files may become 20,000 bytes here: the schema does not fit. No part of it stays, no configuration is there, and once there is room
    the rest comes."""
    there = tmp_path / "node"

    def narrow() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

    refused = subprocess.run([*INIT, there], cwd=ROOT, capture_output=True, text=True, check=False, preexec_fn=narrow)
    assert (refused.returncode, "Traceback" in refused.stderr) == (1, False)
    assert "File too large [HLM-2131]" in refused.stderr
    assert not {"hilum.yaml", "hilum.schema.json"} & {each.name for each in there.iterdir()}
    assert not list(there.rglob(".*"))
    assert subprocess.run([*INIT, there], cwd=ROOT, capture_output=True, check=False).returncode == 0
    assert load(there / "hilum.yaml").routes


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mounted", "said"),
    [("mount -t tmpfs -o size=32k none {}", "No space left on device"), ("mount -t tmpfs -o ro none {}", "Read-only file system")],
)
def test_a_full_disk_and_one_that_may_not_be_written_are_told(tmp_path: Path, mounted: str, said: str) -> None:
    """On real file systems of that kind, on a terminal of 60 columns."""
    if (
        shutil.which("unshare") is None
        or subprocess.run(["unshare", "--user", "--map-root-user", "--mount", "true"], check=False).returncode != 0
    ):
        pytest.skip("no user may mount anything in a namespace of its own here (unshare)")
    script = f"{mounted.format(tmp_path)} && COLUMNS=60 exec {' '.join(INIT)} {tmp_path}/node"
    done = subprocess.run(
        ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, "Traceback" in done.stderr) == (1, False), done.stderr
    assert f"{said} [HLM-2131]" in done.stderr
