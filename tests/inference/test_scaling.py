"""Denoising at the scale of a model, guarded: the same result however it is cut, and no worse than what went in."""

from __future__ import annotations

import warnings
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
import zarr

import napari_hush as hush
from napari_hush.card import Scale
from napari_hush.errors import InputError
from napari_hush.inference.denoise import denoise_steps, run_steps
from napari_hush.inference.planes import Planes
from napari_hush.inference.scaling import ScaledPlane, scale_factor
from napari_hush.inference.settings import DenoiseSettings
from napari_hush.model import Model
from napari_hush.normalize import NormalizationRule
from napari_hush.synthesis import Lattice, render_lattice
from napari_hush.synthesis.noise.registry import Poisson
from napari_hush.synthesis.samples import sample

pytestmark = pytest.mark.slow  # lattices are measured and resampled

CPU = {"engine": "torch", "device": "cpu", "precision": "float32"}


def model_of(network="unet", scale=None, seed=3, **hyperparameters):
    torch.manual_seed(seed)
    small = {"unet": {"width": 4, "levels": 2}, "cyclegan_resnet": {"width": 4, "blocks": 1}}.get(network, {})
    model = Model.create(network, small | hyperparameters)
    for parameter in model.network.parameters():
        if parameter.dim() > 1 and not parameter.any():  # a U-Net begins as the identity
            torch.nn.init.normal_(parameter, std=0.1)
    return replace(model, scale=scale)


def identity_model(scale=None):
    model = Model.create("cnn", {"widths": [1], "kernel_size": 1})
    for name, parameter in model.network.named_parameters():
        torch.nn.init.constant_(parameter, 1.0 if name.endswith("weight") else 0.0)
    rule = NormalizationRule(low=0, high=100, target=(1.0, 2.0))  # its ReLU cuts below zero
    return Model(model.network, "cnn", model.hyperparameters, rule, model.card, scale)


def lattice_image(period, shape=(230, 210), dose=40.0, seed=0):
    clean = render_lattice(Lattice(period=period, angle=20, background=0.1), shape, seed).image
    return clean, Poisson(dose=dose)(clean, np.random.default_rng(seed)) * 100


SCALE = Scale(lowest=5, highest=40, period=12)
CLEAN, NOISY = lattice_image(8.0)


@pytest.mark.parametrize("rescale", [False, "auto"])
@pytest.mark.parametrize("network", ["unet", "cyclegan_resnet"])
def test_tiles_guarded_and_rescaled_equal_one_pass(network, rescale):
    model = model_of(network, SCALE)
    whole = hush.denoise(NOISY, model, tile=False, rescale=rescale, **CPU)
    tiled = hush.denoise(NOISY, model, tile=64, rescale=rescale, **CPU)
    assert whole.shape == NOISY.shape
    assert np.ptp(whole) > 0
    assert np.abs(tiled - whole).max() <= 1e-5 * np.ptp(whole)


@pytest.mark.parametrize("period", [8.0, 19.0])
def test_a_preview_shows_the_pixels_of_the_full_result(period):
    _, noisy = lattice_image(period)
    model = model_of(scale=SCALE)
    full = hush.denoise(noisy, model, **CPU)
    region = (37, 101, 0, 83)
    part = run_steps(denoise_steps(noisy, model, DenoiseSettings(**CPU), region=region)).image
    np.testing.assert_allclose(part, full[37:101, 0:83], atol=1e-5 * np.ptp(full))


def test_a_lazy_image_gives_the_same_as_one_in_memory(tmp_path):
    stack = np.stack([NOISY, NOISY[::-1]]).astype(np.float32)
    model = model_of(scale=SCALE)
    expected = hush.denoise(stack, model, **CPU)
    source = zarr.create_array(tmp_path / "in.zarr", shape=stack.shape, dtype="float32", chunks=(1, 64, 64))
    source[:] = stack
    done = hush.denoise(source, model, tile=64, out=tmp_path / "out.zarr", **CPU)
    np.testing.assert_allclose(done[:], expected, atol=1e-5 * np.ptp(expected))


@pytest.mark.parametrize("period", [6.0, 8.0, 12.1, 30.0])
def test_there_and_back_keeps_lattice_and_place(period):
    clean, _ = lattice_image(period, shape=(240, 256))
    done = hush.denoise(clean, identity_model(SCALE), guard=False, **CPU)
    inside = np.s_[20:-20, 20:-20]
    assert np.abs(done - clean)[inside].max() < 0.06 * np.ptp(clean)
    assert np.corrcoef(done[inside].ravel(), clean[inside].ravel())[0, 1] > 0.999


def test_what_was_done_is_recorded():
    done = run_steps(denoise_steps(NOISY, model_of(scale=SCALE), DenoiseSettings(**CPU)))
    assert done.provenance["spacing"] == pytest.approx(8, rel=0.02)
    assert done.provenance["rescale"]["factor"] == pytest.approx(1.5, rel=0.02)
    assert done.provenance["guard"]["window"] == pytest.approx(12, rel=0.02)
    off = run_steps(denoise_steps(NOISY, model_of(scale=SCALE), DenoiseSettings(guard=False, rescale=False, **CPU)))
    assert off.provenance["rescale"] is off.provenance["guard"] is False


def test_an_image_without_a_lattice_keeps_its_scale_and_a_model_of_lattices_says_so():
    noise = np.random.default_rng(0).normal(100, 5, (96, 96))
    with pytest.warns(UserWarning, match="no lattice was found"):
        done = run_steps(denoise_steps(noise, model_of(scale=SCALE), DenoiseSettings(**CPU)))
    assert done.provenance["spacing"] is None
    assert done.provenance["rescale"] is False
    with pytest.raises(InputError, match="none was found"):
        hush.denoise(noise, model_of(scale=SCALE), rescale=True, **CPU)


