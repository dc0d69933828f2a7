"""Images in HDF5 files whose axes are known, and what describes them."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_hush.io.formats.hdf5 import open_plain
from napari_hush.io.formats.npy import native
from napari_hush.io.formats.several import Choice
from napari_hush.io.formats.signal_axes import upright
from napari_hush.io.image import EAGER_BELOW, check_kind, make_image
from napari_hush.io.metadata import Metadata

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from napari_hush.io.image import ImageData, Scales


def hard_item(group: Any, place: str) -> Any:
    """The group or dataset at a place, to which hard links alone lead; None where there is none."""
    import h5py

    for name in (part for part in place.split("/") if part):
        inside = isinstance(group, h5py.Group) and isinstance(group.get(name, getlink=True), h5py.HardLink)
        group = group[name] if inside else None
    return group


def hard_items(group: Any) -> dict[str, Any]:
    """All of a group's own groups and datasets by their names."""
    import h5py

    if not isinstance(group, h5py.Group):
        return {}
    return {name: group[name] for name in group if isinstance(group.get(name, getlink=True), h5py.HardLink)}


def small_part(dataset: Any, key: Any, path: Path) -> Any:
    """Some of the numbers that describe an image, read as carefully as itself."""
    return open_plain(dataset, f"{path}:{dataset.name}", path=path, fill_missing=True)[key]


def upright_choice(dataset: Any, path: Path, letters: str, scales: Scales, title: str, *, fill_missing: bool) -> Choice:
    """A dataset with these axes as an image to choose, whose planes are (Y, X)."""
    order = upright(letters)
    read = partial(
        hdf5_image,
        dataset,
        path,
        "".join(letters[axis] for axis in order),
        scales,
        order=order,
        metadata=Metadata(name=title),
        fill_missing=fill_missing,
    )
    return Choice(title, tuple(dataset.shape[axis] for axis in order), read, dataset.name)


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
