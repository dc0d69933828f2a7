"""Data sets: what is in them, and that the same settings give the same bytes."""

from __future__ import annotations

import json
import time
import tomllib
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import pytest
from scipy.ndimage import map_coordinates

import napari_hush as hush
from napari_hush.datasets.drawing import Drawer, Target
from napari_hush.datasets.materials import Materials, make_materials
from napari_hush.datasets.records import jobs_of, read_settings
from napari_hush.datasets.settings import Layout, SynthesisSettings, settings_to_toml
from napari_hush.datasets.synthesize import synthesize
from napari_hush.filters.resampling import resample, resampled_size
from napari_hush.io import read_image
from napari_hush.synthesis import (
    KINDS,
    PHANTOMS,
    Compose,
    Lattice,
    mask_steps,
    noise_from_dict,
    random_scan_noise,
    render_lattice,
)
from napari_hush.synthesis.noise.fit.noise import fit_noise
from napari_hush.synthesis.noise.registry import Poisson, RowOffsets

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow  # many images are drawn

SMALL: dict[str, Any] = {"n": 6, "shape": (32, 40), "test_share": 0.34, "period": (6, 12), "seed": 3}
TRUTH = {"transmission", "mask", "positions", "species", "vacancies", "period", "kind", "noise"}
LAYOUTS: dict[Layout, str] = {"paired": "", "unpaired": "", "hdf5": ".h5"}


def contents(path: Path) -> dict[str, bytes]:
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return {str(file.relative_to(path)): file.read_bytes() for file in files}


@pytest.fixture(scope="module")
def noisy() -> np.ndarray:
    return hush.sample("dented-lattice").noisy[:160, :160]


@pytest.fixture(scope="module")
def crop() -> np.ndarray:
    return render_lattice(Lattice(kind="hexagonal", period=12.37, angle=11), (40, 40), 0).image


@pytest.fixture(scope="module")
def lattice_materials(crop: np.ndarray, noisy: np.ndarray) -> Materials:
    return make_materials("lattice", crop=crop, images=[noisy], dark=0.0)


@pytest.fixture(scope="module")
def published_materials(crop: np.ndarray, noisy: np.ndarray) -> Materials:
    return make_materials("published", crop=crop, images=[noisy, noisy[::-1]])


@pytest.fixture(scope="module")
def fitted(noisy: np.ndarray) -> tuple[Any, ...]:
    return fit_noise(noisy[:128, :128]).noise().noises


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return synthesize(SMALL, tmp_path_factory.mktemp("data") / "pairs")


def test_kinds_are_the_phantoms_and_the_lattices() -> None:
    assert set(KINDS) == {"lattice", "published", *PHANTOMS}


def check_truth(truth: dict[str, Any], shape: tuple[int, int]) -> None:
    assert truth["transmission"].shape == truth["mask"].shape == shape
    assert truth["mask"].dtype == bool
    assert truth["positions"].shape == (len(truth["species"]), 2)
    assert np.issubdtype(truth["species"].dtype, np.integer)
    assert truth["vacancies"].shape[1] == 2
    assert 0 <= truth["transmission"].min() <= truth["transmission"].max() <= 1
    assert isinstance(noise_from_dict(json.loads(str(truth["noise"]))), Compose)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_written_with_all_its_truth(kind: str, published_materials: Materials, tmp_path: Path) -> None:
    settings = SynthesisSettings(kind=kind, n=1, shape=(48, 40), test_share=0, magnification=200)
    materials = published_materials if kind == "published" else None
    out = synthesize(settings, tmp_path / "data", materials=materials)
    (target,) = synthesize(settings, materials=materials)
    for what in ("noisy", "clean"):
        image = read_image(out / "train" / what / "00000.tif")
        assert image.axes == ("CYX" if KINDS[kind].colours else "YX")
        assert image.data.dtype == np.float32
        np.testing.assert_array_equal(image.data, getattr(target, what))
        assert image.data.shape == ((3, 48, 40) if KINDS[kind].colours else (48, 40))
        assert np.isfinite(image.data).all()
    assert not np.array_equal(target.noisy, target.clean)
    with np.load(out / "train" / "truth" / "00000.npz", allow_pickle=False) as file:
        truth = dict(file)
    assert truth.keys() == TRUTH
    check_truth(truth, (48, 40))
    for name, value in target.truth().items():
        np.testing.assert_array_equal(truth[name], value)
    assert bool(np.isnan(truth["period"])) == (not KINDS[kind].from_images)
    assert len(truth["positions"]) == 0 or KINDS[kind].from_images
    if kind not in ("lattice", "general"):  # of those, the truth tells which lattice it is, or what else
        assert str(truth["kind"]) == kind


