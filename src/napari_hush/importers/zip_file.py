"""The table of contents of a zip archive that may be hostile; needs no torch."""

from __future__ import annotations

import io
import struct
import zipfile
from typing import TYPE_CHECKING, BinaryIO

from napari_hush.errors import ModelFileError
from napari_hush.importers.pytorch.pickle_content import show

if TYPE_CHECKING:
    from pathlib import Path

MAX_DIRECTORY_BYTES = 1 << 22  # of a zip archive, about 80 bytes per tensor
DAMAGED_ZIP = "a truncated or damaged zip archive ({}); copy or download it again"
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
    if {"config.json", "model.weights.h5"} <= parts:
        return "a Keras 3 model (.keras), which can hold code; save it from Keras 2 as .h5"
    if names and all(name.endswith(".npy") for name in names):
        return "arrays of numpy (.npz), whose network is unknown"
    if not names:
        return "a zip archive without anything in it"
    return f"a zip archive of something else (with {show(names[0], 40)!r}); unpack it if the model is inside"
