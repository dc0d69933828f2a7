"""How frames lie to each other: found to a fraction of a pixel, and said where a lattice leaves it open."""

import csv
import json

import numpy as np
import pytest
from scipy import ndimage

import napari_hush as hush
from napari_hush.errors import InputError
from napari_hush.series.affine import farthest, translation
from napari_hush.series.drawing import drift_picture
from napari_hush.series.pairs import Shown, pair_of, refined
from napari_hush.synthesis.lattices.lattice import Lattice, render_lattice
from napari_hush.synthesis.series import MARGIN, cell_series, lattice_series, scanned

SIDE = 128


def blobs(seed=0, side=SIDE + 2 * MARGIN):
    image = ndimage.gaussian_filter(np.random.default_rng(seed).random((side, side)), 4)
    return ((image - image.min()) / np.ptp(image)).astype(np.float32)


def cut(field, shift):
    """A frame whose content has moved by minus the shift."""
    return scanned(field, np.array(shift), np.array(shift))


def lattice(vacancies, seed=0):
    crystal = Lattice(kind="square", period=12.0, sigma=0.18, vacancies=vacancies, displacement=0.0)
    return render_lattice(crystal, (SIDE + 2 * MARGIN,) * 2, seed).image


@pytest.mark.parametrize("shift", [(0.0, 0.0), (3.4, -2.3), (-17.25, 11.5)])
def test_shift_is_found_to_a_hundredth_of_a_pixel(shift):
    field = blobs()
    pair = pair_of(Shown(cut(field, (0, 0))), Shown(cut(field, shift)))
    assert pair.matrix[:2, 2] + (pair.matrix[:2, :2] - np.eye(2)) @ [SIDE / 2, SIDE / 2] == pytest.approx(
        -np.array(shift), abs=0.02
    )
    assert pair.decided
    assert pair.gain == pytest.approx(1, abs=0.02) and pair.offset == pytest.approx(0, abs=0.02)


def test_rotation_is_found():
    field = blobs()
    turned = ndimage.rotate(field, 1.5, reshape=False, order=3)
    inner = slice(MARGIN, -MARGIN)
    found = hush.register(np.stack([field[inner, inner], turned[inner, inner]]), smooth=0)
    assert abs(found.rotations[1]) == pytest.approx(1.5, abs=0.1)
    aligned = found.aligned(turned[inner, inner], 1)
    assert np.nanmax(np.abs(aligned - field[inner, inner])[10:-10, 10:-10]) < 0.02


@pytest.mark.parametrize("degrees", [3.0, 10.0])
def test_frames_that_are_turned_by_some_degrees_are_followed(degrees):
    field = blobs()
    frames = np.stack([cut(field, (0, 0)), cut(ndimage.rotate(field, degrees, reshape=False), (1, 2))])
    rng = np.random.default_rng(0)
    found = hush.register(frames + rng.normal(0, 0.05, frames.shape))
    assert abs(found.rotations[1]) == pytest.approx(degrees, abs=0.15)


@pytest.mark.parametrize("gain", [0.2, 0.6, 3.0])
def test_brightness_is_found_and_taken_out(gain):
    field = blobs()
    first, second = cut(field, (0, 0)), gain * cut(field, (2, 1)) + 0.3
    found = hush.register(np.stack([first, second]), smooth=0)
    assert found.gains[1] == pytest.approx(gain, rel=0.02)
    assert found.offsets[1] == pytest.approx(0.3, abs=0.03)
    assert np.nanmax(np.abs(found.aligned(second, 1) - first)[6:-6, 6:-6]) < 0.02


def test_noise_of_both_does_not_make_one_darker():
    rng = np.random.default_rng(0)
    noisy = np.stack([cut(blobs(), (0, 0)) + rng.normal(0, 0.2, (SIDE, SIDE)) for _ in range(2)])
    assert hush.register(noisy).gains[1] == pytest.approx(1, abs=0.1)


def test_perfect_crystal_is_undecided_and_said_so():
    field = lattice(vacancies=0.0)
    noise = np.random.default_rng(0).normal(0, 0.1, (2, SIDE, SIDE))
    frames = np.stack([cut(field, (0, 0)), cut(field, (1.5, -2))]) + noise
    found = hush.register(frames)
    assert not found.decided[1]
    assert "up to a lattice vector" in found.words
    assert found.drift[1] == pytest.approx([-1.5, 2], abs=0.15)  # of all places the one nearest to no drift


