"""Write an image: the name's ending decides the format, the file appears complete or not at all."""

from __future__ import annotations

import tempfile
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from napari_hush.errors import InputError
from napari_hush.files import replacing
from napari_hush.io.convert import convert_dtype
from napari_hush.io.formats.bitmap import check_png, write_png
from napari_hush.io.formats.hdf5_write import write_hdf5
from napari_hush.io.formats.npy import write_npy, write_npz
from napari_hush.io.formats.tiff_write import write_tiff
from napari_hush.io.formats.zarr_write import check_target, write_zarr
from napari_hush.io.history import stamp, write_beside
from napari_hush.io.image import SPACE, ImageData, check_kind, guess_axes, make_image
from napari_hush.io.room import check_room

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from napari_hush.files import Place

WRITERS: dict[str, Callable[[BinaryIO, ImageData], None]] = {
    ".png": write_png,
    ".npy": write_npy,
    ".npz": write_npz,
    ".h5": write_hdf5,
    ".hdf5": write_hdf5,
}
NO_ROOM = (".npy", ".npz")  # for a history
PICTURES = (".tif", ".tiff", ".png")
SUFFIXES = (".tif", ".tiff", *WRITERS, ".zarr")


def write_image(
    path: str | Path,
    data: Any,
    *,
    like: ImageData | None = None,
    axes: str | None = None,
    pixel_size: float | Sequence[float] | None = None,
    units: str | Sequence[str] | None = None,
    dtype: Any = None,
    history: Mapping[str, Any] | None = None,
    place: Place | None = None,
) -> None:
    """Write an image with its axes and pixel size.

    Parameters
    ----------
    path : str or Path
        ``.tif`` (Fiji's dialect where it fits), ``.ome.tif``, ``.png``, ``.npy`` (values only), ``.npz``, ``.h5`` or
        ``.zarr``. An older file is replaced.
    data : array_like, shape (..., Y, X)
        The values.
    like : ImageData, optional
        The image that this one was made from: gives axes and pixel size.
    axes : str, optional
        One letter per dimension; default those of ``like``, or a guess from the shape.
    pixel_size : float or sequence of float, optional
        In ``units``: one number for all of Z, Y, X, or one per axis. Default that of ``like``.
    units : str or sequence of str, optional
        For all of Z, Y, X, or one per axis; default those of ``like``, or "nm".
    dtype : dtype_like, optional
        Number type to write, see `convert_dtype`; default that of ``data``.
    history : mapping, optional
        How it was made, JSON-able; written into the file, of NPY and NPZ into ``NAME.hush.json`` beside it.
    place : Place, optional
        What had the name when the work on this image began: where the folder is gone since it is made again.

    Raises
    ------
    InputError
        If the format cannot hold this image, or the folder is missing or not writable; if something else took the name
        since the work began.
    OSError
        If the disk is full or fails. No partial file is left and an older file is as it was.
    """
    path = Path(path)
    if place is not None:
        place.keep_folder()
    check_writable(path)
    shape = tuple(int(n) for n in data.shape) if hasattr(data, "shape") else np.shape(data)
    values = data if hasattr(data, "dtype") else np.asarray(data)
    if dtype is not None:
        values = convert_dtype(values, dtype)
    try:
        check_kind(shape, values.dtype, path.name)
    except ValueError as error:
        raise InputError(str(error)) from error
    if not np.dtype(values.dtype).isnative:
        values = convert_dtype(values, values.dtype)
    image = _describe(values, shape, like, axes, pixel_size, units, str(path))
    if history is not None:
        image = replace(image, history={**history, "written": time.time_ns()})
    suffix = path.suffix.lower()
    if suffix in PICTURES and image.axes.endswith("C") and image.shape[-1] == 1:  # they know no such axis
        image = make_image(np.asarray(image.data)[..., 0], image.axes[:-1], image.scales, image.source, image.metadata)
    if suffix == ".zarr":
        write_zarr(path, image, place)
        return
    if suffix == ".png":
        check_png(image.shape, image.axes, image.dtype, path.name)
    write = WRITERS.get(suffix) or partial(write_tiff, name=path.name)
    check_room(path, shape, image.dtype)
    with replacing(path, place) as file:
        write(file, image)
    if suffix in NO_ROOM:
        write_beside(path, image.history)
    if image.history is not None:
        stamp(path, image.history)


def check_writable(path: str | Path) -> None:
    """Find out before the work whether `write_image` will be able to write there.

    Raises
    ------
    InputError
        If the ending is not one that can be written, the folder is missing or not writable, or a folder has the
        file's name.
    """
    path = Path(path)
    if path.suffix.lower() not in SUFFIXES:
        raise InputError(f"{path}: cannot write {path.suffix or 'a name without an ending'}; use {', '.join(SUFFIXES)}")
    if not path.parent.is_dir():
        raise InputError(f"{path}: the folder {path.parent} does not exist; create it or choose another")
    if path.suffix.lower() == ".zarr":
        check_target(path)
    elif path.is_dir():
        raise InputError(f"{path}: is a folder; choose another name for the file")
    try:
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise InputError(
            f"{path}: cannot write into {path.parent} ({error.strerror}); choose another folder"
        ) from error


def _describe(
    data: Any,
    shape: tuple[int, ...],
    like: ImageData | None,
    axes: str | None,
    pixel_size: float | Sequence[float] | None,
    units: str | Sequence[str] | None,
    source: str,
) -> ImageData:
    """The values with the axes and steps asked for, or those of ``like``."""
    if axes is None:
        axes = like.axes if like is not None and len(like.axes) == len(shape) else guess_axes(shape)
    axes = axes.upper()
    scales = dict(like.scales) if like is not None else {}
    if pixel_size is not None:
        space = [axis for axis in axes if axis in SPACE]
        if isinstance(pixel_size, (int, float)):
            sizes = dict.fromkeys(space, float(pixel_size))
        elif len(pixel_size) == len(axes):
            sizes = {axis: float(size) for axis, size in zip(axes, pixel_size, strict=True)}
        else:
            raise InputError(f"{source}: expected one pixel size, or one per axis of {axes}, got {tuple(pixel_size)}")
        if not all(0 < size < float("inf") for size in sizes.values()):
            raise InputError(f"{source}: pixel sizes must be positive numbers, got {pixel_size}")
        if units is None:
            names = {axis: scales[axis][1] if axis in scales else "nm" for axis in space}
        elif isinstance(units, str):
            names = dict.fromkeys(space, units)
        elif len(units) == len(axes):
            names = dict(zip(axes, units, strict=True))
        else:
            raise InputError(f"{source}: expected one unit, or one per axis of {axes}, got {tuple(units)}")
        scales |= {axis: (size, names[axis]) for axis, size in sizes.items() if names.get(axis)}
    metadata = None if like is None else like.metadata.for_axes(like.axes, axes)
    return make_image(data, axes, scales, source, metadata)
