"""How the frames of a series lie to the first one: drift, rotation, brightness, and where a lattice decides nothing."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_hush.errors import InputError
from napari_hush.filters.gaps import filled
from napari_hush.filters.smoothing import gaussian
from napari_hush.progress import Progress, drain_with_bar
from napari_hush.series.affine import farthest, places, spline, warped_part
from napari_hush.series.changes import write_table
from napari_hush.series.pairs import DECIDED, Pair, Shown, pair_of, refined

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping, Sequence
    from os import PathLike

    from numpy.typing import ArrayLike, NDArray

    from napari_hush.series.affine import Matrix

Scale = tuple[float, float]  # what is taken off, and what the rest is divided by

SMOOTH = 1.5  # px: single noisy frames are compared after such a Gaussian mean
OVERLAP = 0.6  # of a frame that is still seen: less makes the next one the one to compare with
SMALLEST = 32  # px
LARGEST_SMOOTH = 8  # of a frame's side fits the widest mean
FARTHEST = 1e4  # spreads of the first frame: what is further off is a spike
COLUMNS = ("frame", "drift_y_px", "drift_x_px", "rotation_deg", "gain", "offset", "margin", "decided", "rms")


@dataclass(frozen=True, kw_only=True, eq=False)
class Registration:
    """How frames lie to the first one.

    Parameters
    ----------
    shape : (int, int)
        Y, X of a frame, px.
    matrices : ndarray, shape (N, 3, 3)
        Take (y, x, 1) of the first frame to each, px: as `scipy.ndimage.affine_transform` wants them to bring a frame
        onto the first.
    gains, offsets : ndarray, shape (N,)
        A frame is ``gain`` times the first and ``offset``, image units.
    margins : ndarray, shape (N,)
        Standard errors by which the map from the frame before fits better than the next best one; infinite for the
        first frame, and where there is no other.
    errors : ndarray, shape (N,)
        Rms of the difference to the frame before it, or to the first, without what stands out, image units.
    placed : ndarray of bool, shape (N,)
        Whether each shows the field at all; one that does not has the place of the frame before, and a margin of 0.
    first : int
        The number of the first frame in its series.
    """

    shape: tuple[int, int]
    matrices: NDArray[np.float64]
    gains: NDArray[np.float64]
    offsets: NDArray[np.float64]
    margins: NDArray[np.float64]
    errors: NDArray[np.float64]
    placed: NDArray[np.bool_]
    first: int = 0

    @classmethod
    def of(
        cls, shape: tuple[int, int], pairs: Sequence[Pair], first: int = 0, scale: Scale = (0.0, 1.0)
    ) -> Registration:
        """From the pairs of the first frame with each, itself included, whose values were shifted and scaled."""
        pairs = [pair.in_image_units(*scale) for pair in pairs]
        return cls(
            shape=shape,
            matrices=np.array([pair.matrix for pair in pairs]),
            gains=np.array([pair.gain for pair in pairs]),
            offsets=np.array([pair.offset for pair in pairs]),
            margins=np.array([pair.margin for pair in pairs]),
            errors=np.array([pair.error for pair in pairs]),
            placed=np.array([pair.alike for pair in pairs]),
            first=first,
        )

    def __len__(self) -> int:
        """Number of frames."""
        return len(self.matrices)

    @property
    def drift(self) -> NDArray[np.float64]:
        """By how much the middle of the first frame lies elsewhere in each, (N, 2): y, x, px."""
        middle = np.array([(size - 1) / 2 for size in self.shape])
        moved = [places(matrix, *middle) for matrix in self.matrices]
        return np.asarray(np.array(moved, np.float64).reshape(-1, 2) - middle)

    @property
    def rotations(self) -> NDArray[np.float64]:
        """Of each frame against the first, degrees, from X towards Y."""
        return np.degrees(
            np.arctan2(self.matrices[:, 0, 1] - self.matrices[:, 1, 0], self.matrices[:, 0, 0] + self.matrices[:, 1, 1])
        )

    @property
    def decided(self) -> NDArray[np.bool_]:
        """Whether each frame's place against the first is known, not only up to a lattice vector, (N,)."""
        return np.asarray(np.minimum.accumulate(self.margins) >= DECIDED)

    @property
    def words(self) -> str:
        """For a person, in one line."""
        if len(self) == 1:
            return "one frame: nothing to register"
        far = np.hypot(*self.drift[self.placed].T).max()
        words = f"{len(self)} frames, drift up to {far:.2g} px"
        turned = np.abs(self.rotations).max()
        if turned > 0.1:
            words += f", rotation up to {turned:.2g}°"
        shown = self.gains[self.placed]
        gains = shown.min(), shown.max()
        if gains[1] / gains[0] > 1.02:
            words += f", brightness {gains[0]:.2f} to {gains[1]:.2f} of the first"
        if (left_out := int(np.count_nonzero(~self.placed))) > 0:
            words += f"; {left_out} of them show another field, or nothing"
        if (count := int(np.count_nonzero(~self.decided & self.placed))) > 0:
            words += (
                f"; {count} of them known up to a lattice vector only: no defect or edge decides, so the place nearest "
                "to the expected one was taken"
            )
        return words

    def rows(self) -> list[tuple[int, float, float, float, float, float, float, bool, float]]:
        """The table: a row for each frame, as `COLUMNS` names it."""
        columns = (*self.drift.T, self.rotations, self.gains, self.offsets, self.margins)
        numbers = [[float(value) for value in row] for row in zip(*columns, strict=True)]
        return [
            (number, y, x, turned, gain, offset, margin, bool(decided), float(error))
            for number, ((y, x, turned, gain, offset, margin), decided, error) in enumerate(
                zip(numbers, self.decided, self.errors, strict=True), start=self.first
            )
        ]

    def save(self, path: str | PathLike[str]) -> None:
        """Write the table as comma-separated values."""
        write_table(path, COLUMNS, self.rows())

    def pair(self, first: int, second: int) -> Pair:
        """How one frame lies to another."""
        gain = float(self.gains[second] / self.gains[first])
        return Pair(
            self.matrices[second] @ np.linalg.inv(self.matrices[first]),
            gain,
            float(self.offsets[second] - gain * self.offsets[first]),
            float(self.margins[min(first, second) + 1 : max(first, second) + 1].min(initial=np.inf)),
            float(self.errors[second]),
            bool(self.placed[first] and self.placed[second]),
        )

    def aligned(self, frame: ArrayLike, number: int) -> NDArray[np.float32]:
        """One frame brought onto the first, in the first one's brightness; NaN where it shows nothing.

        Parameters
        ----------
        frame : array_like, shape (Y, X)
            As measured.
        number : int
            Which one it is.
        """
        measured = np.asarray(frame, np.float64)
        if measured.shape != self.shape or not 0 <= number < len(self):
            raise InputError(
                f"expected a frame of {self.shape} px and a number from 0 to {len(self) - 1}, got {measured.shape} and "
                f"{number}"
            )
        if not np.isfinite(measured).any():
            return np.full(self.shape, np.nan, np.float32)
        values = filled(measured, ~np.isfinite(measured))
        whole = slice(0, self.shape[0]), slice(0, self.shape[1])
        (made,), inside = warped_part([spline(values)], self.matrices[number], whole)
        return np.where(
            inside, (made - np.float32(self.offsets[number])) / np.float32(self.gains[number]), np.float32("nan")
        )

    def as_dict(self) -> dict[str, Any]:
        """JSON-able."""
        rows: list[dict[str, Any]] = [dict(zip(COLUMNS, row, strict=True)) for row in self.rows()]
        for row in rows:
            for name, value in row.items():
                row[name] = None if isinstance(value, float) and not np.isfinite(value) else value
        return {"words": self.words, "frames": rows}


