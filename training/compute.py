"""Where and how a training computes: the device, the precision of the network's own arithmetic, and into how many parts a batch goes.

None of it is what is learned: a run may be begun on one device and gone on with on another.
"""

from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from training.errors import UnfitSetting

_TOO_LITTLE = ("can't allocate memory", "CUDA error: out of memory", "_STATUS_ALLOC_FAILED")
"""What is said in a RuntimeError that is no OutOfMemoryError: by torch's allocator of the host's memory, by the CUDA runtime outside of
torch's own allocator (`torch.AcceleratorError`), and by cuBLAS, cuDNN and their kin for their workspaces."""


class Precision(StrEnum):
    """What convolutions and products are computed in; weights, losses and validation are 32-bit floats all the same."""

    FLOAT32 = "float32"
    BF16 = "bf16"


class Device(StrEnum):
    """What is asked for; `AUTO` is a GPU where there is one."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"


@dataclass(frozen=True, slots=True, kw_only=True)
class Compute:
    """How one process of a training computes.

    Attributes
    ----------
    parts
        A batch's gradient is summed up over so many parts of it, one after the other: what is learned is that of the whole batch, in less
        memory. Losses and normalisations that look over a batch see a part.
    """

    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    precision: Precision = Precision.FLOAT32
    parts: int = 1

    def tensor(self, values: NDArray[Any]) -> torch.Tensor:
        """An array on the device."""
        return torch.from_numpy(np.ascontiguousarray(values)).to(self.device)

    def autocast(self) -> AbstractContextManager[Any]:
        """The precision for what is computed inside."""
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.precision is Precision.BF16)


def chosen(device: Device, precision: Precision, parts: int, *, place: int = 0, places: int = 1) -> Compute:
    """How this process computes; on a host with several processes it is number `place` of `places`, each with a GPU of its own.

    Raises
    ------
    UnfitSetting
        There is no such device, too few of them, or it does not compute in this precision.
    """
    if parts < 1:
        raise UnfitSetting(f"--accumulate {parts}: a batch has one part at least")
    there = torch.cuda.is_available()
    if device is Device.CUDA and not there:
        why = "this torch was built without CUDA" if torch.version.cuda is None else "torch finds no GPU that it can use"
        raise UnfitSetting(f"--device cuda: {why}; `--device cpu` trains here")
    if device is Device.CPU or not there:
        return Compute(precision=precision, parts=parts)
    if places > torch.cuda.device_count():
        raise UnfitSetting(f"{places} processes and {torch.cuda.device_count()} GPUs on this host: each process takes one")
    torch.cuda.set_device(place)
    # torch lets cuDNN round to TF32, ten bits of mantissa, unless told otherwise
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False
    if precision is Precision.BF16 and not torch.cuda.is_bf16_supported(including_emulation=False):
        raise UnfitSetting(f"--precision bf16: {torch.cuda.get_device_name(place)} has no bf16; leave it out")
    return Compute(device=torch.device("cuda", place), precision=precision, parts=parts)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory did not suffice, of the host or of a GPU."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _TOO_LITTLE)


def device_of(network: Any) -> torch.device:
    """Where a network's weights lie."""
    first = next(iter(network.parameters()), None)
    return torch.device("cpu") if first is None else first.device
