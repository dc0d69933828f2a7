"""The endings of image files, such as ``.ome.tif`` and ``.nii.gz`` in two parts, and names made of others."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

PACKED = (".gz", ".bz2", ".xz", ".zst")
LONGEST_INNER = 6  # characters of an ending that is packed, with its dot
OME = ".ome"
WRITTEN = {".tif", ".tiff", ".zarr"}  # in which a result stays what its input is called


def ending(path: Path) -> str:
    """The whole ending of a file's name.

    Examples
    --------
    >>> from pathlib import Path
    >>> [ending(Path(name)) for name in ("a.b.tif", "a.OME.tif", "a.nii.gz", "run 3.5.gz", ".ome.tif", "a")]
    ['.tif', '.OME.tif', '.nii.gz', '.gz', '.tif', '']
    """
    last, inner = path.suffix, path.with_suffix("").suffix
    packed = last.lower() in PACKED and len(inner) <= LONGEST_INNER and inner[1:2].isalpha()
    return inner + last if inner and (inner.lower() == OME or packed) else last


def stem(path: Path) -> str:
    """The name of a file without its whole ending."""
    return path.name.removesuffix(ending(path))


def named_after(path: Path, what: str) -> str:
    """The name of a result: of OME-TIFF and zarr as its input, of all other images a ``.tif``.

    Examples
    --------
    >>> from pathlib import Path
    >>> [named_after(Path(f"a{one}"), "denoised") for one in (".ome.tiff", ".ome.btf", ".ome.zarr", ".nii.gz", ".png")]
    ['a_denoised.ome.tiff', 'a_denoised.ome.tif', 'a_denoised.ome.zarr', 'a_denoised.tif', 'a_denoised.tif']
    """
    whole, last = ending(path).lower(), path.suffix.lower()
    inner = OME if whole.startswith(OME) and whole != last else ""
    kept = last if last == ".zarr" or (inner and last in WRITTEN) else ".tif"
    return f"{stem(path)}_{what}{inner}{kept}"
