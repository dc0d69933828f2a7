"""What a check found: a value, the limits that it has to keep, and what it means; all of them declared in `LIMITS`.

A new finding is one line in it. The metrics of `METRICS` are findings as well, which are shown and not judged.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from napari_hush.fidelity.metrics import METRICS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray

Verdict = Literal["pass", "warn", "fail", "not judged", "not measured"]
Status = Literal["pass", "warn", "fail", "open"]


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One figure about a denoised image.

    Parameters
    ----------
    name : str
        Its key in `LIMITS` or `METRICS`.
    label : str
        The same in plain words.
    value : float
        NaN where it could not be measured.
    unit : str
        ``"a"`` is the lattice period; empty for counts and ratios.
    limits : (float or None, float or None)
        The lowest and the highest value that pass; both None: shown, not judged.
    meaning : str
        One sentence for a microscopist.
    count : bool
        Whether it is a number of things, which is summed over planes.
    clearly : float
        The factor by which a value must pass its limits to be a failure and no warning; infinite: it never is one.

    Examples
    --------
    >>> found = finding("lattice_displacement", 0.031)
    >>> found.verdict, found.limit_text, found.text
    ('fail', 'at most 0.02 a', '0.031 a')
    """

    name: str
    label: str
    value: float
    unit: str
    limits: tuple[float | None, float | None]
    meaning: str
    count: bool = False
    clearly: float = 1.0

    @property
    def verdict(self) -> Verdict:
        """Whether the value keeps its limits."""
        low, high = self.limits
        if math.isnan(self.value):
            return "not measured"
        if low is None and high is None:
            return "not judged"
        if _within(self.value, low, high):
            return "pass"
        clearly = _within(
            self.value, *(None if end is None else end * self.clearly**way for end, way in ((low, -1), (high, 1)))
        )
        return "warn" if clearly else "fail"

    @property
    def limit_text(self) -> str:
        """The limits in words; empty where there are none."""
        low, high = self.limits
        unit = f" {self.unit}" if self.unit else ""
        if low is not None and high is not None:
            return f"{low:.3g} to {high:.3g}{unit}"
        if low is not None:
            return f"at least {low:.3g}{unit}"
        return "" if high is None else f"at most {high:.3g}{unit}"

    @property
    def text(self) -> str:
        """The value with its unit."""
        if math.isnan(self.value):
            return "-"
        unit = f" {self.unit}" if self.unit else ""
        return f"{self.value:,.0f}{unit}" if self.count else f"{_rounded(self.value)}{unit}"


def _within(value: float, low: float | None, high: float | None) -> bool:
    return (low is None or value >= low) and (high is None or value <= high)


def _rounded(value: float) -> str:
    """Four digits, but none beyond a ten-thousandth."""
    return f"{round(value, 4):.4g}" if abs(value) >= 5e-5 else ("0" if abs(value) < 1e-9 else f"{value:.1e}")


@dataclass(frozen=True, kw_only=True, eq=False)
class Compared:
    """What a finding may be measured on: one plane without gaps, float64.

    Parameters
    ----------
    denoised : ndarray, shape (Y, X)
        The output of a denoiser.
    noisy, truth : ndarray, shape (Y, X), or None
        What was denoised, and the clean image, as far as they are known; one of them always is.
    usable : ndarray of bool, shape (Y, X)
        Where all of them were finite.
    spacing : float or None
        Lattice period, px; None without a lattice.
    """

    denoised: NDArray[np.float64]
    noisy: NDArray[np.float64] | None
    truth: NDArray[np.float64] | None
    usable: NDArray[np.bool_]
    spacing: float | None


@dataclass(frozen=True)
class Limit:
    """How one finding is called, judged and explained.

    Parameters
    ----------
    label : str
        In plain words.
    unit : str
        ``"a"`` is the lattice period; empty for counts and ratios.
    limits : (float or None, float or None)
        The lowest and the highest value that pass; both None: shown, not judged.
    meaning : str
        One sentence for a microscopist.
    count : bool
        Whether it is a number of things, which is summed over planes.
    needs_truth : bool
        Whether it is left out, not "not measured", where there is no truth.
    decides : bool
        Whether every blur, lost or invented detail that the data show would change it: only then does passing it say
        that there is none.
    clearly : float
        The factor by which a value must pass its limits to be a failure and no warning; infinite: it never is one.
    headline : bool
        Whether the line with the verdict tells its value.
    measure : callable, optional
        `Compared` to its value; NaN or an `InputError` where it cannot be measured. None for what `judge` measures
        together with others.
    """

    label: str
    unit: str
    limits: tuple[float | None, float | None]
    meaning: str
    count: bool = False
    needs_truth: bool = False
    decides: bool = False
    clearly: float = 1.0
    headline: bool = False
    measure: Callable[[Compared], float] | None = None


def _level_difference(images: Compared) -> float:
    """Of the means, over the range from the 0.5th to the 99.5th percentile, percent."""
    before = images.truth if images.truth is not None else images.noisy
    if before is None or not images.usable.any():
        return math.nan
    inside = before[images.usable]
    low, high = np.percentile(inside, [0.5, 99.5]).tolist()
    return 100 * float(images.denoised[images.usable].mean() - inside.mean()) / (high - low) if high > low else math.nan


