"""Planes that share a normalisation: where they differ by far it is told, and each may have its own."""

import warnings

import numpy as np
import pytest
import torch

import napari_hush as hush
from napari_hush.errors import InputError
from napari_hush.inference.denoise import denoise_steps, run_steps
from napari_hush.inference.settings import DenoiseSettings
from napari_hush.model import Model
from napari_hush.normalize import NormalizationRule

RUN = {"engine": "torch", "device": "cpu", "precision": "float32"}
IMAGE = np.random.default_rng(0).normal(1000, 200, (64, 60)).astype(np.float32)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return Model.create("cnn", {"widths": [4]})


@pytest.mark.parametrize("factors", [(1, 1e6, 1), (1, 30), (1, 10, 5)])
def test_planes_of_far_different_brightness_are_told(model, factors):
    stack = np.stack([(IMAGE - 400) * np.float32(factor) for factor in factors])
    with pytest.warns(UserWarning) as told:
        hush.denoise(stack, model, **RUN)
    (words,) = (str(one.message) for one in told)
    assert words.startswith(f"the {len(factors)} planes along axis 0 share one normalisation, and plane")
    assert "give channel_axis=0." in words and "normalize='plane'" in words
    ratio = float(words.partition("as little as 1/")[2].partition(" of")[0])
    assert max(factors) <= ratio * 1.05 < 1.5 * max(factors)


def test_a_rare_plane_that_is_far_brighter_is_named(model):
    stack = np.tile(IMAGE[:32, :32], (120, 1, 1))
    stack[7] *= 1000
    with pytest.warns(
        UserWarning, match=r"the 120 planes along axis 0 .* plane 7 spans up to \S+e\+03 times its range"
    ):
        run_steps(denoise_steps(stack, model, DenoiseSettings(frames=False, **RUN), plane=(0,)))


def test_the_axis_along_which_planes_differ_is_named(model):
    stack = np.stack([[IMAGE, 50 * IMAGE], [1.1 * IMAGE, 55 * IMAGE]])
    with pytest.warns(UserWarning, match=r"the 2 planes along axis 1 .*planes 0/0, 1/0 span"):
        hush.denoise(stack, model, **RUN)
    with pytest.warns(UserWarning, match=r"the 2 planes along axis 1 .* Give normalize='plane'"):
        hush.denoise(stack[..., None], model, channel_axis=-1, **RUN)


def test_planes_that_are_alike_and_dead_ones_are_not_told(model):
    stacks = [
        np.stack([IMAGE, 5 * IMAGE]),
        np.stack([IMAGE, 0 * IMAGE, IMAGE]),
        np.stack([IMAGE, np.full_like(IMAGE, np.nan)]),
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for stack in stacks:
            hush.denoise(stack, model, frames=False, **RUN)
        hush.denoise(np.stack([IMAGE, 1e6 * IMAGE]), model, normalize="plane", **RUN)
        hush.denoise(np.stack([IMAGE, 1e6 * IMAGE]), model, channel_axis=0, **RUN)


def test_a_model_of_a_fixed_range_sees_each_plane_alike(model):
    fixed = Model(model.network, "cnn", model.hyperparameters, NormalizationRule(method="match", target=(0, 255)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        hush.denoise(np.stack([IMAGE / 8, IMAGE / 160]), fixed, **RUN)


def test_each_plane_with_a_normalisation_of_its_own_is_as_if_alone(model):
    stack = np.stack([IMAGE, 1e6 * IMAGE, np.full_like(IMAGE, 3), np.full_like(IMAGE, np.nan)])
    settings = DenoiseSettings(normalize="plane", frames=False, **RUN)
    done = run_steps(denoise_steps(stack, model, settings)).image
    for one, plane in zip(done[:2], stack, strict=False):
        np.testing.assert_array_equal(one, hush.denoise(plane, model, **RUN))
    np.testing.assert_array_equal(done[2:], stack[2:])  # of one value, and of none: they stay as they are
    part = run_steps(denoise_steps(stack, model, settings, plane=(1,))).image
    np.testing.assert_array_equal(part, done[1])
    with pytest.raises(InputError, match="constant"):
        hush.denoise(stack[2:], model, normalize="plane", **RUN)


def test_weak_channels_come_out_as_if_alone():
    clean = hush.sample("cells")
    image, truth = clean.noisy[:128, :128].astype(float), clean.clean[:128, :128]
    errors = []
    for options in ({"channel_axis": 0}, {"normalize": "plane", "frames": False}):
        weak = hush.denoise(np.stack([image, 1000 * image]), "general", **options, **RUN)[0]
        errors.append(float(np.sqrt(((weak - truth) ** 2).mean())))
    alone = float(np.sqrt(((hush.denoise(image, "general", **RUN) - truth) ** 2).mean()))
    np.testing.assert_allclose(errors, alone, rtol=1e-3)


def test_normalize_takes_two_words(model):
    with pytest.raises(InputError, match="normalize must be one of stack, plane"):
        hush.denoise(IMAGE, model, normalize="image")
