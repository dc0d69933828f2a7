"""Dents taken from real images: transmission masks by a robust low-pass, and many random variants of each."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from napari_hush.atoms.spacing import require_spacing
from napari_hush.errors import InputError
from napari_hush.synthesis.fields import smooth_field

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray


def dent_from_image(
    image: ArrayLike,
    spacing: float | None = None,
    *,
    sigma: float | None = None,
    dark: float | None = None,
    degree: int = 2,
    highest: float = 1.0,
) -> NDArray[np.float32]:
    """Measure where the specimen of a noisy image is thinner or missing.

    Rows are brought to one level, a Gaussian removes lattice and noise, and what is left is divided by the level of
    the bulk: a polynomial through the bright part, into which neither dents nor vacuum are fitted.

    Parameters
    ----------
    image : array_like, shape (Y, X)
        One noisy image, bright where there is material, rows along the fast scan axis.
    spacing : float, optional
        Lattice period, px. By default it is estimated from the autocorrelation.
    sigma : float, optional
        Standard deviation of the Gaussian, px; by default one period. A dent narrower than about five sigma comes out
        shallower than it is.
    dark : float, optional
        Level where there is nothing, in the image's unit. By default the level at which the shot noise, a straight
        line over the brightness, would vanish; or the darkest place of the smoothed image where that is lower, or
        higher by less than a tenth of the bulk. The extrapolation is rough, and electronic noise makes it too low
        and so the dents too shallow: give the level of vacuum or of a blanked beam where it is known.
    degree : int
        Of the polynomial in y and x that stands for the bulk. 2 follows a wedge, so that only what sticks out of it
        counts; 0 is one level for the whole image, and a wedge becomes part of the mask.
    highest : float
        Where the mask is cut off. 1 for transmissions; ``np.inf`` keeps the places that are thicker than the bulk.

    Returns
    -------
    ndarray, shape (Y, X)
        Transmission from 0 (nothing there) to ``highest``; about 1 in the bulk.

    Raises
    ------
    InputError
        If the image is not one finite plane of at least 16 x 16 px, has no lattice while neither ``spacing`` nor
        ``sigma`` is given, has noise that does not grow with the brightness while ``dark`` is not given, or is as
        dark as ``dark``; if a length or the degree makes no sense.

    Notes
    -----
    A row's level is its mean over the bulk, so that the row of a dent is not lifted by it; rows without enough
    bulk take theirs from their neighbours. Noise at the finest scale is measured with J. Immerkaer's filter.

    References
    ----------
    J. Immerkaer, "Fast noise variance estimation", Computer Vision and Image Understanding 64, 300 (1996),
    https://doi.org/10.1006/cviu.1996.0060

    Examples
    --------
    >>> from napari_hush.synthesis import Lattice, ellipse, render_lattice
    >>> from napari_hush.synthesis.noise.registry import Poisson
    >>> hole = ellipse((256, 256), centre=(128, 110), fwhm=(90, 70), depth=0.8)
    >>> clean = hole * render_lattice(Lattice(period=10.0, background=0.2), (256, 256), 0).image
    >>> mask = dent_from_image(Poisson(dose=20)(clean, np.random.default_rng(1)), spacing=10.0, dark=0.0)
    >>> abs(float(mask[128, 110]) - 0.2) < 0.05, abs(float(mask[30, 200]) - 1) < 0.05
    (True, True)
    """
    plane = _checked(image, spacing, sigma, degree, highest)
    if sigma is None:
        sigma = require_spacing(plane) if spacing is None else spacing
    # Spikes would come out as bright spots of the low-pass's size.
    plane = np.clip(plane, *np.percentile(plane, (0.05, 99.95)))
    smooth = _low_pass(plane, sigma)
    floor = float(smooth.min()) if dark is None else float(dark)
    for _ in range(2):  # the rows need to know the bulk; bulk and dark level need straight rows
        if not float(np.percentile(smooth, 90)) > floor:
            raise InputError(f"the image is nowhere brighter than its dark level of {floor:g}: give the right dark=")
        bulk, inside = _bulk(smooth - floor, sigma, degree)
        plane = plane - _row_offsets(plane - floor - bulk, inside)[:, None]
        smooth = _low_pass(plane, sigma)
        if dark is None:
            floor = _dark_level(plane, smooth, sigma)
    bulk, _ = _bulk(smooth - floor, sigma, degree)
    return np.clip((smooth - floor) / bulk, 0, highest).astype(np.float32)


def _checked(
    image: ArrayLike, spacing: float | None, sigma: float | None, degree: int, highest: float
) -> NDArray[np.float64]:
    plane = np.asarray(image, dtype=np.float64)
    if plane.ndim != 2 or min(plane.shape) < 16:
        raise InputError(f"expected one image (Y, X) of at least 16 x 16 px; got shape {plane.shape}")
    if not np.isfinite(plane).all():
        raise InputError("the image has pixels that are NaN or infinite: fill them first")
    for name, value in (("spacing", spacing), ("sigma", sigma), ("highest", highest)):
        if value is not None and not value > 0:
            raise InputError(f"{name} must be positive; got {value}")
    if degree not in range(5):
        raise InputError(f"degree must be a whole number from 0 to 4; got {degree}")
    return plane


def _low_pass(plane: NDArray[np.float64], sigma: float) -> NDArray[np.float64]:
    return np.asarray(ndimage.gaussian_filter(plane, sigma, mode="nearest", truncate=3.5))


def _dark_level(plane: NDArray[np.float64], smooth: NDArray[np.float64], sigma: float) -> float:
    """Extrapolate the variance of the noise over the brightness to zero."""
    difference = np.array([1.0, -2.0, 1.0]) / 6**0.5
    noise = ndimage.correlate1d(ndimage.correlate1d(plane, difference, axis=0), difference, axis=1)
    variance = _low_pass(noise**2, sigma)
    step = max(1, int(2 * sigma))
    level, power = smooth[::step, ::step].ravel(), variance[::step, ::step].ravel()
    # Means over ranges of brightness: a line through the single places would be too flat, their brightness has errors.
    edges = np.linspace(float(np.percentile(level, 0.5)), float(np.percentile(level, 99.5)), 13)
    place = np.searchsorted(edges, level)
    count = np.bincount(place, minlength=14)
    full = count >= 3
    middle, height = (np.bincount(place, v, minlength=14)[full] / count[full] for v in (level, power))
    if full.sum() < 4:
        raise InputError("the image is too uniform to tell its dark level from the noise: give it as dark=")
    (slope, offset), covariance = np.polyfit(middle, height, 1, w=np.sqrt(np.minimum(count[full], 10)), cov=True)
    if not slope > 3 * covariance[0, 0] ** 0.5:
        raise InputError("the noise does not grow with the brightness, so the dark level is unknown: give it as dark=")
    empty, darkest = float(-offset / slope), float(smooth.min())
    nearly = empty + 0.1 * (float(np.percentile(smooth, 90)) - empty)  # readout noise draws the line too low
    return darkest if darkest < nearly else empty


def _bulk(level: NDArray[np.float64], sigma: float, degree: int) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Fit the slowly varying level of the bulk above dark; returns it and where the image agrees with it."""
    step = max(1, int(sigma / 2))  # a low-passed image needs no more samples
    y, x = (np.linspace(-1, 1, n) for n in level.shape)
    powers = [(i, j) for i in range(degree + 1) for j in range(degree + 1 - i)]
    terms = np.stack([np.multiply.outer(y[::step] ** i, x[::step] ** j).ravel() for i, j in powers], axis=1)
    values = level[::step, ::step].ravel()
    top = float(np.percentile(values, 90))
    solid = values > 0.25 * top  # vacuum and deep holes never enter
    terms, values = terms[solid], values[solid]
    residual = values - np.median(values)
    for _ in range(20):  # quantile regression at 0.6, where dents of a fifth of the area leave the bulk's median
        weight = np.where(residual > 0, 0.6, 0.4) / np.maximum(np.abs(residual), 1e-3 * top)
        residual = values - terms @ (factors := _fit(terms, values, weight))
    scale = max(1.4826 * float(np.median(residual[residual > 0])), 5e-3 * top)
    for _ in range(10):  # then Tukey's biweight at that scale
        weight = np.clip(1 - (residual / (4 * scale)) ** 2, 0, None) ** 2
        residual = values - terms @ (factors := _fit(terms, values, weight))
    fitted = sum(c * np.multiply.outer(y**i, x**j) for c, (i, j) in zip(factors, powers, strict=True))
    fitted = np.maximum(fitted, 0.1 * top)
    return fitted, np.abs(level - fitted) < 3 * scale


