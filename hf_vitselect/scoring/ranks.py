"""Processes that a launcher starts side by side, and how they share shards without communicating."""

import os
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Rank:
    """This process among those of `torchrun`, `accelerate launch` or a similar launcher.

    Attributes:
        number: of this process, from 0.
        world: number of processes.
        local: number of this process on its machine, from 0.
        local_world: number of processes on this machine.
    """

    number: int = 0
    world: int = 1
    local: int = 0
    local_world: int = 1

    @classmethod
    def here(cls) -> "Rank":
        """Read `RANK`, `WORLD_SIZE`, `LOCAL_RANK` and `LOCAL_WORLD_SIZE`."""
        world = int(os.environ.get("WORLD_SIZE", 1))
        number = int(os.environ.get("RANK", 0)) if world > 1 else 0
        local = int(os.environ.get("LOCAL_RANK", number))
        return cls(number, world, local, int(os.environ.get("LOCAL_WORLD_SIZE", world)))

    def owns(self, shard: int) -> bool:
        """Whether this rank scores the shard first."""
        return shard % self.world == self.number

    def order(self, shards: Sequence[int]) -> Iterator[int]:
        """Order shards, this rank's own first.

        The others' follow in random order: ranks that finish early help late or dead ones, each with another
        shard. No rank waits for another; at worst an idle rank scores a shard a second time.
        """
        yield from filter(self.owns, shards)
        others = [shard for shard in shards if not self.owns(shard)]
        random.Random(self.number).shuffle(others)
        yield from others
