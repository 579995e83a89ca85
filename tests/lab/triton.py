"""A real tritonserver for a test, from the Python package registry; nothing here stands in for it."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TypeAlias

from inference.engines.errors import ServerUnsupported
from inference.engines.triton.distribution import local_distribution
from inference.engines.triton.server import LocalTriton
from tests.lab import needs
from tests.lab.loopback import outside

Started: TypeAlias = Callable[..., LocalTriton]


def available() -> None:
    """Fetch the server unless the user's cache has it; skip where it cannot run."""
    try:
        with outside():
            local_distribution()
    except ServerUnsupported as elsewhere:
        needs.absent("a machine that a tritonserver runs on", str(elsewhere))


@contextmanager
def servers() -> Iterator[Started]:
    """`start(repository, models=…, …)` starts servers that are gone at the end."""
    available()
    with ExitStack() as ending:

        def start(repository: Path, **options: Any) -> LocalTriton:
            return ending.enter_context(LocalTriton(repository, **options))

        yield start
