"""Error and confirmed detail from repeated measurements, where the truth is known to compare with."""

from __future__ import annotations

import math

import numpy as np
import pytest
from planted_field import PERIOD, make_field
from scipy import ndimage

from napari_hush.errors import InputError
from napari_hush.fidelity.metrics import mse, psnr
from napari_hush.fidelity.repeats.compare import compare_further, compare_repeats, summary
from napari_hush.fidelity.repeats.rings import resolution, ring_correlation
from napari_hush.synthesis.noise.registry import DetectorLag

CLEAN = make_field().draw()
LAG = DetectorLag(correlation=0.3)


def counted(image, rng):
    return rng.poisson(20 * image) / 20


def read_out(image, rng):
    return image + rng.normal(0, 0.3, image.shape)


def lagging(image, rng):
    return np.asarray(LAG(counted(image, rng).astype(np.float32), rng), np.float64)


def lagged(image):
    """What the mean of infinitely many lagging frames shows."""
    return np.asarray(LAG(image.astype(np.float32), np.random.default_rng(0)), np.float64)


NOISES = {"poisson": (counted, CLEAN), "readout": (read_out, CLEAN), "lag": (lagging, lagged(CLEAN))}


def frames_of(noise=counted, count=2, image=CLEAN, seed=0):
    rng = np.random.default_rng(seed)
    return np.stack([noise(image, rng) for _ in range(count)])


def smooth(frames, sigma=1.0):
    return ndimage.gaussian_filter(frames, (0, sigma, sigma))


@pytest.mark.parametrize("count", [2, 4])
@pytest.mark.parametrize("noise", NOISES)
def test_error_without_truth_is_the_true_one(noise, count):
    scan, truth = NOISES[noise]
    for every in (False, True):
        away, shares = [], []
        for seed in range(6):
            frames = frames_of(scan, count, seed=seed)
            outputs = smooth(frames) if every else smooth(frames)[0]
            true = np.mean([mse(truth, output) for output in np.reshape(outputs, (-1, *truth.shape))])
            found = compare_repeats(frames, outputs)
            assert found.mse_error < 0.3 * true, "an error that allows anything tells nothing"
            away.append((found.mse - true) / found.mse_error)
            shares.append(found.mse / true)
        assert np.abs(away).max() < 3
        assert abs(np.mean(shares) - 1) < 0.08, "without bias: the mean of many comes near"


def test_psnr_is_that_of_the_metrics():
    frames = frames_of(count=3)
    output = smooth(frames)[0]
    found = compare_repeats(frames, output, data_range=float(np.ptp(CLEAN)))
    assert abs(found.psnr - psnr(CLEAN, output)) < 3 * found.psnr_error < 1.6
    assert found.psnr_noisy == pytest.approx(psnr(CLEAN, frames[0]), abs=0.1)
    assert found.data_range == np.ptp(CLEAN)
    assert compare_repeats(frames, output).data_range == np.ptp(output)


def test_an_error_smaller_than_what_can_be_measured_has_no_psnr():
    results = [compare_repeats(frames_of(count=2, seed=seed), CLEAN) for seed in range(6)]
    assert all(abs(found.mse) < 3 * found.mse_error for found in results)
    nothing = [found for found in results if found.mse <= 0]
    assert nothing and all(math.isnan(found.psnr) for found in nothing)
    assert "too small" in summary(nothing[0])


def test_the_denoised_frame_may_have_other_noise_where_others_tell_theirs():
    rng = np.random.default_rng(1)
    quiet, loud = (CLEAN + rng.normal(0, sigma, (2, *CLEAN.shape)) for sigma in (0.1, 0.4))
    output = smooth(quiet)[0]
    true = mse(CLEAN, output)
    three = compare_repeats(np.concatenate([quiet[:1], loud]), output)
    assert abs(three.mse - true) < 3 * three.mse_error and not three.notes
    pair = np.stack([quiet[0], loud[0]])
    one = compare_repeats(pair, output)
    assert "noise of the two frames differs" in one.notes[0]
    assert abs(one.mse - true) < 1.5 * one.mse_error
    both = compare_repeats(pair, smooth(pair))
    assert not both.notes
    assert abs(both.mse - np.mean([mse(CLEAN, image) for image in smooth(pair)])) < 3 * both.mse_error < 0.03


