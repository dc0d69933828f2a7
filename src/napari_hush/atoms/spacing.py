"""The period of a lattice in a noisy image, from its autocorrelation; None where there is no lattice."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from napari_hush.atoms.autocorrelation import LatticeFit, autocorrelation, best_pair, mean_power, with_all
from napari_hush.atoms.grains import Grain, deny, find_grains, grains_of, several
from napari_hush.atoms.lockin import lattice_amplitude, noise_power
from napari_hush.atoms.spectrum import bragg_spots, checked_plane, independent_pair
from napari_hush.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

WINDOW = 512  # px; larger images are looked at in windows of this side
LASTING = 0.4  # of the correlation; lattices at 2 counts per pixel have 0.42 and more, most textures below 0.2
ABOVE_NOISE = 3.0  # times its mean square; lattices at 2 counts per pixel have 6 and more
DOUBTFUL = 0.85  # two crystals with a translation in common have less
CERTAIN = 0.85  # no need to look further
NARROWEST = 3.0  # px, of the filters that take the slow contrast away


class Lattices(NamedTuple):
    """The lattices in an image.

    Parameters
    ----------
    first : LatticeFit or None
        As from `find_lattice`.
    grains : tuple of Grain
        All of them where no lattice fills the image, or where one does doubtfully and two grains or more are clear;
        empty where there are not several.
    """

    first: LatticeFit | None
    grains: tuple[Grain, ...]


def estimate_spacing(image: ArrayLike) -> float | None:
    """Estimate the lattice period of a noisy image.

    Parameters
    ----------
    image : array_like, shape (Y, X)
        Columns may be bright or dark. Pixels that are NaN or infinite count as the mean.

    Returns
    -------
    float or None
        Pixels per period; None where there is no lattice. Of several grains the period that most of their area has.
        Of a superlattice the shortest period at which the autocorrelation still reaches 73 % of its highest peak.

    Raises
    ------
    InputError
        If this is not one plane of numbers.

    See Also
    --------
    find_lattice : The two lattice vectors.

    Examples
    --------
    >>> import napari_hush as hush
    >>> noisy = hush.sample("dented-lattice").noisy
    >>> round(hush.estimate_spacing(noisy), 1)
    12.0
    """
    found = find_lattice(image)
    return None if found is None else found.spacing


def require_spacing(image: ArrayLike) -> float:
    """Estimate the lattice period where there has to be one.

    Parameters
    ----------
    image : array_like, shape (Y, X)
        As for `estimate_spacing`.

    Returns
    -------
    float
        Pixels per period.

    Raises
    ------
    InputError
        If there is no lattice, or this is not one plane of numbers.
    """
    spacing = estimate_spacing(image)
    if spacing is None:
        raise InputError("no lattice found in the image: give its period as spacing=, or sigma=, in px")
    return spacing


def find_lattice(image: ArrayLike) -> LatticeFit | None:
    """Find the two shortest lattice vectors of a noisy image.

    Parameters
    ----------
    image : array_like, shape (Y, X)
        As for `estimate_spacing`.

    Returns
    -------
    LatticeFit or None
        None where there is no lattice. Of several grains that of the first of `find_grains`.

    Raises
    ------
    InputError
        If this is not one plane of numbers.

    Notes
    -----
    The autocorrelation is divided by that of the window, so that its peaks have one height however far out they lie.
    A smooth or random texture has a highest peak too; but the translations that two of its peaks predict further
    out find nothing. Positions come from a least-squares fit to many peaks: about a hundredth of a pixel.
    Where no lattice fills the image its parts are searched, see `find_grains`.
    """
    return find_lattices(image).first


def find_lattices(image: ArrayLike) -> Lattices:
    """Find the lattice of a noisy image, and its grains if there are several.

    Parameters
    ----------
    image : array_like, shape (Y, X)
        As for `estimate_spacing`.

    Returns
    -------
    Lattices

    Raises
    ------
    InputError
        If this is not one plane of numbers.
    """
    plane = checked_plane(image)
    if min(plane.shape) < 16:
        return Lattices(None, ())
    whole = _whole_lattice(plane)
    if whole is not None and whole.lasting > DOUBTFUL:
        return Lattices(whole, ())
    grains = grains_of(plane)
    if whole is None or deny(grains, whole.spacing):
        return Lattices(grains[0] if grains else None, several(grains))
    # two grains of one period can look like one lattice, that of a translation in common
    return Lattices(whole, _clear(grains))


def clear_grains(image: ArrayLike) -> tuple[Grain, ...]:
    """The grains of a noisy image (Y, X) that are beyond doubt, also where one lattice seems to fill it.

    Looked for where there are Bragg spots that this lattice does not have. Empty where there are not several.
    """
    return _clear(find_grains(image))


def _clear(grains: tuple[Grain, ...]) -> tuple[Grain, ...]:
    return several(tuple(grain for grain in grains if grain.lasting > CERTAIN))


def _whole_lattice(plane: NDArray[np.float64]) -> LatticeFit | None:
    """The lattice that fills most of a plane."""
    spectrum = mean_power(plane, _windows(plane.shape))
    if spectrum is None:
        return None
    widths = min(min(plane.shape), WINDOW) / 16 / 3.0 ** np.arange(4)
    found: LatticeFit | None = None
    # slow contrast hides the peaks, a narrow filter the long periods
    for width in [width for width in widths if width >= NARROWEST] or [NARROWEST]:
        fit = best_pair(autocorrelation(spectrum, width))
        if fit is not None and (found is None or fit.lasting > found.lasting):
            found = fit
        if found is not None and found.lasting > CERTAIN:
            break
    if found is None or found.lasting < LASTING:
        return None
    correlation = autocorrelation(spectrum, max(1.25 * float(np.hypot(*found.vectors.T).max()), NARROWEST))
    found = with_all(correlation, found)
    return found if found.lasting > LASTING and _stands_out(plane, found.spacing) else None


def _stands_out(plane: NDArray[np.float64], spacing: float) -> bool:
    """Whether there are Bragg spots in two directions, with more power at most places than the noise between them."""
    spots = bragg_spots(plane, spacing, count=6)
    if independent_pair(spots) is None:
        return False
    power = np.median(lattice_amplitude(plane, spots, spacing, step=max(int(spacing), 1)) ** 2) / len(spots)
    return bool(power > ABOVE_NOISE * noise_power(plane, spots, spacing))


def _windows(shape: tuple[int, ...]) -> list[tuple[slice, slice]]:
    """The whole plane, or a few windows of one size spread over a large one."""
    along = []
    for size in shape:
        side = size if size <= 1.5 * WINDOW else WINDOW
        starts = np.linspace(0, size - side, 1 if side == size else 2 if size < 4 * WINDOW else 3).astype(int)
        along.append([slice(start, start + side) for start in starts])
    return list(product(along[0], along[1]))
