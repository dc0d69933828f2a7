"""Write OME-Zarr 0.5 (zarr version 3): all at once, or tile by tile for images larger than memory."""

from __future__ import annotations

import errno
import os
import shutil
import warnings
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_hush.errors import InputError
from napari_hush.files import Place, is_empty_folder, naming
from napari_hush.io.formats.ngff import MOST_AXES, NOTE_KEY, Layout, image_note, layout_of, omero_note, own_note
from napari_hush.io.formats.pyramid import add_levels, level_factors, value_ranges
from napari_hush.io.formats.turned import TurnedArray, turned
from napari_hush.io.history import add_to_zarr, write_attributes
from napari_hush.io.image import ImageData, guess_axes
from napari_hush.io.metadata_note import note_of
from napari_hush.io.room import check_room
from napari_hush.io.sniff import is_zarr
from napari_hush.leftovers import beside, sweep

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

CHUNK = 1024  # px
ARRAY = "array.zarr"  # in a folder of what is unfinished
DISK_FULL = {errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)}
LEVEL = "0"  # of the full resolution


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

    It is level 0 of an OME-Zarr 0.5 image (the group ``path`` with the array ``path/0``), whose smaller levels are made
    of it at the end. OME-Zarr stores time, channels and space in this order: what is yielded takes the image's own, and
    `read_image` gives it back. An older zarr of that name stays as it is until the new one is complete.

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
        Where axes, pixel size and metadata come from; its number of dimensions must be that of ``shape``.
    history : mapping, optional
        How it was made, JSON-able; written with it.
    unfinished : Path, optional
        A folder in the same folder as ``path``. The array lies in it until it is finished, and stays there where the
        block is left by an error; one that is there already, of such a shape, is gone on with.
    place : Place, optional
        What had the name when the work began, where that was earlier than now.

    Yields
    ------
    zarr.Array or TurnedArray

    Warns
    -----
    UserWarning
        If OME-Zarr has no room for the axes, six of them for example: then ``path`` is a plain array with attributes.

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
    like = ImageData(_Shape(shape), axes) if like is None else like
    layout = layout_of(axes)
    sweep(path.parent, path.name)
    place = place or Place.of(path)
    partial = beside(path, ".part") if unfinished is None else unfinished / ARRAY
    try:
        if partial.exists():
            array = _open(partial, shape, layout)
        else:
            check_room(path, shape, dtype)
            partial.mkdir(parents=unfinished is not None)
            array = _create(partial, shape, np.dtype(dtype), chunks, like, layout)
        made = partial.stat().st_ino
        yield array
        _check_there(partial, made, path)
        if layout is not None:
            _finish(partial, layout, like)
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


def open_zarr(path: str | Path) -> Any:
    """The full resolution of an image that `zarr_writer` wrote, its axes in their own order, to be read and written.

    Returns
    -------
    zarr.Array or TurnedArray
    """
    import zarr

    found = zarr.open(str(path), mode="r+")
    if isinstance(found, zarr.Array):
        return found
    layout = layout_of(str(found.attrs[NOTE_KEY]["axes"]))  # type: ignore[index,call-overload]
    return found[LEVEL] if layout is None else turned(found[LEVEL], layout.order)


def write_zarr(path: Path, image: ImageData, place: Place | None = None) -> None:
    """Write an image in hand, plane by plane."""
    shape, dtype = image.shape, image.dtype
    with zarr_writer(path, shape=shape, dtype=dtype, like=image, history=image.history, place=place) as array:
        data, stored = image.data, array
        if isinstance(array, TurnedArray):  # in the order of its chunks
            data, stored = TurnedArray(data, np.argsort(array.order).tolist()), array.stored
        if len(shape) == 2:
            stored[...] = np.asarray(data[...])
            return
        for index in range(stored.shape[0]):
            stored[index] = np.asarray(data[index])


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
    """One plane per chunk, cut to 1024 x 1024 px."""
    return tuple(min(n, CHUNK) if axis in "YX" else 1 for n, axis in zip(shape, axes, strict=True))


class _Shape:
    """What an image of a shape has instead of data while nothing of it is known."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape = shape


def _create(
    folder: Path,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    chunks: tuple[int, ...] | None,
    like: ImageData,
    layout: Layout | None,
) -> Any:
    import zarr
    from zarr.storage import LocalStore

    chunks = chunks or plane_chunks(shape, like.axes)
    store = LocalStore(folder)
    if layout is None:
        words = f"OME-Zarr has no room for the axes {like.axes} (at most {MOST_AXES}, one of channels, one of time)"
        warnings.warn(f"{words}: a plain zarr array is written", UserWarning, stacklevel=4)
        attributes: dict[str, Any] = {"axes": like.axes, NOTE_KEY: note_of(like.metadata)}
        if like.scales:
            attributes |= {"pixel_size": list(like.pixel_size or ()), "units": list(like.units)}
        names = [axis.lower() for axis in like.axes]
        options = _options(names) | {"zarr_format": 3, "overwrite": True, "attributes": attributes}
        return zarr.create_array(store, shape=shape, dtype=dtype, chunks=chunks, **options)
    ome = image_note(layout, like.scales, like.metadata.name, [1])
    attributes = {"ome": ome, NOTE_KEY: own_note(layout, like.metadata)}
    group = zarr.open_group(store, mode="a", zarr_format=3, attributes=attributes)
    stored_shape, stored_chunks = (tuple(one[axis] for axis in layout.inverse) for one in (shape, chunks))
    options = _options(layout.names)
    array = group.create_array(LEVEL, shape=stored_shape, dtype=dtype, chunks=stored_chunks, **options)
    return turned(array, layout.order)


def _options(names: list[str]) -> dict[str, Any]:
    # a chunk that is not there is refused when it is read
    return {"dimension_names": names, "config": {"write_empty_chunks": True}}


def _open(folder: Path, shape: tuple[int, ...], layout: Layout | None) -> Any:
    """The array of an earlier run, without the chunks that it was writing when it was killed."""
    import zarr
    from zarr.storage import LocalStore

    for half in folder.rglob("*.partial"):
        half.unlink(missing_ok=True)
    found = zarr.open(LocalStore(folder), mode="r+")
    array: Any = found if layout is None else turned(found[LEVEL], layout.order)  # type: ignore[index]
    if tuple(array.shape) != tuple(shape):
        raise InputError(f"{folder}: holds an unfinished array of shape {array.shape}, expected {shape}: remove it")
    return array


def _finish(folder: Path, layout: Layout, like: ImageData) -> None:
    """Make the smaller levels of an image that is complete, and say that they are there."""
    import zarr
    from zarr.storage import LocalStore

    group = zarr.open_group(LocalStore(folder), mode="r+")
    factors = level_factors(group[LEVEL].shape)  # type: ignore[union-attr]
    smallest = add_levels(group, folder, factors, **_options(layout.names))
    omero = None
    if like.metadata.channels:
        axis = layout.stored.find("C")
        omero = omero_note(like.metadata, value_ranges(smallest, None if axis < 0 else axis))
    write_attributes(folder, ome=image_note(layout, like.scales, like.metadata.name, factors, omero))


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
