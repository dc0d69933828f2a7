"""The user's own crystal as whole images with their truth: a unit cell repeated, bent, and with columns missing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, NamedTuple

import numpy as np
from scipy import fft, ndimage

from napari_hush.declare import Bounds, check_fields
from napari_hush.errors import InputError
from napari_hush.synthesis.fields import smooth_field
from napari_hush.synthesis.lattices.lattice import render_columns, sites_near, slow_displacement
from napari_hush.synthesis.lattices.unit_cell import frequencies

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_hush.synthesis.lattices.unit_cell import UnitCell

_FINENESS = 160  # samples of the cell along the shortest period: linear interpolation is then good to 0.1 %
_SHOWN = 0.95  # of the cell's variance must be coarser than two pixels


@dataclass(frozen=True, kw_only=True)
class Flaws:
    """What keeps a crystal from being perfect.

    Parameters
    ----------
    displacement : float
        Static random displacement of the columns, rms per axis, in periods; neighbours move alike to a part.
    intensity_spread : float
        Relative standard deviation of the columns' peaks.
    vacancies : float
        Fraction of columns that are missing.
    background : float
        Level of the cell's minimum, from 0 to 0.9, where the peak of the brightest column is 1.
    strain : float
        Largest relative change of the local period by a slow wave.
    thickness : float
        Standard deviation of a slow relative change of the brightness.
    """

    displacement: Annotated[float, Bounds(0, 0.1)] = 0.0
    intensity_spread: Annotated[float, Bounds(0, 0.5)] = 0.0
    vacancies: Annotated[float, Bounds(0, 1)] = 0.0
    background: Annotated[float, Bounds(0, 0.9)] = 0.0
    strain: Annotated[float, Bounds(0, 0.2)] = 0.0
    thickness: Annotated[float, Bounds(0, 0.3)] = 0.0

    def __post_init__(self) -> None:
        check_fields(self, where=type(self).__name__)


class Crystal(NamedTuple):
    """An image of a crystal and the truth behind it; positions are (y, x) in px, pixel centres at integers."""

    image: NDArray[np.float32]
    """(Y, X), the brightest column's peak about 1."""
    positions: NDArray[np.float64]
    """(N, 2) columns inside the image."""
    species: NDArray[np.intp]
    """(N,) index of each column in its cell, the brightest first."""
    vacancies: NDArray[np.float64]
    """(M, 2) where columns are missing."""
    period: float
    """The shortest lattice repeat, px."""


def random_flaws(rng: np.random.Generator | int) -> Flaws:
    """Draw the flaws of a crystal from the ranges that the bundled model is trained on.

    Parameters
    ----------
    rng : numpy.random.Generator or int
        Source of randomness.

    Returns
    -------
    Flaws
        Vacancies up to 5 % in 70 % of draws, a background up to 0.5 in 70 %, strain up to 0.03 in 10 %, thickness up to
        0.12 in half; always displacement up to 0.03 and an intensity spread up to 0.12.
    """
    rng = np.random.default_rng(rng)
    return Flaws(
        displacement=float(rng.uniform(0, 0.03)),
        intensity_spread=float(rng.uniform(0, 0.12)),
        vacancies=float(rng.uniform(0, 0.05)) if rng.random() < 0.7 else 0.0,
        background=float(rng.uniform(0, 0.5)) if rng.random() < 0.7 else 0.0,
        strain=float(rng.uniform(0, 0.03)) if rng.random() < 0.1 else 0.0,
        thickness=float(rng.uniform(0, 0.12)) if rng.random() < 0.5 else 0.0,
    )


def random_crystal(
    cell: UnitCell,
    shape: tuple[int, int],
    rng: np.random.Generator | int,
    *,
    period: tuple[float, float] = (5.5, 42.0),
) -> Crystal:
    """Draw an image of a crystal at a random angle and scale, with random flaws.

    Parameters
    ----------
    cell : UnitCell
        The crystal, from `average_cell`.
    shape : (int, int)
        Y, X in px.
    rng : numpy.random.Generator or int
        Source of randomness.
    period : (float, float)
        Lowest and highest shortest lattice repeat, px, drawn log-uniformly. The lowest is raised to `least_period`.

    Returns
    -------
    Crystal
        Image and truth, flawed as by `random_flaws`. It is one grain; grain boundaries are left to `random_lattice`.

    Raises
    ------
    InputError
        If the cell shows nothing at the highest period, or shape or period cannot be.

    Examples
    --------
    >>> from napari_hush.synthesis import Lattice, average_cell, render_lattice
    >>> cell = average_cell(render_lattice(Lattice(kind="hexagonal", period=12.3), (40, 40), 0).image)
    >>> crystal = random_crystal(cell, (128, 128), 0, period=(8, 16))
    >>> crystal.image.shape, 8 <= crystal.period <= 16
    ((128, 128), True)
    """
    rng = np.random.default_rng(rng)
    least = least_period(cell)
    if not 0 < period[0] <= period[1] < np.inf or period[1] < least:
        raise InputError(
            f"expected periods 0 < lowest <= highest, in px, and at least {least:.2g} px for this crystal to show more "
            f"than stripes; got {period}"
        )
    drawn = float(np.exp(rng.uniform(np.log(max(period[0], least)), np.log(period[1]))))
    return render_crystal(cell, shape, rng, period=drawn, angle=float(rng.uniform(0, 360)), flaws=random_flaws(rng))


