"""Frames of a series denoised together: better where they agree, as if alone where they do not."""

import json

import numpy as np
import pytest
import torch
from scipy import ndimage

import napari_hush as hush
from napari_hush.card import ModelCard
from napari_hush.errors import InputError
from napari_hush.inference.denoise import denoise_steps, run_steps
from napari_hush.inference.frames import _noise, _share
from napari_hush.inference.ledger import Restart
from napari_hush.inference.settings import DenoiseSettings
from napari_hush.model import Model
from napari_hush.series.compared import Frame

pytestmark = pytest.mark.slow

SIDE, FRAMES, NOISE = 96, 6, 10.0
CPU = {"device": "cpu", "engine": "torch"}


class Smooth(torch.nn.Module):
    """A mean over 3 x 3 px."""

    in_channels = out_channels = live_channels = 1
    stride, halo = 1, 1

    def __init__(self):
        super().__init__()
        self.kernel = torch.nn.Parameter(torch.full((1, 1, 3, 3), 1 / 9), requires_grad=False)

    def forward(self, image):
        return torch.nn.functional.conv2d(torch.nn.functional.pad(image, (1,) * 4, mode="reflect"), self.kernel)


@pytest.fixture(scope="module")
def model():
    made = Model.create("unet", {"width": 4, "levels": 1}, card=ModelCard(name="mean"))
    return Model(Smooth().eval(), made.architecture, made.hyperparameters, made.normalization, made.card)


def clean():
    image = ndimage.gaussian_filter(np.random.default_rng(0).random((SIDE, SIDE)), 4)
    return (100 * (image - image.min()) / np.ptp(image)).astype(np.float32)


def series(seed=0, frames=FRAMES):
    rng = np.random.default_rng(seed)
    return (clean() + rng.normal(0, NOISE, (frames, SIDE, SIDE))).astype(np.float32)


def unlike(frames=4):
    rng = np.random.default_rng(5)
    return np.stack(
        [100 * ndimage.gaussian_filter(rng.normal(0, 4, (SIDE, SIDE)), 4) for _ in range(frames)]
    ) + rng.normal(0, NOISE, (frames, SIDE, SIDE))


def run(image, model, frames="auto", **options):
    settings = DenoiseSettings(frames=frames, guard=False, **CPU)
    return run_steps(denoise_steps(image, model, settings, **options))


def test_frames_together_are_better_than_alone(model):
    alone, found = run(series(), model, frames=False), run(series(), model)
    errors = [np.mean((one.image - clean()) ** 2) for one in (alone, found)]
    assert errors[1] < 0.4 * errors[0]
    assert alone.series is None and alone.provenance["series"] is False
    assert found.series.carried.mean() > 0.9 * FRAMES and found.series.carried.shape == found.image.shape
    said = json.loads(json.dumps(found.provenance["series"]))
    assert said["window"] == FRAMES and len(said["registration"]["frames"]) == FRAMES
    assert "frames carry a pixel on average" in said["words"] and "may not show" in said["words"]


def test_frames_that_share_nothing_come_back_as_if_alone(model):
    image = unlike()
    assert np.array_equal(run(image, model).image, run(image, model, frames=False).image)
    insisted = run(image, model, frames=4)
    error = [
        np.sqrt(np.mean((run(image, model, frames=one).image - run(image, model, frames=False).image) ** 2))
        for one in (4,)
    ]
    assert error[0] < 0.3 * NOISE and insisted.series.carried.mean() < 2.5


def test_noise_without_any_image_is_no_series(model):
    image = np.random.default_rng(0).normal(100, 10, (3, SIDE, SIDE)).astype(np.float32)
    assert run(image, model).series is None


def test_copies_of_a_frame_know_no_more_than_it(model):
    image = np.repeat(series(frames=1), 3, axis=0)
    found = run(image, model, frames=3)
    assert found.series.carried.max() < 1.1
    assert np.array_equal(found.image, run(image, model, frames=False).image)


def test_what_changes_is_told_and_not_averaged(model):
    image = series()
    image[3:, 40:52, 40:52] += 80
    found = run(image, model)
    assert found.image[2, 44:48, 44:48].mean() < clean()[44:48, 44:48].mean() + 10
    assert found.image[3, 44:48, 44:48].mean() > clean()[44:48, 44:48].mean() + 70
    change = max(found.series.changes, key=lambda one: one.deviations)
    assert change.frame == 3 and (change.y, change.x) == pytest.approx((45.5, 45.5), abs=2)
    assert found.series.changed[3, 46, 46] > 4.5 and not found.series.changed[2, 46, 46]


def test_one_plane_is_the_same_as_in_the_whole(model):
    whole = run(series(), model)
    part = run(series(), model, plane=(2,))
    assert part.image.shape == (SIDE, SIDE)
    np.testing.assert_allclose(part.image, whole.image[2], rtol=0, atol=2.0)  # noise measured on other frames
    assert part.series.carried.shape == (SIDE, SIDE)


