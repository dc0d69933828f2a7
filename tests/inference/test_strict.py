"""The strict guard takes the columns' positions and heights from the noisy image, part by part as on the whole."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy import ndimage
from test_scaling import identity_model, model_of

import napari_hush as hush
from napari_hush.atoms.columns import fit_atoms, match_atoms
from napari_hush.errors import InputError
from napari_hush.inference.denoise import denoise_steps, run_steps
from napari_hush.inference.guards.guard import measure_guard
from napari_hush.inference.guards.strict import StrictGuard, measure_strict, strict_margin, with_columns_of
from napari_hush.inference.measure import is_guarded
from napari_hush.inference.settings import DenoiseSettings
from napari_hush.synthesis import Lattice, render_columns, render_lattice

PERIOD, SIGMA, SIDE = 12.0, 2.1, 256
CPU = {"engine": "torch", "device": "cpu", "precision": "float32", "rescale": False}

RNG = np.random.default_rng(3)
SITES = np.stack(np.mgrid[-1:23, -1:23], axis=-1).reshape(-1, 2) * PERIOD + RNG.uniform(0, PERIOD, 2)
SHIFTS = RNG.normal(0, 0.04 * PERIOD, SITES.shape)
SPREAD = RNG.normal(0, 0.15, len(SITES))


def draw(kept=1.0, *, peaks=None):
    """A crystal with so much of its displacements and of the spread of its heights."""
    heights = 1 + kept * SPREAD if peaks is None else peaks
    return 0.15 + 0.85 * render_columns(SITES + kept * SHIFTS, heights, SIGMA, (SIDE, SIDE)).astype(np.float64)


TRUE, STRAIGHT = draw(), draw(0.6)
NOISY = np.random.default_rng(4).poisson(20 * TRUE) / 20
STRICT = measure_strict([NOISY], measure_guard([NOISY], PERIOD), PERIOD)

FINE = render_lattice(Lattice(period=6.5, angle=20, displacement=0.03, background=0.1), (220, 240), 0).image
FINE = np.random.default_rng(6).poisson(10 * FINE.astype(np.float64)) / 10
UNTRAINED = model_of("unet")


def kept(image):
    """Slopes of the columns' displacements and heights on the true ones, and the rms error of positions, px."""
    atoms = fit_atoms(image, PERIOD)
    pairs = match_atoms(SITES + SHIFTS, atoms.positions, 4.0).pairs
    assert len(pairs) > 300
    u, v = SHIFTS[pairs[:, 0]], atoms.positions[pairs[:, 1]] - SITES[pairs[:, 0]]
    h, k = SPREAD[pairs[:, 0]], atoms.heights[pairs[:, 1]] / 0.85
    u, v, h, k = (values - values.mean(axis=0) for values in (u, v, h, k))
    return (u * v).sum() / (u * u).sum(), (h * k).sum() / (h * h).sum(), np.sqrt(((u - v) ** 2).mean())


def test_a_straightened_lattice_gets_its_displacements_and_heights_back():
    positions, heights, error = kept(STRICT(NOISY, STRAIGHT))
    assert kept(STRAIGHT)[0] == pytest.approx(0.6, abs=0.02)
    assert kept(STRICT.guard(NOISY, STRAIGHT))[1] < 0.8
    assert positions == pytest.approx(1, abs=0.05)
    assert heights == pytest.approx(1, abs=0.08)
    assert error < kept(NOISY)[2]


def test_without_noise_nearly_the_truth_comes_back():
    before, after = (
        np.abs(image - TRUE).std() for image in (STRAIGHT, with_columns_of(TRUE, STRAIGHT, PERIOD, faintest=0.05))
    )
    assert after < 0.35 * before


def test_the_truth_is_not_changed_without_noise():
    np.testing.assert_allclose(with_columns_of(TRUE, TRUE, PERIOD, faintest=0.05), TRUE, atol=1e-9)


