"""How a file was made, kept in the file itself: a tag of a TIFF, an attribute of HDF5 and zarr, a text in a PNG.

NPY and NPZ have no room for it: a file ``NAME.hush.json`` lies beside them.
"""

from __future__ import annotations

import json
import os
import time
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_hush.files import atomic_write
from napari_hush.io.sniff import identify

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

KEY = "napari-hush"
TIFF_TAG = 65111  # among those that TIFF 6.0 leaves to everybody
ZARR_KEY = "napari_hush"
BESIDE = ".hush.json"
LONGEST = 1 << 20  # bytes; what is longer is not ours
ROUNDING = 2_000_000_000  # ns; FAT keeps even seconds


def software() -> str:
    """Name and version of this program, as histories and cards name it."""
    return f"{KEY} {version('napari-hush')}"


def read_history(path: str | Path) -> dict[str, Any] | None:
    """How this program made a file; None for every other file.

    Parameters
    ----------
    path : str or Path
        An image file or a zarr folder. Nothing of the image itself is read.
    """
    path = Path(path)
    try:
        read = _READERS.get(identify(path), _read_beside)
        text = read(path)
        found = json.loads(text) if text and len(text) < LONGEST else None
    except (OSError, ValueError, LookupError, RuntimeError, TypeError, AttributeError):
        return None  # a damaged file has no history, and whoever reads its image is told why
    if not isinstance(found, dict) or not str(found.get("software", "")).startswith(KEY):
        return None
    request = found.get("request")
    if not (isinstance(request, dict) and isinstance(request.get("input"), dict)):
        found.pop("request", None)  # all who read it take it for granted
    return found


def write_beside(path: Path, history: Mapping[str, Any] | None) -> None:
    """Keep the history of a file whose format has no room for it; without one an older file's goes."""
    if history is None:
        _beside(path).unlink(missing_ok=True)
    else:
        atomic_write(_beside(path), history_text(history).encode())


def add_to_zarr(folder: Path, history: Mapping[str, Any]) -> None:
    """Write a history into the attributes of a zarr of version 3, in place of an older one."""
    write_attributes(folder, **{ZARR_KEY: {**history, "written": time.time_ns()}})


def write_attributes(folder: Path, **attributes: Any) -> None:
    """Write attributes of a zarr of version 3, in place of older ones of the same names."""
    note = folder / "zarr.json"
    content = json.loads(note.read_text("utf-8"))
    content.setdefault("attributes", {}).update(attributes)
    atomic_write(note, json.dumps(content, indent=2, default=str).encode())


def history_text(history: Mapping[str, Any]) -> str:
    """As it is written: JSON in ASCII."""
    return json.dumps(history, ensure_ascii=True, default=str)


def stamp(path: Path, history: Mapping[str, Any]) -> None:
    """Give a file the time that its history says, so that a later change of it shows, see `is_unchanged`."""
    written = int(history["written"])
    os.utime(path, ns=(written, written))


def is_unchanged(path: Path, history: Mapping[str, Any]) -> bool:
    """Whether nobody has written to a file since this program did."""
    written = history.get("written")
    if not isinstance(written, int):
        return False
    if not path.is_dir():
        return abs(path.stat().st_mtime_ns - written) < ROUNDING
    return all(one.stat().st_mtime_ns < written + ROUNDING for one in path.rglob("*") if one.is_file())


def _beside(path: Path) -> Path:
    return path.with_name(path.name + BESIDE)


def _read_beside(path: Path) -> str:
    note = _beside(path)
    return note.read_text("ascii") if note.is_file() and note.stat().st_size < LONGEST else ""


def _read_tiff(path: Path) -> str:
    import tifffile

    with tifffile.TiffFile(path) as file:
        tag = file.pages[0].tags.get(TIFF_TAG)  # type: ignore[union-attr]
        return str(tag.value) if tag is not None else ""


def _read_png(path: Path) -> str:
    from napari_hush.io.formats.png_text import read_text_chunk

    return read_text_chunk(path.read_bytes(), KEY.encode()).decode("ascii")


def _read_hdf5(path: Path) -> str:
    from napari_hush.io.formats.hdf5_open import open_hdf5
    from napari_hush.io.formats.hdf5_write import read_text

    with open_hdf5(path) as file:
        if text := read_text(file, KEY):
            return text.decode("ascii")
        if KEY not in file.attrs or file.attrs.get_id(KEY).dtype.kind != "S":
            return ""  # of variable length: not written here, and HDF5 can hang on a damaged one
        return bytes(file.attrs[KEY]).decode("ascii")


def _read_zarr(path: Path) -> str:
    note = path / "zarr.json"
    if not note.is_file() or note.stat().st_size > LONGEST:  # version 2 is not written here
        return ""
    attributes = json.loads(note.read_text("utf-8")).get("attributes", {})
    return json.dumps(attributes.get(ZARR_KEY))


_READERS: dict[str, Callable[[Path], str]] = {
    "tiff": _read_tiff,
    "png": _read_png,
    "hdf5": _read_hdf5,
    "zarr": _read_zarr,
}
