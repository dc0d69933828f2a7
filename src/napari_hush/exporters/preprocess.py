"""Normalisation as BioImage.IO declares it: the operations for a rule, and what they do to an image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_hush.errors import InputError

if TYPE_CHECKING:
    from napari_hush.normalize import NormalizationRule

EPS = 1e-12  # BioImage.IO adds it to the width of the range; images in ampere have small ones


def to_operations(rule: NormalizationRule) -> list[dict[str, Any]]:
    """The operations that normalise as a rule says.

    Notes
    -----
    What cannot be expressed: ``match`` hands on an image that already lies in the target range, here its percentiles
    are mapped like those of any other; percentiles are interpolated, where napari-hush takes a value of the image; and
    of a network with companions all channels have a part in them, where napari-hush takes those of the image.

    Raises
    ------
    InputError
        If the upper percentile is 1 or less, which the format does not allow.
    """
    low, high = rule.target
    operations: list[dict[str, Any]] = []
    if rule.method in ("percentile", "match"):
        if rule.high <= 1:
            raise InputError(f"BioImage.IO allows upper percentiles above 1 only, the model's is {rule.high:g}")
        percentiles = {"min_percentile": float(rule.low), "max_percentile": float(rule.high)}
        # without the batch: every image by itself
        operations += [{"id": "scale_range", "kwargs": {"axes": ["channel", "y", "x"], **percentiles, "eps": EPS}}]
        operations += _linear(high - low, low)
    elif rule.method == "standard":
        operations += [{"id": "zero_mean_unit_variance", "kwargs": {"axes": ["channel", "y", "x"], "eps": EPS}}]
        operations += _linear((high - low) / 2, (high + low) / 2)
    elif rule.source:
        gain = (high - low) / (rule.source[1] - rule.source[0])
        operations += _linear(gain, low - rule.source[0] * gain)
    if rule.clip:
        operations += [{"id": "clip", "kwargs": {"min": float(low), "max": float(high)}}]
    return operations


def apply(operations: list[dict[str, Any]], image: np.ndarray) -> np.ndarray:
    """Normalise one image (1, C, Y, X) as the operations say, to float32."""
    values = image.astype(np.float64)
    for operation in operations:
        arguments = operation["kwargs"]
        match operation["id"]:
            case "scale_range":
                low, high = np.percentile(values, (arguments["min_percentile"], arguments["max_percentile"]))
                values = (values - low) / (high - low + arguments["eps"])
            case "zero_mean_unit_variance":
                values = (values - values.mean()) / (values.std() + arguments["eps"])
            case "scale_linear":
                values = values * arguments["gain"] + arguments["offset"]
            case "clip":
                values = np.clip(values, arguments["min"], arguments["max"])
    return values.astype(np.float32)


def _linear(gain: float, offset: float) -> list[dict[str, Any]]:
    if gain == 1 and offset == 0:  # which the format calls redundant
        return []
    return [{"id": "scale_linear", "kwargs": {"gain": float(gain), "offset": float(offset)}}]
