"""Resampling: parts equal the whole, positions and values stay, what the output cannot hold is gone."""

from __future__ import annotations

import numpy as np
import pytest

from napari_hush.errors import InputError
from napari_hush.filters.resampling import axis_weights, reach, resample, resample_part, resampled_size
from napari_hush.synthesis import Lattice, render_lattice

FACTORS = (2.4, 1.31, 1.0, 0.73, 1 / 3)


def psnr(image: np.ndarray, other: np.ndarray) -> float:
    error = (image - other)[8:-8, 8:-8].astype(np.float64)  # mirroring bends a lattice at the edge
    return float(10 * np.log10(np.ptp(image) ** 2 / np.mean(error**2)))


@pytest.mark.parametrize("antialias", [True, False])
@pytest.mark.parametrize("factor", FACTORS)
def test_parts_equal_the_whole_and_read_only_what_they_need(factor, antialias):
    image = np.random.default_rng(1).random((2, 61, 75), dtype=np.float32)
    whole = resample(image, factor, antialias=antialias)
    assert whole.shape == (2, resampled_size(61, factor), resampled_size(75, factor))
    height, width = whole.shape[1:]
    for y, x in [((0, 9), (0, 7)), ((9, height), (3, width)), ((height // 2, height // 2 + 1), (width - 2, width))]:
        seen = []

        def read(rows: slice, columns: slice, seen=seen) -> np.ndarray:
            seen.append((rows, columns))
            return image[:, rows, columns]

        part = resample_part(read, slice(*y), slice(*x), (61, 75), factor, antialias=antialias)
        np.testing.assert_allclose(part, whole[:, slice(*y), slice(*x)], rtol=0, atol=1e-6)
        ((rows, columns),) = seen
        for ends, piece, size in ((y, rows, 61), (x, columns, 75)):
            assert 0 <= piece.start < piece.stop <= size
            far = reach(factor, antialias=antialias)
            assert piece.start >= (ends[0] + 0.5) / factor - 0.5 - far
            assert piece.stop - 1 <= (ends[1] - 0.5) / factor - 0.5 + far


def test_factor_one_changes_nothing():
    image = np.random.default_rng(2).normal(1e3, 50, (3, 17, 22)).astype(np.float32)
    np.testing.assert_array_equal(resample(image, 1.0), image)


@pytest.mark.parametrize("factor", FACTORS)
def test_a_constant_stays_constant_up_to_the_edges_and_beyond(factor):
    np.testing.assert_allclose(resample(np.full((20, 9), 250.0), factor, shape=(70, 40)), 250.0, rtol=1e-6)


@pytest.mark.parametrize("factor", [2.4, 1.31, 0.73, 0.4])
def test_a_spot_stays_where_it_is(factor):
    y, x = np.mgrid[:64, :64]
    image = np.exp(-((y - 30.3) ** 2 + (x - 27.8) ** 2) / (2 * 4.0**2))
    out = resample(image, factor).astype(np.float64)
    places = (np.arange(len(out)) + 0.5) / factor - 0.5
    assert np.sum(out.sum(1) * places) / out.sum() == pytest.approx(30.3, abs=0.02)
    assert np.sum(out.sum(0) * places) / out.sum() == pytest.approx(27.8, abs=0.02)


@pytest.mark.parametrize(("period", "sigma"), [(8, 0.19), (8, 0.25), (13, 0.19), (24, 0.19), (40, 0.25)])
def test_a_lattice_comes_back_from_twelve_px_per_period(period, sigma):
    lattice = Lattice(kind="square", period=period, angle=17, sigma=sigma)
    image = render_lattice(lattice, (128, 128), 0).image
    there = resample(image, 12 / period)
    assert psnr(image, resample(there, period / 12, shape=(128, 128), antialias=False)) > 45


def test_what_the_output_cannot_hold_is_gone():
    x = np.arange(240)
    fine, coarse = (np.cos(2 * np.pi * f * x) * np.ones((8, 1)) for f in (0.41, 0.05))  # Nyquist after: 0.2
    inner = np.s_[:, 8:-8]
    assert np.abs(resample(fine, 0.4)[inner]).max() < 0.01
    assert np.abs(resample(coarse, 0.4)[inner]).max() > 0.95
    assert np.abs(resample(fine, 0.4, antialias=False)[inner]).max() > 0.5


def test_edges_and_hot_pixels_ring_little():
    step, hot = np.zeros((40, 40)), np.zeros((40, 40))
    step[:, 20:], hot[20, 20] = 1, 1
    for factor in (2.4, 1.31):
        assert resample(step, factor).max() < 1.07
        assert resample(hot, factor).min() > -0.08


def test_what_is_beyond_the_end_is_mirrored():
    image = np.arange(30.0).reshape(1, 30).repeat(4, axis=0)
    out = resample(image, 1.0, shape=(4, 34))
    np.testing.assert_allclose(out[0, 30:], [29, 28, 27, 26], atol=1e-4)


@pytest.mark.parametrize("factor", [0.0, -1.0, np.nan, np.inf])
def test_impossible_factors_are_refused(factor):
    with pytest.raises(InputError, match="factor must be a positive number"):
        resample(np.zeros((4, 4)), factor)


def test_nothing_to_do_is_refused():
    with pytest.raises(InputError, match="start < stop"):
        axis_weights(3, 3, 10, 2.0)
    with pytest.raises(InputError, match="an image"):
        resample(np.zeros(4), 2.0)
