"""Processes that a launcher started side by side, and how they share shards without talking to each other."""

import os
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Rank:
    """This process among those of `torchrun`, `accelerate launch` or whatever sets the same variables.

    Attributes:
        number: of this process, from 0.
        world: number of processes.
        local: number of this process on its machine.
        local_world: number of processes on this machine.
    """

    number: int = 0
    world: int = 1
    local: int = 0
    local_world: int = 1

    @classmethod
    def here(cls) -> "Rank":
        """From `RANK`, `WORLD_SIZE`, `LOCAL_RANK` and `LOCAL_WORLD_SIZE`."""
        world = int(os.environ.get("WORLD_SIZE", 1))
        number = int(os.environ.get("RANK", 0)) if world > 1 else 0
        return cls(
            number,
            world,
            int(os.environ.get("LOCAL_RANK", number)),
            int(os.environ.get("LOCAL_WORLD_SIZE", world)),
        )

    def order(self, shards: Sequence[int]) -> Iterator[int]:
        """These shards, this rank's own first.

        The others' follow in a random order, so that ranks that are done early help those that are late or
        dead, each with another shard. Nobody waits for anybody; at worst a rank that would be idle scores a
        shard once more.
        """
        yield from (shard for shard in shards if shard % self.world == self.number)
        others = [shard for shard in shards if shard % self.world != self.number]
        random.Random(self.number).shuffle(others)
        yield from others
