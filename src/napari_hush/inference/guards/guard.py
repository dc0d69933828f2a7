"""The guard: what a network says about slow contrast and about where a lattice is, the noisy image decides.

``out = r (G - L*G) + L*noisy``, where G is the network's output, L a Gaussian of 0.55 periods and r the share of the
lattice that the noisy image has at that place. A network's atoms can be dimmed or removed by it, not made.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_hush.atoms.cell import LOW_PASS
from napari_hush.atoms.lockin import REACH, STRIP, grid, interpolated, lattice_amplitude, lock_in, noise_power
from napari_hush.atoms.spectrum import bragg_spots, with_spots_of
from napari_hush.errors import InputError
from napari_hush.filters.smoothing import gaussian
from napari_hush.inference.guards.sites import SiteGuard, measure_sites, site_margin, with_sites
from napari_hush.residual.give_back import GiveBack, give_back_margin, measure_give_back
from napari_hush.threads import in_threads, strips

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

WINDOW = 1.0  # periods: the lock-in's width
MOST = 1.2  # by which a lattice may be strengthened
TOLERANCE = 1.04  # jitter and lag of the scan dim the noisy lattice by a few per cent: that is not made up
FAINT = 0.04  # of the bulk's lattice: less, up to twice as much, is no lattice that could be too strong
SPOTS = 6  # Bragg spots: several grains, or several orders
WITHOUT_LATTICE = 6.6  # px: the Gaussian's width where there is no period
LARGEST = 1e30  # in either image, where single precision is used
SPIKE = 8.0  # standard deviations of the noise by which a spike sticks out of all its neighbours


@dataclass(frozen=True, kw_only=True)
class Guard:
    """What was measured on the noisy image, and how it is used on each part of it.

    Parameters
    ----------
    low_pass : float
        Standard deviation of the Gaussian whose share of the result is taken from the noisy image, px; 0: no share.
    noise : float
        Standard deviation of the noise between neighbouring pixels, in the image's unit; for spikes.
    spots : tuple of (float, float)
        Bragg spots (y, x), cycles per px; empty where there is no lattice, and only the slow contrast is guarded.
    window : float
        Standard deviation of the lock-in's Gaussian window, px.
    floor : float
        Mean square of the lock-in's noise, all spots together, in the image's squared unit.
    bulk : float
        Amplitude of the lattice where it is strong, all spots together, in the image's unit.
    sites : tuple of SiteGuard
        They give the columns of a lattice back that were taken away, each with its own height; one for each grain.
    give_back : GiveBack or None
        What stands out of the noise afterwards is given back by it, where the noise is understood.
    withheld : str
        Why nothing is given back.
    """

    low_pass: float
    noise: float
    spots: tuple[tuple[float, float], ...] = ()
    window: float = 0.0
    floor: float = 0.0
    bulk: float = 0.0
    sites: tuple[SiteGuard, ...] = ()
    give_back: GiveBack | None = None
    withheld: str = ""

    @property
    def step(self) -> int:
        """Px between the places at which the lattice's strength is measured."""
        return max(int(self.window / 4), 1)

    @property
    def margin(self) -> int:
        """How far around a part the images must be known, px."""
        reach = int(REACH * self.low_pass + 0.5) + 1  # and the neighbours that a spike is told by
        if self.spots:
            gate = max(reach, int(REACH * self.window) + self.step + 1)
            return gate + max((one.margin for one in self.sites), default=0)
        return reach + (0 if self.give_back is None else self.give_back.margin)

    def __call__(
        self, noisy: NDArray[np.floating], generated: NDArray[np.floating], origin: tuple[int, int] = (0, 0)
    ) -> NDArray[np.floating]:
        """Guard one part of a plane.

        Parameters
        ----------
        noisy, generated : ndarray, shape (Y, X)
            The same part of the noisy image and of the network's output, in one unit, finite.
        origin : (int, int)
            Where the part begins in the plane, px. A part gives the same values as the whole plane everywhere but
            within `margin` of those of its sides that are not sides of the plane.

        Returns
        -------
        ndarray, shape (Y, X)
        """
        return self.apply(noisy, generated, origin)[0]

    def apply(
        self, noisy: NDArray[np.floating], generated: NDArray[np.floating], origin: tuple[int, int] = (0, 0)
    ) -> tuple[NDArray[np.floating], NDArray[np.floating] | None]:
        """Guard one part of a plane, and tell what was given back, (Y, X) each; None where nothing can be.

        In single precision where both images are, else in double precision.
        """
        kind = self._kind(noisy, generated)
        result, given = np.asarray(generated, kind), None
        if self.low_pass > 0:
            result, given = self._without_its_own(np.asarray(noisy, kind), result, origin)
        return (result, given) if self.give_back is None else self.give_back(noisy, result)

    def _without_its_own(
        self, noisy: NDArray[np.floating], made: NDArray[np.floating], origin: tuple[int, int]
    ) -> tuple[NDArray[np.floating], NDArray[np.floating] | None]:
        """With slow contrast, columns and the lattice's strength as they are in the noisy image; and the columns."""
        seen, generated = self.without_spikes(noisy), made
        given = share = None
        if self.sites:
            made, given = with_sites(self.sites, seen, made, origin)
            given = gaussian(given, self.low_pass, truncate=REACH, rest=True)
        if self.spots:
            share = self.lattice_share(seen, made, origin)
        result = gaussian(generated, self.low_pass, truncate=REACH, rest=True)
        slow = gaussian(seen, self.low_pass, truncate=REACH)

        def put_together(rows: slice) -> None:
            if given is not None:
                result[rows] += given[rows]
            if share is not None:
                result[rows] *= share[rows]
            if given is not None and share is not None:
                given[rows] *= share[rows]
            result[rows] += slow[rows]

        in_threads(put_together, strips(len(result), STRIP))
        return result, given

    def _kind(self, *images: NDArray[np.floating]) -> type[np.floating]:
        """The precision in which they are guarded: sums of several values are to stay within what it holds."""
        single = all(one.dtype == np.float32 for one in images)
        return np.float32 if single and all(max(-one.min(), one.max()) < LARGEST for one in images) else np.float64

    def lattice_share(
        self, noisy: NDArray[np.floating], generated: NDArray[np.floating], origin: tuple[int, int] = (0, 0)
    ) -> NDArray[np.floating]:
        """How much of the generated lattice the noisy image has, 0 to 1.2, (Y, X)."""
        shape = (noisy.shape[0], noisy.shape[1])
        rows, columns = grid(shape, self.step, origin)
        there, made = (
            (np.abs(lock_in(image, self.spots, self.window, rows=rows, columns=columns, origin=origin)) ** 2).sum(
                axis=0
            )
            for image in (noisy, generated)
        )
        made = np.sqrt(made)
        share = np.sqrt(np.maximum(there - self.floor, 0)) / np.maximum(made, 1e-300)
        share = np.where(share < 1, np.minimum(share * TOLERANCE, 1), np.maximum(share / TOLERANCE, 1))
        gated = np.clip(made / max(FAINT * self.bulk, 1e-300) - 1, 0, 1)  # grains of unseen directions are left alone
        share = 1 + gated * (np.clip(share, 0, MOST) - 1)
        return interpolated(share.astype(noisy.dtype, copy=False), (rows, columns), shape, origin)

    def as_dict(self) -> dict[str, Any]:
        """JSON-able, for the record of a run."""
        return asdict(self)

    def without_spikes(self, noisy: NDArray[Any]) -> NDArray[Any]:
        """A hot pixel would leave a blot of the windows' size: bring it to the brightest or darkest neighbour."""
        around = np.pad(noisy, 1, mode="reflect" if min(noisy.shape) > 1 else "edge")
        found = np.empty_like(noisy)

        def look(rows: slice) -> None:
            seen, here = around[rows.start : rows.stop + 2], noisy[rows]
            highest, lowest = _of_ring(seen, np.maximum), _of_ring(seen, np.minimum)
            far = here.dtype.type(SPIKE * self.noise)
            inner = np.where(here < lowest - far, lowest, here)
            found[rows] = np.where(here > highest + far, highest, inner)

        in_threads(look, strips(len(noisy), STRIP))
        return found


