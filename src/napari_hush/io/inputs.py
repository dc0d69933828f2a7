"""From what a user typed to a list of files: patterns, and the ``file.h5:/dataset`` selector."""

from __future__ import annotations

import glob
import re
from pathlib import Path
from typing import TYPE_CHECKING

from napari_hush.errors import InputError
from napari_hush.io.sniff import is_zarr, looks_like_image

if TYPE_CHECKING:
    from collections.abc import Iterable


def split_selector(path: str | Path) -> tuple[Path, str | None]:
    r"""Part ``file.h5:/group/data`` into the file and what to read in it.

    A file of exactly that name comes first. The colon of a Windows drive (``C:\data.h5``) parts nothing.
    """
    text = str(path)
    if not Path(text).exists():
        for colon in (match.start() for match in re.finditer(":", text)):
            if colon > 1 and colon + 1 < len(text) and Path(text[:colon]).exists():
                return Path(text[:colon]), text[colon + 1 :]
    return Path(text), None


def is_image(path: str | Path) -> bool:
    """Whether this looks like an image, by its name or first bytes; reading it may still fail."""
    return looks_like_image(split_selector(path)[0])


def holds_files(source: str | Path) -> bool:
    """Whether this is a folder or a pattern of images, each a file of its own, and not one image."""
    path = split_selector(source)[0]
    return (glob.has_magic(str(source)) and not path.exists()) or (path.is_dir() and not is_image(source))


def expand_inputs(patterns: Iterable[str | Path]) -> list[Path]:
    """The files meant by names and patterns, in natural order within each pattern, each file once.

    Parameters
    ----------
    patterns : iterable of str or Path
        Files, zarr folders, patterns such as ``"scans/*.tif"`` or ``"**/*.png"``, each also with a selector
        (``"*.h5:/data"``). Whatever a pattern finds is listed, also what is no image: ask `is_image`. Hidden files
        and folders that are no zarr are not.

    Raises
    ------
    InputError
        If a name does not exist, a pattern finds nothing, or a folder is no zarr.
    """
    if isinstance(patterns, (str, Path)):
        patterns = [patterns]
    found: dict[Path, None] = {}
    for pattern in patterns:
        found.update(dict.fromkeys(_expand(str(pattern))))
    return list(found)


def natural_key(text: object) -> list[tuple[int, int, str]]:
    """Sorting key that puts ``scan2`` before ``scan10``.

    Examples
    --------
    >>> sorted(["scan10", "scan2"], key=natural_key)
    ['scan2', 'scan10']
    """
    parts = re.findall(r"(\d+)|(\D+)", str(text))
    return [(0, int(digits), "") if digits else (1, 0, word.lower()) for digits, word in parts]


def _expand(pattern: str) -> list[Path]:
    file, selector = split_selector(pattern)
    if file.exists():
        if file.is_dir() and not is_zarr(file):
            raise InputError(f"{file}: is a folder and no zarr; give a pattern such as '{file}/*.tif'")
        return [Path(pattern)]
    if not glob.has_magic(pattern):
        raise InputError(f"{pattern}: no such file; check the name and the folder ({Path.cwd()})")
    matches, ending = _glob(pattern), ""
    if not matches:
        front, colon, selector = pattern.rpartition(":")
        matches, ending = _glob(front), colon + (selector or "")
    if not matches:
        raise InputError(f"{pattern}: the pattern finds no file; check it and the folder ({Path.cwd()})")
    return [Path(f"{match}{ending}") for match in sorted(matches, key=natural_key)]


def _glob(pattern: str) -> list[Path]:
    found = (Path(name) for name in glob.glob(pattern, recursive=True))
    return [path for path in found if path.is_file() or is_zarr(path)]
