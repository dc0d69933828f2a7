"""NumPy's .npy (a large one is read as it is indexed) and .npz, without pickle."""

from __future__ import annotations

import errno
import io
import tokenize
import zipfile
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from napari_hush.errors import FileFormatError, InputError, SeveralImagesError
from napari_hush.io.formats.file_array import read_plain
from napari_hush.io.formats.several import refuse_selector
from napari_hush.io.image import LAZY_ABOVE, check_claim, check_kind, guess_axes, make_image
from napari_hush.io.metadata import Metadata
from napari_hush.io.metadata_note import LONGEST, note_text, parse_note

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import IO

    from napari_hush.io.image import ImageData, Scales

MAX_HEADER = 10_000  # bytes, as numpy has it
MAX_NOTE = 1 << 16  # bytes of axes, pixel size or units
MAX_MEMBERS = 10_000
# by format version; 3.0 differs only in the names of structured types, which are no images
_HEADERS: dict[tuple[int, int], Callable[[IO[bytes]], tuple[tuple[int, ...], bool, np.dtype[Any]]]] = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


_NOTES = {"axes", "pixel_size", "units"}
METADATA = "napari_hush_metadata"


def read_npy(path: Path, selector: str | None) -> ImageData:
    """One array; the file says nothing about axes."""
    refuse_selector(selector, path, "array")
    with path.open("rb") as file:
        shape, fortran, dtype = _header(file, str(path))
        offset = file.tell()
    check_kind(shape, dtype, str(path))
    if min(shape) < 0:
        raise FileFormatError(f"{path}: damaged, its shape is {shape}; copy or save it again")
    expected, stored = offset + _nbytes(shape, dtype), path.stat().st_size
    if stored < expected:
        raise FileFormatError(f"{path}: truncated, {expected} bytes expected, {stored} found; copy or save it again")
    axes = tuple(range(len(shape)))
    step = -1 if fortran else 1
    data = read_plain(path, offset, shape[::step], dtype, axes[::step])
    return make_image(data, guess_axes(shape), {}, str(path))


def read_npz(path: Path, selector: str | None) -> ImageData:
    """The only image in a .npz, or the one whose key the selector names."""
    try:
        return _read_npz(path, selector)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        raise FileFormatError(f"{path}: a damaged ZIP archive; copy or save it again") from error


def _read_npz(path: Path, selector: str | None) -> ImageData:
    with zipfile.ZipFile(path) as archive:
        members = [name for name in archive.namelist() if name.endswith(".npy")]
        if len(members) > MAX_MEMBERS and selector is None:
            raise InputError(f"{path}: holds {len(members)} arrays, choose one as '{path.name}:{members[0][:-4]}'")
        if not members:
            raise FileFormatError(f"{path}: a ZIP archive without arrays, no .npz; unpack it and give the image in it")
        if selector is not None and f"{selector}.npy" not in members:
            keys = ", ".join(name.removesuffix(".npy") for name in members)
            raise InputError(f"{path}: has no array {selector!r}; it holds {keys}")
        found: dict[str, tuple[tuple[int, ...], np.dtype[Any]]] = {}
        for name in members if selector is None else [f"{selector}.npy"]:
            check_packing(archive.getinfo(name), f"{path}:{name.removesuffix('.npy')}")
            with archive.open(name) as file:
                shape, _, dtype = _header(file, f"{path}:{name.removesuffix('.npy')}", selector is not None)
            if selector is not None or (dtype.kind in "buif" and len(shape) >= 2):
                found[name] = (shape, dtype)
        if len(found) != 1:
            images = [f"{name.removesuffix('.npy')} {shape}" for name, (shape, _) in found.items()]
            first = next(iter(found), members[0]).removesuffix(".npy")
            choices = [f"{path}:{name.removesuffix('.npy')}" for name in found]
            raise SeveralImagesError(
                f"{path}: expected one image, found {len(found)}: {', '.join(images[:8]) or 'none'}; "
                f"choose one as '{path.name}:{first}'",
                choices,
            )
        ((name, (shape, dtype)),) = found.items()
        key = name.removesuffix(".npy")
        check_kind(shape, dtype, f"{path}:{key}")
        member, nbytes = archive.getinfo(name), _nbytes(shape, dtype)
        check_claim(nbytes, member.compress_size, f"{path}:{key}")
        if not nbytes < member.file_size <= nbytes + MAX_HEADER + 16:
            raise FileFormatError(
                f"{path}:{key}: damaged, {nbytes} bytes of pixels in {member.file_size}; copy or save it again"
            )
        sizes = {one.filename.removesuffix(".npy"): one.file_size for one in archive.infolist()}
        short, brief = ({one for one, size in sizes.items() if size <= most} for most in (MAX_NOTE, LONGEST))
    with np.load(path, allow_pickle=False) as arrays:
        data = arrays[key]
        axes, scales = _notes(arrays, data.ndim) if key == "data" and short >= _NOTES & {*arrays} else (None, {})
        metadata = _own_metadata(arrays) if key == "data" and METADATA in brief else None
    return make_image(native(data), axes or guess_axes(shape), scales, f"{path}:{key}", metadata)


