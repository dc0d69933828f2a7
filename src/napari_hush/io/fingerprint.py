"""What tells one input from another, cheaply: compared when a run ends, and when a stopped one goes on."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_hush.errors import InputError
from napari_hush.io.formats.file_array import FileArray
from napari_hush.io.formats.mosaic import Mosaic
from napari_hush.io.inputs import holds_files, split_selector
from napari_hush.io.sniff import is_zarr
from napari_hush.io.volume import SliceFiles, slice_files

if TYPE_CHECKING:
    from collections.abc import Iterator

END = 1 << 16  # bytes at either end of a file that are looked at
WHOLE = 1 << 28  # bytes: smaller arrays in memory are looked at pixel by pixel
ROWS = 16  # of other arrays
MOST = 200_000  # files of a folder that are looked at
METADATA = ("zarr.json", ".zarray", ".zattrs", ".zgroup", ".zmetadata")
WORDS = {
    "name": "name",
    "size": "size in bytes",
    "changed": "time of the last change",
    "head": "first bytes",
    "tail": "last bytes",
    "metadata": "metadata",
    "files": "number of files",
    "shape": "shape",
    "dtype": "number type",
    "values": "values",
}


@dataclass(frozen=True)
class Watched:
    """An input as it was when a run began.

    Parameters
    ----------
    source : path or array
        As `fingerprint` takes it.
    before : dict
        Its fingerprint then.
    """

    source: Any
    before: dict[str, Any]

    @classmethod
    def of(cls, source: Any) -> Watched:
        """As it is now."""
        return cls(source, fingerprint(source))

    def check(self) -> None:
        """Look at it again.

        Raises
        ------
        InputError
            If it is another one now, with what changed, or cannot be read any more.
        """
        name = self.before.get("name", "the image")
        try:
            other = changes(self.before, fingerprint(self.source))
        except (OSError, InputError) as error:
            reason = "was removed" if isinstance(error, FileNotFoundError) else f"became unreadable ({error})"
            raise InputError(f"{name}: {reason} during the run, so there is no result; put it back") from error
        if other:
            raise InputError(
                f"{name}: changed during the run, so that the result would be of two images and is not kept: "
                f"{'; '.join(other)}; run it again when nobody writes to it"
            )


def fingerprint(source: Any) -> dict[str, Any]:
    """Tell an input from others without reading all of it.

    Parameters
    ----------
    source : path or array_like
        A file, perhaps with a selector (``file.h5:/data``); a zarr; a folder or a pattern of images; or an array, where
        one in a file (a memory map, a zarr array) counts as that file.

    Returns
    -------
    dict
        JSON-able. Of a file its resolved name, size, time of change (ns) and SHA-256 of its first and last 64 KiB. Of a
        zarr those of its metadata, and number, size and latest change of its first 200,000 files. Of an array its
        shape, number type, and SHA-256 of its values, above 256 MB and elsewhere than in memory of some rows.

    Raises
    ------
    OSError
        If the file cannot be read, or is missing.
    """
    if isinstance(source, (str, Path)):
        path = split_selector(source)[0]
        if holds_files(source):
            files = slice_files(source)
            return {"name": str(files[0].parent.resolve())} | _of_files(files)
        return _of_zarr(path) if is_zarr(path) else _of_file(path)
    file = file_of(source)
    if file is not None:
        return fingerprint(file) | {"shape": [int(n) for n in source.shape], "dtype": str(source.dtype)}
    if isinstance(source, SliceFiles):
        return {"name": str(source.paths[0].parent.resolve())} | _of_files(source.paths)
    return _of_array(source if hasattr(source, "dtype") else np.asarray(source))


def changes(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """What differs between two fingerprints, in words, old and new."""
    return [
        f"{WORDS.get(key, key)} {_text(key, before.get(key))} -> {_text(key, after.get(key))}"
        for key in dict.fromkeys([*before, *after])
        if before.get(key) != after.get(key)
    ]


def _text(key: str, value: Any) -> str:
    if value is None:
        return "none"
    if key == "changed":
        return datetime.fromtimestamp(value / 1e9).astimezone().isoformat(sep=" ", timespec="milliseconds")
    return f"{value[:12]}..." if key in ("head", "tail", "metadata", "values") else str(value)


def _of_file(path: Path) -> dict[str, Any]:
    with path.open("rb") if stat.S_ISREG(path.stat().st_mode) else open(os.devnull, "rb") as file:
        found = os.fstat(file.fileno())
        head = file.read(END)
        file.seek(max(found.st_size - END, 0))
        tail = file.read(END)
    return {
        "name": str(path.resolve()),
        "size": found.st_size,
        "changed": found.st_mtime_ns,
        "head": hashlib.sha256(head).hexdigest(),
        "tail": hashlib.sha256(tail).hexdigest(),
    }


def _of_zarr(folder: Path) -> dict[str, Any]:
    digest, count, size, changed = hashlib.sha256(), 0, 0, 0
    for entry in _entries(folder):
        found = entry.stat()
        count, size, changed = count + 1, size + found.st_size, max(changed, found.st_mtime_ns)
        if entry.name in METADATA:
            digest.update(f"{os.path.relpath(entry.path, folder)}\n".encode(errors="surrogateescape"))
            digest.update(Path(entry.path).read_bytes())
    above = folder.parent
    while is_zarr(above):  # the group knows the pixel size
        for name in METADATA:
            if (above / name).is_file():
                digest.update((above / name).read_bytes())
        above = above.parent
    return {
        "name": str(folder.resolve()),
        "metadata": digest.hexdigest(),
        "files": count,
        "size": size,
        "changed": changed,
    }


def _entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    """Files in a folder and below, in a fixed order; of very many the first ones."""
    count, waiting = 0, [str(folder)]
    while waiting:
        with os.scandir(waiting.pop()) as found:
            entries = sorted(found, key=lambda entry: entry.name)
        for entry in entries:
            if entry.is_dir():
                waiting.append(entry.path)
                continue
            yield entry
            count += 1
            if count == MOST:
                return


def _of_files(paths: list[Path]) -> dict[str, Any]:
    found = [path.stat() for path in paths[:MOST]]
    return {
        "metadata": hashlib.sha256(json.dumps([path.name for path in paths]).encode()).hexdigest(),
        "files": len(paths),
        "size": sum(one.st_size for one in found),
        "changed": max((one.st_mtime_ns for one in found), default=0),
    }


def lies_in_file(array: Any) -> bool:
    """Whether an array is read from the disk when it is indexed."""
    return isinstance(array, SliceFiles) or file_of(array) is not None


def file_of(array: Any) -> Path | None:
    """Where an array lies, if that is a file or a folder of this machine; of a dask array nobody knows."""
    if isinstance(array, Mosaic):
        return file_of(array.tiles[0].source) if array.tiles else None
    if isinstance(array, (np.memmap, FileArray)):
        return None if array.filename is None else Path(array.filename)
    name = getattr(getattr(array, "file", None), "filename", None)  # of h5py
    if isinstance(name, str) and Path(name).is_file():
        return Path(name)
    store, inner = getattr(array, "store", None), getattr(array, "path", "")
    root = getattr(store, "root", None)
    return Path(root) / str(inner) if isinstance(root, (str, Path)) and Path(root).is_dir() else None


def _of_array(array: Any) -> dict[str, Any]:
    shape = tuple(int(n) for n in array.shape)
    digest = hashlib.sha256()
    if isinstance(array, np.ndarray) and array.nbytes <= WHOLE:
        digest.update(np.ascontiguousarray(array).view(np.uint8).data if array.size else b"")
    elif len(shape) >= 2:
        lines = int(np.prod(shape[:-1]))
        for number in np.unique(np.linspace(0, lines - 1, ROWS).astype(int)):
            row = np.asarray(array[tuple(int(n) for n in np.unravel_index(number, shape[:-1]))])
            digest.update(np.ascontiguousarray(row).tobytes())
    return {"shape": list(shape), "dtype": str(array.dtype), "values": digest.hexdigest()}
