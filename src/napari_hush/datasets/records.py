"""The settings file of a data set: written once, compared when a stopped run goes on."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from napari_hush.datasets.materials import Materials, load_materials
from napari_hush.datasets.settings import SynthesisSettings, settings_from, settings_to_toml
from napari_hush.errors import InputError
from napari_hush.files import atomic_write, read_toml

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from napari_hush.datasets.drawing import Drawer, Split


def jobs_of(settings: SynthesisSettings) -> list[tuple[Split, int]]:
    """List all images as (split, number), in the order in which they are made."""
    train, test = settings.n - settings.n_test, settings.n_test
    splits: list[tuple[Split, int]] = [("train", train), ("test", test)]
    if settings.layout == "unpaired":
        splits = [("trainA", train), ("trainB", train), ("testA", test), ("testB", test)]
    return [(split, number) for split, count in splits for number in range(count)]


def read_settings(path: Path) -> tuple[SynthesisSettings, Materials]:
    """Read a settings file and the images that it names.

    Parameters
    ----------
    path : Path
        A TOML file with the names and values of `SynthesisSettings`, and perhaps a table ``[materials]``: ``crop``, a
        file with a unit crop, ``masks``, files with transmissions, and ``mask_periods``, all relative to this file.

    Returns
    -------
    settings : SynthesisSettings
        What is not in the file has its default.
    materials : Materials
        Empty without the table.

    Raises
    ------
    InputError
        If a file is missing, not TOML or no image, or holds an unknown name or a value out of its range.
    """
    table = read_toml(path)
    materials = table.pop("materials", {})
    try:
        return settings_from(table), load_materials(materials, path.parent)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def note_settings(drawer: Drawer, note: Path, folder: Path, out: Path) -> None:
    """Write the settings file and the images that it names, or compare with what is there.

    Parameters
    ----------
    drawer : Drawer
        Has the settings and the materials.
    note : Path
        The settings file.
    folder : Path
        For the images.
    out : Path
        The data set, for messages.

    Raises
    ------
    InputError
        If there is another data set.
    """
    if note.exists():
        settings, materials = read_settings(note)
        compare(drawer, settings, materials.sha256, out, f"see {note}")
        return
    note.parent.mkdir(parents=True, exist_ok=True)
    table = drawer.materials.save(folder, relative_to=note.parent)
    atomic_write(note, settings_to_toml(drawer.settings, table).encode())  # last: it says that all the rest is there


def compare(drawer: Drawer, there: SynthesisSettings, sha256: str | None, out: Path, where: str) -> None:
    """Refuse a place where there is another data set; the checksum is that of its materials, None without any."""
    pairs: list[tuple[str, Any, Any]] = [
        (field.name, getattr(there, field.name), getattr(drawer.settings, field.name))
        for field in fields(there)
        if field.name != "workers"
    ]
    other = [f"{name} is {old}, not {new}" for name, old, new in pairs if old != new]
    if (sha256 or Materials().sha256) != drawer.materials.sha256:
        other.append("its unit crop or dents are others")
    if other:
        raise InputError(f"{out}: another data set is there ({'; '.join(other)}; {where}); choose another name")


@contextmanager
def locked(note: Path, out: Path, *, shared: bool = False) -> Iterator[None]:
    """Keep a second run from the data set of a settings file, or let shards of one in; a killed run leaves no lock."""
    if sys.platform == "win32":  # a lock would keep readers off, too
        yield
        return
    import fcntl

    with note.open("rb") as file:
        try:
            fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(f"{out}: another run is writing it; wait until that has finished") from None
        except OSError:  # some network file systems have no locks
            pass
        yield
