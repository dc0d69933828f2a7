"""The JSON of a zarr: what a group or an array says of itself, in either version."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from napari_hush.errors import FileFormatError
from napari_hush.io.references import OwnFolder

if TYPE_CHECKING:
    from pathlib import Path

MAX_NOTE = 1 << 26  # bytes of metadata


def read_note(folder: Path, own: OwnFolder | None = None) -> dict[str, Any]:
    """What the folder's JSON says, with the attributes of version 2 under the key of version 3.

    Raises
    ------
    FileFormatError
        If it is damaged.
    """
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


def attributes_of(note: dict[str, Any]) -> dict[str, Any]:
    """Attributes, with those of OME-NGFF 0.5 and later among them."""
    attributes = note.get("attributes", {})
    return {**attributes, **ome} if isinstance(ome := attributes.get("ome"), dict) else attributes


def multiscales_of(note: dict[str, Any]) -> list[dict[str, Any]]:
    """The OME-NGFF images that a group is."""
    found = attributes_of(note).get("multiscales")
    return found if isinstance(found, list) else []


def _read_json(path: Path, own: OwnFolder) -> Any:
    size = own.check(path).st_size
    if size > MAX_NOTE:
        raise FileFormatError(
            f"{path}: zarr metadata of {size:,} bytes, far beyond an image's; it is damaged or made up"
        )
    return json.loads(path.read_text("utf-8"))
