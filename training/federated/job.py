"""nvflare's job of a federated training: three files and no code, for its simulator and for a server of hospitals alike.

What runs is installed at every site: the server's controller is `training.federated.server`, and each site's client starts
`python3 -m training.federated.site`. A site has to allow the two classes that are named here (`CLASSES`).
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nvflare.app_common.default_component_policy import DEFAULT_CLASS_ALLOW_LIST

from training.errors import OtherPlan, OtherRun, SiteFailed
from training.federated.asked import REFUSED, SITES, Federated, Site
from training.federated.server import GLOBAL, HISTORY, Federation

NAME = "hilum"
CLASSES = {
    "server": f"{Federation.__module__}.{Federation.__qualname__}",
    "site": "nvflare.app_common.executors.client_api_executor.ClientAPIExecutor",
}
"""What server and sites run of a job, as `class_allow_list` of their local/resources.json has to name it beside nvflare's own."""
LOGS = "federated-logs"
_LOG = "log.txt"


def write_job(folder: Path, federated: Federated, sites: int, kept: str = "") -> Path:
    """Write the job; nvflare's console takes its folder (`nvflare job submit -j FOLDER`)."""
    controller = {"asked": federated.text(), "sites": sites, "rounds": federated.rounds, "kept": kept}
    executor = {
        "execution_mode": "external_process",
        "command": ["python3", "-m", "training.federated.site"],
        "params_exchange_format": "numpy",
        "server_expected_format": "numpy",
    }
    server = {"format_version": 2, "workflows": [{"id": "federation", "path": CLASSES["server"], "args": controller}], "components": []}
    client = {
        "format_version": 2,
        "executors": [{"tasks": ["train"], "executor": {"path": CLASSES["site"], "args": executor}}],
        "components": [],
    }
    config = folder / NAME / "app" / "config"
    config.mkdir(parents=True, exist_ok=True)
    _write(config / "config_fed_server.json", server)
    _write(config / "config_fed_client.json", client)
    meta = {"name": NAME, "min_clients": sites, "deploy_map": {"app": ["@ALL"]}, "resource_spec": {}}
    _write(folder / NAME / "meta.json", meta)
    return folder / NAME


def simulate(run: Path, federated: Federated, sites: Mapping[str, Site]) -> dict[str, Any]:
    """Run a federation on this machine by nvflare's simulator: a process for the server, and one or two for each site.

    What was ended goes on after its last whole round.

    Returns
    -------
    dict
        What was agreed and found: RUN/federated.json.

    Raises
    ------
    OtherPlan, SiteFailed
        Sites do not learn the same; one refused, or ended.
    OtherRun
        `run` holds a federation of something else.
    """
    before = _read(run / HISTORY)
    if before is not None and (before["asked"] != json.loads(federated.text()) or set(before["sites"]) not in (set(), set(sites))):
        raise OtherRun(f"{run} holds another federated training: {json.dumps(before['asked'])} over {', '.join(before['sites'])}")
    run.mkdir(parents=True, exist_ok=True)
    # nvflare takes its folders apart at blanks
    with tempfile.TemporaryDirectory(prefix="hilum-federated-") as made:
        there = Path(made)
        (there / "sites").mkdir()
        for name, one in sites.items():
            one.write(there / "sites", name)
            (one.runs / REFUSED).unlink(missing_ok=True)
        workspace = there / "workspace"
        allowed = {"format_version": 2, "class_allow_list": [*DEFAULT_CLASS_ALLOW_LIST, *CLASSES.values()]}
        (workspace / "local").mkdir(parents=True)
        _write(workspace / "local" / "resources.json", allowed)
        job = write_job(there / "job", federated, len(sites), str(run.resolve()))
        command = [sys.executable, "-m", "nvflare.private.fed.app.simulator.simulator", str(job), "-w", str(workspace)]
        command += ["-c", ",".join(sites), "-n", str(len(sites)), "-t", str(len(sites)), "-l", "concise"]
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
        environment = {**os.environ, SITES: str(there / "sites"), "PATH": path, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        (run / LOGS).mkdir(exist_ok=True)
        with (run / LOGS / _LOG).open("w", encoding="utf-8") as log:
            ended = subprocess.run(command, env=environment, stdout=log, stderr=subprocess.STDOUT, check=False)
        found = _kept(workspace / "server", run)
    if found is None or "failed" in found or not found.get("done"):
        failed = (found or {}).get("failed") or {}
        said = failed.get("message") or f"the simulation ended with {ended.returncode} before it was through"
        kind = OtherPlan if failed.get("code") == OtherPlan.code else SiteFailed
        # here all sites are one's own
        own = {name: one.runs / REFUSED for name, one in sites.items()}
        said = "; ".join([said, *(f"{name}: {path.read_text(encoding='utf-8').strip()}" for name, path in own.items() if path.is_file())])
        raise kind(f"{said}; what nvflare said lies in {run / LOGS / _LOG}")
    return found


def _kept(server: Path, run: Path) -> dict[str, Any] | None:
    """Take what the server kept into the run's folder; the history of the last."""
    found = None
    for name in (GLOBAL, HISTORY):
        for path in server.rglob(name):
            (run / f".{name}").write_bytes(path.read_bytes())
            os.replace(run / f".{name}", run / name)
            found = _read(run / HISTORY)
    return found


def _read(path: Path) -> dict[str, Any] | None:
    if not path.is_file():
        return None
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def _write(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
