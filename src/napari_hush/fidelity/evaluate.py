"""Judge a denoised image: with its truth, with its noisy input, or with both."""

from __future__ import annotations

from dataclasses import replace
from functools import cache, partial, wraps
from itertools import product
from typing import TYPE_CHECKING, ParamSpec, TypeVar

import numpy as np
from scipy import ndimage

from napari_hush.atoms.columns import fit_atoms
from napari_hush.atoms.grains import Grain, find_grains
from napari_hush.atoms.spacing import find_lattice
from napari_hush.errors import InputError
from napari_hush.fidelity.column_scores import score_columns
from napari_hush.fidelity.evidence import compare_slow, vector_spread, whiteness
from napari_hush.fidelity.findings import Compared, all_limits, finding
from napari_hush.fidelity.lattice import compare_cells, compare_lattice
from napari_hush.fidelity.transfer import predict_transfer
from napari_hush.fidelity.truth import compare_columns, compare_dents, compare_pixels, dent_mask
from napari_hush.fidelity.verdict import Evidence
from napari_hush.filters.gaps import filled, unmasked
from napari_hush.inference.levels import as_float64
from napari_hush.inference.planes import has_one_colour, middle_part
from napari_hush.residual.compare import Residual, compare_residual, no_residual
from napari_hush.residual.scan.recorded import record
from napari_hush.threads import begun

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import ArrayLike, NDArray

    from napari_hush.atoms.autocorrelation import LatticeFit
    from napari_hush.residual.scan.recorded import Recorded
    from napari_hush.residual.support import Support

    Floats = NDArray[np.float64]

LARGE = 512  # px: so much of an image has columns enough for a slope
FEW_COLUMNS = 40  # say nothing of how much of their displacements was kept
HIGH = 3.0  # times the range of the values: a constant that is taken off
SMALLEST_SCAN = 12  # px: smaller images say nothing of slow brightness or of a scan
P = ParamSpec("P")
T = TypeVar("T")


def _one_order(function: Callable[P, T]) -> Callable[P, T]:
    """Refuse arguments of other names with words that say how the images are passed."""

    @wraps(function)
    def checked(*args: P.args, **options: P.kwargs) -> T:
        wrong = [name for name in ("image_true", "image_test") if name in options]
        if wrong or (args and "noisy" in options) or (len(args) > 1 and "denoised" in options):
            call = f"{function.__name__}(noisy, denoised, truth=...)"
            raise InputError(
                f"expected {call}, with None for a noisy image that is not known; got "
                f"{', '.join(wrong) or 'an image before noisy= or denoised='}"
            )
        return function(*args, **options)

    return checked