def _of_ring(around: NDArray[Any], most: np.ufunc) -> NDArray[Any]:
    """The highest, or lowest, of the eight neighbours of each pixel but the outermost ones."""
    three = most(most(around[:, :-2], around[:, 1:-1]), around[:, 2:])
    beside = most(around[1:-1, :-2], around[1:-1, 2:])
    return np.asarray(most(most(three[:-2], three[2:]), beside))


def guard_margin(spacing: float | None, *, slow: bool = True) -> int:
    """The `Guard.margin` of any guard for a lattice period, px; None where there is no lattice."""
    if not slow:
        return give_back_margin()
    if spacing is None:
        return Guard(low_pass=WITHOUT_LATTICE, noise=0).margin + give_back_margin()
    gate = Guard(low_pass=LOW_PASS * spacing, noise=0, spots=((0.0, 0.0),), window=WINDOW * spacing)
    return gate.margin + site_margin(spacing)


def measure_guard(
    planes: Sequence[NDArray[np.floating]], spacing: float | None, *, size: int | None = None, slow: bool = True
) -> Guard:
    """Measure what the guard needs on one or a few planes or parts of a noisy image.

    Parameters
    ----------
    planes : sequence of ndarray, shape (Y, X) each
        Finite.
    spacing : float or None
        Lattice period, px; None where there is no lattice.
    size : int, optional
        Pixels of the whole plane; those of the largest part by default.
    slow : bool
        Whether slow contrast and the lattice's strength are taken from the noisy image; else only what stands out of
        its noise comes back.

    Returns
    -------
    Guard
        Without spots where no spacing is given or no Bragg spot stands out.

    Raises
    ------
    InputError
        If there is no plane, or the spacing is not above 2 px.

    Examples
    --------
    >>> import napari_hush as hush
    >>> truth = hush.sample("dented-lattice")
    >>> guard = measure_guard([truth.noisy], truth.period)
    >>> eraser = truth.clean / truth.transmission.clip(0.2)  # an output in which the dent is gone
    >>> dent = truth.transmission < 0.3
    >>> means = (image[dent].mean() for image in (truth.clean, eraser, guard(truth.noisy, eraser)))
    >>> [round(float(mean), 1) for mean in means]
    [0.7, 3.0, 0.7]
    """
    if not planes:
        raise InputError("expected at least one plane to measure the guard on, got none")
    noise = max(in_threads(lambda plane: _noise(np.asarray(plane, np.float64)), planes))
    if spacing is None or not slow:
        found = measure_give_back(planes, size or max(plane.size for plane in planes))
        width = WITHOUT_LATTICE if slow else 0.0
        if isinstance(found, GiveBack):
            return Guard(low_pass=width, noise=noise, give_back=found)
        return Guard(low_pass=width, noise=noise, withheld=found)
    step = max(int(spacing / 2), 1)

    def look(plane: NDArray[np.floating]) -> tuple[float, NDArray[np.float64]]:
        spots = bragg_spots(plane, spacing, count=SPOTS)
        if not len(spots):
            return -1.0, spots
        return float(lattice_amplitude(plane, spots[:1], spacing, step=step, window=WINDOW).mean()), spots

    seen = in_threads(look, planes)
    strongest = max(range(len(seen)), key=lambda number: seen[number][0])
    (_, spots), plane = seen[strongest], planes[strongest]
    if not len(spots):
        return Guard(low_pass=LOW_PASS * spacing, noise=noise)
    sites = measure_sites([plane], spacing, spots)
    if len(sites) > 1:
        spots = with_spots_of(spots, [np.array(one.vectors) for one in sites], spacing)
    floor = len(spots) * noise_power(plane, spots, spacing, window=WINDOW)
    power = lattice_amplitude(plane, spots, spacing, step=step, window=WINDOW) ** 2
    return Guard(
        low_pass=LOW_PASS * spacing,
        noise=noise,
        spots=tuple((float(y), float(x)) for y, x in spots),
        window=WINDOW * spacing,
        floor=floor,
        sites=sites,
        bulk=float(np.sqrt(max(float(np.percentile(power, 90)) - floor, 0.0))),
    )


def _noise(plane: NDArray[np.float64]) -> float:
    """Standard deviation of the noise, from second differences along X, outliers cut off."""
    difference = np.abs(plane[:, 2:] - 2 * plane[:, 1:-1] + plane[:, :-2]) / 6**0.5 if plane.shape[1] > 2 else plane * 0
    return float(np.sqrt(np.mean(np.minimum(difference, np.percentile(difference, 99.5)) ** 2)))
