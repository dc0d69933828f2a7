"""An image in an HDF5 file whose axes are known."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_hush.io.formats.hdf5 import open_plain
from napari_hush.io.formats.npy import native
from napari_hush.io.image import EAGER_BELOW, check_kind, make_image

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from napari_hush.io.image import ImageData, Scales
    from napari_hush.io.metadata import Metadata


def hdf5_image(
    dataset: Any,
    path: Path,
    axes: str,
    scales: Scales,
    *,
    order: Sequence[int] | None = None,
    metadata: Metadata | None = None,
    fill_missing: bool = False,
) -> ImageData:
    """Read a dataset, or leave a large one on disk if its axes are in order; its file stays open as long as it.

    Parameters
    ----------
    dataset : h5py.Dataset
        Of `open_hdf5`.
    path : Path
        Its file.
    axes : str
        One letter for each axis of the result.
    scales : mapping
        Axis letter to (step, unit).
    order : sequence of int, optional
        For each axis of the result the one in the file; one that is left out has a single place.
    metadata : Metadata, optional
        What goes with the image.
    fill_missing : bool
        Take the fill value for chunks that were never written.
    """
    source = f"{path}:{dataset.name}"
    check_kind(dataset.shape, dataset.dtype, source)
    checked = open_plain(dataset, source, path=path, fill_missing=fill_missing)
    order = tuple(range(checked.ndim)) if order is None else tuple(order)
    if checked.nbytes > EAGER_BELOW and order == tuple(range(checked.ndim)):
        return make_image(checked, axes, scales, source, metadata)
    data = np.asarray(checked[...])
    data = data[tuple(slice(None) if axis in order else 0 for axis in range(data.ndim))]
    kept = sorted(order)
    moved = np.ascontiguousarray(data.transpose([kept.index(axis) for axis in order]))
    return make_image(native(moved), axes, scales, source, metadata)
