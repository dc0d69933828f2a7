"""What is in an HDF5 file, found through links that stay inside of it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_hush.errors import FileFormatError, InputError

if TYPE_CHECKING:
    from pathlib import Path

MAX_DEPTH = 16
MAX_DATASETS = 10_000
MAX_SOFT = 32  # soft links on the way to one dataset
MAX_NOTE = 1 << 16  # values of an attribute
MAX_VALUES = 1 << 20  # of a dataset that describes another


@dataclass(frozen=True)
class Contents:
    """What hard links lead to, each object once, and what other links lead out of the file.

    Parameters
    ----------
    datasets, groups : list
        Of h5py.
    outside : list of str
        Other files, with the path in them: ``"other.h5:/data"``.
    """

    datasets: list[Any] = field(default_factory=list)
    groups: list[Any] = field(default_factory=list)
    outside: list[str] = field(default_factory=list)


def list_contents(file: Any, path: Path) -> Contents:
    """Walk through all groups; soft links are passed by, since what they lead to is met anyway.

    Raises
    ------
    InputError
        If there is too much in it.
    """
    import h5py

    found = Contents(groups=[file])
    pending, seen, count = [(file, 0)], set(), 0
    while pending:
        group, depth = pending.pop()
        for name in group:
            link = group.get(name, getlink=True)
            if isinstance(link, h5py.ExternalLink):
                found.outside.append(f"{link.filename}:{link.path}")
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
                found.groups.append(item)
                pending.append((item, depth + 1))
            elif isinstance(item, h5py.Dataset):
                found.datasets.append(item)
    return found


def find_object(file: Any, selector: str, path: Path, start: Any = None) -> Any:
    """The group or dataset of a name, reached through hard links and soft links inside the file.

    Parameters
    ----------
    file : h5py.File
        Where to look.
    selector : str
        Names parted by slashes.
    path : Path
        Of the file, for messages.
    start : h5py.Group, optional
        Where a name without a slash in front begins; default the root.

    Raises
    ------
    InputError
        If there is none.
    FileFormatError
        If a link leads out of the file, or around in it.
    """
    import h5py

    item = file if start is None or selector.startswith("/") else start
    pending, soft = [part for part in selector.split("/") if part not in ("", ".")], 0
    while pending:
        name, *pending = pending
        link = item.get(name, getlink=True) if isinstance(item, h5py.Group) and name in item else None
        if link is None:
            here = ", ".join(list(item)[:12]) if isinstance(item, h5py.Group) else "a dataset"
            led = f" (a soft link leads to {name!r}, which is not there)" if soft else ""
            raise InputError(f"{path}: has no {selector!r}{led}; at {item.name} there is {here or 'nothing'}")
        if isinstance(link, h5py.ExternalLink):
            raise FileFormatError(
                f"{path}:{selector}: {name!r} leads to another file, which is not followed; give that one: "
                f"{link.filename:.200}:{link.path:.200}"
            )
        if isinstance(link, h5py.SoftLink):
            soft += 1
            if soft > MAX_SOFT:
                raise FileFormatError(
                    f"{path}:{selector}: its soft links lead around in circles; name the dataset that is meant"
                )
            item = file if link.path.startswith("/") else item
            pending = [part for part in link.path.split("/") if part not in ("", ".")] + pending
        elif isinstance(link, h5py.HardLink):
            item = item[name]
        else:
            raise FileFormatError(f"{path}:{selector}: {name!r} is a {type(link).__name__}, which is not followed")
    return item


def find_dataset(file: Any, selector: str, path: Path) -> Any:
    """The dataset of a name, see `find_object`.

    Raises
    ------
    InputError
        If there is none.
    """
    import h5py

    item = find_object(file, selector, path)
    if not isinstance(item, h5py.Dataset):
        inside = ", ".join(list(item)[:12]) if isinstance(item, h5py.Group) else "no data"
        raise InputError(f"{path}: {selector!r} is no dataset; in it there is {inside or 'nothing'}")
    return item


def look_up(file: Any, selector: str, path: Path, start: Any = None) -> Any:
    """What a file itself names, as `find_object`; None where that is not there."""
    try:
        return find_object(file, selector, path, start)
    except InputError:
        return None


def read_note(item: Any, name: str, default: Any) -> Any:
    """An attribute, if it is there, of a sane size, and numbers or text."""
    if name not in item.attrs:
        return default
    attribute = item.attrs.get_id(name)
    sane = math.prod(attribute.shape or ()) <= MAX_NOTE and _is_plain(attribute.get_type())
    return item.attrs[name] if sane else default


def _is_plain(kind: Any) -> bool:
    """Whether values of a type are numbers or text: libhdf5 2.0 crashes on damaged sequences of variable length."""
    import h5py

    plain = (h5py.h5t.INTEGER, h5py.h5t.FLOAT, h5py.h5t.STRING, h5py.h5t.ENUM)
    return kind.get_class() in plain or (kind.get_class() == h5py.h5t.ARRAY and _is_plain(kind.get_super()))


def as_text(value: Any) -> str:
    """An attribute or a value as text; several are joined."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, np.ndarray):
        return "".join(as_text(one) for one in value.ravel())
    return str(value)


def values_of(dataset: Any, source: str) -> Any:
    """All of a small dataset that describes another; None where it is large, missing or not plainly in the file."""
    import h5py

    from napari_hush.io.formats.hdf5_chunks import CheckedDataset, check_packing

    if not isinstance(dataset, h5py.Dataset) or dataset.is_virtual or dataset.external:
        return None
    if dataset.shape is None or math.prod(dataset.shape) > MAX_VALUES or dataset.dtype.itemsize > MAX_NOTE:
        return None
    if not _is_plain(dataset.id.get_type()):
        return None
    try:
        check_packing(dataset, source)
        return CheckedDataset(dataset, source)[()]
    except InputError:
        return None
