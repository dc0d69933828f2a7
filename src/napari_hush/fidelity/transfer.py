"""Transfer: how much of the columns' displacements and differences in height a denoised image has kept.

A denoiser that knows lattices pulls columns towards their sites and usual heights. Regressed on the true deviations,
those of its output have a slope under 1: strain, polarisation and atom counts come out too small by that factor.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage, sparse
from scipy.sparse import csgraph
from scipy.spatial import cKDTree

from napari_hush.atoms.columns import Atoms, column_contrast, fit_atoms, match_atoms
from napari_hush.atoms.spacing import find_lattice
from napari_hush.errors import InputError
from napari_hush.inference.guards.strict import faintest_contrast, with_columns_of
from napari_hush.threads import begun

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import ArrayLike, NDArray

    from napari_hush.residual.noise import NoiseModel

    Floats = NDArray[np.float64]

RADIUS = 0.3  # spacings within which two columns are the same
STEP = 0.3  # spacings by which a neighbour may lie off its site
DEGREE = 2  # of the polynomial that is a lattice's smooth course
LEAST = 4  # columns per coefficient of it: smaller patches are left out
CERTAIN = 2.0  # standard errors by which a loss must be seen to be told
SMALL = 0.05  # and a loss that is told
NEARLY_ALL = 0.9  # of the displacements: no need to ask how large they are
CERTAIN_DISPLACEMENT = 3.0  # standard errors by which columns must be displaced beyond their noise
WELL_KNOWN = 0.03  # spacings to which a column's place must be known, so that its displacement is believed
UNEVEN = 4.0  # times the variance of means over rows that the noise of the pixels explains
FAR_OFF = 5.0  # medians of the displacements: a normal one is never so far off in some hundred columns
OUTSTANDING = 2.0  # times the noise's mean square that their displacements must have: it is not known better


@dataclass(frozen=True, kw_only=True)
class Transfer:
    """How much of the columns' deviations was kept: 1 all, 0 nothing.

    Parameters
    ----------
    positions, heights : float
        The slopes; NaN where there is nothing to tell them from.
    position_error, height_error : float
        Their standard errors.
    displacement : float
        Root mean square of the reference's displacements per axis, its noise included, in spacings.
    spread : float
        The same of its heights, over their mean.
    columns : int
        How many were compared.
    positions_y, displacement_y : float
        Slope of the positions and rms of the displacements along Y alone, where the scan's rows do not move columns;
        without the few that lie far off, which may be mistaken.
    lost : float
        Root mean square of the true displacement along Y that the output has certainly not kept, in spacings: 0 where
        none is certain, NaN where the noise is not known, or rows lie on levels of their own.
    """

    positions: float
    heights: float
    position_error: float
    height_error: float
    displacement: float
    spread: float
    columns: int
    positions_y: float = float("nan")
    displacement_y: float = float("nan")
    lost: float = float("nan")

    @property
    def words(self) -> str:
        """What a person must know of it, in one line; empty where nothing certain is lost."""
        told = []
        for what, slope, error in (
            ("displacements", self.positions, self.position_error),
            ("differences in height", self.heights, self.height_error),
        ):
            if 1 - slope > max(SMALL, CERTAIN * error):
                told.append(f"{what} would come out {100 * (1 - slope):.0f} % too small here")
        return ", ".join(told)


def measure_columns(image: ArrayLike, spacing: float, *, dark: bool = False, atoms: Atoms | None = None) -> Atoms:
    """Find columns as `fit_atoms`, with heights that compare well between a noisy and a denoised image.

    Parameters
    ----------
    image : array_like, shape (Y, X)
        Finite.
    spacing : float
        Distance of the columns that are looked at, px; as of `find_atoms`.
    dark : bool
        Whether columns are darker than what is around them.
    atoms : Atoms, optional
        What `fit_atoms` found, where that is known.

    Returns
    -------
    Atoms
        Those whose fit held; ``heights`` are the contrast ``G(0.15 a) - G(0.7 a)`` at each position: in noise it is
        three times as certain as the peak of a Gaussian whose width is fitted too.
    """
    values = np.asarray(image, np.float64)
    atoms = fit_atoms(values, spacing, dark=dark) if atoms is None else atoms
    contrast = column_contrast(values, spacing)
    heights = ndimage.map_coordinates(-contrast if dark else contrast, atoms.positions.T, order=3, mode="mirror")
    good = atoms.fitted
    return Atoms(
        positions=atoms.positions[good], heights=heights[good], sigmas=atoms.sigmas[good], fitted=atoms.fitted[good]
    )


def transfer(
    found: Atoms, reference: Atoms, vectors: ArrayLike, *, spacing: float | None = None, instrument: Atoms | None = None
) -> Transfer:
    """Regress the deviations of an output's columns on those of a reference.

    Parameters
    ----------
    found : Atoms
        Columns of the output, from `measure_columns`.
    reference : Atoms
        The true columns; or columns whose errors are told apart by ``instrument``.
    vectors : array_like, shape (2, 2)
        Two lattice vectors (y, x), px, as from `find_lattice`; to 10 % will do.
    spacing : float, optional
        Distance of nearest columns, px; the length of the shorter vector if not given.
    instrument : Atoms, optional
        The same columns in an image whose noise has nothing to do with that of the other two.

    Returns
    -------
    Transfer

    Raises
    ------
    InputError
        If the vectors are not two independent ones.

    Notes
    -----
    *Deviations.* Columns one lattice vector apart are linked. To each linked patch (a sublattice, a grain) a polynomial
    of degree 2 in the lattice indices is fitted by least squares, to the positions and to the heights: the ideal
    lattice with smooth strain and thickness. What is left are the deviations. So the figure speaks of what varies from
    column to column; slow strain, and a shift of a whole sublattice, are not in it. The same columns and indices are
    used for all images, and the fit is linear, so that it favours none of them.

    *Regression.* ``u`` the true deviations, ``v = T u + w`` the output's. With the truth as reference the slope
    ``<v u> / <u u>`` is T. A noisy reference ``n = u + e`` gives ``(T <u u> + <w e>) / (<u u> + <e e>)``: too small
    where e is independent of the output, by the share of noise in n. With an instrument ``m = u + e'``, e' independent
    of e and w, the slope is ``<v m> / <n m>``, which is T without bias and without any noise being known: a second
    frame, or half of the counts where the output was made from the other half. With e and w of the same image
    ``<w e>`` is not zero; `predict_transfer` makes use of that.

    Examples
    --------
    >>> from dataclasses import replace
    >>> sites = np.stack(np.mgrid[:20, :20], axis=-1).reshape(-1, 2) * 10.0
    >>> shifts = np.random.default_rng(0).normal(0, 0.3, sites.shape)
    >>> ones = np.ones(400)
    >>> true = Atoms(positions=sites + shifts, heights=ones, sigmas=ones, fitted=ones > 0)
    >>> straightened = replace(true, positions=sites + 0.8 * shifts)
    >>> round(transfer(straightened, true, [(10, 0), (0, 10)]).positions, 3)
    0.8
    """
    lattice = np.asarray(vectors, np.float64)
    if lattice.shape != (2, 2) or not abs(np.linalg.det(lattice)) > 1e-3 * float((lattice**2).sum()):
        raise InputError(f"vectors must be two independent lattice vectors (y, x), px; got {vectors!r}")
    length = float(np.hypot(*lattice.T).min())
    radius = RADIUS * (spacing or length)
    columns = [reference, found, *([instrument] if instrument is not None else [])]
    common = np.arange(len(reference.positions))[:, None]
    for other in columns[1:]:
        pairs = match_atoms(reference.positions, other.positions, radius).pairs
        partner = np.full(len(reference.positions), -1, dtype=np.intp)
        partner[pairs[:, 0]] = pairs[:, 1]
        common = np.column_stack([common, partner])
    common = common[(common >= 0).all(axis=1)]
    positions = [one.positions[index] for one, index in zip(columns, common.T, strict=True)]
    heights = [one.heights[index, None] for one, index in zip(columns, common.T, strict=True)]
    kept, lost, patches = 0, 0, lattice_patches(positions[0], lattice, tolerance=STEP * (spacing or length))
    left: list[list[Floats]] = [[] for _ in range(2 * len(columns))]
    for members, indices in patches:
        course = _polynomial(indices)
        if len(members) < LEAST * course.shape[1]:
            continue
        smooth, _ = np.linalg.qr(course)
        for values, parts in zip([*positions, *heights], left, strict=True):
            own = values[members]
            parts.append(own - smooth @ (smooth.T @ own))
        kept, lost = kept + len(members), lost + course.shape[1]
    if not kept:
        nothing = float("nan")
        return Transfer(
            positions=nothing, heights=nothing, position_error=nothing, height_error=nothing, displacement=nothing,
            spread=nothing, columns=0,
        )  # fmt: skip
    joined = [np.concatenate(parts) for parts in left]
    shifts, changes = joined[: len(columns)], joined[len(columns) :]
    mean = float(np.mean(heights[0]))
    free = kept - lost
    (slope, error), (height, height_error) = _slope(shifts, 2 * free), _slope(changes, free)
    along_y = [shift[:, :1] for shift in shifts]
    usual = np.abs(along_y[0]) <= FAR_OFF * np.median(np.abs(along_y[0]))  # not a mistaken column
    along_y = [shift[usual] for shift in along_y]
    return Transfer(
        positions=slope,
        heights=height,
        position_error=error,
        height_error=height_error,
        displacement=float(np.sqrt((shifts[0] ** 2).sum() / (2 * free))) / length,
        spread=float(np.sqrt((changes[0] ** 2).sum() / free)) / max(abs(mean), 1e-300),
        columns=kept,
        positions_y=_slope(along_y, free)[0],
        displacement_y=float(np.sqrt((along_y[0] ** 2).sum() / max(usual.sum() - lost, 1))) / length,
    )


def predict_transfer(
    noisy: ArrayLike,
    output: ArrayLike,
    *,
    spacing: float | None = None,
    dark: bool = False,
    noise: Callable[[], NoiseModel | None] | None = None,
    atoms: Atoms | None = None,
) -> Transfer | None:
    """Tell without a truth how much of displacements and differences in height a denoised image has kept.

    Parameters
    ----------
    noisy, output : array_like, shape (Y, X)
        The noisy image and its denoised one, in one unit, finite.
    spacing : float, optional
        Distance of nearest columns, px; the lattice period if not given.
    dark : bool
        Whether columns are darker than what is around them.
    noise : callable, optional
        Gives the noise of the noisy image when it is known, in a thread of its own: then ``lost`` is told, if it is
        calibrated.
    atoms : Atoms, optional
        Of the output, from `fit_atoms` with that distance, where they are known.

    Returns
    -------
    Transfer or None
        None where there is no lattice.

    Notes
    -----
    The reference are the columns that `with_columns_of` makes of the two images: unbiased, ``n = u + e``, and as
    certain as the noisy image allows. The output pulls just these towards the lattice, ``v = T n + rest``, e being the
    noise of the very image that it was made from, so the slope of v on n is T although n is noisy: numerator and
    denominator both hold the noise, ``(T <u u> + T <e e>) / (<u u> + <e e>)``. It is somewhat too small where a network
    finds columns better than a fit of each one can. No noise has to be known: dose and displacements of the image are
    in n. The posterior mean of lone columns, ``<u u> / (<u u> + <e e>)``, is a worse guess: networks shrink by what
    they were trained on, not by what the image holds. Measured on simulated fields with displacements of 0.04 periods,
    `stem` at 3 / 10 / 50 counts per pixel: 0.75 / 0.85 / 0.95 where 0.78 / 0.86 / 0.96 is true, in no field off by more
    than 0.05; heights 0.45 / 0.63 / 0.86 where 0.54 / 0.67 / 0.88 is true.

    *What is certainly lost.* The share alone says little: of a perfect crystal nothing is lost, however small it is.
    What the columns' displacements in ``n`` are beyond their noise is real: ``<u u> = <n n> - <e e>``, with ``<e e>``
    from the same fit to the output with new noise of the image's own kind. An output that owes nothing to the noise
    has ``<v n> = T <u u>``; any other has kept less. So ``(1 - <v n> / <u u>) <u u>^0.5`` is the least that is lost,
    and 0 for the truth. Only displacements along Y count: along X each row of a scan begins at a place of its own; and
    none where rows lie on levels of their own, which move columns along Y.
    """
    seen, made = np.asarray(noisy, np.float64), np.asarray(output, np.float64)
    if seen.ndim != 2 or seen.shape != made.shape:
        raise InputError(f"expected two planes (Y, X) of one shape, got {seen.shape} and {made.shape}")
    lattice = find_lattice(made)
    if lattice is None:
        return None
    period = lattice.spacing
    near = spacing or period

    def unbiased(image: Floats) -> Atoms:
        faintest = faintest_contrast([image], period, dark=dark)
        return measure_columns(with_columns_of(image, made, period, faintest=faintest, dark=dark), near, dark=dark)

    @cache
    def known() -> NoiseModel | None:
        model = None if noise is None else noise()
        if model is None or not model.calibrated or _is_uneven(seen - made, made, model):
            return None
        return model

    def drawn_again() -> Atoms | None:
        model = known()
        return None if model is None else unbiased(made + model.draw(made, 0))

    again_found = begun(drawn_again)  # mostly wanted
    found = measure_columns(made, near, dark=dark, atoms=atoms)
    told = transfer(found, unbiased(seen), lattice.vectors, spacing=near)
    if not told.columns or known() is None:
        return told
    if told.positions_y > NEARLY_ALL or (drawn := again_found()) is None:
        return replace(told, lost=0.0)
    again = transfer(found, drawn, lattice.vectors, spacing=near)
    own = transfer(found, found, lattice.vectors, spacing=near)
    error = max(again.displacement_y**2 - own.displacement_y**2, 0.0)
    real = told.displacement_y**2 - error
    unsure = np.sqrt(2 / told.columns) * np.hypot(told.displacement_y**2, again.displacement_y**2)
    if error > WELL_KNOWN**2 or not real > max(CERTAIN_DISPLACEMENT * unsure, OUTSTANDING * error):
        return replace(told, lost=0.0)
    kept = told.positions_y * told.displacement_y**2 / real
    return replace(told, lost=max(1 - kept, 0.0) * float(np.sqrt(real)))


def lattice_patches(
    positions: Floats, vectors: Floats, *, tolerance: float
) -> list[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Link columns one lattice vector apart, and count along the links.

    Parameters
    ----------
    positions : ndarray, shape (N, 2)
        (y, x), px.
    vectors : ndarray, shape (2, 2)
        The lattice vectors, px, as rows.
    tolerance : float
        Distance by which a neighbour may lie off its place, px.

    Returns
    -------
    list of (ndarray of int (K,), ndarray of int (K, 2))
        For each linked patch the columns in it and their indices along the two vectors, from any origin.
    """
    count = len(positions)
    if not count:
        return []
    ends: list[NDArray[np.intp]] = []
    tree = cKDTree(positions)
    for axis, vector in enumerate(vectors):
        distances, neighbours = tree.query(positions + vector, k=[1], distance_upper_bound=tolerance)
        distance, neighbour = np.asarray(distances)[:, 0], np.asarray(neighbours)[:, 0]
        start = np.flatnonzero(np.isfinite(distance))
        ends.append(np.stack([start, neighbour[start], np.full(len(start), axis)]))
    start, end, axis = np.concatenate(ends, axis=1)
    graph = sparse.csr_array((np.ones(len(start)), (start, end)), shape=(count, count))
    step = {}
    for i, j, k in zip(start.tolist(), end.tolist(), axis.tolist(), strict=True):
        step[i, j], step[j, i] = (k, 1), (k, -1)
    _, labels = csgraph.connected_components(graph, directed=False)
    patches = []
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        order, before = csgraph.breadth_first_order(graph, int(members[0]), directed=False)
        indices = np.zeros((count, 2), dtype=np.intp)
        for one in order[1:].tolist():
            k, sign = step[int(before[one]), one]
            indices[one] = indices[int(before[one])]
            indices[one, k] += sign
        patches.append((members, indices[members]))
    return patches