SHOWN = (None, None)
SIGMA = "σ"
CELL = 5.0  # percent; faultless networks on simulated lattices stay below
REGIONS = {"lattice": ("lattice", "The same outside dents."), "dent": ("dents", "The same in dents.")}

LIMITS: dict[str, Limit] = {
    "missing_detail": Limit("Missing detail", SIGMA, (None, 6.0),
        "The most that stands out of the noise in what was taken away, at any scale from 1 to 8 px; the limit is what "
        "noise alone passes in one image of a hundred, and a tenth beyond it in one of thousands.",
        decides=True, clearly=1.1,
    ),
    "contradicted_detail": Limit("Contradicted detail", SIGMA, (None, 6.0),
        "The most by which the noisy image lies below the output, at any scale from 1 to 8 px: what was added there is "
        "not in the data.", decides=True, clearly=1.1,
    ),
    "residual_spread": Limit("Spread of the residual", "", (None, 1.1),
        "Standard deviation of what was taken away, means over 1 to 8 px, over that of the noise; above 1 faint detail "
        "is missing or invented all over the image.", decides=True, clearly=1.05,
    ),
    "row_wander": Limit("Rows wander", "px", SHOWN,
        "How far the rows of the scan wander along X while they are scanned, RMS: what the output has put straight of "
        "that is no error, and moved columns are told apart from it.",
    ),
    "detail_lost": Limit("Detail lost", "%", (None, 30),
        "By how much all detail of one size, from 1 to 8 px, is too weak, as far as the noisy image says so with "
        "certainty; a blurred output.",
    ),
    "noise_kept": Limit("Noise kept", "%", (None, 10),
        "Share of the noise's amplitude that is still in the output; 100 % if nothing was done.", clearly=math.inf,
    ),
    "pixels_lost": Limit("Pixels lost", "", (None, 0),
        "Pixels that the input has and the output has not: NaN or infinite.", count=True,
    ),
    "columns_kept": Limit("Columns kept", "", SHOWN, "Atom columns of the output that the input confirms.", count=True),
    "columns_lost": Limit("Columns lost", "", (None, 0),
        "Atom columns that the input shows with certainty and the output does not.", count=True,
    ),
    "columns_new": Limit("Columns new", "", (None, 0),
        "Atom columns of the output of which the input certainly has less than half.", count=True,
    ),
    "columns_moved": Limit("Columns moved", "", (None, 0),
        "Atom columns that certainly lie elsewhere in the input, by 0.05 a or more.", count=True,
    ),
    "vacancies_filled": Limit("Vacancies filled", "%", (None, 2),
        "Share of the missing columns at whose place the output shows one.", needs_truth=True,
    ),
    "vacancies_filled_count": Limit("Vacancies filled", "", (None, 0),
        "Missing columns that the output shows.", count=True, needs_truth=True,
    ),
    "atoms_in_voids": Limit("Atoms in voids", "", (None, 0),
        "Columns of the output where there is no material in truth.", count=True, needs_truth=True,
    ),
    "recall": Limit("Recall", "", (0.98, None),
        "Share of the true columns that the output shows within 0.25 a.", needs_truth=True, decides=True,
    ),
    "precision": Limit("Precision", "", (0.98, None), "Share of the output's columns that are true.", needs_truth=True),
    "f1": Limit("F1", "", (0.98, None), "Recall and precision in one: their harmonic mean.", needs_truth=True),
    "position_error": Limit("Position error, RMS", "a", (None, 0.03),
        "How far the output's columns lie from the true ones.", needs_truth=True,
    ),
    "worst_position_error": Limit("Position error, worst", "a", SHOWN,
        "The column that lies farthest from its true place.", needs_truth=True,
    ),
    "lattice_displacement": Limit("Lattice displacement", "a", (None, 0.02),
        "How far the lattice of the output is displaced from that of the input, RMS where the lattice is strong; what "
        "the noise of the input explains is taken off.", headline=True,
    ),
    "area_shifted": Limit("Area shifted", "a²", (None, 4),
        "Lattice that is displaced as a whole, a tile for example, well beyond the displacement elsewhere.",
    ),
    "phantom_lattice": Limit("Phantom lattice", "%", (None, 5),
        "Lattice of the output where the input has none (a dent, vacuum), as a share of the bulk's.", headline=True,
    ),
    "lattice_gain": Limit("Lattice gain", "", (0.9, 1.3),
        "Strength of the lattice, output over input; below 1 it is dimmed.",
    ),
    "cell_difference": Limit("Average cell differs", "%", (None, CELL),
        "What is missing or added in all cells of the lattice alike, over the lattice: columns that lost their height, "
        "shape or neighbours, far below the noise of one of them.", clearly=math.inf,
    ),
    "lowpass_slope": Limit("Low-pass slope", "", (0.97, 1.03),
        "Slow brightness (thickness, dents) of the output over that of the input.", headline=True,
    ),
    "level_difference": Limit("Level off", "%", (-10, 10),
        "By how much all of the output is brighter or darker than the input, over the range of the input.",
        measure=_level_difference,
    ),
    "lowpass_r": Limit("Low-pass correlation", "", (0.995, None),
        "How well slow brightness of output and input agree beyond noise.", clearly=1.01,
    ),
    "dent_depth_error": Limit("Dent depth error", "%", (None, 4),
        "Change of the deepest dent's depth, as a share of its true depth.", needs_truth=True,
    ),
    "dent_overlap": Limit("Dent overlap", "", (0.9, None),
        "Area in common over area in all of the dents at half depth, output and truth.", needs_truth=True,
    ),
    "residual_leakage": Limit("Residual leakage", "", SHOWN,
        "Power of what was taken away at the lattice's spots over its surroundings; 1: nothing of the lattice.",
    ),
    "residual_correlation_x": Limit("Residual correlation, X", "", SHOWN,
        "Between neighbours along X in what was taken away; detectors: 0-0.5.",
    ),
    "residual_correlation_y": Limit("Residual correlation, Y", "", SHOWN,
        "Between neighbours along Y in what was taken away; 0 for most noise.",
    ),
    "position_transfer": Limit("Transfer of positions", "", SHOWN,
        "Share of the columns' displacements from the ideal lattice that the output kept; below 1 strain and "
        "polarisation come out too small. guard=\"strict\" keeps them all.",
    ),
    "displacement_lost": Limit("Displacements lost", "a", (None, 0.012),
        "Least root mean square of the columns' real displacements along Y that the output has not kept: they stand in "
        "the noisy image beyond its noise, and the output is straighter. guard=\"strict\" keeps them.", clearly=1.5,
    ),
    "height_transfer": Limit("Transfer of heights", "", SHOWN,
        "Share of the differences in height between columns that the output kept; below 1 atoms cannot be counted.",
    ),
    "vector_spread": Limit("Spread of lattice vectors", "a", SHOWN,
        "Standard deviation of the steps from column to neighbour; below the truth's own it was made too regular.",
    ),
    "vector_spread_true": Limit("Spread of lattice vectors, truth", "a", SHOWN,
        "The same in the truth.", needs_truth=True,
    ),
}  # fmt: skip


