"""Layers that are denoised one after the other, and how each of them went."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari.layers import Image


@dataclass
class Batch:
    """Layers that wait for their turn.

    Parameters
    ----------
    waiting : list of Image
        In this order.
    failed : list of str
        Names of those that could not be denoised, each with the reason.
    """

    waiting: list[Image]
    failed: list[str] = field(default_factory=list)
    _total: int = field(init=False)
    _began: float = field(init=False)

    def __post_init__(self) -> None:
        self._total, self._began = len(self.waiting), time.monotonic()

    @property
    def place(self) -> str:
        """Which layer is being denoised."""
        return f"layer {self._total - len(self.waiting)} of {self._total}"

    @property
    def summary(self) -> str:
        """How it went, in words."""
        good = self._total - len(self.failed)
        words = f"{good} of {self._total} layers denoised in {time.monotonic() - self._began:.1f} s"
        return f"{words}; not denoised: {'; '.join(self.failed)}" if self.failed else words
