"""HDF5: plain datasets behind hard links only, read as they are indexed.

An HDF5 file can make a reader open other files (external links, external or virtual datasets), claim terabytes, unpack
without end and keep the library busy forever: none of that is followed.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from napari_hush.errors import FileFormatError, InputError
from napari_hush.io.formats.hdf5_open import open_hdf5
from napari_hush.io.formats.npy import native
from napari_hush.io.history import KEY, history_text
from napari_hush.io.image import EAGER_BELOW, SPACE, check_claim, check_kind, guess_axes, make_image, tidy_axes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from napari_hush.io.image import ImageData, Scales

MAX_DEPTH = 16
MAX_DATASETS = 10_000
MAX_NOTE = 1 << 16  # values of an attribute


def read_hdf5(path: Path, selector: str | None, *, fill_missing: bool = False) -> ImageData:
    """The only image in the file, or the dataset that the selector names; a large one stays on disk.

    Chunks that were never written are refused when they are read, if not ``fill_missing``.
    """
    from napari_hush.io.formats.hdf5_chunks import CheckedDataset

    file = open_hdf5(path)
    try:
        dataset = _select(file, path) if selector is None else find_dataset(file, selector, path)
        source = f"{path}:{dataset.name}"
        check_dataset(dataset, source, fill_missing)
        dataset = CheckedDataset(dataset, source, fill_missing=fill_missing, path=path)
        if not dataset.id.get_storage_size():
            dataset.check(())
        axes = _axes(dataset)
        scales = _scales(dataset, axes)
        if dataset.nbytes > EAGER_BELOW:
            image = make_image(dataset, axes, scales, source)
            file = None  # stays open as long as its dataset
            return image
        return make_image(native(dataset[...]), axes, scales, source)
    except OSError as error:
        raise FileFormatError(f"{path}: damaged HDF5 ({error}); copy or download it again") from error
    finally:
        if file is not None:
            file.close()


def write_hdf5(file: BinaryIO, image: ImageData) -> None:
    """Write the dataset ``data`` with attributes ``axes``, ``pixel_size``, ``units`` and ``element_size_um``."""
    import h5py

    # through a Python file: on a full disk h5py's own driver leaves the file open for good
    with h5py.File(file, "w") as target:
        dataset = target.create_dataset("data", data=np.asarray(image.data))
        # of fixed length: the HDF5 library can crash on a damaged string of variable length
        dataset.attrs["axes"] = np.bytes_(image.axes)
        if image.history is not None:
            target.attrs[KEY] = np.bytes_(history_text(image.history).encode())
        if image.pixel_size is not None:
            dataset.attrs["pixel_size"] = image.pixel_size
            dataset.attrs["units"] = [np.bytes_(unit.encode()) for unit in image.units]
            size = image.pixel_size_in("µm")
            if size is not None:  # what ilastik and Fiji read, always (z, y, x)
                depth = image.scales.get("Z", (1.0, ""))
                z = depth[0] * size[0] / image.scales["Y"][0] if depth[1] == image.scales["Y"][1] else size[0]
                dataset.attrs["element_size_um"] = (z, *size)


def check_links(file: Any, path: Path, *, fill_missing: bool = False) -> None:
    """Refuse what leads a reader to other files or to too many bytes, before one that would follow is let at it.

    Raises
    ------
    FileFormatError
        If a dataset is not wholly in this file, or an image in it was not wholly written.
    """
    from napari_hush.io.formats.hdf5_chunks import CheckedDataset, check_filters

    for dataset in _datasets(file, path, strict=True):
        source = f"{path}:{dataset.name}"
        check_storage(dataset, source)
        if not dataset.shape or 0 in dataset.shape or dataset.dtype.kind not in "buifcV":
            continue
        check_filters(dataset, source)
        claimed = math.prod(dataset.shape) * dataset.dtype.itemsize
        if not fill_missing:
            check_claim(claimed, dataset.id.get_storage_size(), source)
        image = sum(size > 1 for size in dataset.shape) > 1
        CheckedDataset(dataset, source, fill_missing=fill_missing or not image).check(())


def _select(file: Any, path: Path) -> Any:
    found = [one for one in _datasets(file, path) if one.dtype.kind in "buif" and len(one.shape or ()) >= 2]
    found.sort(key=lambda one: str(one.name))
    if len(found) == 1:
        return found[0]
    if not found:
        raise FileFormatError(f"{path}: no dataset in it is an image of two or more dimensions")
    names = ", ".join(f"{one.name} {one.shape}" for one in found[:8])
    more = f" and {len(found) - 8} more" if len(found) > 8 else ""
    raise InputError(f"{path}: holds {len(found)} datasets, choose one as '{path.name}:{found[0].name}': {names}{more}")


def _datasets(file: Any, path: Path, strict: bool = False) -> Iterator[Any]:
    """Every dataset that hard links lead to, each once; `strict` refuses links to other files instead of passing by."""
    import h5py

    pending, seen, count = [(file, 0)], set(), 0
    while pending:
        group, depth = pending.pop()
        for name in group:
            link = group.get(name, getlink=True)
            if strict and isinstance(link, h5py.ExternalLink):
                raise FileFormatError(f"{path}: leads to another file, {link.filename}, which is not followed")
            if not isinstance(link, h5py.HardLink):
                continue
            item = group[name]
            address = h5py.h5o.get_info(item.id).addr
            if address in seen:
                continue
            seen.add(address)
            count += 1
            if count > MAX_DATASETS or depth > MAX_DEPTH:
                raise InputError(f"{path}: too many objects to search; name the dataset: '{path.name}:/group/data'")
            if isinstance(item, h5py.Group):
                pending.append((item, depth + 1))
            elif isinstance(item, h5py.Dataset):
                yield item


def find_dataset(file: Any, selector: str, path: Path) -> Any:
    """The dataset of a name, reached through hard links only.

    Raises
    ------
    InputError
        If there is none.
    """
    import h5py

    item = file
    for name in (part for part in selector.split("/") if part):
        link = item.get(name, getlink=True) if isinstance(item, h5py.Group) and name in item else None
        if link is None:
            here = ", ".join(item) if isinstance(item, h5py.Group) else "a dataset"
            raise InputError(f"{path}: has no {selector!r}; at {item.name} there is {here or 'nothing'}")
        if not isinstance(link, h5py.HardLink):
            raise FileFormatError(f"{path}:{selector}: {name!r} is a {type(link).__name__}, which is not followed")
        item = item[name]
    if not isinstance(item, h5py.Dataset):
        inside = ", ".join(item) if isinstance(item, h5py.Group) else "no data"
        raise InputError(f"{path}: {selector!r} is no dataset; in it there is {inside or 'nothing'}")
    return item


def check_dataset(dataset: Any, source: str, fill_missing: bool) -> None:
    """Refuse what is no image, lies in other files, or claims more than is there.

    Raises
    ------
    FileFormatError
        If it does.
    """
    from napari_hush.io.formats.hdf5_chunks import check_filters

    check_storage(dataset, source)
    check_kind(dataset.shape, dataset.dtype, source)
    check_filters(dataset, source)
    if not fill_missing:
        check_claim(math.prod(dataset.shape) * dataset.dtype.itemsize, dataset.id.get_storage_size(), source)


def check_storage(dataset: Any, source: str) -> None:
    """Refuse a dataset whose values are in other files.

    Raises
    ------
    FileFormatError
        If they are.
    """
    if dataset.is_virtual or dataset.external:
        raise FileFormatError(
            f"{source}: its values are in other files, which are not followed; copy them into one file (h5repack)"
        )


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


def read_note(dataset: Any, name: str, default: Any) -> Any:
    """An attribute, if it is there and of a sane size."""
    if name not in dataset.attrs:
        return default
    attribute = dataset.attrs.get_id(name)
    return dataset.attrs[name] if math.prod(attribute.shape or ()) <= MAX_NOTE else default


def as_text(value: Any) -> str:
    """An attribute, or an array of texts, as one text."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, np.ndarray):
        return "".join(as_text(one) for one in value.ravel())
    return str(value)
