"""One field of the wide world with its truth: a structure, its flaws, and what the scan does to both."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from napari_hush.errors import InputError
from napari_hush.synthesis.fields import smooth_field
from napari_hush.synthesis.lattices.crystal import random_flaws
from napari_hush.synthesis.lattices.lattice import slow_displacement
from napari_hush.synthesis.wide.cells import random_cell
from napari_hush.synthesis.wide.displacements import random_displacement, random_rms, relaxation
from napari_hush.synthesis.wide.scan import random_brightness, random_distortion
from napari_hush.synthesis.wide.structures import STRUCTURES

if TYPE_CHECKING:
    from numpy.typing import NDArray


class WideField(NamedTuple):
    """An image and the truth behind it; positions are (y, x) in px, pixel centres at integers."""

    image: NDArray[np.float32]
    """(Y, X), peaks about 1."""
    positions: NDArray[np.float64]
    """(N, 2) columns inside the image."""
    species: NDArray[np.intp]
    """(N,) index of each column in its cell, the brightest first; 0 in what is amorphous."""
    vacancies: NDArray[np.float64]
    """(M, 2) where columns of a crystal are missing."""
    heights: NDArray[np.float64]
    """(N,) peaks of the columns above what lies under them, without what thickness and scan change."""
    period: float
    """The lattice spacing, px."""
    kind: str
    """A key of `STRUCTURES`."""


def random_wide_field(
    rng: np.random.Generator | int,
    shape: tuple[int, int],
    *,
    period: tuple[float, float] = (5.5, 42.0),
    kind: str | None = None,
    regular: bool = False,
) -> WideField:
    """Draw a field of the wide world.

    Parameters
    ----------
    rng : numpy.random.Generator or int
        Source of randomness.
    shape : (int, int)
        Y, X in px.
    period : (float, float)
        Lowest and highest lattice spacing, px, drawn log-uniformly.
    kind : str, optional
        A key of `STRUCTURES`; None draws one.
    regular : bool
        Whether no column stands far from where its crystal wants it: displacements of up to 0.02 periods, one by one.

    Returns
    -------
    WideField
        Image and truth.

    Raises
    ------
    InputError
        If shape or period cannot be, or the kind is unknown.

    Notes
    -----
    The displacement's rms per axis is up to 0.03 periods in half of the fields, up to 0.08 in a third and up to 0.15 in
    the rest, but never above a fifth of the distance of neighbours. Vacancies, background, spread of heights, strain
    and thickness are those of `random_flaws`.

    Examples
    --------
    >>> field = random_wide_field(1, (96, 96), period=(10, 10), kind="twin")
    >>> field.image.shape, field.kind
    ((96, 96), 'twin')
    """
    if len(shape) != 2 or min(shape) < 1:
        raise InputError(f"shape must be two positive numbers of px (Y, X); got {shape!r}")
    if not 0 < period[0] <= period[1] < np.inf:
        raise InputError(f"expected periods 0 < lowest <= highest, in px; got {period}")
    if kind is not None and kind not in STRUCTURES:
        raise InputError(f"kind must be one of {', '.join(STRUCTURES)}, or None for any; got {kind!r}")
    rng = np.random.default_rng(rng)
    size = float(np.exp(rng.uniform(*np.log(period))))
    drawn = str(rng.choice(list(STRUCTURES), p=[share for share, _ in STRUCTURES.values()]))
    kind = drawn if kind is None else kind
    cell = random_cell(rng, size)
    columns = STRUCTURES[kind][1](cell, shape, size, rng)
    flaws = random_flaws(rng)

    rms = min(random_rms(rng, regular=regular) * size, 0.2 * cell.nearest)
    if regular:
        moved = rng.normal(0, rms, columns.sites.shape)
    else:
        moved = random_displacement(columns, rms, shape, size, rng)
    missing = columns.ordered & (rng.random(len(columns.sites)) < flaws.vacancies)
    if not regular and rng.random() < 0.4:
        moved += relaxation(columns, missing, cell.nearest, rng)
    far = np.hypot(*moved.T) / (0.45 * cell.nearest)  # no column comes to stand on its neighbour
    sites = columns.sites + moved / np.maximum(far, 1)[:, None]
    if flaws.strain:
        sites = sites + slow_displacement(sites, flaws.strain, shape, rng)
    sites = sites + random_distortion(sites, shape, size, rng)
    amounts = np.clip(rng.normal(1, flaws.intensity_spread, len(sites)), 0, 2)
    columns = columns._replace(sites=sites, heights=columns.heights * amounts)

    ground = _ground(kind, shape, size, flaws.background, rng)
    image = ground + (1 - flaws.background) * columns.chosen(~missing).render(shape)
    if flaws.thickness:
        image *= np.clip(1 + flaws.thickness * smooth_field(shape, 0.2 * max(shape), rng), 0, None)
    image *= random_brightness(shape, size, rng)
    y, x = sites.T
    inside = (y >= 0) & (y <= shape[0] - 1) & (x >= 0) & (x <= shape[1] - 1)
    present = inside & ~missing
    return WideField(
        image=image.astype(np.float32),
        positions=sites[present],
        species=columns.species[present],
        vacancies=sites[inside & missing],
        heights=(1 - flaws.background) * columns.heights[present],
        period=size,
        kind=kind,
    )


def _ground(
    kind: str, shape: tuple[int, int], period: float, level: float, rng: np.random.Generator
) -> NDArray[np.float32]:
    """What lies under the columns, (Y, X): even, or for particles an amorphous support."""
    if kind != "particles":
        return np.full(shape, level, dtype=np.float32)
    grain = smooth_field(shape, period * rng.uniform(0.12, 0.4), rng)
    ground = (level + 0.08) * np.clip(1 + rng.uniform(0.05, 0.25) * grain, 0, None)
    return np.asarray(ground, dtype=np.float32)