def test_noise_between_the_columns_stays_away():
    error = STRICT(NOISY, TRUE) - TRUE
    assert error.std() < 0.45 * (NOISY - TRUE).std()


def test_a_part_equals_the_whole():
    made = ndimage.gaussian_filter(FINE, 1.5)
    strict = measure_strict([FINE], measure_guard([FINE], 6.5), 6.5)
    assert strict.margin == strict_margin(6.5) < 22 * 6.5
    margin, side = 60, 16  # what lies further away than that does not show in these digits
    whole = strict(FINE, made)
    assert np.abs(whole - strict.guard(FINE, made)).max() > 0.1 * np.ptp(whole)
    for y, x in (110, 97), (84, 130):
        rows, columns = (slice(start - margin, start + side + margin) for start in (y, x))
        part = strict(FINE[rows, columns], made[rows, columns], (rows.start, columns.start))[margin:, margin:]
        difference = np.abs(part[:side, :side] - whole[y : y + side, x : x + side]).max()
        assert difference < 1e-5 * np.ptp(whole)


def test_tiles_equal_one_pass():
    whole, tiles = (hush.denoise(100 * FINE, UNTRAINED, guard="strict", tile=tile, **CPU) for tile in (False, 48))
    np.testing.assert_allclose(tiles, whole, atol=1e-4 * np.ptp(whole))
    ordinary = hush.denoise(100 * FINE, UNTRAINED, guard=True, **CPU)
    assert np.abs(whole - ordinary).max() > 0.02 * np.ptp(whole)


def test_a_run_is_guarded_strictly_and_says_so():
    done = run_steps(denoise_steps(NOISY, identity_model(), DenoiseSettings(guard="strict", **CPU)))
    assert json.loads(json.dumps(done.provenance))["guard"]["strict"]["spacing"] == pytest.approx(PERIOD, rel=0.02)
    assert done.provenance["settings"]["guard"] == "strict"
    assert is_guarded(identity_model(), DenoiseSettings(guard="strict"))


def test_dark_columns_are_columns_too():
    dark = StrictGuard(guard=measure_guard([-NOISY], PERIOD), spacing=PERIOD, faintest=STRICT.faintest, dark=True)
    found = measure_strict([-NOISY], dark.guard, PERIOD, dark=True)
    assert found.faintest == pytest.approx(STRICT.faintest)
    np.testing.assert_allclose(-dark(-NOISY, -STRAIGHT), STRICT(NOISY, STRAIGHT), atol=1e-5)


def test_a_vacancy_is_not_filled_and_an_invented_column_fades():
    middle = int(np.argmin(np.hypot(*(SITES - SIDE / 2).T)))
    peaks = 1 + SPREAD
    peaks[middle] = 0
    empty = draw(peaks=peaks)
    noisy = np.random.default_rng(5).poisson(20 * empty) / 20
    y, x = np.rint(SITES[middle] + SHIFTS[middle]).astype(int)

    def height(image):
        return image[y, x] - 0.15

    assert height(STRICT(noisy, empty)) < 0.15
    assert height(with_columns_of(noisy, TRUE, PERIOD, faintest=STRICT.faintest)) < 0.3 * height(TRUE)


def test_a_hot_pixel_leaves_no_blot():
    hot = NOISY.copy()
    hot[int(SITES[300, 0]), int(SITES[300, 1])] += 1e4
    assert np.abs(STRICT(hot, STRAIGHT) - STRICT(NOISY, STRAIGHT)).max() < 0.5


def test_no_column_no_change():
    flat = np.full((40, 50), 7.0)
    np.testing.assert_array_equal(with_columns_of(flat + RNG.normal(size=flat.shape), flat, PERIOD, faintest=0.1), flat)


def test_without_a_lattice_it_is_refused():
    noise = np.random.default_rng(0).normal(size=(96, 96))
    with pytest.raises(InputError, match=r"guard='strict' needs an image with a lattice.*use guard='auto'"):
        hush.denoise(noise, identity_model(), guard="strict", **CPU)
