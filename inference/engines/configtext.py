"""config.pbtxt as text: written from tensors, and the parameters by which a server says which weights it holds.

The digest of each version stands in config.pbtxt as the parameter `hilum.sha256.<version>`: a Triton server hands its parameters out, so
that whoever asks it can compare them with the repository's entry without reading the server's disk.
"""

import re
from collections.abc import Mapping, Sequence

from inference.engines.modelconfig import DTYPES, TensorConfig

PARAMETER = "hilum.sha256."
PRIORITIES = "dynamic_batching { preferred_batch_size: [ 1 ] priority_levels: 3 default_priority_level: 2 }"
"""A server's queue takes urgent calls first (`Urgency`), and never joins calls: what a call gives must not depend on its neighbours."""
PRIORITIES_ALONE = PRIORITIES.replace("preferred_batch_size: [ 1 ] ", "")
"""The same for a model that takes no batches."""
_LINE = re.compile(r'^parameters \{ key: "hilum\.sha256\.(\d+)" value \{ string_value: "([0-9a-f]{64})" \} \}\n?', re.MULTILINE)
_TYPES = {dtype: name for name, dtype in DTYPES.items()}


def config_text(
    name: str, backend: str, max_batch_size: int, inputs: Sequence[TensorConfig], outputs: Sequence[TensorConfig], weights: str
) -> str:
    """A config.pbtxt that serves every version that is there."""
    lines = [
        f'name: "{name}"',
        f'backend: "{backend}"',
        f"max_batch_size: {max_batch_size}",
        f'default_model_filename: "{weights}"',
        "version_policy { all { } }",
        *(f"input [ {_tensor(tensor)} ]" for tensor in inputs),
        *(f"output [ {_tensor(tensor)} ]" for tensor in outputs),
        PRIORITIES if max_batch_size > 0 else PRIORITIES_ALONE,
    ]
    return "\n".join(lines) + "\n"


def _tensor(tensor: TensorConfig) -> str:
    dims = ", ".join(str(side) for side in tensor.dims)
    return f'{{ name: "{tensor.name}" data_type: {_TYPES[tensor.dtype.type]} dims: [ {dims} ] }}'


def with_digest(text: str, version: int, sha256: str, present: str | None = None) -> str:
    """The text with this version's digest among its parameters, and those of the other versions that `present` has."""
    digests = {**digests_in(present or ""), **digests_in(text), version: sha256}
    return _with(without_digests(text), digests)


def without_digests(text: str) -> str:
    """The text as it was before hilum added its parameters."""
    return _LINE.sub("", text)


def digests_in(text: str) -> dict[int, str]:
    """The digests that the text's parameters name, by version."""
    return {int(match[1]): match[2] for match in _LINE.finditer(text)}


def _with(text: str, digests: Mapping[int, str]) -> str:
    lines = [
        f'parameters {{ key: "{PARAMETER}{number}" value {{ string_value: "{digest}" }} }}\n' for number, digest in sorted(digests.items())
    ]
    return text + ("" if text.endswith("\n") else "\n") + "".join(lines)
