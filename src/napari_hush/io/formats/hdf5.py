"""HDF5: datasets that are wholly in the file, read as they are indexed.

An HDF5 file can make a reader open other files (external links, external or virtual datasets), claim terabytes, unpack
without end and keep the library busy forever: none of that is followed.
"""

from __future__ import annotations

import json
import math
import warnings
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_hush.errors import FileFormatError, SeveralImagesError
from napari_hush.io.formats.hdf5_imaris import is_imaris, open_imaris
from napari_hush.io.formats.hdf5_links import as_text, find_dataset, list_contents, read_note
from napari_hush.io.formats.hdf5_nexus import Meant, describe, find_meant, words_for
from napari_hush.io.formats.hdf5_open import open_hdf5
from napari_hush.io.formats.hdf5_virtual import check_storage, open_virtual
from napari_hush.io.formats.hdf5_write import own_metadata
from napari_hush.io.formats.mosaic import Mosaic, runs_of
from napari_hush.io.formats.npy import native
from napari_hush.io.image import EAGER_BELOW, SPACE, check_claim, check_kind, guess_axes, make_image, tidy_axes

if TYPE_CHECKING:
    from pathlib import Path

    from napari_hush.io.image import ImageData, Scales
    from napari_hush.io.metadata import Metadata

SHOWN = 8  # names in a message


def read_hdf5(path: Path, selector: str | None, *, fill_missing: bool = False) -> ImageData:
    """The image that the file means, or the dataset that the selector names; a large one stays on disk.

    Chunks that were never written are refused when they are read, if not ``fill_missing``.
    """
    file = open_hdf5(path)
    try:
        data, axes, scales, source, metadata = _open(file, path, selector, fill_missing)
        if data.nbytes > EAGER_BELOW:
            image = make_image(data, axes, scales, source, metadata)
            file = None  # stays open as long as its dataset
            return image
        return make_image(native(data[...]), axes, scales, source, metadata)
    except OSError as error:
        raise FileFormatError(f"{path}: damaged HDF5 ({error}); copy or download it again") from error
    finally:
        if file is not None:
            file.close()


def _open(
    file: Any, path: Path, selector: str | None, fill_missing: bool
) -> tuple[Any, str, Scales, str, Metadata | None]:
    """Values that are still to be read, their axes and pixel size, where they are, and what is said of them."""
    open_part = partial(open_plain, path=path, fill_missing=fill_missing)
    if selector is None and is_imaris(file, path):
        whole, axes, scales, metadata = open_imaris(file, path, open_part)
        check_kind(whole.shape, whole.dtype, str(path))
        return whole, axes, scales, str(path), metadata
    if selector is None:
        meant = _select(file, path)
    else:
        meant = describe(file, selector, find_dataset(file, selector, path), path)
    dataset = meant.dataset
    source = f"{path}:{dataset.name}"
    check_storage(dataset, path, source)
    check_kind(dataset.shape, dataset.dtype, source)
    if dataset.is_virtual:
        data: Any = open_virtual(file, dataset, path, open_part, fill_missing=fill_missing)
    else:
        data = open_plain(dataset, source, path=path, fill_missing=fill_missing)
    axes = tidy_axes(meant.axes, dataset.shape) if meant.axes else _axes(dataset)
    scales = {**_scales(dataset, axes), **meant.scales}
    if meant.keys is not None and (meant.keys != 0).any():
        data = _projections(data, meant.keys, selector, source)
    return data, axes, scales, source, meant.metadata.merged(own_metadata(file, dataset))


def open_plain(dataset: Any, source: str, *, path: Path, fill_missing: bool) -> Any:
    """A dataset that is wholly in the file, looked at before it is read, and while it is.

    Raises
    ------
    FileFormatError
        If it lies in other files, claims more than is there, or is packed so that it does harm.
    """
    from napari_hush.io.formats.hdf5_chunks import CheckedDataset, check_packing

    check_storage(dataset, path, source)
    check_kind((1, 1), dataset.dtype, source)
    check_packing(dataset, source)
    if not fill_missing:
        check_claim(math.prod(dataset.shape) * dataset.dtype.itemsize, dataset.id.get_storage_size(), source)
    checked = CheckedDataset(dataset, source, fill_missing=fill_missing, path=path)
    if not checked.id.get_storage_size():
        checked.check(())
    return checked


def _projections(data: Any, keys: Any, selector: str | None, source: str) -> Any:
    """The frames that are projections; all of a dataset that the user named."""
    if selector is not None or not (keys == 0).any():
        warnings.warn(f"{source}: of its frames only the projections show the sample: {words_for(keys)}", stacklevel=5)
        return data
    warnings.warn(f"{source}: the projections are read, the rest is left out: {words_for(keys)}", stacklevel=5)
    return Mosaic.of_runs(data, runs_of(np.flatnonzero(keys == 0)), source)


