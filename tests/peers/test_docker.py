"""What stands in docker/ is run, as far as that goes without a container engine: on a read-only root, as an unprivileged user, without any
capability, beside the real programs that the other images hold."""

import json
import os
import shlex
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import pytest
from ruamel.yaml import YAML

from inference.engines.triton.distribution import local_distribution
from inference.imaging.write_series import write_series
from tests.lab import triton
from tests.lab.container import USER, confined, run_confined
from tests.lab.dashboards import ALERTS
from tests.lab.docker import FOLDER, ROOT, instructions, services, unit_words, words_of
from tests.lab.loopback import free_port, outside
from tests.lab.needs import data, program
from tests.lab.node import hilum, models
from tests.lab.postgres import PASSWORD, Postgres
from tests.lab.program import Program, wait_until
from tests.lab.prometheus import promtool
from tests.lab.scrape import Scraped, health
from tests.lab.series import unpacked

_READY_S = 90
_CONFIG = "/etc/hilum/hilum.yaml"
_IN_THE_BASE = {
    # glibc and what every Debian image with Python has (libstdc++ and zlib: apt and dpkg need them)
    *("libc.so.6", "libm.so.6", "libpthread.so.0", "libdl.so.2", "librt.so.1", "libutil.so.1", "libresolv.so.2"),
    *("libgcc_s.so.1", "libstdc++.so.6", "libz.so.1"),
}
_VARIABLES = ("HOME=/var/lib/hilum", "XDG_CACHE_HOME=/var/lib/hilum/cache", "PYTHONUNBUFFERED=1", "PYTHONDONTWRITEBYTECODE=1")


def _get(url: str, method: str = "GET") -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, method=method), timeout=30) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as refused:
        return refused.code, refused.read()


def _answers(url: str) -> bool:
    try:
        return _get(url)[0] == 200
    except OSError:
        return False


# ---- what only has to be read


def test_compose_understands_the_set() -> None:
    """Compose itself resolves it (merge keys, variables, files, conditions) with passwords made as docker/README.md says."""
    secrets = [FOLDER / "secrets" / name for name in ("journal_password", "grafana_password")]
    before = [secret.exists() for secret in secrets]
    try:
        for secret in secrets:
            secret.touch()
        command = [program("docker-compose", "docker-compose"), "-f", FOLDER / "compose.yaml", "config"]
        resolved = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    finally:
        for secret, existed in zip(secrets, before, strict=True):
            if not existed:
                secret.unlink()
    assert resolved.returncode == 0, resolved.stderr
    assert resolved.stderr == ""
    read = YAML(typ="safe").load(resolved.stdout)
    assert set(read["services"]) == set(services())
    assert read["services"]["node"]["read_only"] is True
    assert read["services"]["node"]["depends_on"]["journal"] == {"condition": "service_healthy"}


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
    installed.write_text((FOLDER / "hilum.service").read_text().replace("/opt/hilum/bin/hilum", "/bin/true"))
    verified = subprocess.run([analyze, "verify", installed], capture_output=True, text=True, check=False, timeout=60)
    assert (verified.returncode, verified.stdout + verified.stderr) == (0, "")
    judged = subprocess.run(
        [analyze, "security", "--offline=yes", "--threshold=20", installed], capture_output=True, text=True, check=False, timeout=60
    )
    assert judged.returncode == 0, judged.stdout[-300:]


# ---- the node, confined