def test_pixels_that_are_not_numbers_stay_so_and_reach_no_neighbour(model):
    image = series()
    image[2, 30:34, 30:34] = np.nan
    found = run(image, model).image
    assert np.isnan(found[2, 30:34, 30:34]).all()
    assert np.isfinite(np.delete(found, 2, axis=0)).all()


@pytest.mark.parametrize("bad", ["nan", "black", "other"])
@pytest.mark.parametrize("where", [0, 3, FRAMES - 1])
def test_frame_that_shows_nothing_of_the_field_stands_alone(model, bad, where):
    image = series()
    good = np.delete(np.arange(FRAMES), where)
    image[where] = {"nan": np.nan, "black": 0, "other": unlike(1)[0]}[bad]
    found, alone = run(image, model, frames=FRAMES), run(image, model, frames=False)
    np.testing.assert_array_equal(found.image[where], alone.image[where])
    assert np.mean((found.image[good] - clean()) ** 2) < 0.5 * np.mean((alone.image[good] - clean()) ** 2)
    assert found.series.carried.max() <= FRAMES and found.series.carried[where].max() == 1
    json.dumps(found.provenance, allow_nan=False)
    assert np.nanmax(np.abs(found.series.registration.drift)) < 1


@pytest.mark.parametrize("bad", ["nan", "black", "other", "spikes"])
@pytest.mark.parametrize("where", [0, 1, FRAMES - 1])
def test_one_bad_frame_turns_no_series_off(model, bad, where):
    image = series()
    good = np.delete(np.arange(FRAMES), where)
    spiky = image[where] + 2000 * (np.random.default_rng(3).random((SIDE, SIDE)) < 0.01)
    image[where] = {"nan": np.nan, "black": 0, "other": unlike(1)[0], "spikes": spiky}[bad]
    alone = run(image, model, frames=False).image
    for first in (0, FRAMES - 1):
        found = run(image, model, first=first)
        better = [np.mean((found.image[k] - clean()) ** 2) < 0.5 * np.mean((alone[k] - clean()) ** 2) for k in good]
        assert all(better)


def test_each_frame_of_two_fields_has_those_of_its_own(model):
    image = np.concatenate([series(frames=3), series(1, frames=3)[:, ::-1]])
    found, alone = run(image, model), run(image, model, frames=False)
    for number, (one, other) in enumerate(zip(found.image, alone.image, strict=True)):
        true = clean() if number < 3 else clean()[::-1]
        assert np.mean((one - true) ** 2) < 0.6 * np.mean((other - true) ** 2)


def test_noise_is_measured_where_there_are_no_spikes():
    rng = np.random.default_rng(0)
    frames = [Frame(clean() + rng.normal(0, NOISE, (SIDE, SIDE)).astype(np.float32), clean()) for _ in range(2)]
    right = _noise(frames).variance(clean()).mean()
    spiky = frames[0].noisy + np.float32(2000) * (rng.random((SIDE, SIDE)) < 0.01)
    assert _noise([Frame(spiky, clean()), frames[1]]).variance(clean()).mean() < 1.2 * right


def test_where_few_frames_carry_the_noisy_mean_counts_less():
    weight = np.full((8, 8), 6, np.float32)
    weight[0], weight[1] = 1, 4
    share = _share(weight)
    assert share[0].max() < 0.41 and share[1:].min() == share.max() == np.float32(0.7)


@pytest.mark.parametrize("unit", [1e-12, 1e12, 1e20])
def test_unit_of_the_values_does_not_matter(model, unit):
    found, expected = run(series() * np.float32(unit), model), run(series(), model)
    np.testing.assert_allclose(found.image / unit, expected.image, rtol=0, atol=0.1)
    json.dumps(found.provenance, allow_nan=False)


def test_record_of_one_plane_tells_which_frames_these_are(model):
    found = run(series(frames=10), model, frames=3, plane=(9,))
    assert [one["frame"] for one in found.provenance["series"]["registration"]["frames"]] == [7, 8, 9]


def test_first_frame_is_one_that_exists(model):
    for first in (-1, 99):
        steps = denoise_steps(series(), model, DenoiseSettings(guard=False, **CPU), first=first)
        assert sum(event.place is not None for event in steps) == FRAMES


def test_a_window_of_frames_is_read_whatever_the_length(model):
    image, read = series(frames=14), []

    class Lazy:
        shape, dtype = image.shape, image.dtype

        def __getitem__(self, key):
            read.append(key[0] if isinstance(key, tuple) else key)
            return image[key]

    events = []
    settings = DenoiseSettings(frames=4, guard=False, **CPU)
    steps = denoise_steps(Lazy(), model, settings)
    done, latest = {}, []
    for event in steps:
        events.append(event)
        if event.place is not None:
            done[event.place[0]] = event.preview
            latest.append(max(one for one in read if isinstance(one, int)))
    assert list(done) == list(range(14))
    assert done[5].shape == (1, SIDE, SIDE)


