"""Velox EMD (Thermo Fisher): its images, with the names that Velox shows; spectra beside them are left alone."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from napari_hush.io.formats.hdf5_image import hard_item, hard_items, hdf5_image, small_part
from napari_hush.io.formats.hdf5_links import values_of
from napari_hush.io.formats.several import Choice
from napari_hush.io.formats.signal_axes import Axis, image_axes
from napari_hush.io.metadata import Metadata

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from napari_hush.io.image import ImageData

MAX_TEXT = 1 << 20  # bytes of a description
_DISPLAYS = ("Presentation/Displays/ImageDisplay", "Displays/ImageDisplay")  # up to version 10, and from 11 on


def is_velox(file: h5py.File) -> bool:
    """Whether Velox wrote it."""
    return str(_text(file, "Version").get("format", "")) in ("Velox", "DevelopersKit")


def velox_images(file: h5py.File, path: Path, fill_missing: bool) -> tuple[list[Choice], list[str]]:
    """The images, and what else there is.

    Of images beside a spectrum image the first frame is read, which is the one that Velox shows.
    """
    names = dict(_names(file))
    spectra = any(hard_item(file, f"Data/{kind}") for kind in ("Spectrum", "SpectrumImage", "SpectrumStream"))
    found, others = [], ["spectra"] * spectra
    for key, group in hard_items(hard_item(file, "Data/Image")).items():
        dataset = hard_item(group, "Data")
        if not isinstance(dataset, h5py.Dataset) or dataset.ndim != 3:
            others.append("data without pixels")
            continue
        if dataset.dtype.names is not None:
            others.append("complex values (save their magnitude or phase)")
            continue
        notes = _notes(group, path)
        name = names.get(key) or str(_part(notes, "BinaryResult").get("Detector", ""))
        shape = dataset.shape[:2] if spectra or dataset.shape[2] == 1 else (dataset.shape[2], *dataset.shape[:2])
        read = partial(_read, dataset, notes, name, len(shape) == 3, path, fill_missing)
        found.append(Choice(name, shape, read, dataset.name))
    return found, others


def _read(
    dataset: h5py.Dataset, notes: dict[str, Any], name: str, series: bool, path: Path, fill_missing: bool
) -> ImageData:
    """An image (Y, X), or a series (T, Y, X); the file holds (Y, X, T)."""
    result, size = _part(notes, "BinaryResult"), _part(_part(notes, "BinaryResult"), "PixelSize")
    axes = [
        Axis("y", str(result.get("PixelUnitY", "")), _number(size.get("height")), of_image=True),
        Axis("x", str(result.get("PixelUnitX", "")), _number(size.get("width")), of_image=True),
    ]
    if series:
        axes.insert(0, Axis("time", "s", _frame_time(notes, result), of_image=False))
    letters, scales = image_axes(axes)
    start = _number(_part(_part(notes, "Acquisition"), "AcquisitionStartDatetime").get("DateTime"))
    date = datetime.fromtimestamp(start, UTC).isoformat() if 0 < start < 1 << 32 else ""
    order = (2, 0, 1) if series else (0, 1)
    metadata = Metadata(name=name, date=date)
    return hdf5_image(dataset, path, letters, scales, order=order, metadata=metadata, fill_missing=fill_missing)


def _frame_time(notes: dict[str, Any], result: dict[str, Any]) -> float:
    scan = _number(_part(notes, "Scan").get("FrameTime"))
    detector = _part(_part(notes, "Detectors"), f"Detector-{result.get('DetectorIndex', '')}")
    return scan or _number(detector.get("ExposureTime"))


def _names(file: h5py.File) -> Iterator[tuple[str, str]]:
    """Key of an image, and what its display is called."""
    for folder in _DISPLAYS:
        for key in hard_items(hard_item(file, folder)):
            shown = _text(file, f"{folder}/{key}")
            source = shown if "dataPath" in shown else _text(file, str(shown.get("data", "")))
            label = _part(shown, "display").get("label") or shown.get("title") or shown.get("id")
            if label:
                yield str(source.get("dataPath", "")).rpartition("/")[2], str(label)


def _text(file: h5py.File, place: str) -> dict[str, Any]:
    """What the JSON in a dataset of one text says; nothing where there is none."""
    dataset = hard_item(file, place)
    if not isinstance(dataset, h5py.Dataset) or dataset.shape not in ((1,), ()):
        return {}
    return _json(np.ravel(values_of(dataset, str(dataset.name)))[0])


def _notes(group: h5py.Group, path: Path) -> dict[str, Any]:
    """What a file says of the first frame of an image: a JSON text, each frame's in a column of bytes."""
    dataset = hard_item(group, "Metadata")
    if not isinstance(dataset, h5py.Dataset) or dataset.ndim != 2 or not 0 < dataset.shape[0] <= MAX_TEXT:
        return {}
    return _json(small_part(dataset, np.s_[:, 0], path).tobytes().partition(b"\0")[0]) if dataset.shape[1] else {}


def _json(text: Any) -> dict[str, Any]:
    try:
        found = json.loads(text) if isinstance(text, (bytes, str)) else {}
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _part(notes: dict[str, Any], key: str) -> dict[str, Any]:
    part = notes.get(key)
    return part if isinstance(part, dict) else {}


def _number(text: Any) -> float:
    try:
        return float(text)
    except (TypeError, ValueError):
        return 0.0
