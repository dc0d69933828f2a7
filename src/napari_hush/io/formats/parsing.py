"""Parsers of other libraries, which fail on damaged files in any way."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from napari_hush.errors import FileFormatError, InputError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def parsing(path: Path, kind: str) -> Iterator[None]:
    """Whatever a library raises in the block becomes one error with the file's name.

    Parameters
    ----------
    path : Path
        The file.
    kind : str
        What it should be, such as "a NIfTI file".

    Raises
    ------
    FileFormatError
        If the library cannot read it. Errors of this package, of memory and of the disk, which have a number, pass.
    """
    try:
        yield
    except (InputError, MemoryError):
        raise
    except Exception as error:  # of any library
        if isinstance(error, OSError) and error.errno is not None:
            raise
        reason = " ".join(str(error).split()) or type(error).__name__
        raise FileFormatError(
            f"{path}: truncated, damaged or not {kind} ({reason:.200}); copy or export it again"
        ) from error
