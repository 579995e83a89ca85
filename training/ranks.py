"""The processes of one training: one alone, or those that torchrun started."""

import os
import signal
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from importlib import import_module
from types import FrameType
from typing import Any, Protocol, TypeVar

import torch
from torch import distributed

from training.compute import Compute, Device, Precision, chosen
from training.errors import LostProcess

Made = TypeVar("Made")
_LONGEST = timedelta(days=1)
"""The others wait while the first process plans or validates alone."""


class PrivateSteps(Protocol):
    """Steps that tell little of any one case: which cases each sees, and what of their gradients the optimizer takes."""

    def batches(self, cases: int, draws: int, batch: int) -> list[list[int]]:
        """The draws of every step of an epoch, number modulo `cases` being the case."""

    def optimizer(self, network: Any, optimizer: Any, batch: int) -> Any:
        """The optimizer that takes bounded gradients with noise; the network gives a gradient of every case from here on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One site's part in a round of a federated training: epochs `begins` to `ends`, from what all sites had learned before.

    Attributes
    ----------
    weights
        Their average; None: the first round begins with those that the seed draws, which are every site's.
    """

    begins: int
    ends: int
    weights: Mapping[str, Any] | None
    private: PrivateSteps | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranks:
    """Which of how many processes this is, and how it computes; the first one validates, writes and speaks.

    What is shared raises LostProcess where another process has ended. A site of a federated training is one process, and has a `turn`.
    """

    rank: int = 0
    size: int = 1
    compute: Compute = field(default_factory=Compute)
    turn: Turn | None = None

    @property
    def first(self) -> bool:
        return self.rank == 0

    def in_turn(self, make: Callable[[], Made]) -> Made:
        """What the first process makes, then what the others make of what it left on the disk."""
        if not self.first:
            with _together():
                distributed.barrier()
        made = make()
        if self.first and self.size > 1:
            with _together():
                distributed.barrier()
        return made

    def average(self, parameters: Iterable[torch.nn.Parameter]) -> None:
        """Give every process the mean of all gradients.

        After the whole batch, in one go: a process that had too little memory has gone over its part of it again by then, which
        DistributedDataParallel, that sends gradients while others are still computed, cannot wait for.
        """
        if self.size == 1:
            return
        gradients = [each.grad for each in parameters if each.grad is not None]
        # not torch's parameters_to_vector, which takes no gradient whose channels lie last
        together = torch.cat([each.reshape(-1) for each in gradients])
        with _together():
            distributed.all_reduce(together)
        together /= self.size
        for gradient, mean in zip(gradients, torch.split(together, [each.numel() for each in gradients]), strict=True):
            gradient.copy_(mean.view(gradient.shape))

    def told(self, value: float) -> float:
        """The first process's value, in every process."""
        if self.size == 1:
            return value
        shared = torch.tensor([value], dtype=torch.float64, device=self.compute.device)
        with _together():
            distributed.broadcast(shared, src=0)
        return float(shared.item())

    def mean(self, value: float) -> float:
        """The mean over all processes."""
        if self.size == 1:
            return value
        shared = torch.tensor([value], dtype=torch.float64, device=self.compute.device)
        with _together():
            distributed.all_reduce(shared)
        return float(shared.item()) / self.size


@contextmanager
def ranks(device: Device = Device.CPU, precision: Precision = Precision.FLOAT32, parts: int = 1) -> Iterator[Ranks]:
    """Join the processes that torchrun started; alone where it did not.

    Raises
    ------
    UnfitSetting, LostProcess
    """
    place, places = (int(os.environ.get(name, default)) for name, default in (("LOCAL_RANK", "0"), ("LOCAL_WORLD_SIZE", "1")))
    compute = chosen(device, precision, parts, place=place, places=places)
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield Ranks(compute=compute)
        return
    # its functions have the group that stands when they are imported as a default: imported later, as torch's own modules do, they would
    # keep this one and its threads, and a thread that still holds a tensor while Python ends aborts the process
    import_module("torch.distributed.nn.functional")

    before = signal.signal(signal.SIGTERM, _ended)
    distributed.init_process_group("nccl" if compute.device.type == "cuda" else "gloo", timeout=_LONGEST)
    whole = False
    try:
        yield Ranks(rank=distributed.get_rank(), size=size, compute=compute)
        whole = True
    finally:
        # torchrun ends those that are left where one has ended, also one that ends by itself because of that and has yet to say so
        signal.signal(signal.SIGTERM, before if whole else signal.SIG_IGN)
        distributed.destroy_process_group()


def _ended(number: int, frame: FrameType | None) -> None:
    raise LostProcess("torchrun ended this process, as it does with all of them where one has ended")


@contextmanager
def _together() -> Iterator[None]:
    """What is said by all processes to each other."""
    try:
        yield
    except RuntimeError as lost:
        raise LostProcess(f"another process of this training has ended, and it needs all of them: {_first_line(lost)}") from lost


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0]
