"""Run the tiles of one plane through an engine; when memory runs out, go on with less at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from scipy.ndimage import correlate

from napari_hush.inference.tiles.geometry import Tile, aligned, plan_tiles
from napari_hush.inference.tiles.sizes import batch_size

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_hush.inference.engines.registry import Engine
    from napari_hush.inference.guards.guard import Guard
    from napari_hush.inference.guards.strict import StrictGuard
    from napari_hush.inference.ledger import Step
    from napari_hush.inference.tiles.pieces import NetworkPieces
    from napari_hush.model import Model
    from napari_hush.normalize import Normalization

FILL_RADIUS = 2  # px around a NaN pixel whose finite neighbours give its value
EVEN = 6  # results of tiles of one value that are kept: inside of the plane, and at its borders

Read = Callable[[slice, slice], np.ndarray]


@dataclass(frozen=True, eq=False)
class PlaneTask:
    """One plane to denoise, and what was measured before.

    Parameters
    ----------
    read : callable
        Gives (C, Y, X) of the plane, as the network sees it, for two slices.
    norm : Normalization
        Of the whole image.
    guards : sequence of Guard or StrictGuard
        One for each channel of the output; empty without a guard.
    companions : callable, optional
        Gives in the same way (K, Y, X), finite: further channels for the network.
    """

    read: Read
    norm: Normalization
    guards: Sequence[Guard | StrictGuard] = ()
    companions: Read | None = None

    def divided(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Divide what a runner hands out of a tile into the result (C, Y, X) and what the guards gave back, if any."""
        count = len(values) // 2 if len(values) > len(self.guards) > 0 else 0
        return (values[:-count], values[-count:]) if count else (values, None)


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
    margin : int
        Px around each core that must be right too: what the guards and a resampling look at.
    keep : int
        Px of the margin that are handed out with each core, where the plane goes on.
    batch : int, optional
        Tiles at once; chosen by memory if not given.
    pieces : NetworkPieces, optional
        Gives what the network makes of a tile and its margin, instead of one pass of the engine over them.

    Attributes
    ----------
    sides : list of (int, int) or None
        Of the plane that is run now: ``side`` when it was begun, and after each lack of memory since.
    by_tile : bool
        Whether a plane can be left and gone on with between its tiles.

    Notes
    -----
    ``batch`` and ``side`` shrink for good when the memory does not suffice: what did not fit once will not fit on the
    next plane.
    """

    by_tile = True

    def __init__(
        self,
        engine: Engine,
        model: Model,
        shape: tuple[int, int],
        side: tuple[int, int] | None,
        *,
        region: tuple[int, int, int, int] | None = None,
        grid: tuple[int, int] = (1, 1),
        margin: int = 0,
        keep: int = 0,
        batch: int | None = None,
        pieces: NetworkPieces | None = None,
    ) -> None:
        self.engine, self.model, self.shape, self.side = engine, model, shape, side
        self.region, self.grid = region, grid
        self.margin, self.keep, self.pieces = margin, keep, pieces
        self.sides = [side]
        self._even: dict[tuple[object, ...], np.ndarray] = {}
        self.batch = batch or batch_size(model, self.plan()[0], engine.device)

    def plan(self) -> list[Tile]:
        """The tiles of one plane; all windows have one size."""
        return self._plan(self.region, self.grid)

    def count(self) -> int:
        """How many tiles have to be computed for one plane."""
        return len(self.plan())

    def run(
        self, task: PlaneTask, before: Sequence[Step] = ()
    ) -> Iterator[tuple[list[tuple[Tile, np.ndarray]], int, int]]:
        """Denoise one plane.

        Parameters
        ----------
        task : PlaneTask
            The plane, and what was measured on it.
        before : sequence of Step
            What an earlier run has done of it: the rest is cut into the same tiles as if that run had gone on.

        Yields
        ------
        finished : list of (Tile, ndarray)
            The cores that are done, (C, Y, X) float32 in the image's units; none after a piece of the network.
        done : int
            Tiles computed since the last step.
        left : int
            Tiles still to do.

        Raises
        ------
        MemoryError
            If not even one tile of one stride fits.
        """
        left = self._left(before)
        self._even.clear()
        if self.pieces is not None:
            self.pieces.begin()
        while left:
            some = [left.popleft() for _ in range(min(self.batch, len(left)))]
            try:
                for tile in some if self.pieces is not None else ():
                    for _ in self.pieces.compute(tile.around(self.margin, self.shape).core, task):
                        yield [], 0, len(left) + len(some)
                finished = self._run_batch(some, task)
            except MemoryError:
                left.extendleft(reversed(some))
                left = self._shrink(left)
                continue
            yield finished, len(some), len(left)

    def finish(self, tile: Tile, output: np.ndarray, seen: Seen | Window, task: PlaneTask) -> np.ndarray:
        """Turn the output (C, Y, X) for a window into a tile's core in the image's units, with its NaN.

        As much of the margin as ``keep`` says comes with it; after the channels, where something was given back, as
        many that say what.
        """
        known = tile.around(self.margin, self.shape)
        values = task.norm.invert(output[(..., *known.inner)])
        if task.guards:
            first = self.model.depth // 2  # of the slices that are seen, the one that is given
            noisy = seen.image[(..., *known.inner)][first:]
            pairs = [
                guard.apply(noisy[min(channel, len(noisy) - 1)], values[channel], (known.core[0], known.core[2]))
                for channel, guard in enumerate(task.guards)
            ]
            values = np.stack([value for value, _ in pairs]).astype(np.float32)
            if any(given is not None and given.any() for _, given in pairs):
                given = [np.zeros_like(value) if given is None else given for value, given in pairs]
                values = np.concatenate([values, np.stack(given).astype(np.float32)])
        kept = tile.around(self.keep, self.shape)
        values = values[(..., *kept.core_slices((known.core[0], known.core[2])))]
        if seen.holes is None:
            return values
        count = len(task.guards) or len(values)
        holes = seen.holes[(..., *kept.inner)][self.model.depth // 2 :][:count]
        if len(values) > count:
            holes = np.concatenate([holes, holes])[: len(values)]
        return np.where(np.isfinite(holes), values, holes)

    def close(self) -> None:
        """Give back what the runner alone holds."""

    def _plan(self, region: tuple[int, int, int, int] | None, grid: tuple[int, int]) -> list[Tile]:
        halo, stride = self.margin + (self.model.halo if self.pieces is None else 0), self.model.stride
        return plan_tiles(self.shape, tile=self.side, halo=halo, stride=stride, region=region, grid=grid)

    def _run_batch(self, tiles: list[Tile], task: PlaneTask) -> list[tuple[Tile, np.ndarray]]:
        if self.pieces is None:
            windows = [read_window(tile, self.shape, task) for tile in tiles]
            outputs = self.engine(np.stack([window.values for window in windows]))  # (B, C, Y, X)
            return [
                (tile, self.finish(tile, output, window, task))
                for tile, output, window in zip(tiles, outputs, windows, strict=True)
            ]
        finished = []
        for tile in tiles:
            known = tile.around(self.margin, self.shape).core
            seen, output = read_seen(tile, self.shape, task), self.pieces.output(known, tile.window)
            even = self._even_key(tile, output, seen)
            if even is None:
                finished.append((tile, self.finish(tile, output, seen, task)))
                continue
            if even not in self._even:  # one value guarded by one value is the same everywhere
                if len(self._even) == EVEN:
                    self._even.clear()
                self._even[even] = self.finish(tile, output, seen, task)
            finished.append((tile, self._even[even]))
        bottom, right = (tiles[-1].core[end] - aligned(self.margin, self.model.stride) for end in (1, 3))
        self.pieces.forget(bottom, right)
        return finished

    def _even_key(self, tile: Tile, output: np.ndarray, seen: Seen) -> tuple[object, ...] | None:
        """What the result of a tile follows from where image and output have one value; None where they have more."""
        known, kept = tile.around(self.margin, self.shape), tile.around(self.keep, self.shape)
        values = [only_value(part[(..., *known.inner)]) for part in (seen.image, output)]
        if seen.holes is not None or None in values:
            return None
        inner = [(one.start, one.stop) for one in kept.core_slices((known.core[0], known.core[2]))]
        return (*values, *inner, len(output))

    def _left(self, before: Sequence[Step]) -> deque[Tile]:
        """What is to be done of a plane, by going again through what was done."""
        if before:
            self.side = before[0].sides[0]
        self.sides = [self.side]
        left, done = self.plan(), set()
        for step in before:
            for side in step.sides[len(self.sides) :]:
                self.side = side
                self.sides.append(side)
                left = [tile for tile in left if tile.core not in done]
                left = [smaller for tile in left for smaller in self._plan(tile.core, (1, 1))]
            self.batch = step.batch
            done.update(step.cores)
        return deque(tile for tile in left if tile.core not in done)

    def _shrink(self, left: deque[Tile]) -> deque[Tile]:
        """Halve the batch, then the tile; what is left is planned anew, what is done stays done."""
        if self.batch > 1:
            self.batch //= 2
            return left
        self.halve_tile()
        return deque(smaller for tile in left for smaller in self._plan(tile.core, (1, 1)))

    def halve_tile(self) -> None:
        """Plan with tiles of half the side from now on; `MemoryError` where they cannot be smaller."""
        stride = self.model.stride
        side = self.side or self.shape
        if max(side) <= stride:
            raise MemoryError(
                f"not enough memory for one tile of {stride} px: close other programs, or choose another device"
            )
        self.side = (max(side[0] // 2, 1), max(side[1] // 2, 1))
        self.sides.append(self.side)


class Seen(NamedTuple):
    """A tile's window of the image, (C, Y, X) each."""

    image: np.ndarray
    """In the image's units, finite."""
    holes: np.ndarray | None
    """As they were, float32, where some values are not finite."""


