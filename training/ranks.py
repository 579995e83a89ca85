"""The processes of one training: one alone, or those that torchrun started."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import distributed


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranks:
    """Which of how many processes this is; the first one validates, writes and speaks."""

    rank: int = 0
    size: int = 1

    @property
    def first(self) -> bool:
        return self.rank == 0

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
    distributed.init_process_group("gloo")
    try:
        yield Ranks(rank=distributed.get_rank(), size=size)
    finally:
        distributed.destroy_process_group()
