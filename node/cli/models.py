"""`hilum models list|rollback|load|unload|convert|verify`: what the model repository holds and serves, a model in another format, and
whether the repository still holds what it held and both engines compute what was computed at import.
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

from cyclopts import Parameter

from node.cli.opened import ConfigOption, JsonOption

if TYPE_CHECKING:
    from inference.applications.standing import Standing, Standings
    from inference.engines.port import Control, Engine, Held
    from inference.engines.repository import Listed, Repository
    from inference.engines.serving import Served


RepositoryOption: TypeAlias = Annotated[
    Path | None, Parameter(name="--repository", help="The model repository's folder (default: the configuration's `models: repository`).")
]
EngineName = Annotated[str, Parameter(name="--engine", help="An engine of kind triton, by its name in `engines:`.")]
_LICENCES = ("code", "weights", "data", "commercial")
_SPARE = ("sha256", "code", "format", "commercial", "weights", "data", "grade")
"""Columns that a narrow screen does without, the first one first; `--json` has all of it."""


def list_models(
    *,
    catalogue: Annotated[bool, Parameter(negative="")] = False,
    repository: RepositoryOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> int:
    """List the models of the repository: version, which one is served, grade, format, digest, licences, where they came from.

    Grade is what the application that calls the model says of itself, research or demonstration; or "accepted here", where somebody has
    accepted it with this version (`hilum models accept`). Three licences are told apart: code,
    weights, training data; and whether they allow commercial use (yes, no, unknown). "–" is what nobody has said.

    Containers stand among them, with contract, image and digest.

    `backend` of --json is what a Triton server computes a model with, whatever the embedded engine takes.

    The catalogue is what others have published: each says under which licences, and whether it has been fetched.

    Parameters
    ----------
    catalogue
        List the catalogue, for `hilum models fetch`, in place of the repository.
    """
    from inference.applications.standing import Standings
    from inference.engines.repository import Repository
    from node.cli import screen
    from node.cli.opened import configuration

    folders: Sequence[Path]
    if catalogue:
        from node.cli.model_catalogue import list_catalogue

        return list_catalogue(repository, config, as_json=as_json)
    if repository is None:
        loaded = configuration(config)
        repository, folders = loaded.models, loaded.application_folders
    else:
        folders = [repository]
    found = Repository(repository)
    listed = found.list()
    standings = Standings(found.path, folders)
    contained = [*_containers(found.path)]
    if as_json:
        records = [_record(each, found.path, standings.of(each)) for each in listed]
        screen.as_json([*records, *(each.record for each in contained)])
        return 0
    _print_models(listed, found.path, standings, [each.row for each in contained])
    screen.say("what others have published, and has not been fetched: `hilum models list --catalogue`")
    return 0


def _print_models(listed: "Sequence[Listed]", repository: Path, standings: "Standings", contained: Sequence[dict[str, str]]) -> None:
    from node.cli import screen

    console = screen.out()
    if not listed and not contained:
        console.print(f"no models in {repository}: `hilum models import APPLICATION` brings them in")
        return
    rows = []
    for each in listed:
        entry = each.entry
        told = each.problem or (entry.source if entry else "(no hilum.json beside it: served, but nobody wrote down what it is)")
        standing = standings.of(each)
        row = {"model": each.model.name, "version": str(each.model.version), "serves": _serves(each, repository)}
        row |= {
            "grade": "accepted here" if standing.accepted else standing.grade or "–",
            "format": entry.format if entry else "",
            "sha256": entry.sha256[:12] if entry else "",
        }
        row |= {one: getattr(standing.licences, one) or "–" for one in _LICENCES}
        rows.append(row | {"from": told})
    console.print(screen.listing([*rows, *contained], _SPARE))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Contained:
    """A container of the repository, for a program and for people."""

    record: dict[str, Any]
    row: dict[str, str]


def _containers(repository: Path) -> Iterator[_Contained]:
    from inference.applications.container.errors import BrokenContainerManifest
    from inference.applications.container.manifest import entered_in

    for name, said in entered_in(repository):
        row = {"model": name, "version": "", "serves": "", "grade": "–", "format": "container", "sha256": ""}
        record: dict[str, Any] = {"model": name, "backend": "container", "applications": [name]}
        if isinstance(said, BrokenContainerManifest):
            yield _Contained(record={**record, "problem": str(said)}, row={**row, **dict.fromkeys(_LICENCES, "–"), "from": str(said)})
            continue
        digest = said.image.rpartition(":")[2]
        row |= {
            "version": said.version,
            "serves": "yes",
            "grade": said.grade,
            "format": f"container, {said.contract}",
            "sha256": digest[:12],
        }
        row |= {one: getattr(said.licences, one) or "–" for one in _LICENCES}
        record |= {"version": said.version, "problem": "", "serving": True, "grade": said.grade, "licences": asdict(said.licences)}
        told = {"image": said.image, "digest": f"sha256:{digest}", "contract": said.contract.value}
        yield _Contained(record={**record, "container": told}, row={**row, "from": said.image})


def opened(repository: Path | None, config: Path | None) -> "Repository":
    """The repository that an option names, or the configuration's."""
    from inference.engines.repository import Repository
    from node.cli.opened import configuration

    return Repository(repository if repository is not None else configuration(config).models)


