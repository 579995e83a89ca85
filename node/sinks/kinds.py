"""The kinds of sinks that hilum has, each by the record that its own file exports. A new one is named here and nowhere else."""

from typing import Any

from node.sinks import dimse, folder
from node.sinks.port import SinkKind

KINDS: tuple[SinkKind[Any], ...] = (dimse.KIND, folder.KIND)
"""In the order in which the reference and messages name them."""

BY_NAME = {kind.name: kind for kind in KINDS}
