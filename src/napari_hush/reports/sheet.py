"""The findings as a CSV sheet: one row per slice, then their mean; one column per quantity."""

from __future__ import annotations

import csv
import io
import math
from typing import TYPE_CHECKING

import numpy as np

from napari_hush.fidelity.metrics import METRICS
from napari_hush.fidelity.stacks import name

if TYPE_CHECKING:
    from napari_hush.fidelity.findings import Finding
    from napari_hush.fidelity.stacks import Evaluation, PlaneResult


def sheet(evaluation: Evaluation) -> bytes:
    """Write the findings as CSV.

    Parameters
    ----------
    evaluation : Evaluation
        What was found.

    Returns
    -------
    bytes
        UTF-8. Columns: slice, verdict, names of failed checks, the metrics against the truth where there is one, then
        the findings with unit and allowed range in the header; what was measured in no slice is left out. The last
        row, ``all``, holds means over the slices, and sums of counts; last, what comes from repeats. What
        could not be measured is empty.
    """
    rows = [_row(plane) for plane in evaluation.planes]
    about = {finding.name: finding for finding in evaluation.planes[0].findings}
    names = [key for key in rows[0] if any(not math.isnan(row[key]) for row in rows)]
    further = [] if evaluation.repeats is None else evaluation.repeats.rows()
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(
        ["slice", "verdict", "failed checks", *(_head(about[key]) for key in names), *(row[0] for row in further)]
    )
    for plane, row in zip(evaluation.planes, rows, strict=True):
        failed = "; ".join(finding.label for finding in plane.findings if finding.verdict == "fail")
        numbers = [_number(row[key]) for key in names]
        writer.writerow([name(plane.index), plane.status, failed, *numbers, *("" for _ in further)])
    bad = sum(bool(plane.failed) for plane in evaluation.planes)
    words = f"in {bad} of {len(rows)} slices" if bad else ""
    total = [_number(_total([row[key] for row in rows], about[key].count)) for key in names]
    writer.writerow(["all", evaluation.status, words, *total, *(_number(value) for _, value, _ in further)])
    return text.getvalue().encode()


def _row(plane: PlaneResult) -> dict[str, float]:
    """The values by name, the metrics first."""
    found = sorted(plane.findings, key=lambda finding: finding.name not in METRICS)
    return {finding.name: finding.value for finding in found}


def _head(finding: Finding) -> str:
    note = "; ".join(part for part in (finding.unit, finding.limit_text) if part)
    return f"{finding.label} ({note})" if note else finding.label


def _number(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.7g}"


def _total(values: list[float], count: bool) -> float:
    there = np.array([value for value in values if not math.isnan(value)])
    if not there.size:
        return math.nan
    return float(there.sum() if count else there.mean())
