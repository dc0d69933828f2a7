from collections import Counter

import numpy as np
import pytest

from napari_hush.synthesis.noise.pixels import Gaussian, Poisson, Readout, SaltPepper
from napari_hush.synthesis.noise.registry import noise_from_dict, noise_to_dict
from napari_hush.synthesis.pictures.general import SORTS, random_camera_noise, random_picture, textured_leaves


@pytest.mark.parametrize("sort", SORTS)
def test_every_sort_is_drawn_from_0_to_1_and_follows_its_seed(sort: str) -> None:
    image, drawn = random_picture((48, 72), sort=sort, rng=3)
    assert drawn == sort
    assert image.shape == (48, 72)
    assert image.dtype == np.float32
    assert 0 <= image.min()
    assert image.max() <= 1
    assert np.ptp(image) > 0.3  # of the least contrast, 0.4
    np.testing.assert_array_equal(image, random_picture((48, 72), sort=sort, rng=np.random.default_rng(3))[0])
    assert not np.array_equal(image, random_picture((48, 72), sort=sort, rng=4)[0])


def test_the_sorts_mix_with_most_of_them_leaves() -> None:
    assert sum(SORTS.values()) == pytest.approx(1)
    seen = Counter(random_picture((16, 16), rng=seed)[1] for seed in range(60))
    assert len(seen) > 4
    assert 0.5 < seen["leaves"] / 60 < 0.85


def test_leaves_have_edges_and_textures() -> None:
    steps = [np.abs(np.diff(textured_leaves((48, 48), rng=seed), axis=1)) for seed in range(8)]
    assert all(step.max() > 0.3 for step in steps)  # edges
    medians = [np.median(step) for step in steps]  # textures, in some of the images
    assert min(medians) < 0.02
    assert max(medians) > 0.03


def test_camera_noise_keeps_to_its_ranges_and_its_shares() -> None:
    rng = np.random.default_rng(0)
    chains = [random_camera_noise(rng) for _ in range(2000)]
    parts = [noise for chain in chains for noise in chain.noises]
    assert all(noise.sigma <= 60 / 255 and noise.grain == 0 for noise in parts if isinstance(noise, Gaussian))
    assert all(5 <= noise.dose <= 500 for noise in parts if isinstance(noise, Poisson))
    assert all(noise.sigma <= 10 / 255 for noise in parts if isinstance(noise, Readout))
    assert all(0.01 <= noise.fraction <= 0.15 for noise in parts if isinstance(noise, SaltPepper))
    for kind, share in ((Poisson, 0.25), (SaltPepper, 0.10)):
        assert sum(isinstance(noise, kind) for noise in parts) / 2000 == pytest.approx(share, abs=0.03)
    assert noise_from_dict(noise_to_dict(chains[0])) == chains[0]
