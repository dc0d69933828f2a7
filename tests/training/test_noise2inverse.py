"""Noise2Inverse: the mean of all reconstructions but one learns to be that one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import ndimage

import napari_hush as hush
from napari_hush.fidelity.metrics import psnr
from napari_hush.normalize import NormalizationRule
from napari_hush.training.data.open import TrainingSource, open_data
from napari_hush.training.presets import PRESETS
from napari_hush.training.settings_file import train_settings

PLAIN = NormalizationRule(method="range", source=(0, 1))


def opened(data: Any, **changes: Any) -> Any:
    settings = train_settings("noise2noise", {"patch": 16, "inputs": "mean", "augment": "none"} | changes)
    return open_data(data, "repeats", settings, PLAIN)


@pytest.mark.filterwarnings("ignore:this model takes images")
def test_the_input_is_the_mean_of_the_others_and_the_target_the_one_left_out() -> None:
    ramp = np.linspace(0, 0.2, 32 * 32, dtype=np.float32).reshape(32, 32)
    values = np.array([0, 1, 3, 8], dtype=np.float32)  # of the four parts of each field
    stacks = [100 * k + values[:, None, None] + ramp for k in range(4)]
    data = opened(stacks)
    left_out = set()
    for number in range(40):
        patch = data.draw(number)
        field = np.floor(patch.clean.mean() / 100)
        own = np.round(patch.clean - ramp.mean() - 100 * field).mean()
        rest = (12 - values[np.abs(values - own).argmin()]) / 3
        left_out.add(int(np.abs(values - own).argmin()))
        np.testing.assert_allclose(patch.noisy - patch.clean, rest - values[np.abs(values - own).argmin()], atol=1e-4)
        assert not patch.true
    assert left_out == {0, 1, 2, 3}
    truth = np.stack([100 * k + ramp for k in range(4)])
    held = opened(TrainingSource(data=stacks, truth=truth), validation_share=0.5, test_share=0).held_out("validation")
    assert len(held) == 2  # one mean of each field
    for patch in held:
        assert patch.true
        np.testing.assert_allclose(patch.noisy - patch.clean, 3, atol=1e-4)  # the mean of all parts


def test_the_map_to_network_units_is_that_of_the_mean() -> None:
    rng = np.random.default_rng(0)
    stack = rng.normal(0, 1, (1, 8, 48, 48)).astype(np.float32) + np.linspace(0, 1, 48, dtype=np.float32)
    settings = train_settings("noise2noise", {"patch": 16, "inputs": "mean", "validation_share": 0, "test_share": 0})
    rule = NormalizationRule()
    data = open_data(stack[0], "repeats", settings, rule)
    found = rule.fit(lambda: [stack[0].mean(axis=0)])
    patch = data.draw(0)
    assert patch.clean.std() == pytest.approx(stack[0].std() / found.scale, rel=0.2)


def test_it_learns_what_the_parts_have_in_common() -> None:
    rng = np.random.default_rng(0)
    clean = np.stack([ndimage.gaussian_filter(rng.normal(0, 1, (48, 48)), 4) for _ in range(6)])
    clean = (clean / clean.std()).astype(np.float32)
    parts = [one + rng.normal(0, 1.6, (4, 48, 48)).astype(np.float32) for one in clean]
    settings = {
        "inputs": "mean", "steps": 60, "patch": 32, "network_options": "width = 4, levels = 2", "learning_rate": 1e-2,
        "warmup": 5, "ema": 0.9, "validate_every": 60, "picture_every": 0, "device": "cpu", "workers": 0,
    }  # fmt: skip
    model = hush.train("noise2noise", parts, settings)
    means = [part.mean(axis=0) for part in parts]
    gains = [
        psnr(one, hush.denoise(mean, model, device="cpu", guard=False)) - psnr(one, mean)
        for one, mean in zip(clean, means, strict=True)
    ]
    assert np.mean(gains) > 2


def test_the_preset_is_the_published_scheme() -> None:
    preset = PRESETS["noise2inverse"]
    settings = preset.settings
    assert preset.method == "noise2noise"
    assert (settings.averages, settings.loss, settings.lambda_gradient) == (True, "mse", 0.0)  # type: ignore[attr-defined]
