"""What a path really is, whatever it is called, and whether something may be written there.

Whatever writes asks `check_outputs` first: no output takes the place of an input of the same run, nor of another
output, and an older file is replaced only where that was asked for.
"""

from __future__ import annotations

import glob
import os
import unicodedata
from pathlib import Path
from typing import TYPE_CHECKING

from napari_hush.errors import InputError
from napari_hush.files import is_empty_folder
from napari_hush.io.inputs import is_image, split_selector
from napari_hush.io.sniff import is_zarr

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator


def actual_place(path: str | Path) -> Path:
    """The file, or the whole zarr, that a path means: without a selector, links followed, absolute.

    Examples
    --------
    >>> actual_place("scans/../a.tif").name
    'a.tif'
    """
    place = Path(os.path.realpath(split_selector(path)[0]))
    zarrs = [one for one in (place, *place.parents) if is_zarr(one)]
    return zarrs[-1] if zarrs else place


def same_place(one: str | Path, other: str | Path) -> bool:
    """Whether two paths mean one file, or one zarr: also by hard links, and where letters differ in case alone."""
    first, second = actual_place(one), actual_place(other)
    return first == second or _key(first) == _key(second)


def check_outputs(
    outputs: Collection[Path],
    inputs: Iterable[str | Path] = (),
    *,
    overwrite: bool = False,
    own: Collection[Path] = (),
) -> None:
    """Refuse, before any work, outputs that would take the place of something that is needed.

    Parameters
    ----------
    outputs : collection of Path
        All files and zarr folders that a run will write.
    inputs : iterable of str or Path
        All that it reads, with or without selectors; of a folder all images in it and below count, of a pattern all
        files that it finds.
    overwrite : bool
        Older files may be replaced; inputs never.
    own : collection of Path
        Outputs that may be replaced without being asked for: they are what the run will make again.

    Raises
    ------
    InputError
        For the first output that is an input, another output, or there already.
    """
    sources = {_key(place): place for one in inputs for place in _places(one)}
    folders = [place for place in sources.values() if place.is_dir()]
    taken: dict[object, Path] = {}
    for output in outputs:
        place = actual_place(output)
        key = _key(place)
        source = sources.get(key) or _around(place, output, folders) or _inside(place, sources.values())
        if source is not None:
            raise InputError(f"{output}: the output would replace the input {source}; choose another name")
        if key in taken:
            raise InputError(f"{output}: two outputs would be written to this file; choose other names")
        taken[key] = output
        if not overwrite and output not in own and os.path.lexists(output) and not is_empty_folder(output):
            raise InputError(f"{output}: is there already; choose another name, or give --overwrite")


def _key(place: Path) -> object:
    """What two names of one file have in common: its number on its disk, or its name there as the disk reads it."""
    try:
        found = place.stat()
    except OSError:
        pass
    else:
        return found.st_dev, found.st_ino
    folder = place.parent
    name = unicodedata.normalize("NFC", place.name)
    return (_key(folder) if folder != place else "", name.casefold() if _ignores_case(folder) else name)


def _ignores_case(folder: Path) -> bool:
    """Whether a folder takes `A` and `a` for one name, as those of Windows and macOS do."""
    for one in (folder, *folder.parents):
        other = one.with_name(one.name.swapcase()) if one.name else one
        if other != one:
            return other.exists() and one.exists() and other.samefile(one)
    return os.name == "nt"


def _places(source: str | Path) -> Iterator[Path]:
    """All files and zarrs that an input means."""
    path = split_selector(source)[0]
    if not path.exists() and glob.has_magic(str(source)):
        yield from (actual_place(one) for one in glob.glob(str(source), recursive=True))
        return
    yield actual_place(source)


def _around(place: Path, output: Path, folders: Iterable[Path]) -> Path | None:
    """The input folder of which an output is a part: any part of a zarr, an image that is there of others."""
    above = [one for one in folders if one in place.parents]
    return next((one for one in above if is_zarr(one) or (output.exists() and is_image(output))), None)


def _inside(place: Path, sources: Iterable[Path]) -> Path | None:
    """An input that lies in a folder whose place the output would take."""
    if not place.is_dir():
        return None
    return next((one for one in sources if place in one.parents), None)
