"""What a camera adds to its pixels beside noise that is new in every frame: patterns of its own, and its two ends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import numpy as np

from napari_hush.declare import Bounds, check_fields
from napari_hush.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class FixedPattern:
    """The pixels and the columns of a camera differ; one camera is drawn for each image.

    Parameters
    ----------
    gain : float
        Relative standard deviation of the pixels' gains.
    offset : float
        Standard deviation of the pixels' offsets, in units of the image.
    columns : float
        Standard deviation of the columns' offsets, in units of the image.

    References
    ----------
    F. Huang et al., "Video-rate nanoscopy using sCMOS camera-specific single-molecule localization algorithms",
    Nat. Methods 10, 653 (2013), https://doi.org/10.1038/nmeth.2488
    """

    gain: Annotated[float, Bounds(0, 10)] = 0.01
    offset: Annotated[float, Bounds(0, np.inf)] = 0.0
    columns: Annotated[float, Bounds(0, np.inf)] = 0.0

    def __post_init__(self) -> None:
        check_fields(self, where=type(self).__name__)

    def __call__(self, image: NDArray[np.float32], rng: np.random.Generator, /) -> NDArray[np.float32]:
        """See (Y, X) through a camera."""
        gains = 1 + np.float32(self.gain) * rng.standard_normal(image.shape, dtype=np.float32)
        offsets = np.float32(self.offset) * rng.standard_normal(image.shape, dtype=np.float32)
        columns = np.float32(self.columns) * rng.standard_normal(image.shape[1], dtype=np.float32)
        return np.asarray(image * gains + offsets + columns, dtype=np.float32)


@dataclass(frozen=True, kw_only=True)
class Clipping:
    """The two ends of a detector: what is darker or brighter reads as the end.

    Parameters
    ----------
    low, high : float
        The ends, in units of the image; ``low`` below ``high``; 1e30 and -1e30 are no ends.
    """

    low: Annotated[float, Bounds(-1e30, 1e30)] = 0.0
    high: Annotated[float, Bounds(-1e30, 1e30)] = 0.9

    def __post_init__(self) -> None:
        check_fields(self, where=type(self).__name__)
        if not self.low < self.high:
            raise InputError(f"Clipping: low must be below high, got {self.low} and {self.high}")

    def __call__(self, image: NDArray[np.float32], rng: np.random.Generator, /) -> NDArray[np.float32]:
        """Clip (Y, X)."""
        return np.clip(image, np.float32(self.low), np.float32(self.high))
