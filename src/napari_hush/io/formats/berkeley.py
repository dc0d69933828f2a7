"""Berkeley EMD (also of Prismatic and py4DSTEM): groups with values and a vector ``dim`` for each axis.

References
----------
https://emdatasets.com/format. ``dim1`` belongs to the slowest axis; py4DSTEM counts from ``dim0``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import h5py

from napari_hush.io.formats.hdf5_image import hard_item, small_part, upright_choice
from napari_hush.io.formats.hdf5_links import as_text, read_note
from napari_hush.io.formats.signal_axes import Axis, NoImageError, image_axes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from napari_hush.io.formats.several import Choice


MAX_DEPTH = 16
MAX_GROUPS = 10_000
_VALUES = ("data", "counted_datacube", "datacube", "diffractionslice", "realslice")


def is_berkeley(file: h5py.File) -> bool:
    """Whether a group in it is marked as one of EMD."""
    return any(True for _ in _groups(file))


def berkeley_images(file: h5py.File, path: Path, fill_missing: bool) -> tuple[list[Choice], list[str]]:
    """The images, and what else there is."""
    found, others = [], []
    for group in _groups(file):
        values = (hard_item(group, name) for name in _VALUES)
        dataset = next((one for one in values if isinstance(one, h5py.Dataset)), None)
        if dataset is None:
            continue
        if dataset.dtype.kind not in "buif":
            others.append("complex values (save their magnitude or phase)" if dataset.dtype.kind == "c" else "objects")
            continue
        try:
            letters, scales = image_axes(_axes(group, dataset, path))
        except NoImageError as error:
            others.append(str(error))
            continue
        found.append(upright_choice(dataset, path, letters, scales, _title(group), fill_missing=fill_missing))
    return found, others


def _axes(group: h5py.Group, dataset: h5py.Dataset, path: Path) -> list[Axis]:
    first = 0 if "dim0" in group else 1
    axes = [_axis(group, f"dim{first + number}", path) for number in range(dataset.ndim)]
    if first == 0:  # py4DSTEM calls the rows x
        swap = {"x": "y", "y": "x"}
        axes = [Axis("".join(swap.get(c, c) for c in one.name), one.unit, one.step) for one in axes]
    return axes


def _axis(group: h5py.Group, name: str, path: Path) -> Axis:
    """From a vector of positions, of which two suffice."""
    dim, step = hard_item(group, name), 0.0
    if not isinstance(dim, h5py.Dataset):
        return Axis()
    if len(dim.shape or ()) == 1 and len(dim) >= 2 and dim.dtype.kind in "iuf" and dim.id.get_storage_size():
        first, second = small_part(dim, slice(2), path).tolist()
        step = float(second) - float(first)
    return Axis(as_text(read_note(dim, "name", "")), as_text(read_note(dim, "units", "")), step)


def _groups(file: h5py.File) -> Iterator[h5py.Group]:
    """Groups of EMD, each once, in the order of their names; those that links lead to are passed by."""
    pending: list[tuple[h5py.Group, int]] = [(file, 0)]
    seen: set[int] = set()
    while pending:
        group, depth = pending.pop()
        address = h5py.h5o.get_info(group.id).addr
        if address in seen or depth > MAX_DEPTH or len(seen) > MAX_GROUPS:
            continue
        seen.add(address)
        if as_text(read_note(group, "emd_group_type", "")) in ("1", "array"):
            yield group
        inner = [name for name in group if isinstance(group.get(name, getlink=True), h5py.HardLink)]
        pending += [
            (group[name], depth + 1) for name in reversed(inner) if group.get(name, getclass=True) is h5py.Group
        ]


def _title(group: h5py.Group) -> str:
    title = str(group.name).rpartition("/")[2]
    return "" if title.strip("_") == "unnamed" else title