def _fit(terms: NDArray[np.float64], values: NDArray[np.float64], weight: NDArray[np.float64]) -> NDArray[np.float64]:
    weighted = terms.T * weight  # (K, N)
    return np.asarray(np.linalg.lstsq(weighted @ terms, weighted @ values, rcond=None)[0])


def _row_offsets(residual: NDArray[np.float64], inside: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return each row's mean over the bulk, shape (Y,); rows with little bulk take that of their neighbours."""
    share = inside.mean(axis=1)
    offsets = np.where(inside, residual, 0).sum(axis=1) / np.maximum(inside.sum(axis=1), 1)
    known = np.flatnonzero(share > 0.2)
    if not len(known):
        return np.zeros(len(residual))
    return np.asarray(np.interp(np.arange(len(residual)), known, offsets[known]))


def warp_mask(
    mask: ArrayLike,
    rng: np.random.Generator | int,
    *,
    shape: tuple[int, int] | None = None,
    scale: tuple[float, float] = (0.6, 1.6),
    stretch: float = 1.3,
    warp: float = 0.15,
    border: float = 0.06,
) -> NDArray[np.float32]:
    """Make another dent of one mask: turned, mirrored, scaled, stretched, bent and put somewhere else.

    Parameters
    ----------
    mask : array_like, shape (Y', X')
        Transmission, 1 where nothing is missing.
    rng : numpy.random.Generator or int
        Source of randomness.
    shape : (int, int), optional
        Y, X of the result, px; by default the mask's.
    scale : (float, float)
        Smallest and largest magnification, drawn log-uniformly. To bring a mask from a lattice of period ``a`` to one
        of period ``b``, multiply both by ``b / a``.
    stretch : float
        Largest magnification of one direction against the other, at least 1.
    warp : float
        Local bending: its largest standard deviation, as a fraction of its own length.
    border : float
        Over this fraction of its sides the mask fades to 1, so that a dent it cuts off does not end in a straight line.

    Returns
    -------
    ndarray, shape (Y, X)
        Transmission; 1 outside the mask. Some place where much is missing comes to lie in the result, so that a mask
        with one dent always gives that dent, or a part of it.

    Raises
    ------
    InputError
        If the mask is not a finite plane of numbers of 0 or more, or an option makes no sense.

    Examples
    --------
    >>> from napari_hush.synthesis import ellipse
    >>> dent = ellipse((96, 96), centre=(48, 48), fwhm=(30, 20), depth=0.7)
    >>> other = warp_mask(dent, 0, shape=(64, 80))
    >>> other.shape, bool(other.min() < 0.5), bool(other.max() > 0.99)
    ((64, 80), True, True)
    """
    source = np.asarray(mask, dtype=np.float32)
    if source.ndim != 2 or not source.size or not (source.min() >= 0 and source.max() < np.inf):
        raise InputError("a mask is one plane (Y, X) of finite transmissions of 0 or more; got something else")
    if not 0 < scale[0] <= scale[1] or not stretch >= 1 or not warp >= 0 or not 0 <= border < 0.5:
        raise InputError(
            "expected 0 < scale[0] <= scale[1], stretch >= 1, warp >= 0 and 0 <= border < 0.5; "
            f"got {scale}, {stretch}, {warp} and {border}"
        )
    rng = np.random.default_rng(rng)
    shape = (source.shape[0], source.shape[1]) if shape is None else shape
    change = (source - 1) * _fade(source.shape, border)

    anchor = _where_much_is_missing(change, rng)
    goal = rng.uniform(0.15, 0.85, 2) * shape
    turn, tilt = rng.uniform(0, 2 * np.pi, 2)
    zoom = float(np.exp(rng.uniform(*np.log(scale))))
    squeeze = float(np.exp(rng.uniform(0, np.log(stretch)) / 2))
    axes = _rotation(tilt) @ np.diag([squeeze, 1 / squeeze]) @ _rotation(-tilt)
    flip = np.diag([1.0, float(rng.choice([-1, 1]))])
    back = np.linalg.inv(zoom * axes @ _rotation(turn) @ flip).astype(np.float32)

    length = float(rng.uniform(0.1, 0.3)) * min(shape)
    bend = float(rng.uniform(0, warp)) * length
    y, x = (
        (np.arange(n, dtype=np.float32) - np.float32(g)).reshape(s) + bend * smooth_field(shape, length, rng)
        for n, g, s in zip(shape, goal, ((-1, 1), (1, -1)), strict=True)
    )
    places = np.stack([back[k, 0] * y + back[k, 1] * x + np.float32(anchor[k]) for k in (0, 1)])  # (2, Y, X)
    return np.asarray(1 + ndimage.map_coordinates(change, places, order=1, mode="constant", cval=0.0))


def _where_much_is_missing(change: NDArray[np.float32], rng: np.random.Generator) -> tuple[int, int]:
    """Draw a place (y, x) with the probability of its change cubed, or faint mottle would outweigh the dents."""
    size = np.abs(change)
    size *= size * size
    goal = rng.random()
    rows = size.sum(axis=1, dtype=np.float64).cumsum()
    goal *= float(rows[-1])
    y = min(int(np.searchsorted(rows, goal)), len(rows) - 1)
    within = size[y].cumsum(dtype=np.float64)
    x = int(np.searchsorted(within, goal - (float(rows[y - 1]) if y else 0.0)))
    return y, min(x, len(within) - 1)


def _rotation(turn: float) -> NDArray[np.float64]:
    return np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])