class _Confined:
    """The node as its container runs it; `state` is what lies at /var/lib/hilum."""

    def __init__(self, config: Path, state: Path, words: list[str]) -> None:
        self._config, self._state = config, state
        command, environment = confined(words, state=state, config=config, variables=_VARIABLES)
        self.printed = state.with_name("stdout.jsonl")
        self.program = Program(command, state.with_name("stderr.jsonl"), stdout=self.printed, environment=environment)
        self.ready: dict[str, object] = {}
        wait_until(self._is_ready, _READY_S, "node.ready")

    def _is_ready(self) -> bool:
        assert self.program.running, self.program.said()
        for line in self.printed.read_text().splitlines():
            said = json.loads(line)
            if said.get("event") == "node.ready":
                self.ready = said
        return bool(self.ready)

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Another program in the same container."""
        return run_confined(*words, state=self._state, config=self._config, variables=_VARIABLES)

    def jobs(self) -> list[dict[str, object]]:
        """What became of what came."""
        said = self.run("hilum", "jobs", "list", "--json", "--config", _CONFIG)
        assert said.returncode == 0, said.stderr
        listed: list[dict[str, object]] = json.loads(said.stdout)
        return listed


@contextmanager
def _serving(config: Path, state: Path, words: list[str]) -> Iterator[_Confined]:
    node = _Confined(config, state, words)
    try:
        yield node
    except BaseException:
        node.program.kill()
        raise
    code = node.program.stop(90)
    assert code == 0, node.program.said()


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
        "node": {"ae_title": "HILUM", "listen": "127.0.0.1:0", "metrics": f"127.0.0.1:{metrics}", "strangers": True},
        "store": {"journal": "sqlite:/var/lib/hilum/hilum.db", "blobs": "file:/var/lib/hilum/blobs", "min_free": "100MB"},
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
        checked = run_confined(*unit_words("ExecStartPre"), state=state, config=config, variables=_VARIABLES)
        assert checked.returncode == 0, checked.stderr
    with _serving(config, state, _STARTS[start]) as node:
        sent = hilum("send", files[0].parent, "--to", f"HILUM@127.0.0.1:{node.ready['port']}", "--calling", "SCANNER")
        assert sent.code == 0, sent.out + sent.err
        wait_until(lambda: [job["state"] for job in node.jobs()] == ["done"], _READY_S, "the job is done")
        healthy = node.run(*words_of("HEALTHCHECK"))
        assert (healthy.returncode, healthy.stdout) == (0, "ready\n")
        assert Scraped(metrics).sum("hilum_instances_total", status="0000") == 12
        who = Path(f"/proc/{node.program.process.pid}/status").read_text()
        assert f"Uid:\t{USER}\t{USER}\t{USER}\t{USER}" in who
        assert "CapEff:\t0000000000000000" in who
        assert "NoNewPrivs:\t1" in who
    assert len(list((state / "results").rglob("*.dcm"))) == 3
    assert {path.stat().st_uid for path in state.rglob("*")} == {USER}


# ---- the set


def _translated(text: str, *pairs: tuple[str, str]) -> str:
    """The file of the set with the addresses of this machine."""
    for before, after in pairs:
        assert before in text, before
        text = text.replace(before, after)
    return text


@contextmanager
def _tritonserver(repository: Path, folder: Path, grpc: int, http: int, metrics: int) -> Iterator[Program]:
    """A real server under the words of compose.yaml, and where its parts lie here."""
    triton.available()
    server = local_distribution()
    service = services()["triton"]
    words = _translated(
        "\n".join([*service["entrypoint"], *service["command"]]),
        ("--model-repository=/models", f"--model-repository={repository}"),
        ("0.0.0.0", "127.0.0.1"),
        ("grpc-port=8001", f"grpc-port={grpc}"),
        ("http-port=8000", f"http-port={http}"),
        ("metrics-port=8002", f"metrics-port={metrics}"),
    ).split("\n")
    here = [f"--backend-directory={server.backends}", f"--cache-directory={server.caches}", "--allow-gpu-metrics=false"]
    running = Program([server.program, *words[1:], *here], folder / "triton.log", environment=server.environment())
    try:
        probe = service["healthcheck"]["test"][-1].replace(":8000", f":{http}")
        wait_until(lambda: _answers(probe), _READY_S, "Triton's health check")
        yield running
    finally:
        running.kill()


@contextmanager
def _orthanc(folder: Path, dicom: int, http: int, node: int) -> Iterator[Program]:
    """A real archive under the configuration of the set."""
    plugin = next(Path("/usr/share/orthanc/plugins").glob("libOrthancDicomWeb.so"), None)
    assert plugin is not None
    read = json.loads((FOLDER / "orthanc" / "orthanc.json").read_text())
    assert read["LuaScripts"] == ["/etc/orthanc/forward.lua"]
    read |= {"HttpPort": http, "DicomPort": dicom, "RemoteAccessAllowed": False, "StableAge": 2, "Plugins": [str(plugin)]}
    read |= {key: str(folder / "archive") for key in ("StorageDirectory", "IndexDirectory")}
    read["DicomModalities"]["hilum"] |= {"Host": "127.0.0.1", "Port": node}
    read["LuaScripts"] = [str(FOLDER / "orthanc" / "forward.lua")]
    written = folder / "orthanc.json"
    written.write_text(json.dumps(read))
    running = Program([program("Orthanc", "orthanc"), written], folder / "orthanc.log", environment={"TCP_NODELAY": "1"})
    try:
        probe = services()["archive"]["healthcheck"]["test"][-1].replace(":8042", f":{http}")
        wait_until(lambda: _answers(probe), _READY_S, "the archive's health check")
        yield running
    finally:
        running.kill()


@contextmanager
def _nginx(folder: Path, port: int, archive: int) -> Iterator[Program]:
    """A real nginx under the configuration of the set, before a page that stands for the viewer's files."""
    pages = folder / "html"
    pages.mkdir()
    (pages / "index.html").write_text("<title>viewer</title>")
    (pages / "app-config.js").write_text((FOLDER / "viewer" / "app-config.js").read_text())
    temporary = folder / "nginx"
    temporary.mkdir()
    written = folder / "nginx.conf"
    text = (FOLDER / "viewer" / "nginx.conf").read_text()
    pairs = (
        ("/tmp/", f"{temporary}/"),
        ("listen 8080", f"listen 127.0.0.1:{port}"),
        ("http://archive:8042", f"http://127.0.0.1:{archive}"),
        ("/usr/share/nginx/html", str(pages)),
    )
    written.write_text(_translated(text, *pairs))
    service = services()["viewer"]
    words = [word.replace("/etc/viewer/nginx.conf", str(written)) for word in service["command"]]
    if os.geteuid() == 0:
        words[-1] += " user root;"  # in the container it is nobody special from the start; here nobody else may enter the test's folder
    running = Program([program("nginx", "nginx-light"), *words], folder / "nginx.log")
    try:
        probe = service["healthcheck"]["test"][-1].replace(":8080", f":{port}")
        wait_until(lambda: _answers(probe) or not running.running, _READY_S, "the viewer's health check")
        assert running.running, running.said()
        yield running
    finally:
        running.kill()


