"""What the tomograph adds to streaks: rings, smoothing, the circle of the field of view."""

from __future__ import annotations

import numpy as np
import pytest

from napari_hush.errors import InputError
from napari_hush.synthesis.noise.registry import SparseAngles, noise_from_dict, noise_to_dict
from napari_hush.synthesis.noise.streaks import random_tomograph
from napari_hush.synthesis.pictures.slices import foam

SIDE = 64


@pytest.fixture(scope="module")
def clean() -> np.ndarray:
    return foam((SIDE, SIDE), rng=0)


def made(image: np.ndarray, **settings: float) -> np.ndarray:
    return SparseAngles(**{"n_angles": 20, **settings})(image, np.random.default_rng(1))  # type: ignore[arg-type]


def test_rings_go_round_the_centre(clean: np.ndarray) -> None:
    plain = made(clean, n_angles=100).astype(np.float64)
    y, x = np.indices(clean.shape) - SIDE / 2  # the axis of rotation
    radius = np.rint(2 * np.hypot(y, x)).astype(int)
    inside = (radius > 6) & (radius < SIDE - 4)

    def round_share(noisy: np.ndarray) -> float:
        left = noisy - plain
        mean = np.bincount(radius.ravel(), left.ravel()) / np.maximum(np.bincount(radius.ravel()), 1)
        return float(np.var(mean[radius][inside]) / np.var(left[inside]))

    assert round_share(made(clean, n_angles=100, rings=0.02)) > 0.4
    assert round_share(made(clean, n_angles=100, counts=1000.0)) < 0.15


def test_smoothing_takes_the_finest_noise_and_keeps_the_mean(clean: np.ndarray) -> None:
    sharp, soft = made(clean, counts=300.0), made(clean, counts=300.0, smoothing=0.8)
    fine = [float(np.diff(image, axis=1).std()) for image in (sharp, soft)]
    assert fine[1] < 0.6 * fine[0]
    assert soft.mean() == pytest.approx(sharp.mean(), abs=0.02)


def test_beyond_the_circle_there_is_empty_space(clean: np.ndarray) -> None:
    y, x = np.indices(clean.shape) - (SIDE - 1) / 2
    beyond = np.hypot(y, x) > SIDE / 2
    whole, circle = made(clean + np.float32(2)), made(clean + np.float32(2), circle=True)
    assert whole[beyond].std() > 0.01
    assert (circle[beyond] == 2).all()
    np.testing.assert_array_equal(circle[~beyond], whole[~beyond])


def test_instruments_differ_and_can_be_written_down() -> None:
    drawn = [random_tomograph(SparseAngles(n_angles=12, counts=500.0), rng=k) for k in range(20)]
    assert all((one.n_angles, one.counts) == (12, 500.0) for one in drawn)
    for values in (
        {one.circle for one in drawn},
        {one.rings > 0 for one in drawn},
        {one.smoothing > 0 for one in drawn},
    ):
        assert values == {True, False}
    assert len({one.opacity for one in drawn}) == 20
    assert all(noise_from_dict(noise_to_dict(one)) == one for one in drawn)


@pytest.mark.parametrize("wrong", [{"rings": -0.1}, {"smoothing": -1.0}, {"circle": 1}])
def test_what_no_tomograph_has_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(InputError, match=next(iter(wrong))):
        SparseAngles(**wrong)  # type: ignore[arg-type]