def _fade(shape: tuple[int, ...], border: float) -> NDArray[np.float32]:
    """Return a window that rises from 0 at the rim to 1 over ``border`` of each side, as half a cosine."""
    sides = []
    for n in shape:
        rim = np.minimum(np.arange(n), np.arange(n)[::-1]) / max(border * n, 1.0)
        sides.append((0.5 - 0.5 * np.cos(np.pi * np.clip(rim, 0, 1))).astype(np.float32))
    return np.asarray(np.multiply.outer(*sides))


def random_dent_from(
    masks: Sequence[ArrayLike],
    shape: tuple[int, int],
    rng: np.random.Generator | int,
    *,
    scale: tuple[float, float] = (0.6, 1.6),
    stretch: float = 1.3,
    warp: float = 0.15,
) -> NDArray[np.float32]:
    """Draw one of some masks and warp it.

    Parameters
    ----------
    masks : sequence of array_like, each (Y', X')
        Transmissions, for example from `dent_from_image`; their sizes may differ.
    shape : (int, int)
        Y, X of the result, px.
    rng : numpy.random.Generator or int
        Source of randomness.
    scale, stretch, warp
        As in `warp_mask`.

    Returns
    -------
    ndarray, shape (Y, X)
        Transmission.

    Raises
    ------
    InputError
        If there is no mask, or `warp_mask` refuses the one that was drawn.

    Examples
    --------
    >>> from napari_hush.synthesis import ellipse
    >>> dents = [ellipse((64, 64), centre=(32, 32), fwhm=(size, 12)) for size in (12, 24)]
    >>> random_dent_from(dents, (48, 48), 0).shape
    (48, 48)
    """
    if not len(masks):
        raise InputError("expected at least one mask; got none")
    rng = np.random.default_rng(rng)
    return warp_mask(masks[int(rng.integers(len(masks)))], rng, shape=shape, scale=scale, stretch=stretch, warp=warp)
