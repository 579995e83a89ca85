"""What one reading of a held-out case gives: what the served application says of it, and what others that are compared with it see."""

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from inference.applications.bundle.views import shows
from inference.applications.serving import as_served
from inference.engines.embedded.engine import EmbeddedEngine
from inference.engines.errors import NotFinite
from inference.findings import Findings
from inference.imaging.subject import Images, VolumeSet
from training.compute import device_of
from training.data.cases import Case
from training.infer import EngineInfer, naming
from training.progress import Step
from training.recipe import Recipe
from training.tabled.features import described

_BATCH = 64


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HeldOut:
    """One case.

    Attributes
    ----------
    findings
        By the application, with the model that is served.
    image
        What a network of the run sees.
    features
        What a classical baseline sees (`tabled.features`).
    without
        What the application says where one of its roles is not there, of each that may be missing and is there.
    """

    case: Case
    attributes: Mapping[str, str]
    findings: Findings
    image: NDArray[np.float32]
    features: NDArray[np.float64]
    without: Mapping[str, Findings]


def held_out(recipe: Recipe, cases: Sequence[Case], repository: Path, step: Step, optional: Sequence[str] = ()) -> Iterator[HeldOut]:
    """Read each case once, and ask the application of it with the model that `repository` serves; and without each role that is `optional`,
    where it is there."""
    application = as_served(recipe.application, repository)
    with closing(EmbeddedEngine(repository)) as engine:
        infer = EngineInfer(engine)
        for case in cases:
            labelled = case.load()
            with naming(case):
                image = recipe.example(labelled).image
                found = application.analyse(labelled.subject, infer)
                lacking = {role: lesser for role in optional if (lesser := _lacking(labelled.subject, role)) is not None}
                without = {role: application.analyse(lesser, infer) for role, lesser in lacking.items()}
            yield HeldOut(case=case, attributes=labelled.attributes, findings=found, image=image, features=features(image), without=without)
            step(case.name, len(cases))


def as_without(each: HeldOut, role: str) -> HeldOut:
    """A case with what is said of it where a role is not there."""
    return replace(each, findings=each.without[role])


def _lacking(subject: VolumeSet | Images, role: str) -> VolumeSet | Images | None:
    """A case without a role; None where it has none."""
    if isinstance(subject, VolumeSet):
        others = {name: volume for name, volume in subject.volumes.items() if name != role}
        return replace(subject, volumes=others) if role in subject else None
    left = tuple(image for image in subject.images if not shows(image, role))
    return replace(subject, images=left) if len(left) < len(subject.images) else None


def features(image: NDArray[np.float32]) -> NDArray[np.float64]:
    """What a classical baseline sees of what a network is shown, (C, Y, X) or (C, Z, Y, X): the same of each channel."""
    return np.concatenate([described(channel[None] if channel.ndim == 2 else channel) for channel in image])


def outputs(network: Any, shown: Iterable[tuple[Case, NDArray[np.float32]]]) -> NDArray[np.float32]:
    """What a network says of what it is shown of each case, (N, K).

    Raises
    ------
    NotFinite
        It gives values of a case that are no numbers: a figure over them would be none, and the run would go on without a best epoch.
    """
    network.eval()
    found, those = [], iter(shown)
    with torch.inference_mode():
        while some := tuple(itertools.islice(those, _BATCH)):
            images = torch.from_numpy(np.stack([image for _, image in some]))
            told = network(images.to(device_of(network))).cpu().numpy()
            for (case, _), each in zip(some, told, strict=True):
                if not np.isfinite(each).all():
                    raise NotFinite(f"case {case.name}: the network gives values that are no numbers, or are infinite")
            found.append(told)
    return np.concatenate(found)