def test_frame_that_is_looked_at_comes_first(model):
    steps = denoise_steps(series(), model, DenoiseSettings(frames=4, guard=False, **CPU), first=3)
    assert [event.place[0] for event in steps if event.place is not None] == [3, 4, 5, 2, 1, 0]


def test_result_goes_to_a_file(model, tmp_path):
    out = run(series(), model, out=tmp_path / "out.zarr")
    np.testing.assert_allclose(out.image[:], run(series(), model).image, rtol=0, atol=1e-3)
    assert out.series.carried is None and len(out.series.registration) == FRAMES


def test_series_in_several_planes_and_colours_stand_beside_each_other(model):
    image = np.stack([series(1), 200 - series(2)], axis=1)  # (T, Z, Y, X)
    found = run(image, model, frames=FRAMES)
    for z in range(2):
        single = run(image[:, z], model, frames=FRAMES).image
        assert np.mean((found.image[:, z] - single) ** 2) < 2
    colours = run(np.moveaxis(image, 1, -1), model, frames=FRAMES, channel_axis=-1)
    assert colours.image.shape == (FRAMES, SIDE, SIDE, 2)
    assert np.mean((colours.image[..., 0] - clean()) ** 2) < 30


@pytest.mark.parametrize("shape", [(96, 96), (1, 96, 96), (3, 40, 96)])
def test_a_number_of_frames_needs_a_series(model, shape):
    with pytest.raises(InputError, match="frames=4: expected"):
        run(np.ones(shape, np.float32), model, frames=4)


@pytest.mark.parametrize("frames", [1, 65, True, "all", 2.5])
def test_other_numbers_are_refused(frames):
    with pytest.raises(InputError, match="frames"):
        DenoiseSettings(frames=frames)


def test_slices_with_streaks_are_left_alone():
    image = np.stack([hush.sample("foam", seed).noisy for seed in (0, 0)])
    image[1] += np.random.default_rng(0).normal(0, 0.01, image[1].shape).astype(np.float32)
    done = run_steps(denoise_steps(image, "tomo", DenoiseSettings(**CPU)))
    assert done.series is None


def test_leaving_the_loop_ends_it(model, tmp_path):
    steps = denoise_steps(series(), model, DenoiseSettings(guard=False, **CPU), out=tmp_path / "out.zarr")
    while next(steps).place is None:
        pass
    steps.close()
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "stop"), [("drifting", 1), ("drifting", FRAMES - 1), ("another field in the middle", 3), ("unlike", 1)]
)
def test_series_that_was_stopped_goes_on_with_the_same_bits(model, tmp_path, kind, stop):
    image = unlike(FRAMES) if kind == "unlike" else series()
    if kind == "another field in the middle":
        image[2], image[3:] = 0, np.roll(series(3)[3:], 40, axis=-1)
    settings = DenoiseSettings(guard=False, frames="auto" if kind == "unlike" else 3, **CPU)

    def steps(name):
        path = tmp_path / name
        return denoise_steps(image, model, settings, out=path, restart=Restart(path, resume=True, keep=True))

    whole = run_steps(steps("whole.zarr"))
    for _ in range(2):
        left = steps("out.zarr")
        for event in left:
            if event.place == (stop,):
                break
        left.close()
    done = run_steps(steps("out.zarr"))
    assert np.array_equal(done.image[:], whole.image[:])
    assert done.provenance["series"] == whole.provenance["series"]
    assert [p.name for p in sorted(tmp_path.iterdir())] == ["out.zarr", "whole.zarr"]


@pytest.mark.parametrize("frames", [False, "auto"])
def test_planes_alone_are_done_in_the_order_in_which_they_are_wanted(model, frames):
    image, sight, seen = unlike(8).astype(np.float32), [3], {}
    settings = DenoiseSettings(frames=frames, guard=False, **CPU)
    steps = denoise_steps(image, model, settings, first=lambda: sight[0])

    def report(event):
        if event.place is not None:
            seen[event.place[0]] = event.preview
            sight[0] = 6 if len(seen) == 1 else 1 if len(seen) == 3 else sight[0]

    done = run_steps(steps, report)
    assert list(seen) == [3, 6, 7, 1, 2, 4, 5, 0]
    for number, plane in seen.items():
        np.testing.assert_array_equal(plane[0], done.image[number])
    plain = run_steps(denoise_steps(image, model, settings))
    np.testing.assert_array_equal(done.image, plain.image)


def test_frames_that_look_together_keep_their_order(model):
    sight, seen = [2], []
    steps = denoise_steps(series(), model, DenoiseSettings(guard=False, **CPU), first=lambda: sight[0])

    def report(event):
        if event.place is not None:
            seen.append(event.place[0])
            sight[0] = 0

    run_steps(steps, report)
    assert seen == [2, 3, 4, 5, 1, 0]
