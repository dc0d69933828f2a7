"""How a denoised image compares with the truth: columns, vacancies, voids, dents, and the usual metrics."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

from napari_hush.atoms.columns import column_contrast, find_atoms, match_atoms
from napari_hush.errors import InputError
from napari_hush.fidelity.metrics import METRICS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_hush.fidelity.metrics import Metric

    Floats = NDArray[np.float64]

RADIUS = 0.25  # spacings within which a column is found
MOVED = 0.06  # spacings, and ...
OUTLYING = 5.0  # times the others' spread: nearer columns are at their place
VOID = 0.1  # transmission below which nothing is there
DENTED = 0.9  # of the bulk's brightness: less is a dent


@dataclass(frozen=True, kw_only=True, eq=False)
class ColumnTruth:
    """The columns of an output by the truth; positions (y, x), px.

    Parameters
    ----------
    kept, lost, new, moved : ndarray, shape (N, 2)
        Columns at a true place (those moved among them), true ones that are missing, and ones that are not true.
    figures : dict
        Values of findings by name.
    """

    kept: Floats
    lost: Floats
    new: Floats
    moved: Floats
    figures: dict[str, float]


def compare_columns(
    clean: Floats,
    output: Floats,
    spacing: float,
    *,
    found: Floats,
    positions: Floats | None = None,
    vacancies: Floats | None = None,
    transmission: Floats | None = None,
) -> ColumnTruth:
    """Match the columns of an output with the true ones.

    Parameters
    ----------
    clean, output : ndarray, shape (Y, X)
        Truth and denoised image; columns bright.
    spacing : float
        Lattice period, px.
    found : ndarray, shape (N, 2)
        The output's columns.
    positions : ndarray, shape (M, 2), optional
        The true columns; without them the columns that the detector finds in the truth.
    vacancies : ndarray, shape (K, 2), optional
        Where columns are missing.
    transmission : ndarray, shape (Y, X), optional
        Share of the material that is there.

    Returns
    -------
    ColumnTruth
        Positions and figures.

    Notes
    -----
    Only columns that the detector finds in the truth can be lost: it does not see those far fainter than the rest. A
    column is counted as lost or new where one of the two images has less than half of the other's contrast there,
    so that one at the detector's threshold is neither. Positions are compared with those that the same detector
    finds in the truth: where columns overlap it errs by the same in both.
    """
    seen = find_atoms(clean, spacing)
    known = seen if positions is None else np.asarray(positions, np.float64).reshape(-1, 2)
    if transmission is not None:
        known = known[_at(transmission, known) >= VOID]
    visible = match_atoms(known, seen, RADIUS * spacing).pairs
    true = seen[visible[:, 1]]  # the detector's own errors are not the output's
    matches = match_atoms(true, found, RADIUS * spacing)
    others = match_atoms(np.concatenate([known, seen]), found, RADIUS * spacing)  # or what it makes of merged ones
    contrasts = [column_contrast(image, spacing) for image in (clean, output)]
    offsets = found[matches.pairs[:, 1]] - true[matches.pairs[:, 0]]
    missed, extra = true[matches.missed], found[others.extra]
    lost = missed[_most(contrasts[1], missed, spacing) < 0.5 * _most(contrasts[0], missed, spacing)]
    new = extra[_most(contrasts[0], extra, spacing) < 0.5 * _most(contrasts[1], extra, spacing)]
    distance = np.hypot(*offsets.T)
    spread = float(np.median(distance)) / 1.18 if len(distance) else 0.0
    far = distance > max(MOVED * spacing, OUTLYING * spread)
    precision = len(others.pairs) / len(found) if len(found) else float("nan")
    recall = matches.recall
    f1 = 2 * precision * recall / (precision + recall) if precision + recall > 0 else float("nan")
    if len(true) and not len(found):
        f1 = 0.0
    figures = {
        "columns_kept": len(found) - len(new),
        "columns_lost": len(lost),
        "columns_new": len(new),
        "columns_moved": int(far.sum()),
        "recall": recall,
        "precision": precision,
        "f1": f1,
        "position_error": float(np.sqrt((distance**2).mean())) / spacing if len(distance) else float("nan"),
        "worst_position_error": float(distance.max()) / spacing if len(distance) else float("nan"),
    }
    if vacancies is not None and len(vacancies):
        figures |= _vacancies(contrasts, np.asarray(vacancies, np.float64), known, transmission, spacing)
    void = _void(clean, transmission, spacing)
    if void.any():
        figures["atoms_in_voids"] = int(np.count_nonzero(_at(void, found[others.extra]) > 0))
    return ColumnTruth(
        kept=np.delete(found, _index(found, new), axis=0), lost=lost, new=new, moved=found[matches.pairs[far, 1]],
        figures=figures,
    )  # fmt: skip


def compare_dents(
    clean: Floats, output: Floats, spacing: float, transmission: Floats | None = None
) -> dict[str, float]:
    """Compare dents: ``dent_depth_error`` and ``dent_overlap``; empty where the truth has none.

    Parameters
    ----------
    clean, output : ndarray, shape (Y, X)
        Truth and denoised image.
    spacing : float
        The low-pass is a Gaussian of this sigma, px.
    transmission : ndarray, shape (Y, X), optional
        Without it a dent is where the low-passed truth is below 90 % of the bulk.

    Returns
    -------
    dict
        Values of findings by name.
    """
    slow = [ndimage.gaussian_filter(image, spacing, mode="nearest") for image in (clean, output)]
    guide = (
        slow[0] / _bulk(slow[0])
        if transmission is None
        else ndimage.gaussian_filter(transmission, spacing, mode="nearest")
    )
    least, most = float(guide.min()), float(np.percentile(guide, 99))
    dented, whole = guide < DENTED, guide > max(0.95, most - 0.02) if most > 0.95 else guide > most - 0.05
    if _bulk(slow[0]) <= 0 or dented.sum() < spacing**2 or not whole.any():
        return {}
    core = guide < least + 0.1 * (most - least)
    levels = [float(image[whole].mean()) for image in slow]
    depths = [
        1 - float(image[core].mean()) / level if level > 0 else 0.0 for image, level in zip(slow, levels, strict=True)
    ]
    if depths[0] < 0.05:
        return {}
    half = 1 - depths[0] / 2
    masks = [image < half * level for image, level in zip(slow, levels, strict=True)]
    union = np.count_nonzero(masks[0] | masks[1])
    return {
        "dent_depth_error": 100 * abs(depths[1] / depths[0] - 1),
        "dent_overlap": np.count_nonzero(masks[0] & masks[1]) / union if union else float("nan"),
    }


def dent_mask(clean: Floats, spacing: float | None, transmission: Floats | None = None) -> NDArray[np.bool_]:
    """Where less than 90 % of the bulk is, (Y, X): from the transmission, else from the low-passed truth."""
    if transmission is not None:
        return np.asarray(transmission < DENTED)
    if spacing is None:
        return np.zeros(clean.shape, dtype=bool)
    slow = ndimage.gaussian_filter(clean, spacing, mode="nearest")
    return np.asarray(slow < DENTED * _bulk(slow)) if _bulk(slow) > 0 else np.zeros(clean.shape, dtype=bool)


def compare_pixels(
    clean: Floats, output: Floats, valid: NDArray[np.bool_], dented: NDArray[np.bool_]
) -> dict[str, float]:
    """All `METRICS` of the whole, and some of them outside dents and in them as well.

    Parameters
    ----------
    clean, output : ndarray, shape (Y, X)
        Truth and denoised image, finite.
    valid, dented : ndarray of bool, shape (Y, X)
        Which pixels count, and which of them lie in dents.

    Returns
    -------
    dict
        NaN where one cannot be computed: a constant truth has no range, a small plane no room for SSIM.
    """
    parts = {"lattice": valid & ~dented, "dent": valid & dented}
    figures = {}
    for name, metric in METRICS.items():
        figures[name] = _measured(metric, clean, output, valid)
        if metric.by_region and all(part.any() for part in parts.values()):
            figures |= {f"{name}_{key}": _measured(metric, clean, output, part) for key, part in parts.items()}
    return figures


def _measured(metric: Metric, clean: Floats, output: Floats, where: NDArray[np.bool_]) -> float:
    try:
        return metric(clean, output, where)
    except InputError:
        return float("nan")


def _most(contrast: Floats, places: Floats, spacing: float) -> Floats:
    """The highest contrast within a tenth of a spacing; at least 0."""
    if not len(places):
        return np.empty(0)
    turns = np.linspace(0, 2 * np.pi, 8, endpoint=False)
    ring = np.concatenate([np.zeros((1, 2)), 0.1 * spacing * np.stack([np.sin(turns), np.cos(turns)], axis=1)])
    around = (places[:, None] + ring).reshape(-1, 2).T
    values = ndimage.map_coordinates(contrast, around, order=1, mode="nearest").reshape(len(places), -1)
    return np.asarray(np.maximum(values.max(axis=1), 0))


def _vacancies(
    contrasts: list[Floats], vacancies: Floats, known: Floats, transmission: Floats | None, spacing: float
) -> dict[str, float]:
    """A vacancy is filled where the contrast rose to half of that of a column near, at least a quarter of the usual."""
    contrast = contrasts[1]
    size = np.array(contrast.shape) - 1
    inside = (np.minimum(vacancies, size - vacancies) >= 1.25 * spacing).all(axis=1)
    if transmission is not None:
        inside &= _at(transmission, vacancies) >= 0.5
    vacancies = vacancies[inside]
    if not len(vacancies) or len(known) < 5:
        return {}
    near = _most(contrasts[0], known, spacing)[cKDTree(known).query(vacancies, k=5)[1]]  # (N, 5)
    rise = _most(contrast, vacancies, spacing) - _most(contrasts[0], vacancies, spacing)
    filled = rise > np.maximum(0.5 * near.min(axis=1), 0.25 * np.median(near, axis=1))
    return {"vacancies_filled": 100 * float(filled.mean()), "vacancies_filled_count": int(filled.sum())}


def _void(clean: Floats, transmission: Floats | None, spacing: float) -> NDArray[np.bool_]:
    """Where there is no material."""
    if transmission is not None:
        return np.asarray(transmission < VOID)
    slow = ndimage.gaussian_filter(clean, spacing, mode="nearest")
    low, bulk = float(clean.min()), _bulk(slow)
    return np.asarray(slow - low < VOID * (bulk - low)) & (slow < VOID * bulk)


def _bulk(slow: Floats) -> float:
    """The level of the undented part: the median of the upper half of the range."""
    low, high = np.percentile(slow, [1, 99])
    upper = slow[slow >= (low + high) / 2]
    return float(np.median(upper)) if len(upper) else float("nan")


def _at(image: NDArray[np.generic], places: Floats) -> Floats:
    """Values at the nearest pixels."""
    y, x = (np.clip(np.rint(places[:, k]).astype(np.intp), 0, image.shape[k] - 1) for k in (0, 1))
    return np.asarray(image[y, x], np.float64)


def _index(all_places: Floats, some: Floats) -> NDArray[np.intp]:
    return np.flatnonzero((all_places[:, None] == some).all(axis=2).any(axis=1)) if len(some) else np.empty(0, np.intp)