def write_npy(file: BinaryIO, image: ImageData) -> None:
    """Write the values alone: the format has no place for axes or pixel size."""
    np.save(file, np.asarray(image.data), allow_pickle=False)


def write_npz(file: BinaryIO, image: ImageData) -> None:
    """Write the values as ``data``, beside ``axes``, ``pixel_size``, ``units`` and a note of the metadata in JSON."""
    notes: dict[str, Any] = {"axes": np.array(image.axes)}
    if text := note_text(image.metadata):
        notes[METADATA] = np.array(text.encode())
    if image.pixel_size is not None:
        notes |= {"pixel_size": np.array(image.pixel_size), "units": np.array(image.units)}
    np.savez_compressed(file, data=np.asarray(image.data), **notes)


def native(data: np.ndarray) -> np.ndarray:
    """In this machine's byte order, which torch needs; one too large for memory stays as it is."""
    if data.dtype.isnative or data.nbytes > LAZY_ABOVE:
        return data
    return np.asarray(data).astype(data.dtype.newbyteorder("="))


def check_packing(member: zipfile.ZipInfo, source: str) -> None:
    """Refuse what Python unpacks without looking at how much comes out; numpy writes neither."""
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        name = {zipfile.ZIP_BZIP2: "bzip2", zipfile.ZIP_LZMA: "lzma"}.get(member.compress_type, "an unknown method")
        raise FileFormatError(
            f"{source}: is packed with {name}, which may unpack to any size; pack it again with numpy.savez_compressed"
        )


def _header(file: IO[bytes], source: str, strict: bool = True) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    try:
        version = np.lib.format.read_magic(file)
        read = _HEADERS.get(version)
        if read is not None:
            size = file.read(2 if version == (1, 0) else 4)
            length = int.from_bytes(size, "little")
            if length > MAX_HEADER:
                raise ValueError(f"a header of {length} bytes")
            shape, fortran, dtype = read(io.BytesIO(size + file.read(length)))
        else:
            shape, fortran, dtype = (), False, np.dtype([])
    except (ValueError, SyntaxError, RecursionError, MemoryError, tokenize.TokenError) as error:
        raise FileFormatError(f"{source}: the NPY header is damaged or truncated; copy or save it again") from error
    if strict and dtype.hasobject:
        raise FileFormatError(f"{source}: holds pickled Python objects, which can run code; save plain numbers instead")
    return shape, fortran, dtype


def _nbytes(shape: tuple[int, ...], dtype: np.dtype[Any]) -> int:
    count = dtype.itemsize
    for size in shape:  # Python integers: a made-up shape must not wrap around
        count *= int(size)
    return count


def _own_metadata(arrays: Any) -> Metadata:
    """The note that this package wrote; nothing of what others call the same."""
    try:
        text = arrays[METADATA]
    except ValueError:  # pickled
        return Metadata()
    return parse_note(bytes(text)) if text.dtype.kind == "S" and text.ndim == 0 else Metadata()


def _notes(arrays: Any, ndim: int) -> tuple[str | None, Scales]:
    axes = str(arrays["axes"]) if "axes" in arrays else None
    if axes is None or len(axes) != ndim or "pixel_size" not in arrays or "units" not in arrays:
        return axes, {}
    sizes, units = arrays["pixel_size"].tolist(), arrays["units"].tolist()
    return axes, {axis: (float(size), str(unit)) for axis, size, unit in zip(axes, sizes, units, strict=False)}
