"""How the frames of a series lie to the first one: drift, rotation, brightness, and where a lattice decides nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_hush.errors import InputError
from napari_hush.filters.gaps import filled
from napari_hush.filters.smoothing import gaussian
from napari_hush.progress import Progress, drain
from napari_hush.series.affine import farthest, places, warped_part
from napari_hush.series.changes import write_table
from napari_hush.series.pairs import DECIDED, Pair, Shown, pair_of, refined

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence
    from os import PathLike

    from numpy.typing import ArrayLike, NDArray

    from napari_hush.series.affine import Matrix

SMOOTH = 1.5  # px: single noisy frames are compared after such a Gaussian mean
OVERLAP = 0.6  # of a frame that is still seen: less makes the next one the one to compare with
SMALLEST = 32  # px
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
    """

    shape: tuple[int, int]
    matrices: NDArray[np.float64]
    gains: NDArray[np.float64]
    offsets: NDArray[np.float64]
    margins: NDArray[np.float64]
    errors: NDArray[np.float64]

    @classmethod
    def of(cls, shape: tuple[int, int], pairs: Sequence[Pair]) -> Registration:
        """From the pairs of the first frame with each, itself included."""
        return cls(
            shape=shape,
            matrices=np.array([pair.matrix for pair in pairs]),
            gains=np.array([pair.gain for pair in pairs]),
            offsets=np.array([pair.offset for pair in pairs]),
            margins=np.array([pair.margin for pair in pairs]),
            errors=np.array([pair.error for pair in pairs]),
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
        """Whether each frame's place is known, not only up to a lattice vector, (N,)."""
        return self.margins >= DECIDED

    @property
    def words(self) -> str:
        """For a person, in one line."""
        if len(self) == 1:
            return "one frame: nothing to register"
        far = np.hypot(*self.drift.T).max()
        words = f"{len(self)} frames, drift up to {far:.2g} px"
        turned = np.abs(self.rotations).max()
        if turned > 0.1:
            words += f", rotation up to {turned:.2g}°"
        gains = self.gains.min(), self.gains.max()
        if gains[1] / gains[0] > 1.02:
            words += f", brightness {gains[0]:.2f} to {gains[1]:.2f} of the first"
        if (count := int(np.count_nonzero(~self.decided))) > 0:
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
                zip(numbers, self.decided, self.errors, strict=True)
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
        values = filled(np.asarray(frame, np.float64), ~np.isfinite(np.asarray(frame, np.float64)))
        whole = slice(0, self.shape[0]), slice(0, self.shape[1])
        (made,), inside = warped_part([values], self.matrices[number], whole)
        return np.where(
            inside, (made - np.float32(self.offsets[number])) / np.float32(self.gains[number]), np.float32("nan")
        )

    def as_dict(self) -> dict[str, Any]:
        """JSON-able."""
        rows: list[dict[str, Any]] = [dict(zip(COLUMNS, row, strict=True)) for row in self.rows()]
        for row in rows:
            row["margin"] = row["margin"] if np.isfinite(row["margin"]) else None
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
    if progress is not True:
        return drain(steps, progress if callable(progress) else None)
    from tqdm.auto import tqdm

    with tqdm(desc="registering", unit="frame", leave=False) as bar:

        def report(event: Progress) -> None:
            bar.total = event.total
            bar.update(event.step - bar.n)

        return drain(steps, report)


def register_steps(frames: Any, *, smooth: float = SMOOTH) -> Generator[Progress, None, Registration]:
    """`register` step by step: yields a `Progress` per frame and returns a `Registration`."""
    frames = np.asarray(frames) if isinstance(frames, list | tuple) else frames
    shape = tuple(getattr(frames, "shape", ()))
    if len(shape) != 3 or not shape[0] or min(shape[1:]) < SMALLEST:
        raise InputError(
            f"expected frames of one field as one stack (N, Y, X) of at least {SMALLEST} px, got the shape {shape}"
        )
    count = int(shape[0])
    chain = Chain(_shown(frames[0], smooth))
    yield Progress(1, count, "registering")
    for number in range(1, count):
        chain.add(_shown(frames[number], smooth))
        yield Progress(number + 1, count, "registering")
    return chain.registration()


def _shown(frame: Any, smooth: float) -> Shown:
    values = np.asarray(frame, np.float64)
    if values.dtype.kind not in "f":
        raise InputError(f"expected frames of numbers, got {np.asarray(frame).dtype}")
    values = filled(values, ~np.isfinite(values))
    return Shown(np.asarray(gaussian(values, smooth, mode="nearest") if smooth > 0 else values, np.float32))


class Chain:
    """The frames of a series one after the other, each compared with the one before and with one that they all show.

    Parameters
    ----------
    first : Shown
        The first frame.
    """

    def __init__(self, first: Shown) -> None:
        self._key, self._last = first, first
        self._key_pair = Pair(np.eye(3), 1.0, 0.0, np.inf, 0.0)  # of the first frame and the key
        self._pairs = [self._key_pair]  # of the first frame and each
        self._step: Matrix | None = None
        self.shape = first.shape

    def add(self, frame: Shown) -> Pair:
        """Compare the next frame; gives how it lies to the one before."""
        before = self._pairs[-1]
        pair = pair_of(self._last, frame, self._step)
        self._step = pair.matrix if pair.decided else None
        whole = before.then(pair)
        start = whole.matrix @ np.linalg.inv(self._key_pair.matrix)
        if self._key is not self._last and _overlap(start, self.shape) > OVERLAP:
            again = refined(self._key, frame, start)
            if farthest(again.matrix, start, self.shape) < 1.0 + 0.01 * max(self.shape):
                whole = self._key_pair.then(again)
        self._pairs.append(Pair(whole.matrix, whole.gain, whole.offset, pair.margin, pair.error))
        self._last = frame
        if _overlap(start, self.shape) <= OVERLAP:
            self._key, self._key_pair = frame, self._pairs[-1]
        return pair

    def registration(self) -> Registration:
        """Of all frames so far."""
        return Registration.of(self.shape, self._pairs)


def _overlap(matrix: Matrix, shape: tuple[int, int]) -> float:
    """Share of a frame that another one shows, about."""
    y, x = places(matrix, (shape[0] - 1) / 2, (shape[1] - 1) / 2)  # type: ignore[arg-type]
    moved = abs(float(y) - (shape[0] - 1) / 2) / shape[0], abs(float(x) - (shape[1] - 1) / 2) / shape[1]
    return max(1 - moved[0], 0) * max(1 - moved[1], 0)
