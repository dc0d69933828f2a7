"""Bragg spots, the local strength of a lattice, and how it is displaced."""

from __future__ import annotations

import numpy as np
import pytest

from napari_hush.atoms.lockin import displacement, lattice_amplitude, lock_in, noise_power
from napari_hush.atoms.spectrum import bragg_spots, independent_pair
from napari_hush.errors import InputError
from napari_hush.synthesis import Lattice, render_lattice
from napari_hush.synthesis.noise.registry import Poisson

Y, X = np.mgrid[:120, :140].astype(float)
SPOT = np.array([0.07, 0.05])


def wave(spot=SPOT, amplitude=2.0, phase=0.7):
    return 5 + amplitude * np.cos(2 * np.pi * (spot[0] * Y + spot[1] * X) + phase)


def test_modulus_and_phase_are_those_of_the_wave_also_at_the_border():
    found = lock_in(wave(), SPOT, 14.0)
    inner = found[55:65, 65:75]
    np.testing.assert_allclose(np.abs(inner), 1.0, atol=0.002)
    np.testing.assert_allclose(np.angle(inner), 0.7, atol=0.002)
    assert 0.85 < np.abs(found).min() <= np.abs(found).max() < 1.15


def test_a_part_knows_the_phase_of_the_whole():
    whole = lock_in(wave(), SPOT, 5.0)
    part = lock_in(wave()[30:90, 40:110], SPOT, 5.0, origin=(30, 40))
    np.testing.assert_allclose(part[20:40, 20:50], whole[50:70, 60:90], atol=1e-6)


def test_chosen_rows_and_columns_are_those_of_the_whole():
    whole = lock_in(wave(), SPOT, 5.0)
    rows, columns = np.array([3, 60]), np.array([0, 69, 138])
    np.testing.assert_allclose(
        lock_in(wave(), SPOT, 5.0, rows=rows, columns=columns), whole[np.ix_(rows, columns)], atol=1e-6
    )


def test_a_constant_has_no_amplitude_anywhere():
    assert np.abs(lock_in(np.ones((100, 100)), (1 / 12, 0), 12.0)).max() < 1e-12


def test_a_high_pedestal_is_not_taken_for_a_lattice_at_the_border():
    low, high = (np.abs(lock_in(wave() + pedestal, SPOT, 14.0)) for pedestal in (0, 1e5))
    np.testing.assert_allclose(high, low, rtol=1e-5)


def test_bragg_spots_are_those_of_the_lattice():
    lattice = Lattice(period=12.0, angle=20.0, sigma=0.2)
    noisy = Poisson(dose=5)(render_lattice(lattice, (256, 256), 0).image, np.random.default_rng(0))
    spots = independent_pair(bragg_spots(noisy, 12.0, count=4))
    np.testing.assert_allclose(np.hypot(*spots.T) * 12, 1.0, atol=0.03)
    angles = np.rad2deg(np.arctan2(*spots.T)) % 90
    np.testing.assert_allclose(angles, 20, atol=1.5)


def test_noise_has_no_spots_and_parallel_ones_are_no_pair():
    assert bragg_spots(np.random.default_rng(0).normal(size=(200, 200)), 12.0).shape == (0, 2)
    assert independent_pair(np.array([[0.1, 0.0], [0.2, 0.01]])) is None
    assert independent_pair(np.array([[0.1, 0.0], [0.2, 0.01], [0.0, 0.1]])).tolist() == [[0.1, 0.0], [0.0, 0.1]]
    with pytest.raises(InputError, match="above 2"):
        bragg_spots(np.random.default_rng(0).normal(size=(200, 200)), 1.5)


def test_the_noise_floor_is_that_of_white_noise():
    sigma, spacing = 3.0, 12.0
    found = noise_power(
        np.random.default_rng(0).normal(0, sigma, (512, 512)), np.array([[1 / 12, 0.0], [0.0, 1 / 12]]), spacing
    )
    assert found == pytest.approx(sigma**2 / (4 * np.pi * spacing**2), rel=0.3)


def test_the_amplitude_follows_the_lattice():
    image = np.where(X < 70, wave(amplitude=2.0), 5.0)
    amplitude = lattice_amplitude(image, SPOT[None], 11.6)
    assert amplitude[60, 20] == pytest.approx(1.0, rel=0.05)
    assert amplitude[60, 120] < 0.03


@pytest.mark.parametrize("shift", [(0.0, 0.0), (0.6, -0.3), (-2.0, 1.0)])
def test_displacement_is_the_shift(shift):
    spots = np.array([[1 / 12, 0.01], [-0.01, 1 / 12]])

    def crystal(dy, dx):
        moved = ((y - dy, x - dx) for y, x in [(Y, X)])
        return sum(np.cos(2 * np.pi * (s[0] * y + s[1] * x)) for y, x in moved for s in spots)

    found = displacement(crystal(0, 0), crystal(*shift), spots, 12.0, step=5)
    assert found.shape == (2, 24, 28)
    np.testing.assert_allclose(found[:, 8:-8, 8:-8].transpose(1, 2, 0), np.broadcast_to(shift, (8, 12, 2)), atol=0.02)
