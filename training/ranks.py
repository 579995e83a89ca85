"""The processes of one training: one alone, or those that torchrun started."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
from torch import distributed

Made = TypeVar("Made")
_LONGEST = timedelta(days=1)
"""The others wait while the first process plans or validates alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranks:
    """Which of how many processes this is; the first one validates, writes and speaks."""

    rank: int = 0
    size: int = 1

    @property
    def first(self) -> bool:
        return self.rank == 0

    def in_turn(self, make: Callable[[], Made]) -> Made:
        """What the first process makes, then what the others make of what it left on the disk."""
        if not self.first:
            distributed.barrier()
        made = make()
        if self.first and self.size > 1:
            distributed.barrier()
        return made

    def wrapped(self, network: Any) -> Any:
        """The network whose gradients are averaged over all processes."""
        return network if self.size == 1 else torch.nn.parallel.DistributedDataParallel(network)

    def told(self, value: float) -> float:
        """The first process's value, in every process."""
        if self.size == 1:
            return value
        shared = torch.tensor([value], dtype=torch.float64)
        distributed.broadcast(shared, src=0)
        return float(shared.item())

    def mean(self, value: float) -> float:
        """The mean over all processes."""
        if self.size == 1:
            return value
        shared = torch.tensor([value], dtype=torch.float64)
        distributed.all_reduce(shared)
        return float(shared.item()) / self.size


@contextmanager
def ranks() -> Iterator[Ranks]:
    """Join the processes that torchrun started; alone where it did not."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield Ranks()
        return
    distributed.init_process_group("gloo", timeout=_LONGEST)
    try:
        yield Ranks(rank=distributed.get_rank(), size=size)
    finally:
        distributed.destroy_process_group()
