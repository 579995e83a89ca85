"""The set of docker/compose.yaml on this machine: each service's real program under the words and files that its container gets."""

import http.client
import json
import os
import tomllib
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from inference.engines.triton.distribution import local_distribution
from inference.engines.triton.processes import SHM_PREFIX, sweep
from tests.lab import triton
from tests.lab.container import READY_S, USER, serving
from tests.lab.docker import FOLDER, ROOT, gpu_services, instructions, services, words_of
from tests.lab.loopback import free_port
from tests.lab.needs import data, program
from tests.lab.node import models
from tests.lab.postgres import PASSWORD, Postgres
from tests.lab.program import Program, wait_until
from tests.lab.scrape import Scraped, health
from tests.lab.series import unpacked

_PATIENCE_S = 120


def _get(url: str, method: str = "GET") -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, method=method), timeout=_PATIENCE_S) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as refused:
        return refused.code, refused.read()


def _answers(url: str) -> bool:
    try:
        return _get(url)[0] == 200
    except (OSError, http.client.HTTPException):
        return False


def _rest(archive: int, path: str, data: bytes | None = None) -> Any:
    """A request to the archive's REST interface, which must be granted."""
    with urllib.request.urlopen(f"http://127.0.0.1:{archive}{path}", data=data, timeout=_PATIENCE_S) as answer:
        return json.load(answer)


def _all_was_said(archive: int) -> bool:
    """Whether nothing more comes of the study by itself: it counts as stable, and whatever was to be forwarded was or failed."""
    (study,) = _rest(archive, "/studies?expand")
    return study["IsStable"] and all(job["State"] in ("Success", "Failure") for job in _rest(archive, "/jobs?expand"))


def _translated(text: str, *pairs: tuple[str, str]) -> str:
    """The file of the set with the addresses of this machine."""
    for before, after in pairs:
        assert before in text, before
        text = text.replace(before, after)
    return text


@contextmanager
def _tritonserver(repository: Path, folder: Path, grpc: int, http: int, metrics: int) -> Iterator[Program]:
    """A real server under the words of compose.gpu.yaml, and where its parts lie here."""
    triton.available()
    server = local_distribution()
    service = gpu_services()["triton"]
    words = _translated(
        "\n".join([*service["entrypoint"], *service["command"]]),
        ("--model-repository=/models", f"--model-repository={repository}"),
        ("0.0.0.0", "127.0.0.1"),
        ("grpc-port=8001", f"grpc-port={grpc}"),
        ("http-port=8000", f"http-port={http}"),
        ("metrics-port=8002", f"metrics-port={metrics}"),
    ).split("\n")
    regions = f"{SHM_PREFIX}{os.getpid()}_set_"
    here = [f"--backend-directory={server.backends}", f"--cache-directory={server.caches}", "--allow-gpu-metrics=false"]
    here.append(f"--backend-config=python,shm-region-prefix-name={regions}")
    running = Program([server.program, *words[1:], *here], folder / "triton.log", environment=server.environment())
    try:
        probe = service["healthcheck"]["test"][-1].replace(":8000", f":{http}")
        wait_until(lambda: _answers(probe), READY_S, "Triton's health check")
        yield running
    finally:
        running.kill()
        sweep(regions)


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
        wait_until(lambda: _answers(probe), READY_S, "the archive's health check")
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
        wait_until(lambda: _answers(probe) or not running.running, READY_S, "the viewer's health check")
        assert running.running, running.said()
        yield running
    finally:
        running.kill()


@pytest.mark.slow
@pytest.mark.registry
@pytest.mark.timeout(1800)
def test_the_whole_set_works_together(tmp_path: Path) -> None:
    """docker/hilum.gpu.yaml with the addresses of this machine, confined as in its container, between a real Triton under the arguments of
    compose.gpu.yaml, a real PostgreSQL with the password in a file, and a real archive and viewer under their configurations: a head MR
    that comes to the archive is forwarded, analysed, and its results stand in the archive and behind the viewer."""
    source = data("dicom", "mr_t1_sag_HFS_decubitus.zip")
    repository = models(("mr-brain",))
    listen, metrics, dicom, archive, viewer, grpc, triton_http, triton_metrics = (free_port() for _ in range(8))
    state = tmp_path / "state"
    state.mkdir()
    secret = state / "journal_password"
    secret.write_text(f"{PASSWORD}\n")
    secret.chmod(0o444)
    with ExitStack() as running:
        database = running.enter_context(Postgres())
        name = database.database().rpartition("/")[2]
        running.enter_context(_tritonserver(repository, tmp_path, grpc, triton_http, triton_metrics))
        running.enter_context(_orthanc(tmp_path, dicom, archive, listen))
        running.enter_context(_nginx(tmp_path, viewer, archive))
        config = tmp_path / "hilum.yaml"
        text = (FOLDER / "hilum.gpu.yaml").read_text()
        pairs = (
            ("0.0.0.0:8443", f"127.0.0.1:{free_port()}"),
            ("  tls: {cert: /run/secrets/console_cert, key: /run/secrets/console_key}\n", ""),
            ("0.0.0.0:11112", f"127.0.0.1:{listen}"),
            ("0.0.0.0:9464", f"127.0.0.1:{metrics}"),
            ("address: archive:4242", f"address: 127.0.0.1:{dicom}"),
            ("postgresql://hilum@journal/hilum", f"postgresql://hilum@127.0.0.1:{database.port}/{name}"),
            ("/run/secrets/journal_password", "/var/lib/hilum/journal_password"),
            ("grpc://triton:8001", f"grpc://127.0.0.1:{grpc}"),
            ("repository: /var/lib/hilum/models", f"repository: {repository}"),
            ("workers: 2", "workers: 1"),
            ("min_free: 5GiB", "min_free: 64MiB"),
        )
        config.write_text(_translated(text, *pairs))
        # a study that comes with pauses goes on in parts: the archive has all but the last image, and is silent, before there is a node
        *files, last = unpacked(source, tmp_path / "in")
        for file in files:
            _rest(archive, "/instances", file.read_bytes())
        wait_until(lambda: _all_was_said(archive), _PATIENCE_S, "the archive has nothing more to do", every_s=0.5)
        with serving(config, state, [*words_of("ENTRYPOINT"), *words_of("CMD")]) as node:
            assert node.ready["metrics_port"] == metrics
            _rest(archive, "/instances", last.read_bytes())
            wait_until(
                lambda: any(job["state"] in ("done", "not_applicable", "parked", "failed") for job in node.jobs()),
                600,
                "the job ended",
                every_s=1.0,
            )
            assert [job["state"] for job in node.jobs()] == ["done"], node.program.said()
            wait_until(lambda: health(metrics, "ready")[1]["degraded"] == [], _PATIENCE_S, "nothing is degraded")
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


def test_images_are_made_with_extras_that_there_are() -> None:
    """What the Dockerfile takes by itself, and what compose.yaml asks for: the node's without torch, and with it the one that converts."""
    known = set(tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"])
    (lean,) = [rest.removeprefix("EXTRAS=").split(",") for _, word, rest in instructions() if word == "ARG" and rest.startswith("EXTRAS=")]
    torch = services()["models"]["build"]["args"]["EXTRAS"].split(",")
    assert set(lean) | set(torch) <= known
    assert ("torch" in lean, "torch" in torch, "EXTRAS" in services()["node"]["build"].get("args", {})) == (False, True, False)
