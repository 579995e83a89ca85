"""`applications:` how an application runs here, where it has an entry; `models:` the model repository, and folders of applications."""

from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from node.settings.blocks import Key, Named, block, declared, needed, setting
from node.settings.kinds import DURATION, Choice, FilePath, Reference, Several, whole

_ENGINE = Key(name="engine", kind=Reference(to="engines", noun="engine"), default="default", says="The engine that runs its models.")
REPOSITORY = "models"
"""The repository's folder where none is named, beside the configuration."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplicationSettings:
    """How one application runs here. `attempts` claims before a job fails. `parts` in place of what its manifest says."""

    name: str
    engine: str = field(default="default", metadata=declared(_ENGINE))
    attempts: int = setting(
        whole(1, 100), default="3", says="How often a job is begun before it is parked; an engine that is away does not count."
    )
    timeout: timedelta = setting(DURATION, default="15m", says="How long one analysis may take.")
    parts: str | None = setting(
        Choice(of=("refuse", "each", "b0")),
        says="What it takes of a series that holds several volumes of one place, or several loops: none of them (`refuse`), `each` on its "
        "own, or of a diffusion series the volume at b = 0 (`b0`). Without it, what the application's manifest says.",
    )


APPLICATIONS = Named(noun="application", known="applications", of=block(ApplicationSettings, build=ApplicationSettings))


@dataclass(frozen=True, slots=True, kw_only=True)
class Models:
    """The model repository, and folders of applications besides those that come with hilum."""

    repository: Path = field(
        metadata=needed(FilePath(), default=REPOSITORY, says="The model repository, in Triton's layout. `hilum models import` fills it.")
    )
    applications: tuple[Path, ...] = setting(
        Several(of=FilePath()),
        default="[]",
        says="Folders with applications of your own, besides those that come with hilum and those of installed packages.",
    )

    @property
    def folders(self) -> tuple[Path, ...]:
        """Where applications are looked for: imported bundles lie in the model repository itself."""
        return *self.applications, self.repository


MODELS = block(Models, build=Models)
