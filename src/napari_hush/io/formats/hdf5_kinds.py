"""HDF5 files whose program says where its images lie, and how long a pixel is; others are plain HDF5."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_hush.errors import FileFormatError
from napari_hush.io.formats.hdf5 import check_links, read_hdf5
from napari_hush.io.formats.hdf5_open import open_hdf5
from napari_hush.io.formats.several import choose

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari_hush.io.formats.several import Choice
    from napari_hush.io.image import ImageData

    Images = Callable[[Any, Path, bool], tuple[list[Choice], list[str]]]


def kinds() -> list[tuple[Callable[[Any], bool], Images]]:
    """Whose file it is, and what gives its images."""
    from napari_hush.io.formats.berkeley import berkeley_images, is_berkeley
    from napari_hush.io.formats.hyperspy import hyperspy_images, is_hyperspy
    from napari_hush.io.formats.nion_hdf5 import is_nion, nion_images
    from napari_hush.io.formats.velox import is_velox, velox_images

    return [
        (is_velox, velox_images),
        (is_hyperspy, hyperspy_images),
        (is_nion, nion_images),
        (is_berkeley, berkeley_images),
    ]


def read_hdf5_kinds(path: Path, selector: str | None, *, fill_missing: bool = False) -> ImageData:
    """The only image, or that of a number, a name or a place; a place that is no image is read as plain values."""
    file, stays_open = open_hdf5(path), False
    try:
        images = next((call for matches, call in kinds() if matches(file)), None)
        if images is not None:
            found, others = images(file, path, fill_missing)
            places = {one.place.strip("/") for one in found}
            if selector is None or "/" not in selector or selector.strip("/") in places:
                image = choose(found, selector, path, others)
                stays_open = not isinstance(image.data, np.ndarray)
                return image
    except OSError as error:
        raise FileFormatError(f"{path}: damaged HDF5 ({error}); copy or download it again") from error
    finally:
        if not stays_open:
            file.close()
    return read_hdf5(path, selector, fill_missing=fill_missing)


def read_emd(path: Path, selector: str | None, *, fill_missing: bool = False) -> ImageData:
    """Velox and Berkeley EMD: what would lead to other files is refused, also where it is not read."""
    try:
        with open_hdf5(path) as file:
            check_links(file, path, fill_missing=fill_missing)
    except OSError as error:
        raise FileFormatError(f"{path}: truncated or damaged HDF5 ({error}); copy or download it again") from error
    return read_hdf5_kinds(path, selector, fill_missing=fill_missing)
