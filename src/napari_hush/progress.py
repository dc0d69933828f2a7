"""One event of a long job; every long job is a generator of these."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Progress:
    """What a long job has done so far.

    Parameters
    ----------
    step, total : int
        Work done and work planned, in the job's own units (tiles, training steps). ``total`` may grow when
        a job has to split its work, for example after running out of memory.
    message : str
        One line for a person.
    losses : dict of str to float
        Named losses of a training step; empty elsewhere.
    preview : ndarray, shape (Y, X), optional
        A picture of the state of the work.
    """

    step: int
    total: int
    message: str = ""
    losses: dict[str, float] = field(default_factory=dict)
    preview: np.ndarray | None = None

    @property
    def fraction(self) -> float:
        """The share of the work that is done, from 0 to 1."""
        return self.step / self.total if self.total else 1.0
