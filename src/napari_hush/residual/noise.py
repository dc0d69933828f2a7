"""How strong the noise of one image is: by brightness, and how it correlates along the rows; from that image alone."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import fft, ndimage

from napari_hush.errors import InputError
from napari_hush.filters.smoothing import gaussian
from napari_hush.residual.brightness import UNCLIPPED, Brightness, fit_brightness

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.floating]

SMALLEST = 48  # px: fewer say too little of the noise
BANDS = (32, 128)  # of the spectrum along X, at least and at most: real scans have most noise below 0.01 cycles per px
BAND = 8  # px of an image's width for each of them: with fewer, what a blur took away would be taken for noise
SLOW = (0.2, 0.3)  # cycles per px along Y: the noise is looked at above, with a ramp between
PEAK = 8.0  # times the floor: a Bragg spot or a line, no noise
BLOCK = (4, 8)  # px: the noise is compared between blocks of like brightness; of a residual, and of an image alone
QUIET = (
    0.5,
    0.3,
)  # quantile of blocks of like brightness: of a residual, and of an image whose edges reach into the noise
CUT = 5.0  # standard deviations at which a single pixel is cut, on the side of the shorter tail
FAR_FROM = 4.0  # standard deviations from an end of the range: there it is not near
GRAIN = 0.06  # by which neighbours along Y may correlate more than those of white noise through the same filter
ROWS = 1.2  # by which the levels of rows vary more than their own noise
LEAST = 0.3  # of the image that must lie further from the ends
FEW = 0.8  # of the noise in the middle of the range: with less of it in the dark, the noise is that of counts
EXTREMES = (0.002, 20)  # share and number of pixels on one value that make an end of a range


@dataclass(frozen=True, kw_only=True)
class NoiseModel:
    """The noise of one image; brightness and variance in the image's unit and its square.

    Parameters
    ----------
    coefficients : (float, float, float)
        The variance at a brightness m above ``zero`` is ``c0 + c1 m + c2 m²``: readout, counts, speckle.
    zero, top : float
        Brightness from which m counts, and at which the variance stops to grow: nobody has seen more.
    curve : tuple of (float, float)
        Brightness m and what the variance is there over what the coefficients say: cameras do not keep to a parabola.
    floor : float
        The least variance: that of the rounding, or of what is hardly ever counted.
    bands : tuple of float
        Power along X at equally spaced frequencies from 0 to 0.5 cycles per px, relative to their mean.
    falling : bool
        Whether m counts from ``top`` downwards: in an image whose contrast was turned.
    row_levels : bool
        Whether each row lies on a level of its own, which is to be taken off.
    row_variance : float
        Of those levels beyond what the noise of the pixels explains, as long as they are not taken off.
    low, high : float or None
        Where the range of values ends, if pixels lie there.
    reason : str
        Why nothing can be said of this noise; empty where it is understood.
    """

    coefficients: tuple[float, float, float]
    zero: float
    top: float
    floor: float
    bands: tuple[float, ...]
    curve: tuple[tuple[float, float], ...] = ()
    falling: bool = False
    row_levels: bool = False
    row_variance: float = 0.0
    low: float | None = None
    high: float | None = None
    reason: str = ""

    @property
    def calibrated(self) -> bool:
        """Whether the noise is understood well enough for a statement."""
        return not self.reason

    @property
    def cut(self) -> tuple[float, float]:
        """Standard deviations below and above at which a single pixel is cut; counts are skewed."""
        return (CUT + 1, CUT) if self.falling else (CUT, CUT + 1)

    def variance(self, brightness: Floats) -> NDArray[np.float32]:
        """The noise's variance at each pixel of a denoised image, (Y, X)."""
        above = self._above(brightness)
        c0, c1, c2 = (np.float32(c) for c in self.coefficients)
        variance = (c0 + above * (c1 + above * c2)) * self._corrected(above)
        return np.asarray(np.maximum(variance, np.float32(self.floor)))

    def third_moment(self, brightness: Floats) -> NDArray[np.float32]:
        """That of counts (Poisson) and of speckle (gamma) at each pixel; readout noise is symmetric."""
        above = self._above(brightness)
        c0, c1, c2 = self.coefficients
        counted = np.float32(min(c0, 0.1 * c1 * (self.top - self.zero)))  # a few counts in the dark are no readout
        third = np.float32(c1) * (np.float32(c1) * above + counted) + np.float32(2 * c2**2) * above**3
        third = third * self._corrected(above) ** np.float32(1.5)
        return np.asarray(-third if self.falling else third)

    def _corrected(self, above: NDArray[np.float32]) -> NDArray[np.float32]:
        if not self.curve:
            return np.ones(1, np.float32)
        at, ratio = np.array(self.curve).T
        return np.asarray(np.interp(above, at, ratio), np.float32)

    def _above(self, brightness: Floats) -> NDArray[np.float32]:
        values = np.asarray(brightness, np.float32)
        above = np.float32(self.top) - values if self.falling else values - np.float32(self.zero)
        return np.asarray(np.clip(above, 0, self.top - self.zero))

    def seen(self, brightness: Floats) -> NDArray[np.bool_]:
        """Where no end of the range cuts the noise off, (Y, X)."""
        values = np.asarray(brightness, np.float32)
        clear = np.ones(values.shape, dtype=bool)
        reach = UNCLIPPED * np.sqrt(self.variance(values))
        if self.low is not None:
            clear &= values - reach > self.low
        if self.high is not None:
            clear &= values + reach < self.high
        return clear

    def comparable(self, brightness: Floats, noisy: Floats) -> NDArray[np.bool_]:
        """Where no end of the range cuts the noise off, or the noisy image says that none is near, (Y, X).

        A result that shows something bright where the noisy image is dark does not hide it behind the range's end.
        """
        if self.low is None and self.high is None:
            return self.seen(brightness)
        shown = np.asarray(brightness, np.float32)
        around = gaussian(np.asarray(noisy, np.float32), 1.5)
        reach, far = UNCLIPPED * np.sqrt(self.variance(shown)), FAR_FROM * np.sqrt(self.variance(around))
        clear = np.ones(shown.shape, dtype=bool)
        for end, sign in ((self.low, 1), (self.high, -1)):
            if end is not None:
                clear &= (sign * (shown - end) > reach) | (sign * (around - end) > far)
        return clear

    def moved(self, by: float) -> NoiseModel:
        """The same noise of an image that is brighter by a constant."""
        low, high = (None if end is None else end + by for end in (self.low, self.high))
        return replace(self, zero=self.zero + by, top=self.top + by, low=low, high=high)

    def widened(self, sigma: float) -> float:
        """By which a Gaussian mean (standard deviation, px) varies more than of white noise: a ratio of variances."""
        if sigma <= 0:
            return 1.0
        frequency = np.linspace(0, 0.5, len(self.bands))
        kept = np.exp(-((2 * np.pi * frequency * sigma) ** 2))
        return float((kept * np.asarray(self.bands)).sum() / kept.sum())

    def draw(self, brightness: Floats, rng: np.random.Generator | int) -> NDArray[np.float32]:
        """Draw new noise for a denoised image (Y, X): with this variance, and correlated along X as the bands say."""
        white = np.random.default_rng(rng).standard_normal(np.shape(brightness), dtype=np.float32)
        return np.asarray(self.coloured(white) * np.sqrt(self.variance(brightness)), dtype=np.float32)

    def coloured(self, white: Floats) -> NDArray[np.float32]:
        """Give white noise (Y, X) of variance 1 the correlation along X that this noise has; the variance stays."""
        return self._filtered(white, 1)

    def whitened(self, noise: Floats) -> NDArray[np.float32]:
        """Take that correlation from noise (Y, X): the inverse of `coloured`."""
        return self._filtered(noise, -1)

    def _filtered(self, noise: Floats, power: int) -> NDArray[np.float32]:
        width, bands = noise.shape[1], np.asarray(self.bands)
        centres = (np.arange(len(bands)) + 0.5) / (2 * len(bands))
        level = np.interp(fft.rfftfreq(width), centres, bands)
        weight = np.full(len(level), 2.0)
        weight[0] = 1
        if width % 2 == 0:
            weight[-1] = 1
        response = np.sqrt(level / ((level * weight).sum() / weight.sum())) ** power
        return np.asarray(fft.irfft(fft.rfft(noise, axis=1) * response, width, axis=1), dtype=np.float32)

    def as_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return asdict(self)


