"""How the noise grows with the brightness: counts, readout and speckle, and what is left of that."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING

import numpy as np
from scipy import optimize, special

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from napari_hush.residual.noise import Part

    Floats = NDArray[np.float64]
    Curve = tuple[tuple[float, float], ...]

BINS = 16
UNCLIPPED = 3.0  # standard deviations from the end of the range: nearer, the noise is cut off
SMALL = 0.01  # of the largest variance: bins with less weigh as if they had that
ROUNDING = 1e-20  # of the squared range: less is no noise, but what computing leaves of none
APART = 0.005  # of the range: bins that lie nearer are one
BENT = (0.5, 4.0)  # by which the variance may differ from the parabola


@dataclass(frozen=True, kw_only=True)
class Brightness:
    """The variance by brightness m.

    Parameters
    ----------
    coefficients : (float, float, float)
        It is ``c0 + c1 m + c2 m²``, times the curve.
    error : float
        How badly the parabola fits, to compare fits with each other.
    bend : callable
        Makes the curve, which takes longer than the parabola.
    """

    coefficients: tuple[float, float, float]
    error: float = float("inf")
    bend: Callable[[], Curve] = tuple

    @cached_property
    def curve(self) -> Curve:
        """Brightness m and a ratio, several of them; empty where the parabola is good enough."""
        return self.bend()


def fit_brightness(
    parts: Sequence[Part], zero: float, span: float, low: float | None, high: float | None, *, falling: bool = False
) -> Brightness:
    """Fit readout, counts and speckle to the quieter blocks of each brightness.

    Parameters
    ----------
    parts : sequence of Part
        Of the image.
    zero, span : float
        Brightness from which m counts, and how far.
    low, high : float or None
        Ends of the range of values.
    falling : bool
        Whether m counts from the brightest value downwards.

    Returns
    -------
    Brightness

    Notes
    -----
    The noise of the blocks of a bin follows a chi square law whose freedom is measured by their spread: that of few
    counts has a long tail, and its median lies further below the mean. What the bins differ from the parabola is
    followed as far as it is no chance: shrunk by the share of its own errors in it.
    """
    turned = [(zero + span - part.bright if falling else part.bright - zero) / span for part in parts]
    scaled = [np.clip(one, 0, None) for one in turned]
    if falling:
        low, high = (None if end is None else 2 * zero + span - end for end in (high, low))
    means = np.concatenate([part.blocks(one) for part, one in zip(parts, scaled, strict=True)])
    squares = np.concatenate([part.blocks(one**2) for part, one in zip(parts, scaled, strict=True)])
    powers = np.concatenate([part.blocks(part.noise**2) for part in parts])
    level = float(np.mean([part.level for part in parts]))
    clear, reach = np.ones(len(means), dtype=bool), UNCLIPPED * np.sqrt(level) / span
    if low is not None:
        clear &= means > (low - zero) / span + reach
    if high is not None:
        clear &= means < (high - zero) / span - reach
    if clear.sum() > 30:
        means, squares, powers = means[clear], squares[clear], powers[clear]
    freedom = float(np.mean([part.freedom for part in parts]))
    quantile = float(np.mean([part.quiet for part in parts]))
    count = int(np.clip(len(means) // 40, 1, BINS))
    at = np.array_split(np.argsort(means), count)
    usual = _usual(freedom, quantile)
    design = np.array([[1.0, means[one].mean(), squares[one].mean()] for one in at])
    found = np.array([np.quantile(powers[one], quantile) / usual for one in at])
    if not found.max() > ROUNDING * span**2:
        return Brightness(coefficients=(level, 0.0, 0.0))
    model = np.full(count, float(found.mean()))
    for _ in range(4):
        weight = np.sqrt([len(one) for one in at]) / np.maximum(model, SMALL * model.max())
        simple = optimize.nnls(design[:, :2] * weight[:, None], found * weight)
        whole = optimize.nnls(design * weight[:, None], found * weight)
        enough = count >= BINS // 2 and simple[1] ** 2 > 1.5 * whole[1] ** 2 + 3 / freedom
        c = whole[0] if enough else np.array([*simple[0], 0.0])
        model = design @ c
    if not (design @ c).max() > 0:
        return Brightness(coefficients=(level, 0.0, 0.0))
    error = float((((design @ c - found) * weight) ** 2).mean())
    expected = c[0] + c[1] * means + c[2] * squares
    relative = powers / np.maximum(expected, 1e-3 * expected.max())
    return Brightness(
        coefficients=(float(c[0]), float(c[1] / span), float(c[2] / span**2)),
        error=error,
        bend=partial(_bent, span * means, relative, at, freedom, quantile),
    )


def _usual(freedom: float, quantile: float) -> float:
    """A quantile of a chi square over its mean, by Wilson and Hilferty."""
    return float((1 - 2 / (9 * freedom) + special.ndtri(quantile) * np.sqrt(2 / (9 * freedom))) ** 3)


def _bent(means: Floats, relative: Floats, at: list[NDArray[np.intp]], freedom: float, quantile: float) -> Curve:
    """By what the bins differ from the parabola, as far as it is no chance."""
    if len(at) < BINS // 2:
        return ()
    at = _apart([*np.array_split(at[0], 3), *at[1:-1], *np.array_split(at[-1], 3)], means)  # the ends bend most
    if len(at) < 2:
        return ()
    ratios, errors = np.empty(len(at)), np.empty(len(at))
    for k, one in enumerate(at):
        low, middle, high = np.quantile(relative[one], [0.25, 0.5, 0.75])
        spread = max((high - low) / 1.349 / max(middle, 1e-300), 1e-3)
        own = min(freedom, max(2 / spread**2, 2.0))
        ratios[k] = np.quantile(relative[one], quantile) / _usual(own, quantile)
        errors[k] = 1.25 * np.sqrt(2 / own / len(one))
    own = max(float(np.mean((ratios - 1) ** 2 - errors**2)), 0.0)
    ratios = np.clip(1 + own / np.maximum(own + errors**2, 1e-300) * (ratios - 1), *BENT)
    return tuple((float(means[one].mean()), float(ratio)) for one, ratio in zip(at, ratios, strict=True))


def _apart(at: list[NDArray[np.intp]], means: Floats) -> list[NDArray[np.intp]]:
    """Bins of one brightness, such as a flat background, together."""
    least = APART * float(means.max() - means.min())
    found = [at[0]]
    for one in at[1:]:
        if means[one].mean() - means[found[-1]].mean() < least:
            found[-1] = np.concatenate([found[-1], one])
        else:
            found.append(one)
    return found