def test_vacancies_decide_where_a_crystal_has_moved():
    field = lattice(vacancies=0.12, seed=3)
    rng = np.random.default_rng(0)
    frames = np.stack([cut(field, (0, 0)), cut(field, (9.5, -7))]) + rng.normal(0, 0.1, (2, SIDE, SIDE))
    found = hush.register(frames)
    assert found.decided[1]
    assert found.drift[1] == pytest.approx([-9.5, 7], abs=0.15)


def test_what_is_expected_decides_where_a_lattice_does_not():
    field = lattice(vacancies=0.0)
    first, second = (Shown(cut(field, shift)) for shift in ((0, 0), (0, 0)))
    assert farthest(pair_of(first, second).matrix, np.eye(3), (SIDE, SIDE)) < 0.2
    expected = translation((12.0, 0.0))
    assert farthest(pair_of(first, second, expected).matrix, expected, (SIDE, SIDE)) < 0.2


def test_drift_inside_a_frame_is_a_shear():
    field = blobs()
    frame = scanned(field, np.array([0.0, 0.0]), np.array([1.0, 3.0]))
    pair = pair_of(Shown(cut(field, (0, 0))), Shown(frame))
    assert pair.matrix[1, 0] == pytest.approx(-3 / SIDE, abs=0.004)
    assert pair.matrix[0, 0] == pytest.approx(1 - 1 / SIDE, abs=0.004)


@pytest.mark.parametrize("bad", ["nan", "black", "noise", "other"])
def test_frame_that_shows_nothing_moves_no_other(bad):
    rng = np.random.default_rng(0)
    frames = np.stack([cut(blobs(), (k, -0.5 * k)) for k in range(7)]) + rng.normal(0, 0.02, (7, SIDE, SIDE))
    frames[3] = {"nan": np.nan, "black": 0.0, "noise": rng.normal(0, 1, (SIDE, SIDE)), "other": blobs(9)[:SIDE, :SIDE]}[
        bad
    ]
    found = hush.register(frames)
    good = [0, 1, 2, 4, 5, 6]
    assert found.drift[good] == pytest.approx(np.array([(-k, 0.5 * k) for k in good]), abs=0.1)
    assert found.placed.tolist() == [k != 3 for k in range(7)]
    assert np.isfinite(found.matrices).all() and "1 of them show another field, or nothing" in found.words
    assert "NaN" not in json.dumps(found.as_dict()) and drift_picture(found)
    if bad == "nan":
        assert np.isnan(found.aligned(frames[3], 3)).all()