def least_period(cell: UnitCell) -> float:
    """Return the shortest lattice repeat at which 95 % of a cell's variance is coarser than two pixels, px."""
    finest = np.hypot(*frequencies(cell.harmonics, cell.vectors).T)
    order = np.argsort(finest, kind="stable")
    power = np.cumsum(np.where(finest > 0, np.abs(cell.coefficients) ** 2, 0)[order])
    needed = finest[order][np.searchsorted(power, _SHOWN * power[-1])]
    return float(np.hypot(*cell.vectors.T).min() * 2.001 * needed)


def render_crystal(
    cell: UnitCell,
    shape: tuple[int, int],
    rng: np.random.Generator | int,
    *,
    period: float,
    angle: float = 0.0,
    flaws: Flaws | None = None,
) -> Crystal:
    """Draw the crystal that has a cell, with flaws and a random origin.

    Parameters
    ----------
    cell : UnitCell
        The crystal, from `average_cell`.
    shape : (int, int)
        Y, X in px.
    rng : numpy.random.Generator or int
        Draws the origin and every flaw.
    period : float
        The shortest lattice repeat, px; at least `least_period`.
    angle : float
        How far the cell is turned, degrees from X towards Y.
    flaws : Flaws, optional
        None: a perfect crystal.

    Returns
    -------
    Crystal
        Image and truth.

    Raises
    ------
    InputError
        If the period is too small for the cell, or shape or angle cannot be.

    Notes
    -----
    Displacement and strain bend the image as a whole, so each column is exactly where the bending takes it. What lies
    above the cell's minimum is shared among the columns in the ratio of Gaussians with the curvatures of their peaks;
    a vacancy loses its share. For columns that are Gaussians this takes away the column itself; for any others it
    leaves neither a ring nor values below the minimum.

    Examples
    --------
    >>> from napari_hush.synthesis import Lattice, average_cell, render_lattice
    >>> cell = average_cell(render_lattice(Lattice(period=12.3), (40, 40), 0).image)
    >>> crystal = render_crystal(cell, (100, 100), 0, period=10.0, flaws=Flaws(vacancies=0.1))
    >>> len(crystal.positions) + len(crystal.vacancies)
    100
    """
    if len(shape) != 2 or min(shape) < 1:
        raise InputError(f"shape must be two positive numbers of px (Y, X); got {shape!r}")
    least = least_period(cell)
    if not (least <= period < np.inf and np.isfinite(angle)):
        raise InputError(
            f"expected a period of at least {least:.2g} px, so that this crystal shows more than stripes, and a finite "
            f"angle, in degrees; got {period} and {angle}"
        )
    rng = np.random.default_rng(rng)
    flaws = Flaws() if flaws is None else flaws
    turn = np.deg2rad(angle)
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])  # rows (y, x), from X to Y
    vectors = period / np.hypot(*cell.vectors.T).min() * cell.vectors @ rotation
    profile = _profile(cell, vectors)
    origin = rng.random(2) @ vectors

    bend = _bend(shape, period, flaws, rng)  # (2, Y, X)
    margin = 4 * float(profile.sigmas.max()) + float(np.abs(bend).max()) + 1
    perfect, species = sites_near(cell.columns, vectors, shape, margin, origin)
    sites = perfect
    for _ in range(30):  # to where r - bend(r) is the perfect place; most need four turns
        before = sites
        sites = perfect + np.stack([ndimage.map_coordinates(b, sites.T, order=1, mode="nearest") for b in bend], axis=1)
        if np.abs(sites - before).max(initial=0) < 1e-4:
            break
    amounts = np.clip(rng.normal(1, flaws.intensity_spread, len(sites)), 0, 2)
    missing = rng.random(len(sites)) < flaws.vacancies
    amounts[missing] = 0

    image = _sample(profile.table, vectors, origin, bend) * _shares(profile, sites, species, amounts, shape)
    image = np.float32(flaws.background) + np.float32(1 - flaws.background) * image
    if flaws.thickness:
        image *= np.clip(1 + flaws.thickness * smooth_field(shape, 0.2 * max(shape), rng), 0, None)
    y, x = sites.T
    inside = (y >= 0) & (y <= shape[0] - 1) & (x >= 0) & (x <= shape[1] - 1)
    present = inside & ~missing
    return Crystal(image.astype(np.float32), sites[present], species[present], sites[inside & missing], period)


