"""`models:` the model repository, and further folders of applications."""

from dataclasses import dataclass
from pathlib import Path

from node.settings.blocks import Block, Key
from node.settings.kinds import FilePath, Several

REPOSITORY = "models"
"""The repository's folder where none is named, beside the configuration."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Models:
    repository: Path
    applications: tuple[Path, ...]

    @property
    def folders(self) -> tuple[Path, ...]:
        """Where applications are looked for: imported bundles lie in the model repository itself."""
        return *self.applications, self.repository


def _models(*, repository: Path, applications: tuple[Path, ...]) -> Models:
    return Models(repository=repository, applications=applications)


MODELS = Block(
    build=_models,
    keys=(
        Key(
            name="repository",
            kind=FilePath(),
            default=REPOSITORY,
            says="The model repository, in Triton's layout. `hilum models import` fills it.",
        ),
        Key(
            name="applications",
            kind=Several(of=FilePath()),
            default="[]",
            says="Folders with applications of your own, besides those that come with hilum and those of installed packages.",
        ),
    ),
)