@pytest.mark.parametrize("shape", [(160, 160), (128, 200), (161, 139)])
def test_resolution_of_a_known_blur(shape):
    """White detail under a Gaussian blur and white noise: the power of both is known at each frequency."""
    blur, sigma = 1.5, 0.1
    periods = []
    for seed in range(3):
        rng = np.random.default_rng(seed)
        image = ndimage.gaussian_filter(rng.normal(size=shape), blur, mode="wrap")
        periods.append(resolution(*ring_correlation(*(image + rng.normal(0, sigma, (2, *shape))))))
    # FRC = S / (1 + S) is 1/7 at S = 1/6, S = exp(-(2 pi blur q)^2) / sigma^2
    expected = 2 * np.pi * blur / np.sqrt(np.log(6 / sigma**2))
    assert np.mean(periods) == pytest.approx(expected, rel=0.05)


def test_rings_are_where_the_wave_is():
    x = np.arange(96)
    wave = np.sin(2 * np.pi * x / 8) + np.zeros((128, 1))
    noise = np.random.default_rng(0).normal(0, 0.5, (2, 128, 96))
    frequency, correlation, points = ring_correlation(*(wave + noise))
    assert frequency[np.argmax(correlation)] == 1 / 8
    assert frequency[-1] == 0.5
    assert abs(correlation[frequency > 0.2].mean()) < 0.1
    assert correlation[frequency > 0.2].std() == pytest.approx(np.sqrt(np.mean(1 / points[frequency > 0.2])), rel=0.25)


def test_resolution_between_the_rings_of_a_crystal_is_not_taken_for_the_end():
    y, x = np.mgrid[:144, :144]
    crystal = sum(np.cos(2 * np.pi * k * axis / 12) for k in (1, 3) for axis in (y, x))
    noise = np.random.default_rng(0).normal(0, 1, (2, 144, 144))
    frequency, correlation, points = ring_correlation(*(crystal + noise))
    assert correlation[np.argmin(abs(frequency - 2 / 12))] < 1 / 7, "it falls between"
    assert 3.5 < resolution(frequency, correlation, points) <= 4


def test_resolution_that_ends_nowhere_or_begins_nowhere():
    rng = np.random.default_rng(0)
    image, *noise = rng.normal(size=(3, 64, 64))
    assert math.isnan(resolution(*ring_correlation(image, image)))
    assert math.isinf(resolution(*ring_correlation(*noise)))


def test_invented_detail_is_not_confirmed():
    frames = frames_of(count=2)
    kept = compare_repeats(frames, np.stack([CLEAN, CLEAN]))
    y, x = np.mgrid[: CLEAN.shape[0], : CLEAN.shape[1]]
    invention = 0.3 * np.sin(2 * np.pi * x / (PERIOD * 0.7)) * np.sin(2 * np.pi * y / (PERIOD * 0.7))
    found = compare_repeats(frames, np.stack([CLEAN + invention, CLEAN + invention]))
    ring = np.argmin(abs(found.frequency - math.sqrt(2) / (PERIOD * 0.7)))
    assert kept.frc_denoised is not None and found.frc_denoised is not None
    assert found.frc_cross[ring] < 0.5 * kept.frc_cross[ring]
    assert found.frc_denoised[ring] > 0.99, "which two denoised frames do not tell"
    assert found.frc_cross[:ring].max() == pytest.approx(kept.frc_cross[:ring].max(), abs=0.02)
    assert found.mse > kept.mse + 0.5 * float((invention**2).mean())


def test_cross_correlation_is_with_another_frame():
    """With its own frame even pure noise would be confirmed."""
    frames = frames_of(read_out, image=np.zeros((96, 96)))
    found = compare_repeats(frames, frames[0])
    assert abs(found.frc_cross.mean()) < 0.1
    assert math.isinf(found.resolution_cross)
    assert math.isinf(compare_repeats(frames, frames).resolution_cross)


def test_two_frames_alone_have_no_denoised_pair():
    frames = frames_of()
    found = compare_repeats(frames, smooth(frames)[0])
    assert found.frc_denoised is None and math.isnan(found.resolution_denoised)
    assert "too good" not in summary(found)
    assert "too good" in summary(compare_repeats(frames, smooth(frames)))


@pytest.mark.parametrize(("shift", "dose"), [((0.5, 0), 20), ((0.5, 0), 3), ((0, -0.5), 3), ((3, 2), 20)])
def test_shifted_repeats_are_refused(shift, dose):
    rng = np.random.default_rng(0)
    moved = np.clip(ndimage.shift(CLEAN, shift, mode="nearest"), 0, None)
    frames = rng.poisson(dose * np.stack([CLEAN, CLEAN, moved])) / dose
    with pytest.raises(InputError, match=r"shift of .* px .*frames 1 and 3: register them first") as told:
        compare_repeats(frames, frames[0])
    y, x = (float(part.split()[1].strip(",)")) for part in str(told.value).split("(")[1].split(", "))
    assert np.hypot(y - shift[0], x - shift[1]) < 0.2