@pytest.mark.slow
@pytest.mark.registry
@pytest.mark.timeout(900)
def test_the_whole_set_works_together(tmp_path: Path) -> None:
    """docker/hilum.yaml with the addresses of this machine, confined as in its container, between a real Triton under the arguments of
    compose.yaml, a real PostgreSQL with the password in a file, and a real archive and viewer under their configurations: a head MR that
    comes to the archive is forwarded, analysed, and its results stand in the archive and behind the viewer."""
    source = data("dicom", "mr_t1_sag_HFS_decubitus.zip")
    repository = models(("mr-brain",))
    listen, metrics, dicom, http, viewer, grpc, triton_http, triton_metrics = (free_port() for _ in range(8))
    state = tmp_path / "state"
    state.mkdir()
    secret = state / "journal_password"
    secret.write_text(f"{PASSWORD}\n")
    secret.chmod(0o444)
    with ExitStack() as running:
        database = running.enter_context(Postgres())
        name = database.database().rpartition("/")[2]
        running.enter_context(_tritonserver(repository, tmp_path, grpc, triton_http, triton_metrics))
        running.enter_context(_orthanc(tmp_path, dicom, http, listen))
        running.enter_context(_nginx(tmp_path, viewer, http))
        config = tmp_path / "hilum.yaml"
        text = (FOLDER / "hilum.yaml").read_text()
        pairs = (
            ("0.0.0.0:11112", f"127.0.0.1:{listen}"),
            ("0.0.0.0:9464", f"127.0.0.1:{metrics}"),
            ("address: archive:4242", f"address: 127.0.0.1:{dicom}"),
            ("postgresql://hilum@journal/hilum", f"postgresql://hilum@127.0.0.1:{database.port}/{name}"),
            ("/run/secrets/journal_password", "/var/lib/hilum/journal_password"),
            ("grpc://triton:8001", f"grpc://127.0.0.1:{grpc}"),
            ("repository: /var/lib/hilum/models", f"repository: {repository}"),
            ("workers: 2", "workers: 1"),
        )
        config.write_text(_translated(text, *pairs))
        with _serving(config, state, _STARTS["image"]) as node:
            assert node.ready["metrics_port"] == metrics
            for file in unpacked(source, tmp_path / "in"):
                request = urllib.request.Request(f"http://127.0.0.1:{http}/instances", data=file.read_bytes(), method="POST")
                with urllib.request.urlopen(request, timeout=60) as stored:
                    assert stored.status == 200
            wait_until(lambda: any(job["state"] in ("done", "parked", "failed") for job in node.jobs()), 600, "the job ended", every_s=1.0)
            assert [job["state"] for job in node.jobs()] == ["done"], node.jobs()
            assert health(metrics, "ready")[1]["degraded"] == []
            said = Scraped(metrics)
            assert said.by("hilum_engine_up", "engine") == {"gpu": 1}
            assert said.sum("hilum_engine_calls_total", outcome="ok", engine="gpu") > 0
            assert said.sum("hilum_instances_total", status="0000", peer="archive") > 0
            assert said.sum("hilum_journal_bytes") > 1_000_000
            assert _get(f"http://127.0.0.1:{triton_metrics}/metrics")[0] == 200
            # the viewer's address shows what came back, and changes nothing
            status, listed = _get(f"http://127.0.0.1:{viewer}/dicom-web/series?includefield=Modality")
            assert status == 200
            modalities = sorted(str(series["00080060"]["Value"][0]) for series in json.loads(listed))
            assert modalities == ["MR", "OT", "SEG", "SR"]
            assert _get(f"http://127.0.0.1:{viewer}/viewer?StudyInstanceUIDs=1.2")[1] == b"<title>viewer</title>"
            assert _get(f"http://127.0.0.1:{viewer}/dicom-web/studies", method="POST")[0] == 403
            assert _get(f"http://127.0.0.1:{viewer}/instances")[1] == b"<title>viewer</title>", "no way to the archive but DICOMweb"
    assert os.stat(state).st_uid == USER


