"""Writing files so that nothing is lost, and telling what a wrong file is."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from napari_hush.errors import FileFormatError, InputError

GIT_LFS = b"version https://git-lfs"


def atomic_write(path: str | Path, data: bytes) -> None:
    """Write a file through a temporary one beside it, so that a crash leaves the old file or the new one.

    Raises
    ------
    InputError
        If the folder does not exist.
    OSError
        If it cannot be written; the temporary file is removed.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise InputError(f"{path}: the folder {path.parent} does not exist; create it or choose another")
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o666 & ~_umask())  # mkstemp makes it private; the result should be like any other file
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def explain_wrong_file(path: Path, error: type[FileFormatError], expected: str) -> None:
    """Refuse what no reader can read: a missing file, a folder, an empty file, a git-lfs pointer."""
    if path.is_dir():
        raise error(f"{path}: is a folder, expected {expected}")
    if not path.exists():
        raise error(f"{path}: no such file, expected {expected}")
    if not path.is_file():
        raise error(f"{path}: is a device or a pipe, expected {expected}")
    with path.open("rb") as file:
        head = file.read(len(GIT_LFS))
    if not head:
        raise error(f"{path}: the file is empty, expected {expected}; copy or download it again")
    if head == GIT_LFS:
        raise error(f"{path}: a git-lfs pointer, not the file itself; run 'git lfs pull' and try again")


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
