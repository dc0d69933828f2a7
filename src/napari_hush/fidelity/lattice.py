"""How the lattice of a denoised image compares with that of its input, noisy or true, place by place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import fft, ndimage

from napari_hush.atoms.cell import lattice_phases, strong_vectors
from napari_hush.atoms.grains import Grain
from napari_hush.atoms.lockin import displacement, lock_in, moved
from napari_hush.atoms.spectrum import bragg_spots, independent_pair
from napari_hush.atoms.superlattice import multiple_of
from napari_hush.residual.cells import cell_difference
from napari_hush.residual.scan.recorded import dragged

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_hush.atoms.autocorrelation import LatticeFit
    from napari_hush.residual.scan.recorded import Recorded

    Floats = NDArray[np.float64]

SPOTS = 6  # several grains have several sets
STRONG = 0.5  # of the bulk's amplitude: there displacements are measured
WINDOW = 0.7  # spacings: the lock-in's width where amplitudes are compared; displacements are taken with 1
ABSENT = 0.1  # of the bulk's amplitude: less is no lattice
CLEAR = 8.0  # times the noise: fainter, a phase is no displacement
UNSHIFTED = (0.002, 0.01)  # spacings, against a truth and a noisy input, and ...
OUTLYING = (5.0, 6.0)  # times the spread elsewhere: a part displaced by less is not shifted
KEPT = 0.2  # of the power of the output's lattice that a scan leaves at least: half of the amplitude
SHOWN = 0.1  # of the noisy lattice's power: an output with less does not say where its cells lie
LEAST, ENOUGH = 6.0, 30.0  # squared spacings of strong lattice, for its displacement and for parts that stand out


@dataclass(frozen=True, kw_only=True, eq=False)
class LatticeEvidence:
    """A lattice before and after denoising.

    Parameters
    ----------
    displacement : ndarray, shape (2, Y, X)
        From input to output, px; NaN where there is no strong lattice.
    phantom : ndarray, shape (Y, X)
        Amplitude of the output's lattice where the input has none, as a share of the bulk's; NaN elsewhere.
    figures : dict
        ``lattice_displacement``, ``area_shifted``, ``phantom_lattice``, ``lattice_gain``, ``residual_leakage``.
    """

    displacement: Floats
    phantom: Floats
    figures: dict[str, float]


def compare_lattice(
    reference: Floats, output: Floats, spacing: float, recorded: Recorded | None = None, noisy: Floats | None = None
) -> LatticeEvidence | None:
    """Compare the lattices of input and output, place by place.

    Parameters
    ----------
    reference : ndarray, shape (Y, X)
        The input: the noisy image, or the truth.
    output : ndarray, shape (Y, X)
        The denoised image.
    spacing : float
        Lattice period, px.
    recorded : Recorded, optional
        For a noisy reference: what the instrument would have recorded of the output.
    noisy : ndarray, shape (Y, X), optional
        What was denoised, where the reference is the truth: for the residual.

    Returns
    -------
    LatticeEvidence or None
        None where neither image has Bragg spots.

    Notes
    -----
    From the mean square of the lock-in at K Bragg spots of a noisy input K times that of its noise is subtracted, which
    is measured in the residual beside the spots; from the squared displacement the expected
    ``|inv(g)|² P / (2 |z|²) / (2 pi)²`` of phases whose noise power is P. Local displacements are measured against the
    expected recording, so that shifted rows do not count; the mean one against the input itself. Row shifts and lag of
    the scan dim its lattice: they may explain a gain above 1, not one below.
    """
    if recorded is not None:
        noisy, reference = reference, recorded.image + recorded.residual  # without spikes and repeated lines
    spots = bragg_spots(reference, spacing, count=SPOTS)
    if not len(spots):
        spots = bragg_spots(output, spacing, count=SPOTS)
    if not len(spots):
        return None
    step = max(1, int(spacing / 4))
    floors = np.zeros(len(spots)) if recorded is None else _floors(recorded.residual, spots, spacing)
    floor = float(floors.mean())
    seen = _locked_in(reference, spots, spacing, step)  # (K, y, x)
    before, after = np.abs(seen) ** 2, _squares(output, spots, spacing, step)
    power_in, power_out = np.maximum(before.sum(axis=0) - len(spots) * floor, 0), after.sum(axis=0)
    bulk_in, bulk_out = (float(np.sqrt(np.percentile(power, 75))) for power in (power_in, power_out))
    known = bulk_in**2 > floor  # else there is no lattice in the input, whatever the output shows
    figures = dict.fromkeys(("lattice_displacement", "area_shifted", "phantom_lattice", "lattice_gain"), float("nan"))
    size = output.shape
    strong = (power_in > (STRONG * bulk_in) ** 2) & known & (bulk_in > 0)
    shown = output if recorded is None else dragged(recorded.shifted, recorded.lag)
    if strong.any():
        power_shown = _squares(shown, spots, spacing, step).sum(axis=0)
        whole, dimmed = (
            float(np.sqrt(power[strong].sum() / power_in[strong].sum())) for power in (power_out, power_shown)
        )
        figures["lattice_gain"] = max(min(whole, 1.0), dimmed)
    moves = np.full((2, *power_in.shape), np.nan)
    if independent_pair(spots) is not None and strong.sum() > 4:
        pair = _well_seen(spots, before)
        moves, figures["lattice_displacement"], figures["area_shifted"] = _displacements(
            reference, output, pair, spacing, step, strong, recorded
        )
    absent = _without_lattice(before.sum(axis=0), bulk_in if known else bulk_out, floor, len(spots), step / spacing)
    bulk = max(bulk_out, bulk_in if known else 0.0)
    phantom = np.full(power_in.shape, np.nan)
    if absent.any() and bulk > 0:
        figures["phantom_lattice"] = 100 * _phantom(seen, output, spots, spacing, step, absent, floor, recorded) / bulk
        phantom[absent] = np.sqrt(power_out[absent]) / bulk
    figures["residual_leakage"] = _leakage(reference - output if noisy is None else noisy - output, spots, spacing)
    return LatticeEvidence(
        displacement=np.stack([_enlarged(part, step, size) for part in moves]),
        phantom=_enlarged(phantom, step, size),
        figures=figures,
    )


def compare_cells(recorded: Recorded, lattices: Sequence[LatticeFit]) -> float:
    """The largest difference of the average cells of noisy and denoised image in any grain.

    Parameters
    ----------
    recorded : Recorded
        What the instrument would have recorded of the output: that rows were put straight is no difference.
    lattices : sequence of LatticeFit
        One, or the grains of the image.

    Returns
    -------
    float
        Percent of the lattice, see `cell_difference`; NaN where no grain has cells enough.
    """
    noisy = recorded.image + recorded.residual
    found = []
    for lattice in lattices:
        period = lattice.spacing
        here = recorded.usable & (lattice.mask if isinstance(lattice, Grain) else True)
        vectors = strong_vectors(recorded.plain.shifted, lattice)
        step = max(int(period), 1)
        images = (recorded.image, noisy, recorded.plain.shifted)
        explained, there, made = (float(_squares(image, vectors, period, step, 1.0).mean()) for image in images)
        if explained < KEPT * made:  # no scan takes a lattice away: the output has one that the noisy image has not
            found.append(_made_up(recorded, lattice, here))
            continue
        shown = recorded.image
        if explained < SHOWN * there:
            shown, vectors = noisy, strong_vectors(noisy, lattice)
        phases = lattice_phases(shown, vectors, period, (0, 0))
        found.append(
            cell_difference(recorded.residual, noisy, phases, here, period, multiple_of(noisy, phases, vectors, here))
        )
    known = [value for value in found if np.isfinite(value)]
    return max(known) if known else float("nan")


def _made_up(recorded: Recorded, lattice: LatticeFit, here: NDArray[np.bool_]) -> float:
    """The difference of the average cells, of the output's lattice, which the noisy image has not."""
    output = recorded.plain.shifted
    noisy = recorded.image + recorded.residual
    phases = lattice_phases(output, strong_vectors(output, lattice), lattice.spacing, (0, 0))
    return cell_difference(noisy - output, output, phases, here, lattice.spacing)


