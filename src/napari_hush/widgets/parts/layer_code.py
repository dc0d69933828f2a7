"""How a layer is named outside of the viewer: the file that holds it, or its place among the viewer's layers."""

from __future__ import annotations

import os
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_hush.errors import InputError
from napari_hush.io import read_image
from napari_hush.io.inputs import split_selector
from napari_hush.repeat import literal
from napari_hush.widgets.parts.layer_record import file_notes
from napari_hush.widgets.parts.layer_source import image_data

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from napari.layers import Image

    from napari_hush.io import ImageData

COMPARED = 3  # planes: the first ones, and the last
CONSOLE = "# in napari's console: not every layer here has a file that holds just what it shows"


@dataclass(frozen=True, eq=False)
class InFile:
    """A file that holds just what a layer shows.

    Parameters
    ----------
    name : str
        As commands take it, with what is read in it; absolute.
    image : ImageData
        What is read there.
    """

    name: str
    image: ImageData


def in_file(layer: Image) -> InFile | None:
    """The file of a layer; None where there is none, or it holds anything else, as of one channel of several.

    Parameters
    ----------
    layer : Image
        Its first planes and the last are compared.
    """
    named = file_notes(layer.metadata).get("source") or layer.source.path
    if not named:
        return None
    path, part = split_selector(str(named))
    name = os.path.abspath(path) + ("" if part is None else f":{part}")
    try:
        image = read_image(name)
        same = _same(image.data, image_data(layer))
    except (InputError, OSError, MemoryError):  # gone, or another one by now
        return None
    return InFile(name, image) if same else None


def require_file(layer: Image) -> InFile:
    """The file of a layer, for a command.

    Raises
    ------
    InputError
        If there is none.
    """
    found = in_file(layer)
    if found is None:
        raise InputError(
            f"{layer.name}: a command reads files, and none holds just what this layer shows: save it (File > Save "
            "Selected Layers), open that file, and copy the command of it; or copy as Python"
        )
    return found


def preamble(layers: Sequence[tuple[str, Image]], *also: str) -> Iterator[str]:
    """Lines of Python that give layers as arrays.

    Parameters
    ----------
    layers : sequence of (str, Image)
        What to call the array, and the layer.
    *also : str
        Further lines that import something.
    """
    files = [in_file(layer) for _, layer in layers]
    reads = ["from napari_hush.io import read_image"] if any(files) else []
    yield from sorted({"import napari_hush as hush", *also, *reads}, key=lambda line: (line[0] == "f", line))
    yield ""
    if not all(files):
        yield CONSOLE
    for (name, layer), file in zip(layers, files, strict=True):
        if file is not None:
            yield f"{name} = read_image({literal(file.name)}).data"
        else:
            level = ".data[0]" if layer.multiscale else ".data"
            yield f"{name} = viewer.layers[{literal(layer.name)}]{level}"


def _same(data: Any, shown: Any) -> bool:
    if tuple(data.shape) != tuple(shown.shape) or np.dtype(data.dtype) != np.dtype(shown.dtype):
        return False
    if data is shown:
        return True
    lead = tuple(int(n) for n in data.shape[:-2])
    places = [*islice(np.ndindex(*lead), COMPARED), tuple(n - 1 for n in lead)]
    return all(
        np.array_equal(np.asarray(data[place]), np.asarray(shown[place]), equal_nan=np.dtype(data.dtype).kind == "f")
        for place in places
    )
