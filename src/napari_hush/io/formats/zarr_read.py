"""Read zarr, versions 2 and 3: arrays, and the full resolution of OME-NGFF images."""

from __future__ import annotations

import math
import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from napari_hush.errors import FileFormatError, InputError
from napari_hush.io.formats.chunks import missing_words
from napari_hush.io.formats.mosaic import Mosaic
from napari_hush.io.formats.ngff import NOTE_KEY, Layout, own_layout, read_metadata
from napari_hush.io.formats.turned import turned
from napari_hush.io.formats.zarr_groups import array_folder, children
from napari_hush.io.formats.zarr_notes import attributes_of, multiscales_of, read_note
from napari_hush.io.image import (
    EAGER_BELOW,
    Scales,
    check_claim,
    check_kind,
    guess_axes,
    make_image,
    tidy_axes,
)
from napari_hush.io.metadata_note import metadata_of
from napari_hush.io.references import OwnFolder
from napari_hush.io.sniff import is_zarr

if TYPE_CHECKING:
    from pathlib import Path

    from napari_hush.io.image import ImageData
    from napari_hush.io.metadata import Metadata

MANY_FILES = 4096  # no more are counted, nor read at once
_KINDS = {"space": "", "time": "T", "channel": "C"}


def read_zarr(path: Path, selector: str | None, *, fill_missing: bool = False) -> ImageData:
    """An array, or the first level of the image in a group; stays on disk until it is indexed.

    Chunks that are not there are refused when they are read, if not ``fill_missing``.
    """
    own, folder = OwnFolder(path), path
    if selector is not None:
        folder = path.joinpath(*(part for part in selector.split("/") if part not in ("", ".", "..")))
        if not is_zarr(folder):
            raise InputError(f"{path}: has no {selector!r}; it holds {', '.join(children(path)) or 'nothing'}")
    folder = array_folder(folder, own)
    note = read_note(folder, own)
    _refuse_pickle(note, folder)
    check_kind(tuple(note["shape"]), _dtype(note), str(folder))
    array, n_files = _open(folder, own, note, fill_missing)
    axes, scales, layout, metadata = _calibration(folder, note, array.shape)
    if array.nbytes <= EAGER_BELOW and n_files <= MANY_FILES:
        array[...]  # a damaged chunk shows now, and not after an hour of work
    if isinstance(layout, Layout):
        array, axes = turned(array, layout.order), layout.axes
    elif layout == "others":  # TIFF and its kin leave out what has one place only, too
        kept = [
            k for k, (axis, size) in enumerate(zip(axes, array.shape, strict=True)) if size > 1 or axis not in "TCZ"
        ]
        axes = "".join(axes[k] for k in kept)
        array = array if len(kept) == array.ndim else Mosaic.of_axes(array, kept, str(folder))
    return make_image(array, axes, scales, str(folder), metadata)


def watched_zarr(array: Any) -> Any:
    """The same zarr array, which refuses chunks that are not there or unsafe, if it is a folder on this machine.

    Parameters
    ----------
    array : object
        Whatever is no `zarr.Array` in a local store comes back as it is.
    """
    if type(array).__module__.partition(".")[0] != "zarr":
        return array
    import zarr
    from zarr.storage import LocalStore

    if type(array) is not zarr.Array or type(array.store) is not LocalStore:
        return array
    folder = array.store.root / array.path
    own = OwnFolder(folder)
    return _open(folder, own, read_note(folder, own), False)[0]


def _open(folder: Path, own: OwnFolder, note: dict[str, Any], fill_missing: bool) -> tuple[Any, int]:
    """The array, and how many files hold it (or more than `MANY_FILES`)."""
    import numpy as np
    import zarr

    from napari_hush.io.formats.zarr_chunks import packing_of
    from napari_hush.io.formats.zarr_store import CheckedArray, CheckedStore

    shape = tuple(note["shape"])
    if not all(isinstance(n, int) and n > 0 for n in shape):
        raise FileFormatError(f"{folder}: damaged, its shape is {shape}; copy the folder again")
    itemsize = np.dtype(_dtype(note)).itemsize
    packing = packing_of(note, shape, itemsize, str(folder))
    n_files, stored = _stored(folder)
    if n_files == 0 and not fill_missing:
        raise FileFormatError(missing_words(str(folder), "none of its chunks is there"))
    if n_files <= MANY_FILES and not fill_missing:
        check_claim(math.prod(shape) * itemsize, stored, str(folder))
    store = CheckedStore(folder, own, packing, fill_missing=fill_missing)
    array = zarr.open_array(store, mode="r")
    check_kind(array.shape, array.dtype, str(folder))
    return CheckedArray(array), n_files


