"""Microscopes' own formats (.ser, .dm3, .dm4, .emd, .mrc), read by RosettaSciIO of the extra ``microscopy``."""

from __future__ import annotations

import gc
import math
import struct
import warnings
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_hush.errors import FileFormatError, InputError
from napari_hush.io.formats.hdf5 import check_links
from napari_hush.io.formats.hdf5_open import WatchedFile, open_hdf5
from napari_hush.io.formats.npy import native
from napari_hush.io.image import UNKNOWN_AXES, check_kind, make_image

if TYPE_CHECKING:
    from pathlib import Path

    from napari_hush.io.image import ImageData, Scales

MRC_BYTES = {0: 1, 1: 2, 2: 4, 4: 8, 6: 2, 12: 2}  # of a pixel, by the mode of the file
_LETTERS = {"x": "X", "width": "X", "y": "Y", "height": "Y", "z": "Z", "depth": "Z", "t": "T", "time": "T"}


def read_ser(path: Path, selector: str | None) -> ImageData:
    """FEI/TIA series; of several images the one whose number the selector gives."""
    return _read("rsciio.tia", path, selector)


def read_dm(path: Path, selector: str | None) -> ImageData:
    """Gatan DigitalMicrograph."""
    return _read("rsciio.digitalmicrograph", path, selector)


def read_mrc(path: Path, selector: str | None) -> ImageData:
    """MRC stacks and volumes."""
    _check_mrc(path)
    # of a file called a movie RosettaSciIO would open others beside it as well
    options = {"metadata_file": None} if "movie" in str(path) else {}
    return _read("rsciio.mrc", path, selector, **options)


def read_emd(path: Path, selector: str | None, *, fill_missing: bool = False) -> ImageData:
    """Velox and Berkeley EMD, which are HDF5 and hardened like it."""
    try:
        with open_hdf5(path) as file:
            check_links(file, path, fill_missing=fill_missing)
    except OSError as error:
        raise FileFormatError(f"{path}: truncated or damaged HDF5 ({error}); copy or download it again") from error
    with WatchedFile(path, FileFormatError) as watched:
        return _read("rsciio.emd", path, selector, watched)


def _check_mrc(path: Path) -> None:
    """Refuse a size that the file cannot hold: RosettaSciIO is busy forever with a negative one."""
    with path.open("rb") as file:
        head = file.read(1024)
        size = file.seek(0, 2)
    if len(head) < 1024:
        raise FileFormatError(f"{path}: truncated, an MRC file has a header of 1024 bytes; copy or export it again")
    *shape, mode = struct.unpack_from("<4i", head)
    (extended,) = struct.unpack_from("<i", head, 92)
    if mode not in MRC_BYTES:
        return  # which RosettaSciIO says
    expected = 1024 + extended + math.prod(shape) * MRC_BYTES[mode]
    if min(shape) < 1 or extended < 0 or expected > size:
        raise FileFormatError(
            f"{path}: truncated or damaged, {' x '.join(map(str, shape))} px do not fit into its {size} bytes; copy or "
            "export it again"
        )


def _read(module: str, path: Path, selector: str | None, source: Any = None, **options: Any) -> ImageData:
    """Read with one of RosettaSciIO's modules, from the file or from what gives its bytes."""
    try:
        reader = import_module(module)
    except ImportError as error:
        raise InputError(
            f"{path}: reading {path.suffix} files needs RosettaSciIO; install it: pip install napari-hush[microscopy]"
        ) from error
    found, reason = [], ""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # the MRC reader leaves its file to the garbage collector
        try:
            found = [one for one in reader.file_reader(source or str(path), **options) if _is_image(one)]
        except MemoryError:
            raise
        except Exception as error:  # a parser of binary structures fails on damaged ones in any way
            reason = " ".join(str(error).split()) or type(error).__name__
        if reason:
            gc.collect()  # closes what the failed parser holds open
    if reason:
        raise FileFormatError(
            f"{path}: truncated, damaged or no {path.suffix} file ({reason:.200}); copy or export it again"
        )
    signal = _choose(found, selector, path)
    data = np.asarray(signal["data"])
    check_kind(data.shape, data.dtype, str(path))
    axes, scales = _axes(signal["axes"])
    return make_image(native(data), axes, scales, str(path))


def _is_image(signal: dict[str, Any]) -> bool:
    """Whether two of its axes are Y and X in space: spectra and diffraction patterns are not denoised here."""
    kind = str(signal.get("metadata", {}).get("Signal", {}).get("signal_type", ""))
    letters = _axes(signal["axes"])[0]
    return {"Y", "X"} <= set(letters) and not kind.startswith(("EDS", "EELS"))


def _choose(found: list[dict[str, Any]], selector: str | None, path: Path) -> dict[str, Any]:
    if not found:
        raise FileFormatError(f"{path}: holds no image with the axes Y and X; export one as TIFF")
    if selector is not None:
        if not selector.isdecimal() or int(selector) >= len(found):
            raise InputError(f"{path}: expected the number of an image, 0 to {len(found) - 1}, got {selector!r}")
        return found[int(selector)]
    if len(found) > 1:
        names = ", ".join(
            f"{path.name}:{i} {one.get('metadata', {}).get('General', {}).get('title', '')} {np.shape(one['data'])}"
            for i, one in enumerate(found[:8])
        )
        raise InputError(f"{path}: holds {len(found)} images; choose one: {names}")
    return found[0]


def _axes(entries: list[dict[str, Any]]) -> tuple[str, Scales]:
    letters = ""
    free = iter(UNKNOWN_AXES)
    scales: Scales = {}
    for entry in entries:
        letter = _LETTERS.get(str(entry.get("name", "")).lower(), "")
        if not letter or letter in letters:
            letter = next(free)
        letters += letter
        if entry.get("scale") and entry.get("units"):
            scales[letter] = (abs(float(entry["scale"])), str(entry["units"]))
    return letters, scales
