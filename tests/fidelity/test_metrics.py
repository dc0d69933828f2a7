"""The metrics agree with their definitions, also on a high pedestal in float32."""

import numpy as np
import pytest

from napari_hush.errors import InputError
from napari_hush.fidelity.metrics import METRICS, mae, mse, psnr, ssim

RNG = np.random.default_rng(0)
TRUE = RNG.uniform(0, 100, (32, 40))
TEST = TRUE + RNG.normal(0, 5, TRUE.shape)


def test_definitions():
    assert mse(TRUE, TEST) == pytest.approx(np.mean((TRUE - TEST) ** 2))
    assert mae(TRUE, TEST) == pytest.approx(np.mean(np.abs(TRUE - TEST)))
    assert psnr(TRUE, TEST) == pytest.approx(10 * np.log10(np.ptp(TRUE) ** 2 / np.mean((TRUE - TEST) ** 2)))
    assert 0 < ssim(TRUE, TEST) < 1


@pytest.mark.parametrize("name", METRICS)
def test_a_pedestal_changes_nothing(name):
    exact = METRICS[name](TRUE, TEST)
    raised = METRICS[name]((TRUE + 60_000).astype(np.float32), (TEST + 60_000).astype(np.float32))
    assert raised == pytest.approx(exact, rel=2e-3)


@pytest.mark.parametrize("name", METRICS)
def test_the_truth_itself_is_perfect(name):
    assert METRICS[name](TRUE, TRUE) == {"psnr": np.inf, "ssim": 1, "mse": 0, "mae": 0}[name]


@pytest.mark.parametrize("name", METRICS)
def test_shapes_must_agree(name):
    with pytest.raises(InputError, match="one shape"):
        METRICS[name](TRUE, TEST[:-1])


def test_stacks_are_averaged_over_planes():
    assert ssim(np.stack([TRUE, TRUE]), np.stack([TRUE, TEST])) == pytest.approx((1 + ssim(TRUE, TEST)) / 2)


def test_what_has_no_range_is_refused():
    with pytest.raises(InputError, match="constant"):
        psnr(np.ones((20, 20)), TEST[:20, :20])
    with pytest.raises(InputError, match="11 x 11"):
        ssim(TRUE[:5], TEST[:5])
