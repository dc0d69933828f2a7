"""Write zarr version 3: all at once, or tile by tile for images larger than memory."""

from __future__ import annotations

import errno
import os
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_hush.errors import InputError
from napari_hush.files import beside, naming
from napari_hush.io.image import SPACE, guess_axes
from napari_hush.io.sniff import is_zarr
from napari_hush.io.units import LONG_NAMES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_hush.io.image import ImageData, Scales

CHUNK = 1024  # px
DISK_FULL = {errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)}
NGFF_AXES = "TCZYX"
NGFF_TYPES = {"T": "time", "C": "channel"}
NGFF_VERSION = "0.5"


@contextmanager
def zarr_writer(
    path: str | Path,
    *,
    shape: tuple[int, ...],
    dtype: Any = "float32",
    chunks: tuple[int, ...] | None = None,
    like: ImageData | None = None,
) -> Iterator[Any]:
    """Open a zarr array to be filled tile by tile; it gets its name when the block is left without an error.

    With a pixel size it is level 0 of an OME-NGFF 0.5 image (the group ``path`` with the array ``path/0``), without
    one, or where OME-NGFF does not know the axes, ``path`` is the array itself. An older zarr of that name stays as
    it is until the new one is complete.

    Parameters
    ----------
    path : str or Path
        A name that ends in ``.zarr``.
    shape : tuple of int
        Shape of the array, px.
    dtype : dtype_like
        Its number type.
    chunks : tuple of int, optional
        Shape of a chunk, px; default planes of at most 1024 x 1024. Fill whole chunks: two writers in one chunk
        lose data. There are no shards.
    like : ImageData, optional
        Where axes and pixel size come from; its number of dimensions must be that of ``shape``.

    Yields
    ------
    zarr.Array

    Raises
    ------
    InputError
        If the name does not end in .zarr, the folder is missing or not writable, or something that is no zarr
        has that name.
    """
    path = Path(path)
    check_target(path)
    axes = guess_axes(shape) if like is None else like.axes
    if len(axes) != len(shape):
        raise InputError(f"{path.name}: expected a shape of {len(axes)} dimensions {axes}, got {shape}")
    partial = beside(path, ".part")
    try:
        partial.mkdir()
        yield _create(partial, shape, np.dtype(dtype), chunks or plane_chunks(shape, axes), axes, like)
        _put_in_place(partial, path)
    except OSError as error:
        if error.errno not in DISK_FULL:
            raise  # the caller's own, such as an input that cannot be read
        raise naming(error, path) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def write_zarr(path: Path, image: ImageData) -> None:
    """Write an image in hand, plane by plane."""
    with zarr_writer(path, shape=image.shape, dtype=image.dtype, like=image) as array:
        if len(image.shape) == 2:
            array[...] = np.asarray(image.data)
            return
        for index in range(image.shape[0]):
            array[index] = np.asarray(image.data[index])


def check_target(path: Path) -> None:
    """Refuse a name that is not .zarr, or that belongs to something else."""
    if path.suffix.lower() != ".zarr":
        raise InputError(f"{path}: expected a name that ends in .zarr for an output written tile by tile")
    if not path.parent.is_dir():
        raise InputError(f"{path}: the folder {path.parent} does not exist; create it or choose another")
    if not os.access(path.parent, os.W_OK):
        raise InputError(f"{path}: the folder {path.parent} is not writable; choose another")
    if path.exists() and not is_zarr(path) and not (path.is_dir() and not any(path.iterdir())):
        raise InputError(f"{path}: exists and is no zarr, it would be lost; choose another name or remove it")


def plane_chunks(shape: tuple[int, ...], axes: str) -> tuple[int, ...]:
    """One plane per chunk, cut to 1024 x 1024 px; colours of a pixel stay together."""
    last = axes[-1] if axes[-1] in "CS" else ""
    return tuple(
        min(n, CHUNK) if axis in "YX" else n if axis == last else 1 for n, axis in zip(shape, axes, strict=True)
    )


def _create(
    folder: Path,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    chunks: tuple[int, ...],
    axes: str,
    like: ImageData | None,
) -> Any:
    import zarr
    from zarr.storage import LocalStore

    scales: Scales = {} if like is None else like.scales
    options: dict[str, Any] = {"shape": shape, "dtype": dtype, "chunks": chunks, "zarr_format": 3, "overwrite": True}
    options["config"] = {"write_empty_chunks": True}  # a chunk that is not there is refused when it is read
    if like is not None:
        options["dimension_names"] = [axis.lower() for axis in axes]
    store = LocalStore(folder)
    ordered = axes == "".join(axis for axis in NGFF_AXES if axis in axes)
    if "X" in scales and ordered:
        group = zarr.open_group(store, mode="a", zarr_format=3, attributes={"ome": _ngff(axes, scales)})
        return group.create_array("0", **{key: value for key, value in options.items() if key != "zarr_format"})
    if like is not None and scales:
        options["attributes"] = {"axes": axes, "pixel_size": list(like.pixel_size or ()), "units": list(like.units)}
    elif like is not None:
        options["attributes"] = {"axes": axes}
    return zarr.create_array(store, **options)


def _ngff(axes: str, scales: Scales) -> dict[str, Any]:
    """The metadata of an image with one level."""
    entries = []
    for axis in axes:
        entry = {"name": axis.lower(), "type": "space" if axis in SPACE else NGFF_TYPES[axis]}
        unit = scales.get(axis, (1.0, ""))[1]
        if unit:
            entry["unit"] = LONG_NAMES.get(unit, unit)
        entries.append(entry)
    scale = {"type": "scale", "scale": [scales.get(axis, (1.0, ""))[0] for axis in axes]}
    level = {"path": "0", "coordinateTransformations": [scale]}
    return {"version": NGFF_VERSION, "multiscales": [{"name": "image", "axes": entries, "datasets": [level]}]}


def _put_in_place(partial: Path, path: Path) -> None:
    """Move the folder to its name; what had that name before comes back if that fails."""
    if not path.exists():
        os.replace(partial, path)
        return
    old = beside(path, ".old")
    try:
        os.replace(path, old)
        os.replace(partial, path)
    except BaseException:  # Ctrl-C too
        if old.exists() and not path.exists():
            os.replace(old, path)
        raise
    finally:
        shutil.rmtree(old, ignore_errors=True)
