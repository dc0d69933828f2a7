"""Copies to and from a GPU beside its computing: it works on one batch while the next comes and the last one goes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np


class CopyStreams:
    """One GPU with a stream for each direction; what is submitted comes out in the same order.

    Copies run beside the computing only from and to pages that stay in memory (pinned ones): arrays are copied there
    first, which takes a processor less time than the bus.

    Parameters
    ----------
    device : torch.device
        The GPU.
    cuda : module
        What has torch.cuda's streams and events.
    pinned : bool
        Whether memory can be pinned.
    """

    def __init__(self, device: torch.device, cuda: Any = torch.cuda, *, pinned: bool = True) -> None:
        self.device, self._cuda, self._pinned = device, cuda, pinned
        self._up, self._down = cuda.Stream(device), cuda.Stream(device)

    def submit(
        self, arrays: Sequence[np.ndarray], compute: Callable[[Sequence[torch.Tensor]], torch.Tensor]
    ) -> Pending:
        """Queue a batch: copy its arrays (B, C, Y, X) to the GPU, compute, and copy the contiguous output back.

        Raises
        ------
        torch.OutOfMemoryError
            If it does not fit beside the batches that are queued already.
        """
        main = self._cuda.current_stream(self.device)
        with self._cuda.stream(self._up):
            waiting = [self._waiting(array) for array in arrays]
            inputs = [host.to(self.device, non_blocking=True) for host in waiting]
        main.wait_stream(self._up)
        for tensor in inputs:
            tensor.record_stream(main)  # its memory belongs to another stream
        output = compute(inputs)
        self._down.wait_stream(main)
        result = torch.empty(output.shape, dtype=output.dtype, pin_memory=self._pinned)
        with self._cuda.stream(self._down):
            result.copy_(output, non_blocking=True)
        output.record_stream(self._down)
        done = self._cuda.Event()
        done.record(self._down)
        return Pending(result, done, waiting)

    def forget(self) -> None:
        """Wait for what is queued, and give the memory that is free back to the GPU."""
        with self._cuda.device(self.device):
            self._cuda.synchronize(self.device)
            self._cuda.empty_cache()

    def _waiting(self, array: np.ndarray) -> torch.Tensor:
        """A copy from which the GPU can read by itself."""
        host = torch.empty(array.shape, dtype=torch.float32, pin_memory=self._pinned)
        return host.copy_(torch.from_numpy(array))


class Pending:
    """A batch that is on its way.

    Parameters
    ----------
    result : Tensor
        What it is copied to, (B, C, Y, X).
    done : torch.cuda.Event
        Behind the copy.
    sources : sequence of Tensor
        What the GPU still reads.
    """

    def __init__(self, result: torch.Tensor, done: Any, sources: Sequence[torch.Tensor]) -> None:
        self._result, self._done, self._sources = result, done, sources

    def result(self) -> np.ndarray:
        """Wait for it: float32 (B, C, Y, X)."""
        self._done.synchronize()
        self._sources = ()
        values: np.ndarray = self._result.numpy()
        return values
