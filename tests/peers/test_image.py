"""docker/Dockerfile as an image: built, and run as compose.yaml runs it, between a real archive and a real PostgreSQL."""

import json
import shutil
import ssl
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lab import source as crops
from tests.lab.certificates import Authority
from tests.lab.docker import services
from tests.lab.image import Podman, hardened, podman, source
from tests.lab.loopback import free_port
from tests.lab.needs import data
from tests.lab.node import QUIET
from tests.lab.orthanc import Orthanc
from tests.lab.postgres import Postgres
from tests.lab.program import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.registry, pytest.mark.timeout(1800)]

IMAGE = "hilum"
CROP = "mr_hippocrop_Study1.zip"
_EXTRAS = "openvino, tritonclient.grpc, psycopg, obstore, fastapi, gdcm, highdicom, node.assembly.process"


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Podman]:
    """podman with the image of the working tree."""
    with podman() as there:
        there.build(source(tmp_path_factory.mktemp("tree")), IMAGE)
        yield there


def _run(engine: Podman, *words: object) -> str:
    said = engine("run", "--rm", *words)
    assert said.returncode == 0, (words, said.stdout[-2000:], said.stderr[-2000:])
    return said.stdout


def test_the_image_has_what_it_says_and_nothing_that_is_missing(engine: Podman) -> None:
    """Its user, its health check, every library of its extras with all that they link to, pg_dump of the journal's version; no torch, and
    nothing left of the build."""
    (read,) = json.loads(engine("image", "inspect", IMAGE).stdout)
    assert read["Config"]["User"] == "1000:1000"
    assert read["Healthcheck"]["Test"][1:] == ["hilum", "health", "--config", "/etc/hilum/hilum.yaml"]
    assert set(read["Config"]["ExposedPorts"]) == {"11112/tcp", "9464/tcp", "8443/tcp"}
    plain = ("--network=none", "--read-only", "--ulimit=nofile=1024:1024", "--ulimit=nproc=1024:1024")
    version = services()["journal"]["image"].removeprefix("postgres:").partition("-")[0]
    assert f"(PostgreSQL) {version}." in _run(engine, *plain, "--entrypoint=pg_dump", IMAGE, "--version")
    _run(engine, *plain, "--entrypoint=python", IMAGE, "-c", f"import {_EXTRAS}")
    looked = "import importlib.util as u; print([name for name in ('torch', 'monai', 'pytest') if u.find_spec(name)])"
    assert _run(engine, *plain, "--entrypoint=python", IMAGE, "-c", looked).strip() == "[]"
    libraries = "find /opt/hilum -name '*.so*'"
    linked = f"{libraries} -exec ldd {{}} + 2>/dev/null | sed -n 's/ => not found//p'; {libraries} -printf '/%f\\n'"
    names = set(_run(engine, *plain, "--entrypoint=sh", IMAGE, "-c", linked).split())
    missing = {name for name in names if not name.startswith("/") and f"/{name}" not in names}
    assert not missing
    assert _run(engine, *plain, "--entrypoint=sh", IMAGE, "-c", "ls -A /src 2>/dev/null || true").strip() == ""


def test_a_study_goes_through_the_image(engine: Podman, tmp_path: Path) -> None:
    """A model brought in, a study in, results in the archive, the console's login over TLS, a backup by pg_dump, and an end with 0: with
    compose.yaml's read-only root, memory and no capabilities."""
    listen, metrics, console = (free_port() for _ in range(3))
    state, config = tmp_path / "state", tmp_path / "hilum.yaml"
    state.mkdir()
    identity = Authority(tmp_path / "ca").signs("localhost")
    for name, path in (("console.pem", identity.certificate), ("console.key", identity.key)):
        shutil.copy(path, state / name)
    service = services()["node"]
    with Postgres() as database, Orthanc(tmp_path / "pacs", node_port=listen) as pacs:
        settings: dict[str, Any] = {
            "node": {"ae_title": "HILUM", "listen": f"127.0.0.1:{listen}", "metrics": f"127.0.0.1:{metrics}"},
            "peers": {
                "pacs": {
                    "ae_title": pacs.aet,
                    "address": f"127.0.0.1:{pacs.dicom_port}",
                    "may": ["store", "echo"],
                    "settle": {"scope": "series", "quiet": QUIET},
                }
            },
            "console": {
                "listen": f"127.0.0.1:{console}",
                "tls": {"cert": "/var/lib/hilum/console.pem", "key": "/var/lib/hilum/console.key"},
            },
            "store": {"journal": database.database(), "blobs": "file:/var/lib/hilum/blobs", "min_free": "64MiB", "high_water": 1},
            "models": {"repository": "/var/lib/hilum/models"},
            "sinks": {"archive": {"kind": "dimse", "peer": "pacs"}},
            "routes": [{"name": "hippocampus", "when": {"Modality": "MR"}, "run": ["hippocampus"], "send": ["archive"]}],
        }
        config.write_text(json.dumps(settings), encoding="utf-8")
        contained = hardened(service, state=state, config=config)
        _run(engine, *contained, IMAGE, "models", "import", "hippocampus", "--no-tune", "--config", "/etc/hilum/hilum.yaml")
        started = engine("run", "--detach", "--name=node", *contained, IMAGE)
        assert started.returncode == 0, started.stderr

        def said() -> str:
            read = engine("logs", "node")
            return read.stdout + read.stderr

        def inside(*words: object) -> str:
            done = engine("exec", "node", *words)
            assert done.returncode == 0, (words, done.stdout[-2000:], done.stderr[-2000:], said()[-2000:])
            return done.stdout

        wait_until(lambda: '"node.ready"' in said(), 240, "the node in its container is ready", every_s=1)
        crop = data("dicom", CROP)
        pacs.upload(crop)
        pacs.send(*pacs.get("/studies"))
        study = crops.study_uid(crop)
        try:
            wait_until(lambda: {"SEG", "SR", "OT"} <= {series.modality for series in pacs.study(study).series}, 240, "results", every_s=1)
        except AssertionError:
            raise AssertionError(said()[-4000:]) from None
        assert inside("hilum", "health", "--config", "/etc/hilum/hilum.yaml") == "ready\n"
        trusted = ssl.create_default_context(cafile=str(tmp_path / "ca" / "ca.pem"))
        with urllib.request.urlopen(f"https://localhost:{console}/login", context=trusted, timeout=60) as page:
            assert page.status == 200
        inside("hilum", "backup", "--to", "/var/lib/hilum/backups", "--check", "--config", "/etc/hilum/hilum.yaml")
        assert list((state / "backups").iterdir())
        stopped = engine("stop", "--time", 120, "node")
        assert stopped.returncode == 0, stopped.stderr
        assert engine("inspect", "--format", "{{.State.ExitCode}} {{.State.OOMKilled}}", "node").stdout.strip() == "0 false"
