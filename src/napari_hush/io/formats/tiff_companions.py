"""The other files that a TIFF says it consists of: each a regular file beside it, before one is opened."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from napari_hush.io.references import OwnFolder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NAMES = ("FileName", "MetadataFile")  # attributes of OME-XML


def check_companions(tif: Any, path: Path) -> None:
    """Refuse a TIFF that leads elsewhere, before tifffile opens what it names.

    Raises
    ------
    FileFormatError
        If a file that it names is outside of its folder, or a device or a pipe. One that is missing passes.
    """
    own = OwnFolder(path.parent, str(path))
    for name in _named(tif, path):
        try:
            own.check(path.parent / name)
        except OSError:
            continue


def _named(tif: Any, path: Path) -> Iterator[str]:
    """Names of files that tifffile would open to put the image together."""
    if tif.is_ome and tif.ome_metadata:
        try:
            root = ElementTree.fromstring(tif.ome_metadata)
        except ElementTree.ParseError:
            return  # tifffile takes nothing from it either
        for element in root.iter():
            yield from (element.attrib[name] for name in NAMES if name in element.attrib)
    if tif.is_mmstack:
        yield from (other.name for other in path.parent.glob("*_MMStack*.tif"))
    if tif.is_ndtiff:
        yield from (other.name for other in path.parent.glob("*.tif"))
        yield "NDTiff.index"
