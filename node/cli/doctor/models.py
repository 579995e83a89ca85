"""`hilum doctor` on what computes: engines, confinement on this machine, and the models of each application."""

import contextlib
import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from node.domain.health import Area, DoctorFinding
from node.records.words import plural
from node.settings.config import Config

if TYPE_CHECKING:
    from inference.engines.port import Engine, ModelRef
    from inference.engines.repository import Repository


def look_at_engines(config: Config, applications: Sequence[str]) -> Iterator[DoctorFinding]:
    """Every engine that an application of a route runs on."""
    from node.assembly.compose import engine_of, open_engine

    for name in sorted({engine_of(config, application) for application in applications}):
        with contextlib.closing(open_engine(config, name)) as engine:
            yield from _look(config, name, engine, [each for each in applications if engine_of(config, each) == name])


def _look(config: Config, name: str, engine: "Engine", applications: Sequence[str]) -> Iterator[DoctorFinding]:
    from inference.errors import HilumError
    from node.assembly.compose import engine_kind, engine_settings

    subject, kind, options = f"engine {name}", engine_kind(config, name), engine_settings(config, name).options
    health = engine.health()
    if not health.ready:
        yield DoctorFinding(area=Area.ENGINES, subject=subject, level="bad", detail=health.detail, fix=kind.mend(options))
        return
    try:
        remarks = list(kind.remarks(options, engine))
    except HilumError as away:
        yield DoctorFinding(area=Area.ENGINES, subject=subject, level="bad", detail=f"{away} [{away.code}]", fix=kind.mend(options))
        return
    yield DoctorFinding(area=Area.ENGINES, subject=subject, level="good", detail=health.detail)
    for remark in remarks:
        yield DoctorFinding(area=Area.ENGINES, subject=subject, level=remark.level, detail=remark.detail, fix=remark.fix)
    if not kind.local:  # what is computed here is what the repository holds, of which doctor speaks by application
        for application in applications:
            yield from _served(config, subject, engine, application)


def _served(config: Config, subject: str, engine: "Engine", application: str) -> Iterator[DoctorFinding]:
    from inference.engines.calling import with_places_taken
    from inference.errors import HilumError
    from node.assembly import compose
    from node.flow.infer import calls_of

    try:
        models = with_places_taken(calls_of(config, compose.application(config, application)))
        for model in models:
            engine.check(model)
            at_once = engine.load(model).at_once
            calls = plural(at_once, "call")
            detail = f"serves {model.name} version {model.version} as the repository describes it, {calls} at once ({application})"
            yield DoctorFinding(area=Area.ENGINES, subject=subject, level="good", detail=detail)
    except HilumError as refused:
        yield DoctorFinding(
            area=Area.ENGINES, subject=subject, level="bad", detail=f"{application}: {refused} [{refused.code}]", fix=refused.remedy
        )


def look_at_user() -> Iterator[DoctorFinding]:
    """Applications are programs that run in the work processes, as the node's user; as root they own the machine."""
    if os.geteuid() == 0:
        fix = "Run the node as a user of its own (docs/howto/secure-the-node.md): applications are Python that runs as the node's user."
        yield DoctorFinding(area=Area.MODELS, subject="user", level="warning", detail="this runs as root; so may the node", fix=fix)


def look_at_jail(config: Config, applications: Sequence[str]) -> Iterator[DoctorFinding]:
    """Have a process try that is confined as models' are; asked only where an engine computes on this machine."""
    from node.assembly.compose import engine_kind, engine_of, model_limits

    engines = sorted({engine_of(config, name) for name in applications})
    local = [name for name in engines if engine_kind(config, name).local]
    if not local:
        return
    from inference.engines.jail.probe import probe
    from inference.errors import HilumError

    try:
        found = probe()
    except HilumError as broken:
        yield DoctorFinding(area=Area.MODELS, subject="jail", level="bad", detail=f"{broken} [{broken.code}]", fix=broken.remedy)
        return
    freed = [name for name in local if model_limits(config, name).allow_code]
    if found.confined.whole and not found.reached:
        said = f"Landlock {found.confined.landlock} and seccomp filters; a process that tried reached no file, no network, no process"
        yield DoctorFinding(area=Area.MODELS, subject="jail", level="good", detail=f"models are computed in confined processes: {said}")
        return
    lacking = found.confined.lacking() or "nothing that it says"
    detail = f"this kernel does not confine models' processes: it lacks {lacking}; one that tried reached {', '.join(found.reached)}"
    if freed:
        fix = f"`allow_code: true` of {', '.join(freed)} lets models that carry a program do what the node's user may: trust their authors."
    else:
        refused = "Models that can carry a program (TorchScript, torch.export) are refused here (HLM-4110), others only read before."
        fix = f"{refused} Use a kernel with both."
    yield DoctorFinding(area=Area.MODELS, subject="jail", level="warning", detail=detail, fix=fix)


def brought_by(config: Config, name: str) -> str:
    """What brings the weights of an application into the repository."""
    from inference.errors import HilumError
    from node.assembly.compose import manifest

    try:
        declared = manifest(config, name)
    except HilumError:
        return f"`hilum models import {name}`"
    if declared.sources or not declared.models:
        return f"`hilum models import {name}`"
    trained = " and ".join(f"`hilum models import FILE --name {model.name}`" for model in declared.models)
    return f"No weights of {name} are published. Train them (`hilum train`, `hilum export`), or get them from whoever did: {trained}"


def look_at_models(config: Config) -> Iterator[DoctorFinding]:
    """The engines that the routes need, what confines models on this machine, and the models of each application."""
    from inference.engines.repository import Repository
    from inference.errors import HilumError
    from node.assembly.compose import application, engine_kind, engine_of

    wanted = sorted({name for route in config.routes for name in route.run})
    yield from look_at_user()
    yield from look_at_engines(config, wanted)
    yield from look_at_jail(config, wanted)
    repository = Repository(config.models)
    for name in wanted:
        try:
            models = application(config, name).models
            for model in models:
                repository.verify(model)
        except HilumError as missing:
            fix = f"{brought_by(config, name)}, then `hilum jobs retry` what was parked."
            yield DoctorFinding(area=Area.MODELS, subject=f"application {name}", level="bad", detail=f"{missing} [{missing.code}]", fix=fix)
        else:
            held = "its models are in the repository, digests verified" if models else "it calls no model"
            yield DoctorFinding(area=Area.MODELS, subject=f"application {name}", level="good", detail=held)
            if engine_kind(config, engine_of(config, name)).local:
                yield from _speed(name, repository, models)


def _speed(name: str, repository: "Repository", models: "Sequence[ModelRef]") -> Iterator[DoctorFinding]:
    """Whether the embedded engine knows how this machine computes the models best."""
    unknown = []
    for model in models:
        entry = repository.entry(model)
        if entry is None or entry.golden is None or repository.config(model).steps:
            continue  # nothing to judge a way of computing it by: it is not measured
        reason = "never measured" if entry.embedded is None else entry.embedded.elsewhere()
        if reason:
            unknown.append(f"{model.name}: {reason}")
    if unknown:
        fix = f"`hilum models tune {' '.join(model.name for model in models)}` finds out how this machine computes them best."
        yield DoctorFinding(area=Area.MODELS, subject=f"application {name}", level="warning", detail="; ".join(unknown), fix=fix)
