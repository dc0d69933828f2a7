"""Virtual datasets of HDF5 that are put together from others of the same file.

The library would open whatever files they name; here they are put together by their description, and only out of
datasets in the file itself.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from napari_hush.errors import FileFormatError
from napari_hush.io.formats.hdf5_links import find_dataset
from napari_hush.io.formats.mosaic import Mosaic, Tile

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari_hush.io.formats.mosaic import Box

MAX_SOURCES = 100_000
ADVICE = "copy them into one file: h5repack -l CONTI in.h5 out.h5"


def check_storage(dataset: Any, path: Path, source: str) -> None:
    """Refuse values that are in other files.

    Raises
    ------
    FileFormatError
        If some are.
    """
    files = [str(name) for name, _, _ in dataset.external or ()]
    if dataset.is_virtual:
        if dataset.id.get_create_plist().get_virtual_count() > MAX_SOURCES:
            raise FileFormatError(f"{source}: consists of too many parts; {ADVICE}")
        files = sorted({one.file_name for one in dataset.virtual_sources() if not _is_itself(one.file_name, path)})
    if files:
        shown = ", ".join(f"{name:.200}" for name in files[:4]) + (" and more" if len(files) > 4 else "")
        raise FileFormatError(f"{source}: its values are in other files ({shown}), which are not followed; {ADVICE}")


def open_virtual(
    file: Any, dataset: Any, path: Path, open_part: Callable[[Any, str], Any], *, fill_missing: bool = False
) -> Mosaic:
    """A virtual dataset as an array of its parts, which `check_storage` has looked at.

    Parameters
    ----------
    file, dataset : of h5py
        The file and what is virtual in it.
    path : Path
        Of the file.
    open_part : callable
        Gives, from a dataset and its name, one that is looked at when it is read.
    fill_missing : bool
        Take the fill value where there is no part.

    Raises
    ------
    FileFormatError
        If its description is more than a list of boxes, or leads to nothing.
    """
    source, tiles, opened = f"{path}:{dataset.name}", [], {}
    for one in dataset.virtual_sources():
        name = one.dset_name
        if name not in opened:
            part = find_dataset(file, name, path)
            if part.is_virtual:
                raise FileFormatError(f"{source}: its part {name} is made of others itself; {ADVICE}")
            opened[name] = open_part(part, f"{path}:{name}")
        part = opened[name]
        tiles.append(Tile(_box(one.vspace, dataset.shape, source), part, _box(one.src_space, part.shape, source)))
    return Mosaic(tiles, dataset.shape, dataset.dtype, source, float(dataset.fillvalue) if fill_missing else None)


def _is_itself(name: str, path: Path) -> bool:
    return name == "." or os.path.realpath(path.parent / name) == os.path.realpath(path)


def _box(space: Any, shape: tuple[int, ...], source: str) -> Box:
    import h5py

    kind = space.get_select_type()
    if kind == h5py.h5s.SEL_ALL:
        return tuple((0, size) for size in shape)
    if kind == h5py.h5s.SEL_HYPERSLABS and space.is_regular_hyperslab():
        steps = list(zip(*space.get_regular_hyperslab(), strict=True))
        if all(count * block < 1 << 62 and (count == 1 or stride == block) for _, stride, count, block in steps):
            return tuple((start, start + count * block) for start, _, count, block in steps)
    raise FileFormatError(f"{source}: is put together in another way than box by box; {ADVICE}")
