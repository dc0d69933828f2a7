"""HyperSpy's .hspy (HDF5): signals with a group of attributes for each axis."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from napari_hush.io.formats.hdf5_image import hdf5_image
from napari_hush.io.formats.hdf5_links import as_text, read_note
from napari_hush.io.formats.several import Choice
from napari_hush.io.formats.signal_axes import Axis, NoImageError, image_axes
from napari_hush.io.metadata import Metadata

if TYPE_CHECKING:
    from pathlib import Path

_SPECTRA = ("EDS", "EELS")
_NONE = "_None_"  # HyperSpy's word for it


def is_hyperspy(file: h5py.File) -> bool:
    """Whether HyperSpy wrote it; its first version did not say so."""
    if as_text(read_note(file, "file_format", "")).lower() == "hyperspy":
        return True
    return "Experiments" in file and any("axis-0" in group for group in _signals(file).values())


def hyperspy_images(file: h5py.File, path: Path, fill_missing: bool) -> tuple[list[Choice], list[str]]:
    """The images, and what else there is."""
    found, others = [], []
    for name, group in _signals(file).items():
        dataset = group.get("data") if isinstance(group.get("data", getlink=True), h5py.HardLink) else None
        if not isinstance(dataset, h5py.Dataset):
            continue
        try:
            letters, scales = _letters(group, dataset)
        except NoImageError as error:
            others.append(str(error))
            continue
        title = "" if name == "__unnamed__" else name
        read = partial(
            hdf5_image, dataset, path, letters, scales, metadata=Metadata(name=title), fill_missing=fill_missing
        )
        found.append(Choice(title, dataset.shape, read, dataset.name))
    return found, others


def _letters(group: h5py.Group, dataset: h5py.Dataset) -> tuple[str, Any]:
    signal = group.get("metadata/Signal")
    kind = as_text(read_note(signal, "signal_type", "")) if isinstance(signal, h5py.Group) else ""
    by = as_text(read_note(signal, "record_by", "")) if isinstance(signal, h5py.Group) else ""
    if kind.startswith(_SPECTRA) or by == "spectrum":
        raise NoImageError("spectra")
    if dataset.dtype.kind not in "buif":
        raise NoImageError("complex values (save their magnitude or phase)" if dataset.dtype.kind == "c" else "objects")
    return image_axes([_axis(group, number) for number in range(dataset.ndim)])


def _axis(group: h5py.Group, number: int) -> Axis:
    axis = group.get(f"axis-{number}")
    if not isinstance(axis, h5py.Group):
        return Axis()
    name, unit = (as_text(read_note(axis, key, "")) for key in ("name", "units"))
    scale, navigate = read_note(axis, "scale", 0.0), read_note(axis, "navigate", None)
    known = isinstance(scale, (int, float, np.number))
    return Axis(
        "" if name == _NONE else name,
        "" if unit == _NONE else unit,
        float(scale) if known else 0.0,
        None if navigate is None else not navigate,
    )


def _signals(file: h5py.File) -> dict[str, h5py.Group]:
    """What lies in the group of experiments, behind hard links."""
    folder = file.get("Experiments") if isinstance(file.get("Experiments", getlink=True), h5py.HardLink) else None
    if not isinstance(folder, h5py.Group):
        return {}
    hard = [name for name in folder if isinstance(folder.get(name, getlink=True), h5py.HardLink)]
    return {name: folder[name] for name in hard if folder.get(name, getclass=True) is h5py.Group}
