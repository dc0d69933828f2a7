"""What was found out about a denoised image, and how it is told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_hush.fidelity.findings import Finding, Status, all_limits, overall
from napari_hush.io.units import readable_length

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from napari_hush.fidelity.transfer import Transfer
    from napari_hush.residual.compare import Residual
    from napari_hush.residual.support import Support

    Floats = NDArray[np.float64]


OTHER_UNITS, OTHER_LEVEL = 4.0, 50.0  # times the contrast, or a part of it; percent of the range: no denoiser does that


@dataclass(frozen=True, kw_only=True, eq=False)
class Evidence:
    """What was found out about one denoised plane; positions are (y, x), px.

    Parameters
    ----------
    findings : tuple of Finding
        In the order of `all_limits`.
    spacing : float or None
        Lattice period, px; None without a lattice.
    kept : ndarray, shape (N, 2)
        Atom columns of the output that the input or the truth confirms.
    lost : ndarray, shape (M, 2)
        Columns that the output does not show.
    new : ndarray, shape (K, 2)
        Columns that only the output shows.
    moved : ndarray, shape (J, 2)
        Those of ``kept`` that lie at a wrong place.
    displacement : ndarray, shape (2, Y, X), or None
        Of the lattice from input to output, px; NaN where it is weak.
    phantom : ndarray, shape (Y, X), or None
        Amplitude of the output's lattice where the input has none, as a share of the bulk's; NaN elsewhere.
    residual : Residual
        What was taken away, at every scale, against the noise of the input.
    transfer : Transfer or None
        How much of the columns' displacements and differences in height the output has kept, predicted from the noisy
        image; None without one, or without a lattice.
    support : Support or None
        What of the output's detail the input carries; None where its noise is not understood.
    positions_known : bool
        Whether the true positions of all columns were given: else those that are too weak for the detector are not
        looked at.
    pixel_size : float or None
        Nm, where it is known: for the words.
    frames : int
        Of how many frames of a series the noisy image is the mean, see `judge_frame`.
    origin : (int, int)
        Where the plane begins in the image whose part it is, (y, x), px: for the words.
    """

    findings: tuple[Finding, ...]
    spacing: float | None
    kept: Floats
    lost: Floats
    new: Floats
    moved: Floats
    displacement: Floats | None
    phantom: Floats | None
    residual: Residual
    support: Support | None = None
    transfer: Transfer | None = None
    positions_known: bool = False
    pixel_size: float | None = None
    frames: int = 1
    origin: tuple[int, int] = (0, 0)

    @property
    def status(self) -> Status:
        """In one word; "pass" only where all that the data show would have been seen, "open" where nobody looked."""
        return overall(self.findings)

    @property
    def passed(self) -> bool:
        """Whether the status is "pass"."""
        return self.status == "pass"

    @property
    def resolution(self) -> float:
        """The finest width of detail that the data carry, px; NaN where nobody knows."""
        return float("nan") if self.support is None else self.support.resolution

    @property
    def verdict(self) -> str:
        """All in one line."""
        words = _WORDS[self.status](self)
        if np.isfinite(self.resolution) and self.status != "fail":
            words = f"{words}; {_carried(self)}"
        if self.frames > 1:
            return f"{self.frames} frames together: {words}"
        return words[0].upper() + words[1:]

    def as_dict(self) -> dict[str, float]:
        """Return the values by name, with the spacing (px, NaN without a lattice)."""
        spacing = float("nan") if self.spacing is None else self.spacing
        return {"spacing": spacing, **{f.name: f.value for f in self.findings}}


def _failure(evidence: Evidence) -> str:
    """What failed, the worst first, and what else should be looked at."""
    judged = [f for f in evidence.findings if f.verdict in ("pass", "warn", "fail")]
    failed, doubtful = ([f for f in judged if f.verdict == verdict] for verdict in ("fail", "warn"))
    parts = []
    if failed:
        verb = "check" if len(judged) == 1 else "checks"
        parts.append(f"{len(failed)} of {len(judged)} {verb} failed: {_listed(failed)}")
    if doubtful:
        parts.append(f"{'also' if failed else 'nothing failed, but'} look at {_listed(doubtful)}")
    return "; ".join([*_units(evidence), *parts]) + _place(evidence)


def _units(evidence: Evidence) -> list[str]:
    """That an output may be in other units, where its contrast or its level is by far another."""
    value = {f.name: f.value for f in evidence.findings if f.verdict == "fail"}
    gain = next((value[name] for name in ("lowpass_slope", "lattice_gain") if name in value), 1.0)
    away = value.get("level_difference", 0.0)
    if 1 / OTHER_UNITS < gain < OTHER_UNITS and abs(away) < OTHER_LEVEL:
        return []
    return ["is the output in other units than the input? Bring it to the input's first"]


def _listed(findings: list[Finding]) -> str:
    return ", ".join(
        f"{_lower(f.label)} ({f.text})" if f.count else f"{_lower(f.label)} {f.text} ({f.limit_text})" for f in findings
    )


def _carried(evidence: Evidence) -> str:
    """The finest detail that is no invention, as a length where the size of a pixel is known."""
    length, unit = evidence.resolution, "px"
    if evidence.pixel_size is not None:
        length, unit = readable_length(1e-9 * evidence.pixel_size * length)
    noise = evidence.residual.noise
    counted = noise is not None and noise.coefficients[1] > 0
    return f"the detail down to {length:.2g} {unit} is carried by the {'counts' if counted else 'data'}"


def _place(evidence: Evidence) -> str:
    """Where the residual stands out most, if it does."""
    found = evidence.residual
    if not found.z.size or not max(found.missing, found.contradicted) > found.threshold:
        return ""
    scale, y, x = np.unravel_index(int(np.abs(found.z).argmax()), found.z.shape)
    what = "missing" if found.z[scale, y, x] > 0 else "contradicted"
    y, x = y + evidence.origin[0], x + evidence.origin[1]
    return f"; most clearly {what} at x {x}, y {y}, {found.scales[scale]:g} px wide"


def _warning(evidence: Evidence) -> str:
    kept = [f for f in evidence.findings if f.name == "noise_kept" and f.verdict == "warn"]
    if kept and kept[0].value > 95:
        return "nothing was denoised: the output is the noisy image"
    if kept:
        return f"{kept[0].value:.0f} % of the noise is still in the output; nothing else stands out"
    return _failure(evidence)


def _openness(evidence: Evidence) -> str:
    why = evidence.residual.reason or "there is nothing to compare with"
    count = len(evidence.kept)
    seen = f"the columns found, {count:,}, are kept; nothing else was looked at: " if count else ""
    return f"no verdict: {seen}{why}"


def _success(evidence: Evidence) -> str:
    limits = all_limits()
    figures = [f"{_lower(f.label)} {f.text}" for f in evidence.findings if limits[f.name].headline and f.text != "-"]
    parts = []
    if evidence.residual.calibrated and evidence.residual.z.size:
        parts.append("what was taken away is noise at every scale from 1 to 8 px")
    elif evidence.positions_known or evidence.spacing is not None:
        parts.append("nothing lost or invented")
    if evidence.spacing is not None:
        parts.append(f"{len(evidence.kept):,} columns kept")
    if evidence.transfer is not None and evidence.transfer.words:
        parts.append(evidence.transfer.words)
    return "; ".join([*parts, *figures])


_WORDS: dict[Status, Callable[[Evidence], str]] = {
    "pass": _success,
    "warn": _warning,
    "fail": _failure,
    "open": _openness,
}


def table(evidence: Evidence) -> str:
    """Write the findings as plain text, one per line, with limits and verdicts.

    Parameters
    ----------
    evidence : Evidence
        From `judge`.

    Returns
    -------
    str
        Columns for the figure, its value, its limits and its verdict, without what does not apply; the verdict on the
        whole in the last line.

    Examples
    --------
    >>> import napari_hush as hush
    >>> sample = hush.sample("dented-lattice")
    >>> evidence = hush.judge(sample.noisy[:160, :160], sample.clean[:160, :160])
    >>> table(evidence).splitlines()[1].split("  ")[0]
    'Missing detail'
    """
    rows = [(f.label, f.text, f.limit_text, f.verdict) for f in evidence.findings if f.verdict != "not measured"]
    widths = [max((len(row[k]) for row in rows), default=0) for k in range(4)]
    left_out = len(evidence.findings) - len(rows)
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    spacing = "no lattice found" if evidence.spacing is None else f"lattice period a = {evidence.spacing:.4g} px"
    if evidence.spacing is not None and evidence.pixel_size is not None:
        length, unit = readable_length(1e-9 * evidence.pixel_size * evidence.spacing)
        spacing += f" ({length:.4g} {unit})"
    if left_out:
        lines.append(f"{left_out} {'check does' if left_out == 1 else 'checks do'} not apply to this image")
    return "\n".join([spacing, *lines, evidence.verdict])


def _lower(label: str) -> str:
    return label if label[:2].isupper() else label[0].lower() + label[1:]
