"""Crystal lattices seen from above: Gaussian atom columns with known positions, vacancies, strain and grains."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple, get_args

import numpy as np
from scipy.spatial import cKDTree

from napari_hush.synthesis.fields import smooth_field

if TYPE_CHECKING:
    from numpy.typing import NDArray

LatticeKind = Literal["square", "rectangular", "hexagonal", "oblique", "honeycomb", "dumbbell"]

_SPOTS = 1 << 15  # pixels of columns that are added up at a time: they stay in the processor's cache


@dataclass(frozen=True, kw_only=True)
class Lattice:
    """What one lattice looks like.

    Parameters
    ----------
    kind : str
        The unit cell. ``honeycomb`` and ``dumbbell`` always have two columns per cell, the others get their second
        column, in the middle of the cell, with ``sublattice > 0``.
    period : float
        The shortest lattice repeat, px. ``dumbbell`` is a diamond structure along [110]: its pairs are 0.41 periods
        apart.
    angle : float
        Direction of the shortest repeat, degrees from X towards Y.
    sigma : float
        Standard deviation of a column's Gaussian, in periods.
    ratio : float
        Longer over shorter cell edge of ``rectangular`` and ``oblique``.
    gamma : float
        Angle between the edges of ``oblique``, degrees.
    sublattice : float
        Peak of the second column of a cell, where the first has 1. 0: none.
    displacement : float
        Static random displacement of each column, rms per axis, in periods.
    intensity_spread : float
        Relative standard deviation of the peaks from column to column.
    vacancies : float
        Fraction of columns that are missing.
    background : float
        Level between the columns, from 0 to 1; the peaks reach about 1 above or with it.
    strain : float
        Largest relative change of the local period by a slow wave.
    thickness : float
        Standard deviation of a slow relative change of the brightness.
    grain_angle : float
        Misorientation of a second grain, degrees; 0 means one crystal.
    """

    kind: LatticeKind = "square"
    period: float = 12.0
    angle: float = 0.0
    sigma: float = 0.18
    ratio: float = 1.25
    gamma: float = 75.0
    sublattice: float = 0.0
    displacement: float = 0.0
    intensity_spread: float = 0.0
    vacancies: float = 0.0
    background: float = 0.0
    strain: float = 0.0
    thickness: float = 0.0
    grain_angle: float = 0.0

    def __post_init__(self) -> None:
        if self.kind not in get_args(LatticeKind):
            raise ValueError(f"kind must be one of {', '.join(get_args(LatticeKind))}; got {self.kind!r}")
        for name, low, high in (
            ("period", 2.0, 1e4), ("sigma", 0.02, 0.5), ("ratio", 1.0, 3.0), ("gamma", 40.0, 90.0),
            ("sublattice", 0.0, 1.0), ("displacement", 0.0, 0.2), ("intensity_spread", 0.0, 0.5),
            ("vacancies", 0.0, 1.0), ("background", 0.0, 0.9), ("strain", 0.0, 0.2), ("thickness", 0.0, 0.3),
        ):  # fmt: skip
            value = getattr(self, name)
            if not low <= value <= high:
                raise ValueError(f"{name} must lie between {low:g} and {high:g}; got {value}")
        if self.kind in ("honeycomb", "dumbbell") and self.sublattice == 0:
            raise ValueError(f"a {self.kind} lattice needs sublattice > 0, the peak of its second column")

    @property
    def cell(self) -> NDArray[np.float64]:
        """The two lattice vectors as rows (y, x), px, turned by ``angle``."""
        long, angle = {
            "square": (1.0, 90.0),
            "rectangular": (self.ratio, 90.0),
            "hexagonal": (1.0, 60.0),
            "oblique": (self.ratio, self.gamma),
            "honeycomb": (1.0, 60.0),
            # Centred a x a/sqrt(2) cell along its two shortest repeats: 2 atan(1 / sqrt(2)) between them.
            "dumbbell": (1.0, 70.529),
        }[self.kind]
        turns = np.deg2rad([self.angle, self.angle + angle])
        lengths = self.period * np.array([[1.0], [long]])
        return np.asarray(lengths * np.stack([np.sin(turns), np.cos(turns)], axis=1))

    @property
    def basis(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Fractional positions (S, 2) and peaks (S,) of the columns in a cell."""
        second = {"honeycomb": (1 / 3, 1 / 3), "dumbbell": (0.25, 0.25)}.get(self.kind, (0.5, 0.5))
        if self.sublattice == 0:
            return np.zeros((1, 2)), np.ones(1)
        return np.array([(0.0, 0.0), second]), np.array([1.0, self.sublattice])

    @property
    def nearest(self) -> float:
        """The shortest distance between two columns, px."""
        return least_distance(self.basis[0], self.cell)


