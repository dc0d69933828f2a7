"""Batches that are ready before the step asks for them, each from its number alone."""

from __future__ import annotations

import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
import torch

from napari_hush.training.methods.method import Batch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from napari_hush.training.data.patches import PatchSource

AHEAD = 3  # batches per thread


class Batches:
    """Makes batches in threads, in order (numpy lets go of the interpreter's lock in its loops).

    Parameters
    ----------
    data : PatchSource
        Draws the patches.
    before : callable
        How many patches each process has used before a step, see `Method.patches`.
    rank, world : int
        Which of how many processes this is; together they take consecutive patches.
    workers : int
        Threads; 0 makes each batch when it is asked for.

    Attributes
    ----------
    waited : float
        Seconds that were spent waiting for batches.
    """

    def __init__(
        self,
        data: PatchSource,
        before: Callable[[int], int],
        *,
        rank: int = 0,
        world: int = 1,
        workers: int = 1,
    ) -> None:
        self.data, self.before, self.rank, self.world, self.workers = data, before, rank, world, workers
        self.waited = 0.0

    def make(self, step: int) -> Batch:
        """The batch of one step, on the CPU."""
        before, size = self.before(step), self.before(step + 1) - self.before(step)
        first = before * self.world + self.rank * size
        patches = [self.data.draw(first + k) for k in range(size)]
        clean = [patch.clean for patch in patches if patch.clean is not None]
        return Batch(
            to_tensor([patch.noisy for patch in patches]),
            to_tensor(clean) if len(clean) == len(patches) else None,
            first,
        )

    @contextmanager
    def open(self, start: int, stop: int) -> Iterator[Iterator[Batch]]:
        """Open an iterator over the batches of steps ``start`` to ``stop - 1``; leaving the block ends the threads."""
        if not self.workers:
            yield (self._timed(self.make, step) for step in range(start, stop))
            return
        with ThreadPoolExecutor(self.workers, thread_name_prefix="batches") as pool:
            running: dict[int, Future[Batch]] = {}

            def batches() -> Iterator[Batch]:
                for step in range(start, stop):
                    for later in range(step, min(step + AHEAD * self.workers + 1, stop)):
                        if later not in running:
                            running[later] = pool.submit(self.make, later)
                    yield self._timed(Future.result, running.pop(step))

            try:
                yield batches()
            finally:
                pool.shutdown(wait=True, cancel_futures=True)

    def _timed(self, function: object, argument: object) -> Batch:
        began = time.monotonic()
        batch: Batch = function(argument)  # type: ignore[operator]
        self.waited += time.monotonic() - began
        return batch


def to_tensor(patches: list[np.ndarray]) -> torch.Tensor:
    """Patches (C, Y, X) as one tensor (B, C, Y, X)."""
    return torch.from_numpy(np.stack(patches))
