"""The words of docker/ are run without a container engine (with one: test_image): on a read-only root, as an unprivileged user, without any
capability, beside the real programs that the other images hold."""

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest
from ruamel.yaml import YAML

from inference.imaging.write_series import write_series
from tests.lab.container import READY_S, USER, VARIABLES, run_confined, serving
from tests.lab.dashboards import ALERTS
from tests.lab.docker import FOLDER, ROOT, UNIT, gpu_services, services, unit_words, words_of
from tests.lab.loopback import free_port
from tests.lab.needs import program
from tests.lab.node import hilum
from tests.lab.program import wait_until
from tests.lab.prometheus import promtool
from tests.lab.scrape import Scraped

# ---- what only has to be read


def test_an_image_without_openvino_loses_tests_alone(tmp_path: Path) -> None:
    """One that has Triton compute: its wheels' tests go, and their lines in the wheel's list, which names what is left."""
    for name in ("whole/__init__.py", "whole/tests/test_it.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    record = tmp_path / "whole-1.0.dist-info/RECORD"
    record.parent.mkdir()
    record.write_text("whole/__init__.py,,\nwhole/tests/test_it.py,,\n", encoding="utf-8")
    subprocess.run(["sh", FOLDER / "debian/without-unused", tmp_path], check=True)
    assert record.read_text(encoding="utf-8") == "whole/__init__.py,,\n"
    assert [path.name for path in (tmp_path / "whole").iterdir()] == ["__init__.py"]


@pytest.mark.parametrize("files", [("compose.yaml",), ("compose.yaml", "compose.gpu.yaml")], ids=["processor", "gpu"])
def test_compose_understands_the_set(tmp_path: Path, files: tuple[str, ...]) -> None:
    """Compose itself resolves it (merge keys, variables, files, conditions) with secrets made as docker/README.md says; with and without
    a GPU as they are read here."""
    folder = tmp_path / "docker"
    shutil.copytree(FOLDER, folder)
    for name in ("journal_password", "grafana_password", "console.pem", "console.key"):
        (folder / "secrets" / name).touch()
    command = [str(program("docker-compose", "docker-compose")), *(word for name in files for word in ("-f", str(folder / name))), "config"]
    resolved = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert resolved.returncode == 0, resolved.stderr
    assert resolved.stderr == ""
    read = YAML(typ="safe").load(resolved.stdout)["services"]
    expected = services() if len(files) == 1 else gpu_services()
    assert set(read) == set(expected)
    assert read["node"]["read_only"] is True
    assert read["node"]["depends_on"]["journal"] == {"condition": "service_healthy"}
    assert ("triton" in read["node"]["depends_on"]) == (len(files) == 2)
    for name, service in expected.items():
        assert len(read[name].get("volumes", [])) == len(service.get("volumes", [])), name


@pytest.mark.slow
@pytest.mark.parametrize(("index", "taken"), [("of-processors", "+cpu"), ("", "")], ids=["named", "not named"])
def test_the_image_with_torch_takes_it_from_the_index_that_is_named(tmp_path: Path, index: str, taken: str) -> None:
    """The Dockerfile's own words for pip, over two indexes on this disk: torch of the version that the constraints have, without CUDA where
    TORCH_INDEX names an index of such, else as the public one has it. compose.yaml asks for an image with torch, and for no other."""
    built = [service["build"]["args"]["EXTRAS"] for service in services().values() if "EXTRAS" in service.get("build", {}).get("args", {})]
    assert built == ["embedded,torch"]
    (version,) = re.findall("^torch==(.+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    for name, build in (("public", version), ("of-processors", f"{version}+cpu")):
        _index_of_torch(tmp_path / name, build)
    (words,) = re.findall(r'pip install (\$\{TORCH_INDEX.+) "\.\[\$\{EXTRAS\}\]"', (FOLDER / "Dockerfile").read_text())
    variables = {"PATH": os.environ["PATH"], "PIP_CONFIG_FILE": os.devnull, "PIP_INDEX_URL": (tmp_path / "public").as_uri()}
    variables |= {"TORCH_INDEX": (tmp_path / index).as_uri() if index else ""}
    command = f"{sys.executable} -m pip install --dry-run --quiet --ignore-installed --no-deps --report - {words} torch"
    told = subprocess.run(["sh", "-c", command], cwd=ROOT, env=variables, capture_output=True, text=True, check=False, timeout=300)
    assert told.returncode == 0, told.stderr
    assert [one["metadata"]["version"] for one in json.loads(told.stdout)["install"]] == [version + taken]


def _index_of_torch(folder: Path, version: str) -> None:
    """A package index (PEP 503) with a torch of this version that has nothing in it."""
    (folder / "torch").mkdir(parents=True)
    wheel, inside = f"torch-{version}-py3-none-any.whl", f"torch-{version}.dist-info"
    with zipfile.ZipFile(folder / "torch" / wheel, "w") as packed:
        packed.writestr(f"{inside}/METADATA", f"Metadata-Version: 2.1\nName: torch\nVersion: {version}\n")
        packed.writestr(f"{inside}/WHEEL", "Wheel-Version: 1.0\nGenerator: made\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        packed.writestr(f"{inside}/RECORD", "")
    (folder / "torch" / "index.html").write_text(f'<a href="{quote(wheel)}">{wheel}</a>\n')


def test_promtool_accepts_prometheus_files(tmp_path: Path) -> None:
    """With the rules where the container has them."""
    written = tmp_path / "prometheus.yml"
    written.write_text((FOLDER / "prometheus" / "prometheus.yml").read_text().replace("/etc/prometheus/alerts.yml", str(ALERTS)))
    checked = promtool("check", "config", written)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_systemd_accepts_the_unit_and_finds_it_confined(tmp_path: Path) -> None:
    """Its own verifier, with the program where it is here; its own judgement of how much is left to an intruder (0 to 10)."""
    analyze = program("systemd-analyze", "systemd")
    installed = tmp_path / "hilum.service"
    installed.write_text(UNIT.read_text().replace("/opt/hilum/bin/hilum", "/bin/true"))
    verified = subprocess.run([analyze, "verify", installed], capture_output=True, text=True, check=False, timeout=60)
    assert (verified.returncode, verified.stdout + verified.stderr) == (0, "")
    judged = subprocess.run(
        [analyze, "security", "--offline=yes", "--threshold=20", installed], capture_output=True, text=True, check=False, timeout=60
    )
    assert judged.returncode == 0, judged.stdout[-300:]


# ---- the node, confined


_STARTS = {
    "image": [*words_of("ENTRYPOINT"), *words_of("CMD")],
    "unit": unit_words("ExecStart"),
}


@pytest.mark.slow
@pytest.mark.parametrize("start", _STARTS)
def test_a_study_goes_through_on_a_read_only_root(tmp_path: Path, start: str) -> None:
    """The very words of the image (or the unit): ready, healthy by the image's health check, a study in, three results out, ended by
    SIGTERM with 0. Everything that was written lies in /var/lib/hilum and belongs to the unprivileged user."""
    metrics = free_port()
    config = tmp_path / "hilum.yaml"
    settings = {
        "node": {"ae_title": "HILUM", "listen": "127.0.0.1:0", "metrics": f"127.0.0.1:{metrics}"},
        "peers": {"scanner": {"ae_title": "SCANNER", "address": "127.0.0.1:0"}},
        "store": {"journal": "sqlite:/var/lib/hilum/hilum.db", "blobs": "file:/var/lib/hilum/blobs", "min_free": "100MB", "high_water": 1},
        "models": {"repository": "/var/lib/hilum/models", "applications": [str(ROOT / "bench" / "applications")]},
        "sinks": {"results": {"kind": "folder", "path": "/var/lib/hilum/results"}},
        "routes": [{"name": "all CT", "when": {"Modality": "CT"}, "run": ["bench-threshold"], "send": ["results"]}],
    }
    config.write_text(json.dumps(settings))
    state = tmp_path / "state"
    voxels = np.full((12, 64, 64), -1000, np.int16)
    voxels[:, 20:30, 10:30] = 60
    affine = np.array([[0.0, 0, 1, -32], [0, 1, 0, -32], [2, 0, 0, 0], [0, 0, 0, 1]])
    files = write_series(voxels, affine, tmp_path / "in", modality="CT", patient_id="CONFINED")
    assert run_confined(*words_of("HEALTHCHECK"), state=state, config=config).returncode == 1, "nobody is there"
    if start == "unit":
        checked = run_confined(*unit_words("ExecStartPre"), state=state, config=config, variables=VARIABLES)
        assert checked.returncode == 0, checked.stderr
    with serving(config, state, _STARTS[start]) as node:
        sent = hilum("send", files[0].parent, "--to", f"HILUM@127.0.0.1:{node.ready['port']}", "--calling", "SCANNER")
        assert sent.code == 0, sent.out + sent.err
        wait_until(lambda: [job["state"] for job in node.jobs()] == ["done"], READY_S, "the job is done")
        healthy = node.run(*words_of("HEALTHCHECK"))
        assert (healthy.returncode, healthy.stdout) == (0, "ready\n")
        assert Scraped(metrics).sum("hilum_instances_total", status="0000") == 12
        who = Path(f"/proc/{node.program.process.pid}/status").read_text()
        assert f"Uid:\t{USER}\t{USER}\t{USER}\t{USER}" in who
        assert "CapEff:\t0000000000000000" in who
        assert "NoNewPrivs:\t1" in who
    assert len(list((state / "results").rglob("*.dcm"))) == 3
    assert {path.stat().st_uid for path in state.rglob("*")} == {USER}
