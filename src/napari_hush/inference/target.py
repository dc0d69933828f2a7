"""Where a result goes: a new array, one that is given, or a zarr of a name; checked before any work."""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_hush.errors import InputError
from napari_hush.inference.levels import step_words
from napari_hush.inference.overlap import is_mapped, lies_in, share_numbers
from napari_hush.inference.planes import Planes
from napari_hush.io import zarr_writer
from napari_hush.io.formats.zarr_write import check_target

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_hush.inference.plan import Plan


def check_out(source: Planes, out: Any) -> None:
    """Refuse what a result cannot be written to.

    Parameters
    ----------
    source : Planes
        The image.
    out : array, path, callable or None
        As of `denoise`.

    Raises
    ------
    InputError
        If it has the wrong shape or type, cannot be written to, or is what the image is read from.
    """
    if out is None or callable(out):
        return
    if isinstance(out, (str, Path)):
        check_target(Path(out))
        if lies_in(source.image, out):
            raise InputError(f"{out}: the output would replace the image that is read; give out= another name")
        return
    shape = tuple(int(n) for n in source.image.shape)
    if not hasattr(out, "__setitem__") or tuple(getattr(out, "shape", ())) != shape:
        raise InputError(
            f"out must be a path or a writable array of the image's shape {shape}, got {type(out).__name__} of shape "
            f"{getattr(out, 'shape', None)}"
        )
    dtype = _number_type(out)
    if dtype is None or dtype.kind not in "iuf":
        raise InputError(f"out must be an array of integers or floats, got dtype {out.dtype}; use for example float32")
    file = getattr(out, "file", None)  # of a data set of HDF5
    flags = getattr(out, "flags", None)
    if getattr(out, "read_only", False) or getattr(file, "mode", "") == "r" or not getattr(flags, "writeable", True):
        raise InputError("out cannot be written to, it is read-only: give a writable array, or leave out= away")
    if getattr(out, "hardmask", False):
        raise InputError("out has a hard mask, under which nothing can be written: call its soften_mask() first")
    if not _in_memory(out) and share_numbers(source.image, out):
        raise InputError(
            "out is what the image is read from, and parts of the result would be read as the image: give another "
            "array, a path, or leave out= away and write the result afterwards"
        )


@contextmanager
def open_target(plan: Plan, out: Any = None, unfinished: Path | None = None) -> Iterator[Planes]:
    """Where the result of a plan goes, with the image's axes; an array that is the image itself is filled at the end.

    Parameters
    ----------
    plan : Plan
        The run.
    out : array, path, callable or None
        As of `denoise`, after `check_out`.
    unfinished : Path, optional
        A folder in which a zarr is kept where the run is stopped.

    Warns
    -----
    UserWarning
        If the numbers stand so high that float32 does not hold them.
    """
    source, levels = plan.source, plan.source.levels
    given = None if out is None or isinstance(out, (str, Path)) else _number_type(out)
    dtype = plan.dtype if given is None or given.kind == "f" else given
    if dtype.kind == "f" and dtype.itemsize > 4:
        _warn_of_steps(plan, dtype, given)
    if isinstance(out, (str, Path)) or callable(out):
        options: dict[str, Any] = {"chunks": plan.tile_chunks, "dtype": dtype}
        if unfinished is not None:
            options["unfinished"] = unfinished
        if callable(out):
            writer = out(**options)
        else:
            writer = zarr_writer(out, shape=tuple(int(n) for n in source.image.shape), **options)
        with writer as array:
            yield Planes(array, source.channel_axis, levels)
        return
    if out is None:
        index = plan.plane
        if index is not None and len(levels) > 1:
            levels = (levels[int(np.ravel_multi_index(index, source.lead_shape))],)
        yield Planes(np.empty(plan.shape, dtype), source.channel_axis, levels)
        return
    array = np.ma.getdata(out) if isinstance(out, np.ma.MaskedArray) else out
    together = _in_memory(out) and share_numbers(source.image, array)
    yield Planes(made := np.empty(out.shape, out.dtype) if together else array, source.channel_axis, levels)
    if together:  # the image is not read any more
        array[...] = made
    if isinstance(out, np.ma.MaskedArray) and out is not source.image:
        out.mask = np.ma.getmask(source.image)


def with_mask(plan: Plan, image: np.ndarray) -> np.ndarray:
    """A new result with the mask of the image, if that has one."""
    source = plan.source
    if not isinstance(source.image, np.ma.MaskedArray):
        return image
    parts: list[slice] = [slice(None)] * len(source.image.shape)
    if plan.plane is not None:
        for axis, number in zip(source.axes, plan.plane, strict=False):
            parts[axis] = slice(number, number + 1)
    if plan.region is not None:
        y, x = source.axes[-2:]
        parts[y], parts[x] = slice(*plan.region[:2]), slice(*plan.region[2:])
    return np.ma.MaskedArray(image, np.ma.getmask(source.image[tuple(parts)]))


def _warn_of_steps(plan: Plan, needed: np.dtype[Any], given: np.dtype[Any] | None) -> None:
    if given is None:
        words = step_words(plan.highest, np.dtype(np.float32))
        warnings.warn(f"{words}: the result is {needed}", UserWarning, stacklevel=2)
    elif given.itemsize < needed.itemsize:
        words = step_words(plan.highest, given)
        warnings.warn(f"{words}, and so does out: give an array of {needed}", UserWarning, stacklevel=2)


def _number_type(array: Any) -> np.dtype[Any] | None:
    """None where numpy does not know it."""
    try:
        return np.dtype(getattr(array, "dtype", None))
    except TypeError:
        return None


def _in_memory(array: Any) -> bool:
    return isinstance(array, np.ndarray) and not is_mapped(array)
