"""Formats that RosettaSciIO of the extra ``microscopy`` reads: one line for each."""

from __future__ import annotations

import gc
import glob
import warnings
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_hush.errors import FileFormatError
from napari_hush.io.formats.npy import native
from napari_hush.io.formats.parsing import needed
from napari_hush.io.formats.several import Choice, choose
from napari_hush.io.formats.signal_axes import Axis, NoImageError, image_axes
from napari_hush.io.image import check_kind, make_image
from napari_hush.io.metadata import Metadata

if TYPE_CHECKING:
    from pathlib import Path

    from napari_hush.io.image import ImageData

# kind of file, as of `identify`, to the module that reads it
MODULES = {
    "ser": "rsciio.tia",
    "emi": "rsciio.tia",
    "dm": "rsciio.digitalmicrograph",
    "tvips": "rsciio.tvips",
    "semper": "rsciio.semper",
    "ripple": "rsciio.ripple",
}
AXIS = ("name", "units", "scale", "navigate")  # what is known of one
# ending of a file to what follows its name in those that its reader opens as well
COMPANIONS = {".emi": "_*.ser", ".rpl": ".*", ".tvips": "*.tvips"}
_SPECTRA = ("EDS", "EELS")


def read_rosettasciio(module: str, path: Path, selector: str | None) -> ImageData:
    """The only image among what a module of RosettaSciIO gives, or the one whose number or name the selector is."""
    words = "install it: pip install 'napari-hush[microscopy]'"
    reader = needed(module, f"{path}: reading {path.suffix} files needs RosettaSciIO; {words}")
    _check_companions(path)
    signals, reason = [], ""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            signals = reader.file_reader(str(path))
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
    found, others = [], []
    for signal in signals:
        try:
            found.append(_choice(signal, path))
        except NoImageError as error:
            others.append(str(error))
    return choose(found, selector, path, others)


def _check_companions(path: Path) -> None:
    """Refuse links and pipes among the files that are opened with this one."""
    if path.suffix.lower() not in COMPANIONS:
        return
    stem = path.stem.rstrip("0123456789") if path.suffix.lower() == ".tvips" else path.stem  # name_000.tvips
    for one in path.parent.glob(f"{glob.escape(stem)}{COMPANIONS[path.suffix.lower()]}"):
        if one != path and (one.is_symlink() or not one.is_file()):
            raise FileFormatError(
                f"{one}: is a link, a pipe or a folder and belongs to {path.name}; put a plain file there"
            )


def _choice(signal: dict[str, Any], path: Path) -> Choice:
    """A signal that is an image."""
    general = signal.get("metadata", {})
    if str(general.get("Signal", {}).get("signal_type", "")).startswith(_SPECTRA):
        raise NoImageError("spectra")
    axes, scales = image_axes([Axis.described(*map(entry.get, AXIS)) for entry in signal["axes"]])
    data = signal["data"]
    title = str(general.get("General", {}).get("title", "") or "")

    def read() -> ImageData:
        # not mapped into memory, see file_array.py
        values, letters = np.array(data) if isinstance(data, np.memmap) else np.asarray(data), axes
        if values.dtype.names is not None and values.dtype.names[:3] == ("R", "G", "B"):
            # the fourth byte of a colour only fills it up
            values, letters = np.stack([values[name] for name in "RGB"], axis=-1), f"{axes}C"
        check_kind(values.shape, values.dtype, str(path))
        return make_image(native(values), letters, scales, str(path), Metadata(name=title))

    return Choice(title, np.shape(data), read)


RSCIIO_READERS = {kind: partial(read_rosettasciio, module) for kind, module in MODULES.items()}
