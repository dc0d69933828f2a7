"""Training data: every kind of source, patches from their number alone, held-out parts that share nothing."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import h5py
import numpy as np
import pytest
import tifffile
import zarr
from training_images import clean_images, with_noise

import napari_hush as hush
from napari_hush.atoms.spacing import estimate_spacing
from napari_hush.datasets.drawing import Drawer
from napari_hush.datasets.settings import SynthesisSettings
from napari_hush.errors import InputError
from napari_hush.normalize import NormalizationRule
from napari_hush.synthesis import Lattice, render_lattice, smooth_field
from napari_hush.synthesis.noise.registry import Poisson
from napari_hush.training.data import checks, contrast
from napari_hush.training.data.checks import _shift
from napari_hush.training.data.open import TrainingSource, open_data
from napari_hush.training.data.patches import mirrored, shuffled
from napari_hush.training.data.regions import split_images
from napari_hush.training.data.simulated import SimulatedData
from napari_hush.training.methods.registry import METHODS
from napari_hush.training.settings_file import train_settings

RULE = NormalizationRule()


def opened(data, method="supervised", rule=RULE, **changes):
    names = {"patch": 16} | changes
    return open_data(data, METHODS[method].needs, train_settings(method, names), rule)


def same(a, b):
    return np.array_equal(a.noisy, b.noisy) and (
        (a.clean is None and b.clean is None) or np.array_equal(a.clean, b.clean)
    )


@pytest.fixture(scope="module")
def clean():
    return clean_images()


@pytest.fixture
def folders(tmp_path, clean):
    for side, images in (("noisy", with_noise(clean)), ("clean", clean)):
        (tmp_path / side).mkdir()
        for k, image in enumerate(images):
            tifffile.imwrite(tmp_path / side / f"image{k}.tif", image)
    return tmp_path / "noisy", tmp_path / "clean"


def test_pairs_from_folders_stacks_and_arrays_are_the_same(folders, clean, tmp_path):
    tifffile.imwrite(tmp_path / "noisy.tif", with_noise(clean))
    zarr.save(tmp_path / "clean.zarr", clean)
    of_arrays = opened((with_noise(clean), clean))
    for data in (folders, (tmp_path / "noisy.tif", tmp_path / "clean.zarr"), ([*with_noise(clean)], [*clean])):
        other = opened(data)
        assert all(same(of_arrays.draw(k), other.draw(k)) for k in range(5))


def test_tomogan_hdf5_is_read_with_its_test_images(tmp_path, clean):
    with h5py.File(tmp_path / "data.h5", "w") as file:
        for name, part in (("train", slice(0, 4)), ("test", slice(4, 6))):
            file[f"{name}_ns"], file[f"{name}_gt"] = with_noise(clean)[part], clean[part]
    data = opened(tmp_path / "data.h5")
    assert [region.image for region in data.split.test] == [4, 5]
    assert len(data.split.train) == 3
    assert len(data.split.validation) == 1
    assert data.draw(0).clean.shape == (1, 16, 16)


@pytest.mark.parametrize(("layout", "method"), [("paired", "supervised"), ("unpaired", "cyclegan")])
def test_folders_of_synthesize_are_read(tmp_path, layout, method):
    settings = {"n": 6, "shape": (48, 48), "layout": layout, "test_share": 0.34, "dent_share": 0, "lattice_share": 1}
    hush.synthesize(settings, tmp_path / "set")
    data = opened(tmp_path / "set", method)
    assert len(data.split.test) == 2
    assert all(patch.clean is not None for patch in data.held_out("test"))
    assert data.draw(3).clean.shape == (1, 16, 16)


def test_hdf5_of_synthesize_is_read(tmp_path):
    hush.synthesize({"n": 5, "shape": (48, 48), "layout": "hdf5", "lattice_share": 1}, tmp_path / "set.h5")
    assert opened(tmp_path / "set.h5").draw(0).noisy.shape == (1, 16, 16)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32", "float64"])
def test_a_patch_is_the_image_in_network_units(clean, dtype):
    high = 255 if dtype == "uint8" else 4000
    images = (clean * high).astype(dtype)
    data = opened((images, images), augment="none", validation_share=0, test_share=0)
    patch = data.draw(0)
    assert patch.noisy.dtype == np.float32
    values = np.concatenate([RULE.fit(lambda image=image: [image]).apply(image).ravel() for image in images])
    assert np.isin(patch.noisy, values).all()


@pytest.mark.parametrize("dtype", ["uint16", "float32", "float64"])
def test_a_high_pedestal_costs_no_digits(dtype):
    signal = (clean_images(4, 48) * 100).astype(np.int64)
    low, high = signal.astype(dtype), (signal + 60_000).astype(dtype)
    settings = {"augment": "flips", "seed": 4}
    near, far = opened((low, low), **settings), opened((high, high), **settings)
    for k in range(5):
        np.testing.assert_allclose(near.draw(k).noisy, far.draw(k).noisy, atol=1e-6)


def test_float64_keeps_its_digits_on_a_pedestal_that_float32_has_none_for():
    image = 0.1 * clean_images(3) + np.float64(1e5)  # where float32 has steps of 0.008
    patch = opened((image, image)).draw(0)
    assert len(np.unique(patch.noisy)) > 200


def test_colours_are_channels(tmp_path):
    rgb = (np.stack([clean_images(3, seed=k) for k in range(3)], axis=-1) * 255).astype(np.uint8)
    data = open_data(
        TrainingSource(data=(rgb, rgb), channel_axis=-1), "pairs", train_settings("supervised", {"patch": 16}), RULE
    )
    assert data.channels == 3
    assert data.draw(0).noisy.shape == (3, 16, 16)
    for k, image in enumerate(rgb):
        tifffile.imwrite(tmp_path / f"{k}.tif", image, photometric="rgb")
    assert opened((tmp_path, tmp_path)).channels == 3
    with pytest.raises(InputError, match="3 channels, clean ones 1"):
        opened((tmp_path, clean_images(3)))


def test_images_of_different_sizes_go_together():
    images = [clean_images(1, side)[0] for side in (32, 48, 64)]
    data = opened((images, images), validation_share=0, test_share=0)
    assert len(data) == 4 + 9 + 16
    assert data.draw(7).noisy.shape == (1, 16, 16)


@pytest.mark.parametrize("method", ["supervised", "cyclegan", "noise2noise", "noise2void"])
def test_a_draw_depends_on_number_and_seed_alone(clean, method):
    noisy = with_noise(clean)
    sources = {"supervised": (noisy, clean), "cyclegan": (noisy, clean), "noise2void": noisy}
    source = sources.get(method, [noisy[:3], noisy[3:]])
    changes = {"validation_share": 0, "test_share": 0}
    first, second = opened(source, method, **changes), opened(source, method, **changes)
    wanted = [first.draw(k) for k in range(24)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(second.draw, reversed(range(24))))[::-1]
    assert all(map(same, wanted, found))
    other = opened(source, method, seed=1, **changes)
    assert not any(same(other.draw(k), wanted[k]) for k in range(4))
    assert not same(wanted[0], wanted[1])


@pytest.mark.parametrize("augment", ["all", "flips", "none"])
def test_noisy_and_clean_are_moved_alike(clean, augment):
    data = opened((clean, clean), augment=augment, shift=7)
    for k in range(20):
        patch = data.draw(k)
        assert np.array_equal(patch.noisy, patch.clean)


def test_all_eight_turns_occur_and_flips_alone_never_turn():
    ramp = np.tile(np.arange(32, dtype=np.float32)[:, None], (1, 32)) + 1000 * np.arange(32, dtype=np.float32)
    for augment, count in (("none", 1), ("flips", 4), ("all", 8)):
        data = opened((ramp[None], ramp[None]), augment=augment, patch=32, validation_share=0, test_share=0)
        assert len({data.draw(k).noisy.tobytes() for k in range(80)}) == count


def test_an_epoch_visits_every_image_as_often_as_patches_cover_it():
    images = [np.full((side, side), 1.0) + np.arange(side) * (k + 1) for k, side in enumerate((32, 48))]
    data = opened((images, images), validation_share=0, test_share=0, augment="none")
    seen = []
    data._window = lambda region, rng: (seen.append(region.image), (np.arange(16), np.arange(16)))[1]
    for k in range(len(data)):
        data.draw(k)
    assert (seen.count(0), seen.count(1)) == (4, 9)


@pytest.mark.parametrize("count", [1, 2, 3, 10, 257, 1000])
def test_shuffled_is_a_permutation_that_changes_with_the_key(count):
    order = [shuffled(k, count, 5) for k in range(count)]
    assert sorted(order) == list(range(count))
    if count >= 10:
        assert order != [shuffled(k, count, 6) for k in range(count)]
        assert order != list(range(count))


def test_mirrored_places_stay_inside_and_next_to_one_another():
    for low, high in ((0, 5), (3, 4), (10, 30)):
        places = mirrored(np.arange(-50, 60), low, high)
        assert places.min() >= low
        assert places.max() < high
        assert np.abs(np.diff(places)).max() <= 1
        inside = np.arange(low, high)
        assert np.array_equal(mirrored(inside, low, high), inside)


def test_shifts_let_a_patch_reach_beyond_a_small_image():
    images = clean_images(3, 24)
    with pytest.raises(InputError, match="less than a patch of 32 px"):
        opened((images, images), patch=32)
    data = opened((images, images), patch=32, shift=4)
    assert data.draw(0).noisy.shape == (1, 32, 32)
    assert all(patch.noisy.shape == (1, 32, 32) for patch in data.held_out("validation"))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("count", [1, 2, 3, 10])
def test_train_validation_and_test_share_no_pixel(count, seed):
    shapes = [(k, 200 + 10 * k, 100) for k in range(count)]
    split = split_images(shapes, validation=0.2, test=0.2, least=16, seed=seed)
    taken = {(k, y, part) for part in ("train", "validation", "test") for r in getattr(split, part)
             for k in [r.image] for y in range(r.top, r.bottom)}  # fmt: skip
    rows = [(k, y) for k, y, _ in taken]
    assert len(rows) == len(set(rows))
    assert all(getattr(split, part) for part in ("train", "validation", "test"))
    if count == 1:
        gaps = sorted((r.top, r.bottom) for part in (split.train, split.validation, split.test) for r in part)
        assert all(b[0] - a[1] >= 8 for a, b in pairwise(gaps))
    else:
        assert len({r.image for part in ("train", "validation", "test") for r in getattr(split, part)}) == count


def test_a_single_image_that_is_too_small_to_be_cut_is_refused(clean):
    with pytest.raises(InputError, match="too small to hold a part of it out"):
        opened((clean[:1], clean[:1]), patch=32)
    assert opened((clean[:1], clean[:1]), patch=32, validation_share=0, test_share=0).held_out("validation") == []


@pytest.mark.filterwarnings("ignore:this model takes images")
def test_patches_never_leave_their_region(clean):
    """Rows are numbered, so that each value tells where it came from."""
    image = np.tile(np.arange(128, dtype=np.float64)[:, None], (1, 48)) + np.arange(48) / 100
    data = opened(
        (image[None], image[None]), augment="all", shift=4, rule=NormalizationRule(method="range", source=(0, 1))
    )
    bottom = data.split.train[0].bottom
    assert max(data.draw(k).noisy.max() for k in range(60)) < bottom
    tops = [region.top for region in data.split.validation + data.split.test]
    held = [patch.noisy.min() for name in ("validation", "test") for patch in data.held_out(name)]
    assert min(held) >= min(tops) - 0.01


@pytest.mark.filterwarnings("ignore:this model takes images")
def test_repeats_are_other_images_of_the_same_field(clean):
    stacks = [np.stack([image + 10 * r + 1000 * k for r in range(3)]) for k, image in enumerate(clean)]
    rule = NormalizationRule(method="range", source=(0, 1))
    data = opened(stacks, "noise2noise", rule)
    for k in range(20):
        patch = data.draw(k)
        gap = np.unique(np.round(np.abs(patch.noisy - patch.clean)))
        assert gap.size == 1
        assert gap[0] in (10, 20)
        assert not patch.true
    held = {r.image // 3 for r in data.split.validation + data.split.test}
    assert not held & {r.image // 3 for r in data.split.train}
    with pytest.raises(InputError, match="is alone"):
        opened([*clean], "noise2noise")


def test_repeats_of_one_field_are_all_cut_into_the_same_bands(clean):
    stack = np.stack([with_noise(clean_images(1, 96)[0], seed=k) for k in range(4)])
    data = opened(stack, "noise2noise")
    assert len({(r.top, r.bottom) for r in data.split.train}) == 1
    assert len(data.split.train) == 4


def test_repeats_can_be_validated_by_one_truth_of_each_field(clean):
    stacks = [np.stack([with_noise(image, seed=k) for k in range(3)]) for image in clean]
    data = opened(TrainingSource(data=stacks, truth=clean), "noise2noise")
    region, patch = data.split.validation[0], data.held_out("validation")[0]
    assert patch.true
    fitted = RULE.fit(lambda: [stacks[region.image // 3][region.image % 3]])
    assert np.array_equal(patch.clean[0], fitted.apply(clean[region.image // 3]))


def test_noise_is_put_on_anew_and_zero_stays_dark(clean):
    counts = (clean * 500).astype(np.uint16)
    data = opened((counts, Poisson(dose=50)), augment="none", patch=48, validation_share=0, test_share=0)
    first, again = data.draw(0), data.draw(len(data))
    assert not np.array_equal(first.noisy, again.noisy)
    assert same(first, data.draw(0))
    residual = np.concatenate([(data.draw(k).noisy - data.draw(k).clean).ravel() for k in range(6)])
    assert abs(residual.mean()) < 0.02
    assert residual.std() > 0.05
    with pytest.raises(InputError, match="make pairs"):
        opened((counts, Poisson(dose=50)), "noise2void")


@pytest.mark.parametrize("kind", ["lattice", "dead-leaves-rgb"])
def test_simulated_targets_are_drawn_on_the_fly(kind):
    settings = SynthesisSettings(kind=kind, n=5, shape=(48, 48))
    data = opened(settings)
    again = opened({"kind": kind, "n": 5, "shape": (48, 48)})
    assert isinstance(data, SimulatedData)
    assert same(data.draw(11), again.draw(11))
    assert data.draw(0).noisy.shape == (3 if kind == "dead-leaves-rgb" else 1, 16, 16)
    held = [*data.held_out("validation"), *data.held_out("test")]
    assert len({patch.clean.tobytes() for patch in held}) == len(held)
    assert data.fingerprint == again.fingerprint


def test_simulated_fields_that_do_not_fit_into_memory_are_drawn_again(monkeypatch):
    settings = SynthesisSettings(n=6, shape=(48, 48), lattice_share=1)
    wanted = [opened(settings).draw(k) for k in range(8)]
    monkeypatch.setattr("napari_hush.training.data.simulated.KEPT_BYTES", 2 * 48 * 48 * 4)
    data = opened(settings)
    assert all(same(data.draw(k), wanted[k]) for k in range(8))
    assert len(data._kept) <= 2
    monkeypatch.setattr("napari_hush.training.data.simulated.KEPT_BYTES", 1)
    assert same(opened(settings).draw(3), wanted[3])


def test_rescaled_fields_get_new_noise_at_their_own_scale(monkeypatch):
    settings = SynthesisSettings(
        n=4, shape=(48, 48), lattice_share=1, dent_share=0, period=(6, 40), rescale_to=(9, 11), dose=(20, 20)
    )
    data = opened(settings, patch=32)
    patches = [data.draw(k) for k in range(8)]
    assert all(patch.noisy.shape == patch.clean.shape == (1, 32, 32) for patch in patches)
    assert all(np.corrcoef(patch.noisy.ravel(), patch.clean.ravel())[0, 1] > 0.4 for patch in patches)
    assert not any(same(a, b) for a, b in pairwise(patches))
    for (native, _, factor, _), target in ((data._kept[k], data._drawer("train", k)) for k in data._kept):
        assert factor == target.factor
        np.testing.assert_allclose(native[0], target.native, rtol=1e-3, atol=1e-6)
    monkeypatch.setattr("napari_hush.training.data.simulated.KEPT_BYTES", 1)
    again = opened(settings, patch=32)
    assert all(same(again.draw(k), patch) for k, patch in enumerate(patches))
    assert len(again._kept) == 1
    assert again._kept_bytes == next(iter(again._kept.values()))[0].nbytes
    held = data.held_out("validation")
    assert {patch.noisy.shape for patch in held} == {(1, 32, 32)}
    assert (data.scale.lowest, data.scale.highest) == (6, 40)
    assert data.scale.period == pytest.approx(99**0.5)


def test_a_settings_file_is_simulated_and_unpaired_fields_differ(tmp_path):
    (tmp_path / "set.toml").write_text("n = 4\nshape = [48, 48]\nlattice_share = 1.0\n")
    assert isinstance(opened(tmp_path / "set.toml"), SimulatedData)
    patch = opened(tmp_path / "set.toml", "cyclegan").draw(0)
    assert abs(np.corrcoef(patch.noisy.ravel(), patch.clean.ravel())[0, 1]) < 0.9
    with pytest.raises(InputError, match="simulated images have clean ones"):
        opened(tmp_path / "set.toml", "noise2void")


def test_unpaired_clean_images_take_the_contrast_of_the_noisy_ones(clean):
    data = opened((with_noise(clean), 40 + 300 * clean_images(5, seed=8)), "cyclegan", augment="none")
    noisy, other = (
        np.concatenate([getattr(data.draw(k), side).ravel() for k in range(80)]) for side in ("noisy", "clean")
    )
    assert abs(noisy.mean() - other.mean()) < 0.05
    assert 0.7 < other.std() / np.sqrt(noisy.var() - (0.2 / contrast_scale(with_noise(clean))) ** 2) < 1.4


def contrast_scale(images):
    return np.mean([RULE.fit(lambda image=image: [image]).scale for image in images])


def test_bad_pairs_are_listed_and_left_out(clean):
    noisy = [*with_noise(clean_images(8, 64))]
    good = [*clean_images(8, 64)]
    good[1] = good[1][:40]
    good[2] = np.roll(good[2], 4, axis=1)
    noisy[3] = np.full_like(noisy[3], 7)
    noisy[4] = np.full_like(noisy[4], np.nan)
    with pytest.warns(UserWarning, match="left out 4 of 8") as caught:
        data = opened((noisy, good))
    text = str(caught[0].message)
    for words in ("is (64, 64) px, the clean one (40, 64)", "shifted by", "constant", "NaN or infinite"):
        assert words in text
    assert not {1, 2, 3, 4} & {r.image for part in ("train", "validation", "test") for r in getattr(data.split, part)}
    with pytest.raises(InputError, match="4 of 8 images cannot be trained on"):
        opened(TrainingSource(data=(noisy, good), on_bad="refuse"))
    with pytest.raises(InputError, match="as many noisy as clean"):
        opened((noisy, good[:5]))


def test_when_all_are_bad_it_is_an_error():
    with pytest.raises(InputError, match="2 of 2 images cannot be trained on"):
        opened((np.zeros((2, 32, 32)), np.ones((2, 32, 32))))


def test_a_shift_is_found_where_the_noise_lets_it_be_seen_and_never_invented():
    drawer = Drawer(SynthesisSettings(n=100, shape=(128, 128), dose=(10, 500), lattice_share=1, dent_share=0.3))
    found = 0
    for k in range(24):
        target = drawer("train", k)
        assert np.hypot(*_shift(target.noisy, target.clean)) <= checks.FARTHEST
        moved = np.roll(target.clean, (2, -2), (0, 1))
        found += np.hypot(*_shift(target.noisy[4:-4, 4:-4], moved[4:-4, 4:-4])) > checks.FARTHEST
    assert found >= 22


def test_only_some_images_of_a_large_set_are_read_before_the_training(monkeypatch, clean):
    monkeypatch.setattr(checks, "MOST", 4)
    images = np.stack([clean[0]] * 30)
    images[7] = 3.0  # constant, but not among those that are looked at
    data = opened(images, "noise2void", validation_share=0, test_share=0)
    with pytest.warns(UserWarning, match=r"left out array.*\[7\]: the image is constant"):
        patches = [data.draw(k) for k in range(len(data))]
    assert all(np.ptp(patch.noisy) > 0 for patch in patches)


def test_patches_with_nan_are_drawn_again_or_filled(clean):
    images = with_noise(clean)
    images[:, 20:28, 20:28] = np.nan
    data = opened((images, images))
    assert all(np.isfinite(data.draw(k).noisy).all() for k in range(40))
    images = with_noise(clean)
    images[:, ::3, ::3] = np.inf
    assert all(np.isfinite(opened((images, images)).draw(k).noisy).all() for k in range(5))


def test_truth_must_fit_the_noisy_images(clean):
    with pytest.raises(InputError, match="6 noisy images but 2 true ones"):
        opened(TrainingSource(data=with_noise(clean), truth=clean[:2]), "noise2void")
    with pytest.raises(InputError, match="its truth"):
        opened(TrainingSource(data=with_noise(clean), truth=clean[:, :40]), "noise2void")


def test_a_very_large_plane_is_measured_by_parts(monkeypatch, clean):
    whole = opened((clean, clean)).draw(0)
    monkeypatch.setattr(contrast, "LARGE", 1)
    monkeypatch.setattr(contrast, "SIDE", 32)
    assert np.abs(whole.noisy - opened((clean, clean)).draw(0).noisy).max() < 0.3


def test_data_that_a_method_cannot_use_are_refused(clean, tmp_path):
    with pytest.raises(InputError, match="needs pairs"):
        opened(clean)
    with pytest.raises(InputError):
        opened((tmp_path / "none", clean))


def lattices(period, count=4, kind="hexagonal"):
    return [
        render_lattice(Lattice(kind=kind, period=period, angle=10.0 * k, background=0.2), (192, 192), k).image
        for k in range(count)
    ]


def test_clean_images_of_another_scale_are_resampled_to_the_period_of_the_noisy_ones():
    noisy = [Poisson(dose=20)(image, np.random.default_rng(5)) for image in lattices(8.0)]
    data = opened((noisy, lattices(16.0)), "cyclegan", patch=64, augment="none")
    assert data.zoom == pytest.approx(0.5, rel=0.03)
    for k in range(6):
        assert estimate_spacing(data.draw(k).clean[0].astype(np.float64)) == pytest.approx(8.0, rel=0.03)
    plain = opened((noisy, lattices(16.0)), "cyclegan", patch=64, augment="none", match_scale=False)
    assert plain.zoom == 1
    with pytest.raises(InputError, match=r"at 0\.5 times its size"):
        opened((noisy, lattices(16.0)), "cyclegan", patch=128)


@pytest.mark.parametrize(
    "others",
    [lattices(9.0, 2) + lattices(15.0, 2), [smooth_field((192, 192), 9.0, np.random.default_rng(k)) for k in range(4)]],
    ids=["many periods", "no lattice"],
)
def test_scale_is_left_alone_without_one_period_on_both_sides(others):
    assert opened((lattices(8.0), others), "cyclegan", patch=64).zoom == 1
