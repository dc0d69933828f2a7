"""What changed in a series, and when: regions that stand out between the frames before and after."""

from __future__ import annotations

import csv
import io
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage

from napari_hush.files import atomic_write

if TYPE_CHECKING:
    from collections.abc import Sequence
    from os import PathLike

    from numpy.typing import NDArray

LEAST = 4  # px: of a region
STANDS_OUT = 6.0  # standard deviations somewhere in a region: a perfect lattice has regions up to 6
MOST = 200  # regions of a frame; of more only the strongest are told


@dataclass(frozen=True)
class Change:
    """A region in which the frames from one on differ from those before.

    Parameters
    ----------
    frame : int
        The first frame after the change, counted from 0.
    y, x : float
        Its middle, px of that frame.
    pixels : int
        Its size.
    deviations : float
        By how many standard deviations it stands out at its strongest.
    """

    frame: int
    y: float
    x: float
    pixels: int
    deviations: float

    def as_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return asdict(self)


def save_changes(changes: Sequence[Change], path: str | PathLike[str]) -> None:
    """Write changes as comma-separated values."""
    names = [one.name for one in fields(Change)]
    write_table(path, names, [[getattr(change, name) for name in names] for change in changes])


def write_table(path: str | PathLike[str], names: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Write a table of comma-separated values at once.

    Raises
    ------
    InputError
        If the folder does not exist.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(names)
    writer.writerows([[f"{value:.6g}" if isinstance(value, float) else value for value in row] for row in rows])
    atomic_write(Path(path), text.getvalue().encode())


def changes_in(changed: NDArray[np.floating], index: Sequence[int]) -> list[Change]:
    """The regions of one frame's map of changes that stand out, the strongest first.

    Parameters
    ----------
    changed : ndarray, shape (Y, X)
        As of `Fused.changed`.
    index : sequence of int
        Of the frame; the first number counts frames.

    Examples
    --------
    >>> image = np.zeros((20, 20))
    >>> image[4:8, 10:14] = 6.0
    >>> changes_in(image, (3,))
    [Change(frame=3, y=5.5, x=11.5, pixels=16, deviations=6.0)]
    """
    labels, count = ndimage.label(changed > 0)
    if not count:
        return []
    numbers = np.arange(1, count + 1)
    sizes = ndimage.sum_labels(np.ones_like(changed), labels, numbers)
    strongest = ndimage.maximum(changed, labels, numbers)
    middles = np.reshape(ndimage.center_of_mass(changed, labels, numbers), (-1, 2))
    found = [
        Change(int(index[0]), round(float(y), 2), round(float(x), 2), int(size), round(float(z), 2))
        for (y, x), size, z in zip(middles, sizes, strongest, strict=True)
        if size >= LEAST and z >= STANDS_OUT
    ]
    return sorted(found, key=lambda change: -change.deviations)[:MOST]