def check_links(file: Any, path: Path, *, fill_missing: bool = False) -> None:
    """Refuse what leads a reader to other files or to too many bytes, before one that would follow is let at it.

    Raises
    ------
    FileFormatError
        If a dataset is not wholly in this file, or an image in it was not wholly written.
    """
    from napari_hush.io.formats.hdf5_chunks import CheckedDataset, check_packing

    contents = list_contents(file, path)
    if contents.outside:
        raise FileFormatError(f"{path}: leads to another file, {contents.outside[0]:.200}, which is not followed")
    for dataset in contents.datasets:
        source = f"{path}:{dataset.name}"
        check_storage(dataset, path, source)
        if dataset.is_virtual:
            raise FileFormatError(f"{source}: is virtual, which is not read in this format; h5repack -l CONTI in out")
        if not dataset.shape or 0 in dataset.shape or dataset.dtype.kind not in "buifcV":
            continue
        check_packing(dataset, source)
        claimed = math.prod(dataset.shape) * dataset.dtype.itemsize
        if not fill_missing:
            check_claim(claimed, dataset.id.get_storage_size(), source)
        image = sum(size > 1 for size in dataset.shape) > 1
        CheckedDataset(dataset, source, fill_missing=fill_missing or not image).check(())


def _select(file: Any, path: Path) -> Meant:
    contents = list_contents(file, path)
    meant = find_meant(file, contents, path)
    found = [one.dataset for one in meant] or [
        one for one in contents.datasets if one.dtype.kind in "buif" and len(one.shape or ()) >= 2
    ]
    found.sort(key=lambda one: str(one.name))
    names = ", ".join(f"{one.name} {one.shape}" for one in found[:SHOWN])
    names += f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    if contents.outside and not meant:
        files = ", ".join(f"{one:.200}" for one in contents.outside[:SHOWN])
        files += f" and {len(contents.outside) - SHOWN} more" if len(contents.outside) > SHOWN else ""
        here = f"; this file itself holds {names}: add ':{found[0].name}' if that is meant" if found else ""
        raise FileFormatError(
            f"{path}: leads to images in other files, which are not followed; give these: {files}{here}"
        )
    if not found:
        raise FileFormatError(f"{path}: no dataset in it is an image of two or more dimensions")
    if len(found) > 1:
        raise SeveralImagesError(
            f"{path}: holds {len(found)} datasets, choose one as '{path.name}:{found[0].name}': {names}",
            [f"{path}:{one.name}" for one in found],
        )
    return meant[0] if meant else Meant(found[0])


def _axes(dataset: Any) -> str:
    """From the attributes ``axes``, ``axistags`` (ilastik) or the dimension labels, or guessed."""
    letters = as_text(read_note(dataset, "axes", ""))
    if not letters and "axistags" in dataset.attrs:
        try:
            letters = "".join(tag["key"] for tag in json.loads(as_text(read_note(dataset, "axistags", "")))["axes"])
        except (ValueError, LookupError, TypeError, RecursionError):
            letters = ""
    if not letters:
        letters = "".join(as_text(dim.label)[:1] for dim in dataset.dims)
    letters = "".join(letter for letter in letters if letter.isalpha())
    return tidy_axes(letters, dataset.shape) if len(letters) == dataset.ndim else guess_axes(dataset.shape)


def _scales(dataset: Any, axes: str) -> Scales:
    """From ``pixel_size`` with ``units``, or from ``element_size_um``."""
    space = [axis for axis in axes if axis in SPACE]
    for name in ("pixel_size", "element_size_um"):
        if name not in dataset.attrs:
            continue
        try:
            sizes = np.atleast_1d(np.asarray(read_note(dataset, name, ()), dtype=float)).ravel().tolist()
        except (TypeError, ValueError):
            continue
        units = "µm" if name == "element_size_um" else read_note(dataset, "units", read_note(dataset, "unit", "nm"))
        names = [as_text(one) for one in np.atleast_1d(np.asarray(units, dtype=object)).ravel()]
        if len(sizes) == 1:
            along: list[str] = space
            sizes = sizes * len(along)
        elif name == "pixel_size" and len(sizes) == len(axes):
            along = list(axes)
        else:  # the last ones belong to each other: (z, y, x) for a plane too
            along = space[-len(sizes) :]
            sizes = sizes[-len(along) :]
        names = names * len(sizes) if len(names) == 1 else names[-len(sizes) :]
        if len(names) == len(sizes):
            return dict(zip(along, zip(sizes, names, strict=True), strict=True))
    return {}
