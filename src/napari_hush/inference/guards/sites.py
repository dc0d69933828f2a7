"""Columns that a network took away or reshaped come back, each with its own height.

Which columns there are is read off the average cell of the noisy image, in which even a faint sublattice is plain. An
average must not be added, it would fill vacancies: what comes back is the height of each single site.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from scipy import ndimage, sparse
from scipy.sparse.linalg import cg
from scipy.spatial import cKDTree

from napari_hush.atoms.cell import LOW_PASS, Cell, find_cell, places, without_slow
from napari_hush.atoms.grains import WHOLE, Grain
from napari_hush.atoms.lockin import REACH
from napari_hush.atoms.patches import Neighbourhood, in_bands
from napari_hush.atoms.spacing import Lattices, clear_grains, find_lattices
from napari_hush.filters.smoothing import gaussian
from napari_hush.filters.splines import sampled
from napari_hush.inference.guards.gates import Gate, grain_inside, measure_gate, own_places
from napari_hush.inference.guards.shapes import NEAR, Kind, lacking_shapes
from napari_hush.inference.planes import middle_part
from napari_hush.synthesis.lattices.lattice import render_columns

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_hush.atoms.autocorrelation import LatticeFit

    Floats = NDArray[np.float64]
    Images = NDArray[np.floating]

AGREED = 5.0  # standard errors by which the mean loss there differs from nothing: there are many neighbourhoods
WORTH = 1.0  # of a single height's noise: what comes back must be more than the noise that comes with it
CONTRAST = (0.7, 1.6)  # widths of a column whose Gaussian means are compared
OVERLAP = 3.0  # periods over which columns without their slow part overlap
ENOUGH = (384, 28.0)  # px, or periods if they are more: so much of a plane is averaged
FEWEST = 4  # columns of a kind
MARGIN = 11.0  # periods: what lies further away does not matter


class _Columns(NamedTuple):
    """Columns, and how the slow parts that they are without overlap: heights are fitted to all of them together."""

    places: Floats
    kinds: NDArray[np.intp]
    own: Floats
    """The root of each one's square, (N,)."""
    overlaps: Any
    """Over both columns' roots, sparse, (N, N)."""


