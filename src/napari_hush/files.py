"""Writing files so that nothing is lost, and telling what a wrong file is."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import tomllib
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from napari_hush.errors import FileFormatError, InputError
from napari_hush.leftovers import beside
from napari_hush.names import ending, stem

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST_TOML = 1 << 22  # bytes of a settings file
GIT_LFS = b"version https://git-lfs"


def atomic_write(path: str | Path, data: bytes | memoryview) -> None:
    """Write a file at once, see `replacing`.

    Raises
    ------
    InputError
        If the folder does not exist.
    OSError
        If it cannot be written.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise InputError(f"{path}: the folder {path.parent} does not exist; create it or choose another")
    with replacing(path) as file:
        file.write(data)


@dataclass(frozen=True)
class Place:
    """The name of an output, and what had that name when the work on it began.

    Parameters
    ----------
    path : Path
        The name.
    seen : tuple of int or None
        Tells one file or folder from another; None where there was none.
    """

    path: Path
    seen: tuple[int, ...] | None

    @classmethod
    def of(cls, path: Path) -> Place:
        """As it is now."""
        return cls(path, _identity(path))

    @property
    def is_free(self) -> bool:
        """Whether the name still belongs to what was seen, or to nothing if nothing was."""
        return _identity(self.path) == self.seen

    def keep_folder(self) -> None:
        """Make the folder again where somebody has removed it since.

        Warns
        -----
        UserWarning
            If it had to be made.

        Raises
        ------
        OSError
            If it cannot be made.
        """
        if not self.path.parent.is_dir():
            self.path.parent.mkdir(parents=True)
            words = f"{self.path.parent}: this folder was removed while the result was being made; it was made again"
            warnings.warn(words, UserWarning, stacklevel=2)

    def take(self, finished: Path) -> None:
        """Give the name to what is finished, which lies in the same folder.

        Raises
        ------
        InputError
            If something else has got the name meanwhile: that stays, and the message says where the result is.
        """
        if self.is_free:
            os.replace(finished, self.path)
            return
        number = 1
        while os.path.lexists(kept := self.path.with_name(f"{stem(self.path)}-{number}{ending(self.path)}")):
            number += 1
        os.replace(finished, kept)
        raise InputError(
            f"{self.path}: something else was put there while the result was being made, and stays as it is; "
            f"the result is in {kept}"
        )


def _identity(path: Path) -> tuple[int, ...] | None:
    try:
        found = path.lstat()
    except FileNotFoundError:
        return None
    if stat.S_ISDIR(found.st_mode):  # whose time changes with what others keep in it
        return found.st_dev, found.st_ino
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


@contextmanager
def replacing(path: Path, place: Place | None = None) -> Iterator[BinaryIO]:
    """Open a temporary file beside ``path`` that takes its name when the block is left without an error.

    Parameters
    ----------
    path : Path
        The name.
    place : Place, optional
        What had it when the work began, where that was earlier than now.

    Raises
    ------
    InputError
        If something else has got the name meanwhile, see `Place.take`.
    OSError
        If the disk is full or the folder not writable, naming ``path``; the temporary file is removed and an older
        file is as it was.
    """
    place = place or Place.of(path)
    temporary = beside(path, ".part")
    try:
        with temporary.open("x+b") as file:  # by its name: tifffile asks the file for it
            yield file
            file.flush()
            os.fsync(file.fileno())
        place.take(temporary)
    except OSError as error:
        raise naming(error, path) from error
    finally:
        temporary.unlink(missing_ok=True)


def is_empty_folder(path: Path) -> bool:
    """Whether this is a folder in which nothing would be lost."""
    return path.is_dir() and not any(path.iterdir())


def naming(error: OSError, path: Path) -> OSError:
    """The same error about the file that the user asked for, not about a temporary one."""
    return OSError(error.errno or errno.EIO, f"cannot write: {error.strerror or error}", str(path))


def file_sha256(path: Path) -> str:
    """The SHA-256 of a file's content, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_toml(path: Path) -> dict[str, Any]:
    """The content of a settings file.

    Raises
    ------
    InputError
        If the file is missing, or no TOML that makes sense.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file, expected a settings file (.toml)")
    size = path.stat().st_size
    if size > MOST_TOML:
        raise InputError(f"{path}: has {size:,} bytes, expected a settings file of at most {MOST_TOML:,}")
    try:
        return parse_toml(path.read_text("utf-8"))
    except (ValueError, OSError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise InputError(f"{path}: not a TOML file ({reason})") from error


def parse_toml(text: str) -> dict[str, Any]:
    """The content of a text in TOML.

    Raises
    ------
    ValueError
        If it is none, nested too deep, or has an integer of more than 64 bits, beyond what TOML knows.

    Examples
    --------
    >>> parse_toml("steps = 4")
    {'steps': 4}
    """
    try:
        table = tomllib.loads(text)
    except RecursionError:
        raise ValueError("nested too deep") from None
    left: list[Any] = [table]
    while left:
        value = left.pop()
        if isinstance(value, int) and value.bit_length() > 64:
            raise ValueError("an integer of more than 64 bits")
        left.extend(value.values() if isinstance(value, dict) else value if isinstance(value, list) else ())
    return table


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