def test_general_images_are_of_many_sorts_and_have_many_noises() -> None:
    settings = SynthesisSettings(kind="general", n=24, shape=(16, 16), test_share=0, seed=1)
    targets = list(synthesize(settings))
    assert len({target.kind for target in targets}) >= 3
    assert len({tuple(type(noise) for noise in target.noise.noises) for target in targets}) >= 3
    assert all(0 <= target.clean.min() <= target.clean.max() <= 1 for target in targets)


def test_lattices_come_with_their_columns_and_dents() -> None:
    settings = SynthesisSettings(n=12, shape=(64, 64), lattice_share=1, dent_share=1, period=(8, 12), test_share=0)
    for target in synthesize(settings):
        check_truth(target.truth(), (64, 64))
        assert len(target.positions) > 10
        assert 8 <= target.period <= 12
        np.testing.assert_array_equal(target.mask, target.transmission < 0.9)
    assert not any(target.mask.any() for target in synthesize({**SMALL, "dent_share": 0}))


def test_rescaled_targets_got_their_noise_at_their_own_scale() -> None:
    settings = SynthesisSettings(
        n=6, shape=(64, 72), test_share=0, period=(5, 40), rescale_to=(9, 12), lattice_share=1, dent_share=1, seed=1
    )
    targets = synthesize(settings)
    assert len({target.factor for target in targets}) == 6
    for target in targets:
        truth = target.truth()
        assert truth.keys() == TRUTH | {"factor"}
        check_truth(truth, (64, 72))
        assert 9 <= target.period <= 12
        assert 5 <= target.period / target.factor <= 40
        np.testing.assert_array_equal(target.mask, target.transmission < 0.9)
        assert target.native is not None
        assert target.native.shape == tuple(resampled_size(side, 1 / target.factor) for side in (64, 72))
        np.testing.assert_array_equal(target.clean, resample(target.native, target.factor, shape=(64, 72)))
        assert target.noisy.shape == (64, 72)


def test_rescaled_columns_lie_where_the_clean_image_has_them() -> None:
    settings = {"n": 4, "shape": (96, 96), "test_share": 0, "lattice_share": 1, "dent_share": 0, "seed": 2}
    for target in synthesize({**settings, "period": (5, 40), "rescale_to": (12, 14)}):
        inner = target.positions[((target.positions > 8) & (target.positions < 87)).all(axis=1)]
        bright = inner[map_coordinates(target.clean, inner.T, order=1) > 0.7]  # others sit on their neighbours' slopes
        assert len(bright) > 5
        steps = np.array([(1, 0), (-1, 0), (0, 1), (0, -1)])
        up, down, right, left = (map_coordinates(target.clean, (bright + step).T, order=3) for step in steps)
        middle = map_coordinates(target.clean, bright.T, order=3)
        off = np.stack(
            [(up - down) / (4 * middle - 2 * up - 2 * down), (right - left) / (4 * middle - 2 * right - 2 * left)]
        )
        assert np.abs(np.median(off, axis=1)).max() < 0.05
        assert np.median(np.hypot(*off)) < 0.15


def test_rescaling_correlates_the_noise_of_fine_lattices_and_lowers_that_of_coarse_ones() -> None:
    def grain(period: float) -> tuple[float, float]:
        settings = {"n": 1, "shape": (96, 96), "test_share": 0, "noises": [{"name": "poisson", "dose": 20}], "seed": 3}
        (target,) = synthesize({**settings, "period": (period, period), "rescale_to": (12, 12), "dent_share": 0})
        residual = target.noisy - target.clean
        return float(residual.std()), float(np.mean(residual[:, 1:] * residual[:, :-1]) / residual.var())

    fine, coarse = grain(6), grain(36)
    assert fine[1] > 0.4
    assert abs(coarse[1]) < 0.2
    assert coarse[0] < 0.6 * fine[0]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("case", ["lattice", "cells", "published", "fitted", "rescaled"])
