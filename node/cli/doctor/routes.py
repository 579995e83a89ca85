"""`hilum doctor` and `hilum config check` on what routes ask for: values that no image has, definitions that none asks for,
models that are not there yet."""

from collections.abc import Iterator

from node.domain.health import Area, DoctorFinding
from node.domain.route import definitions_in
from node.settings.config import Config
from node.settings.defined_terms import undefined_terms


def look_at_terms(config: Config) -> Iterator[DoctorFinding]:
    """Values of conditions that are none of the standard's defined terms."""
    for one in undefined_terms(config.routes):
        fix = "What your devices write so may stay: `hilum routes explain FOLDER` shows what they write."
        yield DoctorFinding(area=Area.CONFIGURATION, subject="routes", level="warning", detail=one.sentence, fix=fix)


def look_at_definitions(config: Config) -> Iterator[DoctorFinding]:
    """Definitions that no route asks for."""
    used = {name for route in config.routes for name in definitions_in(route.asked)}
    for name in config.definitions:
        if name not in used:
            detail, fix = f'no route asks for the definition "{name}"', f"Ask for it by `is: {name}`, or take it out."
            yield DoctorFinding(area=Area.CONFIGURATION, subject="routes", level="warning", detail=detail, fix=fix)


def look_at_missing_models(config: Config) -> Iterator[DoctorFinding]:
    """Models of the routes' applications that were not imported; nothing is read of those that were."""
    from inference.engines.repository import Repository
    from inference.errors import HilumError
    from node.assembly.compose import application
    from node.cli.doctor.models import brought_by

    repository = Repository(config.models)
    for name in sorted({name for route in config.routes for name in route.run}):
        try:
            for model in application(config, name).models:
                if not repository.config(model).steps:  # an ensemble has no weights of its own
                    repository.weights(model)
        except HilumError as missing:
            fix = f"{brought_by(config, name)}; until then its jobs are parked."
            yield DoctorFinding(
                area=Area.MODELS, subject=f"application {name}", level="warning", detail=f"{name}: {missing} [{missing.code}]", fix=fix
            )
