"""Run a network whose normalisation needs the whole image, piece by piece over tiles, with bounded memory.

Statistics from each tile alone would show as blocks. Here every piece between two normalisations goes over all tiles
before the next one begins: it looks a few pixels far, so the tiles need hardly any halo, and the mean and the variance
of its output over the whole image are known exactly when the next piece needs them. What lies between two pieces is
kept in memory or, where it is too much, in a temporary file.
"""

from __future__ import annotations

import mmap
import os
import shutil
import tempfile
from collections import deque
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from torch import nn

from napari_hush.errors import InputError
from napari_hush.inference.tiles.geometry import Tile, aligned, plan_tiles
from napari_hush.inference.tiles.runner import PlaneTask, TileRunner, read_window
from napari_hush.networks.cyclegan import InstanceNorm, Stage

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from napari_hush.inference.engines.registry import Engine
    from napari_hush.inference.ledger import Core, Step
    from napari_hush.model import Model

SMALLEST = 32  # px of the coarsest value in a tile; fewer would spend the time on fetching weights
ROOM_LEFT = 256 << 20  # bytes of a disk that the scratch files leave to others


class StagedRunner(TileRunner):
    """A `TileRunner` for networks with ``stages()``.

    Parameters
    ----------
    engine, model, shape, side, region, grid, margin, keep
        As of `TileRunner`.
    memory : int
        Bytes that the values between the pieces may take in memory; more go to a temporary file.
    spare : int
        Bytes that they may take in memory where the disk has no room for such a file.
    folder : Path, optional
        Where it is made; the system's folder for temporary files by default.
    """

    by_tile = False

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
        memory: int = 256 << 20,
        spare: int = 0,
        folder: Path | None = None,
    ) -> None:
        # tile by tile: no batch is chosen
        super().__init__(engine, model, shape, side, region=region, grid=grid, margin=margin, keep=keep, batch=1)
        height, width = (max(aligned(side, model.stride), model.smallest) for side in shape)
        self.padded = (height, width)
        self._pieces = _make_pieces(cast("Iterator[Stage]", model.network.stages()), engine)  # type: ignore[operator]
        needed = scratch_bytes([piece.stage for piece in self._pieces], self.padded)
        self._folder = None if needed <= memory else (folder or Path(tempfile.gettempdir()))
        if self._folder is not None and not _has_room(self._folder, needed):
            if needed > spare:
                raise _no_room(self._folder, needed)
            self._folder = None

    def plan(self) -> list[Tile]:
        """The tiles of the last piece, which give the result."""
        return self._plan_piece(self._pieces[-1])

    def count(self) -> int:
        """How many tiles one plane takes, those of all pieces counted."""
        return sum(len(self._plan_piece(piece)) for piece in self._pieces)

    def run(
        self, task: PlaneTask, before: Sequence[Step] = (), *, only: Collection[Core] | None = None
    ) -> Iterator[tuple[list[tuple[Tile, np.ndarray]], int, int]]:
        """Denoise one plane, see `TileRunner.run`; pieces before the last finish nothing that is seen."""
        if before or only is not None:
            raise ValueError("what lies between the pieces of a network is kept by nobody: a plane is done as a whole")
        if task.replayed is not None:
            tiles = self.plan()
            for number, tile in enumerate(tiles, start=1):
                seen = read_window(tile, self.shape, task)
                yield [(tile, self.finish(tile, task.replayed.window(tile), seen, task))], 1, len(tiles) - number
            return
        with _Store(self.padded, self._folder) as store:
            statistics: dict[int, tuple[np.ndarray, np.ndarray]] = {}
            for number, piece in enumerate(self._pieces):
                if piece.stage.output is not None and piece is not self._pieces[-1]:
                    store.allocate(piece.stage)
                later = self._pieces[number + 1 :]
                after = sum(len(self._plan_piece(p)) for p in later)
                plan = deque(self._plan_piece(piece))
                moments = _Moments()
                while plan:
                    try:
                        finished = self._run_tile(piece, plan[0], store, statistics, moments, task)
                    except MemoryError:
                        self.side = self.side or self.padded
                        self.halve_tile()
                        plan = deque(smaller for tile in plan for smaller in self._plan_piece(piece, tile.core))
                        after = sum(len(self._plan_piece(p)) for p in later)
                        continue
                    plan.popleft()
                    yield finished, 1, len(plan) + after
                if piece.stage.measures is not None:
                    statistics[id(piece.stage.measures)] = moments.statistics()
                store.release({name for p in later for name in p.stage.inputs})
        task.ended(whole=True)

    def close(self) -> None:
        """Give the memory of the pieces back."""
        for piece in self._pieces:
            piece.engine.close()

    def _plan_piece(self, piece: _Piece, region: tuple[int, int, int, int] | None = None) -> list[Tile]:
        last = piece is self._pieces[-1]
        unit = 1 << piece.coarsest
        if region is None and last:
            region = self.region or (0, self.shape[0], 0, self.shape[1])
        return plan_tiles(
            self.padded,
            tile=self.side and (max(self.side[0], SMALLEST * unit), max(self.side[1], SMALLEST * unit)),
            halo=piece.stage.halo * unit + (self.margin if last else 0),
            stride=unit,
            region=region,
            grid=self.grid if last else (unit, unit),
        )

    def _run_tile(
        self,
        piece: _Piece,
        tile: Tile,
        store: _Store,
        statistics: dict[int, tuple[np.ndarray, np.ndarray]],
        moments: _Moments,
        task: PlaneTask,
    ) -> list[tuple[Tile, np.ndarray]]:
        stage = piece.stage
        inputs = [
            (read_window(tile, self.shape, task).values if name == "image" else store.read(name, tile.window))[None]
            for name in stage.inputs
        ]
        known = [array for key in piece.norms for array in statistics[key]]
        output = piece.engine(*inputs, *known)[0]  # (C, Y, X) of the window
        if piece is self._pieces[-1]:
            store.forget()
            task.keep(tile, output[(..., *tile.inner)])
            return [(tile, self.finish(tile, output, read_window(tile, self.shape, task), task))]
        core = output[(..., *(slice(s.start >> stage.level, s.stop >> stage.level) for s in tile.inner))]
        if stage.measures is not None:
            moments.add(core)
        if stage.output is not None:
            store.write(stage.output, tile.core, core)
        store.forget()
        return []