@dataclass(frozen=True, kw_only=True)
class SiteGuard:
    """The columns of a cell and where the cells lie; heights and places in px and the image's unit.

    Parameters
    ----------
    vectors : ((float, float), (float, float))
        Reciprocal vectors (y, x), cycles per px, whose spots are strong.
    sites : tuple of (float, float)
        Columns of the cell, in shares of the translations that belong to ``vectors``.
    sigmas : tuple of float
        Standard deviation of each of them, px.
    period : float
        Of the lattice, px.
    sign : int
        1 for bright columns, -1 for dark ones.
    gate : Gate or None
        Tells where the lattice is, in an image with several grains; None: everywhere.
    multiple : int
        How many times longer the true translations are: each column of the cell is as many kinds as there are cells in
        the larger one.
    """

    vectors: tuple[tuple[float, float], tuple[float, float]]
    sites: tuple[tuple[float, float], ...]
    sigmas: tuple[float, ...]
    period: float
    sign: int = 1
    gate: Gate | None = None
    multiple: int = 1

    @property
    def widths(self) -> NDArray[np.float64]:
        """The standard deviation of each kind's columns, px."""
        return np.repeat(self.sigmas, self.multiple**2)

    @property
    def margin(self) -> int:
        """How far around a part the images must be known, px."""
        return site_margin(self.period)

    def __call__(
        self, noisy: Images, generated: Images, origin: tuple[int, int] = (0, 0), where: Images | None = None
    ) -> tuple[Images, Images]:
        """Give lost columns back.

        Parameters
        ----------
        noisy, generated : ndarray, shape (Y, X)
            The same part of the noisy image and of a network's output, finite; their slow contrast may differ.
        origin : (int, int)
            Where the part begins in the plane, px.
        where : ndarray, shape (Y, X), optional
            1 where the lattice is and 0 where another one is, see `own_places`; 1 everywhere by default.

        Returns
        -------
        result, given : ndarray, shape (Y, X)
            The result, and what was added.
        """
        found = self.positions(noisy, origin)
        kinds = np.concatenate([np.full(len(at), k) for k, at in enumerate(found)])
        positions = np.concatenate(found)
        share = np.ones(len(positions))
        if where is not None:
            share = ndimage.map_coordinates(where, positions.T, order=1, mode="nearest")
            positions, kinds, share = positions[share > 0], kinds[share > 0], share[share > 0]
        given = np.zeros_like(generated)
        if not len(positions):
            return generated, given
        lack = noisy - generated
        columns = self._columns(positions, kinds)
        heights = self._heights(self._detail(lack), columns)
        excess = self._contrasts(lack - generated, positions, kinds)  # what was lost beyond what is shown
        del lack
        back = np.zeros(len(positions))
        near = {
            kind: Neighbourhood(positions[kinds == kind], NEAR * self.period)
            for kind in range(len(self.widths))
            if (kinds == kind).sum() >= FEWEST
        }
        for kind, around in near.items():
            mine = kinds == kind
            back[mine] = share[mine] * _lost(heights[mine], excess[mine], around)
        chosen = back != 0
        if chosen.any():
            given = self._drawn(positions[chosen], back[chosen], kinds[chosen], generated)
        if near:
            result = generated + given
            heights = self._heights(self._detail(result), columns)
            several = [
                Kind(positions[kinds == kind], heights[kinds == kind], self.widths[kind], around)
                for kind, around in near.items()
            ]
            del columns
            shapes = lacking_shapes(
                noisy - result,
                result,
                self._drawn(positions, heights, kinds, generated),  # given away, as what lacks: neither is kept
                several,
                self.period,
                self.sign,
            )
            if where is not None:
                shapes *= where
            given += shapes
        return generated + given, given

    def positions(self, noisy: Images, origin: tuple[int, int] = (0, 0)) -> list[Floats]:
        """For each kind of columns where they lie, (N, 2), px of the part."""
        vectors = np.array(self.vectors)
        found = []
        for at, cells in places(noisy, self.sites, vectors, self.period, origin):
            which = cells % self.multiple @ [self.multiple, 1]
            for kind in range(self.multiple**2):
                own = at[which == kind]
                found.append(own[in_bands(own, NEAR * self.period)])
        return found

    def as_dict(self) -> dict[str, Any]:
        """JSON-able, for the record of a run."""
        return asdict(self)

    def _heights(self, residual: Images, columns: _Columns) -> Floats:
        """What each column lacks, of a residual without slow contrast.

        All are fitted together, since the slow parts that they are without overlap.
        """
        detail = self._detail(residual)  # the columns' own lack of slow parts
        right = np.zeros(len(columns.kinds))
        for kind, sigma in enumerate(self.widths):
            mine = columns.kinds == kind
            right[mine] = sampled(gaussian(detail, sigma, truncate=REACH), columns.places[mine])
            right[mine] *= self.sign * 2 * np.pi * sigma**2
        heights, _ = cg(columns.overlaps, right / columns.own, rtol=1e-7, maxiter=200)
        return np.asarray(heights) / columns.own

    def _columns(self, positions: Floats, kinds: NDArray[np.intp]) -> _Columns:
        square = self.widths**2
        slow = (LOW_PASS * self.period) ** 2
        tree = cKDTree(positions)
        pairs = tree.sparse_distance_matrix(tree, OVERLAP * self.period, output_type="coo_matrix")
        first, second = square[kinds[pairs.row]], square[kinds[pairs.col]]
        pairs.data = _overlap(first, second, pairs.data**2, slow)
        own = np.sqrt(_overlap(square, square, np.zeros(len(square)), slow))[kinds]
        scaled = sparse.diags_array(1 / own) @ pairs.tocsr() @ sparse.diags_array(1 / own)
        scaled.setdiag(1.0)
        return _Columns(positions, kinds, own, scaled)

    def _contrasts(self, image: Images, positions: Floats, kinds: NDArray[np.intp]) -> Floats:
        """How far each column stands out of what is just around it, also where a larger neighbour's flank lies."""
        found = np.zeros(len(positions))
        for kind, sigma in enumerate(self.widths):
            mine = kinds == kind
            near, far = (
                ndimage.map_coordinates(gaussian(image, width * sigma), positions[mine].T, order=1, mode="nearest")
                for width in CONTRAST
            )
            found[mine] = self.sign * (near - far)
        return found

    def _drawn(self, positions: Floats, heights: Floats, kinds: NDArray[np.intp], like: Images) -> Images:
        image = np.zeros_like(like)
        for kind, sigma in enumerate(self.widths):
            mine = kinds == kind
            image += render_columns(positions[mine], self.sign * heights[mine], sigma, (like.shape[0], like.shape[1]))
        return image

    def _detail(self, image: Images) -> Images:
        return without_slow(image, self.period)


def with_sites(
    guards: Sequence[SiteGuard], noisy: Images, generated: Images, origin: tuple[int, int] = (0, 0)
) -> tuple[Images, Images]:
    """Give lost columns back, those of each grain where its own lattice is.

    Parameters
    ----------
    guards : sequence of SiteGuard
        One, or several that all have a gate.
    noisy, generated, origin
        As for a `SiteGuard`.

    Returns
    -------
    result, given : ndarray, shape (Y, X)
    """
    gates = [guard.gate for guard in guards if guard.gate is not None]
    where: list[Images | None] = [*own_places(gates, noisy, origin)] if gates else [None]
    result, given = guards[0](noisy, generated, origin, where[0])
    for guard, own in zip(guards[1:], where[1:], strict=True):
        result, more = guard(noisy, result, origin, own)
        given += more
    return result, given


