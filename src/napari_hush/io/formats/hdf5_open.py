"""Open HDF5 files that may be hostile: the library reads through an eye that looks at each part first."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from napari_hush.errors import FileFormatError
from napari_hush.files import explain_wrong_file

if TYPE_CHECKING:
    from pathlib import Path

MAGIC = b"\x89HDF\r\n\x1a\n"
HEAP = b"GCOL\x01"  # the texts of variable length
MAX_HEAP = 1 << 26  # bytes; one is 4 kB, or as long as the longest text in it
METADATA = 1 << 20  # bytes; the library reads none in larger parts


def open_hdf5(path: Path, error: type[FileFormatError] = FileFormatError, content: bytes | None = None) -> Any:
    """Open a file read-only, as an `h5py.File`.

    Parameters
    ----------
    path : Path
        The file.
    error : type of FileFormatError
        What is raised for a file that cannot be opened, and later, while it is read, where it is cut short or has a
        damaged heap of texts. The library's own errors come as `OSError`.
    content : bytes, optional
        What is read in place of the file: an HDF5 file that lies inside of it.
    """
    import h5py

    explain_wrong_file(path, error, "an HDF5 file")
    watched = WatchedFile(path, error, content)
    try:
        return h5py.File(watched, "r")
    except OSError as caught:
        watched.close()
        raise error(f"{path}: truncated or damaged HDF5 file ({caught}); copy or download it again") from caught


class WatchedFile(io.RawIOBase):
    """The bytes of an HDF5 file, refused where the HDF5 library would do worse than fail.

    libhdf5 2.0 runs around in a damaged heap of texts forever (HDFGroup/hdf5#1707), and takes zeros for what lies
    behind the end of a file, such as one that is cut short while it is read.
    """

    def __init__(self, path: Path, error: type[FileFormatError], content: bytes | None = None) -> None:
        self._path, self._error, self._position = path, error, 0
        self._file = path.open("rb", buffering=0) if content is None else io.BytesIO(content)
        self._length_size = self._read_length_size()

    def readable(self) -> bool:  # noqa: D102
        return True

    def seekable(self) -> bool:  # noqa: D102
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:  # noqa: D102
        if whence == io.SEEK_END:
            offset += self._file.seek(0, io.SEEK_END)
        self._position = offset + (self._position if whence == io.SEEK_CUR else 0)
        return self._position

    def tell(self) -> int:  # noqa: D102
        return self._position

    def close(self) -> None:  # noqa: D102
        if not self.closed:
            self._file.close()
        super().close()

    def readinto(self, buffer: Any, /) -> int:
        """Fill all of the buffer."""
        view, start, done = memoryview(buffer).cast("B"), self._position, 0
        if 0 <= start < 1 << 62:  # beyond, a damaged file leads
            self._file.seek(start)
            while done < len(view) and (count := self._file.readinto(view[done:])):
                done += count
        if done < len(view):
            raise self._error(
                f"{self._path}: truncated or damaged HDF5 file (it ends before byte {start + len(view)}); "
                "get the file again"
            )
        if done <= METADATA:
            self._check_heaps(bytes(view), start)
        self._position = start + done
        return done

    def _check_heaps(self, content: bytes, start: int) -> None:
        """Look at each heap that begins in a part of the file, or just before it."""
        for missing in range(1, len(HEAP)):
            if content.startswith(HEAP[missing:]) and self._at(start - missing, missing) == HEAP[:missing]:
                self._check_heap(start - missing)
        found = content.find(HEAP)
        while found >= 0:
            self._check_heap(start + found)
            found = content.find(HEAP, found + 1)

    def _check_heap(self, start: int) -> None:
        """Walk through one as the library does."""
        lengths = slice(8, 8 + self._length_size)
        end = int.from_bytes(self._at(start, 16)[lengths], "little")
        content = self._at(start, end) if 16 <= end <= MAX_HEAP else b""
        position = 16
        while position + 16 <= len(content):
            number = int.from_bytes(content[position : position + 2], "little")
            length = int.from_bytes(content[position : position + 16][lengths], "little")
            step = 16 + -(-length // 8) * 8 if number else length  # number 0 is the free rest, header included
            if step < 16:
                break
            position += step
        if len(content) < 16 or position > end or position + 16 <= len(content):
            raise self._error(
                f"{self._path}: truncated or damaged HDF5 file (the heap of texts at byte {start} is malformed); "
                "get the file again"
            )

    def _at(self, start: int, count: int) -> bytes:
        if start < 0:
            return b""
        self._file.seek(start)
        return self._file.read(count) or b""

    def _read_length_size(self) -> int:
        """How many bytes the file's lengths have; its first block may lie behind some of the user's own bytes."""
        for start in (0, *(512 << k for k in range(12))):
            head = self._at(start, 16)
            if head.startswith(MAGIC) and len(head) == 16:
                size = head[10] if head[8] >= 2 else head[14]
                if size in (2, 4, 8):
                    return size
                raise self._error(f"{self._path}: damaged HDF5, lengths of {size} bytes; get the file again")
        return 8
