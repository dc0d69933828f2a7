"""What frames know together: less noise where nothing changes, and nothing of one frame in another where it does."""

import numpy as np
import pytest
from scipy import ndimage

from napari_hush.residual.noise import measure_noise
from napari_hush.series.affine import translation
from napari_hush.series.changes import Change, changes_in, save_changes
from napari_hush.series.compared import Frame
from napari_hush.series.fusion import HALO, PART, Fusion
from napari_hush.series.pairs import Pair

SIDE, FRAMES, NOISE = 128, 8, 0.1
SPOT = (64, 48)


def clean():
    image = ndimage.gaussian_filter(np.random.default_rng(0).random((SIDE, SIDE)), 6)
    return ((image - image.min()) / np.ptp(image)).astype(np.float32)


def spot(height, place=SPOT, sigma=2.2):
    y, x = np.mgrid[:SIDE, :SIDE]
    return (height * np.exp(-((y - place[0]) ** 2 + (x - place[1]) ** 2) / 2 / sigma**2)).astype(np.float32)


def same(number=0):
    return Pair(np.eye(3), 1.0, 0.0, np.inf, 0.0)


def fused(truth, number, *, pairs=None, known=None, seed=0, gains=None, **options):
    """Frames with noise, each smoothed alone."""
    rng = np.random.default_rng(seed)
    noisy = truth + rng.normal(0, NOISE, truth.shape).astype(np.float32)
    denoised = np.stack([ndimage.gaussian_filter(one, 1.0) for one in noisy])
    noise = measure_noise(list(noisy[:3]), list(denoised[:3]))
    if gains is not None:
        noisy, denoised = noisy * gains[:, None, None], denoised * gains[:, None, None]
    frames = {
        k: Frame(noisy[k], denoised[k], None if known is None or k not in known else known[k])
        for k in range(len(truth))
    }
    pairs = pairs or {k: same() for k in range(len(truth)) if k != number}
    fusion = Fusion(frames, number, pairs, noise, **{"lattice": False} | options)
    return fusion.whole(), noisy, denoised, fusion


def still():
    return np.repeat(clean()[None], FRAMES, axis=0)


def test_noise_falls_with_the_number_of_frames():
    truth = still()
    found, noisy, denoised, _ = fused(truth, 3)
    assert found.carried.mean() > 0.95 * FRAMES
    assert (found.noisy - truth[3]).std() < 1.15 * (noisy[3] - truth[3]).std() / FRAMES**0.5
    assert (found.denoised - truth[3]).std() < 0.6 * (denoised[3] - truth[3]).std()
    assert not found.changed.any()


@pytest.mark.parametrize("gone", [0, 3, 7])
def test_what_is_in_all_frames_but_one_leaves_no_phantom_in_it(gone):
    truth = still()
    for number in range(FRAMES):
        truth[number] += spot(0.0 if number == gone else 1.0)
    found, _, denoised, _ = fused(truth, gone)
    y, x = SPOT
    assert found.noisy[y, x] - truth[gone, y, x] < 0.25  # a plain mean has 0.875
    assert abs(found.denoised[y, x] - truth[gone, y, x]) < abs(denoised[gone, y, x] - truth[gone, y, x]) + 0.05
    assert found.carried[y, x] < 1.5 and found.carried[20:40, 90:120].mean() > 7


def test_what_is_in_one_frame_alone_stays_and_is_told():
    truth = still()
    truth[4] += spot(1.0)
    found, _, _, _ = fused(truth, 4)
    assert found.denoised[SPOT] - clean()[SPOT] > 0.7
    assert found.changed[SPOT] > 4.5
    before, _, _, _ = fused(truth, 3)
    assert before.denoised[SPOT] - clean()[SPOT] < 0.1


def test_weak_lasting_change_is_seen_by_groups_of_frames():
    truth = still()
    truth[4:] += spot(0.35)
    kept = [fused(truth, number)[0].denoised[SPOT] - clean()[SPOT] for number in (3, 4)]
    assert kept[1] - kept[0] > 0.7 * 0.35


def test_what_moves_is_not_smeared():
    truth = still()
    for number in range(FRAMES):
        truth[number] += spot(1.0, (64, 30 + 6 * number))
    found, _, denoised, _ = fused(truth, 3)
    assert found.denoised[64, 48] - clean()[64, 48] > 0.9 * (denoised[3, 64, 48] - clean()[64, 48])
    assert found.denoised[64, 36] - clean()[64, 36] < 0.15


def test_frame_that_is_displaced_is_left_out():
    truth = still()
    truth[5] = ndimage.shift(truth[5], (3, 0), mode="nearest")
    found, _, _, _ = fused(truth, 4)
    steep = np.hypot(*np.gradient(clean())) > 0.02
    assert found.carried[steep].mean() < 7.5
    all_right, _, _, _ = fused(still(), 4)
    assert all_right.carried[steep].mean() > 7.7


def test_frame_that_is_turned_counts_only_where_it_fits():
    y, x = np.mgrid[:SIDE, :SIDE]
    field = (np.cos(2 * np.pi * x / 12) * np.cos(2 * np.pi * y / 12)).astype(np.float32)
    turned = ndimage.rotate(field, 3.0, reshape=False, mode="reflect").astype(np.float32)
    found, _, denoised, _ = fused(np.stack([field, turned]), 0, lattice=True)
    assert found.carried[:, :24].max() < 1.05 and found.carried[:, -24:].max() < 1.05
    assert (found.denoised - field).std() < 1.02 * (denoised[0] - field).std()


