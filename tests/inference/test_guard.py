"""The guard keeps what is in the noisy image, part by part as on the whole."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from napari_hush.atoms.lockin import lattice_amplitude
from napari_hush.errors import InputError
from napari_hush.inference.guards.guard import Guard, guard_margin, measure_guard
from napari_hush.synthesis.samples import sample

TRUTH = sample("dented-lattice")
PERIOD = TRUTH.period
BULK = TRUTH.transmission > 0.99
CORE = ndimage.binary_erosion(TRUTH.transmission < TRUTH.transmission.min() + 0.05, iterations=6)
GUARD = measure_guard([TRUTH.noisy], PERIOD)
ERASED = (TRUTH.clean / np.maximum(TRUTH.transmission, 0.02)).astype(np.float64)  # the same lattice without the dent


def low_pass(image):
    return ndimage.gaussian_filter(np.asarray(image, np.float64), PERIOD)


def depth(image):
    smooth = low_pass(image)
    return 1 - smooth[CORE].mean() / smooth[BULK].mean()


def lattice_inside(image):
    amplitude = lattice_amplitude(image, np.array(GUARD.spots), PERIOD)
    return np.median(amplitude[CORE]) / np.median(amplitude[BULK])


def psnr_of_dent(image):
    dent = TRUTH.transmission < 0.9
    return -10 * np.log10(np.mean((image - TRUTH.clean)[dent] ** 2) / np.ptp(TRUTH.clean) ** 2)


def test_a_dent_that_was_erased_is_there_again():
    guarded = GUARD(TRUTH.noisy, ERASED)
    assert abs(depth(ERASED)) < 0.05 < depth(TRUTH.clean)
    assert depth(guarded) == pytest.approx(depth(TRUTH.clean), rel=0.05)
    assert lattice_inside(ERASED) > 0.95
    assert abs(lattice_inside(guarded) - lattice_inside(TRUTH.clean)) < 0.1
    assert psnr_of_dent(guarded) > psnr_of_dent(ERASED) + 15


def test_the_truth_passes_nearly_unchanged():
    error = GUARD(TRUTH.noisy, TRUTH.clean) - TRUTH.clean
    assert error.std() < 0.03 * np.ptp(TRUTH.clean)  # what the low-passed noise of 10 counts per pixel puts in


def test_a_network_cannot_make_a_lattice_in_a_void():
    empty = np.full_like(ERASED, TRUTH.noisy.mean())
    noisy = np.random.default_rng(0).poisson(empty).astype(np.float64)
    guarded = GUARD(noisy, ERASED)
    before, after = (np.median(lattice_amplitude(image, np.array(GUARD.spots), PERIOD)) for image in (ERASED, guarded))
    assert after < 0.06 * before


def test_slow_contrast_comes_from_the_noisy_image():
    ramp = np.linspace(0, 20, 512)
    guarded = GUARD(TRUTH.noisy + ramp, TRUTH.clean)
    slow = low_pass(guarded - TRUTH.clean).mean(axis=0)
    np.testing.assert_allclose(slow[30:-30], ramp[30:-30], atol=0.7)


def test_a_high_pedestal_changes_nothing():
    high = TRUTH.noisy + 1e4
    guard = measure_guard([high], PERIOD)
    assert guard.bulk == pytest.approx(GUARD.bulk, rel=0.01)
    np.testing.assert_allclose(guard(high, ERASED + 1e4) - 1e4, GUARD(TRUTH.noisy, ERASED), atol=0.05 * GUARD.bulk)


def test_offset_and_gain_of_the_network_do_not_matter_for_the_slow_contrast():
    guarded = low_pass(GUARD(TRUTH.noisy, 3 * TRUTH.clean + 100))
    np.testing.assert_allclose(guarded, low_pass(TRUTH.noisy), atol=0.05 * np.ptp(low_pass(TRUTH.clean)))


@pytest.mark.parametrize("guard", [GUARD, measure_guard([TRUTH.noisy], None)], ids=["lattice", "no lattice"])
@pytest.mark.parametrize("corner", [(0, 0), (101, 143)])
def test_a_part_equals_the_whole(guard, corner):
    whole = guard(TRUTH.noisy, ERASED)
    (y, x), margin = corner, guard.margin
    top, left = max(y - margin, 0), max(x - margin, 0)
    rows, columns = slice(top, y + 80 + margin), slice(left, x + 90 + margin)
    part = guard(TRUTH.noisy[rows, columns], ERASED[rows, columns], (top, left))
    inner = part[y - top : y - top + 80, x - left : x - left + 90]
    np.testing.assert_allclose(inner, whole[y : y + 80, x : x + 90], atol=1e-6 * np.ptp(whole))


def test_no_guard_needs_more_margin_than_is_said():
    assert GUARD.margin == guard_margin(PERIOD)
    white = TRUTH.clean + np.random.default_rng(0).normal(size=TRUTH.clean.shape)
    assert measure_guard([white], None).margin == guard_margin(None) >= measure_guard([TRUTH.noisy], None).margin


def test_a_hot_pixel_leaves_no_blot():
    noisy = TRUTH.noisy.astype(np.float64)
    noisy[200, 200] += 1e5
    difference = GUARD(noisy, TRUTH.clean) - GUARD(TRUTH.noisy, TRUTH.clean)
    assert np.abs(difference).max() < 0.05 * np.ptp(TRUTH.clean)


def test_single_atoms_that_the_noisy_image_has_are_kept():
    y, x = np.mgrid[:512, :512]
    atom = 10 * np.exp(-0.5 * ((y - 228) ** 2 + (x - 290) ** 2) / 2.2**2)  # in the middle of the dent
    without = GUARD(TRUTH.noisy, TRUTH.clean)
    kept = (GUARD(TRUTH.noisy + atom, TRUTH.clean + atom) - without)[228, 290]
    assert kept > 8


def test_grains_of_two_directions_are_both_kept():
    from napari_hush.synthesis import Lattice, render_lattice
    from napari_hush.synthesis.noise.registry import Poisson

    grains = render_lattice(Lattice(period=12, grain_angle=30, background=0.1), (300, 300), 4).image
    noisy = Poisson(dose=20)(grains, np.random.default_rng(0))
    guarded = measure_guard([noisy], 12.0)(noisy, grains)
    assert len(measure_guard([noisy], 12.0).spots) >= 4
    assert (guarded - grains).std() < 0.03


def test_an_image_without_a_lattice_has_only_its_slow_contrast_guarded():
    rng = np.random.default_rng(0)
    noisy = ndimage.gaussian_filter(rng.normal(size=(128, 128)), 3) * 30 + rng.normal(size=(128, 128))
    guard = measure_guard([noisy], None)
    assert guard.spots == ()
    np.testing.assert_allclose(guard(noisy, noisy), noisy, atol=1e-4)
    slow = replace(guard, give_back=None)
    assert abs(slow(noisy, np.zeros_like(noisy)) - ndimage.gaussian_filter(noisy, guard.low_pass)).max() < 0.1


def test_flat_images_pass():
    flat = np.full((40, 50), 7.0)
    for spacing in (None, 12.0):
        np.testing.assert_allclose(measure_guard([flat], spacing)(flat, flat + 2), 7.0)


def test_a_plane_narrower_than_the_window_passes():
    narrow = TRUTH.noisy[:9, :200]
    guard = Guard(low_pass=6.6, noise=1.0, spots=GUARD.spots, window=12.0, floor=GUARD.floor)
    assert np.isfinite(guard(narrow, TRUTH.clean[:9, :200])).all()


def test_nothing_to_measure_on_is_told():
    with pytest.raises(InputError, match="at least one plane"):
        measure_guard([], 12.0)


def test_single_precision_gives_what_double_precision_gives():
    truth = sample("dented-lattice")
    guard = measure_guard([truth.noisy], truth.period)
    images = truth.noisy.astype(np.float32), (truth.clean / truth.transmission.clip(0.2)).astype(np.float32)
    single, double = guard.apply(*images), guard.apply(*(image.astype(np.float64) for image in images))
    for one, other in zip(single, double, strict=True):
        assert one.dtype == np.float32 and other.dtype == np.float64
        np.testing.assert_allclose(one, other, atol=1e-4 * guard.noise)


def test_values_of_which_single_precision_holds_no_sums_are_guarded_in_double_precision():
    truth = sample("dented-lattice")
    guard = measure_guard([truth.noisy], truth.period)
    huge = np.float32(1e33)
    result, _ = guard.apply(truth.noisy.astype(np.float32) * huge, truth.clean.astype(np.float32) * huge)
    assert result.dtype == np.float64 and np.isfinite(result).all()
