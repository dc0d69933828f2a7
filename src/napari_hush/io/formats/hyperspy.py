"""HyperSpy's .hspy (HDF5): signals with a group of attributes for each axis."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import h5py

from napari_hush.io.formats.hdf5_image import hard_item, hard_items, upright_choice
from napari_hush.io.formats.hdf5_links import as_text, read_note
from napari_hush.io.formats.signal_axes import Axis, NoImageError, image_axes

if TYPE_CHECKING:
    from pathlib import Path

    from napari_hush.io.formats.several import Choice

_SPECTRA = ("EDS", "EELS")


def is_hyperspy(file: h5py.File) -> bool:
    """Whether HyperSpy wrote it; its first version did not say so."""
    if as_text(read_note(file, "file_format", "")).lower() == "hyperspy":
        return True
    return any(hard_item(group, "axis-0") is not None for group in _signals(file).values())


def hyperspy_images(file: h5py.File, path: Path, fill_missing: bool) -> tuple[list[Choice], list[str]]:
    """The images, and what else there is."""
    found, others = [], []
    for name, group in _signals(file).items():
        dataset = hard_item(group, "data")
        if not isinstance(dataset, h5py.Dataset):
            continue
        try:
            letters, scales = _letters(group, dataset)
        except NoImageError as error:
            others.append(str(error))
            continue
        title = "" if name == "__unnamed__" else name
        found.append(upright_choice(dataset, path, letters, scales, title, fill_missing=fill_missing))
    return found, others


def _letters(group: h5py.Group, dataset: h5py.Dataset) -> tuple[str, Any]:
    signal = hard_item(group, "metadata/Signal")
    kind = as_text(read_note(signal, "signal_type", "")) if isinstance(signal, h5py.Group) else ""
    by = as_text(read_note(signal, "record_by", "")) if isinstance(signal, h5py.Group) else ""
    if kind.startswith(_SPECTRA) or by == "spectrum":
        raise NoImageError("spectra")
    if dataset.dtype.kind not in "buif":
        raise NoImageError("complex values (save their magnitude or phase)" if dataset.dtype.kind == "c" else "objects")
    return image_axes([_axis(group, number) for number in range(dataset.ndim)])


def _axis(group: h5py.Group, number: int) -> Axis:
    axis = hard_item(group, f"axis-{number}")
    if not isinstance(axis, h5py.Group):
        return Axis()
    name, unit = (as_text(read_note(axis, key, "")) for key in ("name", "units"))
    return Axis.described(name, unit, read_note(axis, "scale", 0.0), read_note(axis, "navigate", None))


def _signals(file: h5py.File) -> dict[str, Any]:
    return hard_items(hard_item(file, "Experiments"))
