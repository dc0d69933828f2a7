"""Slices of round bodies, as phantoms for tomography; ellipses with smooth rims."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_hush.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray


def pack_circles(
    shape: tuple[int, int],
    *,
    count: int = 300,
    radius: tuple[float, float] = (0.01, 0.15),
    gap: float = 0.004,
    rng: np.random.Generator | int,
) -> NDArray[np.float64]:
    """Pack circles that do not overlap into a disc, the large ones first.

    Parameters
    ----------
    shape : (int, int)
        Y, X in px; the disc of 0.47 times the shorter side lies in the middle.
    count : int
        How many are tried; those that find no room are left out.
    radius : (float, float)
        Smallest and largest radius as fractions of the shorter side, drawn from a density that falls as r^-2.
    gap : float
        Least wall between two circles, as a fraction of the shorter side.
    rng : numpy.random.Generator or int
        Source of randomness.

    Returns
    -------
    ndarray, shape (N, 3)
        Centre y, centre x, radius; px.

    Raises
    ------
    InputError
        If the count is negative or the radii are not 0 < smallest <= largest < 0.47.

    Examples
    --------
    >>> pack_circles((64, 64), count=20, rng=0).shape[1]
    3
    """
    low, high = radius
    if count < 0 or not 0 < low <= high < 0.47:
        raise InputError(f"expected count >= 0 and radii 0 < smallest <= largest < 0.47; got {count} and {radius}")
    rng = np.random.default_rng(rng)
    disc = 0.47
    radii = np.sort(1 / rng.uniform(1 / high, 1 / low, count))[::-1]
    placed = np.empty((count, 3))
    n = 0
    for r in radii:
        spots = rng.uniform(-disc, disc, (48, 2))
        spots = spots[np.hypot(*spots.T) < disc - r - gap]
        walls = np.hypot(*(spots[:, None] - placed[:n, :2]).T).T - placed[:n, 2] - r
        free = np.flatnonzero((walls > gap).all(axis=1))
        if len(free):
            placed[n] = *spots[free[0]], r
            n += 1
    return np.asarray(placed[:n] * min(shape) + np.array([(shape[0] - 1) / 2, (shape[1] - 1) / 2, 0.0]))


def foam(
    shape: tuple[int, int],
    *,
    count: int = 300,
    radius: tuple[float, float] = (0.01, 0.15),
    rng: np.random.Generator | int,
) -> NDArray[np.float32]:
    """Draw a slice through a foam: bubbles of many sizes in a solid disc, as tomography sees it.

    Parameters
    ----------
    shape : (int, int)
        Y, X in px.
    count, radius
        Of the bubbles, as in `pack_circles`, which for the same ``rng`` returns where they are.
    rng : numpy.random.Generator or int
        Source of randomness.

    Returns
    -------
    ndarray, shape (Y, X)
        0.8 in the solid, 0 in the bubbles and outside the disc; rims are one pixel wide.

    Raises
    ------
    InputError
        As in `pack_circles`.

    References
    ----------
    D. M. Pelt, A. A. Hendriksen, K. J. Batenburg, "Foam-like phantoms for comparing tomography algorithms",
    J. Synchrotron Rad. 29, 254 (2022), https://doi.org/10.1107/S1600577521011322

    Examples
    --------
    >>> image = foam((64, 64), rng=0)
    >>> image.shape, float(image[0, 0])
    ((64, 64), 0.0)
    """
    image = np.zeros(shape, dtype=np.float32)
    centre = ((shape[0] - 1) / 2, (shape[1] - 1) / 2)
    add_ellipse(image, centre, (0.47 * min(shape),) * 2, 0.0, 0.8)
    for y, x, r in pack_circles(shape, count=count, radius=radius, rng=rng):
        add_ellipse(image, (y, x), (r, r), 0.0, -0.8)
    return np.clip(image, 0, 1)


def ellipses(
    shape: tuple[int, int], *, count: int = 12, contrast: float = 0.25, rng: np.random.Generator | int
) -> NDArray[np.float32]:
    """Draw overlapping ellipses inside a bright shell, in the manner of Shepp and Logan's head.

    Parameters
    ----------
    shape : (int, int)
        Y, X in px.
    count : int
        Number of ellipses inside the shell.
    contrast : float
        Largest change of the value by one ellipse, 0 to 1.
    rng : numpy.random.Generator or int
        Source of randomness.

    Returns
    -------
    ndarray, shape (Y, X)
        The shell is 1, the tissue about 0.3, outside 0; sums of ellipses are cut off at 0 and 1.

    Raises
    ------
    InputError
        If the count is negative or the contrast is not from 0 to 1.

    References
    ----------
    L. A. Shepp, B. F. Logan, "The Fourier reconstruction of a head section", IEEE Trans. Nucl. Sci. 21, 21 (1974),
    https://doi.org/10.1109/TNS.1974.6499235

    Examples
    --------
    >>> ellipses((48, 64), rng=0).shape
    (48, 64)
    """
    if count < 0 or not 0 <= contrast <= 1:
        raise InputError(f"expected count >= 0 and contrast from 0 to 1; got {count} and {contrast}")
    rng = np.random.default_rng(rng)
    image = np.zeros(shape, dtype=np.float32)
    middle = np.array([(shape[0] - 1) / 2, (shape[1] - 1) / 2])
    unit = min(shape) / 2
    head = unit * np.array([rng.uniform(0.85, 0.95), rng.uniform(0.65, 0.8)])
    turn = rng.uniform(0, 180)
    shell = unit * rng.uniform(0.03, 0.06)
    add_ellipse(image, middle, head, turn, 1.0)
    add_ellipse(image, middle, head - shell, turn, -0.7)
    for _ in range(count):
        axes = head.min() * np.exp(rng.uniform(np.log(0.04), np.log(0.45), 2))
        reach = np.clip(head - shell - axes.max(), 0, None)
        away, bearing = np.sqrt(rng.random()), rng.uniform(0, 2 * np.pi)
        along, across = away * reach[0] * np.cos(bearing), away * reach[1] * np.sin(bearing)
        t = np.deg2rad(turn)
        offset = np.array([along * np.sin(t) + across * np.cos(t), along * np.cos(t) - across * np.sin(t)])
        add_ellipse(
            image, middle + offset, axes, rng.uniform(0, 180), rng.uniform(0.2, 1) * contrast * rng.choice([-1, 1])
        )
    return np.clip(image, 0, 1)


def add_ellipse(
    image: NDArray[np.float32],
    centre: tuple[float, float] | NDArray[np.float64],
    axes: tuple[float, float] | NDArray[np.float64],
    angle: float,
    value: float,
) -> None:
    """Add an ellipse to (Y, X)."""
    body = cover((image.shape[0], image.shape[1]), centre, axes, angle)
    if body is not None:
        image[body[0]] += np.float32(value) * body[1]


def cover(
    shape: tuple[int, int],
    centre: tuple[float, float] | NDArray[np.float64],
    axes: tuple[float, float] | NDArray[np.float64],
    angle: float,
    rim: NDArray[np.float32] | None = None,
) -> tuple[tuple[slice, slice], NDArray[np.float32]] | None:
    """Return where an ellipse lies and how much of each pixel it covers; ``rim`` scales its radius from place to place.

    Parameters are in px; ``axes`` are half-axes, ``angle`` the direction of the first, degrees from X towards Y.
    """
    reach = float(max(axes)) * (1.5 if rim is not None else 1.0) + 1
    spans = [(max(int(c - reach), 0), min(int(c + reach) + 2, n)) for c, n in zip(centre, shape, strict=True)]
    if any(a >= b for a, b in spans):
        return None
    window = (slice(*spans[0]), slice(*spans[1]))
    y, x = (np.arange(a, b) - c for (a, b), c in zip(spans, centre, strict=True))
    t = np.deg2rad(angle)
    u = y[:, None] * np.sin(t) + x * np.cos(t)
    v = y[:, None] * np.cos(t) - x * np.sin(t)
    q = np.hypot(u / axes[0], v / axes[1])
    # The distance from the rim to first order: (1 - q) / |grad q|.
    steep = np.maximum(np.hypot(u / axes[0] ** 2, v / axes[1] ** 2) / np.maximum(q, 1e-9), 1e-9)
    inward = ((1.0 if rim is None else rim[window]) - q) / steep
    return window, np.clip(inward + 0.5, 0, 1).astype(np.float32)
