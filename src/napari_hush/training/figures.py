"""Which numbers of a training are metrics of its validation, in units of their own, and which are losses."""

from __future__ import annotations

UNTREATED = "noisy_"  # a metric of the noisy patches begins with it
WITHOUT_TRUTH = "validation_loss"


def is_metric(name: str) -> bool:
    """Whether a number is one of `METRICS`, of the denoised or of the noisy patches."""
    from napari_hush.fidelity.metrics import METRICS  # scikit-image is slow to import

    return name.removeprefix(UNTREATED) in METRICS


def of_validation(name: str) -> bool:
    """Whether a number comes from a validation, and not from a step."""
    return name == WITHOUT_TRUTH or is_metric(name)