def scratch_bytes(stages: Sequence[Stage], padded: tuple[int, int]) -> int:
    """The most bytes that are kept between pieces at one time for a plane of ``padded`` (Y, X) px."""
    live: dict[str, int] = {}
    most = 0
    for number, stage in enumerate(stages[:-1]):
        if stage.output is not None:
            live[stage.output] = 4 * prod(_stored_shape(stage, padded))
        most = max(most, sum(live.values()))
        wanted = {name for later in stages[number + 1 :] for name in later.inputs}
        live = {name: size for name, size in live.items() if name in wanted}
    return most


@dataclass(frozen=True, eq=False)
class _Piece:
    """A stage with what computes it; ``norms`` are those inside it, in the order of the engine's arguments."""

    stage: Stage
    engine: Engine
    norms: list[int]
    coarsest: int


class _WithStatistics(nn.Module):
    """A stage's module that takes the statistics of its norms as further inputs: one graph serves all planes."""

    def __init__(self, stage: Stage, norms: list[InstanceNorm]) -> None:
        super().__init__()
        self.module, self.norms, self.n_inputs = stage.module, norms, len(stage.inputs)

    def forward(self, *tensors: torch.Tensor) -> torch.Tensor:
        known = tensors[self.n_inputs :]
        for norm, mean, rstd in zip(self.norms, known[::2], known[1::2], strict=True):
            norm.statistics = (mean, rstd)
        try:
            out: torch.Tensor = self.module(*tensors[: self.n_inputs])
            return out
        finally:
            for norm in self.norms:
                norm.statistics = None


def _make_pieces(stages: Iterator[Stage], engine: Engine) -> list[_Piece]:
    pieces = []
    levels = {"image": 0}
    for stage in stages:
        norms = [module for module in stage.module.modules() if isinstance(module, InstanceNorm)]
        coarsest = max(stage.level, *(levels[name] for name in stage.inputs))
        if stage.output is not None:
            levels[stage.output] = stage.level
        pieces.append(_Piece(stage, engine.another(_WithStatistics(stage, norms)), [id(n) for n in norms], coarsest))
    return pieces


