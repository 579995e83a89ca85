"""The kinds of engines that hilum has, each by the record that its own folder exports. A new one is named here and nowhere else."""

from typing import Any

from inference.engines.embedded import kind as embedded
from inference.engines.kind import EngineKind
from inference.engines.triton import kind as triton

KINDS: tuple[EngineKind[Any], ...] = (embedded.KIND, triton.KIND)
"""In the order in which the reference and messages name them."""

BY_NAME = {kind.name: kind for kind in KINDS}

DEFAULT = embedded.KIND
"""The kind of an engine of which the operator says nothing; it needs no option."""
