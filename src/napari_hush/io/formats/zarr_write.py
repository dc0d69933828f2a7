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
from napari_hush.files import Place, is_empty_folder, naming
from napari_hush.io.history import add_to_zarr
from napari_hush.io.image import SPACE, guess_axes
from napari_hush.io.room import check_room
from napari_hush.io.sniff import is_zarr
from napari_hush.io.units import LONG_NAMES
from napari_hush.leftovers import beside, sweep

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from napari_hush.io.image import ImageData, Scales

CHUNK = 1024  # px
ARRAY = "array.zarr"  # in a folder of what is unfinished
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
    history: Mapping[str, Any] | None = None,
    unfinished: Path | None = None,
    place: Place | None = None,
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
    history : mapping, optional
        How it was made, JSON-able; written with it.
    unfinished : Path, optional
        A folder in the same folder as ``path``. The array lies in it until it is finished, and stays there where the
        block is left by an error; one that is there already, of such a shape, is gone on with.
    place : Place, optional
        What had the name when the work began, where that was earlier than now.

    Yields
    ------
    zarr.Array

    Raises
    ------
    InputError
        If the name does not end in .zarr, the folder is missing or not writable, or something that is no zarr
        has that name; if the folder was removed, or something else took the name, while the array was filled.
    """
    path = Path(path)
    check_target(path)
    axes = guess_axes(shape) if like is None else like.axes
    if len(axes) != len(shape):
        raise InputError(f"{path.name}: expected a shape of {len(axes)} dimensions {axes}, got {shape}")
    sweep(path.parent, path.name)
    place = place or Place.of(path)
    partial = beside(path, ".part") if unfinished is None else unfinished / ARRAY
    chunks = chunks or plane_chunks(shape, axes)
    try:
        if partial.exists():
            array = _open(partial, shape)
        else:
            check_room(path, shape, dtype)
            partial.mkdir(parents=unfinished is not None)
            array = _create(partial, shape, np.dtype(dtype), chunks, axes, like)
        made = partial.stat().st_ino
        yield array
        _check_there(partial, made, path)
        if history is not None:
            add_to_zarr(partial, history)
        _put_in_place(partial, place)
    except OSError as error:
        if error.errno not in DISK_FULL:
            raise  # the caller's own, such as an input that cannot be read
        raise naming(error, path) from error
    finally:
        if unfinished is None:
            shutil.rmtree(partial, ignore_errors=True)


def write_zarr(path: Path, image: ImageData, place: Place | None = None) -> None:
    """Write an image in hand, plane by plane."""
    shape, dtype = image.shape, image.dtype
    with zarr_writer(path, shape=shape, dtype=dtype, like=image, history=image.history, place=place) as array:
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
    if path.exists() and not is_zarr(path) and not is_empty_folder(path):
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


def _open(folder: Path, shape: tuple[int, ...]) -> Any:
    """The array of an earlier run, without the chunks that it was writing when it was killed."""
    import zarr
    from zarr.storage import LocalStore

    for half in folder.rglob("*.partial"):
        half.unlink(missing_ok=True)
    found = zarr.open(LocalStore(folder), mode="r+")
    array: Any = found if isinstance(found, zarr.Array) else found["0"]
    if tuple(array.shape) != tuple(shape):
        raise InputError(f"{folder}: holds an unfinished array of shape {array.shape}, expected {shape}: remove it")
    return array


def _check_there(folder: Path, made: int, path: Path) -> None:
    """Zarr makes folders anew where they are gone, and says nothing: what was in them is lost."""
    try:
        there = folder.stat().st_ino == made and (folder / "zarr.json").is_file()
    except OSError:
        there = False
    if not there:
        shutil.rmtree(folder, ignore_errors=True)  # the chunks that came after
        raise InputError(
            f"{path}: the folder {path.parent}, or what was unfinished in it, was removed while the result was being "
            "written, and the part that was done is lost; run it again"
        )


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


def _put_in_place(partial: Path, place: Place) -> None:
    """Move the folder to its name; what had that name before comes back if that fails."""
    if place.seen is None or not place.is_free:
        place.take(partial)
        return
    path, old = place.path, beside(place.path, ".old")
    try:
        os.replace(path, old)
        os.replace(partial, path)
    except BaseException:  # Ctrl-C too
        if old.exists() and not path.exists():
            os.replace(old, path)
        raise
    finally:
        shutil.rmtree(old, ignore_errors=True)
