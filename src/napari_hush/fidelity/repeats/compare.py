"""What several measurements of one field say about its denoised image: error and confirmed detail, without a truth."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage
from skimage.registration import phase_cross_correlation

from napari_hush.errors import InputError
from napari_hush.fidelity.repeats.rings import resolution, ring_correlation
from napari_hush.filters.gaps import filled

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]

SMALLEST = 32  # px, of both sides
BAND = 8  # rows, least height of the bands whose means give the standard errors
BANDS = 64  # most bands
USABLE = 0.9  # of the pixels must have a value in all images
SHIFTED = 0.2  # px, least shift that is refused
CLEAR = 4  # standard errors from which a shift or a drift is real


@dataclass(frozen=True, kw_only=True, eq=False)
class Repeats:
    """What repeated measurements say about a denoised image.

    Parameters
    ----------
    frames : int
        Measurements, the one that was denoised among them.
    mse, mse_error : float
        Mean squared error of the denoised image and its standard error, squared image units. An estimate without bias
        can be negative where the error is smaller than what can be measured.
    psnr, psnr_error : float
        The same in dB; NaN where ``mse`` is not positive.
    data_range : float
        The peak of ``psnr``, image units.
    noise : float
        Root mean square of the noise of one frame, image units.
    drift : tuple of (float, float)
        Gain and offset of each frame against the first, which were taken out; (1, 0) where there was none to see.
    frequency : ndarray, shape (rings,)
        Cycles per px.
    frc_noisy : ndarray, shape (rings,)
        Fourier ring correlation between two noisy frames: what one frame shows.
    frc_cross : ndarray, shape (rings,)
        The same between a denoised frame and *another* noisy one: which of its detail an independent measurement
        confirms.
    frc_denoised : ndarray, shape (rings,), or None
        The same between two denoised frames; None if only one was denoised. It is too high: what a network adds to
        one frame out of habit it adds to the other, and this counts as agreement.
    resolution_noisy, resolution_cross, resolution_denoised : float
        Period, px, at which these fall below 1/7. NaN where they do not or were not measured, infinity where they
        are nowhere above.
    notes : tuple of str
        What was corrected, or could not be told.
    """

    frames: int
    mse: float
    mse_error: float
    psnr: float
    psnr_error: float
    data_range: float
    noise: float
    drift: tuple[tuple[float, float], ...]
    frequency: Floats
    frc_noisy: Floats
    frc_cross: Floats
    frc_denoised: Floats | None
    resolution_noisy: float
    resolution_cross: float
    resolution_denoised: float
    notes: tuple[str, ...] = ()

    @property
    def psnr_noisy(self) -> float:
        """PSNR of a noisy frame, dB."""
        return 20 * math.log10(self.data_range / self.noise) if self.noise > 0 else math.inf

    def rows(self) -> list[tuple[str, float, str]]:
        """Label, value and the value in words, of each figure."""
        rows = [
            ("MSE from repeats (squared image units)", self.mse, f"{self.mse:.4g} ± {self.mse_error:.2g}"),
            (
                "PSNR from repeats (dB)",
                self.psnr,
                f"{self.psnr:.2f} ± {self.psnr_error:.2f}; of a noisy frame {self.psnr_noisy:.2f}; "
                f"range {self.data_range:.4g}"
                if math.isfinite(self.psnr)
                else "the error is too small for these repeats",
            ),
            ("FRC resolution, noisy with noisy (px)", self.resolution_noisy, _period(self.resolution_noisy)),
            ("FRC resolution, denoised with other noisy (px)", self.resolution_cross, _period(self.resolution_cross)),
        ]
        if self.frc_denoised is not None:
            label = "FRC resolution, denoised with denoised, too good (px)"
            rows.append((label, self.resolution_denoised, _period(self.resolution_denoised)))
        return rows


def compare_repeats(noisy: ArrayLike, denoised: ArrayLike, *, data_range: float | None = None) -> Repeats:
    """Measure a denoised image by repeated measurements of its field; no truth is needed.

    Parameters
    ----------
    noisy : array_like, shape (N, Y, X)
        N >= 2 measurements of one field, aligned, whose noise is independent from one to the next.
    denoised : array_like, shape (Y, X) or (N, Y, X)
        What a denoiser made of ``noisy[0]``, which must be all that it saw; or of each frame alone.
    data_range : float, optional
        The peak of the PSNR, image units; by default maximum minus minimum of the denoised image. To compare
        denoisers give the same for all.

    Returns
    -------
    Repeats
        Error, PSNR and Fourier ring correlations.

    Raises
    ------
    InputError
        If the shapes do not fit, more than a tenth of the pixels is not finite, or the frames are shifted against each
        other.

    Notes
    -----
    With y = x + n the frame that was denoised, f = f(y), and a, b other frames, the noise of a is independent of f:
    E(a - f)^2 = MSE + var(a), and the last term is taken off.

    - With three frames or more, from the others alone: E(a - b)^2 / 2 = var(a), the uMSE of Marcos Morales et al.,
      averaged over all a and b. The frame that was denoised may have another noise than they.
    - With two frames, from y itself: E(y - a)^2 / 2 = (var(y) + var(a)) / 2. Only the expectation counts, so it does no
      harm that f and this term both contain the noise of y; but the two frames must have the same noise. Whether they
      have is measured, and noted with a larger error if not.
    - With two frames, both denoised, the mean over both directions needs the mean of both variances, which is what
      the difference gives: the noise may differ.

    The truth in this is the mean of infinitely many frames. What is in all of them alike (a blur, the lag of a
    detector, a fixed pattern) is part of it, and a denoiser that undoes it is charged with an error. What differs from
    frame to frame, such as scan distortion, counts as noise.

    Standard errors come from the means of bands of whole rows, because noise is correlated along them. They
    contain how much the error differs over the image, and are rather too large.

    A gain and an offset of each frame against the first are fitted with the neighbouring rows as instruments, so that
    noise does not flatten the line, and taken out where they are clear.

    The correlation of a perfect image with a noisy frame falls as the frame's noise rises: ``frc_cross`` then is the
    root of ``frc_noisy``. A lower one means that the denoised image lacks detail, or shows what the other frame does
    not confirm.

    References
    ----------
    Marcos Morales et al., Evaluating Unsupervised Denoising Requires Unsupervised Metrics, ICML 2023, PMLR 202, 23937,
    https://doi.org/10.48550/arXiv.2210.05553

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> truth = ndimage.gaussian_filter(rng.normal(size=(96, 96)), 3, mode="wrap")
    >>> noisy = truth + rng.normal(0, 0.1, (3, 96, 96))
    >>> found = compare_repeats(noisy, truth + 0.02)
    >>> abs(found.mse - 0.02**2) < 3 * found.mse_error
    True
    """
    frames, outputs, usable = _checked(noisy, denoised)
    count, made = len(frames), len(outputs)
    drift, notes = [(1.0, 0.0)], []
    if not usable.all():
        notes.append(f"{int((~usable).sum())} pixels without a value in one of the images are left out")
    for number in range(1, count):
        moved = _refuse_shift(frames[0], frames[number], number)
        if moved > 0:
            notes.append(f"frame {number + 1} is shifted by {moved:.2g} px: the error is off by what that makes")
        gain, offset = _line(frames[0], frames[number])
        drift.append((gain, offset))
        if (gain, offset) != (1.0, 0.0):
            frames[number] = (frames[number] - offset) / gain
            if made > 1:
                outputs[number] = (outputs[number] - offset) / gain
            notes.append(f"frame {number + 1} is {gain:.4g} times frame 1 {offset:+.4g}: brought to frame 1")

    error_map = np.mean([_error_map(frames, output, index) for index, output in enumerate(outputs)], axis=0)
    mse, mse_error = _mean(error_map, usable)
    if mse < -CLEAR * mse_error:
        notes.append(
            "the error is below nothing by more than chance: the denoised image has seen the other measurements as "
            "well, or their noise is not independent; its figures say nothing"
        )
    if count == 2 and made == 1:
        centre = frames.mean()
        excess, excess_error = _mean((frames[1] - centre) ** 2 - (frames[0] - centre) ** 2)
        if abs(excess) > CLEAR * excess_error:
            mse_error = math.hypot(mse_error, excess / 2)
            notes.append(
                f"the noise of the two frames differs, in variance by {excess:+.3g}, and the error is off by half of "
                "that: denoise both frames, or take a third"
            )
    if data_range is None:
        data_range = float(np.ptp(outputs[0]))
    if not (math.isfinite(data_range) and data_range > 0):
        raise InputError(f"data_range must be a positive number, got {data_range}: give the range of the image")
    positive = mse > 0
    pairs = list(combinations(range(count), 2))
    crossed = [(output, other) for output in range(made) for other in range(count) if other != output]
    frequency, frc_noisy, points = ring_correlation(*(frames[list(side)] for side in zip(*pairs, strict=True)))
    out, other = zip(*crossed, strict=True)
    _, frc_cross, cross_points = ring_correlation(outputs[list(out)], frames[list(other)])
    frc_denoised = None
    if made > 1:
        _, frc_denoised, _ = ring_correlation(*(outputs[list(side)] for side in zip(*pairs, strict=True)))
    return Repeats(
        frames=count,
        mse=mse,
        mse_error=mse_error,
        psnr=10 * math.log10(data_range**2 / mse) if positive else math.nan,
        psnr_error=10 / math.log(10) * mse_error / mse if positive else math.nan,
        data_range=data_range,
        noise=math.sqrt(float(np.var(frames, axis=0, ddof=1).mean())),
        drift=tuple(drift),
        frequency=frequency,
        frc_noisy=frc_noisy,
        frc_cross=frc_cross,
        frc_denoised=frc_denoised,
        resolution_noisy=resolution(frequency, frc_noisy, points),
        resolution_cross=resolution(frequency, frc_cross, cross_points),
        resolution_denoised=math.nan if frc_denoised is None else resolution(frequency, frc_denoised, points),
        notes=tuple(notes),
    )


def compare_further(noisy: ArrayLike, denoised: ArrayLike, further: ArrayLike) -> Repeats:
    """Measure a denoised image, or each plane of a stack, by further measurements of its field.

    Parameters
    ----------
    noisy, denoised : array_like, shape (Y, X) or (N, Y, X)
        One measurement, or repeated ones, and what was made of each. Axes of length 1 do not count.
    further : array_like, shape (Y, X) or (M, Y, X)
        Measurements beside ``noisy``; of a stack of repeats ``noisy`` itself, its planes know of each other.

    Returns
    -------
    Repeats

    Raises
    ------
    InputError
        If the shapes do not fit.

    See Also
    --------
    compare_repeats : What is measured, and how.
    """
    first, output, others = (np.squeeze(np.asarray(image)) for image in (noisy, denoised, further))
    if first.ndim == 3 and first.shape == others.shape and np.array_equal(first, others):
        return compare_repeats(first, output)
    if first.ndim == 3 and others.ndim in (2, 3) and others.shape[-2:] == first.shape[1:]:
        raise InputError(
            f"the noisy image is a stack of {len(first)} planes, {first.shape}, and the further measurements are "
            f"another image, {others.shape}: choose one of its planes as noisy image; or, where its planes are repeats "
            "of each other, give the stack itself as further measurements"
        )
    if first.ndim != 2 or others.ndim not in (2, 3) or others.shape[-2:] != first.shape:
        raise InputError(
            f"repeats compare one grey plane with further ones of the same shape, got {first.shape} and "
            f"{others.shape}: choose a plane of the noisy image, and stack the repeats along the first axis"
        )
    return compare_repeats(np.concatenate([first[None], others.reshape(-1, *first.shape)]), output)


def summary(found: Repeats, *, aligned: bool = True) -> str:
    """The figures as text, one a line, then the notes; in columns for a font that has them, see ``aligned``."""
    width = max(len(label) for label, _, _ in found.rows())
    lines = [f"{label.ljust(width)}  {words}" if aligned else f"{label}: {words}" for label, _, words in found.rows()]
    return "\n".join([f"from {found.frames} measurements of the field:", *lines, *(f"note: {n}" for n in found.notes)])


def _checked(noisy: ArrayLike, denoised: ArrayLike) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    """Copies as float64, both (., Y, X), without gaps, and where there was none, (Y, X)."""
    frames, outputs = np.array(noisy, np.float64), np.array(denoised, np.float64)
    if frames.ndim != 3 or len(frames) < 2:
        raise InputError(
            f"expected at least two noisy frames of shape (N, Y, X), got {frames.shape}: stack the repeats"
        )
    if min(frames.shape[1:]) < SMALLEST:
        raise InputError(f"repeats need planes of at least {SMALLEST} x {SMALLEST} px, got {frames.shape[1:]}")
    if outputs.shape not in (frames.shape, frames.shape[1:]):
        raise InputError(
            f"expected a denoised image of shape {frames.shape[1:]}, made of the first frame, or {frames.shape}, one "
            f"of each, got {outputs.shape}"
        )
    for k, other in combinations(range(len(frames)), 2):
        if np.array_equal(frames[k], frames[other], equal_nan=True):
            raise InputError(
                f"measurements {k} and {other} are the same to the last digit: a repeat must be another measurement of "
                "the field, with noise of its own; leave the denoised one out of the repeats"
            )
    outputs = outputs.reshape(-1, *frames.shape[1:])
    usable = np.isfinite(np.concatenate([frames, outputs])).all(axis=0)
    if usable.mean() < USABLE:
        raise InputError(
            f"{100 * (1 - usable.mean()):.0f} % of the pixels are NaN or infinite in one of the repeats or in the "
            f"denoised image; at most {100 * (1 - USABLE):.0f} % may be: crop them away"
        )
    return filled(frames, ~usable), filled(outputs, ~usable), usable


def _error_map(frames: Floats, output: Floats, index: int) -> Floats:
    """Squared error in each pixel of what was made of frames[index]: without bias, but noisy."""
    others: Floats = np.delete(frames, index, axis=0)
    if len(others) == 1:
        from_two: Floats = (others[0] - output) ** 2 - (frames[index] - others[0]) ** 2 / 2
        return from_two
    # mean over a of (a - f)^2 minus mean over pairs of (a - b)^2 / 2, in closed form
    from_many: Floats = (others.mean(axis=0) - output) ** 2 - np.var(others, axis=0, ddof=1) / len(others)
    return from_many


def _mean(values: Floats, usable: NDArray[np.bool_] | None = None) -> tuple[float, float]:
    """Mean over an image (Y, X) and its standard error from bands of rows."""
    count = max(min(len(values) // BAND, BANDS), 2)
    usable = np.ones(values.shape, dtype=bool) if usable is None else usable
    bands = zip(np.array_split(values, count), np.array_split(usable, count), strict=True)
    means = np.array([band[known].mean() for band, known in bands if known.any()])
    return float(values[usable].mean()), float(means.std(ddof=1) / np.sqrt(len(means)))


def _refuse_shift(first: Floats, frame: Floats, number: int) -> float:
    """Raise an error if a frame clearly lies elsewhere than the first; else the small shift that is left, px."""
    length = 0.0
    views = [ndimage.gaussian_filter(image - image.mean(), 1) for image in (first, frame)]
    for shift in (_far_shift(*views), _near_shift(*views)):
        length = float(np.hypot(*shift))
        if length >= SHIFTED:
            raise InputError(
                f"expected aligned repeats, got a shift of {length:.2g} px (Y {shift[0]:.2f}, X {shift[1]:.2f}) "
                f"between frames 1 and {number + 1}: register them first"
            )
    return length


def _far_shift(first: Floats, frame: Floats) -> Floats:
    """Shift of the frame by phase correlation; zero unless the frames are clearly more alike with it taken out."""
    window = np.outer(*(np.hanning(size) for size in first.shape))
    back = phase_cross_correlation(  # type: ignore[no-untyped-call]
        first * window, frame * window, upsample_factor=20, normalization=None
    )[0]
    margins = np.ceil(np.abs(back)).astype(int) + 2
    if (2 * margins >= np.array(first.shape) - 2 * BAND).any():  # hardly an overlap: a peak of noise
        return np.zeros(2)
    inner = tuple(slice(margin, -margin) for margin in margins)
    moved = ndimage.shift(frame, back, mode="nearest")
    gain, error = _mean((first * (moved - frame))[inner])
    return -np.asarray(back, np.float64) if gain > CLEAR * error else np.zeros(2)


def _near_shift(first: Floats, frame: Floats) -> Floats:
    """Shift of less than a px or so, from the slopes of the images; zero where it is not clear."""
    shift = np.zeros(2)
    for axis in (0, 1):
        slopes = [np.gradient(image, axis=axis) for image in (first, frame)]
        # noise drops out: the slope of a frame's noise is not correlated with the noise itself
        product, error = _mean((slopes[0] + slopes[1]) / 2 * (first - frame))
        strength = float((slopes[0] * slopes[1]).mean())
        if strength > 0 and abs(product) > CLEAR * error:
            shift[axis] = product / strength
    return shift


def _line(first: Floats, frame: Floats) -> tuple[float, float]:
    """Gain and offset of a frame against the first; 1 and 0 where not clearly different."""
    a, b = first - first.mean(), frame - frame.mean()
    both = a + b
    rows = np.empty_like(both)  # the rows above and below, whose noise is not that of the row between
    rows[1:-1] = both[:-2] + both[2:]
    rows[0], rows[-1] = 2 * both[1], 2 * both[-2]
    strength = float((rows * a).mean())
    gain = 1.0
    if strength > 0:
        fitted = float((rows * b).mean()) / strength
        _, error = _mean(rows * (b - fitted * a))
        if abs(fitted - 1) > CLEAR * error / strength and fitted > 0:
            gain = fitted
    offset, error = _mean(frame - gain * first)
    return gain, offset if gain != 1 or abs(offset) > CLEAR * error else 0.0


def _period(value: float) -> str:
    """A resolution in words."""
    if math.isnan(value):
        return "finer than 2: never below 1/7"
    return "none: nowhere above 1/7" if math.isinf(value) else f"{value:.2f}"
