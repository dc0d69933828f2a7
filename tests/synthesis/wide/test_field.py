"""Fields of the wide world: the truth is what the image shows, and the plain world is as it was."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage
from scipy.spatial import cKDTree

from napari_hush.datasets.drawing import Drawer
from napari_hush.datasets.settings import SynthesisSettings
from napari_hush.errors import InputError
from napari_hush.synthesis import random_scene, random_wide_field
from napari_hush.synthesis.lattices.crystal import Flaws
from napari_hush.synthesis.wide import field as module
from napari_hush.synthesis.wide.displacements import random_rms
from napari_hush.synthesis.wide.scan import random_brightness, random_distortion
from napari_hush.synthesis.wide.structures import STRUCTURES

SHAPE = (160, 160)


@pytest.mark.parametrize("kind", STRUCTURES)
def test_positions_lie_on_maxima(kind):
    distances, heights = [], []
    for seed in range(10):
        field = random_wide_field(seed, SHAPE, period=(16, 24), kind=kind)
        assert field.kind == kind
        assert field.image.dtype == np.float32
        assert field.image.min() >= 0
        assert len(field.positions) == len(field.species) == len(field.heights) > 5
        maxima = np.argwhere(field.image == ndimage.maximum_filter(field.image, 3))
        inner = ((field.positions > 2) & (field.positions < 157)).all(axis=1)
        distances.append(cKDTree(maxima).query(field.positions[inner])[0])
        heights.append(field.heights[inner])
    near, strong = np.concatenate(distances) < 1.2, np.concatenate(heights) > 0.2
    assert near[strong].mean() > 0.95  # where columns were pushed together, two have one maximum
    assert near.mean() > 0.9


def test_images_rise_by_the_heights_of_their_columns(monkeypatch):
    monkeypatch.setattr(module, "random_flaws", lambda _: Flaws(background=0.2, intensity_spread=0.1))
    monkeypatch.setattr(module, "random_brightness", lambda shape, *_: np.ones(shape, dtype=np.float32))
    errors = []
    for seed in range(30):
        field = random_wide_field(seed, SHAPE, period=(18, 22), kind="crystal")
        inner = ((field.positions > 3) & (field.positions < 156)).all(axis=1)
        rise = ndimage.map_coordinates(field.image, field.positions[inner].T, order=3) - 0.2
        errors.append(np.abs(rise - field.heights[inner]))
    assert np.median(np.concatenate(errors)) < 0.005
    assert np.mean(np.concatenate(errors) < 0.05) > 0.9  # else a neighbour's tail lies on it


def test_vacancies_are_where_nothing_rises():
    checked = 0
    for seed in range(40):
        field = random_wide_field(seed, SHAPE, period=(18, 22), kind="crystal")
        for y, x in field.vacancies:
            if 12 < y < 148 and 12 < x < 148:
                assert cKDTree(field.positions).query((y, x))[0] > 3
                checked += 1
    assert checked > 20


def test_faint_columns_are_drawn():
    faint = [np.any(random_wide_field(seed, (64, 64), period=(10, 10)).heights < 0.08) for seed in range(60)]
    assert 0.2 < np.mean(faint) < 0.8


def test_the_same_seed_gives_the_same_field():
    first, second = (random_wide_field(5, (96, 80)) for _ in range(2))
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shape": (0, 10)}, "shape"),
        ({"period": (9.0, 5.0)}, "lowest <= highest"),
        ({"period": (0.0, 5.0)}, "lowest <= highest"),
        ({"kind": "quasicrystal"}, "one of crystal, grains"),
    ],
)
def test_what_cannot_be_is_refused(options, message):
    with pytest.raises(InputError, match=message):
        random_wide_field(0, **({"shape": (32, 32)} | options))


def test_scenes_of_the_wide_world():
    scenes = [random_scene(seed, shape=(48, 48), period=(6, 12), world="wide") for seed in range(120)]
    kinds = {scene.kind for scene in scenes}
    assert kinds >= {"crystal", "grains", "twin", "fault", "dislocation", "interface", "amorphous", "particles"}
    assert kinds <= {*STRUCTURES, "flat", "texture", "atoms"}
    assert all(scene.lattice is None for scene in scenes)
    assert np.mean([len(scene.positions) < 3 for scene in scenes]) < 0.15
    with pytest.raises(InputError, match="plain, wide"):
        random_scene(0, world="real")


def test_plain_world_has_not_changed():
    recorded = {
        0: ("rectangular", 3078.580726787448, 1407.1194709967908),
        1: ("dumbbell", 2119.0425428301096, 1514.798771914641),
        2: ("rectangular", 2725.50746590551, 12984.410385256857),
        5: ("honeycomb", 2859.512594493106, 20404.01171636602),
    }
    for seed, (kind, light, places) in recorded.items():
        scene = random_scene(seed, shape=(96, 96))
        assert scene.kind == kind
        assert scene.clean.sum(dtype=float) == pytest.approx(light, rel=1e-7)
        assert scene.positions.sum() == pytest.approx(places, rel=1e-9)
    target = Drawer(SynthesisSettings(shape=(96, 96), seed=7))("train", 3)
    assert target.noisy.sum(dtype=float) == pytest.approx(4614.2410596981645, rel=1e-6)


def test_data_sets_of_the_wide_world_keep_their_truth_at_another_scale():
    drawer = Drawer(
        SynthesisSettings(world="wide", shape=(128, 128), rescale_to=(14, 16), lattice_share=1, dent_share=0)
    )
    near = []
    for number in range(10):
        target = drawer("train", number)
        assert target.kind in STRUCTURES
        maxima = np.argwhere(target.clean == ndimage.maximum_filter(target.clean, 3))
        inner = ((target.positions > 2) & (target.positions < 125) & (target.species[:, None] == 0)).all(axis=1)
        near.append(cKDTree(maxima).query(target.positions[inner])[0] < 1.2)
    assert np.concatenate(near).mean() > 0.9


def test_distortion_is_slow_and_small():
    sites = np.indices(SHAPE, dtype=float)[:, ::8, ::8].reshape(2, -1).T
    drawn = [random_distortion(sites, SHAPE, 12.0, np.random.default_rng(seed)) for seed in range(60)]
    still = [not moved.any() for moved in drawn]
    assert 0.2 < np.mean(still) < 0.6
    assert max(np.abs(moved).max() for moved in drawn) < 160 * 0.03 + 12 + 1
    for moved in drawn:
        along_y = np.diff(moved.reshape(20, 20, 2), axis=0)
        assert np.abs(along_y).max() < 8 * (0.03 + 0.35)


def test_brightness_is_one_or_less_and_never_nothing():
    drawn = [random_brightness(SHAPE, 12.0, np.random.default_rng(seed)) for seed in range(80)]
    assert all(0.05 < bright.min() <= bright.max() <= 1 for bright in drawn)
    assert 0.5 < np.mean([np.ptp(bright) == 0 for bright in drawn]) < 0.8
    rows = [bright for bright in drawn if np.ptp(bright) and not np.ptp(bright, axis=1).any()]
    assert rows  # the dose changes at a row


def test_columns_of_a_regular_field_stand_where_their_crystal_wants_them():
    rms = [random_rms(np.random.default_rng(seed), regular=True) for seed in range(200)]
    assert max(rms) <= 0.02
    fields = [random_wide_field(seed, (96, 96), period=(12, 12), kind="crystal", regular=True) for seed in range(3)]
    assert all(field.image.shape == (96, 96) for field in fields)
    other = random_wide_field(0, (96, 96), period=(12, 12), kind="crystal")
    assert not np.array_equal(fields[0].image, other.image)


def test_scenes_of_the_regular_world():
    one, wide = (random_scene(5, shape=(48, 48), period=(6, 12), lattice_share=1, world=w) for w in ("regular", "wide"))
    assert one.kind == wide.kind
    assert not np.array_equal(one.clean, wide.clean)
