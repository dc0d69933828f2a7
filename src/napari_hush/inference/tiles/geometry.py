"""Tile geometry: which part of an image each network pass reads, and which part of its output is kept.

A network without normalisation layers gives the same pixel from a tile as from the whole image when three things
hold: the tile's origin and size are multiples of the network's stride, the context around the kept part (the halo)
is at least the receptive radius, and a tile at the image's border ends where the whole image ends, so that the
network's own zero padding acts at the same place. All windows of a plan have one size, so an engine builds one graph.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from math import ceil, prod


@dataclass(frozen=True)
class Tile:
    """One pass of a network over a part of a plane.

    Parameters
    ----------
    core : (int, int, int, int)
        The part of the plane that this tile gives: y0, y1, x0, x1.
    window : (int, int, int, int)
        The part that the network sees: y0, y1, x0, x1. It contains the core, starts on multiples of the stride and
        may end past the plane, in the mirrored padding.
    """

    core: tuple[int, int, int, int]
    window: tuple[int, int, int, int]

    def core_slices(self, origin: tuple[int, int] = (0, 0)) -> tuple[slice, slice]:
        """The core in the plane, or in an array that begins at ``origin`` of the plane."""
        y0, y1, x0, x1 = self.core
        return slice(y0 - origin[0], y1 - origin[0]), slice(x0 - origin[1], x1 - origin[1])

    @property
    def inner(self) -> tuple[slice, slice]:
        """Where the core lies inside the window."""
        return self.core_slices((self.window[0], self.window[2]))

    def around(self, margin: int, shape: tuple[int, int]) -> Tile:
        """The same tile with a core that is larger by ``margin`` px wherever the plane of ``shape`` goes on."""
        y0, y1, x0, x1 = self.core
        height, width = shape
        core = (max(y0 - margin, 0), min(y1 + margin, height), max(x0 - margin, 0), min(x1 + margin, width))
        return Tile(core, self.window)


def aligned(size: int, stride: int) -> int:
    """The next multiple of ``stride`` that holds ``size``."""
    return ceil(size / stride) * stride


def plan_tiles(
    shape: tuple[int, int],
    *,
    tile: tuple[int, int] | None,
    halo: int,
    stride: int,
    region: tuple[int, int, int, int] | None = None,
    grid: tuple[int, int] = (1, 1),
) -> list[Tile]:
    """Cover a plane, or a region of it, with tiles of one window size.

    Parameters
    ----------
    shape : (int, int)
        Y and X of the plane.
    tile : (int, int) or None
        Y and X of the kept part of an inner tile, rounded up to the stride; None for one pass over the plane. Tiles
        at the image's border keep more, since they need no halo there.
    halo, stride : int
        Of the network, px.
    region : (int, int, int, int), optional
        y0, y1, x0, x1: give only this part; the whole plane by default.
    grid : (int, int)
        Inner tile edges fall on multiples of this where tiles are large enough: the chunks of a chunked output, so
        that each chunk is written once.

    Returns
    -------
    list of Tile
        The cores cover the region exactly once, in row-major order.
    """
    if min(shape) < 1 or halo < 0 or stride < 1 or (tile is not None and min(tile) < 1) or min(grid) < 1:
        raise ValueError(f"cannot tile a plane of {shape} with {tile=}, {halo=}, {stride=}, {grid=}")
    y0, y1, x0, x1 = region or (0, shape[0], 0, shape[1])
    if not (0 <= y0 < y1 <= shape[0] and 0 <= x0 < x1 <= shape[1]):
        raise ValueError(f"the region {(y0, y1, x0, x1)} does not lie inside the plane of {shape}")
    sides = tile or (shape[0], shape[1])
    rows = plan_axis(shape[0], y0, y1, sides[0], halo, stride, grid[0])
    columns = plan_axis(shape[1], x0, x1, sides[1], halo, stride, grid[1])
    return [
        Tile((*row_core, *column_core), (*row_window, *column_window))
        for (row_core, row_window), (column_core, column_window) in product(rows, columns)
    ]


def plan_axis(
    size: int, start: int, stop: int, tile: int, halo: int, stride: int, grid: int
) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """(core, window) pairs along one axis."""
    padded = aligned(size, stride)
    halo = aligned(halo, stride)
    width = min(aligned(tile, stride) + 2 * halo, padded)
    pieces = []
    position = start
    while position < stop:
        origin = min(max(position // stride * stride - halo, 0), padded - width)
        end = size if origin + width == padded else origin + width - halo
        if end < stop and end // grid * grid > position:
            end = end // grid * grid
        end = min(end, stop)
        pieces.append(((position, end), (origin, origin + width)))
        position = end
    return pieces


def balanced_tile(shape: tuple[int, int], *, halo: int, stride: int, max_window_area: float) -> tuple[int, int]:
    """The tile for which the windows of a plan compute the fewest pixels within a memory limit.

    Parameters
    ----------
    shape : (int, int)
        Y and X of the plane.
    halo, stride : int
        Of the network, px.
    max_window_area : float
        Pixels that fit into memory in one pass.

    Returns
    -------
    (int, int)
        Tile sides for `plan_tiles`; at least one stride.
    """
    halo = aligned(halo, stride)
    best: tuple[float, tuple[int, int]] | None = None
    candidates = [[_even_window(size, n, halo, stride) for n in range(1, 65)] for size in shape]
    for (rows, height), (columns, width) in product(*(enumerate(c, start=1) for c in candidates)):
        # a window narrower than a few halos is mostly context; squarer ones come out of the minimum by themselves
        if height * width > max_window_area:
            continue
        cost = rows * height * columns * width
        if best is None or cost < best[0]:
            best = (cost, (height, width))
    if best is None:
        side = max(int(max_window_area**0.5) // stride * stride, stride + 2 * halo)
        best = (0, (side, side))
    return tuple(max(side - 2 * halo, stride) for side in best[1])  # type: ignore[return-value]


def even_tile(shape: tuple[int, int], *, halo: int, stride: int, max_window_area: float) -> tuple[int, int]:
    """As `balanced_tile`, for tiles whose kept parts are all alike, such as the chunks of an output.

    Examples
    --------
    >>> even_tile((2048, 2048), halo=156, stride=8, max_window_area=1.8e6)
    (1024, 1024)
    """
    halo = aligned(halo, stride)
    best: tuple[float, tuple[int, int]] | None = None
    candidates = [dict.fromkeys(aligned(ceil(size / n), stride) for n in range(1, 257)) for size in shape]
    for sides in product(*candidates):
        counts = [ceil(size / side) for size, side in zip(shape, sides, strict=True)]
        # tiles at the border look beyond their kept part on one side only
        area = prod(min(side, size) + halo * min(n - 1, 2) for side, size, n in zip(sides, shape, counts, strict=True))
        cost = prod(size + 2 * halo * (n - 1) for size, n in zip(shape, counts, strict=True))
        if area <= max_window_area and (best is None or cost < best[0]):
            best = cost, (sides[0], sides[1])
    return best[1] if best else balanced_tile(shape, halo=halo, stride=stride, max_window_area=max_window_area)


def _even_window(size: int, count: int, halo: int, stride: int) -> int:
    """The smallest window of which ``count`` cover an axis: the two at the border spare one halo each."""
    return max(aligned(ceil((aligned(size, stride) + 2 * halo * (count - 1)) / count), stride), 2 * halo + stride)
