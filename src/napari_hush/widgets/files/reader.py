"""What napari's *Open* asks for: image files as layers, with their pixel size, names and colours."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_hush.errors import SeveralImagesError
from napari_hush.io import is_image, read_image, read_volume
from napari_hush.io.formats.zarr_groups import smaller_levels
from napari_hush.io.history import read_history
from napari_hush.io.inputs import holds_files, split_selector
from napari_hush.io.volume import read_slices
from napari_hush.widgets.files.layers import layers_of
from napari_hush.widgets.parts import notify
from napari_hush.widgets.parts.preferences import preference

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from napari_hush.io import ImageData

LayerData = tuple[Any, dict[str, Any], str]
MOST = 24  # images of one file that are opened


def get_reader(path: str | Sequence[str]) -> Callable[[Any], list[LayerData]] | None:
    """The reader of a file, or of a list of files that napari shall stack; None where they are no images.

    Parameters
    ----------
    path : str or sequence of str
        Image files, zarr folders, or a folder of single images, which are the slices of one volume.
    """
    paths = [path] if isinstance(path, str) else list(path)
    known = all(is_image(one) or holds_files(one) for one in paths)
    return (lambda _: _read(paths)) if known else None


def _read(paths: Sequence[str]) -> list[LayerData]:
    """The layers of one file or of a stack of them.

    Raises
    ------
    InputError
        If they cannot be read: what came, and what to do.
    """
    if len(paths) > 1:
        return layers_of(read_slices([Path(one) for one in paths]), Path(paths[0]).parent.name)
    path = paths[0]
    if holds_files(path):
        return layers_of(read_volume(path), Path(path).name)
    try:
        return _layers(path, read_image(path))
    except SeveralImagesError as several:
        if not 0 < len(several.choices) <= MOST:
            raise
        notify.info(f"{Path(path).name} holds {len(several.choices)} images; each is a layer")
        return [layer for choice in several.choices for layer in _layers(choice, read_image(choice), several=True)]


def _layers(path: str, image: ImageData, *, several: bool = False) -> list[LayerData]:
    file, selector = split_selector(path)
    name = file.name.partition(".")[0] if file.name.strip(".") else file.name
    if several and selector is not None:
        name = f"{name} · {image.metadata.name or selector}"
    split = preference("files", "split_channels", True)
    levels = [read_image(level) for level in smaller_levels(Path(image.source))]
    chosen = "" if selector is None else f":{selector}"
    image = replace(image, source=f"{file.absolute()}{chosen}")  # as commands name it, wherever they run
    return layers_of(image, name, levels=levels, history=read_history(file), split=split)
