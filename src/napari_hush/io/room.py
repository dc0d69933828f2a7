"""Whether a disk has room for a result, asked before the work."""

from __future__ import annotations

import shutil
import warnings
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_hush.errors import InputError
from napari_hush.io.formats.pyramid import SMALLEST

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

PLAIN = (".tif", ".tiff", ".npy")  # as large as their values; others are compressed


def check_room(path: Path, shape: Sequence[int], dtype: Any) -> None:
    """Compare the size of an image with what its disk has left.

    Parameters
    ----------
    path : Path
        Where it is to be written.
    shape : sequence of int
        Px.
    dtype : dtype_like
        Of what is written.

    Raises
    ------
    InputError
        If a file that holds plain values cannot fit.

    Warns
    -----
    UserWarning
        If a compressed one would not fit without its compression.
    """
    needed = prod(int(n) for n in shape) * np.dtype(dtype).itemsize
    if path.suffix.lower() == ".zarr" and max(shape[-2:], default=0) > SMALLEST:
        needed = needed * 4 // 3  # with the smaller levels, each a quarter of the one before
    try:
        free = shutil.disk_usage(path.parent).free
    except OSError:  # nobody knows: whoever writes is told
        return
    if needed <= free:
        return
    words = f"{path}: the result takes {_size(needed)}, and the disk of {path.parent} has {_size(free)} left"
    if path.suffix.lower() in PLAIN:
        raise InputError(f"{words}: make room, choose another disk, a smaller dtype=, or a .zarr, which is compressed")
    warnings.warn(f"{words}: it fits only if it can be compressed so far", UserWarning, stacklevel=2)


def _size(count: int) -> str:
    return f"{count / 1e9:.3g} GB" if count >= 1e9 else f"{count / 1e6:.3g} MB"
