"""A file that appears complete or not at all."""

from __future__ import annotations

import errno
import os
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Open a temporary file beside ``path`` that takes its name when the block is left without an error.

    Raises
    ------
    OSError
        If the disk is full or the folder not writable, naming ``path``; the temporary file is removed and an older
        file is as it was.
    """
    temporary = None
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
        temporary = Path(name)
        os.close(handle)
        with temporary.open("w+b") as file:  # by its name: tifffile asks the file for it
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o666 & ~umask())  # mkstemp makes it private
        os.replace(temporary, path)
        temporary = None
    except OSError as error:
        raise naming(error, path) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def naming(error: OSError, path: Path) -> OSError:
    """The same error about the file that the user asked for, not about a temporary one."""
    return OSError(error.errno or errno.EIO, f"cannot write: {error.strerror or error}", str(path))


def umask() -> int:
    """Which permissions this process takes away from new files."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
