"""Values between pixels are those that scipy gives, on one thread or several."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from napari_hush import threads
from napari_hush.filters.splines import sampled


@pytest.mark.parametrize("count", [1, 3])
def test_values_are_those_of_scipy_bit_by_bit(monkeypatch, count):
    monkeypatch.setattr(threads, "thread_count", lambda: count)
    rng = np.random.default_rng(0)
    image, places = rng.normal(size=(300, 170)), rng.uniform(-3, 302, (9000, 2))  # some lie outside
    expected = ndimage.map_coordinates(image, places.T, order=3, mode="nearest")
    np.testing.assert_array_equal(sampled(image, places), expected)


def test_no_place_has_no_value():
    assert sampled(np.zeros((5, 5)), np.zeros((0, 2))).shape == (0,)