def _lost(heights: Floats, excess: Floats, near: Neighbourhood) -> Floats:
    """The heights where the neighbourhood has lost, else 0."""
    mean, variance = near.mean(heights), near.variance(heights)
    erased = near.mean(excess) > 0  # more than half was lost; less is for the strict guard
    lost = erased & (mean > AGREED * np.sqrt(variance * near.shrinks)) & (mean > WORTH * np.sqrt(variance))
    return np.where(lost, heights, 0.0)


def _overlap(first: Floats, second: Floats, square: Floats, slow: float) -> Floats:
    """The product of two bells without their slow parts; squares of their widths, of their distance, of the low-pass.

    A bell of the width s, squared, without its slow part is a difference of Gaussians, and so is their product.
    """
    parts = ((1.0, 0.0), (-2.0, slow), (1.0, 2 * slow))
    found = [w * np.exp(-0.5 * square / (first + second + v)) / (first + second + v) for w, v in parts]
    return np.asarray(2 * np.pi * first * second * np.sum(found, axis=0))


def site_margin(period: float) -> int:
    """The `SiteGuard.margin` for a lattice period, px."""
    return int(np.ceil(MARGIN * period)) + 2


def measure_sites(
    planes: Sequence[NDArray[np.floating]], spacing: float, spots: Floats | None = None
) -> tuple[SiteGuard, ...]:
    """Find the columns of the average cell of a noisy image, of each grain if there are several.

    Parameters
    ----------
    planes : sequence of ndarray, shape (Y, X) each
        One or a few planes or parts of the noisy image, finite; the one with the clearest lattice is taken.
    spacing : float
        Lattice period, px.
    spots : ndarray, shape (K, 2), optional
        Bragg spots of the planes. Where the lattice in their middle has not all of them, other grains are looked for.

    Returns
    -------
    tuple of SiteGuard
        One for each grain, with a gate if there are several. Empty where there is no lattice, or no column stands out
        of the average cell.
    """
    best: tuple[LatticeFit, Lattices, Floats, Floats] | None = None
    for plane in planes:
        whole = np.asarray(plane, np.float64)
        values = whole[middle_part(whole.shape, _enough(spacing))]
        found = find_lattices(values) if min(values.shape) >= 32 else Lattices(None, ())
        fit = found.first
        if fit is not None and (best is None or fit.lasting > best[0].lasting):
            best = fit, found, values, whole
    if best is None:
        return ()
    fit, found, part, whole = best
    grains = _grains_in(whole, fit, found.grains, spots, searched=part.shape == whole.shape)
    if grains:
        return _in_grains(whole, grains, spacing)
    if not _near(fit, spacing):
        return ()
    cell = find_cell(part, fit)
    return () if cell is None else (_guard(cell, spacing),)


def _in_grains(plane: Floats, grains: tuple[Grain, ...], spacing: float) -> tuple[SiteGuard, ...]:
    """The columns of each grain, from its inside."""
    if not any(_near(grain, spacing) for grain in grains):
        return ()
    guards = []
    for grain in grains:
        inside = grain_inside(grain, _enough(spacing))
        part, mask = plane[inside.window], inside.mask
        # the guard's slow part and its margin are those of one period
        period = spacing if _near(grain, spacing) else min(spacing, grain.spacing)
        cell = find_cell(part, grain, mask)
        gate = None if cell is None else measure_gate(part, cell.vectors, period, mask)
        if cell is not None and gate is not None:
            guards.append(_guard(cell, period, gate))
    return tuple(guards)


def _grains_in(
    plane: Floats, fit: LatticeFit, grains: tuple[Grain, ...], spots: Floats | None, *, searched: bool
) -> tuple[Grain, ...]:
    """The grains of a plane, of whose middle the lattice and the grains are known; empty where there are not several.

    The search takes long: only where the middle, or a Bragg spot that its lattice has not, calls for it.
    """
    doubtful = bool(grains) or isinstance(fit, Grain)
    if doubtful and searched:
        return grains
    return clear_grains(plane) if doubtful or not _has_all(fit, spots) else ()


def _has_all(fit: LatticeFit, spots: Floats | None) -> bool:
    """Whether a lattice has all of some Bragg spots."""
    steps = np.zeros((1, 2)) if spots is None else spots @ fit.vectors.T
    return bool(np.abs(steps - np.rint(steps)).max() < WHOLE)


def _near(fit: LatticeFit, spacing: float) -> bool:
    return 0.9 < fit.spacing / spacing < 1.1


def _enough(spacing: float) -> int:
    return int(max(ENOUGH[0], ENOUGH[1] * spacing))


def _guard(cell: Cell, period: float, gate: Gate | None = None) -> SiteGuard:
    vectors = cell.vectors
    return SiteGuard(
        vectors=((float(vectors[0, 0]), float(vectors[0, 1])), (float(vectors[1, 0]), float(vectors[1, 1]))),
        sites=tuple((float(y), float(x)) for y, x in cell.sites),
        sigmas=cell.sigmas,
        period=period,
        sign=cell.sign,
        gate=gate,
        multiple=cell.multiple,
    )
