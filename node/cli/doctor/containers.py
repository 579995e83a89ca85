"""`hilum doctor` on containers of somebody else's: which engine this host has, what it may, and whether it has the images."""

import os
from collections.abc import Iterator

from node.domain.health import Area, DoctorFinding
from node.settings.config import Config


def look_at_containers(config: Config) -> Iterator[DoctorFinding]:
    """The engine and the image of each container that a route runs; nothing where none does."""
    from inference.applications.container.engine import engine_here
    from inference.applications.container.manifest import file_of, from_text
    from inference.errors import HilumError

    wanted = sorted({name for route in config.routes for name in route.run if file_of(config.models, name).is_file()})
    if not wanted:
        return
    try:
        engine = engine_here()
        engine.demand_answering()
        engine.demand_bounds()
    except HilumError as away:
        detail = f"{away} [{away.code}]"
        yield DoctorFinding(area=Area.ENGINES, subject="container engine", level="bad", detail=detail, fix=away.remedy)
        return
    where = "without root" if engine.rootless else "as root"
    detail = f"{engine.name} ({engine.program}) runs the containers of {', '.join(wanted)}, {where}"
    if engine.rootless:
        yield DoctorFinding(area=Area.ENGINES, subject="container engine", level="good", detail=detail)
    else:
        whose = "the node runs as root" if os.geteuid() == 0 else "who may use Docker's daemon is root on this host"
        fix = "Run the node as a user of its own, with podman (or Docker) without root: docs/howto/run-a-container.md."
        yield DoctorFinding(area=Area.ENGINES, subject="container engine", level="warning", detail=f"{detail}: {whose}", fix=fix)
    for name in wanted:
        file = file_of(config.models, name)
        try:
            image = from_text(file.read_bytes(), str(file)).image
            engine.image(image)
        except HilumError as absent:
            detail = f"{absent} [{absent.code}]"
            yield DoctorFinding(area=Area.MODELS, subject=f"container {name}", level="bad", detail=detail, fix=absent.remedy)
        else:
            yield DoctorFinding(area=Area.MODELS, subject=f"container {name}", level="good", detail=f"{engine.name} has {image}")
