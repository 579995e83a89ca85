"""The wheel holds all that hilum needs outside a checkout: built, installed into an environment of its own, and used from elsewhere."""

import json
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.lab.installed import ROOT, Environment, crop, install
from tests.lab.loopback import loopback_only

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def test_the_wheel_holds_every_file_of_the_packages(built: Path) -> None:
    """Against what git has: templates, pages, migrations, fonts, weights, and `config` behind its link; the sdist holds what wheel, image
    and docs are made of."""
    listed = subprocess.run(
        ["git", "-C", ROOT, "ls-files", "hilum.py", "config", "node", "inference", "training"], capture_output=True, text=True, check=True
    )
    held_by_git = {re.sub("^config/", "node/initial/", name) for name in listed.stdout.splitlines() if name != "node/initial"}
    packed_names = set(zipfile.ZipFile(built).namelist())
    assert held_by_git - packed_names == set()
    assert any(name.endswith(".data/data/share/man/man1/hilum.1") for name in packed_names), "`man hilum`"
    (sdist,) = built.parent.glob("*.tar.gz")
    with tarfile.open(sdist) as packed:
        held = {name.partition("/")[2] for name in packed.getnames()}
    assert {"constraints.txt", "docker/Dockerfile", "docs/tutorial.md", "CHANGELOG.md", "tests/conftest.py"} <= held


def test_the_command_is_there_and_comes_from_the_environment(embedded: Environment) -> None:
    """Nothing of the checkout is imported."""
    said = embedded.run("hilum", "--help")
    assert said.returncode == 0, said.stderr
    assert "init" in said.stdout
    where = embedded.run("python", "-c", "import node, inference, training; print(*(m.__file__ for m in (node, inference, training)))")
    assert all(Path(file).is_relative_to(embedded.folder) for file in where.stdout.split()), where.stdout + where.stderr


def test_what_init_writes_is_good(embedded: Environment, tmp_path: Path) -> None:
    """The configuration passes its own check, its cases hold, and doctor has nothing to say but that models are yet to be imported."""
    assert embedded.run("hilum", "init", tmp_path / "node").returncode == 0
    for words in (("config", "check"), ("routes", "test")):
        said = embedded.run("hilum", *words, cwd=tmp_path / "node")
        assert said.returncode == 0, said.stdout + said.stderr
    looked = json.loads(embedded.run("hilum", "doctor", "--json", cwd=tmp_path / "node").stdout)
    bad = {one["subject"] for one in looked["findings"] if one["level"] == "bad"}
    assert bad == {"application mr-brain"}


def test_the_demo_runs_with_the_weights_that_come_with_hilum(embedded: Environment, tmp_path: Path) -> None:
    """A crop in, both parts of the hippocampus out, over DIMSE, without any network but loopback."""
    crop(tmp_path / "crop")
    with loopback_only():
        said = embedded.run(
            "hilum",
            "demo",
            "--application",
            "hippocampus",
            "--input",
            tmp_path / "crop",
            "--out",
            tmp_path / "demo",
            "--json",
            timeout_s=600,
        )
    assert said.returncode == 0, said.stdout + said.stderr
    assert {one["kind"] for one in json.loads(said.stdout)["objects"]} == {"seg", "sr", "sc"}


def test_a_package_of_another_is_told(embedded: Environment, tmp_path: Path) -> None:
    """On PYTHONPATH, by its file and by what to do; a folder without a package of that name, where the command is called, is no matter."""
    (tmp_path / "node").mkdir()
    assert embedded.run("hilum", "--version", cwd=tmp_path).returncode == 0
    other = tmp_path / "node" / "__init__.py"
    other.write_text("raise SystemExit('another node was imported')\n")
    assert embedded.run("hilum", "--version", cwd=tmp_path).returncode == 0
    said = embedded.run("hilum", "--version", variables={"PYTHONPATH": str(tmp_path)})
    assert (said.returncode, said.stdout) == (1, "")
    assert f"`node` is {other}" in said.stderr
    assert "[HLM-2132]" in said.stderr
    assert "an environment of its own" in said.stderr
    assert "HLM-2132" in embedded.run("python", "-m", "hilum", "--version", cwd=tmp_path).stderr


def test_a_package_that_was_written_over_is_told(built: Path, tmp_path: Path) -> None:
    """By another distribution with a package of the same name, installed into the same environment."""
    there = install(built, tmp_path)
    assert there.run("hilum", "--version").returncode == 0
    (there.site / "training" / "__init__.py").write_text("import nothing_that_is_here\n")
    said = there.run("hilum", "--version")
    assert (said.returncode, "wrote over it" in said.stderr, "[HLM-2132]" in said.stderr) == (1, True, True), said.stderr


def test_a_node_starts_where_others_have_folders_of_these_names(embedded: Environment, tmp_path: Path) -> None:
    """The processes of a node look into its working folder for no package: `training` is what people call their own folders."""
    for name in ("node", "inference", "training"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise SystemExit('a package of another was imported')\n")
    assert embedded.run("hilum", "init", "mine", cwd=tmp_path).returncode == 0
    (tmp_path / "mine" / "hilum.yaml").write_text('node: {listen: "127.0.0.1:0"}\nstore: {min_free: 1MB}\n')
    with loopback_only():
        serving = subprocess.Popen(
            [embedded.folder / "bin" / "hilum", "serve", "--config", "mine/hilum.yaml"],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            assert serving.stdout is not None
            ready = serving.stdout.readline()
        finally:
            serving.terminate()
            _, events = serving.communicate(timeout=60)
    assert '"node.ready"' in ready, events
    assert serving.returncode == 0
    assert sys.prefix not in events