def register(
    frames: Any, *, smooth: float = SMOOTH, progress: Callable[[Progress], object] | bool | None = None
) -> Registration:
    """Find how the frames of a series lie to the first one.

    Parameters
    ----------
    frames : array_like, shape (N, Y, X)
        As measured: numpy, memmap, zarr, dask, h5py. One frame is read at a time. NaN are filled.
    smooth : float
        Standard deviation of the Gaussian mean over each frame before it is compared, px; 0 for frames without noise.
    progress : callable or bool, optional
        Called with a `Progress` per frame; True shows a bar.

    Returns
    -------
    Registration
        Maps, drift, brightness; margins that say where a lattice decides nothing.

    Raises
    ------
    InputError
        If this is no series of frames.

    See Also
    --------
    napari_hush.denoise : With ``frames`` it does so by itself.

    Notes
    -----
    Each frame is compared with the one before (see `pair_of`) and, from there on, with the first, or the last one of
    which more than 60 % are still seen: errors do not add up over the series.

    Examples
    --------
    >>> import napari_hush as hush
    >>> frames = hush.sample("stack").noisy[:3]
    >>> found = hush.register(frames)
    >>> bool(abs(found.drift).max() < 0.5)
    True
    """
    steps = register_steps(frames, smooth=smooth)
    return drain_with_bar(steps, progress, label="registering", unit="frame")


