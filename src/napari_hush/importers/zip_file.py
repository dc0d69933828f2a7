"""The table of contents of a zip archive that may be hostile, and single members of it; needs no torch."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from typing import TYPE_CHECKING, BinaryIO

from napari_hush.errors import ModelFileError
from napari_hush.importers.pytorch.pickle_content import show

if TYPE_CHECKING:
    from pathlib import Path

MAX_DIRECTORY_BYTES = 1 << 22  # of a zip archive, about 80 bytes per tensor
DAMAGED_ZIP = "a truncated or damaged zip archive ({}); copy or download it again"
MAX_RATIO = 100  # of unpacked to packed bytes; weights are hardly compressible
SMALL = 1 << 20  # bytes; what is smaller may be of any ratio
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
ZIP_ERRORS = (zipfile.BadZipFile, OSError, ValueError, EOFError, NotImplementedError, RuntimeError, struct.error)
NOT_WEIGHTS = {
    "constants.pkl": "a TorchScript program (torch.jit.save), which holds code",
    "code": "a TorchScript program (torch.jit.save), which holds code",
    "models": "an exported program (torch.export.save), which holds a graph",
    "serialized_exported_program.json": "an exported program (torch.export.save), which holds a graph",
}


def is_zip(head: bytes) -> bool:
    """Whether a file begins like a zip archive."""
    return head.startswith(b"PK\x03\x04")


def list_members(file: BinaryIO) -> list[zipfile.ZipInfo]:
    """The members of a zip archive, by its table of contents, which is not trusted to be of a sane size.

    Raises
    ------
    ModelFileError
        If the archive is truncated or damaged.
    """
    size = file.seek(0, io.SEEK_END)
    file.seek(max(0, size - 65_557))  # the end record and the longest comment
    tail = file.read()
    end = tail.rfind(b"PK\x05\x06")
    try:
        (n_bytes,) = struct.unpack_from("<I", tail, end + 12) if end >= 0 else (0,)
        if n_bytes == 0xFFFFFFFF:
            (n_bytes,) = struct.unpack_from("<Q", tail, end - 36)  # 64 bit record (56 bytes) and its locator (20)
        if n_bytes > MAX_DIRECTORY_BYTES:
            raise ModelFileError(f"a zip archive with a table of contents of {n_bytes:,} bytes, far beyond a model's")
        with zipfile.ZipFile(file) as archive:
            return archive.infolist()
    except ZIP_ERRORS as error:
        if isinstance(error, ModelFileError):
            raise
        raise ModelFileError(DAMAGED_ZIP.format(show(str(error).lower()))) from error


def by_name(members: list[zipfile.ZipInfo]) -> dict[str, zipfile.ZipInfo]:
    """The members by their names.

    Raises
    ------
    ModelFileError
        If two have one name.
    """
    found = {member.filename: member for member in members}
    if len(found) < len(members):
        raise ModelFileError("a package in which two members have one name; get the whole package again")
    return found


def read_member(file: BinaryIO, member: zipfile.ZipInfo, limit: int) -> bytes:
    """A member's bytes; nothing is unpacked before the sizes make sense.

    Raises
    ------
    ModelFileError
        If it is encrypted, packed in another way, larger than the limit, damaged, or grows as no weights do.
    """
    name = show(member.filename, 40)
    if member.flag_bits & 1:
        raise ModelFileError(
            f"{name!r} is encrypted, expected a package without a password; get the whole package again"
        )
    if member.compress_type not in METHODS:
        raise ModelFileError(
            f"{name!r} is packed by method {member.compress_type}, expected stored or deflated; zip the package anew"
        )
    if member.file_size > limit:
        raise ModelFileError(
            f"{name!r} has {member.file_size:,} bytes, expected at most {limit:,}; nothing was unpacked"
        )
    if member.file_size > max(SMALL, MAX_RATIO * member.compress_size):
        raise ModelFileError(
            f"{name!r} grows from {member.compress_size:,} to {member.file_size:,} bytes when unpacked, which no "
            "weights do; nothing was unpacked, do not trust this file"
        )
    try:
        with zipfile.ZipFile(file) as archive, archive.open(member) as stream:
            return stream.read()
    except (*ZIP_ERRORS, zlib.error) as error:
        raise ModelFileError(DAMAGED_ZIP.format(show(f"{member.filename}: {str(error).lower()}"))) from error


def explain_zip(path: Path) -> str:
    """Say what a zip archive is that none of the importers takes."""
    with path.open("rb") as file:
        try:
            names = [member.filename for member in list_members(file)]
        except ModelFileError as error:
            return str(error)
    parts = {part for name in names for part in name.split("/")[:2]}
    if found := next((what for part, what in NOT_WEIGHTS.items() if part in parts), None):
        return f"{found}; save the weights alone: torch.save(net.state_dict(), path)"
    if names and all(name.endswith(".npy") for name in names):
        return "arrays of numpy (.npz), whose network is unknown"
    if not names:
        return "a zip archive without anything in it"
    return f"a zip archive of something else (with {show(names[0], 40)!r}); unpack it if the model is inside"