def test_a_period_outside_the_training_is_told():
    with pytest.warns(UserWarning, match="outside the 10 to 40 px"):
        hush.denoise(NOISY, model_of(scale=Scale(lowest=10, highest=40, period=12)), **CPU)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        hush.denoise(NOISY, model_of(scale=SCALE), **CPU)


def test_holes_stay_where_they_were_and_nothing_else_is_lost():
    noisy = NOISY.astype(np.float64)
    noisy[50, 60], noisy[0, 0], noisy[120:124, 7] = np.nan, np.inf, np.nan
    done = hush.denoise(noisy, model_of(scale=SCALE), tile=64, **CPU)
    np.testing.assert_array_equal(np.isfinite(done), np.isfinite(noisy))


def test_the_guard_saves_a_dent_from_a_network_that_erases_it():
    class Erases(torch.nn.Module):
        stride, halo, live_channels, in_channels, out_channels = 1, 0, 1, 1, 1

        def __init__(self, lattice):
            super().__init__()
            self.lattice = torch.from_numpy(lattice)[None, None]

        def forward(self, x):
            return self.lattice + 0 * x

    truth = sample("dented-lattice")
    full = (truth.clean / np.maximum(truth.transmission, 0.02)).astype(np.float32)
    rule = NormalizationRule(method="identity", target=(-5.0, float(truth.noisy.max())))
    model = Model(Erases(full), "cnn", {}, rule)
    middle = truth.transmission < 0.25
    erased, kept = (hush.denoise(truth.noisy, model, tile=False, guard=guard, **CPU) for guard in (False, True))
    assert erased[middle].mean() > 3 * truth.clean[middle].mean()
    assert kept[middle].mean() == pytest.approx(truth.clean[middle].mean(), rel=0.1)


def test_a_guard_that_makes_no_sense_is_refused():
    model = Model.create("cnn", {"widths": [2], "in_channels": 1, "out_channels": 3})
    with pytest.raises(InputError, match="gives the channels that it takes"):
        hush.denoise(NOISY, model, guard=True, **CPU)
    assert run_steps(denoise_steps(NOISY, model, DenoiseSettings(**CPU))).provenance["guard"] is False


def test_scale_is_saved_with_the_model(tmp_path):
    model_of(scale=SCALE).save(tmp_path / "m.safetensors")
    assert hush.load_model(tmp_path / "m.safetensors").scale == SCALE
    with pytest.raises(ValueError, match="must not be above"):
        Scale(lowest=40, highest=5)


@pytest.mark.parametrize("factor", [0.29, 0.77, 1.0, 1.5, 2.43])
def test_places_of_parts_cover_the_plane_once(factor):
    scaled = ScaledPlane((173, 94), factor)
    height, width = scaled.seen_shape
    count = np.zeros(scaled.shape, int)
    rows, columns = [*range(0, height, 17), height], [*range(0, width, 23), width]
    for y0, y1 in pairwise(rows):
        for x0, x1 in pairwise(columns):
            top, bottom, left, right = scaled.place((y0, y1, x0, x1))
            count[top:bottom, left:right] += 1
    assert (count == 1).all()


def test_a_plane_that_is_resampled_anyway_is_one_of_whole_strides():
    scaled = ScaledPlane((300, 205), 12 / 13, 4)
    assert scaled.seen_shape == (276, 188)  # not 277 and 190
    assert ScaledPlane((300, 205), 1.0, 4).seen_shape == (300, 205)
    assert ScaledPlane((20, 205), 0.5, 8).seen_shape == (10, 104)  # a small one would be stretched too much


def test_all_borders_are_alike():
    """A lattice that ends in the middle of a stride used to be continued by its mirror image, and was worse there."""
    from napari_hush.synthesis import Lattice, render_lattice

    lattice = Lattice(kind="square", period=17.0, angle=10, sigma=0.17, displacement=0.0, vacancies=0.0)
    clean = render_lattice(lattice, (190, 190), 0).image.astype(np.float64)
    noisy = np.random.default_rng(0).poisson(200 * clean) / 200
    error = (hush.denoise(noisy.astype(np.float32), "stem") - clean) ** 2
    left, right = (float(np.sqrt(part.mean())) for part in (error[:, :3], error[:, -3:]))
    top, bottom = (float(np.sqrt(part.mean())) for part in (error[:3], error[-3:]))
    assert max(right, bottom) < 1.5 * max(left, top)


def test_a_scale_that_is_near_enough_is_left():
    assert scale_factor(12.1, 12.0) == scale_factor(None, 12.0) == scale_factor(20.0, None) == 1
    assert scale_factor(24.0, 12.0) == 0.5


def test_colours_and_slices_are_guarded_too():
    from napari_hush.inference.channels import channel_groups

    stack = np.stack([NOISY] * 3)
    rgb = Model.create("cnn", {"widths": [2], "in_channels": 3, "out_channels": 3})
    assert hush.denoise(np.moveaxis(stack, 0, -1), rgb, channel_axis=-1, **CPU).shape == (*NOISY.shape, 3)
    depth = Model.create("tomogan", {"depth": 3})
    assert depth.depth == 3
    done = hush.denoise(stack, depth, **CPU)
    assert done.shape == stack.shape
    low = [np.mean(image) for image in (done, stack)]
    assert low[0] == pytest.approx(low[1], rel=0.02)  # whatever the weights: the slow contrast is the noisy image's
    assert channel_groups(Planes(stack), depth)
