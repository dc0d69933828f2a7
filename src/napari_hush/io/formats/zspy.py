"""HyperSpy's .zspy: a zarr folder of signals, each with its values and a group of attributes for each axis."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Any

from napari_hush.errors import FileFormatError
from napari_hush.io.formats.several import Choice, choose
from napari_hush.io.formats.signal_axes import Axis, NoImageError, image_axes
from napari_hush.io.formats.zarr_read import read_zarr
from napari_hush.io.image import make_image
from napari_hush.io.metadata import Metadata
from napari_hush.io.references import OwnFolder

if TYPE_CHECKING:
    from pathlib import Path

    from napari_hush.io.image import ImageData

MAX_NOTE = 1 << 20  # bytes
MAX_AXES = 8
AXIS = ("name", "units", "scale", "navigate")  # what is known of one
_SIGNALS = "Experiments"


def read_zspy(path: Path, selector: str | None, *, fill_missing: bool = False) -> ImageData:
    """The only image, or that of a number or a name; a place in the zarr is read as plain values."""
    if selector is not None and "/" in selector:
        return read_zarr(path, selector, fill_missing=fill_missing)
    own, found, others = OwnFolder(path), [], []
    for folder in sorted(one for one in (path / _SIGNALS).iterdir() if one.is_dir()):
        notes = [_attributes(folder / f"axis-{number}", own) for number in range(MAX_AXES)]
        known = [note for note in notes if note is not None]
        try:
            letters, scales = image_axes([Axis.described(*map(note.get, AXIS)) for note in known])
        except NoImageError as error:
            others.append(str(error))
            continue
        title = "" if folder.name == "__unnamed__" else folder.name
        read = partial(_read, path, folder.name, letters, scales, title, fill_missing)
        found.append(Choice(title, tuple(int(note.get("size") or 0) for note in known), read))
    return choose(found, selector, path, others)


def _read(path: Path, name: str, axes: str, scales: Any, title: str, fill_missing: bool) -> ImageData:
    image = read_zarr(path, f"{_SIGNALS}/{name}/data", fill_missing=fill_missing)
    if len(axes) != len(image.axes):
        raise FileFormatError(
            f"{path}: damaged, {name} has {len(image.axes)} dimensions and {len(axes)} axes; copy or save it again"
        )
    return make_image(image.data, axes, scales, image.source, Metadata(name=title))


def _attributes(folder: Path, own: OwnFolder) -> dict[str, Any] | None:
    """Of a group, of version 2 or 3; None where there is no such group."""
    for name, inside in ((".zattrs", None), ("zarr.json", "attributes")):
        file = folder / name
        if file.is_file() and own.check(file).st_size <= MAX_NOTE:
            note = json.loads(file.read_text("utf-8"))
            found = note if inside is None else note.get(inside)
            return found if isinstance(found, dict) else {}
    return None