def _stored(folder: Path) -> tuple[int, int]:
    """How many files hold chunks and how many bytes; not counted to the end where they are many."""
    number = size = 0
    pending = [os.fspath(folder)]
    while pending and number <= MANY_FILES:
        with os.scandir(pending.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    pending.append(entry.path)
                elif not entry.name.startswith(".z") and entry.name != "zarr.json":
                    number += 1
                    size += entry.stat().st_size
                if number > MANY_FILES:
                    break
    return number, size


def _refuse_pickle(note: dict[str, Any], folder: Path) -> None:
    """A chunk stored with Python's pickle runs code when it is read."""
    codecs = [note.get("compressor"), *(note.get("filters") or []), *(note.get("codecs") or [])]
    names = {str(codec.get("id", codec.get("name", ""))) for codec in codecs if isinstance(codec, dict)}
    if any("pickle" in name for name in names):
        raise FileFormatError(f"{folder}: its chunks are pickled, which can run code; save plain numbers instead")


def _dtype(note: dict[str, Any]) -> Any:
    """The number type, as far as numpy knows its name; ``object`` for any other."""
    name = note.get("data_type", note.get("dtype"))
    return name if isinstance(name, str) and name not in ("string", "variable_length_bytes") else object


def _calibration(
    folder: Path, note: dict[str, Any], shape: tuple[int, ...]
) -> tuple[str, Scales, Layout | Literal["others", "none"], Metadata]:
    """From the OME-NGFF group above, written by this package or by others, or from the array's own attributes."""
    for parent in list(folder.parents)[:3]:
        if not is_zarr(parent):
            break
        group = read_note(parent)
        for image in multiscales_of(group):
            for level in image["datasets"]:
                if parent / str(level["path"]) == folder:
                    return _from_multiscale(image, level, shape, attributes_of(group))
    attributes = attributes_of(note)
    metadata = metadata_of(attributes.get(NOTE_KEY))
    names = note.get("dimension_names") or attributes.get("_ARRAY_DIMENSIONS") or [None] * len(shape)
    letters = attributes.get("axes") or "".join(str(name)[0] if name else "?" for name in names)
    letters = letters if isinstance(letters, str) else "?"
    axes = tidy_axes(letters, shape) if letters.isalpha() else guess_axes(shape)
    sizes, units = attributes.get("pixel_size"), attributes.get("units")
    if not (isinstance(sizes, list) and isinstance(units, list) and len(sizes) == len(units) == len(axes)):
        return axes, {}, "none", metadata
    steps = zip(axes, sizes, units, strict=True)
    scales = {axis: (float(size), str(unit)) for axis, size, unit in steps if unit not in ("", "pixel")}
    return axes, scales, "none", metadata


def _from_multiscale(
    image: dict[str, Any], level: dict[str, Any], shape: tuple[int, ...], attributes: dict[str, Any]
) -> tuple[str, Scales, Layout | Literal["others"], Metadata]:
    # versions before 0.4 give the axes as plain names, 0.1 and 0.2 not at all
    named = image.get("axes") or next((one["axes"] for one in image.get("coordinateSystems", ())), None)
    entries = [{"name": one} if isinstance(one, str) else one for one in named or "tczyx"[-len(shape) :]]
    letters = ""
    for entry in entries:
        name = str(entry["name"])
        letters += name if name.lower() in "tczyx" else _KINDS.get(str(entry.get("type")), "") or "Q"
    layout = own_layout(attributes, [str(entry["name"]) for entry in entries])
    axes = layout.stored if layout is not None else tidy_axes(letters, shape)
    scale = [1.0] * len(shape)
    steps = [*level.get("coordinateTransformations", ()), *image.get("coordinateTransformations", ())]
    # version 0.6 may put them into a sequence
    for step in (part for one in steps for part in one.get("transformations", (one,))):
        if step.get("type") == "scale":
            scale = [one * float(more) for one, more in zip(scale, step["scale"], strict=True)]
    units = [str(entry.get("unit", "")) for entry in entries]
    scales = {axis: (size, unit) for axis, size, unit in zip(axes, scale, units, strict=True) if unit}
    metadata = read_metadata(attributes, image)
    count = shape[axes.index("C")] if "C" in axes else 1
    if len(metadata.channels) != count:
        metadata = replace(metadata, channels=())
    return axes, scales, layout or "others", metadata