def _locked_in(
    image: Floats, spots: Floats, spacing: float, step: int, window: float = WINDOW
) -> NDArray[np.complex128]:
    rows, columns = (np.arange(0, size, step) for size in image.shape)
    return lock_in(image, spots, window * spacing, rows=rows, columns=columns)


def _squares(image: Floats, spots: Floats, spacing: float, step: int, window: float = WINDOW) -> Floats:
    return np.asarray(np.abs(_locked_in(image, spots, spacing, step, window)) ** 2)


def _floors(residual: Floats, spots: Floats, spacing: float, window: float = WINDOW) -> Floats:
    """The mean square of the lock-in of noise at each spot: medians over the image, turned off the spot."""
    turns = np.deg2rad([-35, -25, -15, 15, 25, 35])
    y, x = spots.T[:, :, None]
    turned = np.stack([y * np.cos(turns) + x * np.sin(turns), x * np.cos(turns) - y * np.sin(turns)], axis=-1)
    squares = _squares(residual, turned.reshape(-1, 2), spacing, max(int(spacing), 1), window)
    powers = np.median(squares, axis=(1, 2)).reshape(len(spots), -1)
    return np.asarray(np.median(powers, axis=1) / np.log(2))  # of an exponential distribution the median is ln 2


def _well_seen(spots: Floats, power: Floats) -> Floats:
    """The spots (K, 2) with at least a quarter of the strongest one's power, and what makes two directions of them."""
    strength = np.percentile(power, 75, axis=(1, 2))
    for least in (0.25, 0.1, 0.0):
        some = spots[strength >= least * strength.max()]
        if independent_pair(some) is not None:
            return np.asarray(some)
    return spots


