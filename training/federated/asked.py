"""What a federated training is asked for: what the server tells every site, as JSON; and what a site says of itself."""

import json
import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from training.errors import UnfitSetting
from training.planning import Asked

SITES = "HILUM_SITES"
"""The variable of the environment that names the folder with a site's own file, NAME.json."""
REFUSED = "refused.txt"
"""In a site's folder of runs: why it could not go on. The sentence may name cases and files, and does not leave the site."""
DELTA = 1e-5
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Privacy:
    """Differentially private steps at every site (Abadi and others 2016): (`epsilon`, `delta`) for the whole training of one site, each
    gradient of a case being no longer than `norm`."""

    epsilon: float
    delta: float = DELTA
    norm: float = 1.0

    def checked(self) -> "Privacy":
        """What can be asked for.

        Raises
        ------
        UnfitSetting
        """
        if not 0.01 <= self.epsilon <= 100:
            raise UnfitSetting(f"--epsilon {self.epsilon:g}: from 0.01 to 100; some 1 to 10 is what is called private")
        return self


@dataclass(frozen=True, slots=True, kw_only=True)
class Federated:
    """A training over several sites: `rounds` of `local_epochs` each, between which weights are averaged."""

    recipe: str
    run: str
    rounds: int
    local_epochs: int
    seed: int = 0
    batch: int | None = None
    learning_rate: float | None = None
    precision: str = "float32"
    asked: Asked
    privacy: Privacy | None = None

    def checked(self) -> "Federated":
        """What can be asked for.

        Raises
        ------
        UnfitSetting
        """
        for name, count in (("rounds", self.rounds), ("local-epochs", self.local_epochs)):
            if count < 1:
                raise UnfitSetting(f"--{name} {count}: 1 at the least")
        site_name(self.run)
        return self

    def text(self) -> str:
        """As JSON."""
        return json.dumps(asdict(self), sort_keys=True)


def of_text(text: str) -> Federated:
    """What a server told."""
    said: dict[str, Any] = json.loads(text)
    asked: Mapping[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in said.pop("asked").items()}
    privacy = said.pop("privacy")
    return Federated(asked=Asked(**asked), privacy=None if privacy is None else Privacy(**privacy), **said).checked()


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """What a site says of itself, and nobody else is told: where its data lie, and where its runs go."""

    data: Path
    runs: Path
    labels: str | None = None
    device: str = "auto"

    def write(self, folder: Path, name: str) -> None:
        """Keep it as NAME.json."""
        said = {"data": str(self.data), "runs": str(self.runs), "labels": self.labels, "device": self.device}
        (folder / f"{name}.json").write_text(json.dumps(said, indent=2) + "\n", encoding="utf-8")


def site(name: str) -> Site:
    """What the site of this name says of itself.

    Raises
    ------
    UnfitSetting
        There is no such file, or it says something else.
    """
    folder = os.environ.get(SITES)
    if folder is None:
        raise UnfitSetting(f"{SITES} names no folder: name the one with {name}.json in the environment that nvflare's client is started in")
    path = Path(folder) / f"{name}.json"
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
        return Site(data=Path(said.pop("data")), runs=Path(said.pop("runs")), **said)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as broken:
        raise UnfitSetting(f'{path} is not a site\'s file, {{"data": FOLDER, "runs": FOLDER}}: {broken!r}') from broken


def site_name(name: str) -> str:
    """A name of a site, or of a run.

    Raises
    ------
    UnfitSetting
    """
    if not _NAME.fullmatch(name):
        raise UnfitSetting(f'"{name}" is no name of a site or a run: letters, digits, ".", "_" and "-", 63 at the most')
    return name
