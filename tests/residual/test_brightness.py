"""Tests of how the noise grows with the brightness."""

from __future__ import annotations

import numpy as np

from napari_hush.residual.noise import measure_noise
from napari_hush.synthesis.samples import sample


def test_an_image_that_repeats_itself_exactly_has_no_noise() -> None:
    part = sample("cells").noisy.astype(float)
    noise = measure_noise([np.tile(part, (3, 3))])  # of periods that are taken out only rounding is left
    assert max(noise.coefficients) < 1e-9
