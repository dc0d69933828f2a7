"""Files that hold several images: one of them is chosen by its number, or by its name where only one has it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_hush.errors import FileFormatError, InputError, SeveralImagesError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from napari_hush.io.image import ImageData

LISTED = 12


@dataclass(frozen=True)
class Choice:
    """One of the images.

    Parameters
    ----------
    name : str
        As its file calls it, such as "HAADF"; several may have the same.
    shape : tuple of int
        For the list.
    read : callable
        Gives the image.
    place : str
        Where it lies in an HDF5 file, which chooses it, too.
    """

    name: str
    shape: tuple[int, ...]
    read: Callable[[], ImageData]
    place: str = ""


def refuse_selector(selector: str | None, path: Path, what: str = "image") -> None:
    """Of a file that cannot hold several.

    Raises
    ------
    InputError
        If one was chosen all the same.
    """
    if selector is not None:
        raise InputError(f"{path}: holds one {what}, leave out ':{selector}'")


def choose(found: Sequence[Choice], selector: str | None, path: Path, others: Sequence[str] = ()) -> ImageData:
    """Read the only image, or the one that the selector means; ``others`` says what else the file holds.

    Raises
    ------
    FileFormatError
        If there is none.
    SeveralImagesError
        If there are several.
    InputError
        If there is none of that number or name.
    """
    if not found:
        kinds = " and ".join(dict.fromkeys(others)) or "other data"
        raise FileFormatError(
            f"{path}: holds no image with the axes Y and X, but {kinds}; export an image of it as TIFF"
        )
    names = [f"{path.name}:{number} {one.name} {one.shape}".replace("  ", " ") for number, one in enumerate(found)]
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    listed = f"{', '.join(names[:LISTED])}{more}"
    if selector is None:
        if len(found) > 1:
            choices = [f"{path}:{number}" for number in range(len(found))]
            raise SeveralImagesError(f"{path}: holds {len(found)} images; choose one: {listed}", choices)
        return found[0].read()
    if selector.isdecimal() and int(selector) < len(found):
        return found[int(selector)].read()
    called = [
        one for one in found if selector.strip("/") == one.place.strip("/") or selector.lower() == one.name.lower()
    ]
    if len(called) != 1:
        reason = f"{len(called)} images are called {selector!r}" if called else f"no image is called {selector!r}"
        raise InputError(f"{path}: {reason}, expected a number or a name; it holds {listed}")
    return called[0].read()
