"""`applications:` how an application runs here; one without an entry runs with the defaults."""

from datetime import timedelta

from node.settings.blocks import Block, Key, Named
from node.settings.config import ApplicationSettings
from node.settings.kinds import DURATION, Reference, whole


def _application(*, name: str, engine: str, attempts: int, timeout: timedelta) -> ApplicationSettings:
    return ApplicationSettings(name=name, engine=engine, attempts=attempts, timeout=timeout)


APPLICATIONS = Named(
    noun="application",
    known="applications",
    of=Block(
        build=_application,
        keys=(
            Key(name="engine", kind=Reference(to="engines", noun="engine"), default="default", says="The engine that runs its models."),
            Key(
                name="attempts",
                kind=whole(1, 100),
                default="3",
                says="How often a job is begun before it is parked; an engine that is away does not count.",
            ),
            Key(name="timeout", kind=DURATION, default="15m", says="How long one analysis may take."),
        ),
    ),
)