def _displacements(
    reference: Floats,
    output: Floats,
    pair: Floats,
    spacing: float,
    step: int,
    strong: NDArray[np.bool_],
    recorded: Recorded | None,
) -> tuple[Floats, float, float]:
    """The displacement (2, y, x), px, its rms in spacings beyond noise, and the area that is shifted, a²."""
    seen = _locked_in(reference, pair, spacing, step, 1.0)  # (K, y, x)
    power = np.abs(seen) ** 2
    floors = np.zeros(len(pair)) if recorded is None else _floors(recorded.residual, pair, spacing, 1.0)
    border = [np.arange(0, n, step) for n in reference.shape]
    far = [np.minimum(at, n - 1 - at) >= min(spacing, n / 4) for at, n in zip(border, reference.shape, strict=True)]
    strong = strong & far[0][:, None] & far[1]  # at a border half the window is missing
    for part, floor in zip(power, floors, strict=True):
        strong &= part > max((STRONG**2) * float(np.percentile(part, 75)), CLEAR * floor)
    if strong.sum() * (step / spacing) ** 2 < LEAST:
        return np.full((2, *strong.shape), np.nan), float("nan"), float("nan")
    inverse = np.linalg.pinv(pair)
    variance = (inverse**2).sum(axis=0)[:, None, None] * floors[:, None, None] / (2 * np.maximum(power, 1e-300))
    variance = variance.sum(axis=0) / (2 * np.pi) ** 2  # of |u|², px²
    total = moved(seen, _locked_in(output, pair, spacing, step, 1.0), pair)
    middle = np.median(total[:, strong], axis=1)
    expected = output if recorded is None else recorded.image
    local = total if expected is output else moved(seen, _locked_in(expected, pair, spacing, step, 1.0), pair)
    local = local - np.median(local[:, strong], axis=1)[:, None, None]
    of_middle = 0.0
    if recorded is not None:
        # a lag delays fine detail less than the whole image, which was put back to its place
        lag = displacement(recorded.shifted, dragged(recorded.shifted, recorded.lag), pair, spacing, step=step)
        late = np.median(lag[:, strong], axis=1) - [0, recorded.lag / (1 - recorded.lag)]
        # what is put down to the lag may explain a shift, not make one
        explained = float(np.clip(-(middle @ late) / max(float(late @ late), 1e-30), 0, 1))
        middle += explained * late
        # the mean of the rows' shifts is the scan's, not the output's
        rows = recorded.shifts - recorded.shifts.mean()
        pairs = float(np.clip((rows[1:] * rows[:-1]).mean() / max(float((rows**2).mean()), 1e-30), 0, 0.95))
        of_middle = float((rows**2).mean()) * (1 + pairs) / (1 - pairs) / len(rows)
        of_middle += (0.4 * explained * float(np.hypot(*late))) ** 2 + float(variance[strong].mean()) / max(
            strong.sum() * (step / spacing) ** 2 / (2 * np.pi), 1
        )
    square = np.sum(local[:, strong] ** 2, axis=0)
    rms = max(float(square.mean() - variance[strong].mean()), 0) + max(float((middle**2).sum()) - of_middle, 0)
    error = np.sqrt(variance[strong]) if recorded is not None else np.ones(int(strong.sum()))
    spread = float(np.quantile(np.sqrt(square) / np.maximum(error, 1e-300), 0.25)) / 0.7585  # Rayleigh
    shifted = np.sqrt(square) > np.maximum(
        OUTLYING[recorded is not None] * spread * error, UNSHIFTED[recorded is not None] * spacing
    )
    moves = np.where(strong, local + middle[:, None, None], np.nan)
    area = float(shifted.sum()) * (step / spacing) ** 2
    if strong.sum() * (step / spacing) ** 2 < ENOUGH:
        area = float("nan")
    return moves, float(np.sqrt(rms)) / spacing, area


