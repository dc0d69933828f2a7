"""What was taken away, at every scale: calibrated on the truth, and sensitive to harm."""

from __future__ import annotations

import numpy as np
import pytest
from cells_picture import picture, with_noise
from scipy import ndimage

from napari_hush.residual.compare import compare_residual
from napari_hush.residual.noise import measure_noise
from napari_hush.residual.scales import alarm_threshold, residual_scales
from napari_hush.synthesis.noise.registry import (
    Compose,
    DetectorLag,
    Gaussian,
    Poisson,
    Readout,
    RowJitter,
    RowOffsets,
    SaltPepper,
)
from napari_hush.synthesis.pictures.slices import foam
from napari_hush.synthesis.samples import sample

CLEAN = picture(256)
NOISES = {
    "few counts": Poisson(dose=2),
    "counts": Poisson(dose=50),
    "readout": Readout(sigma=0.1),
    "lag": Compose(noises=(RowJitter(rms=0, advance=0.4 / 0.6), Poisson(dose=20), DetectorLag(correlation=0.4))),
    "rows": Compose(noises=(Poisson(dose=20), RowOffsets(sigma=0.1, correlation=0.8))),
    "salt and pepper": Compose(noises=(Poisson(dose=50), SaltPepper(fraction=0.003))),
}


def noisy(noise, seed=3):
    return with_noise(noise, CLEAN, seed)


@pytest.mark.parametrize("name", NOISES)
def test_the_truth_leaves_noise_at_every_scale(name):
    found, support = compare_residual(noisy(NOISES[name]), CLEAN)
    assert found.calibrated, found.reason
    assert found.z[:4].std(axis=(1, 2)) == pytest.approx(1, abs=0.1)
    assert max(found.missing, found.contradicted) < found.threshold and found.spread < 1.1
    assert support is not None and support.value.shape == (4, *CLEAN.shape)


def test_the_rows_of_a_scan_are_put_straight_first():
    truth = sample("dented-lattice")
    scan, clean = truth.noisy[:256, :256].astype(float), truth.clean[:256, :256].astype(float)
    jitter = RowJitter(rms=0.4)(clean.astype(np.float32), np.random.default_rng(0))
    image = Gaussian(sigma=float(0.1 * np.ptp(clean)))(jitter, np.random.default_rng(1)).astype(float)
    straight, _ = compare_residual(image, clean, spacing=truth.period)
    assert straight.spread < 1.1 < compare_residual(image, clean)[0].spread
    assert compare_residual(scan, clean, spacing=truth.period)[0].spread < 1.1


def test_hard_edges_do_not_hide_how_slow_the_detector_is():
    image = np.asarray(foam((256, 256), rng=0), np.float64)
    clean = 0.05 + 0.95 * image / np.percentile(image, 99.8)
    slow = Compose(noises=(RowJitter(rms=0, advance=0.818), Poisson(dose=20), DetectorLag(correlation=0.45)))
    found, _ = compare_residual(with_noise(slow, clean, [23, 0, 4]), clean)
    assert found.spread < 1.1 and max(found.missing, found.contradicted) < found.threshold


@pytest.mark.parametrize("share", [0.3, 0.5])
def test_noise_that_was_kept_does_not_change_what_stands_out(share):
    image = noisy(Compose(noises=(Poisson(dose=5), Readout(sigma=0.02))))
    truth, found = (compare_residual(image, CLEAN + k * (image - CLEAN))[0] for k in (0, share))
    assert found.kept == pytest.approx(share, abs=0.03) and found.spread < 1.1
    np.testing.assert_allclose(found.z, truth.z, atol=0.25)


def test_harm_stands_out_where_it_is():
    image = noisy(NOISES["counts"])
    away, added = CLEAN.copy(), CLEAN.copy()
    away[100:160, 90:150] = ndimage.gaussian_filter(CLEAN, 12)[100:160, 90:150]
    y, x = np.indices(CLEAN.shape)
    added += 5 * (image - CLEAN).std() * np.exp(-((y - 60) ** 2 + (x - 70) ** 2) / 5)
    found, _ = compare_residual(image, away)
    at = np.unravel_index(np.abs(found.z).argmax(), found.z.shape)
    assert found.missing > found.threshold and 90 < at[1] < 170 and 80 < at[2] < 160
    found, _ = compare_residual(image, added)
    at = np.unravel_index(found.z.argmin(), found.z.shape)
    assert found.contradicted > found.threshold and abs(at[1] - 60) < 3 and abs(at[2] - 70) < 3


@pytest.mark.parametrize("dose", [2, 20])
def test_a_blur_that_hides_in_the_noise_of_each_place_shows_in_all_of_them(dose):
    image = noisy(Poisson(dose=dose))
    truth, blurred, smooth, flat = (
        compare_residual(*pair)[0].lost
        for pair in (
            (image, CLEAN),
            (image, ndimage.gaussian_filter(CLEAN, 3)),
            (image, ndimage.gaussian_filter(image, 0.7)),
            (image - CLEAN, ndimage.gaussian_filter(image - CLEAN, 1)),
        )
    )
    assert truth == flat == 0 and smooth < 0.3 < blurred


def test_a_part_gives_the_values_of_the_whole():
    image = noisy(NOISES["counts"])
    noise = measure_noise([image])
    whole = residual_scales(image - CLEAN, CLEAN, noise)
    part = (slice(40, 200), slice(60, 230))
    other = residual_scales((image - CLEAN)[part], CLEAN[part], noise, size=image.size)
    inner = (slice(None), slice(33, -33), slice(33, -33))
    np.testing.assert_allclose(other.z[inner], whole.z[(slice(None), *part)][inner], atol=1e-4)
    assert other.threshold == whole.threshold


def test_the_threshold_is_passed_once_in_a_hundred_images():
    scales = (1.0, 2.0, 4.0)
    limit = alarm_threshold(128 * 128, scales)
    rng = np.random.default_rng(0)
    passed = 0
    for _ in range(300):
        field = rng.normal(size=(128, 128))
        z = [ndimage.gaussian_filter(field, s, mode="wrap") * 2 * np.sqrt(np.pi) * s for s in scales]
        passed += np.abs(z).max() > limit
    assert passed <= 9  # 3 expected


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_support_claims_no_kept_noise(share):
    image = noisy(NOISES["counts"])
    output = ndimage.gaussian_filter(CLEAN, 1.0) if share == 0 else CLEAN + share * (image - CLEAN)
    found, support = compare_residual(image, output)
    if support is None:
        assert share == 1.0 and not found.calibrated
        return
    claimed = right = 0
    for scale, detail, value in zip(support.scales, support.detail, support.value, strict=True):
        true = ndimage.gaussian_filter(CLEAN, scale) - ndimage.gaussian_filter(CLEAN, 2 * scale)
        sure = value >= 2
        claimed += int(sure.sum())
        right += int((np.sign(true[sure]) == np.sign(detail[sure])).sum())
    assert claimed > 5000 and right > 0.95 * claimed