# ---- the image's build


@pytest.mark.slow
@pytest.mark.registry
@pytest.mark.timeout(900)
def test_the_build_stage_installs_what_the_set_needs_and_no_torch(tmp_path: Path) -> None:
    """Every RUN of the build stage, in its order and over nothing but what its COPYs bring: the environment has hilum, reads the set's
    configuration, has no torch; and every shared library in it finds what it links to in itself or in the base image."""
    source, target = tmp_path / "src", tmp_path / "hilum"
    source.mkdir()
    environment = {"PATH": f"{target / 'bin'}:{Path(sys.prefix) / 'bin'}:/usr/bin:/bin", "HOME": str(tmp_path), "LANG": "C.UTF-8"}
    # how packages are reached here is the machine's affair
    environment |= {name: value for name, value in os.environ.items() if name.startswith("PIP_") or "proxy" in name.lower()}
    for stage, word, rest in instructions():
        if stage != 0 or word not in ("RUN", "COPY", "ARG", "ENV"):
            continue
        if word == "COPY":
            *copied, _ = rest.split()
            for name in copied:
                if (ROOT / name).is_dir():
                    shutil.copytree(ROOT / name, source / name, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
                else:
                    shutil.copy(ROOT / name, source)
        elif word == "ARG":
            name, _, value = rest.partition("=")
            environment[name] = value
        elif word == "ENV":
            environment |= dict(pair.split("=", 1) for pair in shlex.split(rest) if not pair.startswith("PATH="))
        else:
            with outside():
                command = ["sh", "-ec", rest.replace("/opt/hilum", str(target))]
                ran = subprocess.run(command, cwd=source, env=environment, capture_output=True, text=True, check=False, timeout=600)
            assert ran.returncode == 0, f"{rest}\n{ran.stdout[-2000:]}\n{ran.stderr[-2000:]}"

    def run(*words: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run([str(word) for word in words], env=environment, capture_output=True, text=True, check=False, timeout=120)

    assert run(target / "bin/python", "-c", "import torch").returncode != 0
    checked = run(target / "bin/hilum", "config", "check", "--config", FOLDER / "hilum.yaml")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert run(target / "bin/python", "-c", "import tritonclient.grpc, psycopg, gdcm, highdicom, node.assembly.process").returncode == 0
    missing = {
        line.split()[0]
        for library in target.rglob("*.so*")
        for line in run("ldd", library).stdout.splitlines()
        if "=>" in line and "/" in line and not line.split("=>")[1].strip().startswith(str(target))
    }
    assert missing <= _IN_THE_BASE, "link to libraries that the base image may not have"
