"""Read zarr, versions 2 and 3: arrays, and the full resolution of OME-NGFF images."""

from __future__ import annotations

import json
import math
import os
from typing import TYPE_CHECKING, Any

from napari_hush.errors import FileFormatError, InputError
from napari_hush.io.formats.chunks import missing_words
from napari_hush.io.formats.ngff import NOTE_KEY, own_layout, read_metadata
from napari_hush.io.formats.turned import turned
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

    from napari_hush.io.formats.ngff import Layout
    from napari_hush.io.image import ImageData
    from napari_hush.io.metadata import Metadata

MAX_NOTE = 1 << 26  # bytes of metadata
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
            raise InputError(f"{path}: has no {selector!r}; it holds {', '.join(_children(path)) or 'nothing'}")
    folder = _array_folder(folder, own)
    note = _metadata(folder, own)
    _refuse_pickle(note, folder)
    check_kind(tuple(note["shape"]), _dtype(note), str(folder))
    array, n_files = _open(folder, own, note, fill_missing)
    axes, scales, layout, metadata = _calibration(folder, note, array.shape)
    if array.nbytes <= EAGER_BELOW and n_files <= MANY_FILES:
        array[...]  # a damaged chunk shows now, and not after an hour of work
    if layout is not None:
        array, axes = turned(array, layout.order), layout.axes
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
    return _open(folder, own, _metadata(folder, own), False)[0]


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


def _array_folder(folder: Path, own: OwnFolder) -> Path:
    """Go down to the one image: an OME-NGFF group names it, in any other it must be the only array."""
    for _ in range(8):
        note = _metadata(folder, own)
        if "shape" in note:
            return folder
        images = _multiscales(note)
        if images:
            below = OwnFolder(folder).below(str(images[0]["datasets"][0]["path"]))
            if not is_zarr(below):
                raise FileFormatError(f"{folder}: its full resolution {below.name!r} is missing; copy the folder again")
            folder = below
            continue
        children = _children(folder)
        if len(children) != 1 and not (children and "bioformats2raw.layout" in _attributes(note)):
            if not children:
                raise FileFormatError(f"{folder}: a zarr group without any array; give an image")
            raise InputError(
                f"{folder}: holds {len(children)} arrays or groups, choose one as '{folder.name}:/{children[0]}': "
                f"{', '.join(children[:12])}"
            )
        folder = folder / children[0]
    raise FileFormatError(f"{folder}: zarr groups nested too deep; give the path of the array itself")


def _children(folder: Path) -> list[str]:
    # bioformats2raw keeps its XML in the group OME
    return sorted(one.name for one in folder.iterdir() if one.name != "OME" and one.is_dir() and is_zarr(one))


def _metadata(folder: Path, own: OwnFolder | None = None) -> dict[str, Any]:
    """What the folder's JSON says, with the attributes of version 2 under the key of version 3."""
    own = own or OwnFolder(folder)
    try:
        if (folder / "zarr.json").is_file():
            note = _read_json(folder / "zarr.json", own)
        else:
            name = ".zarray" if (folder / ".zarray").is_file() else ".zgroup"
            note = _read_json(folder / name, own)
            if (folder / ".zattrs").is_file():
                note["attributes"] = _read_json(folder / ".zattrs", own)
        if isinstance(note, dict) and isinstance(note.get("attributes", {}), dict):
            return note
    except FileFormatError:
        raise
    except (ValueError, RecursionError) as error:
        raise FileFormatError(f"{folder}: its zarr metadata is damaged ({error}); copy the folder again") from error
    raise FileFormatError(f"{folder}: its zarr metadata is damaged; copy the folder again")


def _read_json(path: Path, own: OwnFolder) -> Any:
    size = own.check(path).st_size
    if size > MAX_NOTE:
        raise FileFormatError(
            f"{path}: zarr metadata of {size:,} bytes, far beyond an image's; it is damaged or made up"
        )
    return json.loads(path.read_text("utf-8"))


def _attributes(note: dict[str, Any]) -> dict[str, Any]:
    attributes = note.get("attributes", {})
    return {**attributes, **ome} if isinstance(ome := attributes.get("ome"), dict) else attributes


def _multiscales(note: dict[str, Any]) -> list[dict[str, Any]]:
    found = _attributes(note).get("multiscales")
    return found if isinstance(found, list) else []


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
) -> tuple[str, Scales, Layout | None, Metadata]:
    """From the OME-NGFF group above, or from the array's own attributes and dimension names."""
    for parent in list(folder.parents)[:3]:
        if not is_zarr(parent):
            break
        group = _metadata(parent)
        for image in _multiscales(group):
            for level in image["datasets"]:
                if parent / str(level["path"]) == folder:
                    return _from_multiscale(image, level, shape, _attributes(group))
    attributes = _attributes(note)
    metadata = metadata_of(attributes.get(NOTE_KEY))
    names = note.get("dimension_names") or attributes.get("_ARRAY_DIMENSIONS") or [None] * len(shape)
    letters = attributes.get("axes") or "".join(str(name)[0] if name else "?" for name in names)
    letters = letters if isinstance(letters, str) else "?"
    axes = tidy_axes(letters, shape) if letters.isalpha() else guess_axes(shape)
    sizes, units = attributes.get("pixel_size"), attributes.get("units")
    if not (isinstance(sizes, list) and isinstance(units, list)):
        return axes, {}, None, metadata
    steps = zip(axes, sizes, units, strict=True)
    scales = {axis: (float(size), str(unit)) for axis, size, unit in steps if unit not in ("", "pixel")}
    return axes, scales, None, metadata


def _from_multiscale(
    image: dict[str, Any], level: dict[str, Any], shape: tuple[int, ...], attributes: dict[str, Any]
) -> tuple[str, Scales, Layout | None, Metadata]:
    # versions before 0.4 give the axes as plain names, 0.1 and 0.2 not at all
    entries = [{"name": one} if isinstance(one, str) else one for one in image.get("axes", "tczyx"[-len(shape) :])]
    letters = ""
    for entry in entries:
        name = str(entry["name"])
        letters += name if name.lower() in "tczyx" else _KINDS.get(str(entry.get("type")), "") or "Q"
    layout = own_layout(attributes, [str(entry["name"]) for entry in entries])
    axes = layout.stored if layout is not None else tidy_axes(letters, shape)
    scale = [1.0] * len(shape)
    for step in (*level.get("coordinateTransformations", ()), *image.get("coordinateTransformations", ())):
        if step.get("type") == "scale":
            scale = [one * float(more) for one, more in zip(scale, step["scale"], strict=True)]
    units = [str(entry.get("unit", "")) for entry in entries]
    scales = {axis: (size, unit) for axis, size, unit in zip(axes, scale, units, strict=True) if unit}
    return axes, scales, layout, read_metadata(attributes, image)