class RenderedLattice(NamedTuple):
    """An image of a lattice and the truth behind it; positions are (y, x) in px, pixel centres at integers."""

    image: NDArray[np.float32]
    """(Y, X), peaks about 1."""
    positions: NDArray[np.float64]
    """(N, 2) columns inside the image."""
    species: NDArray[np.intp]
    """(N,) index of each column in its cell, 0 or 1."""
    vacancies: NDArray[np.float64]
    """(M, 2) where columns are missing."""


def render_lattice(lattice: Lattice, shape: tuple[int, int], rng: np.random.Generator | int) -> RenderedLattice:
    """Draw a lattice with a random origin.

    Parameters
    ----------
    lattice : Lattice
        What to draw.
    shape : (int, int)
        Y, X in px.
    rng : numpy.random.Generator or int
        Draws the origin and every defect.

    Returns
    -------
    RenderedLattice
        Image and truth; it unpacks into ``image, positions, species, vacancies``.

    Examples
    --------
    >>> image, positions, species, vacancies = render_lattice(Lattice(period=10.0), (64, 64), 0)
    >>> image.shape
    (64, 64)
    """
    rng = np.random.default_rng(rng)
    sigma = lattice.sigma * lattice.period
    margin = 4 * sigma + lattice.period
    origin = rng.uniform(0, lattice.period, 2)
    sites, species = sites_near(lattice.basis[0], lattice.cell, shape, margin, origin)
    if lattice.grain_angle:
        sites, species = _second_grain(lattice, sites, species, shape, margin, origin, rng)
    if lattice.strain:
        sites = sites + slow_displacement(sites, lattice.strain, shape, rng)
    sites = sites + rng.normal(0, 1, sites.shape) * (lattice.displacement * lattice.period)
    peaks = lattice.basis[1][species] * np.clip(rng.normal(1, lattice.intensity_spread, len(sites)), 0, 2)
    missing = rng.random(len(sites)) < lattice.vacancies

    image = render_columns(sites[~missing], peaks[~missing], sigma, shape)
    image = lattice.background + (1 - lattice.background) * image
    if lattice.thickness:
        image *= np.clip(1 + lattice.thickness * smooth_field(shape, 0.2 * max(shape), rng), 0, None)
    y, x = sites.T
    inside = (y >= 0) & (y <= shape[0] - 1) & (x >= 0) & (x <= shape[1] - 1)
    present = inside & ~missing
    return RenderedLattice(image, sites[present], species[present], sites[inside & missing])


