"""Read any image: the content decides which reader, the reader finds the axes and the pixel size."""

from __future__ import annotations

import lzma
import struct
import tokenize
import zipfile
import zlib
from typing import TYPE_CHECKING

from napari_hush.errors import FileFormatError, InputError
from napari_hush.io.formats.bitmap import read_jpeg, read_png
from napari_hush.io.formats.hdf5 import read_hdf5
from napari_hush.io.formats.microscope import read_dm, read_emd, read_mrc, read_ser
from napari_hush.io.formats.npy import read_npy, read_npz
from napari_hush.io.formats.tiff import read_tiff
from napari_hush.io.formats.zarr_read import read_zarr
from napari_hush.io.inputs import split_selector
from napari_hush.io.sniff import identify

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari_hush.io.image import ImageData

READERS: dict[str, Callable[..., ImageData]] = {
    "tiff": read_tiff,
    "png": read_png,
    "jpeg": read_jpeg,
    "npy": read_npy,
    "npz": read_npz,
    "hdf5": read_hdf5,
    "zarr": read_zarr,
    "ser": read_ser,
    "dm": read_dm,
    "emd": read_emd,
    "mrc": read_mrc,
}

CHUNKED = ("hdf5", "zarr", "emd")  # whose readers take `fill_missing`

# what the parsers of other libraries raise on damaged bytes; the real OSErrors are not among them
_DAMAGED = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    lzma.LZMAError,
    struct.error,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
)


def read_image(path: str | Path, *, axes: str | None = None, fill_missing: bool = False) -> ImageData:
    """Read an image with its axes and pixel size; the file is never written to.

    Parameters
    ----------
    path : str or Path
        TIFF (also OME and ImageJ), PNG, JPEG, NPY, NPZ, HDF5, zarr (also OME-NGFF), and with the extra
        ``microscopy`` .ser, .dm3, .dm4, .emd and .mrc. Where a file holds several images, a selector behind a colon
        chooses one: ``file.h5:/group/data``, ``file.npz:key``, ``image.zarr:/0``, ``file.tif:1``.
    axes : str, optional
        One letter per dimension, such as "TYX", in place of what the file says or what is guessed.
    fill_missing : bool
        Take the fill value, mostly 0, for chunks of a zarr or HDF5 that are not there. A sparse image has none where
        nothing is; a damaged one lost them. Without it, reading a part with such a chunk is refused.

    Returns
    -------
    ImageData
        Zarr, HDF5, NPY and uncompressed TIFF above 64 MB and compressed TIFF above 512 MB are read as they are
        indexed; the rest is in memory.

    Raises
    ------
    FileFormatError
        If this is no readable image, or damaged, or unsafe.
    InputError
        If the selector or ``axes`` do not fit.
    """
    file, selector = split_selector(path)
    kind = identify(file)
    try:
        read = READERS[kind]
        image = read(file, selector, fill_missing=fill_missing) if kind in CHUNKED else read(file, selector)
    except InputError:
        raise
    except MemoryError as error:
        raise FileFormatError(
            f"{file}: reading it needs more memory than there is; it is damaged, or give a part of it (.zarr, .h5)"
        ) from error
    except _DAMAGED as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise FileFormatError(
            f"{file}: damaged or not a valid {kind} file ({reason:.200}); copy or export it again"
        ) from error
    return image if axes is None else image.with_axes(axes.upper())
