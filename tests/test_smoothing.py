import numpy as np
import pytest
from scipy import ndimage

from napari_hush.filters.smoothing import gaussian, slid_across, slid_down

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("mode", ["reflect", "nearest", "constant"])
@pytest.mark.parametrize("sigma", [0.05, 1.0, 7.3])
@pytest.mark.parametrize("shape", [(70, 301), (5, 9), (1, 40), (530, 40)])
def test_a_mean_is_that_of_scipy(shape: tuple[int, int], sigma: float, mode) -> None:
    image = RNG.normal(size=shape)
    expected = ndimage.gaussian_filter(image, sigma, mode=mode, truncate=3.5)
    np.testing.assert_allclose(gaussian(image, sigma, mode=mode, truncate=3.5), expected, atol=1e-6)


def test_one_axis_alone() -> None:
    image = RNG.normal(size=(50, 60)).astype(np.float32)
    for axis in (0, 1):
        expected = ndimage.gaussian_filter1d(image, 2.0, axis=axis)
        np.testing.assert_allclose(gaussian(image, 2.0, axes=(axis,)), expected, atol=1e-6)


def test_a_high_pedestal_costs_no_precision() -> None:
    image = RNG.normal(size=(50, 60))
    np.testing.assert_allclose(gaussian(image + 1e6, 2.0) - 1e6, gaussian(image, 2.0), atol=1e-6)


def test_where_nothing_is_zeros_stay_zeros() -> None:
    image = np.zeros((100, 100))
    image[10, 10] = 1.0
    assert not gaussian(image, 3.0)[30:, 30:].any()


def test_transposed_and_flipped_images_are_read_as_they_are() -> None:
    image = RNG.normal(size=(50, 60))
    for turned in (image.T, image[::-1, ::-1]):
        np.testing.assert_array_equal(gaussian(turned, 2.0), gaussian(np.ascontiguousarray(turned), 2.0))


def test_windows_slide_over_any_size() -> None:
    weights = RNG.normal(size=(4, 1000)).astype(np.float32)
    image = RNG.normal(size=(1600, 137)).astype(np.float32)
    down = slid_down(weights, image, 300)
    assert down.shape == (3, 4, 137)
    np.testing.assert_allclose(down[2], weights @ image[600:1600], atol=1e-3)
    np.testing.assert_array_equal(slid_across(weights, image.T, 300).shape, (137, 3, 4))
    np.testing.assert_allclose(slid_across(weights, image.T, 300).transpose(1, 2, 0), down, atol=1e-3)
