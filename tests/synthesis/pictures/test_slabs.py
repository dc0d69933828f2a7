"""Slabs: neighbouring slices of one body, alike but not the same."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pytest

import napari_hush as hush
from napari_hush.datasets.drawing import Drawer
from napari_hush.datasets.settings import SynthesisSettings
from napari_hush.errors import InputError
from napari_hush.io import read_image
from napari_hush.synthesis import KINDS
from napari_hush.synthesis.fields import smooth_slab
from napari_hush.synthesis.noise.registry import Compose, Gaussian, SparseAngles
from napari_hush.synthesis.pictures.slabs import ellipses_slab, foam_slab, pack_spheres
from napari_hush.synthesis.pictures.specimens import specimen, specimen_slab, tomography_slab

if TYPE_CHECKING:
    from pathlib import Path

SLABS = {"foam": foam_slab, "ellipses": ellipses_slab, "specimen": specimen_slab, "tomography": tomography_slab}


def alike(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.corrcoef(a.ravel(), b.ravel())[0, 1])


@pytest.mark.parametrize("name", SLABS)
def test_content_changes_from_slice_to_slice_and_more_with_the_distance(name: str) -> None:
    near, far = [], []
    for seed in range(3):
        slab = SLABS[name]((48, 56), slices=5, rng=seed)
        assert slab.shape == (5, 48, 56)
        assert slab.dtype == np.float32
        assert 0 <= slab.min() < slab.max() <= 1
        assert all(not np.array_equal(a, b) for a, b in pairwise(slab))
        near += [alike(a, b) for a, b in pairwise(slab)]
        far.append(alike(slab[0], slab[4]))
    assert 0.6 < np.mean(near) < 1
    assert np.mean(far) < np.mean(near)
    np.testing.assert_array_equal(slab, SLABS[name]((48, 56), slices=5, rng=2))


def test_spheres_do_not_overlap_and_reach_into_the_slab() -> None:
    spheres = pack_spheres((96, 96), thickness=8, count=200, rng=0)
    places, radii = spheres[:, [2, 0, 1]], spheres[:, 3]
    gaps = np.linalg.norm(places[:, None] - places, axis=2) - radii[:, None] - radii
    assert gaps[~np.eye(len(gaps), dtype=bool)].min() > 0
    assert (np.abs(spheres[:, 2]) <= radii + 4).all()
    begin = np.abs(spheres[:, 2]) > radii
    assert 0 < begin.sum() < len(spheres)  # some are not yet cut by the middle plane


def test_an_ellipsoid_is_smaller_where_it_is_cut_off_its_middle() -> None:
    slab = ellipses_slab((64, 64), slices=3, pitch=18, count=0, rng=1)
    sizes = [(one > 0.1).sum() for one in slab]
    assert len(set(sizes)) == 3


def test_a_field_is_as_smooth_across_slices_as_within_them() -> None:
    fields = [smooth_slab((96, 96), 5, 3.0, np.random.default_rng(seed)) for seed in range(8)]
    for step in (1, 2, 4):
        across = np.mean([(field[step:] * field[:-step]).mean() for field in fields])
        within = np.mean([(field[:, step:] * field[:, :-step]).mean() for field in fields])
        assert across == pytest.approx(np.exp(-((step / 6) ** 2)), abs=0.06)
        assert within == pytest.approx(np.exp(-((step / 6) ** 2)), abs=0.06)
    with pytest.raises(ValueError, match="pitch must be positive"):
        smooth_slab((8, 8), 3, 2.0, np.random.default_rng(0), pitch=0)


@pytest.mark.parametrize(
    ("kind", "wanted"),
    [
        ("foam", (0.10939, 0.21242, 0.10876, 0.20359)),
        ("ellipses", (0.15420, 0.21138, 0.16094, 0.36826)),
        ("tomography", (0.02844, 0.07119, 0.02864, 0.09513)),
    ],
)
def test_single_slices_of_old_seeds_have_the_values_that_they_had(kind: str, wanted: tuple[float, ...]) -> None:
    target = Drawer(SynthesisSettings(kind=kind, n=20, shape=(48, 64), seed=5))("train", 1)
    found = (target.clean.mean(), target.clean.std(), target.noisy.mean(), target.noisy.std())
    np.testing.assert_allclose(found, wanted, atol=2e-5)


def test_one_slice_of_a_specimen_is_the_specimen() -> None:
    np.testing.assert_array_equal(specimen((40, 50), rng=3), specimen_slab((40, 50), slices=1, rng=3)[0])


def test_a_slab_has_one_scale_of_opacity_and_noise_of_its_own_in_each_slice() -> None:
    clean = np.zeros((3, 48, 48), dtype=np.float32)
    clean[:, 16:32, 16:32] = np.array([1, 1, 0.25], dtype=np.float32)[:, None, None]
    tomograph = SparseAngles(n_angles=24, counts=2000, opacity=3)
    noisy = tomograph.slab(clean, np.random.default_rng(0))
    assert not np.array_equal(noisy[0], noisy[1])
    errors = (noisy - SparseAngles(n_angles=24).slab(clean, np.random.default_rng(0))).std(axis=(1, 2))
    alone = tomograph(clean[2], np.random.default_rng(0))
    alone -= SparseAngles(n_angles=24)(clean[2], np.random.default_rng(0))
    assert errors[2] < 0.8 * errors[0]  # less opaque than the others, so it is measured better
    assert alone.std() < 0.8 * errors[2]  # by itself it would be taken for as opaque as they are, in its own units
    first = tomograph(clean[0], np.random.default_rng(0))
    np.testing.assert_array_equal(tomograph.slab(clean[:1], np.random.default_rng(0))[0], first)
    twice = Compose(noises=(SparseAngles(n_angles=24), Gaussian(sigma=0.1))).slab(clean, np.random.default_rng(0))
    assert twice.shape == clean.shape


def test_data_sets_of_slabs_are_stacks(tmp_path: Path) -> None:
    out = hush.synthesize({"kind": "foam", "n": 2, "shape": (32, 40), "slices": 3, "test_share": 0}, tmp_path / "set")
    for what in ("noisy", "clean"):
        image = read_image(out / "train" / what / "00000.tif")
        assert (image.axes, image.shape) == ("ZYX", (3, 32, 40))
    again = Drawer(SynthesisSettings(kind="foam", n=2, shape=(32, 40), slices=3, test_share=0))("train", 0)
    np.testing.assert_array_equal(again.noisy, read_image(out / "train" / "noisy" / "00000.tif").data)


def test_slabs_that_there_are_not_are_refused() -> None:
    for table, words in [
        ({"slices": 3}, "neighbouring slices go with the kinds"),
        ({"slices": 4, "kind": "foam"}, "must be odd"),
        ({"slices": 3, "kind": "foam", "layout": "hdf5"}, "holds single images"),
        ({"slices": 0, "kind": "foam"}, "from 1 to 31"),
    ]:
        with pytest.raises(InputError, match=words):
            SynthesisSettings(**table)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="no neighbouring slices"):
        KINDS["cells"].neighbours((32, 32), slices=3, rng=0)
    with pytest.raises(InputError, match="slices >= 1"):
        foam_slab((32, 32), slices=0, rng=0)
    with pytest.raises(InputError, match="contrast from 0 to 1"):
        ellipses_slab((32, 32), slices=3, contrast=2, rng=0)
    with pytest.raises(InputError, match="thickness >= 0"):
        pack_spheres((32, 32), thickness=-1, rng=0)