@_one_order
def judge(
    noisy: ArrayLike | None,
    denoised: ArrayLike,
    *,
    truth: ArrayLike | None = None,
    spacing: float | None = None,
    positions: ArrayLike | None = None,
    vacancies: ArrayLike | None = None,
    transmission: ArrayLike | None = None,
    dark: bool = False,
    pixel_size: float | None = None,
) -> Evidence:
    """Judge one denoised plane, with the truth or without.

    Parameters
    ----------
    noisy : array_like, shape (Y, X), or None
        What was denoised; None where only the truth is known.
    denoised : array_like, shape (Y, X)
        The denoised image, in the same intensity units.
    truth : array_like, shape (Y, X), optional
        The clean image, in the same intensity units.
    spacing : float, optional
        Lattice period, px; by default that of the truth, else of the noisy image, else of the denoised one.
    positions, vacancies : array_like, shape (N, 2), optional
        True and missing columns (y, x), px. They need ``truth``; without positions the columns that the detector
        finds in it are the true ones.
    transmission : array_like, shape (Y, X), optional
        Share of the material that is there in truth, 0 to 1.
    dark : bool
        Whether atom columns are darker than what is around them.
    pixel_size : float, optional
        Nm: then the verdict tells the finest detail as a length.

    Returns
    -------
    Evidence
        With a truth all comparisons are with it, but for the residual's. Pixels that are not finite in one of the
        images are left out.

    Raises
    ------
    InputError
        If there is neither truth nor noisy image, shapes differ, or most pixels are not finite.

    Examples
    --------
    >>> import napari_hush as hush
    >>> sample = hush.sample("dented-lattice")
    >>> hush.judge(sample.noisy[:160, :160], sample.clean[:160, :160]).passed
    True
    """
    test, true, scan, usable = _planes(noisy, denoised, truth)
    compared_planes = Compared(denoised=test, noisy=scan, truth=true, usable=usable, spacing=spacing)
    pedestal = 0.0
    if true is None and scan is not None:  # only differences count, and of a high pedestal single precision knows few
        low, middle, high = np.percentile(scan, [0.5, 50, 99.5]).tolist()
        if abs(middle) > HIGH * (high - low):
            pedestal = middle
            test, scan = test - pedestal, scan - pedestal
    through = None if transmission is None else _plane(transmission, "transmission", test.shape)
    reference = true if true is not None else scan
    assert reference is not None
    lattice = None if min(test.shape) < 16 else find_lattice(reference)
    there = lattice is not None
    if lattice is None and min(test.shape) >= 16:
        lattice = find_lattice(test)
    if spacing is None:
        spacing = None if lattice is None else lattice.spacing
    elif not 2 <= spacing <= min(test.shape) / 2:
        raise InputError(
            f"spacing must be the lattice period in px, from 2 to half of the image's {min(test.shape)} px; got "
            f"{spacing}: leave it out, and it is measured"
        )
    elif lattice is not None and min(abs(np.log(_translations(lattice) / spacing))) > 0.1:
        raise InputError(
            f"spacing must be the lattice period in px; got {spacing}, and the image has a lattice of "
            f"{lattice.spacing:.4g} px: leave it out, and that is taken"
        )
    recorded = None if scan is None or min(test.shape) < SMALLEST_SCAN else record(test, scan, usable, spacing)
    compared = recorded if true is None else None
    taken_away = cache(begun(partial(_residual_of, scan, test, true, usable, spacing, recorded)))
    values: dict[str, float] = {}
    kept = lost = new = moved = np.empty((0, 2))
    evidence = atoms = None
    sign = -1.0 if dark else 1.0
    if spacing is not None:
        evidence = compare_lattice(reference, test, spacing, compared, scan)
        atoms = fit_atoms(test, spacing, dark=dark)
        if true is not None:
            known, missing = (None if p is None else _places(p) for p in (positions, vacancies))
            columns = compare_columns(
                sign * true, sign * test, spacing, found=atoms.positions, positions=known, vacancies=missing,
                transmission=through,
            )  # fmt: skip
            values |= columns.figures
            kept, lost, new, moved = columns.kept, columns.lost, columns.new, columns.moved
        elif recorded is not None:
            scores = score_columns(atoms, recorded, spacing, dark=dark)
            kept, lost, new, moved = scores.kept, scores.lost, scores.new, scores.moved
            kept, lost, new, moved = (_whole(at, usable, spacing) for at in (kept, lost, new, moved))
            values |= {
                f"columns_{k}": len(v) for k, v in (("kept", kept), ("lost", lost), ("new", new), ("moved", moved))
            }
        if lattice is not None:
            values["vector_spread"] = vector_spread(atoms.positions, lattice.vectors)
            if true is not None:
                values["vector_spread_true"] = vector_spread(
                    fit_atoms(true, spacing, dark=dark).positions, lattice.vectors
                )
    if evidence is not None:
        values |= evidence.figures
    if recorded is not None and lattice is not None and not dark:
        grains = find_grains(reference) if isinstance(lattice, Grain) else [lattice]
        values["cell_difference"] = compare_cells(recorded, grains)
        if not there and true is None:
            values["phantom_lattice"] = values["cell_difference"]
    if min(test.shape) >= SMALLEST_SCAN:
        values |= compare_slow(reference, test, spacing, compared)
    before = [np.isfinite(_one_colour(image)) for image in (noisy, truth) if image is not None]
    values["pixels_lost"] = int((np.all(before, axis=0) & ~np.isfinite(_one_colour(denoised))).sum())
    if true is not None:
        if spacing is not None and not dark:
            values |= compare_dents(true, test, spacing, through)
        values |= compare_pixels(true, test, usable, dent_mask(true, None if dark else spacing, through))
    if scan is not None:
        values |= whiteness(np.where(usable, scan - test, 0))
    kept_share = None
    if scan is not None and lattice is not None and len(kept) >= FEW_COLUMNS:
        part = middle_part(test.shape, LARGE)
        seen, made = scan[part], test[part]
        kept_share = predict_transfer(
            seen, made, spacing=spacing, dark=dark, noise=lambda: taken_away()[0].noise,
            atoms=atoms if made.shape == test.shape else None,
        )  # fmt: skip
    residual, support = taken_away()
    values |= {
        "missing_detail": residual.missing,
        "contradicted_detail": residual.contradicted,
        "residual_spread": residual.spread if residual.calibrated else float("nan"),
        "row_wander": residual.wander,
        "detail_lost": 100 * residual.lost,
        "noise_kept": 100 * residual.kept,
    }
    if kept_share is not None:
        values |= {
            "position_transfer": kept_share.positions,
            "displacement_lost": kept_share.lost,
            "height_transfer": kept_share.heights,
        }
    most = dict.fromkeys(("missing_detail", "contradicted_detail"), residual.threshold)
    compared_planes = replace(compared_planes, spacing=spacing)
    if residual.noise is not None:
        residual = replace(residual, noise=residual.noise.moved(pedestal))
    findings = []
    for name, limit in all_limits().items():
        if limit.measure is not None:
            values[name] = _measured(limit.measure, compared_planes)
        if name in values or true is not None or not limit.needs_truth:
            findings.append(finding(name, values.get(name, float("nan")), most.get(name)))
    return Evidence(
        findings=tuple(findings),
        spacing=spacing,
        kept=kept,
        lost=lost,
        new=new,
        moved=moved,
        displacement=None if evidence is None else evidence.displacement,
        phantom=None if evidence is None else evidence.phantom,
        residual=residual,
        support=support,
        transfer=kept_share,
        positions_known=true is not None and positions is not None,
        pixel_size=pixel_size,
    )