def test_field_that_changes_for_good_begins_anew_and_is_not_decided():
    frames = np.stack([cut(blobs(k // 3), (k, 0)) for k in range(6)])
    found = hush.register(frames, smooth=0)
    assert found.placed.tolist() == [True, True, True, False, True, True]
    assert found.drift[5, 0] - found.drift[4, 0] == pytest.approx(-1, abs=0.1)
    assert found.decided.tolist() == [True, True, True, False, False, False]


def test_first_frame_may_show_nothing():
    frames = np.stack([np.zeros((SIDE, SIDE)), cut(blobs(), (0, 0)), cut(blobs(), (2, 1))])
    found = hush.register(frames)
    assert found.drift[2] - found.drift[1] == pytest.approx([-2, -1], abs=0.1)
    assert not found.decided.any() and not found.placed[0]


@pytest.mark.parametrize("unit", [1e-25, 1e-12, 1e15, 1e25])
def test_unit_of_the_values_does_not_matter(unit):
    frames = np.stack([cut(blobs(), (0, 0)), 0.5 * cut(blobs(), (2, 1)) + 0.2]).astype(np.float64)
    found = hush.register(frames * unit)
    assert found.drift[1] == pytest.approx([-2, -1], abs=0.05) and found.decided.all()
    assert found.gains[1] == pytest.approx(0.5, rel=0.03) and found.offsets[1] == pytest.approx(0.2 * unit, rel=0.1)


@pytest.mark.parametrize(
    ("frames", "options", "words"),
    [(np.zeros((2, 64, 64), complex), {}, "real numbers"), (np.full((2, 64, 64), "a"), {}, "real numbers"),
     ([np.zeros((64, 64)), np.zeros((64, 60))], {}, "one size"), (np.zeros((2, 64, 64)), {"smooth": -1}, "from 0 to 8"),
     (np.zeros((2, 64, 64)), {"smooth": 50}, "from 0 to 8")],
)  # fmt: skip
def test_other_input_is_refused(frames, options, words):
    with pytest.raises(InputError, match=words):
        hush.register(frames, **options)


def test_frame_of_another_size_is_not_aligned():
    found = hush.register(np.stack([cut(blobs(), (0, 0))] * 2))
    for frame, number in ((np.zeros((60, 80)), 0), (np.zeros((SIDE, SIDE)), -1), (np.zeros((SIDE, SIDE)), 2)):
        with pytest.raises(InputError, match="expected a frame"):
            found.aligned(frame, number)


def test_frames_that_share_nothing_give_a_finite_answer():
    frames = np.stack([blobs(1)[:SIDE, :SIDE], np.zeros((SIDE, SIDE), np.float32)])
    found = hush.register(frames)
    assert np.isfinite(found.matrices).all() and np.isfinite(found.gains).all()


def test_pairs_turn_round_and_follow_one_another():
    field = blobs()
    shown = [Shown(cut(field, shift)) for shift in ((0, 0), (2, 1), (3, -2))]
    first, second = pair_of(shown[0], shown[1]), pair_of(shown[1], shown[2])
    both = refined(shown[0], shown[2], first.then(second).matrix)
    assert farthest(first.then(second).matrix, both.matrix, (SIDE, SIDE)) < 0.1
    assert farthest(first.then(first.inverse).matrix, np.eye(3), (SIDE, SIDE)) < 1e-6


def test_errors_do_not_add_up_over_a_long_series():
    field, rng = blobs(), np.random.default_rng(1)
    shifts = np.cumsum(rng.normal(0, 0.4, (30, 2)), axis=0)
    shifts -= shifts[0]
    frames = np.stack([cut(field, shift) for shift in shifts]) + rng.normal(0, 0.03, (30, SIDE, SIDE))
    found = hush.register(frames)
    assert np.abs(found.drift + shifts).max() < 0.12


def test_one_frame_is_read_at_a_time():
    class Lazy:
        shape, dtype, read = (5, SIDE, SIDE), np.dtype(np.float32), []

        def __getitem__(self, key):
            self.read.append(key)
            return cut(blobs(), (0.5 * key, 0))

    lazy = Lazy()
    found = hush.register(lazy)
    assert lazy.read == [0, 1, 2, 3, 4]
    assert found.drift[:, 0] == pytest.approx(-0.5 * np.arange(5), abs=0.05)


def test_pixels_that_are_not_numbers_are_filled():
    frames = np.stack([cut(blobs(), (0, 0)), cut(blobs(), (2, 0))])
    frames[1, 20:26, 30:50] = np.nan
    assert hush.register(frames, smooth=0).drift[1] == pytest.approx([-2, 0], abs=0.1)


def test_table_is_written(tmp_path):
    found = hush.register(np.stack([cut(blobs(), (0, 0)), cut(blobs(), (2, 1))]))
    found.save(tmp_path / "drift.csv")
    with (tmp_path / "drift.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert float(rows[1]["drift_y_px"]) == pytest.approx(-2, abs=0.05)
    assert rows[1]["decided"] == "True" and len(rows) == 2
    assert found.as_dict()["frames"][0]["margin"] is None


def test_drift_is_drawn():
    picture = np.asarray(drift_picture(hush.register(np.stack([cut(blobs(), (0, 0)), cut(blobs(), (4, 1))]))))
    assert (picture == [0, 114, 178]).all(axis=-1).sum() > 200  # the line along Y


@pytest.mark.parametrize("shape", [(64, 64), (0, 64, 64), (3, 20, 64), (2, 3, 64, 64)])
def test_what_is_no_series_is_refused(shape):
    with pytest.raises(InputError, match=r"stack \(N, Y, X\)"):
        hush.register(np.zeros(shape, np.float32))


def test_simulated_series_know_where_things_are():
    series = lattice_series((160, 160), 8, 0)
    column = int(np.argmin(np.hypot(*(series.positions[0] - 40).T)))
    for number in (0, 7):
        y, x = series.place(number, series.positions[number, column])
        patch = series.clean[number][int(y) - 4 : int(y) + 6, int(x) - 4 : int(x) + 6]
        assert ndimage.center_of_mass(patch - patch.min()) == pytest.approx((y - int(y) + 4, x - int(x) + 4), abs=0.5)
    spots = cell_series((96, 96), 3, 0)
    assert np.hypot(*(spots.positions[1] - spots.positions[0]).T).max() <= 4
