"""What a file refers to: a regular file in its own folder, or it is not opened."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from napari_hush.errors import FileFormatError

KEPT = 4096  # folders whose place is remembered


class OwnFolder:
    """The folder that a file's references may lead into.

    Parameters
    ----------
    folder : Path
        As the user named it; may itself be a link.
    source : str, optional
        Whose folder it is, for messages; default the folder.
    """

    def __init__(self, folder: Path, source: str = "") -> None:
        self.folder, self._source = folder, source or str(folder)
        self._real = os.path.realpath(folder)
        self._inside: dict[str, bool] = {}

    def check(self, path: Path) -> os.stat_result:
        """Refuse what is no regular file in here.

        Raises
        ------
        FileFormatError
            If the path leaves the folder, by ``..``, as an absolute one or through a link, or is a device or a pipe.
        OSError
            If it is missing or a folder.
        """
        found = os.lstat(path)
        parent = os.path.dirname(path)
        if stat.S_ISLNK(found.st_mode):
            parent = os.path.dirname(os.path.realpath(path))
            found = path.stat()
        if len(self._inside) > KEPT:
            self._inside.clear()
        if parent not in self._inside:
            self._inside[parent] = self._holds(parent)
        if not self._inside[parent]:
            raise self._leaves(path)
        if stat.S_ISDIR(found.st_mode):
            raise IsADirectoryError(str(path))
        if not stat.S_ISREG(found.st_mode):
            raise FileFormatError(f"{self._source}: refers to {path}, which is a device or a pipe and no file")
        return found

    def below(self, name: str) -> Path:
        """The path of a name that a file gives, inside this folder.

        Raises
        ------
        FileFormatError
            If it leaves the folder.
        """
        parts = Path(name.replace("\\", "/"))
        path = self.folder / parts
        if parts.is_absolute() or ".." in parts.parts or not self._holds(path):
            raise self._leaves(path)
        return path

    def _holds(self, path: str | Path) -> bool:
        real = os.path.realpath(path)
        return real == self._real or real.startswith(self._real.rstrip(os.sep) + os.sep)

    def _leaves(self, path: Path) -> FileFormatError:
        return FileFormatError(
            f"{self._source}: refers to {path}, in another folder, which is not followed; put it into its own"
        )
