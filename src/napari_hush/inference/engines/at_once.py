"""What an engine hands out for a batch, and the engines that compute it while they are asked."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import numpy as np


class Handle(Protocol):
    """A batch that was submitted."""

    def result(self) -> np.ndarray:
        """Wait for it: float32 (B, C, Y, X)."""
        ...


class Computed:
    """A batch that is done.

    Parameters
    ----------
    values : ndarray, shape (B, C, Y, X)
        The output.
    """

    def __init__(self, values: np.ndarray) -> None:
        self._values = values

    def result(self) -> np.ndarray:
        """Give it at once."""
        return self._values


class AtOnce:
    """An engine that queues nothing."""

    ahead = 0

    @property
    def notes(self) -> dict[str, Any]:
        """Nothing more than name, device and precision."""
        return {}

    def submit(self, *inputs: np.ndarray) -> Handle:
        """Compute it now."""
        return Computed(self(*inputs))

    @abstractmethod
    def __call__(self, *inputs: np.ndarray) -> np.ndarray:
        """Map float32 (B, C, Y, X) to float32 (B, C, Y, X)."""