def measure_noise(planes: Sequence[Floats], denoised: Sequence[Floats] | None = None) -> NoiseModel:
    """Measure the noise of an image on one or a few planes or parts of it.

    Parameters
    ----------
    planes : sequence of ndarray, shape (Y, X) each
        As measured, finite.
    denoised : sequence of ndarray, shape (Y, X) each, optional
        What a denoiser made of them. With them the noise is measured in what was taken away, where no edge of the
        image is mistaken for noise; less than all of it may have been taken.

    Returns
    -------
    NoiseModel
        With a reason where the noise is not understood: correlated along Y (grain, interpolation), with spikes, or
        most of it cut off by the ends of the range.

    Raises
    ------
    InputError
        If there is no plane.

    Notes
    -----
    Noise is what remains above a quarter of a cycle per px along Y, where Bragg spots and lines are left out; medians
    of the periodogram over Y give its level at each frequency along X, so that the correlation of a slow detector is
    known. Its mean square in blocks of 8 px is compared among blocks of like brightness, the quieter ones of which are
    taken to be noise alone, and a non-negative parabola is fitted: readout, counts (Poisson) and speckle.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> y, x = np.mgrid[:256, :256]
    >>> noise = measure_noise([rng.poisson(20 + 10 * np.sin(x / 30)).astype(float)])
    >>> [round(float(v), -1) for v in noise.variance(np.array([10.0, 30.0]))]
    [10.0, 30.0]
    """
    if not planes:
        raise InputError("expected at least one plane to measure the noise on, got none")
    count = int(np.clip(max(np.shape(plane)[1] for plane in planes) // BAND, *BANDS))
    results = [None] * len(planes) if denoised is None else list(denoised)
    parts = [
        Part(np.asarray(plane, np.float64), None if result is None else np.asarray(result, np.float64), count)
        for plane, result in zip(planes, results, strict=True)
        if min(np.shape(plane)) >= SMALLEST
    ]
    if not parts:
        side = max(min(np.shape(plane)) for plane in planes)
        return _unknown(f"the image is smaller than {SMALLEST} px: {side} px")
    parts = [part for part in parts if part.level > 0]
    if not parts:
        return _unknown("there is no noise to compare with")
    bands = np.mean([part.bands / part.bands.mean() for part in parts], axis=0)
    low, high = _ends(parts)
    zero = float(min(part.darkest for part in parts))
    top = float(max(part.brightest for part in parts))
    level = float(np.mean([part.level for part in parts]))
    top = max(top, zero + max(1e-3 * level**0.5, 1e-9 * abs(zero)))  # of an image that is flat
    step = _step(np.concatenate([part.values[:: max(part.values.size // 65536, 1)] for part in parts]))
    fit, falling, counted = _fitted(parts, zero, top, low, high)
    if counted and (low, high) != (None, None):  # no count at all is no end of the range: the dark belongs to the fit
        other = (low, None) if falling else (None, high)
        again = _fitted(parts, zero, top, *other)
        if again[2]:  # a dark that is cut off has little noise as well, but not as little
            (low, high), (fit, falling, _) = other, again
    noise = NoiseModel(
        coefficients=fit.coefficients,
        curve=fit.curve,
        falling=falling,
        zero=zero,
        top=top,
        floor=max(step**2 / 12, 0.01 * level, 1e-30),
        bands=tuple(float(b) for b in bands / bands.mean()),
        row_levels=any(part.row_levels for part in parts),
        row_variance=float(np.mean([part.row_variance for part in parts])),
        low=low,
        high=high,
    )
    if denoised is None and fit.curve:  # blurred for its brightness, the dark between atoms has not been seen
        least = noise.variance(np.array([zero + fit.curve[0][0], top - fit.curve[0][0]])[[int(falling)]])
        noise = replace(noise, floor=max(noise.floor, float(least[0])))
    return replace(noise, reason=_reason(noise, parts))


def noise_kept(noisy: Floats, denoised: Floats) -> float:
    """How much of the noise is still in a result, as a share of its amplitude.

    Parameters
    ----------
    noisy, denoised : ndarray, shape (Y, X)
        In one intensity unit, finite.

    Returns
    -------
    float
        0: none; 1: all of it, nothing was done; NaN where there is no noise to be seen.

    Notes
    -----
    Looked at in the blocks of 8 px where the noisy image is quietest for its brightness, above a quarter of a cycle per
    px. Noise of which a share k was kept is (1 - k)² in the residual, and k (1 - k) is what residual and result have in
    common; detail of the image itself is in the result alone. The smaller one of both answers counts.
    """
    if min(np.shape(noisy)) < SMALLEST:
        return float("nan")
    before = Part(np.asarray(noisy, np.float64), None)
    if not before.level > 0:
        return float("nan")
    rows = before.rows
    result = before.filtered(np.asarray(denoised, np.float64)[rows])
    rest = before.noise - result
    own, taken, common = (before.blocks(image) for image in (before.noise**2, rest**2, rest * result))
    means = before.blocks(before.bright)
    order = np.argsort(means)
    quiet = np.concatenate(
        [one[np.argsort(own[one])[: max(int(0.4 * len(one)), 1)]] for one in np.array_split(order, min(8, len(order)))]
    )
    whole, left, shared = (float(image[quiet].sum()) for image in (own, taken, common))
    ratio = 1 - np.sqrt(min(left / whole, 1)) if whole > 0 else float("nan")
    if left < 0.02 * whole:
        return float(ratio)
    return float(np.clip(min(ratio, shared / max(shared + left, 1e-300)), 0, 1))


def _fitted(
    parts: list[Part], zero: float, top: float, low: float | None, high: float | None
) -> tuple[Brightness, bool, bool]:
    """Variance by brightness, whether the brightness counts from above, and whether the noise is that of counts."""
    rising, turned = (fit_brightness(parts, zero, top - zero, low, high, falling=way) for way in (False, True))
    falling = turned.error < rising.error
    fit = turned if falling else rising
    return fit, falling, fit.coefficients[0] < FEW * fit.coefficients[1] * (top - zero) / 2


def _unknown(reason: str) -> NoiseModel:
    return NoiseModel(
        coefficients=(1.0, 0.0, 0.0), zero=0.0, top=1.0, floor=1.0, bands=(1.0,) * BANDS[0], reason=reason
    )


def _reason(noise: NoiseModel, parts: list[Part]) -> str:
    rise = float(np.mean([part.rise for part in parts]))
    if rise > GRAIN:
        return "its noise is correlated from row to row, like grain or after interpolation"
    clear = float(np.mean([noise.seen(part.bright).mean() for part in parts]))
    if clear < LEAST:
        return f"the ends of its range cut the noise off in {100 * (1 - clear):.0f} % of the image"
    return ""


class Part:
    """One plane, its noise alone (the upper half of the frequencies along Y), and figures of both."""

    def __init__(self, plane: NDArray[np.float64], denoised: NDArray[np.float64] | None, count: int = BANDS[0]) -> None:
        self.rows = kept = ~_repeated(plane)
        measured = plane[kept]
        self.values = measured.ravel()
        plain = denoised is None
        self.quiet, self.block = QUIET[plain], BLOCK[plain]
        self.bright = (gaussian(plane, 1.5, mode="nearest") if denoised is None else denoised)[kept]
        plane = measured if denoised is None else (plane - denoised)[kept]
        self.darkest, self.brightest = (float(v) for v in np.percentile(self.bright, [0.2, 99.8]))
        height, width = plane.shape
        spectrum = fft.rfft2(plane - plane.mean(), workers=-1)
        power = np.abs(spectrum) ** 2 / plane.size
        fy, fx = np.abs(fft.fftfreq(height)), fft.rfftfreq(width)
        upper = fy > 0.25
        edges = np.linspace(0, 0.5, count + 1)
        edges[-1] += 1e-9
        first = 2.5 / width  # row offsets and the jump from one side to the other lie on the first columns
        bands = np.full(count, np.nan)
        for k in range(count):
            chosen = (fx >= max(edges[k], first)) & (fx < edges[k + 1])
            if chosen.any():
                bands[k] = np.median(power[upper][:, chosen]) / np.log(2)  # of an exponential distribution
        known = np.flatnonzero(np.isfinite(bands))
        bands = np.interp(np.arange(count), known, bands[known])
        self.bands = ndimage.gaussian_filter1d(bands, 0.7, mode="nearest")
        self.level = float(self.bands.mean())
        self.rise, self.row_levels, self.freedom = 0.0, False, 1.0
        if not self.level > 0:
            return
        floor = np.interp(fx, (edges[1:] + edges[:-1]) / 2, self.bands)
        clean = fx > first
        rows = np.median([block.mean(axis=1) for block in np.array_split(plane, 8, axis=1)], axis=0)
        if plain:  # slow changes along Y are the image's own
            rows = (rows[2:] - 2 * rows[1:-1] + rows[:-2]) / 6**0.5
        own = 1.5 * self.bands[0] / width  # of the median of eight means
        spread = float(1.4826 * np.median(np.abs(rows - np.median(rows)))) ** 2
        self.row_levels = spread > ROWS * own
        self.row_variance = max(spread - own, 0.0)
        ramp = np.clip((fy - SLOW[0]) / (SLOW[1] - SLOW[0]), 0, 1)
        kept_power = (power <= PEAK * floor) * clean * np.sin(0.5 * np.pi * ramp)[:, None] ** 2
        self._passed = kept_power
        weight = np.full(len(fx), 2.0)
        weight[0] = 1
        if width % 2 == 0:
            weight[-1] = 1
        passed = kept_power**2 * floor
        gain = float((passed * weight).sum() / plane.size)
        expected = float(
            (passed * weight * np.cos(2 * np.pi * fy)[:, None]).sum() / max((passed * weight).sum(), 1e-300)
        )
        self._gain = np.sqrt(self.level / max(gain, 1e-300))
        self.noise = self.filtered(plane)
        self.freedom = self.block**2 * gain**2 / max(float((passed**2 * weight).sum() / plane.size), 1e-300)
        own, pairs = (self.blocks(image) for image in (self.noise**2, self.noise * np.roll(self.noise, -1, axis=0)))
        quiet = own <= np.quantile(own, 0.5)  # of an image whose edges reach into the noise
        self.rise = float(pairs[quiet].sum() / max(own[quiet].sum(), 1e-300)) - expected

    def filtered(self, image: NDArray[np.float64]) -> NDArray[np.float64]:
        """An image of the plane's shape through the same filter."""
        spectrum = fft.rfft2(image - image.mean(), workers=-1)
        return np.asarray(fft.irfft2(spectrum * self._passed, image.shape, workers=-1) * self._gain)

    def blocks(self, image: NDArray[np.float64]) -> NDArray[np.float64]:
        """Means over blocks, without the border, flat."""
        side = self.block
        height, width = (size // side - 1 for size in image.shape)
        part = image[side // 2 :, side // 2 :][: height * side, : width * side]
        return np.asarray(part.reshape(height, side, width, side).mean(axis=(1, 3)).ravel())


def _repeated(plane: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Scan lines that were lost and show the line before."""
    same = np.zeros(len(plane), dtype=bool)
    same[1:] = (plane[1:] == plane[:-1]).all(axis=1)
    return same if same.mean() < 0.2 else np.zeros_like(same)


def _ends(parts: list[Part]) -> tuple[float | None, float | None]:
    """Values on which pixels pile up at either end; not those of few counts, whose steps are as large as the noise."""
    count, done, some = sum(part.values.size for part in parts), 0, []
    every = max(count // 65536, 1)
    for part in parts:  # one after the other: they are as large as the image
        some.append(part.values[-done % every :: every])
        done += part.values.size
    step, sigma = _step(np.concatenate(some)), np.sqrt(np.mean([part.level for part in parts]))
    width = max(3.5 * step, 0.2 * sigma)
    found: list[float | None] = []
    for sign in (-1.0, 1.0):
        end = max(float((sign * part.values).max()) for part in parts)
        at = sum(int((part.values == sign * end).sum()) for part in parts)
        beside = sum(int(((sign * part.values < end) & (sign * part.values > end - width)).sum()) for part in parts)
        one = beside * max(step, 0.05 * sigma) / width  # on one value beside the end
        piled = at >= max(EXTREMES[0] * count, EXTREMES[1]) and at > 2 * one
        counts = step > 0.3 * sigma
        found.append(sign * end if piled and not counts else None)
    return found[0], found[1]


def _step(values: Floats) -> float:
    """The smallest distance of two values that occur; 0 where hardly two are alike."""
    different = np.unique(values)
    if len(different) < 2 or len(different) > 0.5 * len(values):
        return 0.0
    return float(np.min(np.diff(different)))