def test_rows_that_start_elsewhere_in_each_frame_smear_no_lattice():
    rng = np.random.default_rng(1)
    walks = np.cumsum(rng.normal(0, 2 / SIDE**0.5, (FRAMES, 2, SIDE, 1)), axis=2)
    y, x = np.mgrid[:SIDE, :SIDE]
    truth = np.stack([np.cos(2 * np.pi * (x + a) / 12) * np.cos(2 * np.pi * (y + b) / 12) for a, b in walks])
    truth = truth.astype(np.float32)
    for number in (0, 4):
        found, _, denoised, _ = fused(truth, number, lattice=True)
        assert (found.denoised - truth[number]).std() < 1.01 * (denoised[number] - truth[number]).std()


def test_neighbours_are_brought_into_place_and_borders_stand_alone():
    truth = still()
    moved = np.stack([ndimage.shift(one, (0, 4 * number), order=3, mode="nearest") for number, one in enumerate(truth)])
    pairs = {k: Pair(translation((0.0, 4.0 * k)), 1.0, 0.0, np.inf, 0.0) for k in range(1, FRAMES)}
    found, _, _, _ = fused(moved, 0, pairs=pairs)
    assert found.carried[20:100, 20:90].mean() > 7
    assert found.carried[:, -3:].max() < 2
    assert (found.denoised - truth[0])[20:100, 20:90].std() < 0.6 * NOISE


def test_brightness_is_taken_out_and_darker_frames_count_less():
    gains = np.ones(FRAMES, np.float32)
    gains[5] = 0.25
    pairs = {k: Pair(np.eye(3), float(gains[k]), 0.0, np.inf, 0.0) for k in range(FRAMES) if k != 3}
    found, _, _, fusion = fused(still(), 3, pairs=pairs, gains=gains)
    assert np.abs((found.denoised - clean()).mean()) < 0.01
    assert found.carried.max() <= FRAMES
    worth = {number: other.precision for number, other in fusion._comparable(fusion._probe).others.items()}
    assert worth[5] < 0.1 and worth[4] == pytest.approx(1)


@pytest.mark.parametrize("wrong", [0.85, 1.0, 1.2])
@pytest.mark.parametrize("frames", [2, FRAMES])
def test_contrast_that_denoising_took_is_no_brightness(wrong, frames):
    pairs = {k: Pair(np.eye(3), wrong, 0.0, np.inf, 0.0) for k in range(1, frames)}
    _, _, _, fusion = fused(still()[:frames], 0, pairs=pairs)
    for number, pair in fusion.pairs.items():
        assert pair.gain == pytest.approx(1, abs=0.03)
        assert abs(pair.gain * clean().mean() + pair.offset - clean().mean()) < 0.01
        assert (pair is pairs[number]) is (wrong == 1)


def test_unmeasured_pixels_of_neighbours_do_not_count():
    known = {k: np.ones((SIDE, SIDE), bool) for k in (1, 2)}
    for one in known.values():
        one[40:60, 40:60] = False
    found, _, _, _ = fused(still(), 4, known=known)
    assert found.carried[45:55, 45:55].max() < 6.2 and found.carried[80:, 80:].mean() > 7.7


def test_spikes_of_a_neighbour_do_not_come_through():
    truth = still()
    truth[2, 30, 30] += 5
    found, _, _, _ = fused(truth, 3)
    assert abs(found.noisy[30, 30] - truth[3, 30, 30]) < 4 * NOISE


def test_frame_full_of_spikes_parts_no_others():
    truth = still()
    truth[4][np.random.default_rng(3).random((SIDE, SIDE)) < 0.01] += 20
    for number in (2, 3, 5):
        found, _, _, _ = fused(truth, number)
        assert found.carried.mean() > 0.9 * (FRAMES - 1)
        assert (found.denoised - clean()).std() < 0.7 * (fused(truth, number)[2][number] - clean()).std()


def test_large_frames_are_done_in_parts_that_meet():
    side = PART + HALO + 90
    image = ndimage.gaussian_filter(np.random.default_rng(1).random((side, side)), 5).astype(np.float32)
    image /= np.ptp(image)
    rng = np.random.default_rng(2)
    noisy = np.stack([image + rng.normal(0, NOISE, image.shape).astype(np.float32) for _ in range(3)])
    denoised = np.stack([ndimage.gaussian_filter(one, 1.0) for one in noisy])
    frames = {k: Frame(noisy[k], denoised[k]) for k in range(3)}
    noise = measure_noise(list(noisy), list(denoised))
    found = Fusion(frames, 1, {0: same(), 2: same()}, noise, lattice=False).whole()
    error = found.noisy - image
    seam = error[:, PART - 2 : PART + 2].std(), error[PART - 2 : PART + 2].std()
    assert max(seam) < 1.1 * error.std()
    assert (found.carried > 2.5).mean() > 0.9


def test_least_visible_change_is_about_what_is_seen():
    _, _, _, fusion = fused(still(), 4)
    least = fusion.least_change(2.2)
    assert 0.05 < least < 0.5
    for factor, seen in ((0.3, False), (3.0, True)):
        truth = still()
        truth[4:] += spot(factor * least)
        assert bool(fused(truth, 4)[0].changed[60:69, 44:53].any()) is seen


def test_changes_are_listed(tmp_path):
    image = np.zeros((40, 40), np.float32)
    image[5:9, 5:9], image[20:26, 30:36], image[30:34, 2:6], image[0, 0] = 6.5, 9, 5, 20
    found = changes_in(image, (3, 1))
    # one is too weak, one too small
    assert [(one.frame, one.pixels, one.deviations) for one in found] == [(3, 36, 9.0), (3, 16, 6.5)]
    save_changes(found, tmp_path / "changes.csv")
    assert (tmp_path / "changes.csv").read_text().splitlines()[0] == "frame,y,x,pixels,deviations"
    assert changes_in(np.zeros((8, 8)), (0,)) == []
    assert isinstance(found[0], Change)