def register_steps(frames: Any, *, smooth: float = SMOOTH) -> Generator[Progress, None, Registration]:
    """`register` step by step: yields a `Progress` per frame and returns a `Registration`."""
    try:
        frames = np.asarray(frames) if isinstance(frames, list | tuple) else frames
    except ValueError as error:
        raise InputError(f"expected frames of one size, got a ragged list: {error}") from error
    shape = tuple(getattr(frames, "shape", ()))
    if len(shape) != 3 or not shape[0] or min(shape[1:]) < SMALLEST:
        raise InputError(
            f"expected frames of one field as one stack (N, Y, X) of at least {SMALLEST} px, got the shape {shape}"
        )
    if np.dtype(frames.dtype).kind not in "biuf":
        raise InputError(f"expected frames of real numbers, got {frames.dtype}")
    if not 0 <= smooth <= min(shape[1:]) / LARGEST_SMOOTH:
        raise InputError(
            f"smooth must be from 0 to {min(shape[1:]) / LARGEST_SMOOTH:g} px for such frames, got {smooth}"
        )
    count = int(shape[0])
    scale: Scale | None = None
    chain: Chain | None = None
    for number in range(count):
        values = np.asarray(frames[number], np.float64)
        scale = scale or scale_of(values)
        shown = shown_of(values, scale or (0.0, 1.0), smooth)
        if chain is None:
            chain = Chain(shown)
        else:
            chain.add(shown)
        yield Progress(number + 1, count, "registering")
    assert chain is not None
    return Registration.of(chain.shape, chain.pairs, scale=scale or (0.0, 1.0))


def scale_of(values: NDArray[np.float64]) -> Scale | None:
    """Middle and spread of a frame's finite values, which bring those of all frames near 1; None of a blank one."""
    finite = values[np.isfinite(values)]
    spread = float(finite.std()) if finite.size else 0.0
    return (float(finite.mean()), spread) if spread > 0 and np.isfinite(spread) else None


def in_units(values: NDArray[np.floating], bad: NDArray[np.bool_], scale: Scale) -> NDArray[np.float64]:
    """A frame's values without gaps, scaled."""
    whole = values.astype(np.float64)
    return np.asarray(((filled(whole, bad) if bad.any() else whole) - scale[0]) / scale[1])


def shown_of(values: NDArray[np.float64], scale: Scale, smooth: float = 0.0) -> Shown:
    """A frame as it is compared: without gaps, scaled, smoothed; all zeros where nothing is finite."""
    bad = ~np.isfinite(values)
    if bad.all():
        return Shown(np.zeros(values.shape, np.float32))
    with np.errstate(over="ignore"):
        scaled = in_units(values, bad, scale)
    scaled = np.nan_to_num(np.clip(scaled, -FARTHEST, FARTHEST))
    return Shown(np.asarray(gaussian(scaled, smooth, mode="nearest") if smooth > 0 else scaled, np.float32))


