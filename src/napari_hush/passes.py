"""Run the tiles of one plane through an engine; when memory runs out, go on with less at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import correlate

from napari_hush.tiling import Tile, plan_tiles

if TYPE_CHECKING:
    from napari_hush.engines import Engine
    from napari_hush.model import Model
    from napari_hush.normalize import Normalization

FILL_RADIUS = 2  # px around a NaN pixel whose finite neighbours give its value

Read = Callable[[slice, slice], np.ndarray]


class TileRunner:
    """Batches of tiles through an engine, plane by plane.

    Parameters
    ----------
    engine : Engine
        What computes.
    model : Model
        For its stride and halo.
    shape : (int, int)
        Y and X of a plane.
    side : (int, int) or None
        Y and X of the kept part of a tile; None for the whole plane.
    region, grid
        As in `plan_tiles`.

    Notes
    -----
    ``batch``, the tiles at once, is 1 until it is set. It and ``side`` shrink for good when the memory does not
    suffice: what did not fit once will not fit on the next plane.
    """

    def __init__(
        self,
        engine: Engine,
        model: Model,
        shape: tuple[int, int],
        side: tuple[int, int] | None,
        *,
        region: tuple[int, int, int, int] | None = None,
        grid: tuple[int, int] = (1, 1),
    ) -> None:
        self.engine, self.model, self.shape, self.side = engine, model, shape, side
        self.region, self.grid = region, grid
        self.batch = 1

    def plan(self) -> list[Tile]:
        """The tiles of one plane; all windows have one size."""
        return self._plan(self.region, self.grid)

    def run(
        self, tiles: Sequence[Tile], read: Read, norm: Normalization
    ) -> Iterator[tuple[list[tuple[Tile, np.ndarray]], int]]:
        """Denoise one plane.

        Parameters
        ----------
        tiles : sequence of Tile
            What to compute, from `plan`.
        read : callable
            Gives (C, Y, X) of the plane for two slices.
        norm : Normalization
            Of the whole image.

        Yields
        ------
        finished : list of (Tile, ndarray)
            The cores that are done, (C, Y, X) float32 in the image's units.
        left : int
            Tiles still to do.

        Raises
        ------
        MemoryError
            If not even one tile of one stride fits.
        """
        left = deque(tiles)
        while left:
            some = [left.popleft() for _ in range(min(self.batch, len(left)))]
            try:
                finished = self._run_batch(some, read, norm)
            except MemoryError:
                left.extendleft(reversed(some))
                left = self._shrink(left)
                continue
            yield finished, len(left)

    def _plan(self, region: tuple[int, int, int, int] | None, grid: tuple[int, int]) -> list[Tile]:
        halo, stride = self.model.halo, self.model.stride
        return plan_tiles(self.shape, tile=self.side, halo=halo, stride=stride, region=region, grid=grid)

    def _run_batch(self, tiles: list[Tile], read: Read, norm: Normalization) -> list[tuple[Tile, np.ndarray]]:
        windows = [_read_window(tile, self.shape, read, norm) for tile in tiles]
        outputs = self.engine(np.stack([values for values, _ in windows]))  # (B, C, Y, X)
        finished = []
        for tile, output, (_, holes) in zip(tiles, outputs, windows, strict=True):
            core = norm.invert(output[(..., *tile.inner)])
            if holes is not None:
                holes = holes[(..., *tile.inner)]
                core = np.where(np.isfinite(holes), core, holes)
            finished.append((tile, core))
        return finished

    def _shrink(self, left: deque[Tile]) -> deque[Tile]:
        """Halve the batch, then the tile; what is left is planned anew, what is done stays done."""
        if self.batch > 1:
            self.batch //= 2
            return left
        stride = self.model.stride
        side = self.side or self.shape
        if max(side) <= stride:
            raise MemoryError(
                f"not enough memory for one tile of {stride} px: close other programs, or choose another device"
            )
        self.side = (max(side[0] // 2, 1), max(side[1] // 2, 1))
        return deque(smaller for tile in left for smaller in self._plan(tile.core, (1, 1)))


def _read_window(
    tile: Tile, shape: tuple[int, int], read: Read, norm: Normalization
) -> tuple[np.ndarray, np.ndarray | None]:
    """A tile's normalised window, and its values as they were where some are not finite."""
    y0, y1, x0, x1 = tile.window
    bottom, right = min(y1, shape[0]), min(x1, shape[1])
    # filling looks at neighbours: with some margin a pixel is filled alike in every tile that contains it
    top, left = max(y0 - FILL_RADIUS, 0), max(x0 - FILL_RADIUS, 0)
    block = read(slice(top, min(bottom + FILL_RADIUS, shape[0])), slice(left, min(right + FILL_RADIUS, shape[1])))
    inner = (..., slice(y0 - top, bottom - top), slice(x0 - left, right - left))
    padding = [(0, 0), (0, y1 - bottom), (0, x1 - right)]
    if block.dtype.kind == "f" and block.dtype.itemsize > 4:
        with np.errstate(over="ignore"):  # what float32 cannot hold is infinite in the result, and so a hole
            single = block.astype(np.float32)
        block = np.where(np.isfinite(single), block, single)
    if block.dtype.kind != "f" or np.isfinite(block).all():
        return np.pad(norm.apply(block[inner]), padding, mode="reflect"), None
    filled = np.stack([_fill(channel, norm.fill) for channel in block])
    holes = np.pad(block[inner].astype(np.float32), padding)
    return np.pad(norm.apply(filled[inner]), padding, mode="reflect"), holes


def _fill(block: np.ndarray, default: float) -> np.ndarray:
    """Replace what is not finite by the mean of its finite neighbours, or by ``default`` where it has none."""
    finite = np.isfinite(block)
    window = np.ones((2 * FILL_RADIUS + 1,) * 2)
    values = np.where(finite, block, 0).astype(np.float64)
    total = correlate(values, window, mode="constant")
    count = correlate(finite.astype(np.float64), window, mode="constant")
    mean = np.where(count > 0, total / np.maximum(count, 1), default)
    return np.where(finite, block, mean)
