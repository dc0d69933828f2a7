"""What this package writes into HDF5: an image as the dataset ``data``, and beside it a note of its metadata."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from napari_hush.io.history import KEY, history_text
from napari_hush.io.metadata import Metadata
from napari_hush.io.metadata_note import LONGEST, note_text, parse_note

if TYPE_CHECKING:
    from napari_hush.io.image import ImageData

DATA, METADATA = "data", "metadata"
LONGEST_ATTRIBUTE = 60_000  # bytes; HDF5 takes 64 kB with all that is around


def write_hdf5(file: BinaryIO, image: ImageData) -> None:
    """Write the dataset ``data`` with attributes ``axes``, ``pixel_size``, ``units`` and ``element_size_um``.

    The metadata are a dataset of their own, a text in JSON: an attribute holds 64 kB, labels of a stack may need more.
    """
    import h5py

    # through a Python file: on a full disk h5py's own driver leaves the file open for good
    with h5py.File(file, "w") as target:
        dataset = target.create_dataset(DATA, data=np.asarray(image.data))
        # of fixed length: the HDF5 library can crash on a damaged string of variable length
        dataset.attrs["axes"] = np.bytes_(image.axes)
        if text := note_text(image.metadata):
            target.create_dataset(METADATA, data=np.bytes_(text.encode()))
        if image.history is not None:
            text = history_text(image.history)
            if len(text) <= LONGEST_ATTRIBUTE:
                target.attrs[KEY] = np.bytes_(text.encode())
            else:
                target.create_dataset(KEY, data=np.bytes_(text.encode()))
        if image.pixel_size is not None:
            dataset.attrs["pixel_size"] = image.pixel_size
            dataset.attrs["units"] = [np.bytes_(unit.encode()) for unit in image.units]
            size = image.pixel_size_in("µm")
            if size is not None:  # what ilastik and Fiji read, always (z, y, x)
                depth = image.scales.get("Z", (1.0, ""))
                z = depth[0] * size[0] / image.scales["Y"][0] if depth[1] == image.scales["Y"][1] else size[0]
                dataset.attrs["element_size_um"] = (z, *size)


def own_metadata(file: Any, dataset: Any) -> Metadata:
    """The note beside an image of a file that is open, if it lies there plainly."""
    return parse_note(read_text(file, METADATA)) if dataset.name == f"/{DATA}" else Metadata()


def read_text(file: Any, name: str) -> bytes:
    """The text of a dataset in the root of a file that is open, if it lies there plainly; else nothing."""
    import h5py

    if not isinstance(file.get(name, getlink=True), h5py.HardLink):
        return b""
    text = file[name]
    plain = isinstance(text, h5py.Dataset) and text.shape == () and text.dtype.kind == "S" and text.chunks is None
    if not plain or text.is_virtual or text.external or text.dtype.itemsize > LONGEST:
        return b""
    return bytes(text[()])
