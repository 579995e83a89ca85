"""One real Triton server for a whole file of tests that leave it as it is."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from inference.engines.triton.server import LocalTriton
from tests.lab.triton import servers
from tests.triton.served import ECHO, FAIL, GROW, serve, sleeper

QUEUE_OF_ONE = "dynamic_batching { default_queue_policy { max_queue_size: 1 } }"
PRIORITIES = "dynamic_batching { priority_levels: 3 default_priority_level: 2 }"


@pytest.fixture(scope="package")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models whose answers are known without a server."""
    repository = tmp_path_factory.mktemp("models")
    serve(repository, "echo16", ECHO, input="TYPE_INT16", output="TYPE_INT16")
    serve(repository, "echo32", ECHO)
    serve(repository, "grow", GROW, dims="-1", out="-1")
    serve(repository, "fail", FAIL)
    sleeper(repository, "sleep")
    sleeper(repository, "ranked", more=PRIORITIES)
    sleeper(repository, "narrow", more=QUEUE_OF_ONE)
    sleeper(repository, "wide", instances=2)
    return repository


@pytest.fixture(scope="package")
def served(models: Path) -> Iterator[LocalTriton]:
    """A server over them; a test that ends it brings its own."""
    with servers() as start:
        yield start(models, models=["echo16", "echo32", "grow", "fail", "sleep", "ranked", "narrow"])
