"""What a network makes of a plane, computed in pieces that are kept as long as parts still to come need them.

A guard looks far around each tile. If the network's window covered all of that, neighbouring tiles would compute it
again and again: with 156 px of margin a plane of 8192 x 8192 px goes 3.3 times through the network in tiles of 450 MB.
Pieces need the network's own halo alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_hush.inference.tiles.geometry import Tile, plan_axis
from napari_hush.inference.tiles.runner import only_value, read_window

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from napari_hush.inference.engines.registry import Engine
    from napari_hush.inference.tiles.runner import PlaneTask
    from napari_hush.model import Model

KEPT_BYTES = 48 << 20  # of what the next row of tiles will need
SMALLEST = 8  # strides along a piece; smaller ones are hardly more than halo

Region = tuple[int, int, int, int]


class NetworkPieces:
    """A network's output for parts of one plane after the other.

    Parameters
    ----------
    engine : Engine
        What computes.
    model : Model
        For its stride and halo.
    shape : (int, int)
        Y and X of a plane.
    side : (int, int) or None
        Y and X of the kept part of a piece; None for the whole plane.

    Notes
    -----
    ``side`` shrinks for good when the memory does not suffice.
    """

    def __init__(self, engine: Engine, model: Model, shape: tuple[int, int], side: tuple[int, int] | None) -> None:
        self.engine, self.model, self.shape, self.side = engine, model, shape, side
        self._kept: dict[Region, NDArray[np.float32]] = {}
        self._even: dict[tuple[object, ...], NDArray[np.float32]] = {}

    def begin(self) -> None:
        """Forget the plane before."""
        self._kept.clear()
        self._even.clear()

    def compute(self, region: Region, task: PlaneTask) -> Iterator[None]:
        """Compute what is not there yet of a part of the plane, y0, y1, x0, x1; yields after each piece.

        Raises
        ------
        MemoryError
            If not even a small piece fits.
        """
        missing = self._missing(region)
        while missing:
            try:
                self._kept[missing[0].core] = self._output(missing[0], task)
            except MemoryError:
                self._halve()
                missing = self._missing(region)
                continue
            missing.pop(0)
            yield

    def output(self, region: Region, window: Region) -> NDArray[np.float32]:
        """Put together what was computed of a part of the plane, (C, Y, X) of a window around it; zeros elsewhere."""
        y0, y1, x0, x1 = window
        found: NDArray[np.float32] | None = None
        for piece in self._pieces(region):
            top, bottom, left, right = piece.core
            rows, columns = slice(max(top, y0), min(bottom, y1)), slice(max(left, x0), min(right, x1))
            part = self._kept[piece.core]
            if found is None:
                found = np.zeros((len(part), y1 - y0, x1 - x0), np.float32)
            part = part[:, rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]
            found[:, rows.start - y0 : rows.stop - y0, columns.start - x0 : columns.stop - x0] = part
        assert found is not None
        return found

    def forget(self, bottom: int, right: int) -> None:
        """Let go what no tile behind (row by row) needs: what ends above ``bottom`` and before ``right``.

        Where more is left than is kept, what was computed last goes first: the next row begins at its left.
        """
        for core in [core for core in self._kept if core[1] <= bottom and core[3] <= right]:
            del self._kept[core]
        size = sum(_bytes(part) for part in self._kept.values())
        for core in [core for core in reversed(self._kept) if core[3] <= right]:
            if size <= KEPT_BYTES:
                break
            size -= _bytes(self._kept.pop(core))

    def _missing(self, region: Region) -> list[Tile]:
        return [piece for piece in self._pieces(region) if piece.core not in self._kept]

    def _pieces(self, region: Region) -> list[Tile]:
        """The pieces that a part of the plane touches."""
        height, width = self.side or self.shape
        stride, halo = self.model.stride, self.model.halo
        rows = plan_axis(self.shape[0], 0, self.shape[0], height, halo, stride, 1)
        columns = plan_axis(self.shape[1], 0, self.shape[1], width, halo, stride, 1)
        y0, y1, x0, x1 = region
        return [
            Tile((*row, *column), (*row_window, *column_window))
            for row, row_window in rows
            if row[0] < y1 and row[1] > y0
            for column, column_window in columns
            if column[0] < x1 and column[1] > x0
        ]

    def _output(self, piece: Tile, task: PlaneTask) -> NDArray[np.float32]:
        """What the network makes of a piece; of a window of one value what it made of such a window before."""
        seen = read_window(piece, self.shape, task)
        even = only_value(seen.values)
        y0, y1, x0, x1 = piece.window
        inside = y0 > 0 and x0 > 0 and y1 < self.shape[0] and x1 < self.shape[1]
        inner = tuple((one.start, one.stop) for one in piece.inner)
        key = (even, seen.values.shape, inner)
        if even is not None and inside and key in self._even:
            return self._even[key]
        found: NDArray[np.float32] = self.engine(seen.values[None])[0][(..., *piece.inner)]  # (C, Y, X)
        if even is None or not inside:
            return found.copy()  # not a view of all of the output
        if len(found) == 1 and (value := only_value(found)) is not None:
            found = np.broadcast_to(np.float32(value), found.shape)
        self._even = {key: found}
        return found

    def _halve(self) -> None:
        side = self.side or self.shape
        least = SMALLEST * self.model.stride
        if max(side) <= least:
            raise MemoryError(
                f"not enough memory for the network on {least} px: close other programs, or choose another device"
            )
        self.side = (max(side[0] // 2, least), max(side[1] // 2, least))
        self.begin()


def _bytes(part: NDArray[np.float32]) -> int:
    """Of one value, however often it stands there, those of the value."""
    return part.nbytes if all(part.strides) else part.itemsize
