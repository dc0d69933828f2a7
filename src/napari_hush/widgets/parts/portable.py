"""Images for another process: as the places where they lie, not as their values."""

from __future__ import annotations

import io
import pickle
from typing import Any

import cloudpickle
import numpy as np

from napari_hush.inference.overlap import map_of

MOST = 32 << 20  # bytes; what is larger than that lies in memory, and stays in this process


class NotPortableError(Exception):
    """An image that lies in the memory of this process, or of which nobody knows where it lies."""


def packed(image: Any) -> bytes:
    """An image as bytes for `unpacked` in another process of this machine.

    Parameters
    ----------
    image : array_like
        numpy, memmap, zarr, dask made of these, or an array of one of the readers.

    Raises
    ------
    NotPortableError
        If it has to be denoised in this process.
    """
    buffer = _Limited()
    try:
        _Pickler(buffer).dump(image)
    except (pickle.PicklingError, TypeError, AttributeError, ValueError, RecursionError, OSError) as error:
        raise NotPortableError(str(error)) from error
    return buffer.getvalue()


def unpacked(content: bytes) -> Any:
    """The image of `packed`, whose bytes must come from there."""
    return pickle.loads(content)


class _Limited(io.BytesIO):
    """Takes no more than a description of an image can have."""

    def write(self, part: Any) -> int:
        if self.tell() + memoryview(part).nbytes > MOST:
            raise NotPortableError("the image lies in memory")
        return super().write(part)


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]
    def reducer_override(self, one: Any) -> Any:
        if type(one) in (np.ndarray, np.memmap):
            if (mapped := map_of(one)) is not None and mapped.filename is not None:
                offset = mapped.offset + one.ctypes.data - mapped.ctypes.data
                return _mapped, (str(mapped.filename), one.dtype, one.shape, offset, one.strides)
            if one.nbytes > MOST:
                raise NotPortableError("the image lies in memory")
        return super().reducer_override(one)


def _mapped(name: str, dtype: np.dtype[Any], shape: tuple[int, ...], offset: int, strides: tuple[int, ...]) -> Any:
    """A view of a map of a file, as it was in the other process."""
    content = np.memmap(name, np.uint8, "r")
    return np.ndarray(shape, dtype, content, offset, strides)
