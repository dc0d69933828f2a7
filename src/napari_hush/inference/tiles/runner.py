"""Run the tiles of one plane through an engine; when memory runs out, go on with less at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from napari_hush.inference.holes import read_filled
from napari_hush.inference.tiles.geometry import Tile, plan_tiles
from napari_hush.inference.tiles.sizes import batch_size

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from napari_hush.inference.engines.at_once import Handle
    from napari_hush.inference.engines.registry import Engine
    from napari_hush.inference.guards.guard import Guard
    from napari_hush.inference.guards.strict import StrictGuard
    from napari_hush.inference.ledger import Core, Side, Step
    from napari_hush.inference.tiles.kept_output import KeptOutput
    from napari_hush.model import Model
    from napari_hush.normalize import Normalization

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
    output : KeptOutput, optional
        Where the network's output is kept, or taken from where it is complete.
    """

    read: Read
    norm: Normalization
    guards: Sequence[Guard | StrictGuard] = ()
    companions: Read | None = None
    output: KeptOutput | None = None

    @property
    def replayed(self) -> KeptOutput | None:
        """The network's output where a run before has kept all of it."""
        return self.output if self.output is not None and self.output.complete else None

    def keep(self, tile: Tile, core: np.ndarray) -> None:
        """Keep the network's output (C, Y, X) for the core of a tile, where somebody wants it."""
        if self.output is not None and not self.output.complete:
            self.output.put(tile, core)

    def ended(self, *, whole: bool) -> None:
        """A run has gone through the plane, or through a part of it."""
        if self.output is not None and whole:
            self.output.complete = True

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
    ) -> None:
        self.engine, self.model, self.shape, self.side = engine, model, shape, side
        self.region, self.grid = region, grid
        self.margin, self.keep = margin, keep
        self.sides = [side]
        self.batch = batch or batch_size(model, self.plan()[0], engine.device)

    @property
    def network_side(self) -> Side:
        """Y and X of what is kept of one pass of the network; None for the whole plane."""
        return self.side

    def plan(self) -> list[Tile]:
        """The tiles of one plane; all windows have one size."""
        return self._plan(self.region, self.grid)

    def count(self) -> int:
        """How many tiles have to be computed for one plane."""
        return len(self.plan())

    def run(
        self, task: PlaneTask, before: Sequence[Step] = (), *, only: Collection[Core] | None = None
    ) -> Iterator[tuple[list[tuple[Tile, np.ndarray]], int, int]]:
        """Denoise one plane.

        Parameters
        ----------
        task : PlaneTask
            The plane, and what was measured on it.
        before : sequence of Step
            What an earlier run has done of it: the rest is cut into the same tiles as if that run had gone on.
        only : collection of Core, optional
            The tiles that are wanted, by their cores.

        Yields
        ------
        finished : list of (Tile, ndarray)
            The cores that are done, (C, Y, X) float32 in the image's units.
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
        if only is not None:
            left = deque(tile for tile in left if tile.core in only)
        going: deque[Going] = deque()  # the engine computes one while the next is read and the one before is put in
        while left or going:
            try:
                while left and len(going) <= self.engine.ahead:
                    going.append(self._begin(list(islice(left, self.batch)), task))
                    for _ in going[-1].tiles:
                        left.popleft()
                finished = self._end(going[0], task)
            except MemoryError:
                left.extendleft(tile for one in reversed(going) for tile in reversed(one.tiles))
                going.clear()
                left = self._shrink(left)
                continue
            going.popleft()
            yield finished, len(finished), len(left) + sum(len(one.tiles) for one in going)
        task.ended(whole=not before and only is None)

    def finish(self, tile: Tile, output: np.ndarray, seen: Noisy | Window, task: PlaneTask) -> np.ndarray:
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
            values = np.stack([value for value, _ in pairs], dtype=np.float32, casting="same_kind")
            if any(given is not None and given.any() for _, given in pairs):
                given = [np.zeros_like(value) if given is None else given for value, given in pairs]
                values = np.concatenate([values, given], dtype=np.float32, casting="same_kind")
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
        halo, stride = self.model.halo + self.margin, self.model.stride
        return plan_tiles(self.shape, tile=self.side, halo=halo, stride=stride, region=region, grid=grid)

    def _begin(self, tiles: list[Tile], task: PlaneTask) -> Going:
        windows = [read_window(tile, self.shape, task) for tile in tiles]
        if task.replayed is not None:
            return Going(tiles, windows, task.replayed.windows(tiles))
        return self._submit(tiles, windows)

    def _submit(self, tiles: list[Tile], windows: list[Window]) -> Going:
        return Going(tiles, windows, self.engine.submit(np.stack([window.values for window in windows])))

    def _end(self, batch: Going, task: PlaneTask) -> list[tuple[Tile, np.ndarray]]:
        outputs = batch.output.result()  # (B, C, Y, X)
        for tile, output in zip(batch.tiles, outputs, strict=True):
            task.keep(tile, output[(..., *tile.inner)])
        return [
            (tile, self.finish(tile, output, window, task))
            for tile, output, window in zip(batch.tiles, outputs, batch.windows, strict=True)
        ]

    def _left(self, before: Sequence[Step]) -> deque[Tile]:
        """What is to be done of a plane, by going again through what was done."""
        if before:
            self.side = before[0].sides[0]
        self.sides = [self.side]
        left = self.plan()
        done: set[Core] = set()
        for step in before:
            for side in step.sides[len(self.sides) :]:
                self.side = side
                self.sides.append(side)
                left = [tile for tile in left if tile.core not in done]
                left = [smaller for tile in left for smaller in self._plan(tile.core, (1, 1))]
            self.cut_as(self.side, step.network, step.batch)
            done.update(step.cores)
        return deque(tile for tile in left if tile.core not in done)

    def _shrink(self, left: deque[Tile]) -> deque[Tile]:
        """Halve the batch, then the tile; what is left is planned anew, what is done stays done."""
        if self.batch > 1:
            self.batch //= 2
            return left
        self.halve_tile()
        return deque(smaller for tile in left for smaller in self._plan(tile.core, (1, 1)))

    def cut_as(self, side: Side, network_side: Side, batch: int | None = None) -> None:
        """Cut planes from now on into tiles of this side; the batch stays if none is given."""
        self.side, self.batch = side, batch or self.batch

    def halve_tile(self) -> None:
        """Plan with tiles of half the side from now on; `MemoryError` where they cannot be smaller."""
        self.side = self._halved(self.side)
        self.sides.append(self.side)

    def _halved(self, side: Side) -> Side:
        stride = self.model.stride
        height, width = side or self.shape
        if max(height, width) <= stride:
            raise MemoryError(
                f"not enough memory for one tile of {stride} px: close other programs, or choose another device"
            )
        return max(height // 2, 1), max(width // 2, 1)


class Noisy(NamedTuple):
    """A part of the plane, (C, Y, X)."""

    image: np.ndarray
    """In the image's units, finite."""
    holes: np.ndarray | None
    """As they were, float32, where some values are not finite."""


