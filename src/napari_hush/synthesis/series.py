"""Series of frames with truth: a field that drifts while it is scanned, and in which something happens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from scipy import ndimage

from napari_hush.synthesis.dents.shapes import ellipse
from napari_hush.synthesis.lattices.lattice import Lattice, render_columns, render_lattice
from napari_hush.synthesis.pictures.phantoms import cells

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Images = NDArray[np.float32]

MARGIN = 24  # px around a frame that may drift into it
ISOLATED = 2.5  # periods between columns to which something happens
INSIDE = 24  # px from a frame's edge to them
KINDS = ("blinks", "blinks", "vanishes", "vanishes", "hops", "hops", "halves", "halves")

EventKind = Literal["blinks", "vanishes", "hops", "halves"]


@dataclass(frozen=True)
class Event:
    """What happens to one column, or to one spot.

    Parameters
    ----------
    kind : {"blinks", "vanishes", "hops", "halves"}
        Gone for one frame; gone for good; elsewhere from then on; half as high from then on.
    column : int
        Which one.
    frame : int
        From which frame on.
    """

    kind: EventKind
    column: int
    frame: int


@dataclass(frozen=True, kw_only=True, eq=False)
class FrameSeries:
    """Frames and their truth.

    Parameters
    ----------
    clean : ndarray, shape (N, Y, X)
        As each frame would be without noise, drift included.
    transmission : ndarray, shape (N, Y, X)
        How much of the material is there.
    drift : ndarray, shape (N + 1, 2)
        Where the field has moved at the beginning of each frame and at the end of the last, (y, x), px: a place of the
        field lies at ``place - drift`` of the frame. In between it moves steadily, so that rows are sheared.
    positions : ndarray, shape (N, M, 2)
        Columns or spots in the field (y, x), px.
    heights : ndarray, shape (N, M)
        Their heights; 0 where one is gone.
    events : tuple of Event
        What happens.
    """

    clean: Images
    transmission: Images
    drift: NDArray[np.float64]
    positions: NDArray[np.float64]
    heights: NDArray[np.float64]
    events: tuple[Event, ...]

    def place(self, frame: int, field: NDArray[np.floating]) -> NDArray[np.float64]:
        """Where places of the field (..., 2) are seen in a frame, px."""
        seen = np.asarray(field, np.float64) - self.drift[frame]
        rows = self.clean.shape[1]
        for _ in range(6):  # when a row is scanned depends on where it is seen
            share = (seen[..., :1] + 0.5) / rows
            seen = field - (self.drift[frame] + (self.drift[frame + 1] - self.drift[frame]) * share)
        return np.asarray(seen)


def drift_walk(frames: int, rng: np.random.Generator, reach: float) -> NDArray[np.float64]:
    """A random walk that starts at (0, 0) and gets as far as ``reach`` px, (frames + 1, 2)."""
    steps = np.cumsum(rng.normal(0, 1, (frames + 1, 2)), axis=0)
    steps -= steps[0]
    return np.asarray(steps * (reach / max(float(np.abs(steps).max()), 1e-9)))


def scanned(field: NDArray[np.floating], start: NDArray[np.floating], stop: NDArray[np.floating]) -> Images:
    """A field with `MARGIN` px around it, as a frame that drifts from one shift to another shows it."""
    height, width = (size - 2 * MARGIN for size in field.shape)
    share = (np.arange(height)[:, None] + 0.5) / height
    y, x = (start[axis] + (stop[axis] - start[axis]) * share for axis in (0, 1))
    rows, columns = np.arange(height)[:, None] + y + MARGIN, np.arange(width) + x + MARGIN
    at = np.stack(np.broadcast_arrays(rows, columns))
    return np.asarray(ndimage.map_coordinates(field, at, order=5, mode="nearest"), np.float32)


def lattice_series(
    shape: tuple[int, int],
    frames: int,
    rng: np.random.Generator | int,
    *,
    period: float = 12.0,
    drift: float = 3.0,
    displacement: float = 0.01,
    vacancies: float = 0.01,
    events: bool = True,
    dent: bool = True,
) -> FrameSeries:
    """A hexagonal lattice whose dent grows, while columns blink, vanish, hop or lose half of their height.

    Parameters
    ----------
    shape : (int, int)
        Y, X of a frame, px.
    frames : int
        Their number, 6 or more for events.
    rng : numpy.random.Generator or int
        Source of randomness.
    period : float
        Of the lattice, px.
    drift : float
        How far the field drifts, px.
    displacement, vacancies : float
        As of `Lattice`.
    events, dent : bool
        Whether anything happens.
    """
    rng = np.random.default_rng(rng)
    lattice = Lattice(
        kind="hexagonal", period=period, angle=7.0, sigma=0.18, displacement=displacement, vacancies=vacancies,
        background=0.1,
    )  # fmt: skip
    large = shape[0] + 2 * MARGIN, shape[1] + 2 * MARGIN
    rendered = render_lattice(lattice, large, rng)
    sites = rendered.positions - MARGIN
    moved = drift_walk(frames, rng, drift)
    chosen = _events(sites, shape, frames, rng, ISOLATED * period) if events else ()
    positions, heights = np.repeat(sites[None], frames, axis=0), np.ones((frames, len(sites)))
    for event in chosen:
        _happen(event, positions, heights, np.array([0.5, 0.2]) * period)
    touched = sorted({event.column for event in chosen})
    still = rendered.image.astype(np.float64)
    if touched:
        still -= (1 - lattice.background) * render_columns(
            sites[touched] + MARGIN, np.ones(len(touched)), lattice.sigma * period, large
        )
    clean, present = [], []
    for number in range(frames):
        field = still.copy()
        if touched:
            field += (1 - lattice.background) * render_columns(
                positions[number, touched] + MARGIN, heights[number, touched], lattice.sigma * period, large
            )
        wide = 20 + 96 * number / max(frames, 8)
        middle = large[0] / 2, large[1] / 2 + period
        hole = (
            ellipse(large, centre=middle, fwhm=(wide, 0.8 * wide), depth=0.9, edge=8)
            if dent
            else np.ones(large, np.float32)
        )
        clean.append(scanned(field * hole, moved[number], moved[number + 1]))
        present.append(scanned(hole, moved[number], moved[number + 1]))
    return FrameSeries(
        clean=np.stack(clean),
        transmission=np.stack(present),
        drift=moved,
        positions=positions,
        heights=heights,
        events=chosen,
    )


def cell_series(
    shape: tuple[int, int],
    frames: int,
    rng: np.random.Generator | int,
    *,
    drift: float = 3.0,
    spots: int = 6,
    step: tuple[float, float] = (1.0, 4.0),
) -> FrameSeries:
    """Fluorescent cells, between which bright spots move.

    Parameters
    ----------
    shape : (int, int)
        Y, X of a frame, px.
    frames : int
        Their number.
    rng : numpy.random.Generator or int
        Source of randomness.
    drift : float
        How far the field drifts, px.
    spots : int
        How many spots move.
    step : (float, float)
        Least and most px that a spot moves from frame to frame.
    """
    rng = np.random.default_rng(rng)
    large = shape[0] + 2 * MARGIN, shape[1] + 2 * MARGIN
    still = ndimage.gaussian_filter(cells(large, rng=rng).astype(np.float64), 1.5)
    still /= np.percentile(still, 99.5)
    begin = (
        rng.uniform(40, np.array(shape) - 40, (spots, 2)) if min(shape) > 80 else rng.uniform(0, 1, (spots, 2)) * shape
    )
    speed, angle = rng.uniform(*step, spots), rng.uniform(0, 2 * np.pi, spots)
    away = speed[:, None] * np.stack([np.sin(angle), np.cos(angle)], axis=1)
    moved = drift_walk(frames, rng, drift)
    positions = np.stack([begin + number * away for number in range(frames)])
    clean = []
    for number in range(frames):
        field = still + render_columns(positions[number] + MARGIN, np.ones(spots), 1.8, large)
        clean.append(np.maximum(scanned(field, moved[number], moved[number + 1]), 0))
    stacked = np.stack(clean)
    return FrameSeries(
        clean=stacked,
        transmission=np.ones_like(stacked),
        drift=moved,
        positions=positions,
        heights=np.ones((frames, spots)),
        events=(),
    )


def _events(
    sites: NDArray[np.float64], shape: tuple[int, int], frames: int, rng: np.random.Generator, apart: float
) -> tuple[Event, ...]:
    """Isolated columns, and what happens to each."""
    inside = np.flatnonzero(((sites > INSIDE) & (sites < np.array(shape) - INSIDE)).all(axis=1))
    picked: list[int] = []
    for column in rng.permutation(inside):
        if len(picked) < len(KINDS) and all(np.hypot(*(sites[column] - sites[one])) > apart for one in picked):
            picked.append(int(column))
    return tuple(
        Event(kind, column, int(rng.integers(2, max(frames - 2, 3))))  # type: ignore[arg-type]
        for kind, column in zip(KINDS, picked, strict=False)
    )


def _happen(
    event: Event, positions: NDArray[np.float64], heights: NDArray[np.float64], hop: NDArray[np.float64]
) -> None:
    """Write an event into the positions and heights of all frames."""
    column, later = event.column, slice(event.frame, None)
    if event.kind == "blinks":
        heights[event.frame, column] = 0
    elif event.kind == "vanishes":
        heights[later, column] = 0
    elif event.kind == "halves":
        heights[later, column] = 0.5
    else:
        positions[later, column] += hop
