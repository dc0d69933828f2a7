"""Slabs of round bodies, as phantoms for tomography: neighbouring slices of one foam, or of one body of ellipsoids."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_hush.errors import InputError
from napari_hush.synthesis.pictures.slices import add_ellipse

if TYPE_CHECKING:
    from numpy.typing import NDArray

_DISC = 0.47  # radius of the body, of the shorter side


def check_slab(slices: int, pitch: float) -> None:
    """Refuse a slab of no slice, or of slices that do not lie apart.

    Raises
    ------
    InputError
        Naming what is wrong.
    """
    if slices < 1 or not 0 < pitch < np.inf:
        raise InputError(f"expected slices >= 1 and a positive pitch in px; got {slices} and {pitch}")


def pack_spheres(
    shape: tuple[int, int],
    *,
    thickness: float,
    count: int = 300,
    radius: tuple[float, float] = (0.01, 0.15),
    gap: float = 0.004,
    rng: np.random.Generator | int,
) -> NDArray[np.float64]:
    """Pack spheres that do not overlap into a slab of a cylinder, the large ones first.

    Parameters
    ----------
    shape : (int, int)
        Y, X in px; the cylinder of 0.47 times the shorter side stands in the middle.
    thickness : float
        Of the slab, px: only spheres that reach into it are placed.
    count : int
        How many are tried of those that the slab's middle plane cuts.
    radius : (float, float)
        Smallest and largest radius as fractions of the shorter side, drawn from a density that falls as r^-2.
    gap : float
        Least wall between two spheres, as a fraction of the shorter side.
    rng : numpy.random.Generator or int
        Source of randomness.

    Returns
    -------
    ndarray, shape (N, 4)
        Centre y, centre x, height of the centre over the middle plane, radius; px.

    Raises
    ------
    InputError
        If the count or the thickness is negative or the radii are not 0 < smallest <= largest < 0.47.

    Examples
    --------
    >>> pack_spheres((64, 64), thickness=4, count=20, rng=0).shape[1]
    4
    """
    low, high = radius
    if count < 0 or not thickness >= 0 or not 0 < low <= high < _DISC:
        raise InputError(
            "expected count and thickness >= 0 and radii 0 < smallest <= largest < 0.47; got "
            f"{count}, {thickness} and {radius}"
        )
    rng = np.random.default_rng(rng)
    side = min(shape)
    half = thickness / 2 / side
    radii = 1 / rng.uniform(1 / high, 1 / low, count)
    # Of a slab the small ones are more than of a plane, which most of them miss.
    radii = np.sort(np.repeat(radii, 1 + rng.poisson(half / radii)))[::-1]
    placed = np.empty((len(radii), 4))
    n = 0
    for r in radii:
        spots = np.column_stack([rng.uniform(-_DISC, _DISC, (48, 2)), rng.uniform(-half - r, half + r, 48)])
        spots = spots[np.hypot(*spots[:, :2].T) < _DISC - r - gap]
        walls = np.linalg.norm(spots[:, None] - placed[:n, :3], axis=2) - placed[:n, 3] - r
        free = np.flatnonzero((walls > gap).all(axis=1))
        if len(free):
            placed[n] = *spots[free[0]], r
            n += 1
    return np.asarray(placed[:n] * side + np.array([(shape[0] - 1) / 2, (shape[1] - 1) / 2, 0.0, 0.0]))


def foam_slab(
    shape: tuple[int, int],
    *,
    slices: int,
    pitch: float = 1.0,
    count: int = 300,
    radius: tuple[float, float] = (0.01, 0.15),
    rng: np.random.Generator | int,
) -> NDArray[np.float32]:
    """Draw neighbouring slices through a foam: each bubble is a sphere that they cut at different heights.

    Parameters
    ----------
    shape : (int, int)
        Y, X in px.
    slices : int
        How many.
    pitch : float
        Distance of neighbouring slices, px.
    count, radius
        Of the bubbles, as in `pack_spheres`.
    rng : numpy.random.Generator or int
        Source of randomness.

    Returns
    -------
    ndarray, shape (D, Y, X)
        0.8 in the solid, 0 in the bubbles and outside the disc; rims are one pixel wide.

    Raises
    ------
    InputError
        As in `pack_spheres`, or if there is no slice.

    Examples
    --------
    >>> foam_slab((64, 64), slices=3, rng=0).shape
    (3, 64, 64)
    """
    check_slab(slices, pitch)
    image = np.zeros((slices, *shape), dtype=np.float32)
    middle = ((shape[0] - 1) / 2, (shape[1] - 1) / 2)
    spheres = pack_spheres(shape, thickness=(slices - 1) * pitch, count=count, radius=radius, rng=rng)
    for plane, height in zip(image, _heights(slices, pitch), strict=True):
        add_ellipse(plane, middle, (_DISC * min(shape),) * 2, 0.0, 0.8)
        cut = spheres[:, 3] ** 2 - (height - spheres[:, 2]) ** 2  # squared radii of the circles
        for (y, x), r in zip(spheres[cut > 0, :2], np.sqrt(cut[cut > 0]), strict=True):
            add_ellipse(plane, (y, x), (r, r), 0.0, -0.8)
    return np.clip(image, 0, 1)


def ellipses_slab(
    shape: tuple[int, int],
    *,
    slices: int,
    pitch: float = 1.0,
    count: int = 12,
    contrast: float = 0.25,
    rng: np.random.Generator | int,
) -> NDArray[np.float32]:
    """Draw neighbouring slices through a shell full of overlapping ellipsoids.

    Parameters
    ----------
    shape : (int, int)
        Y, X in px.
    slices : int
        How many.
    pitch : float
        Distance of neighbouring slices, px.
    count : int
        Number of ellipsoids that a plane is to cut inside the shell.
    contrast : float
        Largest change of the value by one ellipsoid, 0 to 1.
    rng : numpy.random.Generator or int
        Source of randomness.

    Returns
    -------
    ndarray, shape (D, Y, X)
        The shell is 1, the tissue about 0.3, outside 0; sums of ellipsoids are cut off at 0 and 1.

    Raises
    ------
    InputError
        If the count is negative, the contrast is not from 0 to 1, or there is no slice.

    Examples
    --------
    >>> ellipses_slab((48, 64), slices=3, rng=0).shape
    (3, 48, 64)
    """
    if count < 0 or not 0 <= contrast <= 1:
        raise InputError(f"expected count >= 0 and contrast from 0 to 1; got {count} and {contrast}")
    check_slab(slices, pitch)
    rng = np.random.default_rng(rng)
    heights = _heights(slices, pitch)
    image = np.zeros((slices, *shape), dtype=np.float32)
    middle = np.array([(shape[0] - 1) / 2, (shape[1] - 1) / 2])
    unit = min(shape) / 2
    head = unit * np.array([rng.uniform(0.85, 0.95), rng.uniform(0.65, 0.8)])
    turn, t = (angle := rng.uniform(0, 180)), np.deg2rad(angle)
    shell = unit * rng.uniform(0.03, 0.06)
    tall, top = unit * rng.uniform(0.8, 1.2), unit * rng.uniform(-0.4, 0.4)  # half-axis along Z, height of the middle
    _add_ellipsoid(image, heights, middle, top, np.array([*head, tall]), turn, 1.0)
    _add_ellipsoid(image, heights, middle, top, np.array([*head, tall]) - shell, turn, -0.7)
    axes = head.min() * np.exp(rng.uniform(np.log(0.04), np.log(0.45), (count, 3)))
    # Of a slab, more of the low ones are there than a plane cuts.
    axes = np.repeat(axes, 1 + rng.poisson(heights[-1] / axes[:, 2]), axis=0)
    for one in axes:
        reach = np.clip(head - shell - one[:2].max(), 0, None)
        away, bearing = np.sqrt(rng.random()), rng.uniform(0, 2 * np.pi)
        along, across = away * reach[0] * np.cos(bearing), away * reach[1] * np.sin(bearing)
        offset = np.array([along * np.sin(t) + across * np.cos(t), along * np.cos(t) - across * np.sin(t)])
        height = rng.uniform(-1, 1) * (heights[-1] + one[2])
        lean = rng.normal(0, 0.3, 2)  # px along Y and X per px of height
        value = rng.uniform(0.2, 1) * contrast * rng.choice([-1, 1])
        _add_ellipsoid(image, heights, middle + offset, height, one, rng.uniform(0, 180), value, lean)
    return np.clip(image, 0, 1)


def _heights(slices: int, pitch: float) -> NDArray[np.float64]:
    """Of the slices over the middle of the slab, px."""
    return np.asarray((np.arange(slices) - (slices - 1) / 2) * pitch)


def _add_ellipsoid(
    image: NDArray[np.float32],
    heights: NDArray[np.float64],
    centre: NDArray[np.float64],
    height: float,
    axes: NDArray[np.float64],
    angle: float,
    value: float,
    lean: NDArray[np.float64] | tuple[float, float] = (0.0, 0.0),
) -> None:
    """Add an ellipsoid to (D, Y, X): an ellipse in each slice that cuts it; ``axes`` are halves, the last along Z."""
    for plane, z in zip(image, heights - height, strict=True):
        size = 1 - (z / axes[2]) ** 2
        if size > 0:
            add_ellipse(plane, centre + z * np.asarray(lean), axes[:2] * np.sqrt(size), angle, value)
