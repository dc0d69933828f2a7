"""By what an input is known again: its place, size, time of change, first and last bytes."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from napari_hush.io.inputs import holds_files
from napari_hush.io.outputs import actual_place
from napari_hush.io.volume import slice_files

if TYPE_CHECKING:
    from pathlib import Path

ENDS = 64 << 10  # bytes


def fingerprint(path: str | Path) -> dict[str, Any]:
    """By what a file or zarr is known again, JSON-able; cheap also for large ones."""
    if holds_files(path):
        return _of_many(path)
    place = actual_place(path)
    if place.is_dir():
        files = sorted(one for one in place.rglob("*") if one.is_file())
        notes = hashlib.sha256()
        for one in files:
            if one.suffix == ".json" or one.name.startswith(".z"):
                notes.update(one.read_bytes())
        stats = [one.stat() for one in files]
        changed = max((one.st_mtime_ns for one in stats), default=0)
        return {
            "name": str(place),
            "size": sum(one.st_size for one in stats),
            "files": len(files),
            "changed": changed,
            "sha256_of_ends": notes.hexdigest(),
        }
    stat = place.stat()
    ends = hashlib.sha256()
    with place.open("rb") as file:
        ends.update(file.read(ENDS))
        file.seek(max(stat.st_size - ENDS, 0))
        ends.update(file.read(ENDS))
    return {
        "name": str(place),
        "size": stat.st_size,
        "changed": stat.st_mtime_ns,
        "sha256_of_ends": ends.hexdigest(),
    }


def _of_many(path: str | Path) -> dict[str, Any]:
    """Of the files that a folder or a pattern holds, each an image of its own."""
    parts = [fingerprint(one) for one in slice_files(path)]
    ends = hashlib.sha256(json.dumps(parts).encode())
    return {
        "name": str(path),
        "size": sum(one["size"] for one in parts),
        "files": len(parts),
        "changed": max(one["changed"] for one in parts),
        "sha256_of_ends": ends.hexdigest(),
    }