def _translations(lattice: LatticeFit) -> Floats:
    """Lengths that may be meant by the period of a lattice, px: of short translations, and half of them."""
    steps = np.array([step for step in product(range(-2, 3), repeat=2) if step > (0, 0)])
    lengths = np.hypot(*(steps @ lattice.vectors).T)
    return np.concatenate([lengths, 0.5 * lengths])


def _whole(at: Floats, usable: NDArray[np.bool_], spacing: float) -> Floats:
    """Those columns (N, 2) that have no gap within half a period."""
    if usable.all() or not len(at):
        return at
    far = ndimage.distance_transform_edt(usable)
    y, x = np.clip(np.rint(at).astype(np.intp), 0, np.array(usable.shape) - 1).T
    return np.asarray(at[far[y, x] > 0.5 * spacing])


def _residual_of(
    noisy: Floats | None,
    denoised: Floats,
    truth: Floats | None,
    usable: NDArray[np.bool_],
    spacing: float | None,
    recorded: Recorded | None,
) -> tuple[Residual, Support | None]:
    if noisy is not None:
        return compare_residual(noisy, denoised, usable, spacing, recorded=recorded)
    assert truth is not None
    return no_residual(np.where(usable, truth - denoised, np.nan), "there is no noisy image"), None


@_one_order
def evaluate(
    noisy: ArrayLike | None,
    denoised: ArrayLike,
    *,
    truth: ArrayLike | None = None,
    spacing: float | None = None,
) -> dict[str, float]:
    """Measure how faithful a denoised image is, with the truth, the noisy image, or both.

    Parameters
    ----------
    noisy : array_like, shape (..., Y, X), or None
        What was denoised; None where only the truth is known.
    denoised : array_like, shape (..., Y, X)
        The denoised image or stack, in the same intensity units. What is masked in any of them counts as NaN.
    truth : array_like, shape (..., Y, X), optional
        The clean image, in the same intensity units.
    spacing : float, optional
        Lattice period, px; estimated for each plane by default.

    Returns
    -------
    dict
        Value by name, NaN where it could not be measured. Of a stack counts are summed over the planes, other values
        are means over the planes where they could be measured.

    Raises
    ------
    InputError
        If there is neither truth nor noisy image, or shapes differ.

    See Also
    --------
    judge : The same with verdicts, positions and maps.

    Examples
    --------
    >>> import napari_hush as hush
    >>> sample = hush.sample("dented-lattice")
    >>> hush.evaluate(sample.noisy[:160, :160], sample.clean[:160, :160])["columns_lost"]
    0.0
    """
    test = _one_colour(denoised)
    others = {k: None if v is None else _one_colour(v) for k, v in (("noisy", noisy), ("truth", truth))}
    if test.ndim < 2 or 0 in test.shape:
        raise InputError(f"expected an image of the shape (..., Y, X); got {test.shape}")
    for name, other in others.items():
        if other is not None and other.shape != test.shape:
            raise InputError(f"{name} and denoised must have one shape, got {other.shape} and {test.shape}: crop one")
    planes = []
    for index in np.ndindex(test.shape[:-2]):
        scan, true = (None if other is None else other[index] for other in others.values())
        planes.append(judge(scan, test[index], truth=true, spacing=spacing).as_dict())
    limits = all_limits()
    result: dict[str, float] = {}
    for name in planes[0]:
        values = np.array([plane[name] for plane in planes])
        values = values[~np.isnan(values)]
        combine = np.sum if name in limits and limits[name].count else np.mean
        result[name] = float(combine(values)) if len(values) else float("nan")
    return result