def _is_uneven(rest: Floats, made: Floats, noise: NoiseModel) -> bool:
    """Whether rows lie on levels of their own, beyond what the noise makes of them."""
    of_rows = float(noise.variance(made).mean()) * noise.bands[0] / made.shape[1]
    return bool(rest.mean(axis=1).var() > UNEVEN * of_rows)


def _polynomial(indices: NDArray[np.intp]) -> Floats:
    """All products of powers of the two indices up to the degree, (K, coefficients)."""
    i, j = ((indices - indices.mean(axis=0)) / max(float(np.ptp(indices)), 1.0)).T
    return np.stack([i**p * j**q for p in range(DEGREE + 1) for q in range(DEGREE + 1 - p)], axis=1)


def _slope(deviations: list[Floats], free: int) -> tuple[float, float]:
    """Slope of the second on the first, told apart by the last, and its standard error."""
    reference, found, instrument = (
        deviations[0],
        deviations[1],
        deviations[-1] if len(deviations) > 2 else deviations[0],
    )
    shared = float((reference * instrument).sum())
    if not shared > 1e-12 * float((reference**2).sum() + 1e-300) or free < 1:
        return float("nan"), float("nan")
    slope = float((found * instrument).sum()) / shared
    rest = float(((found - slope * reference) ** 2).sum()) / free
    return slope, float(np.sqrt(rest * float((instrument**2).sum()))) / shared
