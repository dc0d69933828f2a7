"""Tiles whose guards look farther than the network: neighbours share its output, so that no pixel is computed twice."""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from functools import partial
from hashlib import blake2b
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_hush.inference.tiles.geometry import Tile, plan_tiles
from napari_hush.inference.tiles.runner import Going, PlaneTask, TileRunner, Window, only_value, read_noisy, read_window
from napari_hush.inference.tiles.sizes import batch_size
from napari_hush.threads import beside

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

    from napari_hush.inference.engines.registry import Engine
    from napari_hush.inference.ledger import Core, Side, Step
    from napari_hush.model import Model

KEPT_BYTES = 24 << 20  # of the network's output that waits for neighbours: wider planes are done strip by strip
EVEN = (
    16  # outputs, and results, of windows of one value that are kept: inside of the plane, and at each of its borders
)

Outputs = dict[Tile, np.ndarray]
Part = tuple[int, int, int, int]
Key = tuple[float | bytes, ...]


class SharedRunner(TileRunner):
    """A `TileRunner` with windows of their own for the network, whose output is computed while a guard works.

    Parameters
    ----------
    engine, model, shape, side, region, grid, margin, keep, batch
        As of `TileRunner`; ``side`` is that of the tiles that are handed out.
    network_side : (int, int) or None
        Y and X of what is kept of one pass of the network, px; None for the whole plane.
    """

    def __init__(
        self,
        engine: Engine,
        model: Model,
        shape: tuple[int, int],
        side: Side,
        *,
        network_side: Side,
        region: Part | None = None,
        grid: tuple[int, int] = (1, 1),
        margin: int = 0,
        keep: int = 0,
        batch: int | None = None,
    ) -> None:
        self._network_side = network_side
        self._even_outputs: dict[Key | None, np.ndarray] = {}
        self._even_tiles: dict[Key, np.ndarray] = {}
        super().__init__(engine, model, shape, side, region=region, grid=grid, margin=margin, keep=keep, batch=1)
        self.batch = batch or batch_size(model, self._network_plan()[0], engine.device)

    @property
    def network_side(self) -> Side:
        """Of one pass of the network, now."""
        return self._network_side

    def cut_as(self, side: Side, network_side: Side, batch: int | None = None) -> None:
        """See `TileRunner.cut_as`."""
        super().cut_as(side, network_side, batch)
        self._network_side = network_side

    def count(self) -> int:
        """How many passes of the network one plane takes."""
        return len(self._network_plan())

    def run(
        self, task: PlaneTask, before: Sequence[Step] = (), *, only: Collection[Core] | None = None
    ) -> Iterator[tuple[list[tuple[Tile, np.ndarray]], int, int]]:
        """Denoise one plane, see `TileRunner.run`; it is the passes of the network that are counted."""
        self._even_outputs.clear()
        self._even_tiles.clear()
        left = self._in_strips(tile for tile in self._left(before) if only is None or tile.core in only)
        grid, kept = _Grid(self._network_plan()), Outputs()
        todo = self._seen_by(left, grid)
        ahead: Callable[[], Outputs] | None = None
        with beside() as begin:
            while left:
                lacking = self._lacking(left, grid, kept)
                if ahead is None and lacking:
                    ahead = begin(partial(self._outputs, lacking, task))
                try:
                    computed = Outputs() if ahead is None else ahead()
                except MemoryError:
                    ahead = None
                    self._shrink_network()
                    grid, kept = _Grid(self._network_plan()), Outputs()
                    todo = self._seen_by(left, grid)
                    continue
                kept |= computed
                ready = self._ready(left, grid, kept)
                lacking = self._lacking(islice(left, len(ready), None), grid, kept)
                ahead = begin(partial(self._outputs, lacking, task)) if lacking else None
                finished = []
                try:
                    for tile in ready:
                        finished.append((tile, self._finished(tile, grid, kept, task)))
                        left.popleft()
                except MemoryError:
                    self.halve_tile()
                    left = deque(smaller for tile in left for smaller in self._plan(tile.core, (1, 1)))
                soon = self._seen_by(self._soon(left), grid)
                kept = {seen: output for seen, output in kept.items() if seen in soon}
                count = len(todo & computed.keys())
                todo -= computed.keys()
                yield finished, count, len(todo)
        task.ended(whole=not before and only is None)

    def _plan(self, region: Part | None, grid: tuple[int, int]) -> list[Tile]:
        stride = self.model.stride
        return plan_tiles(self.shape, tile=self.side, halo=self.margin, stride=stride, region=region, grid=grid)

    def _network_plan(self) -> list[Tile]:
        region = self.region
        if region is not None:
            region = Tile(region, region).around(self.margin, self.shape).core
        halo, stride = self.model.halo, self.model.stride
        return plan_tiles(self.shape, tile=self.network_side, halo=halo, stride=stride, region=region)

    def _known(self, tile: Tile) -> Part:
        """The part of the plane that a tile's guards look at."""
        return tile.around(self.margin, self.shape).core

    def _seen_by(self, tiles: Iterable[Tile], grid: _Grid) -> set[Tile]:
        """The passes of the network that tiles and their guards look at."""
        return {seen for tile in tiles for seen in grid.under(self._known(tile))}

    def _lacking(self, tiles: Iterable[Tile], grid: _Grid, kept: Outputs) -> list[Tile]:
        """What the network must give for the first tile, and then for those after it until the engine has its fill."""
        most = self.batch * (self.engine.ahead + 1)
        lacking: dict[Tile, None] = {}
        for tile in islice(tiles, most):
            lacking |= dict.fromkeys(seen for seen in grid.under(self._known(tile)) if seen not in kept)
            if len(lacking) >= most:
                break
        return list(lacking)[:most]

    def _ready(self, tiles: Iterable[Tile], grid: _Grid, kept: Outputs) -> list[Tile]:
        """The first tiles for which all is there."""
        ready = []
        for tile in tiles:
            if not all(seen in kept for seen in grid.under(self._known(tile))):
                break
            ready.append(tile)
        return ready

    def _outputs(self, tiles: list[Tile], task: PlaneTask) -> Outputs:
        if task.replayed is not None:
            return {tile: task.replayed.core(tile) for tile in tiles}
        going = deque(tiles[start : start + self.batch] for start in range(0, len(tiles), self.batch))
        begun: deque[Going] = deque()
        made = Outputs()
        while going or begun:
            while going and len(begun) <= self.engine.ahead:
                some = going.popleft()
                windows = [read_window(tile, self.shape, task) for tile in some]
                keys = [_even_window(tile, window) for tile, window in zip(some, windows, strict=True)]
                if all(key in self._even_outputs for key in keys):  # a window of one value gives the same everywhere
                    made |= {tile: self._even_outputs[key] for tile, key in zip(some, keys, strict=True)}
                else:
                    begun.append(self._submit(some, windows))
            if not begun:
                continue
            batch = begun.popleft()
            for tile, window, output in zip(batch.tiles, batch.windows, batch.output.result(), strict=True):
                made[tile] = np.ascontiguousarray(output[(..., *tile.inner)])
                if (key := _even_window(tile, window)) is not None:
                    value = only_value(made[tile])
                    made[tile] = made[tile] if value is None else np.broadcast_to(np.float32(value), made[tile].shape)
                    _keep(self._even_outputs, key, made[tile])
        for tile, core in made.items():
            task.keep(tile, core)
        return made

    def _finished(self, tile: Tile, grid: _Grid, kept: Outputs, task: PlaneTask) -> np.ndarray:
        known = Tile(tile.core, self._known(tile))
        output, noisy = grid.joined(kept, known.window), read_noisy(known, self.shape, task)
        value = only_value(noisy.image)
        if noisy.holes is not None or value is None:
            return self.finish(known, output, noisy, task)
        given = only_value(output)
        of_output = _digest(output) if given is None else given  # at a border it changes with the distance to it
        key = (value, of_output, *output.shape, *_ends(known))
        if key not in self._even_tiles:  # one value guarded by what became of it is the same everywhere
            _keep(self._even_tiles, key, self.finish(known, output, noisy, task))
        return self._even_tiles[key]

    def _in_strips(self, tiles: Iterable[Tile]) -> deque[Tile]:
        """Row by row within strips so narrow that the output for a row and its neighbours can be kept."""
        height = (self.side or self.shape)[0] + 2 * self.margin + (self.network_side or self.shape)[0]
        width = KEPT_BYTES // (4 * self.model.out_channels * height)
        return deque(sorted(tiles, key=lambda tile: (tile.core[2] // max(width, 1), tile.core[0], tile.core[2])))

    def _soon(self, tiles: Sequence[Tile]) -> Iterator[Tile]:
        """The tiles up to the neighbours below the next one."""
        if not tiles:
            return
        reach = self._known(tiles[0])[1]
        for number, tile in enumerate(tiles):
            if number > self.batch and self._known(tile)[0] >= reach:
                return
            yield tile

    def _shrink_network(self) -> None:
        """Halve the batch, then the network's windows."""
        if self.batch > 1:
            self.batch //= 2
        else:
            self._network_side = self._halved(self._network_side)


class _Grid:
    """The passes of a plan, whose cores are the cells of a grid.

    Parameters
    ----------
    tiles : list of Tile
        Of `plan_tiles`.
    """

    def __init__(self, tiles: list[Tile]) -> None:
        self._tiles = {(tile.core[0], tile.core[2]): tile for tile in tiles}
        self._rows, self._columns = (sorted({start[axis] for start in self._tiles}) for axis in (0, 1))

    def under(self, part: Part) -> list[Tile]:
        """Those whose cores together hold a part of the plane."""
        y0, y1, x0, x1 = part
        return [self._tiles[top, left] for top in _cells(self._rows, y0, y1) for left in _cells(self._columns, x0, x1)]

    def joined(self, kept: Outputs, part: Part) -> np.ndarray:
        """The output (C, Y, X) for a part of the plane."""
        tiles = self.under(part)
        y0, y1, x0, x1 = part
        if tiles[0].core == part:
            return kept[tiles[0]]
        made = np.empty((len(kept[tiles[0]]), y1 - y0, x1 - x0), np.float32)
        for tile in tiles:
            top, bottom, left, right = tile.core
            y, x = slice(max(y0, top), min(y1, bottom)), slice(max(x0, left), min(x1, right))
            there = kept[tile][:, y.start - top : y.stop - top, x.start - left : x.stop - left]
            made[:, y.start - y0 : y.stop - y0, x.start - x0 : x.stop - x0] = there
        return made


def _even_window(tile: Tile, window: Window) -> Key | None:
    """What the output for a window follows from where it has one value."""
    value = only_value(window.values)
    return None if value is None else (value, *window.values.shape, *_ends(tile))


def _keep(known: dict[Any, np.ndarray], key: Key, values: np.ndarray) -> None:
    if len(known) == EVEN:
        known.pop(next(iter(known)))
    known[key] = values


def _digest(values: np.ndarray) -> bytes:
    return blake2b(values.tobytes(), digest_size=16).digest()


def _ends(tile: Tile) -> tuple[int, ...]:
    """Where the core lies inside the window."""
    return tuple(end for one in tile.inner for end in (one.start, one.stop))


def _cells(starts: list[int], start: int, stop: int) -> list[int]:
    """Where the cells of an axis begin that hold a part of it."""
    return starts[bisect_right(starts, start) - 1 : bisect_right(starts, stop - 1)]
