"""Which dataset of a synchrotron's HDF5 file is the image: NXtomo, Data Exchange, and the default plot of NeXus.

References
----------
https://manual.nexusformat.org/classes/applications/NXtomo.html, https://dxfile.readthedocs.io
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_hush.io.formats.hdf5_links import as_text, look_up, read_note, values_of
from napari_hush.io.metadata import Metadata
from napari_hush.io.units import METRES, SECONDS, canonical

if TYPE_CHECKING:
    from pathlib import Path

    from napari_hush.io.formats.hdf5_links import Contents
    from napari_hush.io.image import Scales

KEYS = {0: "projections", 1: "flats", 2: "darks", 3: "invalid frames"}
EVEN = 1e-3  # by how much a step may differ from the others
_DETECTOR = "measurement/instrument/detector"
_RESOLUTION = "measurement/instrument/detection_system/objective/resolution"


@dataclass(frozen=True)
class Meant:
    """An image and what the file says of it elsewhere.

    Parameters
    ----------
    dataset : h5py.Dataset
        Its values.
    axes : str
        One letter per axis; "" where nothing is said.
    scales : Scales
        Axis letter to (step, unit).
    keys : ndarray, optional
        For each frame a key of `KEYS`.
    metadata : Metadata
        Title and date.
    """

    dataset: Any
    axes: str = ""
    scales: Scales = field(default_factory=dict)
    keys: Any = None
    metadata: Metadata = field(default_factory=Metadata)


def find_meant(file: Any, contents: Contents, path: Path) -> list[Meant]:
    """The images that the file means by itself; none where it does not say."""
    for search in (_tomo, _exchange, _default_plot, _plots):
        if found := search(file, contents, path):
            return found
    return []


def describe(file: Any, selector: str, dataset: Any, path: Path) -> Meant:
    """What is said of a dataset that the user named, in the group that it was named in or lies in."""
    group = look_up(file, selector.rstrip("/").rpartition("/")[0], path)
    for near in (group, look_up(file, str(dataset.name).rpartition("/")[0], path)):
        if near is None:
            continue
        if near is not file and as_text(read_note(near, "NX_class", "")) == "NXdata":
            found = _of_plot(file, near, dataset, path)
            if found.scales or found.axes:
                return found
        if (keys := _keys(near, dataset, path)) is not None or "x_pixel_size" in near:
            return _of_detector(file, near, dataset, keys, path)
    return Meant(dataset)


def words_for(keys: Any) -> str:
    """How many frames of each kind there are."""
    counts = {int(key): int(count) for key, count in zip(*np.unique(keys, return_counts=True), strict=True)}
    return ", ".join(f"{count} {KEYS.get(key, f'frames of key {key}')}" for key, count in counts.items())


def _tomo(file: Any, contents: Contents, path: Path) -> list[Meant]:
    """Frames beside the key that says which of them are projections."""
    found = []
    for dataset in contents.datasets:
        group, _, name = str(dataset.name).rpartition("/")
        if name == "data" and len(dataset.shape or ()) == 3:
            detector = look_up(file, group, path)
            keys = _keys(detector, dataset, path)
            if keys is not None:
                found.append(_of_detector(file, detector, dataset, keys, path))
    return found


def _keys(group: Any, dataset: Any, path: Path) -> Any:
    keys = values_of(look_up(group, "image_key", path, group), f"{path}:image_key")
    fits = keys is not None and keys.dtype.kind in "iu" and keys.shape == dataset.shape[:1]
    return keys if fits else None


def _of_detector(file: Any, group: Any, dataset: Any, keys: Any, path: Path) -> Meant:
    entry = _entry(file, group, path)
    sample = look_up(entry, "sample", path, entry)  # where a magnified pixel is, of newer files
    places = [place for place in (sample, group) if hasattr(place, "keys")]
    scales = _first_scales(places, ("x_pixel_size", "y_pixel_size"), path)
    return Meant(dataset, "", scales, keys, _metadata(entry, path))


def _exchange(file: Any, contents: Contents, path: Path) -> list[Meant]:
    dataset = look_up(file, "/exchange/data", path)
    if len(getattr(dataset, "shape", None) or ()) < 2:
        return []
    resolution = _length(look_up(file, _RESOLUTION, path), path)
    detector = look_up(file, _DETECTOR, path)
    scales: Scales = {}
    if resolution is not None:
        scales = {"Y": resolution, "X": resolution}
    elif hasattr(detector, "keys"):
        for names in (("x_pixel_size", "y_pixel_size"), ("pixel_size_x", "pixel_size_y"), ("pixel_size", "pixel_size")):
            scales = scales or _first_scales([detector], names, path)
    letters = {"y": "Y", "x": "X"}
    axes = "".join(letters.get(one, "Q") for one in as_text(read_note(dataset, "axes", "")).lower().split(":"))
    return [Meant(dataset, axes if len(axes) == len(dataset.shape) else "", scales, metadata=_metadata(file, path))]


def _default_plot(file: Any, contents: Contents, path: Path) -> list[Meant]:
    """Where the attributes ``default`` lead to."""
    group = file
    for _ in range(4):
        if found := _signal(file, group, path):
            return [found]
        group = look_up(group, as_text(read_note(group, "default", "")) or "?", path, group)
        if not hasattr(group, "keys"):
            break
    return []


def _plots(file: Any, contents: Contents, path: Path) -> list[Meant]:
    """All plots, unless they show different datasets."""
    plots = [_signal(file, group, path) for group in contents.groups]
    found = {one.dataset: one for one in reversed(plots) if one is not None}
    return list(found.values()) if len(found) == 1 else []


def _signal(file: Any, group: Any, path: Path) -> Meant | None:
    """The image that a group of the class NXdata shows."""
    if as_text(read_note(group, "NX_class", "")) != "NXdata":
        return None
    name = as_text(read_note(group, "signal", ""))
    if not name:  # files before 2014 mark the dataset
        name = next((one for one in list(group)[:64] if _is_marked(look_up(group, one, path, group))), "")
    dataset = look_up(group, name, path, group) if name else None
    if dataset is None or len(getattr(dataset, "shape", None) or ()) < 2 or dataset.dtype.kind not in "buif":
        return None
    return _of_plot(file, group, dataset, path)


def _is_marked(item: Any) -> bool:
    return hasattr(item, "shape") and as_text(read_note(item, "signal", "")) == "1"


def _of_plot(file: Any, group: Any, dataset: Any, path: Path) -> Meant:
    """Letters and steps from the vectors along the axes of a plot."""
    noted = read_note(group, "axes", read_note(dataset, "axes", ""))
    if isinstance(noted, (str, bytes)):
        names = as_text(noted).replace(",", ":").strip("[]").split(":")
    else:
        names = [as_text(one) for one in np.asarray(noted, dtype=object).ravel()]
    meant = Meant(dataset, metadata=_metadata(_entry(file, group, path), path))
    if len(names) != len(dataset.shape):
        return meant
    letters, free = [_letter(name) for name in names], iter("QPRVWABD")
    if letters.count("X") != 1 or letters.count("Y") != 1:
        letters = [*("" if one in "YX" else one for one in letters[:-2]), "Y", "X"]
    letters = [one if one and letters.index(one) == k else next(free) for k, one in enumerate(letters)]
    scales: Scales = {}
    for letter, name, size in zip(letters, names, dataset.shape, strict=True):
        vector = look_up(group, name, path, group) if name not in (".", "") else None
        step = _step(values_of(vector, f"{path}:{name}"), size)
        unit = canonical(as_text(read_note(vector, "units", ""))) if step else ""
        if step and unit in (SECONDS if letter == "T" else METRES):
            scales[letter] = (step, unit)
    return Meant(dataset, "".join(letters), scales, metadata=meant.metadata)


def _letter(name: str) -> str:
    words = name.strip().lower().replace("-", "_").split("_")
    if words == ["time"] or words == ["t"]:
        return "T"
    return next((one.upper() for one in (words[0], words[-1]) if one in ("x", "y", "z")), "")


def _step(vector: Any, size: int) -> float | None:
    """Of evenly spaced places of pixels, or of their edges; None for any others."""
    if vector is None or vector.dtype.kind not in "fiu" or vector.ndim != 1 or not 2 <= len(vector) - size + 2 <= 3:
        return None
    if len(vector) < 2:
        return None
    steps = np.diff(vector.astype(float))
    step = float(np.mean(steps))
    return abs(step) if np.isfinite(step) and step and np.abs(steps - step).max() <= EVEN * abs(step) else None


def _first_scales(groups: list[Any], names: tuple[str, str], path: Path) -> Scales:
    """Pixel size from the first group that has one."""
    for group in groups:
        found = (_length(look_up(group, name, path, group), path) for name in names)
        scales = {axis: one for axis, one in zip("XY", found, strict=True) if one is not None}
        if scales:
            return scales
    return {}


def _length(dataset: Any, path: Path) -> tuple[float, str] | None:
    """A single length with its unit; metres where there is none, as NeXus has it."""
    value = values_of(dataset, f"{path}:pixel size")
    if value is None or np.size(value) != 1 or np.asarray(value).dtype.kind not in "fiu":
        return None
    unit = canonical(as_text(read_note(dataset, "units", "m")))
    return (float(np.ravel(value)[0]), unit) if unit in METRES else None


def _entry(file: Any, group: Any, path: Path) -> Any:
    entry = look_up(file, str(group.name).split("/")[1], path)
    return entry if hasattr(entry, "keys") else file


def _metadata(entry: Any, path: Path) -> Metadata:
    def words(name: str) -> str:
        value = values_of(look_up(entry, name, path, entry), f"{path}:{name}")
        return as_text(value)[:1000] if value is not None and np.size(value) == 1 else ""

    return Metadata(name=words("title"), date=words("start_time"))
