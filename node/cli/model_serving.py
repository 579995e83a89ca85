"""`hilum models rollback|load|unload`: which version is served, and what a Triton server holds."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from node.cli.models import RepositoryOption, opened
from node.cli.opened import ConfigOption, JsonOption

if TYPE_CHECKING:
    from inference.engines.triton.control import Control, Held
    from node.settings.config import Config

EngineName = Annotated[str, Parameter(name="--engine", help="An engine of kind triton, by its name in `engines:`.")]


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
    from inference.engines.port import ModelRef
    from inference.engines.triton.control import with_versions

    with _control(engine, config) as (control, loaded):
        wanted = None
        if version is not None:
            held = {each.version for each in control.held(model) if each.state == "READY"}
            wanted = with_versions(loaded.models, ModelRef(name=model, version=version), sorted(held | {version}))
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
    from inference.engines.port import ModelRef
    from inference.engines.triton.control import with_versions
    from node.cli import screen

    with _control(engine, config) as (control, loaded):
        rest = sorted({each.version for each in control.held(model) if each.state == "READY"} - {version}) if version is not None else []
        if rest and version is not None:
            held = control.load(model, with_versions(loaded.models, ModelRef(name=model, version=version), rest))
        else:
            held = control.unload(model)
    ready = [each.version for each in held if each.state == "READY"]
    if as_json:
        screen.as_json({"model": model, "engine": engine, "ready": ready})
    else:
        screen.say(f"{model}: {engine} holds {screen.joined([f'version {each}' for each in ready]) if ready else 'no version of it'} now")
    return 1 if (version in ready or (version is None and ready)) else 0


@contextlib.contextmanager
def _control(engine: str, config: Path | None) -> Iterator[tuple["Control", "Config"]]:
    from node.assembly.compose import open_control
    from node.cli.opened import configuration

    loaded = configuration(config)
    with contextlib.closing(open_control(loaded, engine)) as control:
        yield control, loaded


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