def test_the_settings_file_makes_the_same_bytes_again(
    case: str,
    layout: Layout,
    lattice_materials: Materials,
    published_materials: Materials,
    fitted: tuple[Any, ...],
    tmp_path: Path,
) -> None:
    kind = "lattice" if case in ("fitted", "rescaled") else case
    changes: dict[str, Any] = {"kind": kind, "layout": layout, "magnification": 200}
    changes |= {"fitted": {"noises": fitted}, "rescaled": {"rescale_to": (7, 9)}}.get(case, {})
    settings = SynthesisSettings(**SMALL | {"n": 3} | changes)
    materials = {"lattice": lattice_materials, "published": published_materials}.get(settings.kind)
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    first = synthesize(settings, tmp_path / "a" / f"one{LAYOUTS[layout]}", materials=materials)
    note = first.with_suffix(".toml") if layout == "hdf5" else first / "settings.toml"
    again, loaded = read_settings(note)
    assert again == settings
    assert loaded.sha256 == (materials or Materials()).sha256
    synthesize(again, tmp_path / "b" / first.name, materials=loaded)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


def test_hdf5_does_not_hold_the_time_of_day(tmp_path: Path) -> None:
    settings = SMALL | {"kind": "cells", "layout": "hdf5", "n": 2}
    one = synthesize(settings, tmp_path / "one.h5")
    time.sleep(1.1)  # the time stamps of HDF5 count seconds
    assert synthesize(settings, tmp_path / "two.h5").read_bytes() == one.read_bytes()


def test_arrays_are_those_on_the_disk(pairs: Path) -> None:
    targets = synthesize(SMALL)
    files = [pairs / split / "noisy" / f"{number:05d}.tif" for split, number in jobs_of(SynthesisSettings(**SMALL))]
    assert len(targets) == len(files) == 6
    for target, file in zip(targets, files, strict=True):
        np.testing.assert_array_equal(read_image(file).data, target.noisy)


def test_an_image_does_not_depend_on_how_many_there_are(pairs: Path, tmp_path: Path) -> None:
    few, many = contents(synthesize(SMALL | {"n": 2, "test_share": 0.5}, tmp_path / "few")), contents(pairs)
    assert all(many[name] == few[name] for name in few if name != "settings.toml")


def test_all_images_differ() -> None:
    targets = [*synthesize(SMALL), *synthesize(SMALL | {"seed": 4})]
    assert len({target.noisy.tobytes() for target in targets}) == 12


def test_sides_of_an_unpaired_set_share_no_scene(tmp_path: Path) -> None:
    out = synthesize(SMALL | {"layout": "unpaired"}, tmp_path / "sides")
    counts = {name: len(list((out / name).glob("*.tif"))) for name in ("trainA", "trainB", "testA", "testB")}
    assert counts == {"trainA": 4, "trainB": 4, "testA": 2, "testB": 2}
    scenes = [read_image(path).data for path in out.glob("*B/*.tif")]
    for path in out.glob("truth/*A/*.npz"):
        with np.load(path) as truth:
            assert truth.keys() == TRUTH | {"clean"}
            scenes.append(truth["clean"])
    assert len({scene.tobytes() for scene in scenes}) == 12


def test_hdf5_has_the_arrays_of_tomogan(tmp_path: Path) -> None:
    settings = SMALL | {"kind": "foam"}
    for share in (0, 0.34):
        out = synthesize(settings | {"layout": "hdf5", "test_share": share}, tmp_path / f"{share}.h5")
        with h5py.File(out) as file:
            found = {name: file[name][()] for name in file}
        n_test = round(6 * share)
        assert {name: (a.shape, a.dtype.name) for name, a in found.items()} == {
            f"{split}_{what}": ((count, 32, 40), "float32")
            for split, count in (("train", 6 - n_test), ("test", n_test))
            for what in ("ns", "gt")
        }
    targets = synthesize(settings)
    for what, name in (("ns", "noisy"), ("gt", "clean")):
        images = np.concatenate([found[f"train_{what}"], found[f"test_{what}"]])
        np.testing.assert_array_equal(images, [getattr(target, name) for target in targets])


