"""Where the files of a training go, so that none is lost: room on the disk, names that are free, and a last resort."""

from __future__ import annotations

import errno
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from napari_hush.errors import InputError

if TYPE_CHECKING:
    from napari_hush.model import Model

TIMES = 2  # the files of a run: a new one is written before the old one goes


def previews_of(checkpoint: Path) -> Path:
    """The folder of the preview pictures."""
    return checkpoint.with_name(f"{checkpoint.stem}-previews")


def free_name(path: Path) -> Path:
    """The path, or one with a number where there is a file of that name."""
    number, name = 1, path
    while name.exists():
        number += 1
        name = path.with_name(f"{path.stem}-{number}{path.suffix}")
    return name


def free_bytes(path: Path) -> int:
    """The room on the disk of a file that is to be written."""
    return shutil.disk_usage(path.parent).free


def check_room(path: Path, n_bytes: int) -> None:
    """Refuse to begin where there is no room for what comes at the end.

    Parameters
    ----------
    path : Path
        A file in the folder.
    n_bytes : int
        Of all files of the run.

    Raises
    ------
    InputError
        If there is not twice as much.
    """
    free = free_bytes(path)
    if free < TIMES * n_bytes:
        raise InputError(
            f"{path}: the disk has room for {free / 1e6:,.0f} MB, expected {TIMES * n_bytes / 1e6:,.0f} MB for "
            "checkpoint and model: make room, or choose another folder"
        )


def refuse_full_disk(path: Path, n_bytes: int) -> None:
    """Raise, before anything is written, the error that a full disk would raise in the middle.

    Raises
    ------
    OSError
        If there is less room than that.
    """
    if free_bytes(path) < n_bytes:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))


def save_or_keep(model: Model, path: Path, checkpoint: Path | None = None) -> None:
    """Save a trained model; where its folder cannot be written, elsewhere: it took hours.

    Parameters
    ----------
    model : Model
        What was trained.
    path : Path
        Its file.
    checkpoint : Path, optional
        Of the run.

    Raises
    ------
    InputError
        If it could not be written there, saying where it is.
    """
    try:
        model.save(path)
        return
    except OSError as error:
        reason = error.strerror or str(error)
    for folder in (Path(tempfile.gettempdir()), Path.home()):
        kept = free_name(folder / f"{path.stem}-kept.safetensors")
        try:
            model.save(kept)
        except (OSError, InputError):
            continue
        raise InputError(f"{path}: cannot be written ({reason}); the model is kept as {kept}: make room, and move it")
    rest = f"; {checkpoint} holds its weights: make room, and go on with resume=True" if checkpoint else ""
    raise InputError(f"{path}: cannot be written ({reason}), nor can {tempfile.gettempdir()} or {Path.home()}{rest}")