class Window(NamedTuple):
    """What a network sees of a tile, (C, Y, X) each."""

    values: np.ndarray
    """Normalised, float32; with the companions behind the image."""
    image: np.ndarray
    """As of `Seen`."""
    holes: np.ndarray | None
    """As of `Seen`."""


def read_window(tile: Tile, shape: tuple[int, int], task: PlaneTask) -> Window:
    """Read a tile's window for a network.

    Beyond the plane the image is mirrored (d c b a | a b c d), at each pixel alike in every window that contains it.
    """
    image, holes = read_seen(tile, shape, task)
    values = image
    if task.companions is not None:
        y, x, inner = _around(tile, shape)
        values = np.concatenate([image, task.companions(y, x)[(..., *inner)]])
    return Window(task.norm.apply(values), image, holes)


def read_seen(tile: Tile, shape: tuple[int, int], task: PlaneTask) -> Seen:
    """Read the image in a tile's window, mirrored as in `read_window`."""
    y, x, inner = _around(tile, shape)
    filled, holes = filled_block(task.read(y, x), task.norm.fill)
    return Seen(filled[(..., *inner)], None if holes is None else holes[(..., *inner)])


def _around(tile: Tile, shape: tuple[int, int]) -> tuple[slice, slice, tuple[Any, Any]]:
    """What is read for a window, and where the window lies in it.

    Filling looks at neighbours: with some margin a pixel is filled alike in every tile that contains it.
    """
    rows, columns = _mirrored(*tile.window[:2], shape[0]), _mirrored(*tile.window[2:], shape[1])
    y, x = _with_margin(rows, shape[0]), _with_margin(columns, shape[1])
    if tile.window[1] <= shape[0] and tile.window[3] <= shape[1]:  # no pixel twice: a view will do
        (top, bottom), (left, right) = ((ends[0], ends[-1] + 1) for ends in (rows, columns))
        return y, x, (slice(top - y.start, bottom - y.start), slice(left - x.start, right - x.start))
    return y, x, np.ix_(rows - y.start, columns - x.start)