def _record(listed: "Listed", repository: Path, standing: "Standing") -> dict[str, Any]:
    from inference.engines.repository import entry_to_json

    known = {"model": listed.model.name, "version": listed.model.version, "backend": listed.backend, "problem": listed.problem}
    served = _served(listed, repository)
    serving = {"serving": served.version == listed.model.version, "history": [asdict(line) for line in served.history]} if served else {}
    stands = {
        "applications": list(standing.applications),
        "grade": standing.grade or None,
        "accepted": list(standing.accepted),
        "licences": asdict(standing.licences),
    }
    return {**known, **serving, **stands, **(entry_to_json(listed.entry) if listed.entry else {})}


def _serves(listed: "Listed", repository: Path) -> str:
    """Whether the version is the one that is served, and since when where somebody chose it."""
    served = _served(listed, repository)
    if served is None or served.version != listed.model.version:
        return ""
    line = served.history[-1] if served.history else None
    return "yes" if line is None or line.why == "imported" else f"since {line.at[:16].replace('T', ' ')} UTC: {line.why} by {line.by}"


def _served(listed: "Listed", repository: Path) -> "Served | None":
    from inference.engines.errors import ModelMissing, UnreadableModel
    from inference.engines.serving import served

    try:
        return served(repository, listed.model.name)
    except (ModelMissing, UnreadableModel):  # the listing itself says what is wrong with it
        return None