def test_aligned_repeats_are_not_refused():
    for seed in range(10):
        frames = frames_of(seed=seed)
        assert not compare_repeats(frames, CLEAN).notes


def test_a_small_shift_is_noted():
    rng = np.random.default_rng(0)
    frames = np.stack([CLEAN, ndimage.shift(CLEAN, (0, 0.12), mode="nearest")]) + rng.normal(0, 0.1, (2, *CLEAN.shape))
    assert "shifted by 0.1" in compare_repeats(frames, CLEAN).notes[0]


@pytest.mark.parametrize("every", [False, True])
def test_drift_of_gain_and_offset_is_taken_out_and_told(every):
    frames = frames_of(count=3)
    outputs = smooth(frames)
    before = compare_repeats(frames, outputs if every else outputs[0])
    frames[2], outputs[2] = 1.2 * frames[2] + 0.5, 1.2 * outputs[2] + 0.5
    found = compare_repeats(frames, outputs if every else outputs[0])
    assert found.drift[:2] == ((1, 0), (1, 0))
    assert found.drift[2] == (pytest.approx(1.2, rel=0.03), pytest.approx(0.5, abs=0.03))
    assert "frame 3 is 1." in found.notes[0]
    assert abs(found.mse - before.mse) < before.mse_error


def test_drift_is_not_seen_where_there_is_none():
    flat = frames_of(read_out, 3, np.ones((64, 64)))
    assert compare_repeats(flat, flat[0]).drift == ((1, 0),) * 3


@pytest.mark.parametrize(
    ("noisy", "denoised", "reason"),
    [
        ((64, 64), (64, 64), "at least two noisy frames"),
        ((1, 64, 64), (64, 64), "at least two noisy frames"),
        ((2, 64, 64), (64, 63), r"of shape \(64, 64\)"),
        ((3, 64, 64), (2, 64, 64), r"\(3, 64, 64\), one of each"),
        ((2, 64, 16), (64, 16), "at least 32 x 32"),
    ],
)
def test_wrong_shapes_are_refused(noisy, denoised, reason):
    rng = np.random.default_rng(0)
    with pytest.raises(InputError, match=reason):
        compare_repeats(rng.normal(size=noisy), rng.normal(size=denoised))


def test_what_is_no_number_is_refused():
    frames = frames_of()
    broken = frames.copy()
    broken[1, :, ::5] = np.nan
    with pytest.raises(InputError, match="crop them away"):
        compare_repeats(broken, frames[0])
    for data_range in (0.0, -1.0, math.nan):
        with pytest.raises(InputError, match="data_range must be a positive number"):
            compare_repeats(frames, frames[0], data_range=data_range)


def test_the_inputs_stay_as_they_are():
    frames = frames_of()
    frames[1] = 1.5 * frames[1]
    outputs = smooth(frames)
    before = frames.copy(), outputs.copy()
    assert compare_repeats(frames, outputs).drift[1][0] > 1.3
    np.testing.assert_array_equal(frames, before[0])
    np.testing.assert_array_equal(outputs, before[1])


def test_a_repeat_must_be_another_measurement():
    frames = np.random.default_rng(0).normal(10, 1, (3, 64, 64))
    frames[2] = frames[0]
    with pytest.raises(InputError, match="0 and 2 are the same"):
        compare_repeats(frames, frames[0])


def test_single_gaps_are_left_out_and_told():
    frames = frames_of(count=3)
    whole = compare_repeats(frames, smooth(frames)[0])
    gaps = frames.copy()
    gaps[0, 40:44, 50:60] = np.nan
    gaps[2, 80, 80] = np.inf
    found = compare_repeats(gaps, smooth(frames)[0])
    assert found.mse == pytest.approx(whole.mse, abs=whole.mse_error)
    assert any("41 pixels" in note for note in found.notes)


def test_a_result_that_has_seen_the_other_frames_is_told():
    frames = frames_of(count=4)
    found = compare_repeats(frames, frames.mean(axis=0))
    assert found.mse < 0 and any("has seen the other measurements" in note for note in found.notes)
    assert not compare_repeats(frames, smooth(frames)[0]).notes


def test_a_stack_is_no_further_measurement_of_a_plane():
    frames = frames_of(count=3)
    with pytest.raises(InputError, match=r"is a stack of 3 planes.*choose one of its planes"):
        compare_further(frames, smooth(frames), frames[0])
