"""Images at places between their pixels: as scipy's splines give them, also beyond the borders."""

import numpy as np
import pytest
from scipy import ndimage

from napari_hush.series.affine import spline, warped


@pytest.mark.parametrize("shift", [0.0, 0.4, -7.3, 30.6])
def test_places_between_pixels_are_as_scipy_gives_them(shift):
    rng = np.random.default_rng(0)
    images = rng.normal(size=(2, 70, 90)).astype(np.float32)
    y, x = np.mgrid[:70, :90].astype(np.float32)
    y, x = 1.01 * y - 0.02 * x + shift, 0.03 * y + 0.99 * x - shift
    found = warped([spline(image) for image in images], y, x)
    for image, one in zip(images, found, strict=True):
        true = ndimage.map_coordinates(image, [y, x], order=3, mode="mirror")
        inside = (y >= 0) & (y <= 69) & (x >= 0) & (x <= 89)
        assert inside.mean() > 0.3
        np.testing.assert_allclose(one[inside], true[inside], atol=1e-3)


def test_a_frame_that_lies_elsewhere_is_finite():
    y, x = np.mgrid[:64, :64].astype(np.float32)
    (found,) = warped([spline(np.ones((64, 64), np.float32))], y + 500, x - 500)
    assert np.isfinite(found).all()