def _measured(measure: Callable[[Compared], float], compared: Compared) -> float:
    try:
        return float(measure(compared))
    except InputError:
        return float("nan")


def _plane(image: ArrayLike, name: str, shape: tuple[int, ...] | None) -> Floats:
    values = _one_colour(image)
    if values.ndim != 2 or 0 in values.shape:
        raise InputError(f"{name} must be one plane (Y, X); got the shape {values.shape}")
    if values.dtype.kind not in "biuf":
        raise InputError(f"{name} must hold real numbers; got {values.dtype}")
    if shape is not None and values.shape != shape:
        raise InputError(f"{name} and denoised must have one shape, got {values.shape} and {shape}: crop one")
    return as_float64(values)


def _one_colour(image: ArrayLike) -> NDArray[np.generic]:
    """An array with NaN where it is masked, without a last axis that holds the only colour."""
    values = unmasked(image)
    return values[..., 0] if has_one_colour(values.shape) else values


def _planes(
    noisy: ArrayLike | None, denoised: ArrayLike, truth: ArrayLike | None
) -> tuple[Floats, Floats | None, Floats | None, NDArray[np.bool_]]:
    """Denoised, true and noisy image as float64 without gaps, and which pixels were finite in all."""
    if noisy is None and truth is None:
        raise InputError("expected the noisy image or the truth (truth=) to compare with; got neither")
    test = _plane(denoised, "denoised", None)
    true = None if truth is None else _plane(truth, "truth", test.shape)
    scan = None if noisy is None else _plane(noisy, "noisy", test.shape)
    usable = np.all([np.isfinite(image) for image in (test, true, scan) if image is not None], axis=0)
    if 2 * np.count_nonzero(usable) < usable.size:
        raise InputError("more than half of the pixels are NaN or infinite; crop the images to what was recorded")
    return _filled(test), None if true is None else _filled(true), None if scan is None else _filled(scan), usable


def _filled(image: Floats) -> Floats:
    return filled(image, ~np.isfinite(image))


def _places(positions: ArrayLike) -> Floats:
    values = np.asarray(positions, np.float64)
    values = values.reshape(-1, 2) if values.size == 0 else values
    if values.ndim != 2 or values.shape[1] != 2 or not np.isfinite(values).all():
        raise InputError(f"positions and vacancies must be finite and of the shape (N, 2); got {values.shape}")
    return values
