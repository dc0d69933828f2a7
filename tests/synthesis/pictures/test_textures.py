import numpy as np
import pytest

from napari_hush.errors import InputError
from napari_hush.synthesis.pictures.textures import random_pattern, random_writing, rough_field


@pytest.mark.parametrize("draw", [random_pattern, random_writing])
def test_patterns_run_from_0_to_1_and_follow_their_seed(draw) -> None:
    images = [draw((64, 80), rng=seed) for seed in range(12)]
    for image in images:
        assert image.shape == (64, 80)
        assert image.dtype == np.float32
        assert 0 <= image.min() < image.max() <= 1
    np.testing.assert_array_equal(images[5], draw((64, 80), rng=np.random.default_rng(5)))
    assert not np.array_equal(images[5], images[6])


@pytest.mark.parametrize("exponent", [0.0, 1.0, 2.0])
def test_rough_fields_have_the_spectrum_they_are_asked_for(exponent: float) -> None:
    power = np.mean([np.abs(np.fft.fft2(rough_field((128, 128), exponent, rng=k))) ** 2 for k in range(8)], axis=0)
    k = np.hypot(*np.meshgrid(np.fft.fftfreq(128), np.fft.fftfreq(128)))
    seen = (k > 0.05) & (k < 0.4)
    slope = np.polyfit(np.log(k[seen]), np.log(power[seen]), 1)[0]
    assert slope == pytest.approx(-2 * exponent, abs=0.25)


def test_rough_fields_have_mean_0_and_deviation_1() -> None:
    field = rough_field((40, 60), 1.5, rng=2)
    assert field.mean() == pytest.approx(0, abs=1e-5)
    assert field.std() == pytest.approx(1, abs=1e-5)


def test_an_exponent_out_of_range_is_refused() -> None:
    with pytest.raises(InputError, match="exponent must be from 0 to 3"):
        rough_field((8, 8), -1.0, rng=0)


def test_writing_repeats_its_signs() -> None:
    page = random_writing((256, 256), rng=4)
    ink = page > 0.5
    assert 0.02 < ink.mean() < 0.5
    assert (page == 0).mean() > 0.3