def only_value(values: np.ndarray) -> float | None:
    """The only value of an array; None where there are several, or it is not finite."""
    first = values.flat[0]
    # most arrays tell by their first row
    even = np.isfinite(first) and (values[..., 0, :] == first).all() and (values == first).all()
    return float(first) if even else None


def filled_block(block: np.ndarray, default: float) -> tuple[np.ndarray, np.ndarray | None]:
    """A part (C, Y, X) of a plane without holes, and as it was in float32 if it has some."""
    if block.dtype.kind == "f" and block.dtype.itemsize > 4:
        with np.errstate(over="ignore"):  # what float32 cannot hold is infinite in the result, and so a hole
            single = block.astype(np.float32)
        block = np.where(np.isfinite(single), block, single)
    if block.dtype.kind != "f" or np.isfinite(block).all():
        return block, None
    return np.stack([_fill(channel, default) for channel in block]), block.astype(np.float32)


def _mirrored(start: int, stop: int, size: int) -> np.ndarray:
    """Which pixels of an axis stand at positions that may lie beyond its end."""
    position = np.arange(start, stop) % (2 * size)
    return np.minimum(position, 2 * size - 1 - position)


def _with_margin(positions: np.ndarray, size: int) -> slice:
    return slice(max(int(positions.min()) - FILL_RADIUS, 0), min(int(positions.max()) + 1 + FILL_RADIUS, size))


def _fill(block: np.ndarray, default: float) -> np.ndarray:
    """Replace what is not finite by the mean of its finite neighbours, or by ``default`` where it has none."""
    finite = np.isfinite(block)
    window = np.ones((2 * FILL_RADIUS + 1,) * 2)
    values = np.where(finite, block, 0).astype(np.float64)
    total = correlate(values, window, mode="constant")
    count = correlate(finite.astype(np.float64), window, mode="constant")
    mean = np.where(count > 0, total / np.maximum(count, 1), default)
    return np.where(finite, block, mean)
