"""Nion Swift's .h5: a dataset ``data``, and what is known of it in an attribute."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import h5py

from napari_hush.io.formats.hdf5_image import hard_item, hdf5_image
from napari_hush.io.formats.hdf5_links import as_text, read_note
from napari_hush.io.formats.nion import properties, swift_axes, swift_metadata
from napari_hush.io.formats.several import Choice
from napari_hush.io.formats.signal_axes import NoImageError

if TYPE_CHECKING:
    from pathlib import Path


def is_nion(file: h5py.File) -> bool:
    """Whether Nion Swift wrote an HDF5 file."""
    dataset = hard_item(file, "data")
    return isinstance(dataset, h5py.Dataset) and "dimensional_calibrations" in _notes(dataset)


def nion_images(file: h5py.File, path: Path, fill_missing: bool) -> tuple[list[Choice], list[str]]:
    """The image, and what there is instead of it."""
    dataset = file["data"]
    notes = _notes(dataset)
    try:
        axes, scales = swift_axes(notes, dataset.shape)
    except NoImageError as error:
        return [], [str(error)]
    metadata = swift_metadata(notes)
    read = partial(hdf5_image, dataset, path, axes, scales, metadata=metadata, fill_missing=fill_missing)
    return [Choice(metadata.name, dataset.shape, read, dataset.name)], []


def _notes(dataset: h5py.Dataset) -> dict[str, Any]:
    return properties(as_text(read_note(dataset, "properties", "")))
