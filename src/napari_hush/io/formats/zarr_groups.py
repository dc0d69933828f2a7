"""From a group of a zarr down to its one image; where it holds several, a list of them.

References
----------
https://ngff.openmicroscopy.org/0.5: a plate has wells, a well has fields, and bioformats2raw writes the series of a
file as images 0, 1, 2, of which none is meant before the others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_hush.errors import FileFormatError, SeveralImagesError
from napari_hush.io.formats.zarr_notes import attributes_of, multiscales_of, read_note
from napari_hush.io.references import OwnFolder
from napari_hush.io.sniff import is_zarr

if TYPE_CHECKING:
    from pathlib import Path

LISTED = 12
MAX_DEPTH = 8
MAX_WELLS = 2000  # 1536 are the largest plate


def array_folder(folder: Path, own: OwnFolder) -> Path:
    """Where the one image in a group is, at full resolution.

    Raises
    ------
    SeveralImagesError
        If there are several.
    FileFormatError
        If there is none, or not where the metadata say.
    """
    for _ in range(MAX_DEPTH):
        note = read_note(folder, own)
        if "shape" in note:
            return folder
        images = multiscales_of(note)
        if images:
            below = OwnFolder(folder).below(str(images[0]["datasets"][0]["path"]))
            if not is_zarr(below):
                raise FileFormatError(f"{folder}: its full resolution {below.name!r} is missing; copy the folder again")
            folder = below
            continue
        inside = _images(folder, note)
        if not inside:
            raise FileFormatError(f"{folder}: a zarr group without any array; give an image")
        if len(inside) > 1:
            raise SeveralImagesError(f"{folder}: {_listing(folder, inside)}", [f"{folder}/{one}" for one in inside])
        folder = folder / inside[0]
    raise FileFormatError(f"{folder}: zarr groups nested too deep; give the path of the array itself")


def children(folder: Path) -> list[str]:
    """Arrays and groups in a group, but that in which bioformats2raw keeps its XML."""
    return sorted(
        (one.name for one in folder.iterdir() if one.name != "OME" and one.is_dir() and is_zarr(one)), key=_order
    )


def smaller_levels(folder: Path) -> list[Path]:
    """Where the smaller levels of an image are, the largest first, of which this is the full resolution; or none."""
    group = folder.parent
    if not (is_zarr(folder) and is_zarr(group)):
        return []
    own = OwnFolder(group)
    for image in multiscales_of(read_note(group)):
        first, *others = (own.below(str(level["path"])) for level in image["datasets"])
        if first == folder:
            return [one for one in others if is_zarr(one)]
    return []


def _images(folder: Path, note: dict[str, Any]) -> list[str]:
    """The fields of a plate or well, the series that bioformats2raw wrote, or whatever else is inside."""
    attributes = attributes_of(note)
    own = OwnFolder(folder)
    if isinstance(plate := attributes.get("plate"), dict):
        wells = [str(one["path"]) for one in plate["wells"][:MAX_WELLS]]
        found = [f"{well}/{field}" for well in wells for field in _fields(own.below(well))]
    elif isinstance(attributes.get("well"), dict):
        found = _fields(folder)
    elif "bioformats2raw.layout" in attributes and is_zarr(folder / "OME"):
        found = [str(one) for one in attributes_of(read_note(folder / "OME", own)).get("series", [])]
    else:
        found = []
    return [one for one in found if is_zarr(own.below(one))] or children(folder)


def _fields(well: Path) -> list[str]:
    note = attributes_of(read_note(well)).get("well") if is_zarr(well) else None
    return [str(one["path"]) for one in note["images"]] if isinstance(note, dict) else []


def _listing(folder: Path, inside: list[str]) -> str:
    top = folder
    above: list[str] = []
    while is_zarr(top.parent):
        above.insert(0, top.name)
        top = top.parent
    names = [f"{one} {_called(folder / one)}".strip() for one in inside[:LISTED]]
    more = f" and {len(inside) - LISTED} more" if len(inside) > LISTED else ""
    what = "images" if any(multiscales_of(read_note(folder / one)) for one in inside[:1]) else "arrays or groups"
    first = "/".join([*above, inside[0]])
    return f"holds {len(inside)} {what}, choose one as '{top.name}:/{first}': {', '.join(names)}{more}"


def _called(folder: Path) -> str:
    images = multiscales_of(read_note(folder))
    name = str(images[0].get("name", "")) if images and isinstance(images[0], dict) else ""
    return f"({name[:80]})" if name.strip("/") not in ("", folder.name) else ""


def _order(name: str) -> tuple[int, str]:
    return (int(name), "") if name.isdecimal() and len(name) < 10 else (1 << 40, name)