class _Profile(NamedTuple):
    """A cell as it looks at one scale, from 0 at its minimum to 1 at its highest column."""

    table: NDArray[np.float32]
    """(U, V) values over fractions of the two vectors."""
    heights: NDArray[np.float64]
    """(S,) of the columns' Gaussians, without the tails of their neighbours."""
    sigmas: NDArray[np.float64]
    """(S,) their standard deviations, px."""


def _profile(cell: UnitCell, vectors: NDArray[np.float64]) -> _Profile:
    waves = frequencies(cell.harmonics, vectors)
    kept = np.hypot(*waves.T) < 0.5
    waves, harmonics, coefficients = waves[kept], cell.harmonics[kept], cell.coefficients[kept]
    lengths = np.hypot(*vectors.T)
    least = 8 * np.abs(harmonics).max(axis=0)
    sizes = [fft.next_fast_len(int(max(_FINENESS * a / lengths.min(), b))) for a, b in zip(lengths, least, strict=True)]
    spectrum = np.zeros(sizes, dtype=np.complex128)
    spectrum[tuple(harmonics.T)] = coefficients
    table = fft.ifft2(spectrum, norm="forward").real

    phased = np.exp(2j * np.pi * cell.columns @ harmonics.T) * coefficients  # (S, K)
    low = float(table.min())
    peaks = phased.sum(axis=1).real - low
    bends = -4 * np.pi**2 * np.einsum("sk,ki,kj->sij", phased, waves, waves).real
    # A Gaussian's second derivatives are -height / sigma²; their geometric mean over directions, where it is a top.
    curvature = np.sqrt(np.maximum(np.linalg.det(bends), 0))
    cells = np.array([(i, j) for i in range(-2, 3) for j in range(-2, 3)])
    steps = (cells[:, None, None] + cell.columns[:, None] - cell.columns) @ vectors  # (25, S, S, 2)
    squares = np.sum(steps**2, axis=-1)
    nearest = np.sqrt(np.where(squares > 1e-9, squares, np.inf).min(axis=(0, 2)))  # (S,)
    sigmas = np.sqrt(np.maximum(peaks, 0) / np.maximum(curvature, 1e-12))
    sigmas = np.clip(sigmas, nearest / 7, nearest / 3)
    overlap = np.exp(-squares / (2 * sigmas**2)).sum(axis=0)  # (S, S)
    heights = np.clip(np.linalg.lstsq(overlap, peaks, rcond=None)[0], 0.1 * peaks, peaks)
    top = float(peaks.max())
    return _Profile(((table - low) / top).astype(np.float32), np.maximum(heights / top, 1e-3), sigmas)


def _bend(shape: tuple[int, int], period: float, flaws: Flaws, rng: np.random.Generator) -> NDArray[np.float32]:
    """Draw the displacement of each place, (2, Y, X) px along (y, x); it hardly changes within a column."""
    bend = np.zeros((2, *shape), dtype=np.float32)
    if flaws.strain:
        places = np.indices(shape, dtype=np.float64).reshape(2, -1).T  # (Y X, 2)
        bend += slow_displacement(places, flaws.strain, shape, rng).T.reshape(2, *shape)
    if flaws.displacement:
        for part in bend:
            part += np.float32(flaws.displacement * period) * smooth_field(shape, 0.6 * period, rng)
    return bend


def _sample(
    table: NDArray[np.float32], vectors: NDArray[np.float64], origin: NDArray[np.float64], bend: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Read the bent crystal (Y, X) from its cell."""
    y = np.arange(bend.shape[1])[:, None] - origin[0] - bend[0]
    x = np.arange(bend.shape[2]) - origin[1] - bend[1]
    inverse = np.linalg.inv(vectors) * table.shape
    places = np.stack([y * inverse[0, k] + x * inverse[1, k] for k in (0, 1)])  # (2, Y, X)
    return np.maximum(ndimage.map_coordinates(table, places, order=1, mode="grid-wrap"), 0)


def _shares(
    profile: _Profile,
    sites: NDArray[np.float64],
    species: NDArray[np.intp],
    amounts: NDArray[np.float64],
    shape: tuple[int, int],
) -> NDArray[np.float32]:
    """How much of the crystal is left at each place, (Y, X), where ``amounts`` (N,) is left of the columns."""
    rest = 1e-3 * float(profile.heights.min())  # far from every column all stays as it is
    whole, changed = np.full(shape, rest, dtype=np.float32), np.zeros(shape, dtype=np.float32)
    for kind, (height, sigma) in enumerate(zip(profile.heights, profile.sigmas, strict=True)):
        mine = species == kind
        places, left = sites[mine], amounts[mine]
        whole += render_columns(places, np.full(len(places), height), sigma, shape)
        changed += render_columns(places[left != 1], height * (left[left != 1] - 1), sigma, shape)
    return 1 + changed / whole
