"""Scenes keep their random stream: models were trained, and samples are drawn, from these very numbers."""

from dataclasses import fields
from typing import get_args

import numpy as np
import pytest

from napari_hush.errors import InputError
from napari_hush.synthesis import Lattice, average_cell, ellipse, random_scene, render_lattice, scenes
from napari_hush.synthesis.lattices.lattice import LatticeKind

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


@pytest.fixture(scope="module")
def cell():
    return average_cell(render_lattice(Lattice(period=14.0, sigma=0.13, sublattice=0.5), (48, 48), 0).image)


@pytest.fixture(scope="module")
def dents():
    return [ellipse((80, 90), centre=(40, 45), fwhm=(size, 16), depth=0.9, edge=2) for size in (20, 34)]


@pytest.mark.parametrize("seed", range(12))
def test_every_column_has_its_species(seed):
    scene = random_scene(seed, shape=(96, 96), lattice_share=0.6)
    assert scene.species.shape == (len(scene.positions),)
    assert scene.species.dtype == np.intp
    if scene.lattice is None:
        assert not scene.species.any()
        assert scene.kind in ("flat", "texture", "atoms")
        assert (len(scene.positions) > 0) == (scene.kind == "atoms")
    else:
        assert scene.kind == scene.lattice.kind
        assert set(scene.species) == set(range(1 + (scene.lattice.sublattice > 0)))


def test_species_zero_is_the_brightest():
    drawn = [random_scene(seed, lattice_share=1, dent_share=0, period=(14, 30)) for seed in range(12)]
    for scene in (s for s in drawn if s.lattice.sublattice and s.lattice.sublattice < 0.7):
        y, x = np.rint(scene.positions).astype(int).T
        peaks = [scene.clean[y, x][scene.species == kind].mean() for kind in (0, 1)]
        assert peaks[0] > peaks[1]


def test_all_kinds_are_drawn():
    kinds = {random_scene(seed, shape=(16, 16), lattice_share=0.6).kind for seed in range(120)}
    assert kinds == {*get_args(LatticeKind), "flat", "texture", "atoms"}


def test_mask_is_where_less_than_nine_tenths_comes_through():
    for seed in range(10):
        scene = random_scene(seed, shape=(64, 72))
        assert scene.mask.dtype == np.bool_
        np.testing.assert_array_equal(scene.mask, scene.transmission < 0.9)
        assert scene.dented == scene.mask.any()


def test_own_crystal_takes_the_place_of_every_lattice(cell):
    drawn = [random_scene(seed, shape=(96, 96), lattice_share=0.7, dent_share=0.5, cell=cell) for seed in range(20)]
    kinds = [scene.kind for scene in drawn]
    assert set(kinds) <= {"crop", "flat", "texture", "atoms"}
    assert 8 < kinds.count("crop") < 20
    for scene in drawn:
        assert scene.lattice is None
        assert scene.clean.dtype == np.float32
        if scene.kind == "crop":
            assert 5.5 <= scene.period <= 42
            assert set(scene.species) == {0, 1}


def test_own_dents_come_in_their_share(dents, monkeypatch):
    count = {"mine": 0, "drawn": 0}

    def counting(kind, make):
        def made(*args, **options):
            count[kind] += 1
            return make(*args, **options)

        return made

    monkeypatch.setattr(scenes, "warp_mask", counting("mine", scenes.warp_mask))
    monkeypatch.setattr(scenes, "random_dent", counting("drawn", scenes.random_dent))
    for seed in range(60):
        random_scene(seed, shape=(32, 32), dent_share=1, masks=dents, mask_periods=(8.0, 9.0), mask_share=0.3)
    assert sum(count.values()) == 60
    assert 9 < count["mine"] < 28
    before = dict(count)
    random_scene(0, shape=(32, 32), dent_share=1, masks=dents, mask_periods=(8.0, 9.0), mask_share=0)
    random_scene(0, shape=(32, 32), dent_share=0, masks=dents, mask_periods=(8.0, 9.0), mask_share=1)
    assert count == {"mine": before["mine"], "drawn": before["drawn"] + 1}


def test_own_dents_keep_their_size_in_periods():
    dent = [ellipse((128, 128), centre=(64, 64), fwhm=(30, 30), edge=1)]
    areas = []
    for period in (8.0, 16.0):
        options = {"lattice_share": 1, "dent_share": 1, "period": (10.0, 10.0001), "mask_share": 1}
        drawn = [random_scene(s, masks=dent, mask_periods=[period], **options) for s in range(20)]
        areas.append(np.median([(scene.transmission < 0.5).sum() for scene in drawn]))
    assert areas[0] / areas[1] == pytest.approx(4, rel=0.4)
    assert areas[0] == pytest.approx(np.pi / 4 * (30 * 10 / 8) ** 2, rel=0.4)


def test_options_leave_the_stream_of_others_alone(cell, dents):
    plain = random_scene(3, shape=(64, 64), lattice_share=0)
    other = random_scene(3, shape=(64, 64), lattice_share=0, cell=cell, mask_share=0.1)
    for field in fields(plain):
        np.testing.assert_array_equal(getattr(plain, field.name), getattr(other, field.name))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"masks": [np.ones((20, 20))]}, "got 0 and 1"),
        ({"mask_periods": [12.0]}, "got 1 and 0"),
        ({"masks": [np.ones((20, 20))], "mask_periods": [0.0]}, "positive"),
        ({"masks": [np.ones((20, 20))], "mask_periods": [np.nan]}, "positive"),
        ({"mask_share": 1.5}, "mask_share"),
        ({"lattice_share": -0.1}, "lattice_share"),
        ({"dent_share": np.nan}, "dent_share"),
        ({"masks": [np.ones(20)], "mask_periods": [9.0], "dent_share": 1, "mask_share": 1}, "mask is one plane"),
    ],
)
def test_options_that_do_not_fit_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        random_scene(0, shape=(32, 32), **options)
