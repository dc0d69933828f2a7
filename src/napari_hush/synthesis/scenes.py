"""Whole clean fields with their truth: a lattice or a texture, seen through dents."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, get_args

import numpy as np

from napari_hush.errors import InputError
from napari_hush.synthesis.dents.library import warp_mask
from napari_hush.synthesis.dents.shapes import random_dent
from napari_hush.synthesis.fields import smooth_field
from napari_hush.synthesis.kinds import World
from napari_hush.synthesis.lattices.crystal import random_crystal, random_flaws
from napari_hush.synthesis.lattices.lattice import Lattice, LatticeKind, render_columns, render_lattice
from napari_hush.synthesis.wide.field import random_wide_field

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_hush.synthesis.lattices.unit_cell import UnitCell

_DENTED = 0.9  # transmission below which a place counts as dented


@dataclass(frozen=True, kw_only=True)
class Scene:
    """A clean field and the truth behind it.

    Parameters
    ----------
    clean : ndarray, shape (Y, X)
        ``transmission * (lattice + background)``, peaks about 1.
    transmission : ndarray, shape (Y, X)
        From 0 (nothing there) to 1; all ones without a dent.
    positions : ndarray, shape (N, 2)
        Atom columns (y, x), px, also those in dents.
    species : ndarray of int, shape (N,)
        Index of each column in its cell, 0 the brightest kind; zeros for isolated atoms and what is amorphous.
    vacancies : ndarray, shape (M, 2)
        Missing columns (y, x), px.
    period : float
        Lattice period, px; in the wide world the spacing, which cells with close columns repeat after up to two of;
        without a lattice the size that stood for it.
    lattice : Lattice or None
        The lattice that was drawn; None for the wide world, a crop's crystal, textures, isolated atoms and flat fields.
    kind : str
        What the field shows: a `Lattice`'s kind, a structure of the wide world, ``"crop"`` for the crystal of a unit
        crop, ``"texture"``, ``"atoms"`` or ``"flat"``.
    """

    clean: NDArray[np.float32]
    transmission: NDArray[np.float32]
    positions: NDArray[np.float64]
    species: NDArray[np.intp]
    vacancies: NDArray[np.float64]
    period: float
    lattice: Lattice | None
    kind: str

    @property
    def dented(self) -> bool:
        """Whether any part transmits less than 90 %."""
        return bool(self.transmission.min() < _DENTED)

    @property
    def mask(self) -> NDArray[np.bool_]:
        """Where less than 90 % transmits, (Y, X)."""
        return np.asarray(self.transmission < _DENTED)


def random_lattice(rng: np.random.Generator | int, *, period: tuple[float, float] = (8.4, 16.8)) -> Lattice:
    """Draw a lattice from the ranges that the bundled model is trained on.

    Parameters
    ----------
    rng : numpy.random.Generator or int
        Source of randomness.
    period : (float, float)
        Lowest and highest period, px, drawn log-uniformly.

    Returns
    -------
    Lattice
        Any kind and angle; column sigma 0.13 to 0.25 of the period, less where columns are closer than a period.
    """
    rng = np.random.default_rng(rng)
    kind = get_args(LatticeKind)[rng.choice(6, p=[0.25, 0.15, 0.25, 0.1, 0.15, 0.1])]
    if kind in ("honeycomb", "dumbbell"):
        sublattice = rng.uniform(0.15, 1)
    else:
        sublattice = rng.uniform(0.15, 0.8) if kind != "hexagonal" and rng.random() < 0.4 else 0.0
    drawn = Lattice(
        kind=kind,
        period=float(np.exp(rng.uniform(*np.log(period)))),
        angle=float(rng.uniform(0, 360)),
        ratio=float(rng.uniform(1.05, 1.7)),
        gamma=float(rng.uniform(62, 88)),
        sublattice=float(sublattice),
        **asdict(random_flaws(rng)),
        grain_angle=float(rng.uniform(5, 55)) if rng.random() < 0.1 else 0.0,
    )
    crowding = min(1.0, 1.25 * drawn.nearest / drawn.period)
    return Lattice(**{**drawn.__dict__, "sigma": float(rng.uniform(0.13, 0.25)) * crowding})


def random_scene(
    rng: np.random.Generator | int,
    *,
    shape: tuple[int, int] = (256, 256),
    period: tuple[float, float] = (5.5, 42.0),
    lattice_share: float = 0.9,
    dent_share: float = 0.7,
    cell: UnitCell | None = None,
    masks: Sequence[NDArray[np.floating]] = (),
    mask_periods: Sequence[float] = (),
    mask_share: float = 0.5,
    world: World = "plain",
) -> Scene:
    """Draw a clean field.

    Parameters
    ----------
    rng : numpy.random.Generator or int
        Source of randomness.
    shape : (int, int)
        Y, X in px.
    period : (float, float)
        Lowest and highest lattice period, px, drawn log-uniformly.
    lattice_share : float
        Probability of a lattice; otherwise a smooth texture, isolated atoms or a flat field.
    dent_share : float
        Probability of one or more dents.
    cell : UnitCell, optional
        The crystal of a unit crop, from `average_cell`, which then takes the place of every lattice.
    masks : sequence of ndarray, each (Y', X')
        Transmissions of real dents, from `dent_from_image`.
    mask_periods : sequence of float
        The lattice period of the image that each mask comes from, px.
    mask_share : float
        Probability that a dented field gets one of the masks, warped, instead of a drawn dent; of no effect without
        masks.
    world : {"plain", "wide", "regular"}
        Which lattices are drawn: those of `random_lattice`, or those of `random_wide_field`, as they come or hardly
        displaced. A crystal of a unit crop is the same in all.

    Returns
    -------
    Scene
        The field and its truth.

    Raises
    ------
    InputError
        If a share is no probability, masks and mask_periods do not match, a period is not positive, the world is
        unknown, or `random_crystal` or `warp_mask` refuses the cell or a mask.

    Examples
    --------
    >>> from napari_hush.synthesis import average_cell, ellipse
    >>> cell = average_cell(render_lattice(Lattice(period=12.3), (40, 40), 0).image)
    >>> dent = ellipse((96, 96), centre=(48, 48), fwhm=(40, 30))
    >>> scene = random_scene(
    ...     0, shape=(64, 64), lattice_share=1, dent_share=1, cell=cell, masks=[dent], mask_periods=[9.0], mask_share=1
    ... )
    >>> scene.kind, scene.dented
    ('crop', True)
    """
    _check(masks, mask_periods, lattice_share=lattice_share, dent_share=dent_share, mask_share=mask_share)
    if world not in get_args(World):
        raise InputError(f"world must be one of {', '.join(get_args(World))}; got {world!r}")
    rng = np.random.default_rng(rng)
    lattice, vacancies = None, np.empty((0, 2))
    if rng.random() >= lattice_share:
        size = float(np.exp(rng.uniform(*np.log(period))))
        kind, image, positions = _no_lattice(shape, size, rng)
        species = np.zeros(len(positions), dtype=np.intp)
    elif cell is not None:
        kind = "crop"
        image, positions, species, vacancies, size = random_crystal(cell, shape, rng, period=period)
    elif world != "plain":
        image, positions, species, vacancies, _, size, kind = random_wide_field(
            rng, shape, period=period, regular=world == "regular"
        )
    else:
        lattice = random_lattice(rng, period=period)
        kind, size = lattice.kind, lattice.period
        image, positions, species, vacancies = render_lattice(lattice, shape, rng)
    if rng.random() >= dent_share:
        transmission = np.ones(shape, dtype=np.float32)
    elif len(masks) and rng.random() < mask_share:
        chosen = int(rng.integers(len(masks)))
        zoom = size / mask_periods[chosen]
        transmission = warp_mask(masks[chosen], rng, shape=shape, scale=(0.6 * zoom, 1.6 * zoom))
    else:
        transmission = random_dent(shape, size, rng)
    return Scene(
        clean=image * transmission,
        transmission=transmission,
        positions=positions,
        species=species,
        vacancies=vacancies,
        period=size,
        lattice=lattice,
        kind=kind,
    )


def _check(masks: Sequence[NDArray[np.floating]], mask_periods: Sequence[float], **shares: float) -> None:
    """Refuse shares that are no probabilities, and masks without their periods."""
    for name, share in shares.items():
        if not 0 <= share <= 1:
            raise InputError(f"{name} is a probability from 0 to 1; got {share}")
    if len(masks) != len(mask_periods):
        raise InputError(
            "every mask needs the lattice period of the image that it comes from: expected as many mask_periods as "
            f"masks; got {len(mask_periods)} and {len(masks)}"
        )
    if not all(0 < period < np.inf for period in mask_periods):
        raise InputError(f"mask_periods must be positive, in px; got {tuple(mask_periods)}")


def _no_lattice(
    shape: tuple[int, int], size: float, rng: np.random.Generator
) -> tuple[str, NDArray[np.float32], NDArray[np.float64]]:
    """Draw a field without a period: flat, a smooth texture, or single atoms on a faint support."""
    background = float(rng.uniform(0.05, 0.6))
    kind = str(rng.choice(["flat", "texture", "atoms"], p=[0.2, 0.4, 0.4]))
    if kind == "flat":
        return kind, np.full(shape, background, dtype=np.float32), np.empty((0, 2))
    texture = smooth_field(shape, size * rng.uniform(0.3, 2), rng)
    if kind == "texture":
        image = np.clip(0.5 + rng.uniform(0.05, 0.25) * texture, 0, None)
        return kind, image.astype(np.float32), np.empty((0, 2))
    count = rng.poisson(shape[0] * shape[1] / (size * rng.uniform(1.5, 4)) ** 2)
    positions = rng.uniform(0, 1, (count, 2)) * (np.array(shape) - 1)
    atoms = render_columns(positions, rng.uniform(0.4, 1, count), size * rng.uniform(0.13, 0.25), shape)
    support = background * 0.5 * np.clip(1 + 0.15 * texture, 0, None)
    return kind, (support + (1 - 0.5 * background) * atoms).astype(np.float32), positions
