"""The golden input through a model in a fresh process: `python -m inference.engines.again REPOSITORY MODEL VERSION WAY THREADS` prints the
digest of the answer. What is compared is whether a process that knows nothing of another gives the very same bytes."""

import hashlib
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.engines.made_inputs import golden_inputs
from inference.engines.port import ModelRef
from inference.engines.repository import Repository
from inference.engines.runtimes import Way, computation


def digest_of(answer: Mapping[str, NDArray[Any]]) -> str:
    """SHA-256 (hex) of all outputs, by name."""
    digest = hashlib.sha256()
    for name in sorted(answer):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(answer[name]).data)
    return digest.hexdigest()


def main(repository: str, name: str, version: str, way: str, threads: str) -> None:
    """Compute once and print."""
    opened, model = Repository(Path(repository)), ModelRef(name=name, version=int(version))
    config, entry = opened.config(model), opened.entry(model)
    file, content, _ = opened.read(model)
    compute = computation(Way.named(way), config, file, content, int(threads))
    print(digest_of(compute(golden_inputs(config, entry.golden if entry else None))))


if __name__ == "__main__":
    main(*sys.argv[1:])
