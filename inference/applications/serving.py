"""An application whose manifest follows the repository (`ModelRef(version=SERVING)`), with the versions that are served now."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from inference.applications.port import Application, Infer, ModelRef, Tensors
from inference.engines.calling import room_of
from inference.engines.port import SERVING, Call
from inference.engines.serving import resolved
from inference.findings import Explanation, Findings, Uncertainty
from inference.imaging.subject import Subject


def as_served(application: Application, repository: Path) -> Application:
    """The application as it runs now; one that pins all its models is returned as it is.

    Its version then also names the models' versions, so that findings of one and objects of another never go together.

    Raises
    ------
    ModelMissing, UnreadableModel
    """
    if all(model.version != SERVING for model in application.models):
        return application
    versions = resolved(application.models, repository)

    def analyse(subject: Subject, infer: Infer) -> Findings:
        return application.analyse(subject, _Following(infer, versions))

    def explain(subject: Subject, infer: Infer) -> tuple[Explanation, ...]:
        return application.explain(subject, _Following(infer, versions)) if application.explain is not None else ()

    def unsure(subject: Subject, infer: Infer) -> tuple[Uncertainty, ...]:
        return application.unsure(subject, _Following(infer, versions)) if application.unsure is not None else ()

    numbers = ".".join(str(versions[model].version) for model in application.models if model.version == SERVING)
    return replace(
        application,
        models=tuple(versions.values()),
        version=f"{application.version}+model.{numbers}",
        analyse=analyse,
        explain=None if application.explain is None else explain,
        unsure=None if application.unsure is None else unsure,
    )


@dataclass(frozen=True, slots=True)
class _Following:
    """Calls of a model that is followed go to the version that was served when the job began."""

    infer: Infer
    versions: dict[ModelRef, ModelRef]

    def __call__(self, model: ModelRef, tensors: Tensors, /) -> Mapping[str, NDArray[Any]]:
        return self.infer(self.versions.get(model, model), tensors)

    def at_once(self, model: ModelRef) -> int:
        return self.infer.at_once(self.versions.get(model, model))

    def call_of(self, model: ModelRef) -> Call | None:
        return self.infer.call_of(self.versions.get(model, model))

    def room_of(self, model: ModelRef) -> int | None:
        return room_of(self.infer, self.versions.get(model, model))