def published(materials: Materials, **changes: Any) -> list[Target]:
    settings = SynthesisSettings(kind="published", **{"n": 5, "shape": (160, 160), "test_share": 0, **changes})
    return synthesize(settings, materials=materials)


def test_published_targets_go_round_the_masks(published_materials: Materials, noisy: np.ndarray) -> None:
    masks = [mask_steps(image)["blurred"].astype(np.float32) for image in (noisy, noisy[::-1])]
    for number, target in enumerate(published(published_materials, magnification=30)):
        mask = masks[number % 2]
        np.testing.assert_array_equal(target.mask, mask >= 64)
        lattice = 255 * target.clean - mask  # what is left is periodic: it spans one cell's range everywhere
        assert lattice.min() == pytest.approx(0, abs=1)
        assert lattice.max() == pytest.approx(255, abs=1)
        for y, x in np.rint(target.positions).astype(int)[::9]:
            if 0 <= y < 160 and 0 <= x < 160:
                assert lattice[y, x] > 170
        assert (target.transmission == 1).all()


def test_magnification_decides_about_the_atoms(published_materials: Materials) -> None:
    (near,) = published(published_materials, n=1, shape=(96, 96), magnification=80)
    (far,) = published(published_materials, n=1, shape=(96, 96), magnification=40)
    assert len(far.positions) == pytest.approx(36 * 38 / 4, rel=0.1)
    assert len(far.positions) == pytest.approx(4 * len(near.positions), rel=0.1)
    assert near.period == pytest.approx(2 * far.period)


def test_masks_of_published_targets_take_the_shape_of_the_images(published_materials: Materials) -> None:
    for target in published(published_materials, n=2, shape=(96, 80), magnification=100):
        assert target.clean.shape == target.mask.shape == (96, 80)
        assert target.mask.any()


def test_own_crop_and_dents_are_in_the_lattices(lattice_materials: Materials) -> None:
    settings = {"n": 2, "shape": (64, 64), "lattice_share": 1, "dent_share": 1, "mask_share": 1, "period": (10, 10)}
    for target in synthesize(settings, materials=lattice_materials):
        assert target.kind == "crop"
        assert target.period == pytest.approx(10, rel=1e-3)
        assert 0 <= target.transmission.min() <= target.transmission.max() <= 1


def test_noises_of_the_settings_replace_the_random_ones() -> None:
    (target,) = synthesize({"n": 1, "shape": (32, 32), "test_share": 0, "noises": [{"name": "poisson", "dose": 4.0}]})
    counts = 4 * target.noisy
    np.testing.assert_array_equal(counts, np.rint(counts))
    assert target.noise == Compose(noises=(Poisson(dose=4.0),))


@pytest.mark.parametrize("seed", range(5))
def test_settings_survive_the_file(seed: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(seed)
    nested = Compose(noises=(RowOffsets(sigma=1e-7, correlation=0.1),))
    noises = (*random_scan_noise(rng, dose=(0.1, 1e5), period=9.0).noises, nested)
    settings = SynthesisSettings(
        kind="tissue", n=7, dose=(0.1, 1e5), dent_share=1, noises=noises, seed=int(rng.integers(2**62)), angles=(1, 9)
    )
    path = tmp_path / "my.toml"
    path.write_text(settings_to_toml(settings), "utf-8")
    assert read_settings(path)[0] == settings
    assert not {"workers", "rescale_to"} & tomllib.loads(path.read_text("utf-8")).keys()
    rescaled = SynthesisSettings(rescale_to=(8, 16.5))
    path.write_text(settings_to_toml(rescaled), "utf-8")
    assert read_settings(path)[0] == rescaled


def test_a_drawer_draws_any_image_on_its_own(pairs: Path) -> None:
    target = Drawer(SynthesisSettings(**SMALL))("test", 1)
    np.testing.assert_array_equal(read_image(pairs / "test" / "noisy" / "00001.tif").data, target.noisy)