def all_limits() -> dict[str, Limit]:
    """All findings that there are, by name: those of `LIMITS`, then the metrics, some of them by region as well.

    Examples
    --------
    >>> all_limits()["psnr_dent"].label
    'PSNR, dents'
    """
    found = dict(LIMITS)
    for name, one in METRICS.items():
        found[name] = Limit(one.label, one.unit, SHOWN, one.meaning, needs_truth=True, headline=one.headline)
        if one.by_region:
            for region, (words, meaning) in REGIONS.items():
                found[f"{name}_{region}"] = Limit(f"{one.label}, {words}", one.unit, SHOWN, meaning, needs_truth=True)
    return found


def overall(findings: Iterable[Finding]) -> Status:
    """Put all findings of a plane into one word.

    Parameters
    ----------
    findings : iterable of Finding
        Of one plane.

    Returns
    -------
    {"pass", "warn", "fail", "open"}
        ``"open"`` where nothing failed, but nothing was measured that would have seen every lost or invented detail:
        slow brightness alone, the columns that a detector finds, or noise that is not understood.

    Examples
    --------
    >>> overall([finding("lowpass_slope", 1.0)]), overall([finding("lowpass_slope", 0.5)])
    ('open', 'fail')
    """
    by_name, limits = {found.name: found for found in findings}, all_limits()
    verdicts = {name: found.verdict for name, found in by_name.items()}
    if "fail" in verdicts.values():
        return "fail"
    if "warn" in verdicts.values():
        return "warn"
    return "pass" if any(v == "pass" and limits[name].decides for name, v in verdicts.items()) else "open"


def badness(findings: Iterable[Finding]) -> tuple[int, int]:
    """How bad they are, to be compared: a plane without a verdict is worse than one that passed."""
    found = tuple(findings)
    failed = sum(one.verdict == "fail" for one in found)
    return failed, ("pass", "open", "warn", "fail").index(overall(found))


def finding(name: str, value: float, most: float | None = None) -> Finding:
    """Put a measured value beside its limits.

    Parameters
    ----------
    name : str
        A key of `LIMITS` or `METRICS`.
    value : float
        In that finding's unit; NaN where it could not be measured.
    most : float, optional
        The highest value that passes, where it depends on the image.

    Returns
    -------
    Finding
        With its label, limits and meaning.

    Examples
    --------
    >>> finding("columns_lost", 0).verdict
    'pass'
    """
    limit = all_limits()[name]
    return Finding(
        name=name,
        label=limit.label,
        value=float(value),
        unit=limit.unit,
        limits=limit.limits if most is None else (limit.limits[0], float(np.ceil(100 * most) / 100)),
        meaning=limit.meaning,
        count=limit.count,
        clearly=limit.clearly,
    )
