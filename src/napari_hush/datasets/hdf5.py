"""Data sets as one HDF5 with train_ns, train_gt, test_ns and test_gt, as TomoGAN reads them."""

from __future__ import annotations

import os
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import h5py
import numpy as np

from napari_hush.datasets.pool import in_order
from napari_hush.datasets.records import compare, jobs_of, locked, note_settings
from napari_hush.datasets.settings import settings_from, settings_to_toml
from napari_hush.errors import InputError
from napari_hush.files import naming, parse_toml, replacing
from napari_hush.io.formats.hdf5_open import open_hdf5
from napari_hush.leftovers import sweep
from napari_hush.progress import Progress

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from pathlib import Path
    from typing import BinaryIO

    from numpy.typing import NDArray

    from napari_hush.datasets.drawing import Drawer, Split
    from napari_hush.datasets.folders import Share
    from napari_hush.datasets.pool import Drawn

COUNT = b"\nnapari-hush, images finished: %012d\n"  # behind the end of an unfinished HDF5, where no reader looks
COUNT_SIZE = len(COUNT % 0)
EVERY = 0.5  # seconds from one count to the next


def write_hdf5(
    drawer: Drawer, out: Path, *, share: Share | None = None, drawn: Drawn | None = None
) -> Generator[Progress, None, None]:
    """Write one file under a temporary name, which counts the finished images, until it is complete.

    Parameters
    ----------
    drawer : Drawer
        Draws the images.
    out : Path
        Ends in .h5 or .hdf5; the settings go beside it under its name with .toml.
    share : callable, optional
        Is refused: one process writes a file.
    drawn : callable, optional
        Other processes that draw, see `in_order`.

    Raises
    ------
    InputError
        If something else is there, or another run writes it.
    OSError
        If the disk is full or fails; what is finished stays for the next run.
    """
    if share is not None:
        raise InputError(
            f"{out}: one file is written by one process, not by shards: choose --layout paired or unpaired"
        )
    if out.suffix.lower() not in (".h5", ".hdf5"):
        raise InputError(f"{out}: layout hdf5 is one file, whose name ends in .h5 or .hdf5")
    if out.is_dir():
        raise InputError(f"{out}: is a folder; name a file in it")
    part, note = out.with_name(f"{out.name}.part"), out.with_suffix(".toml")
    for path in (out, part):
        if path.exists():
            _compare(drawer, path)
    note_settings(drawer, note, out.with_name(f"{out.stem}-materials"), out)
    jobs = jobs_of(drawer.settings)
    with locked(note, out):
        sweep(out.parent, out.name, note.name, part.name, alone=True)
        if not out.exists():
            if not part.exists():
                _lay_out(part, drawer)
            yield from _fill(part, out, drawer, jobs, drawn)
            os.replace(part, out)
        yield Progress(len(jobs), len(jobs), "images")


def _fill(
    part: Path, out: Path, drawer: Drawer, jobs: list[tuple[Split, int]], drawn: Drawn | None
) -> Generator[Progress, None, None]:
    """Write the images that are missing, and at last take the count off."""
    with open_hdf5(part) as hdf5:
        starts = {name: hdf5[name].id.get_offset() for name in hdf5}  # in bytes; None where there are no images
    size = 4 * drawer.settings.shape[0] * drawer.settings.shape[1]
    with _named(out), part.open("r+b") as file:
        done = _read_count(file, len(jobs))
        yield Progress(done, len(jobs), "images")
        counted = time.monotonic()
        try:
            with in_order(_make_arrays, drawer, jobs[done:], drawn) as made:
                for (split, number), images in made:
                    for what, image in zip(("ns", "gt"), images, strict=True):
                        # Not by h5py: nothing that the file needs to open is written while a run can be killed.
                        file.seek(starts[f"{split}_{what}"] + number * size)
                        file.write(np.ascontiguousarray(image, dtype="<f4").data)
                    file.flush()
                    done += 1
                    if time.monotonic() - counted > EVERY:
                        _write_count(file, done)
                        counted = time.monotonic()
                    if done < len(jobs):
                        yield Progress(done, len(jobs), "images")
        finally:
            _write_count(file, done)
        file.truncate(file.seek(-COUNT_SIZE, os.SEEK_END))
        os.fsync(file.fileno())


def _write_count(file: BinaryIO, done: int) -> None:
    """Say how many images are finished, after they are safe on the disk."""
    os.fsync(file.fileno())
    file.seek(-COUNT_SIZE, os.SEEK_END)
    file.write(COUNT % done)
    file.flush()


def _read_count(file: BinaryIO, total: int) -> int:
    """Return how many images are finished; without a count all are, and it is put back."""
    file.seek(-COUNT_SIZE, os.SEEK_END)
    text = file.read()
    digits = text.strip()[-12:]
    if digits.isdigit() and text == COUNT % int(digits):
        return int(digits)
    file.write(COUNT % total)  # ended between its last two steps
    file.flush()
    return total


def _make_arrays(drawer: Drawer, job: tuple[Split, int]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Draw one image: noisy and clean, (Y, X) each."""
    target = drawer(*job)
    return target.noisy, target.clean


@contextmanager
def _named(out: Path) -> Iterator[None]:
    """Say which file could not be written."""
    try:
        yield
    except OSError as error:
        raise naming(error, out) from error


def _compare(drawer: Drawer, path: Path) -> None:
    """Refuse a file that is not this data set."""
    if not h5py.is_hdf5(path):
        raise InputError(f"{path}: not an HDF5 file; remove it or choose another name")
    with open_hdf5(path) as file:
        text = file.attrs.get("settings")
    if not isinstance(text, str):
        raise InputError(f"{path}: was not written by napari-hush synthesize; choose another name")
    try:
        table = parse_toml(text)
    except ValueError as error:
        raise InputError(f"{path}: its attribute 'settings' is damaged ({error}); choose another name") from error
    materials = table.pop("materials", {})
    compare(drawer, settings_from(table), materials.get("sha256"), path, "its attribute 'settings'")


def _lay_out(part: Path, drawer: Drawer) -> None:
    """Write the file with room for all images and a count of 0."""
    settings = drawer.settings
    table = {"sha256": drawer.materials.sha256} if drawer.materials else None
    early = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    early.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    early.set_fill_time(h5py.h5d.FILL_TIME_NEVER)  # zeros that are not written take no room yet
    early.set_obj_track_times(False)
    with replacing(part) as temporary:
        with h5py.File(temporary, "w") as file:
            file.attrs["settings"] = settings_to_toml(settings, table)
            for split, count in (("train", settings.n - settings.n_test), ("test", settings.n_test)):
                space = h5py.h5s.create_simple((count, *settings.shape))
                for what in ("ns", "gt"):
                    h5py.h5d.create(file.id, f"{split}_{what}".encode(), h5py.h5t.IEEE_F32LE, space, early)
        temporary.seek(0, os.SEEK_END)
        temporary.write(COUNT % 0)