class Going(NamedTuple):
    """Tiles that the engine computes."""

    tiles: list[Tile]
    windows: list[Window]
    output: Handle


class Window(NamedTuple):
    """What a tile sees, (C, Y, X) each."""

    values: np.ndarray
    """Normalised, float32; with the companions behind the image."""
    image: np.ndarray
    """As of `Noisy`."""
    holes: np.ndarray | None
    """As of `Noisy`."""


def read_window(tile: Tile, shape: tuple[int, int], task: PlaneTask) -> Window:
    """Read a tile's window.

    Beyond the plane the image is mirrored (d c b a | a b c d), at each pixel alike in every window that contains it.
    """
    noisy = read_noisy(tile, shape, task)
    values = noisy.image
    if task.companions is not None:
        y, x, inner = _place(tile, shape)
        values = np.concatenate([values, task.companions(y, x)[(..., *inner)]])
    return Window(task.norm.apply(values), noisy.image, noisy.holes)


def read_noisy(tile: Tile, shape: tuple[int, int], task: PlaneTask) -> Noisy:
    """Read what lies under a tile's window, mirrored as in `read_window`."""
    y, x, inner = _place(tile, shape)
    filled, holes = read_filled(task.read, y, x, shape, task.norm.fill)
    return Noisy(filled[(..., *inner)], None if holes is None else holes[(..., *inner)])


def only_value(values: np.ndarray) -> float | None:
    """The only value of an array; None where there are several, or it is not finite."""
    first = values.flat[0]
    # most arrays tell by their first row
    even = np.isfinite(first) and (values[..., 0, :] == first).all() and (values == first).all()
    return float(first) if even else None


def _place(tile: Tile, shape: tuple[int, int]) -> tuple[slice, slice, tuple[Any, ...]]:
    """What is read for a tile's window, and which of its rows and columns the window takes."""
    rows, columns = _mirrored(*tile.window[:2], shape[0]), _mirrored(*tile.window[2:], shape[1])
    y, x = (slice(int(places.min()), int(places.max()) + 1) for places in (rows, columns))
    if tile.window[1] <= shape[0] and tile.window[3] <= shape[1]:  # no pixel twice: a view will do
        known = ((rows, y.start), (columns, x.start))
        return y, x, tuple(slice(int(one[0]) - start, int(one[-1]) + 1 - start) for one, start in known)
    return y, x, np.ix_(rows - y.start, columns - x.start)


def _mirrored(start: int, stop: int, size: int) -> np.ndarray:
    """Which pixels of an axis stand at positions that may lie beyond its end."""
    position = np.arange(start, stop) % (2 * size)
    return np.minimum(position, 2 * size - 1 - position)