def _without_lattice(power: Floats, bulk: float, floor: float, count: int, step: float) -> NDArray[np.bool_]:
    """Where the input has no lattice over a few periods."""
    width = 0.5 * WINDOW / step if floor > 0 else 0.0
    smooth = ndimage.gaussian_filter(power, width, mode="nearest") - count * floor
    unknown = floor * np.sqrt(count / 1.5)  # standard deviation of the smoothed power of noise
    limit = (ABSENT * bulk) ** 2 + 2 * unknown
    if bulk <= 0 or limit > (0.25 * bulk) ** 2:
        return np.zeros(power.shape, dtype=bool)
    radius = 0.75 / step  # the lock-in has taken one period off either side
    reach = int(radius)
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    return np.asarray(ndimage.binary_opening(smooth < limit, np.hypot(y, x) <= radius))


def _phantom(
    seen: NDArray[np.complex128],
    output: Floats,
    spots: Floats,
    spacing: float,
    step: int,
    absent: NDArray[np.bool_],
    floor: float,
    recorded: Recorded | None,
) -> float:
    """Root mean square amplitude of the output's lattice that the input does not have in phase with it."""
    expected = output if recorded is None else recorded.image
    first, second = seen[:, absent], _locked_in(expected, spots, spacing, step)[:, absent]
    own = float((np.abs(second) ** 2).mean(axis=1).sum())
    common = float((first * np.conj(second)).real.mean(axis=1).sum())
    independent = max(absent.sum() * (step / spacing / WINDOW) ** 2 / (4 * np.pi), 1.0)
    return float(np.sqrt(max(own - common - 3 * np.sqrt(own * floor / (2 * independent)), 0)))


def _enlarged(values: Floats, step: int, size: tuple[int, ...]) -> Floats:
    """A map on every ``step``-th pixel as one of full size, linearly interpolated."""
    if step == 1:
        return values
    for axis, (long, short) in enumerate(zip(size, values.shape, strict=True)):
        place = np.minimum(np.arange(long) / step, short - 1)
        before = place.astype(np.intp)
        share = np.expand_dims(place - before, 1 - axis)
        after = np.minimum(before + 1, short - 1)
        values = values.take(before, axis) * (1 - share) + values.take(after, axis) * share
    return values


def _leakage(residual: Floats, spots: Floats, spacing: float) -> float:
    """Power at the spots over that around them."""
    window = np.hanning(residual.shape[0])[:, None] * np.hanning(residual.shape[1])
    power = np.abs(fft.fft2((residual - residual.mean()) * window)) ** 2
    frequencies = [fft.fftfreq(n) for n in residual.shape]
    width = 2.0 / min(residual.shape)
    at, around = 0.0, 0.0
    for spot in spots:
        most = max(0.3 / spacing, 4 * width)
        near = [np.flatnonzero(np.abs(axis - place) < most) for axis, place in zip(frequencies, spot, strict=True)]
        own = power[np.ix_(*near)]
        distance = np.hypot(frequencies[0][near[0], None] - spot[0], frequencies[1][near[1]] - spot[1])
        ring = (distance > 2 * width) & (distance < most)
        at += float(own[distance <= width].mean()) if (distance <= width).any() else 0.0
        around += float(np.median(own[ring])) / np.log(2) if ring.any() else 0.0
    return at / around if around > 0 else float("nan")
