"""Scenes keep their random stream: models were trained, and samples are drawn, from these very numbers."""

import numpy as np
import pytest

from napari_hush.synthesis import random_scene

# seed, mean and standard deviation of the clean image, two of its pixels, mean and minimum of the transmission,
# number of columns, the next random number; recorded when the bundled model was trained
RECORDED = [
    (0, 0.3737237, 0.1952828, 0.696811, 0.163168, 0.9329247, 0.595002, 1549, 0.234800891453),
    (1, 0.2334521, 0.2422273, 0.268131, 0.053625, 0.9514621, 0.505984, 138, 0.416973280410),  # thickness changes
    (2, 0.4201196, 0.1887875, 0.336320, 0.313745, 0.9632021, 0.559594, 223, 0.505229785743),
    (3, 0.3474947, 0.1956879, 0.551979, 0.638925, 0.8301133, 0.621102, 422, 0.340283176129),
    (4, 0.3174445, 0.2262652, 0.419989, 0.001441, 0.6672079, 0.000007, 148, 0.012494930423),
    (5, 0.4000772, 0.1605998, 0.498684, 0.295912, 0.8075941, 0.360140, 200, 0.362886858159),  # two grains
    (6, 0.0990180, 0.1995417, 0.001123, 0.008701, 1.0, 1.0, 133, 0.022951451478),
]


@pytest.mark.parametrize("recorded", RECORDED, ids=lambda r: str(r[0]))
def test_equal_seeds_give_the_recorded_scenes(recorded):
    seed, mean, deviation, here, there, transmitted, least, columns, following = recorded
    rng = np.random.default_rng([5, seed])
    scene = random_scene(rng)
    clean, transmission = scene.clean.astype(np.float64), scene.transmission.astype(np.float64)
    assert (clean.mean(), clean.std()) == pytest.approx((mean, deviation), abs=1e-5)
    assert (clean[37, 201], clean[200, 64]) == pytest.approx((here, there), abs=1e-4)
    assert (transmission.mean(), transmission.min()) == pytest.approx((transmitted, least), abs=1e-5)
    assert len(scene.positions) == columns
    assert rng.random() == pytest.approx(following, abs=1e-11)
