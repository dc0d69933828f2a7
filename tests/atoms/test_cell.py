"""Columns are placed by the phases of the lattice at the pixels that they lie on."""

from __future__ import annotations

import numpy as np
import pytest

from napari_hush.atoms.cell import lattice_phases, places


def sheared(period, turn, side=200):
    """A noisy lattice with a strain that grows towards one corner, and its reciprocal vectors."""
    vectors = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]]) / period
    y, x = np.indices((side, side), float)
    moved = y + 1.5 * np.sin(x / 60), x + 0.01 * y
    waves = [np.cos(2 * np.pi * (g[0] * moved[0] + g[1] * moved[1])) for g in vectors]
    return np.random.default_rng(0).poisson(5 * (2.2 + waves[0] + waves[1])).astype(float), vectors


@pytest.mark.parametrize(("period", "turn"), [(3.1, 0.2), (6.0, 0.5), (12.5, 0.1), (31.0, 0.7)])
@pytest.mark.parametrize("origin", [(0, 0), (7, 13)])
def test_the_places_are_those_that_all_pixels_tell(period, turn, origin):
    image, vectors = sheared(period, turn)
    site = (0.3, 0.8)
    wrapped = lattice_phases(image, vectors, period, origin) - np.reshape(site, (2, 1, 1))
    cells = np.rint(wrapped)
    away = np.einsum("kyx,ki->iyx", wrapped - cells, np.linalg.inv(vectors).T)
    pixels = np.argwhere((np.abs(away) <= 0.5).all(axis=0))
    expected = pixels - away[:, pixels[:, 0], pixels[:, 1]].T
    ((found, numbers),) = places(image, [site], vectors, period, origin)
    near = np.hypot(*(expected[:, None] - found).transpose(2, 0, 1))
    assert near.min(axis=1).max() < 1 and near.min(axis=0).max() < 1e-9  # one of two at the edge of a pixel
    which = cells[:, pixels[:, 0], pixels[:, 1]].T[near.argmin(axis=0)]
    np.testing.assert_array_equal(numbers, which)
