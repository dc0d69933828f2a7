"""What a check found: a value, the limits that it has to keep, and what it means; all of them declared in `LIMITS`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

Verdict = Literal["pass", "fail", "not judged", "not measured"]
Status = Literal["pass", "fail", "not judged"]


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One figure about a denoised image.

    Parameters
    ----------
    name : str
        Its key in `LIMITS`.
    label : str
        The same in plain words.
    value : float
        NaN where it could not be measured.
    unit : str
        ``"a"`` is the lattice spacing; empty for counts and ratios.
    limits : (float or None, float or None)
        The lowest and the highest value that pass; both None: shown, not judged.
    meaning : str
        One sentence for a microscopist.

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

    @property
    def verdict(self) -> Verdict:
        """Whether the value keeps its limits."""
        low, high = self.limits
        if math.isnan(self.value):
            return "not measured"
        if low is None and high is None:
            return "not judged"
        kept = (low is None or self.value >= low) and (high is None or self.value <= high)
        return "pass" if kept else "fail"

    @property
    def limit_text(self) -> str:
        """The limits in words; empty where there are none."""
        low, high = self.limits
        unit = f" {self.unit}" if self.unit else ""
        if low is not None and high is not None:
            return f"{low:g} to {high:g}{unit}"
        if low is not None:
            return f"at least {low:g}{unit}"
        return "" if high is None else f"at most {high:g}{unit}"

    @property
    def text(self) -> str:
        """The value with its unit."""
        if math.isnan(self.value):
            return "-"
        unit = f" {self.unit}" if self.unit else ""
        return f"{self.value:,.0f}{unit}" if self.name in COUNTS else f"{_rounded(self.value)}{unit}"


def _rounded(value: float) -> str:
    """Four digits, but none beyond a ten-thousandth."""
    return f"{round(value, 4):.4g}" if abs(value) >= 5e-5 else ("0" if abs(value) < 1e-9 else f"{value:.1e}")


class Limit(NamedTuple):
    """How one finding is called, judged and explained."""

    label: str
    unit: str
    limits: tuple[float | None, float | None]
    meaning: str


_SHOWN = (None, None)

LIMITS: dict[str, Limit] = {
    "columns_kept": Limit("Columns kept", "", _SHOWN, "Atom columns of the output that the input confirms."),
    "columns_lost": Limit(
        "Columns lost", "", (None, 0), "Atom columns that the input shows with certainty and the output does not."
    ),
    "columns_new": Limit(
        "Columns new", "", (None, 0), "Atom columns of the output of which the input certainly has less than half."
    ),
    "columns_moved": Limit(
        "Columns moved", "", (None, 0), "Atom columns that certainly lie elsewhere in the input, by 0.05 a or more."
    ),
    "vacancies_filled": Limit(
        "Vacancies filled", "%", (None, 2), "Share of the missing columns at whose place the output shows one."
    ),
    "vacancies_filled_count": Limit("Vacancies filled", "", (None, 0), "Missing columns that the output shows."),
    "atoms_in_voids": Limit(
        "Atoms in voids", "", (None, 0), "Columns of the output where there is no material in truth."
    ),
    "recall": Limit("Recall", "", (0.98, None), "Share of the true columns that the output shows within 0.25 a."),
    "precision": Limit("Precision", "", (0.98, None), "Share of the output's columns that are true."),
    "f1": Limit("F1", "", (0.98, None), "Recall and precision in one: their harmonic mean."),
    "position_error": Limit(
        "Position error, RMS", "a", (None, 0.03), "How far the output's columns lie from the true ones."
    ),
    "worst_position_error": Limit(
        "Position error, worst", "a", _SHOWN, "The column that lies farthest from its true place."
    ),
    "lattice_displacement": Limit(
        "Lattice displacement", "a", (None, 0.02),
        "How far the lattice of the output is displaced from that of the input, RMS where the lattice is strong; "
        "what the noise of the input explains is taken off.",
    ),
    "area_shifted": Limit(
        "Area shifted", "a²", (None, 4),
        "Lattice that is displaced as a whole, a tile for example, well beyond the displacement elsewhere.",
    ),
    "phantom_lattice": Limit(
        "Phantom lattice", "%", (None, 5),
        "Lattice of the output where the input has none (a dent, vacuum), as a share of the bulk's.",
    ),
    "lattice_gain": Limit(
        "Lattice gain", "", (0.9, 1.3), "Strength of the lattice, output over input; below 1 it is dimmed."
    ),
    "lowpass_slope": Limit(
        "Low-pass slope", "", (0.97, 1.03), "Slow brightness (thickness, dents) of the output over that of the input."
    ),
    "lowpass_r": Limit(
        "Low-pass correlation", "", (0.995, None), "How well slow brightness of output and input agree beyond noise."
    ),
    "dent_depth_error": Limit(
        "Dent depth error", "%", (None, 4), "Change of the deepest dent's depth, as a share of its true depth."
    ),
    "dent_overlap": Limit(
        "Dent overlap", "", (0.9, None), "Area in common over area in all of the dents at half depth, output and truth."
    ),
    "residual_leakage": Limit(
        "Residual leakage", "", _SHOWN,
        "Power of what was taken away at the lattice's spots over its surroundings; 1: nothing of the lattice.",
    ),
    "residual_correlation_x": Limit(
        "Residual correlation, X", "", _SHOWN, "Between neighbours along X in what was taken away; detectors: 0-0.5."
    ),
    "residual_correlation_y": Limit(
        "Residual correlation, Y", "", _SHOWN, "Between neighbours along Y in what was taken away; 0 for most noise."
    ),
    "vector_spread": Limit(
        "Spread of lattice vectors", "a", _SHOWN,
        "Standard deviation of the steps from column to neighbour; below the truth's own it was made too regular.",
    ),
    "vector_spread_true": Limit("Spread of lattice vectors, truth", "a", _SHOWN, "The same in the truth."),
    "psnr": Limit("PSNR", "dB", _SHOWN, "Peak signal-to-noise ratio; says little about atoms."),
    "psnr_lattice": Limit("PSNR, lattice", "dB", _SHOWN, "The same outside dents."),
    "psnr_dent": Limit("PSNR, dents", "dB", _SHOWN, "The same in dents."),
    "ssim": Limit("SSIM", "", _SHOWN, "Structural similarity; says little about atoms."),
    "ssim_lattice": Limit("SSIM, lattice", "", _SHOWN, "The same outside dents."),
    "ssim_dent": Limit("SSIM, dents", "", _SHOWN, "The same in dents."),
    "mse": Limit("MSE", "", _SHOWN, "Mean squared error, squared intensity."),
    "mae": Limit("MAE", "", _SHOWN, "Mean absolute error, intensity."),
}  # fmt: skip

COUNTS = (
    "columns_kept", "columns_lost", "columns_new", "columns_moved", "vacancies_filled_count", "atoms_in_voids",
)  # fmt: skip


BLIND = ("lowpass_slope", "lowpass_r")  # neither a blur nor a lost or an invented detail changes slow brightness


def overall(findings: Iterable[Finding]) -> Status:
    """Put all findings of a plane into one word.

    Parameters
    ----------
    findings : iterable of Finding
        Of one plane.

    Returns
    -------
    {"pass", "fail", "not judged"}
        ``"not judged"`` where nothing failed, but nothing that could have seen lost or invented detail was looked at:
        slow brightness alone, or atom columns where none was found.

    Examples
    --------
    >>> overall([finding("lowpass_slope", 1.0)]), overall([finding("lowpass_slope", 0.5)])
    ('not judged', 'fail')
    """
    by_name = {found.name: found for found in findings}
    if any(found.verdict == "fail" for found in by_name.values()):
        return "fail"
    blind: tuple[str, ...] = BLIND
    if "columns_kept" in by_name and not by_name["columns_kept"].value > 0:
        blind += COUNTS
    return "pass" if any(f.verdict == "pass" for name, f in by_name.items() if name not in blind) else "not judged"


def finding(name: str, value: float) -> Finding:
    """Put a measured value beside its limits.

    Parameters
    ----------
    name : str
        A key of `LIMITS`.
    value : float
        In that finding's unit; NaN where it could not be measured.

    Returns
    -------
    Finding
        With the label, limits and meaning from `LIMITS`.

    Examples
    --------
    >>> finding("columns_lost", 0).verdict
    'pass'
    """
    limit = LIMITS[name]
    return Finding(name=name, value=float(value), **limit._asdict())
