"""Transfer tells how much of the columns' deviations an output has kept, with the truth and without."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import pytest

from napari_hush.atoms.columns import Atoms, fit_atoms
from napari_hush.errors import InputError
from napari_hush.fidelity.evaluate import judge
from napari_hush.fidelity.transfer import lattice_patches, measure_columns, predict_transfer, transfer
from napari_hush.residual.noise import measure_noise
from napari_hush.synthesis import render_columns

PERIOD, SIDE = 12.0, 256
VECTORS = [(PERIOD, 0), (0, PERIOD)]
RNG = np.random.default_rng(1)
INDICES = np.stack(np.mgrid[:24, :24], axis=-1).reshape(-1, 2)
SITES = (INDICES - 1) * PERIOD + RNG.uniform(0, PERIOD, 2)
SHIFTS = RNG.normal(0, 0.5, SITES.shape)
SPREAD = RNG.normal(0, 0.15, len(SITES))


def columns(shifts, spread):
    ones = np.ones(len(SITES))
    return Atoms(positions=SITES + shifts, heights=1 + spread, sigmas=ones, fitted=ones > 0)


TRUE = columns(SHIFTS, SPREAD)


def test_the_truth_has_a_transfer_of_one_and_a_straightened_lattice_less():
    whole, half = transfer(TRUE, TRUE, VECTORS), transfer(columns(0.6 * SHIFTS, 0.4 * SPREAD), TRUE, VECTORS)
    assert (whole.positions, whole.heights) == pytest.approx((1, 1))
    assert (half.positions, half.heights) == pytest.approx((0.6, 0.4))
    assert half.displacement == pytest.approx(0.5 / PERIOD, rel=0.05)
    assert half.spread == pytest.approx(0.15, rel=0.1)
    assert half.columns == len(SITES)
    assert whole.words == ""
    assert (
        half.words
        == "displacements would come out 40 % too small here, differences in height would come out 60 % too small here"
    )


def test_smooth_strain_is_no_deviation():
    bent = 3e-4 * (SITES - 100) ** 2 + 0.02 * SITES[:, ::-1]
    found = transfer(columns(bent + 0.7 * SHIFTS, SPREAD), columns(bent + SHIFTS, SPREAD), VECTORS)
    assert found.positions == pytest.approx(0.7, abs=0.01)
    assert found.displacement == pytest.approx(0.5 / PERIOD, rel=0.05)


def test_an_instrument_takes_the_bias_of_a_noisy_reference_away():
    noise = np.random.default_rng(2).normal(0, 0.5, (3, *SITES.shape))
    heights = np.random.default_rng(3).normal(0, 0.15, (3, len(SITES)))
    output, reference, other = (
        columns(kept * SHIFTS + e, kept * SPREAD + h) for kept, e, h in zip((0.7, 1, 1), noise, heights, strict=True)
    )
    plain, mended = transfer(output, reference, VECTORS), transfer(output, reference, VECTORS, instrument=other)
    assert plain.positions == pytest.approx(0.35, abs=0.06)
    assert abs(mended.positions - 0.7) < 3 * mended.position_error < 0.25
    assert abs(mended.heights - 0.7) < 3 * mended.height_error < 0.4


def test_the_standard_error_is_that_of_repetitions():
    slopes = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        noisy = columns(SHIFTS + rng.normal(0, 0.4, SHIFTS.shape), SPREAD + rng.normal(0, 0.1, SPREAD.shape))
        slopes.append(transfer(noisy, TRUE, VECTORS))
    for name, error in ("positions", "position_error"), ("heights", "height_error"):
        values = [getattr(slope, name) for slope in slopes]
        assert np.mean(values) == pytest.approx(1, abs=0.03)
        assert np.std(values) == pytest.approx(getattr(slopes[0], error), rel=0.4)


def test_sublattices_and_missing_columns_are_told_apart():
    second = SITES + PERIOD / 2
    both = np.concatenate([SITES, second])
    kept = np.random.default_rng(0).random(len(both)) > 0.05
    patches = sorted(lattice_patches(both[kept], np.array(VECTORS), tolerance=3.0), key=lambda patch: -len(patch[0]))
    assert len(patches[0][0]) + len(patches[1][0]) > 0.98 * kept.sum()
    for members, indices in patches[:2]:
        assert len(set(np.flatnonzero(kept)[members] // len(SITES))) == 1
        ideal = indices @ np.array(VECTORS)
        np.testing.assert_allclose(np.ptp(both[kept][members] - ideal, axis=0), 0, atol=1e-9)


def test_without_columns_there_is_no_number():
    none = Atoms(positions=np.empty((0, 2)), heights=np.empty(0), sigmas=np.empty(0), fitted=np.empty(0, bool))
    found = transfer(none, TRUE, VECTORS)
    assert np.isnan(found.positions)
    assert (found.columns, found.words) == (0, "")
    with pytest.raises(InputError, match="two independent lattice vectors"):
        transfer(TRUE, TRUE, [(1, 0), (2, 0)])


def draw(shifts, spread):
    return 0.15 + 0.85 * render_columns(SITES + shifts, 1 + spread, 2.1, (SIDE, SIDE)).astype(np.float64)


@pytest.mark.parametrize(("positions", "heights"), [(0.6, 0.5), (1.0, 1.0)])
def test_what_was_straightened_is_predicted_without_the_truth(positions, heights):
    # an ideal shrinking denoiser: it pulls what the noisy image shows, its noise included, towards the lattice
    clean = draw(SHIFTS, SPREAD)
    noisy = np.random.default_rng(7).poisson(10 * clean) / 10
    seen = measure_columns(noisy, PERIOD)
    near = np.array([np.argmin(((seen.positions - place) ** 2).sum(axis=1)) for place in SITES])
    inside = ((SITES > 14) & (SITES < SIDE - 15)).all(axis=1)
    shifts = np.where(inside[:, None], seen.positions[near] - SITES, 0)
    spread = np.where(inside, seen.heights[near] / np.median(seen.heights) - 1, 0)
    spread *= 0.75  # the contrast is less than the peak, and differs as much
    output = draw(positions * shifts, heights * spread)
    predicted = predict_transfer(noisy, output)
    true = transfer(measure_columns(output, PERIOD), measure_columns(clean, PERIOD), VECTORS)
    assert true.positions == pytest.approx(positions, abs=0.07)
    assert predicted.positions == pytest.approx(true.positions, abs=0.1)
    assert true.heights == pytest.approx(heights, abs=0.12)
    assert predicted.heights == pytest.approx(true.heights, abs=0.1)


def test_what_is_known_already_is_taken_and_changes_nothing(monkeypatch):
    clean = draw(SHIFTS, SPREAD)
    noisy = np.random.default_rng(7).poisson(10 * clean) / 10
    output = draw(0.6 * SHIFTS, SPREAD)
    known = fit_atoms(output, PERIOD)
    looked_at = []

    def seen(image, *arguments, **options):
        looked_at.append(image)
        return fit_atoms(image, *arguments, **options)

    monkeypatch.setattr("napari_hush.fidelity.transfer.fit_atoms", seen)
    asked = asdict(predict_transfer(noisy, output, spacing=PERIOD))
    assert sum(image is output for image in looked_at) == 1
    looked_at.clear()
    np.testing.assert_equal(asdict(predict_transfer(noisy, output, spacing=PERIOD, atoms=known)), asked)
    assert not any(image is output for image in looked_at)
    noise = measure_noise([noisy], [output])
    told = predict_transfer(noisy, output, spacing=PERIOD, noise=lambda: noise)
    assert told.lost > 0.01  # periods
    assert np.isnan(predict_transfer(noisy, output, spacing=PERIOD, noise=lambda: None).lost)


def test_without_a_lattice_nothing_is_predicted():
    noise = np.random.default_rng(0).normal(size=(96, 96))
    assert predict_transfer(noise, noise) is None
    with pytest.raises(InputError, match="one shape"):
        predict_transfer(noise, noise[1:])


def crystal(kept: float, displacement: float = 0.04):
    """An image whose columns have kept a part of their displacements."""
    rng = np.random.default_rng(5)
    shifts = rng.normal(0, displacement * PERIOD, SITES.shape)
    return 0.15 + 0.85 * render_columns(SITES + kept * shifts, np.ones(len(SITES)), 2.2, (SIDE, SIDE)).astype(float)


def counted(clean, dose: float):
    return np.random.default_rng(7).poisson(dose * clean) / dose


def lost(noisy, output):
    return next(one for one in judge(noisy, output).findings if one.name == "displacement_lost")


def test_straightened_crystal_is_not_passed():
    found = lost(counted(crystal(1.0), 20), crystal(0.4))
    assert found.verdict == "fail"
    assert found.value == pytest.approx(0.6 * 0.04, rel=0.25)


def test_truth_of_a_displaced_crystal_has_lost_nothing():
    assert lost(counted(crystal(1.0), 20), crystal(1.0)).value < 0.004


def test_perfect_crystal_has_nothing_to_lose():
    perfect = crystal(1.0, displacement=0.0)
    assert lost(counted(perfect, 20), perfect).value == 0


def test_rows_on_levels_of_their_own_claim_nothing():
    clean = crystal(1.0)
    noisy = counted(clean, 20) + np.random.default_rng(3).normal(0, 0.2, (SIDE, 1))
    assert np.isnan(lost(noisy, crystal(0.4)).value)


def test_columns_that_are_not_known_well_claim_nothing():
    assert lost(counted(crystal(1.0, displacement=0.01), 1.5), crystal(0.0)).value in (0.0, pytest.approx(0, abs=0.012))
