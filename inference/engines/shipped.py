"""Models that come with an application: a model repository among its files, as `hilum export` writes one."""

from dataclasses import replace
from pathlib import Path

from inference.engines.configtext import without_digests
from inference.engines.errors import UnreadableModel
from inference.engines.port import ModelRef, ModelSource
from inference.engines.repository import CARD, CONFIG, Repository
from inference.engines.serving import served


def shipped(folder: Path, model: ModelRef) -> ModelSource:
    """Where `hilum models import` finds a model that lies in the repository `folder`: the version that is served there.

    Licence, digest, golden run and card are what its entry and its card say: nothing about the weights is written twice.

    Raises
    ------
    ModelMissing, UnreadableModel
    """
    here = Repository(folder)
    version = replace(model, version=served(folder, model.name).version)
    entry = here.entry(version)
    if entry is None:
        raise UnreadableModel(f"{folder / model.name} says nothing of its version {version.version}")
    config = (folder / model.name / CONFIG).read_text(encoding="utf-8")
    _, _, card = (folder / model.name / CARD).read_text(encoding="utf-8").partition("\n\n")
    return ModelSource(
        model=model,
        sha256=entry.source_sha256,
        licence=entry.licence,
        attribution=entry.attribution,
        config=without_digests(config),
        file=entry.file,
        shipped=here.weights(version),
        golden=entry.golden,
        card=card,
        beside={
            each.name: each
            for each in sorted((folder / model.name / str(version.version)).iterdir())
            if each.is_file() and each.name != entry.file
        },
    )