def convert(
    model: str,
    *,
    to: Literal["onnx", "pt2"],
    version: int | None = None,
    out: Path = Path(),
    tolerance: float | None = None,
    repository: RepositoryOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> int:
    """Write a model in another format: the file, a config.pbtxt for it, and how far its answers are from the original's.

    TorchScript becomes ONNX or pt2, torch.export (pt2) becomes ONNX. Sides that config.pbtxt leaves open stay open. Nothing is written
    when the largest difference is above the tolerance. To serve it: `hilum models import FILE --config-pbtxt CONFIG --name NAME`.

    Parameters
    ----------
    model
        Its name in the repository.
    to
        The format.
    version
        Without it, the version that is served.
    out
        The folder for the files; made where it is not there.
    tolerance
        Largest absolute difference of an output that is accepted (default 0.001).
    """
    from dataclasses import asdict

    from inference.engines.exporting import TOLERANCE, export_model
    from inference.engines.port import ModelRef
    from inference.engines.serving import served
    from node.cli import screen

    path = opened(repository, config).path
    ref = ModelRef(name=model, version=served(path, model).version if version is None else version)
    made = export_model(path, ref, to, tolerance=TOLERANCE if tolerance is None else tolerance)
    out.mkdir(parents=True, exist_ok=True)
    file = out / f"{model}-{ref.version}{Path(made.file).suffix}"
    file.write_bytes(made.content)
    described = file.with_suffix(".pbtxt")
    described.write_text(made.config, encoding="utf-8")
    if as_json:
        screen.as_json({"file": str(file), "config": str(described), "difference": asdict(made.difference)})
        return 0
    far = made.difference
    agreement = "" if far.argmax_agreement is None else f", {far.argmax_agreement:.4%} of the largest channels are the same"
    screen.say(f"{file}: differs by {far.largest:.3g} at most, {far.mean:.3g} on average over {far.inputs} inputs{agreement}")
    return 0


def rollback(
    model: str,
    *,
    to: int | None = None,
    why: str = "rolled back",
    repository: RepositoryOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> int:
    """Serve another version of a model from now on: the one before, or --to; a second rollback undoes the first.

    Applications that are imported bundles, and others that follow the repository, use it from their next job on, under the UIDs of that
    version. A job that has its findings keeps the version that made them; if it has no objects yet it is parked, and
    `hilum jobs retry JOB --afresh` analyses it anew. Applications that pin a version in their manifest keep it.

    Parameters
    ----------
    model
        Its name in the repository.
    to
        The version; without it, the one that was served before.
    why
        The reason, for the model's history.
    """
    from inference.engines.serving import roll_back, served
    from node.cli import screen

    path = opened(repository, config).path
    before = served(path, model)
    after = roll_back(path, model, to, why=why)
    if as_json:
        screen.as_json(
            {"model": model, "was": before.version, "serving": after.version, "history": [_line(line) for line in after.history]}
        )
    elif before.version == after.version:
        screen.say(f"{model}: version {after.version} is served already")
    else:
        screen.say(f"{model}: version {after.version} is served from the next job on, before it was {before.version}")
    return 0


def load(model: str, *, engine: EngineName, version: int | None = None, config: ConfigOption = None, as_json: JsonOption = False) -> int:
    """Have a Triton server load a model from its repository, or load it anew; calls under way are answered by what it held.

    Parameters
    ----------
    model
        Its name.
    version
        This version alone, beside those that the server holds; without it, what config.pbtxt says.
    """
    with _control(engine, config) as control:
        wanted = None
        if version is not None:
            wanted = {each.version for each in control.held(model) if each.state == "READY"} | {version}
        return _told(model, engine, control.load(model, wanted), version, as_json=as_json)


def unload(model: str, *, engine: EngineName, version: int | None = None, config: ConfigOption = None, as_json: JsonOption = False) -> int:
    """Have a Triton server let go of a model; calls under way are answered first. Jobs that need it wait, or load it again.

    Parameters
    ----------
    model
        Its name.
    version
        This version alone; the others stay.
    """
    from node.cli import screen

    with _control(engine, config) as control:
        rest = sorted({each.version for each in control.held(model) if each.state == "READY"} - {version}) if version is not None else []
        held = control.load(model, rest) if rest else control.unload(model)
    ready = [each.version for each in held if each.state == "READY"]
    if as_json:
        screen.as_json({"model": model, "engine": engine, "ready": ready})
    else:
        screen.say(f"{model}: {engine} holds {screen.joined([f'version {each}' for each in ready]) if ready else 'no version of it'} now")
    return 1 if (version in ready or (version is None and ready)) else 0


@contextlib.contextmanager
def _control(engine: str, config: Path | None) -> Iterator["Control"]:
    from node.assembly.compose import open_control
    from node.cli.opened import configuration

    loaded = configuration(config)
    with contextlib.closing(open_control(loaded, engine)) as control:
        yield control


def _told(model: str, engine: str, held: "tuple[Held, ...]", version: int | None, *, as_json: bool) -> int:
    from node.cli import screen

    good = any(each.state == "READY" and version in (None, each.version) for each in held)
    if as_json:
        states = [{"version": each.version, "state": each.state, "reason": each.reason} for each in held]
        screen.as_json({"model": model, "engine": engine, "versions": states})
        return 0 if good else 1
    for each in held:
        screen.say(f"{model} version {each.version} on {engine}: {each.state.lower()}{f' ({each.reason})' if each.reason else ''}")
    return 0 if good else 1


def _line(change: object) -> dict[str, object]:
    from dataclasses import asdict

    return asdict(change)  # type: ignore[call-overload,no-any-return]


def verify(
    *model: str,
    run: Annotated[bool, Parameter(negative="--no-run")] = True,
    engine: str | None = None,
    tolerance: float = 1e-3,
    repository: RepositoryOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> int:
    """Recompute the digests, and run a known input through each model; exit code 1 when anything differs.

    Licence and model card are looked for, too: a model without them is named, and is no failure.

    Parameters
    ----------
    model
        Only models of these names.
    run
        Run the known input; --no-run compares digests only.
    engine
        Run it on this engine of the configuration, too, and compare the outputs of both, value by value.
    tolerance
        Largest difference of an output between the two engines, as a share of the range of its values.
    """
    from inference.engines.embedded.engine import EmbeddedEngine
    from inference.engines.errors import ModelMissing
    from inference.engines.repository import Repository
    from node.assembly.compose import model_limits, open_engine
    from node.cli import screen
    from node.cli.opened import configuration

    with contextlib.ExitStack() as stack:
        other, limits = None, None
        if engine is not None or repository is None:
            loaded = configuration(config)
            repository = repository or loaded.models
            limits = model_limits(loaded)
            other = stack.enter_context(contextlib.closing(open_engine(loaded, engine))) if engine is not None else None
        opened = Repository(repository)
        wanted = [each for each in opened.list() if not model or each.model.name in model]
        absent = set(model) - {each.model.name for each in wanted}
        if absent:
            raise ModelMissing(f"{', '.join(sorted(absent))}: not in the repository {opened.path}")
        embedded = stack.enter_context(contextlib.closing(EmbeddedEngine(opened.path, limits=limits)))
        judge = _Judge(repository=opened, embedded=embedded, other=other, run=run, tolerance=tolerance)
        verdicts = [judge.verdict(each) for each in wanted]
    if as_json:
        screen.as_json(verdicts)
    else:
        console = screen.out()
        table = screen.table("", "model", "version", "verdict")
        for verdict in verdicts:
            table.add_row(screen.mark(verdict["good"]), verdict["model"], str(verdict["version"]), verdict["reason"])
        console.print(table if verdicts else f"no models in {opened.path}")
    return 0 if all(verdict["good"] for verdict in verdicts) else 1


@dataclass(frozen=True, slots=True, kw_only=True)
class _Judge:
    """What verdicts are made with."""

    repository: "Repository"
    embedded: "Engine"
    other: "Engine | None"
    run: bool
    tolerance: float

    def verdict(self, listed: "Listed") -> dict[str, Any]:
        from inference.errors import HilumError

        said: dict[str, Any] = {"model": listed.model.name, "version": listed.model.version, "good": True, "code": None}
        try:
            return {**said, **self._looked_at(listed)}
        except HilumError as wrong:
            return {**said, "good": False, "code": wrong.code, "reason": f"{wrong} [{wrong.code}]"}

    def _looked_at(self, listed: "Listed") -> dict[str, Any]:
        from inference.engines.golden import check_golden

        entry = self.repository.verify(listed.model)
        if entry is None:
            return {"reason": "no hilum.json beside it: nothing to compare with"}
        reason = ["digest as imported"]
        more: dict[str, Any] = {"licence": entry.licence, "card": (self.repository.path / listed.model.name / "README.md").is_file()}
        if self.run and entry.golden is not None:
            check_golden(self.embedded, self.repository, listed.model, entry.golden)
            reason[0] += "; the known input gives the known output"
            more["difference"] = self._difference(listed, more, reason)
        if not entry.licence:
            reason.append("no licence is said")
        if not more["card"]:
            reason.append("there is no model card")
        return {"reason": "; ".join(reason), **more}

    def _difference(self, listed: "Listed", more: dict[str, Any], reason: list[str]) -> float | None:
        """The largest difference between the two engines' outputs for the known input; None without a second engine."""
        if self.other is None:
            return None
        from inference.engines.golden import golden_input

        entry, config = self.repository.entry(listed.model), self.repository.config(listed.model)
        assert entry is not None
        assert entry.golden is not None
        golden = entry.golden
        inputs = {tensor.name: golden_input(golden.shape, tensor.dtype, golden.scale) for tensor in config.inputs}
        self.other.check(listed.model)
        here, there = self.embedded.infer(listed.model, inputs), self.other.infer(listed.model, inputs)
        far = _largest(here, there)
        spread = max((float(array.max()) - float(array.min()) for array in here.values() if array.size), default=0.0)
        if not far <= self.tolerance * max(spread, 1e-30):
            more |= {"good": False, "code": "HLM-4107"}
        reason.append(f"the engines differ by {far:.3g} at most, of a range of {spread:.3g}")
        return far


def _largest(here: Mapping[str, Any], there: Mapping[str, Any]) -> float:
    import numpy as np

    return max(
        float(np.abs(array.astype(np.float64) - there[name].astype(np.float64)).max(initial=0.0))
        if array.shape == there[name].shape
        else float("inf")
        for name, array in here.items()
    )
