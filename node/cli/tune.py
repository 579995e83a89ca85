"""`hilum models tune`: measure in which way this machine computes a model best, and enter that in the repository."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from node.cli.models import RepositoryOption
from node.cli.opened import ConfigOption, JsonOption

if TYPE_CHECKING:
    from inference.applications.port import Application, ModelRef, Tensors
    from inference.engines.embedded.engine import EmbeddedEngine
    from inference.engines.jail.model import Limits
    from inference.engines.measured import Measured
    from inference.engines.port import Call
    from inference.engines.repository import Repository
    from inference.imaging.subject import Subject


def tune(
    *model: str,
    precision: Literal["f32", "bf16"] = "f32",
    series: Path | None = None,
    threads: int | None = None,
    forget: Annotated[bool, Parameter(negative="")] = False,
    repository: RepositoryOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> int:
    """Measure in which way this machine computes models best, and enter it: engines that are opened from now on go by it.

    Every way has to give the model's own answers: within 0.001 of the outputs' range, masks with a Dice of 0.999 at least. Studies that
    are analysed again after this may get results with other last digits, and so other UIDs.

    Parameters
    ----------
    model
        Only models of these names; without one, all of the repository.
    precision
        bf16 also tries half the digits: sooner on processors that have instructions for it, and only where the masks stay the same.
    series
        A folder of DICOM images that the model's application accepts: measure and judge with it, instead of with made inputs.
    threads
        For one computation; otherwise what the node would use.
    forget
        Measure nothing; take out what was measured: the models are computed by their own libraries again.
    """
    from inference.engines.errors import ModelMissing
    from inference.engines.jail.model import Limits
    from inference.engines.repository import Repository
    from node.cli import screen

    folders: tuple[Path, ...] = ()
    workers, limits = 1, Limits.usual()
    if repository is None:
        from node.assembly.compose import model_limits
        from node.cli.opened import configuration

        loaded = configuration(config)
        repository, folders, workers = loaded.models, loaded.application_folders, loaded.node.workers
        limits = model_limits(loaded)
    from inference.engines.processors import threads_each

    opened = Repository(repository)
    wanted = [each.model for each in opened.list() if not each.problem and (each.model.name in model or not model)]
    absent = set(model) - {each.name for each in wanted}
    if absent:
        raise ModelMissing(f"{', '.join(sorted(absent))}: not in the repository {opened.path}, or not usable there")
    singles = [each for each in wanted if model or _measurable(opened, each)]
    if forget:
        from inference.engines.measured_entry import forget_measured as take_out

        for each in singles:
            take_out(opened, each)
            if not as_json:
                screen.say(f"{each.name} version {each.version}: by its own library")
        if as_json:
            screen.as_json([{"model": each.name, "version": each.version} for each in singles])
        return 0
    recorded = _Recorded(opened, series, folders, limits) if series else None
    records = [_tuned(opened, each, precision, recorded, threads or threads_each(workers), limits, quiet=as_json) for each in singles]
    if as_json:
        screen.as_json(records)
    return 0


def tune_imported(repository: Path, models: Iterable["ModelRef"], *, allow_code: bool, quiet: bool) -> None:
    """Measure what was just imported, unless this machine has measured that very model before.

    Where the models' own library is not installed, as on a host that only hands them to a Triton server, nothing is measured.
    """
    from inference.engines.errors import LibraryNotInstalled
    from inference.engines.jail.model import Limits
    from inference.engines.processors import usable_cores
    from inference.engines.repository import Repository
    from node.cli import screen

    opened = Repository(repository)
    for model in models:
        entry = opened.entry(model)
        if entry is not None and _measurable(opened, model) and (entry.embedded is None or entry.embedded.elsewhere()):
            try:
                _tuned(opened, model, "f32", None, usable_cores(), Limits.usual(allow_code=allow_code), quiet=quiet)
            except LibraryNotInstalled as absent:
                if not quiet:
                    screen.say(f"not measured: {absent}")


def _measurable(repository: "Repository", model: "ModelRef") -> bool:
    """Whether made inputs can judge a model: it has a golden output. Steps before and behind a network have none: numbers out of noise
    are no sizes of anything."""
    entry = repository.entry(model)
    return entry is not None and entry.golden is not None and not repository.config(model).steps


class _Recorded:
    """A real series, and what the applications that know a model give it for that."""

    def __init__(self, repository: "Repository", folder: Path, folders: Sequence[Path], limits: "Limits") -> None:
        from inference.engines.embedded.engine import EmbeddedEngine
        from node.cli.ending import NothingFound

        files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
        if not files:
            raise NothingFound(f"{folder} holds no files")
        self._folders = folders
        self._infer = _Direct(EmbeddedEngine(repository.path, limits=limits), repository)
        self._files = files
        self._subjects: dict[tuple[str, str], Subject] = {}

    def inputs(self, model: "ModelRef") -> "Sequence[Tensors]":
        from inference.applications.recording import inputs_of

        for application in self._applications(model):
            if found := inputs_of(application, self._subject(application), self._infer, model):
                return [*found, found[-1]] if len(found) == 1 else found
        return ()

    def _applications(self, model: "ModelRef") -> "Iterable[Application]":
        from inference.applications import catalog
        from inference.applications.accept import check
        from inference.applications.errors import BrokenApplication

        for name in catalog.names(self._folders):
            try:
                application = catalog.load(name, self._folders)
            except BrokenApplication:
                continue  # whatever is wrong with another application
            if model in application.models:
                check(application, self._subject(application))
                yield application

    def _subject(self, application: "Application") -> "Subject":
        """The series as the application takes it; the first part of one that is split."""
        from inference.imaging.header import read_instance
        from inference.imaging.subjects import subjects

        accepts = application.accepts
        if (accepts.takes, accepts.parts) not in self._subjects:
            current = read_instance(self._files[0]).series_instance_uid
            made = subjects(accepts.takes, accepts.parts, self._files, current, roles=application.in_roles)
            self._subjects[accepts.takes, accepts.parts] = made[0].subject
        return self._subjects[accepts.takes, accepts.parts]

    @property
    def images(self) -> int:
        """Slices, images or frames of what was analysed."""
        from inference.imaging.subject import images_in

        return max(map(images_in, self._subjects.values()), default=0)


class _Direct:
    """The engine as an application calls it."""

    def __init__(self, engine: "EmbeddedEngine", repository: "Repository") -> None:
        self._engine = engine
        self._repository = repository

    def __call__(self, model: "ModelRef", tensors: "Tensors", /) -> dict[str, Any]:
        return self._engine.infer(model, tensors)

    def at_once(self, model: "ModelRef") -> int:
        return self._engine.load(model).at_once

    def call_of(self, model: "ModelRef") -> "Call | None":
        return self._repository.call_of(model)


def _tuned(
    repository: "Repository", model: "ModelRef", precision: str, recorded: _Recorded | None, threads: int, limits: "Limits", *, quiet: bool
) -> dict[str, Any]:
    from inference.engines.errors import PrecisionRefused
    from inference.engines.execution import Precision
    from inference.engines.measured import measured_to_json
    from inference.engines.measured_entry import enter_measured
    from inference.engines.tuning import tune
    from node.cli import screen

    real = recorded.inputs(model) if recorded else ()
    if recorded and not real:
        raise PrecisionRefused(f'no application gives "{model.name}" anything for this series: nothing to measure it with')
    measured = tune(
        repository,
        model,
        precision=Precision(precision),
        real=real,
        real_named=f"{screen.plural(len(real), 'input')} of a series of {screen.plural(recorded.images, 'image')}" if recorded else "",
        threads=threads,
        limits=limits,
        say=(lambda _: None) if quiet else (lambda line: screen.say(f"  {line}")),
    )
    enter_measured(repository, model, measured)
    if not quiet:
        screen.say(f"{model.name} version {model.version}: {measured.execution}{_faster(measured)}")
    return {"model": model.name, "version": model.version, **measured_to_json(measured)}


def _faster(measured: "Measured") -> str:
    """How much is gained over the slowest way that was offered."""
    chosen = measured.seconds[str(measured.execution)]
    slowest = max(measured.seconds.values())
    return f", {slowest / chosen:.1f} times as fast as the slowest" if slowest > chosen else ""