def render_columns(
    positions: NDArray[np.float64], peaks: NDArray[np.float64], sigma: float, shape: tuple[int, int]
) -> NDArray[np.float32]:
    """Add up one Gaussian per column, each cut off at four sigma.

    Parameters
    ----------
    positions : ndarray, shape (N, 2)
        Centres (y, x), px; they may lie outside.
    peaks : ndarray, shape (N,)
        Heights.
    sigma : float
        Standard deviation, px.
    shape : (int, int)
        Y, X in px.

    Returns
    -------
    ndarray, shape (Y, X)
        The image, 0 far from every column.
    """
    half = int(np.ceil(4 * sigma))
    near = _near(positions, half, (shape[0] - 1, shape[1] - 1))
    positions, peaks = positions[near], peaks[near]
    window = np.arange(-half, half + 1)
    centre = np.rint(positions).astype(np.intp)
    distance = (window - (positions - centre)[..., None]).astype(np.float32)  # (N, 2, W)
    bell = np.exp(distance**2 / np.float32(-2 * sigma**2))
    heights = bell[:, 0] * peaks[:, None].astype(np.float32)  # (N, W)
    # A border of two half windows takes what hangs over the edge, so no window needs clipping.
    width = shape[1] + 4 * half
    canvas = np.zeros(width * (shape[0] + 4 * half))
    middle = (centre[:, 0] + 2 * half) * width + centre[:, 1] + 2 * half
    patch = (window[:, None] * width + window).ravel()
    some = max(1, _SPOTS // len(patch))
    for k in range(0, len(middle), some):
        spots = heights[k : k + some, :, None] * bell[k : k + some, 1, None, :]  # (n, W, W)
        np.add.at(canvas, (middle[k : k + some, None] + patch).ravel(), spots.ravel().astype(np.float64))
    canvas = canvas.reshape(-1, width)[2 * half : 2 * half + shape[0], 2 * half : 2 * half + shape[1]]
    return canvas.astype(np.float32)


def sites_near(
    basis: NDArray[np.float64],
    cell: NDArray[np.float64],
    shape: tuple[int, int],
    margin: float,
    origin: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """List all columns of a perfect lattice in an image and its margin.

    Parameters
    ----------
    basis : ndarray, shape (S, 2)
        Columns of one cell, in fractions of its two vectors.
    cell : ndarray, shape (2, 2)
        The vectors as rows (y, x), px.
    shape : (int, int)
        Y, X in px.
    margin : float
        How far outside the image columns still count, px.
    origin : ndarray, shape (2,)
        (y, x) of the corner of one cell, px.

    Returns
    -------
    ndarray, shape (N, 2), and ndarray of int, shape (N,)
        Positions (y, x), px, and the index of each in the basis.
    """
    size = np.array(shape, dtype=float)
    corners = np.array([(y, x) for y in (-margin, size[0] + margin) for x in (-margin, size[1] + margin)])
    indices = (corners - origin) @ np.linalg.inv(cell)
    low, high = np.floor(indices.min(axis=0)).astype(int), np.ceil(indices.max(axis=0)).astype(int)
    i, j = np.mgrid[low[0] : high[0] + 1, low[1] : high[1] + 1]
    cells = np.stack([i.ravel(), j.ravel()], axis=1)  # (C, 2)
    sites = origin + (cells[None] + basis[:, None]).reshape(-1, 2) @ cell
    species = np.repeat(np.arange(len(basis)), len(cells))
    near = _near(sites, margin, shape)
    return sites[near], species[near]


def least_distance(columns: NDArray[np.float64], vectors: NDArray[np.float64]) -> float:
    """Return the shortest distance between two columns (S, 2) of a lattice, in the unit of its vectors."""
    cells = np.array([(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1)], dtype=float)
    lengths = np.hypot(*((cells[:, None, None] + columns[:, None] - columns).reshape(-1, 2) @ vectors).T)
    return float(lengths[lengths > 1e-9].min())


def slow_displacement(
    sites: NDArray[np.float64], strain: float, shape: tuple[int, int], rng: np.random.Generator
) -> NDArray[np.float64]:
    """Draw a wave of the image's size that changes the local period by at most ``strain``: (N, 2) px at the sites."""
    wave = rng.uniform(0.5, 1.5, 2) * 2 * np.pi / max(shape)
    wave *= rng.choice([-1, 1], 2)
    turn = rng.uniform(0, 2 * np.pi)
    direction = np.array([np.sin(turn), np.cos(turn)])
    phase = sites @ wave + rng.uniform(0, 2 * np.pi)
    return np.asarray(direction * (strain / np.hypot(*wave) * np.sin(phase))[:, None])


def _near(points: NDArray[np.float64], margin: float, size: tuple[int, int]) -> NDArray[np.bool_]:
    """Say which (N,) of the points lie between 0 and the size, or less than the margin outside."""
    y, x = points.T
    return np.asarray((y > -margin) & (y < size[0] + margin) & (x > -margin) & (x < size[1] + margin))


def _second_grain(
    lattice: Lattice,
    sites: NDArray[np.float64],
    species: NDArray[np.intp],
    shape: tuple[int, int],
    margin: float,
    origin: NDArray[np.float64],
    rng: np.random.Generator,
) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Replace the columns on one side of a random line by those of a turned lattice."""
    turn = np.deg2rad(lattice.grain_angle)
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    other, other_species = sites_near(lattice.basis[0], lattice.cell @ rotation, shape, margin, origin)
    side = smooth_field(shape, 0.35 * max(shape), rng)

    def first(points: NDArray[np.float64]) -> NDArray[np.bool_]:
        y, x = (np.clip(np.rint(points[:, k]).astype(np.intp), 0, shape[k] - 1) for k in (0, 1))
        return np.asarray(side[y, x] > 0)

    here, there = first(sites), ~first(other)
    if here.any():  # where the grains meet, the first keeps its columns
        there &= cKDTree(sites[here]).query(other)[0] > 0.7 * lattice.nearest
    joined = np.concatenate([sites[here], other[there]])
    return joined, np.concatenate([species[here], other_species[there]])
