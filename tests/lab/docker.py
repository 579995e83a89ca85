"""The files of docker/ as those programs read them that no test can run: instructions of the Dockerfile, services, the unit."""

import json
import re
import shlex
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docker"
UNIT = ROOT / "config" / "hilum.service"


def instructions() -> list[tuple[int, str, str]]:
    """Every instruction of the Dockerfile: its stage (-1 before the first FROM), its word, and the rest, continued lines joined."""
    text = re.sub(r"^\s*#.*\n", "", (FOLDER / "Dockerfile").read_text(encoding="utf-8"), flags=re.MULTILINE)
    stage, found = -1, []
    for line in re.sub(r"\\\n\s*", " ", text).splitlines():
        if line.strip():
            word, _, rest = line.strip().partition(" ")
            stage += word == "FROM"
            found.append((stage, word, rest.strip()))
    return found


def words_of(instruction: str) -> list[str]:
    """The words of ENTRYPOINT, CMD or HEALTHCHECK in the last stage, which are JSON lists."""
    last = max(stage for stage, _, _ in instructions())
    (rest,) = [rest for stage, word, rest in instructions() if word == instruction and stage == last]
    words: list[str] = json.loads(rest[rest.index("[") :])
    return words


def services() -> dict[str, dict[str, Any]]:
    """The services of compose.yaml, merge keys applied: the set without a GPU."""
    found: dict[str, dict[str, Any]] = compose()["services"]
    return found


def gpu_services() -> dict[str, dict[str, Any]]:
    """The services under compose.gpu.yaml: what it says of one replaces key by key, and a mount the one of the same target."""
    found = {name: dict(service) for name, service in services().items()}
    for name, over in compose("compose.gpu.yaml")["services"].items():
        service = found.setdefault(name, {})
        mounts = {mount.split(":")[1]: mount for mount in [*service.get("volumes", []), *over.get("volumes", [])]}
        service |= over | {"volumes": list(mounts.values())}
    return found


def compose(name: str = "compose.yaml") -> dict[str, Any]:
    """A compose file as it stands."""
    loaded: dict[str, Any] = YAML(typ="safe").load(FOLDER / name)
    return loaded


def unit() -> dict[str, list[str]]:
    """The settings of the systemd unit, each with its values in order."""
    found: dict[str, list[str]] = {}
    for line in UNIT.read_text(encoding="utf-8").splitlines():
        if "=" in line and not line.startswith("#"):
            key, _, value = line.partition("=")
            found.setdefault(key, []).append(value)
    return found


def unit_words(key: str) -> list[str]:
    """The command of ExecStart or ExecStartPre."""
    (value,) = unit()[key]
    return shlex.split(value)
