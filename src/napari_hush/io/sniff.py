"""Which format a file is: by its first bytes, not by its name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_hush.errors import FileFormatError
from napari_hush.files import explain_wrong_file
from napari_hush.io.foreign import INSIDE_TIFF, foreign_words
from napari_hush.io.formats.bmp import is_bmp
from napari_hush.io.formats.dicom import is_dicom
from napari_hush.io.formats.mrc import SUFFIXES as MRC_SUFFIXES
from napari_hush.io.formats.mrc import is_mrc, unpacked_head
from napari_hush.io.formats.nifti import is_nifti

if TYPE_CHECKING:
    from pathlib import Path

_MAGIC = {
    b"II*\0": "tiff",
    b"MM\0*": "tiff",
    b"II+\0": "tiff",
    b"MM\0+": "tiff",
    b"\x89PNG\r\n\x1a\n": "png",
    b"\xff\xd8\xff": "jpeg",
    b"\x93NUMPY": "npy",
    b"PK\x03\x04": "npz",
    b"PK\x05\x06": "npz",
    b"\x89HDF\r\n\x1a\n": "hdf5",
    b"II\x97\x01": "ser",
    b"\0\0\0\x03": "dm",
    b"\0\0\0\x04": "dm",
    b"JK\0\x02": "emi",
    b"ZISRAWFILE": "czi",
    b"\xda\xce\xbe\x0a": "nd2",
}
SUFFIXES = {
    ".tif": "tiff",
    ".tiff": "tiff",
    ".png": "png",
    ".jpg": "jpeg",
    ".jpeg": "jpeg",
    ".npy": "npy",
    ".npz": "npz",
    ".h5": "hdf5",
    ".hdf5": "hdf5",
    ".hdf": "hdf5",
    ".nxs": "hdf5",
    ".ims": "hdf5",
    ".zarr": "zarr",
    ".ser": "ser",
    ".dm3": "dm",
    ".dm4": "dm",
    ".emd": "emd",
    ".hspy": "hdf5",
    ".zspy": "zspy",
    ".ndata": "ndata",
    ".prz": "prz",
    ".bmp": "bmp",
    ".emi": "emi",
    ".tvips": "tvips",
    ".unf": "semper",
    ".rpl": "ripple",
    ".czi": "czi",
    ".lif": "lif",
    ".lof": "lif",
    ".nd2": "nd2",
    ".dcm": "dicom",
    ".nii": "nifti",
    **dict.fromkeys(MRC_SUFFIXES, "mrc"),
}
_PACKED = (".gz", ".bz2")  # of an MRC
_NAMED = ("tvips", "semper", "ripple")  # which have no first bytes of their own
_ZARR_FILES = ("zarr.json", ".zarray", ".zgroup")


def is_zarr(folder: Path) -> bool:
    """Whether a folder is a zarr array or group."""
    return any((folder / name).is_file() for name in _ZARR_FILES)


def identify(path: Path) -> str:
    """The format of a file or zarr folder, one of the values of `SUFFIXES`.

    Raises
    ------
    FileFormatError
        If it is missing, empty, a git-lfs pointer, a folder without zarr, or nothing that can be read here.
    """
    if path.is_dir():
        if is_zarr(path):
            return "zspy" if path.suffix.lower() == ".zspy" else "zarr"
        raise FileFormatError(
            f"{path}: is a folder and no zarr; give an image file, or a pattern such as '{path}/*.tif'"
        )
    try:
        explain_wrong_file(path, FileFormatError, "an image")
        head = _head(path)
    except PermissionError as error:
        raise FileFormatError(f"{path}: cannot be read, permission denied; change its permissions") from error
    named = _by_name(path)
    found = _by_content(head, named)
    if found == "tiff" and path.suffix.lower() in INSIDE_TIFF:
        raise FileFormatError(f"{path}: {INSIDE_TIFF[path.suffix.lower()]}")
    if (found, named) in (("hdf5", "emd"), ("npz", "ndata"), ("npz", "prz")):
        return str(named)
    if (found, named) == ("npz", "zspy"):
        raise FileFormatError(f"{path}: is a packed .zspy; unpack the ZIP into a folder of that name")
    if found is not None:
        return found
    what = "text" if _is_text(head) else f"starts with the bytes {head[:8].hex(' ')}"
    if named is not None:
        raise FileFormatError(f"{path}: is no {path.suffix} file, its content is {what}; copy or export it again")
    if (foreign := foreign_words(path, head)) is not None:
        raise FileFormatError(f"{path}: {foreign}")
    raise FileFormatError(f"{path}: is no image that can be read here ({what}); known are {', '.join(SUFFIXES)}")


def looks_like_image(path: Path) -> bool:
    """Whether reading this file is worth a try: an image's name or an image's first bytes."""
    if path.is_dir():
        return is_zarr(path)
    if not path.is_file():
        return False
    if _by_name(path) is not None:
        return True
    try:
        head = _head(path)
    except OSError:
        return False
    # not to be trusted without a name: any program's file may start with 00 00 00 03, and any archive is a ZIP
    return _by_content(head, None) not in (None, "dm", "npz")


def _by_name(path: Path) -> str | None:
    *_, before, last = ("", "", *(suffix.lower() for suffix in path.suffixes))
    if last in _PACKED:
        return "mrc" if before in MRC_SUFFIXES else "nifti" if before == ".nii" else None
    return SUFFIXES.get(last)


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(4096)


def _by_content(head: bytes, named: str | None) -> str | None:
    if is_dicom(head, named == "dicom"):  # whose first 128 bytes may be a TIFF's as well
        return "dicom"
    for magic, kind in _MAGIC.items():
        if head.startswith(magic):
            return kind
    if is_bmp(head):
        return "bmp"
    if head[:4] == b"\x70\0\0\0" and head[8:9] == b"\x2a":
        return "lif"
    if named == "nd2" and head[4:8] == b"jP  ":
        return "nd2"  # of before 2010
    if is_nifti(head):
        return "nifti"
    if named in _NAMED and head:
        return named
    if is_mrc(unpacked_head(head), named == "mrc") or (named == "mrc" and head.startswith(b"BZh")):
        return "mrc"
    # an HDF5 file may start behind a block of the user's own bytes
    if named in ("hdf5", "emd") and any(head[at : at + 8] == b"\x89HDF\r\n\x1a\n" for at in (512, 1024, 2048)):
        return "hdf5"
    return None


def _is_text(head: bytes) -> bool:
    try:
        head.decode()
    except UnicodeDecodeError as error:
        return error.start > len(head) - 4 and b"\0" not in head
    return b"\0" not in head
