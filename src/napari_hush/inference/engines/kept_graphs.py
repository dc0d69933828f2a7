"""Graphs of OpenVINO in the user's cache: one for all sizes of a network's input, or one for each.

What is kept is the network as it was noted, in OpenVINO's own format and in float32; it is compiled for the processor,
the precision and the threads of whoever reads it, by the same steps as a new one: the results are the same to the bit.
"""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_hush.cache import is_kept, keep, read_kept

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Shapes = tuple[tuple[int, ...], ...]

ANY = "any"  # in the name of a graph for all sizes
LENGTH = 8  # bytes that say how long the description is; the weights come behind it
_NAMES = re.compile(
    rb' (?:output_)?names?="[^"]*"|<rt_info>.*?</rt_info>\s*', re.DOTALL
)  # numbered through the process


def has_graph(key: str) -> bool:
    """Whether a graph is kept of a network."""
    return is_kept(f"{key}-")


def read_graph(core: Any, key: str, shapes: Shapes) -> Any | None:
    """The graph of a network for inputs of these shapes; None where none is kept.

    Parameters
    ----------
    core : openvino.Core
        Reads it.
    key : str
        Of the network.
    shapes : tuple of shapes
        (B, C, Y, X) of each input.
    """
    for name in (ANY, _size(shapes)):
        data = read_kept(f"{key}-{name}")
        if data is None:
            continue
        length = int.from_bytes(data[:LENGTH], "little")
        description, weights = data[LENGTH : LENGTH + length], data[LENGTH + length :]
        try:
            graph = core.read_model(description, weights)
            if name == ANY:
                graph.reshape(list(shapes[0]))
            return graph
        except RuntimeError:  # of an OpenVINO that writes otherwise: made again
            continue
    return None


def keep_graph(openvino: Any, key: str, shapes: Shapes, build: Callable[[Shapes], Any], *, stride: int) -> Any:
    """Build a graph for inputs of these shapes and keep it.

    Parameters
    ----------
    openvino : module
        The package.
    key : str
        Of the network.
    shapes : tuple of shapes
        (B, C, Y, X) of each input.
    build : callable
        Gives a new graph for inputs of any shapes.
    stride : int
        Sides are multiples of it, px.

    Returns
    -------
    openvino.Model
        Also where it could not be kept.
    """
    graph = build(shapes)
    try:
        with tempfile.TemporaryDirectory(prefix="napari-hush-") as folder:
            description, weights = _written(openvino, graph, Path(folder))
            name = ANY if _fits_all(openvino, shapes, build, stride, Path(folder)) else _size(shapes)
    except (OSError, RuntimeError):  # no room for temporary files: only the next start is slower
        return graph
    keep(f"{key}-{name}", len(description).to_bytes(LENGTH, "little") + description + weights)
    return graph


def _fits_all(openvino: Any, shapes: Shapes, build: Callable[[Shapes], Any], stride: int, folder: Path) -> bool:
    """Whether a graph that is given another shape is the one that is built for that: nothing in it has a fixed size."""
    if len(shapes) != 1 or len(shapes[0]) != 4:
        return False
    batch, channels, height, width = shapes[0]
    side = stride * -(-64 // stride)
    other = (batch + 1, channels, side if side != height else side + stride, width + stride)
    given = build(shapes)
    try:
        given.reshape(list(other))
    except RuntimeError:
        return False
    texts, weights = zip(*(_written(openvino, one, folder) for one in (given, build((other,)))), strict=True)
    return len({_NAMES.sub(b"", text) for text in texts}) == len(set(weights)) == 1


def _written(openvino: Any, graph: Any, folder: Path) -> tuple[bytes, bytes]:
    """A graph as OpenVINO writes it: its description and its weights."""
    description, weights = folder / "graph.xml", folder / "graph.bin"
    openvino.serialize(graph, description, weights)
    return description.read_bytes(), weights.read_bytes()


def _size(shapes: Sequence[Sequence[int]]) -> str:
    return "_".join("x".join(str(side) for side in shape) for shape in shapes)
