"""Parsers of other libraries, which fail on damaged files in any way."""

from __future__ import annotations

from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any

from napari_hush.errors import FileFormatError, InputError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def needed(module: str, words: str) -> Any:
    """A library that an extra brings.

    Raises
    ------
    InputError
        With these words, if it is not installed.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise InputError(words) from error


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
