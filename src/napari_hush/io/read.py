"""Read any image: the content decides which reader, the reader finds the axes and the pixel size."""

from __future__ import annotations

import lzma
import struct
import tokenize
import zipfile
import zlib
from typing import TYPE_CHECKING

from napari_hush.declare import Registry
from napari_hush.errors import FileFormatError, InputError
from napari_hush.io.formats.hitachi import add_hitachi_scale
from napari_hush.io.formats.rosettasciio import RSCIIO_READERS
from napari_hush.io.inputs import split_selector
from napari_hush.io.sniff import identify

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari_hush.io.image import ImageData

READERS: Registry[Callable[..., ImageData]] = Registry(
    {
        "tiff": "napari_hush.io.formats.tiff:read_tiff",
        "png": "napari_hush.io.formats.bitmap:read_png",
        "jpeg": "napari_hush.io.formats.bitmap:read_jpeg",
        "npy": "napari_hush.io.formats.npy:read_npy",
        "npz": "napari_hush.io.formats.npy:read_npz",
        "hdf5": "napari_hush.io.formats.hdf5_kinds:read_hdf5_kinds",
        "zarr": "napari_hush.io.formats.zarr_read:read_zarr",
        "zspy": "napari_hush.io.formats.zspy:read_zspy",
        "emd": "napari_hush.io.formats.hdf5_kinds:read_emd",
        "mrc": "napari_hush.io.formats.mrc:read_mrc",
        "ndata": "napari_hush.io.formats.nion:read_ndata",
        "prz": "napari_hush.io.formats.panta_rhei:read_prz",
        "bmp": "napari_hush.io.formats.bmp:read_bmp",
        "czi": "napari_hush.io.formats.czi:read_czi",
        "lif": "napari_hush.io.formats.leica:read_lif",
        "nd2": "napari_hush.io.formats.nikon:read_nd2",
        "dicom": "napari_hush.io.formats.dicom:read_dicom",
        "nifti": "napari_hush.io.formats.nifti:read_nifti",
        **RSCIIO_READERS,
    }
)

CHUNKED = ("hdf5", "zarr", "zspy", "emd")  # whose readers take `fill_missing`
BITMAPS = ("tiff", "png", "jpeg", "bmp")  # which may have a text of their microscope beside them

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
        TIFF (also OME and ImageJ), PNG, JPEG, BMP, NPY, NPZ, HDF5, zarr (also OME-NGFF), MRC, .emd, .hspy, .ndata, and
        with the extra ``microscopy`` .ser, .emi, .dm3, .dm4 and others, with ``light`` CZI, LIF and ND2, with
        ``medical`` DICOM and NIfTI. Where a file holds several images, a selector behind a colon chooses one:
        ``file.h5:/group/data``, ``file.npz:key``, ``image.zarr:/0``, ``file.tif:1``, ``file.emd:HAADF``.
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
        image = add_hitachi_scale(image, file) if kind in BITMAPS else image
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
