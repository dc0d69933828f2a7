"""Data sets as folders of TIFF: pair by pair, or the two sides that CycleGAN reads."""

from __future__ import annotations

import zipfile
from functools import partial
from io import BytesIO
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from napari_hush.datasets.pool import in_order
from napari_hush.datasets.records import jobs_of, locked, note_settings
from napari_hush.errors import InputError
from napari_hush.files import atomic_write, replacing
from napari_hush.io import ImageData
from napari_hush.io.formats.tiff_write import write_tiff
from napari_hush.leftovers import sweep
from napari_hush.progress import Progress
from napari_hush.synthesis.kinds import KINDS

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping
    from pathlib import Path

    from numpy.typing import ArrayLike

    from napari_hush.datasets.drawing import Drawer, Split
    from napari_hush.datasets.pool import Drawn, Job
    from napari_hush.datasets.settings import SynthesisSettings

    Share = Callable[[list[Job]], list[Job]]


def write_folders(
    drawer: Drawer, out: Path, *, share: Share | None = None, drawn: Drawn | None = None
) -> Generator[Progress, None, None]:
    """Write the images that are not there yet; the first event counts those that are.

    Parameters
    ----------
    drawer : Drawer
        Draws them.
    out : Path
        A folder, empty, missing, or with a part of the same data set.
    share : callable, optional
        Gives those of all images that this process makes, while others make the rest.
    drawn : callable, optional
        Other processes that draw, see `in_order`.

    Raises
    ------
    InputError
        If something else is there, or another run writes it.
    OSError
        If the disk is full or fails; what is finished stays for the next run.
    """
    settings = drawer.settings
    if out.suffix.lower() in (".h5", ".hdf5"):
        raise InputError(f"{out}: layout {settings.layout} is a folder; choose layout hdf5 or another name")
    if out.exists() and not out.is_dir():
        raise InputError(f"{out}: is a file; name a folder")
    note = out / "settings.toml"
    names = [path.name for path in out.iterdir()] if out.is_dir() else []
    strangers = [name for name in names if not name.startswith(".") and name != "materials"]
    if strangers and not note.exists():
        raise InputError(f"{out}: the folder holds other files, such as {strangers[0]}; choose an empty or a new one")
    note_settings(drawer, note, out / "materials", out)
    alone = share is None
    with locked(note, out, shared=not alone):
        jobs = jobs_of(settings) if share is None else share(jobs_of(settings))
        files = {job: list(_files(settings.layout, *job).values()) for job in jobs}
        there = set()
        for folder in {name.rpartition("/")[0] for names in files.values() for name in names}:
            (out / folder).mkdir(parents=True, exist_ok=True)
            sweep(out / folder, alone=alone)
            there |= {f"{folder}/{path.name}" for path in (out / folder).iterdir()}
        sweep(out, alone=alone)
        missing = [job for job in jobs if not there.issuperset(files[job])]
        done = len(jobs) - len(missing)
        yield Progress(done, len(jobs), "images")
        with in_order(partial(_make_files, out.absolute()), drawer, missing, drawn) as made:
            for _ in made:
                done += 1
                yield Progress(done, len(jobs), "images")


def missing_from(settings: SynthesisSettings, out: Path) -> list[Job]:
    """The images of a data set in folders that are not there."""
    return [
        job
        for job in jobs_of(settings)
        if not all((out / name).is_file() for name in _files(settings.layout, *job).values())
    ]


def _files(layout: str, split: Split, number: int) -> dict[str, str]:
    """Name the files of one image."""
    name = f"{number:05d}"
    if layout == "paired":
        images = {what: f"{split}/{what}/{name}.tif" for what in ("noisy", "clean")}
        return images | {"truth": f"{split}/truth/{name}.npz"}
    if split.endswith("B"):
        return {"clean": f"{split}/{name}.tif"}
    return {"noisy": f"{split}/{name}.tif", "truth": f"truth/{split}/{name}.npz"}


def _make_files(out: Path, drawer: Drawer, job: tuple[Split, int]) -> None:
    """Draw and write one image."""
    target = drawer(*job)
    files = _files(drawer.settings.layout, *job)
    for what, image in (("clean", target.clean), ("noisy", target.noisy)):
        if what in files:
            memory = BytesIO()  # tifffile does not tell of a full disk
            axes = "CYX" if KINDS[drawer.settings.kind].colours else "ZYX"[-image.ndim :]
            write_tiff(memory, ImageData(image, axes), files[what])
            atomic_write(out / files[what], memory.getvalue())
    if "truth" in files:
        truth = target.truth()
        if "clean" not in files:
            truth["clean"] = target.clean
        with replacing(out / files["truth"]) as file:
            _write_npz(file, truth)


def _write_npz(file: BinaryIO, arrays: Mapping[str, ArrayLike]) -> None:
    """Write what `numpy.load` reads, small where that is quick: fractions hardly shrink and take longest."""
    with zipfile.ZipFile(file, "w") as archive:
        for name, values in arrays.items():
            array = np.asarray(values)
            entry = zipfile.ZipInfo(f"{name}.npy")  # without the time of day: the same bytes again
            if array.dtype.kind != "f" or array.size == 0 or array.min() == array.max():
                entry.compress_type = zipfile.ZIP_DEFLATED
            with archive.open(entry, "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)
