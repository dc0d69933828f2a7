"""Reading and writing images with their axes and pixel size.

``image = read_image(path)``, then ``write_image(out_path, result, like=image)``. The file's content decides how it is
read, the name's ending how it is written. Importing this package is cheap: each format's library is loaded when the
first file of that format is touched.
"""

from napari_hush.io.convert import convert_dtype
from napari_hush.io.formats.zarr_write import zarr_writer
from napari_hush.io.image import ImageData
from napari_hush.io.inputs import expand_inputs, is_image
from napari_hush.io.labels import looks_like_labels
from napari_hush.io.metadata import Channel, Metadata
from napari_hush.io.read import read_image
from napari_hush.io.volume import read_volume
from napari_hush.io.write import check_writable, write_image

__all__ = [
    "Channel",
    "ImageData",
    "Metadata",
    "check_writable",
    "convert_dtype",
    "expand_inputs",
    "is_image",
    "looks_like_labels",
    "read_image",
    "read_volume",
    "write_image",
    "zarr_writer",
]
