"""Dead leaves: shapes of all sizes that hide one another, a model of what photographs have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from napari_hush.errors import InputError
from napari_hush.synthesis.fields import smooth_field

if TYPE_CHECKING:
    from numpy.typing import NDArray


def dead_leaves(
    shape: tuple[int, int],
    *,
    radius: tuple[float, float] = (3.0, 80.0),
    leaf: Literal["disc", "ellipse", "polygon", "mixed"] = "mixed",
    channels: Literal[1, 3] = 1,
    shading: float = 0.15,
    rng: np.random.Generator | int,
) -> NDArray[np.float32]:
    """Draw shapes that hide one another, with the edges and the scale invariance of photographs.

    Parameters
    ----------
    shape : (int, int)
        Y, X in px.
    radius : (float, float)
        Smallest and largest radius of a leaf, px, drawn from a density that falls as r^-3.
    leaf : str
        Shape of the leaves; ``"mixed"`` takes all three.
    channels : int
        1 for a grey image, 3 for red, green and blue.
    shading : float
        Standard deviation of a slow change of the light over the image, and of its slope within a leaf; 0 for
        leaves of one value each.
    rng : numpy.random.Generator or int
        Source of randomness.

    Returns
    -------
    ndarray, shape (Y, X) or (3, Y, X)
        Values from 0 to 1; drawn at twice the resolution and averaged, so edges are one pixel wide.

    Raises
    ------
    InputError
        If the radii are not 1 <= smallest <= largest, or a choice is unknown.

    References
    ----------
    A. B. Lee, D. Mumford, J. Huang, "Occlusion models for natural images", Int. J. Comput. Vis. 41, 35 (2001),
    https://doi.org/10.1023/A:1011109015675

    Examples
    --------
    >>> dead_leaves((48, 48), rng=0).shape, dead_leaves((48, 48), channels=3, rng=0).shape
    ((48, 48), (3, 48, 48))
    """
    low, high = radius
    if not 1 <= low <= high or leaf not in ("disc", "ellipse", "polygon", "mixed") or channels not in (1, 3):
        raise InputError(
            "expected radii 1 <= smallest <= largest, a leaf that is disc, ellipse, polygon or mixed, and 1 or 3 "
            f"channels; got {radius}, {leaf!r} and {channels}"
        )
    if not 0 <= shading <= 1:
        raise InputError(f"shading must lie between 0 and 1; got {shading}")
    rng = np.random.default_rng(rng)
    fine = (2 * shape[0], 2 * shape[1])
    labels, slope = lay_leaves(fine, 2 * low, min(2 * high, max(fine)), leaf, rng)
    # Neighbouring things share colours: a leaf is one of a few hues, more or less bright.
    hues = rng.uniform(0, 1, (8, channels))
    count = int(labels.max()) + 1
    colours = 0.55 * hues[rng.integers(8, size=count)] + 0.45 * rng.uniform(0, 1, (count, 1))
    light = 1 + shading * (slope + np.repeat(np.repeat(smooth_field(shape, 0.3 * max(shape), rng), 2, 0), 2, 1))
    bright = colours[labels].transpose(2, 0, 1) * light  # (C, 2Y, 2X)
    image = bright.reshape(channels, shape[0], 2, shape[1], 2).mean(axis=(2, 4))
    return np.asarray(np.clip(image if channels == 3 else image[0], 0, 1), dtype=np.float32)


def coloured_leaves(shape: tuple[int, int], *, rng: np.random.Generator | int) -> NDArray[np.float32]:
    """Draw `dead_leaves` in colour, (3, Y, X)."""
    return dead_leaves(shape, channels=3, rng=rng)


def lay_leaves(
    shape: tuple[int, int], low: float, high: float, leaf: str, rng: np.random.Generator
) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Lay leaves from the front to the back until all is covered.

    Parameters
    ----------
    shape : (int, int)
        Y, X in px.
    low, high : float
        Smallest and largest radius, px, from a density that falls as r^-3.
    leaf : {"disc", "ellipse", "polygon", "mixed"}
        Shape of the leaves.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    labels : ndarray of int, shape (Y, X)
        Which leaf is seen; numbers from 1, with gaps.
    slope : ndarray, shape (Y, X)
        From -2 to 2 along each leaf, of random strength and direction.

    Examples
    --------
    >>> labels, slope = lay_leaves((16, 24), 2, 12, "disc", np.random.default_rng(0))
    >>> labels.shape, bool((labels > 0).all())
    ((16, 24), True)
    """
    labels = np.full(shape, -1, dtype=np.intp)
    slope = np.zeros(shape, dtype=np.float32)
    kinds = {"disc": [0], "ellipse": [1], "polygon": [2], "mixed": [0, 1, 2]}[leaf]
    number, least = 0, low
    while (labels < 0).any():
        if number and number % 2000 == 0:
            least = min(1.5 * least, high)  # the last gaps would need very many small leaves
        share = rng.random(200)
        radii = (share / least**2 + (1 - share) / high**2) ** -0.5  # density r^-3
        spots = rng.uniform(0, 1, (200, 2)) * shape + (rng.uniform(-1, 1, (200, 2)) * radii[:, None])
        for (cy, cx), r, kind, (turn, ratio, ramp) in zip(
            spots, radii, rng.choice(kinds, 200), rng.random((200, 3)), strict=True
        ):
            number += 1
            top, left = max(int(cy - r), 0), max(int(cx - r), 0)
            window = np.s_[top : max(int(cy + r) + 2, 0), left : max(int(cx + r) + 2, 0)]
            free = labels[window] < 0
            if not free.any():
                continue
            y = np.arange(top, top + free.shape[0], dtype=np.float32)[:, None] - np.float32(cy)
            x = np.arange(left, left + free.shape[1], dtype=np.float32) - np.float32(cx)
            t = 2 * np.pi * turn
            u, v = (y * np.sin(t) + x * np.cos(t)) / r, (y * np.cos(t) - x * np.sin(t)) / r
            if kind == 2:  # a regular polygon of 3 to 6 sides
                sides = 3 + int(4 * ratio)
                bearings = 2 * np.pi * np.arange(sides) / sides
                reach = np.max([u * np.cos(b) + v * np.sin(b) for b in bearings], axis=0) / np.cos(np.pi / sides)
            else:
                reach = np.hypot(u, v / (0.3 + 0.7 * ratio if kind == 1 else 1.0))
            free &= reach < 1
            labels[window][free] = number
            slope[window][free] = (2 * (2 * ramp - 1) * u)[free]
    return labels, slope