class _Moments:
    """Mean and variance per channel, summed over tiles in float64: how the plane is cut leaves no trace in float32."""

    def __init__(self) -> None:
        self._count, self._sum, self._squares = 0, torch.zeros(1), torch.zeros(1)

    def add(self, values: np.ndarray) -> None:
        """Take (C, Y, X) in."""
        x = torch.from_numpy(values)
        self._count += x[0].numel()
        self._sum = self._sum + x.sum((1, 2), dtype=torch.float64)
        self._squares = self._squares + torch.linalg.vector_norm(x, dim=(1, 2), dtype=torch.float64) ** 2

    def statistics(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and inverse standard deviation, (1, C, 1, 1) float32."""
        mean = self._sum / self._count
        variance = (self._squares / self._count - mean**2).clamp(min=0)
        rstd = 1 / torch.sqrt(variance + InstanceNorm.eps)
        return tuple(v.float()[None, :, None, None].numpy() for v in (mean, rstd))  # type: ignore[return-value]


class _Store:
    """The values between the pieces, (C, Y, X) each, in memory or in unnamed temporary files."""

    def __init__(self, padded: tuple[int, int], folder: Path | None) -> None:
        self._padded, self._folder = padded, folder
        self._values: dict[str, _Value] = {}

    def __enter__(self) -> _Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.release(set())

    def allocate(self, stage: Stage) -> None:
        """Make room for a stage's output; an old value of the same name and size is written over."""
        name = cast("str", stage.output)
        if name in stage.inputs and stage.halo:
            raise ValueError(f"a stage cannot write over {name!r} while it looks around in it")
        shape = _stored_shape(stage, self._padded)
        old = self._values.get(name)
        if old is None or old.array.shape != shape:
            self._values[name] = _Value(shape, stage.level, self._folder)

    def release(self, wanted: set[str]) -> None:
        """Drop what is not wanted any more."""
        for name in self._values.keys() - wanted:
            del self._values[name]

    def read(self, name: str, window: tuple[int, int, int, int]) -> np.ndarray:
        """The part (C, Y, X) of a value under a window of the image; a view."""
        return self._values[name].under(window)

    def write(self, name: str, core: tuple[int, int, int, int], values: np.ndarray) -> None:
        """Store the part (C, Y, X) of a value under a tile's core."""
        self._values[name].under(core)[...] = values

    def forget(self) -> None:
        """Take what lies in files out of this process's memory."""
        for value in self._values.values():
            value.forget()


class _Value:
    """One array (Y, X, C), channels last: what convolutions read fastest, and rows of it are one piece of a file."""

    def __init__(self, shape: tuple[int, int, int], level: int, folder: Path | None) -> None:
        self._level = level
        self._map: mmap.mmap | None = None
        if folder is None:
            self.array = np.empty(shape, np.float32)
            return
        size = 4 * prod(shape)
        with tempfile.TemporaryFile(dir=folder, prefix="napari-hush-") as file:  # the mapping keeps it alive
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, size)  # a full disk is told here, not by a crash on writing
            else:
                file.truncate(size)
            self._map = mmap.mmap(file.fileno(), size)
        self.array = np.frombuffer(self._map, np.float32).reshape(shape)

    def under(self, part: tuple[int, int, int, int]) -> np.ndarray:
        """The view (C, Y, X) of what lies under y0, y1, x0, x1 of the image."""
        y0, y1, x0, x1 = (position >> self._level for position in part)
        return self.array[y0:y1, x0:x1].transpose(2, 0, 1)

    def forget(self) -> None:
        """Let the pages of a file go; they are read again when needed."""
        if self._map is not None and hasattr(mmap, "MADV_DONTNEED"):
            self._map.madvise(mmap.MADV_DONTNEED)


def _stored_shape(stage: Stage, padded: tuple[int, int]) -> tuple[int, int, int]:
    return padded[0] >> stage.level, padded[1] >> stage.level, stage.channels


def _has_room(folder: Path, needed: int) -> bool:
    return shutil.disk_usage(folder).free >= needed + ROOM_LEFT


def _no_room(folder: Path, needed: int) -> InputError:
    return InputError(
        f"this network needs {needed / 2**30:.1f} GB of room for temporary files, and {folder} has "
        f"{shutil.disk_usage(folder).free / 2**30:.1f} GB left: set the environment variable TMPDIR to a folder on a "
        "larger disk, or denoise the image in parts"
    )
