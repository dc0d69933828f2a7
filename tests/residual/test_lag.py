"""The lag of a detector is found to a hundredth, whatever comes on top of it, with a lattice and without."""

from __future__ import annotations

import numpy as np
import pytest

from napari_hush.residual.compare import compare_residual
from napari_hush.residual.noise import measure_noise
from napari_hush.residual.scan.lag import exact_lag, lag_of_noise, reach_of_lag
from napari_hush.synthesis import Lattice, render_lattice
from napari_hush.synthesis.noise.registry import DetectorLag, Poisson, Readout, RowJitter
from napari_hush.synthesis.pictures.phantoms import cells

ALL = np.ones((256, 256), dtype=bool)


def lagging(clean, lag, dose, seed=0, jitter=0.0, readout=0.3):
    rng, detector = np.random.default_rng(seed), DetectorLag(correlation=lag)
    moved = RowJitter(rms=jitter, advance=detector.delay)(clean.astype(np.float32), rng)
    seen = detector(Poisson(dose=dose)(moved, rng), rng)
    return Readout(sigma=readout / dose**0.5)(seen, rng).astype(float)


@pytest.mark.parametrize("lag", [0.15, 0.3, 0.45])
def test_white_noise_on_top_does_not_hide_the_lag(lag):
    clean = render_lattice(Lattice(period=9.0, angle=12.0), (256, 256), 0).image.astype(float)
    noisy = lagging(clean, lag, 500, jitter=0.3)
    noise = measure_noise([noisy], [clean])
    first = lag_of_noise(noise.bands)
    assert exact_lag(first, noisy, clean, noise, ALL, 9.0) == pytest.approx(lag, abs=0.02)


@pytest.mark.parametrize("seed", range(3))
def test_the_truth_behind_a_slow_detector_is_not_doubted(seed):
    lattice = render_lattice(Lattice(period=8.0, angle=12.0), (256, 256), seed).image.astype(float)
    for clean, spacing in ((lattice, 8.0), (cells((256, 256), rng=seed).astype(float), None)):
        noisy = lagging(clean, 0.4, 500, seed, *((0.3, 0.3) if spacing else (0.0, 0.05)))
        residual, _ = compare_residual(noisy, clean, None, spacing)
        assert residual.calibrated and residual.spread < 1.15
        assert max(residual.missing, residual.contradicted) < 1.1 * residual.threshold


def test_what_lies_beyond_the_end_of_a_row_matters_for_few_pixels():
    assert reach_of_lag(0.0) == (0, 0)
    assert reach_of_lag(0.3) == (2, 1) and reach_of_lag(0.45)[0] == 3