class Chain:
    """The frames of a series one after the other, each compared with the one before and with one that they all show.

    Parameters
    ----------
    first : Shown
        The first frame.

    Attributes
    ----------
    pairs : list of Pair
        Of the first frame and each so far.
    anew : bool
        Whether a new field began with the last frame and the one before it, which is not placed.
    """

    def __init__(self, first: Shown) -> None:
        start = Pair(np.eye(3), 1.0, 0.0, 0.0 if first.blank else np.inf, 0.0, not first.blank)
        self.pairs = [start]
        self.shape = first.shape
        self._good = self._key = self._last = _Placed(first, start, 0)  # the last that was placed, the key, the last
        self._step: Matrix | None = None
        self.anew = False

    def add(self, frame: Shown) -> Pair:
        """Compare the next frame; gives how it lies to the first."""
        self.anew = False
        self.pairs.append(self._placed(frame))
        self._last = _Placed(frame, self.pairs[-1], len(self.pairs) - 1)
        return self.pairs[-1]

    def state(self) -> dict[str, Any]:
        """What decides about the next frame: numbers of frames that it looks at, from 0 on, and how they lie."""
        seen = {"good": self._good, "key": self._key, "last": self._last}
        return {name: (one.number, one.pair) for name, one in seen.items()} | {
            "pairs": len(self.pairs),
            "step": self._step,
        }

    def go_on(self, state: Mapping[str, Any], shown: Callable[[int], Shown]) -> None:
        """Take such a state; ``shown`` gives a frame by its number. The pairs up to then are not there."""
        self._good, self._key, self._last = (
            _Placed(shown(state[name][0]), state[name][1], state[name][0]) for name in ("good", "key", "last")
        )
        self.pairs = [self._last.pair] * state["pairs"]
        self._step = state["step"]

    def _placed(self, frame: Shown) -> Pair:
        nowhere = replace(self._last.pair, margin=0.0, error=0.0, alike=False)
        if frame.blank:
            return nowhere
        if self._good.shown.blank:  # the first that shows anything
            found = replace(nowhere, alike=True)
            self._good = self._key = _Placed(frame, found, len(self.pairs))
            return found
        step = pair_of(self._good.shown, frame, self._step)
        if not step.alike:
            return self._elsewhere(frame, nowhere)
        self._step = step.matrix if step.decided else None
        whole = self._good.pair.then(step)
        start = whole.matrix @ np.linalg.inv(self._key.pair.matrix)
        if self._key.shown is not self._good.shown and _overlap(start, self.shape) > OVERLAP:
            again = refined(self._key.shown, frame, start)
            if again.alike and farthest(again.matrix, start, self.shape) < 1.0 + 0.01 * max(self.shape):
                whole = self._key.pair.then(again)
        found = replace(whole, margin=step.margin, error=step.error, alike=True)
        self._good = _Placed(frame, found, len(self.pairs))
        if _overlap(start, self.shape) <= OVERLAP:
            self._key = self._good
        return found

    def _elsewhere(self, frame: Shown, nowhere: Pair) -> Pair:
        """A frame that is not like the last one that was placed; with the one before it a new field may have begun."""
        if self._last.shown is self._good.shown or self._last.shown.blank:
            return nowhere
        step = pair_of(self._last.shown, frame)
        if not step.alike:
            return nowhere
        self.anew = True
        found = replace(self._last.pair.then(step), margin=0.0, alike=True)
        self._good = self._key = _Placed(frame, found, len(self.pairs))
        self._step = None
        return found


@dataclass(frozen=True, eq=False)
class _Placed:
    shown: Shown
    pair: Pair
    number: int


def _overlap(matrix: Matrix, shape: tuple[int, int]) -> float:
    """Share of a frame that another one shows, about."""
    y, x = places(matrix, (shape[0] - 1) / 2, (shape[1] - 1) / 2)  # type: ignore[arg-type]
    moved = abs(float(y) - (shape[0] - 1) / 2) / shape[0], abs(float(x) - (shape[1] - 1) / 2) / shape[1]
    return max(1 - moved[0], 0) * max(1 - moved[1], 0)
