"""Spread over poses and equivariance: nothing for a model that treats all poses alike, the known amount for others."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from napari_hush import InputError
from napari_hush.inference.engines.registry import ENGINES
from napari_hush.inference.engines.torch_engine import TorchEngine
from napari_hush.inference.settings import DenoiseSettings
from napari_hush.inference.uncertainty import Spread, equivariance, turn, turn_back, uncertainty, uncertainty_steps
from napari_hush.model import Model
from napari_hush.normalize import NormalizationRule

PLAIN = DenoiseSettings(engine="torch", device="cpu", precision="float32", guard=False)
IMAGE = np.random.default_rng(0).random((24, 32))
WAVES = 2 + np.sin(np.arange(88)[:, None] / 9) * np.cos(np.arange(80) / 11)  # smooth: resampling hardly changes it


def filter_model(kernel: Any, *, halo: int | None = None) -> Model:
    """A model that is one correlation of the image with a kernel."""
    weights = torch.tensor(kernel, dtype=torch.float32)
    size = len(kernel)
    model = Model.create("cnn", {"widths": [1], "kernel_size": size})
    for name, parameter in model.network.named_parameters():
        torch.nn.init.zeros_(parameter)
        if name.endswith("weight"):
            parameter[0, 0, size // 2, size // 2] = 1
    first = next(model.network.parameters())
    first[0, 0] = weights
    if halo is not None:
        model.network.halo = halo
    # ReLU cuts below zero: normalise everything to positive values
    rule = NormalizationRule(low=0, high=100, target=(1.0, 2.0))
    return Model(model.network, "cnn", model.hyperparameters, rule)


IDENTITY = [[1.0]]
BLUR = np.full((3, 3), 1 / 9)
SHIFT = [[0, 0, 0], [1, 0, 0], [0, 0, 0]]  # every pixel gets the value of its left neighbour


def drain(steps: Any) -> Spread:
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def test_poses_differ_and_are_turned_back() -> None:
    poses = [turn(IMAGE[:24, :24], pose) for pose in range(8)]
    assert len({pose.tobytes() for pose in poses}) == 8
    for pose in range(8):
        np.testing.assert_array_equal(turn_back(turn(IMAGE, pose), pose), IMAGE)


def test_a_model_that_treats_all_poses_alike_has_no_spread() -> None:
    spread = uncertainty(IMAGE, filter_model(IDENTITY), PLAIN)
    np.testing.assert_allclose(spread.mean, IMAGE, atol=1e-6)
    assert spread.deviation.dtype == np.float32
    assert spread.deviation.max() == 0
    assert uncertainty(IMAGE, filter_model(BLUR), PLAIN).deviation[2:-2, 2:-2].max() < 1e-6


def test_a_shift_has_the_spread_of_the_four_neighbours() -> None:
    spread = uncertainty(IMAGE, filter_model(SHIFT), PLAIN)
    neighbours = np.stack([np.roll(IMAGE, step, axis) for axis in (0, 1) for step in (-1, 1)])  # each in two poses
    inside = (slice(1, -1), slice(1, -1))
    np.testing.assert_allclose(spread.mean[inside], neighbours.mean(axis=0)[inside], atol=1e-6)
    np.testing.assert_allclose(spread.deviation[inside], neighbours.std(axis=0)[inside], atol=1e-6)


def test_models_that_disagree_add_to_the_spread() -> None:
    twice = filter_model(IDENTITY)
    list(twice.network.parameters())[-1].fill_(0.5)  # half a range above
    spread = uncertainty(IMAGE, [filter_model(IDENTITY), twice], PLAIN)
    np.testing.assert_allclose(spread.deviation, 0.25 * np.ptp(IMAGE), atol=1e-5)


def test_a_plane_of_a_coloured_stack_and_its_holes() -> None:
    stack = np.random.default_rng(1).random((3, 24, 32, 3))
    stack[1, 4, 5, 0] = np.nan
    spread = drain(uncertainty_steps(stack, filter_model(IDENTITY), PLAIN, channel_axis=3, plane=(1,)))
    assert spread.mean.shape == spread.deviation.shape == (24, 32, 3)
    np.testing.assert_allclose(spread.mean, stack[1], atol=1e-6)
    assert np.argwhere(np.isnan(spread.deviation)).tolist() == [[4, 5, 0]]


def test_a_model_of_slices_sees_the_neighbours_of_its_plane() -> None:
    model = Model.create("tomogan", {"depth": 3})
    stack = np.random.default_rng(2).random((4, 16, 24)).astype(np.float32)
    middle, same = (drain(uncertainty_steps(part, model, PLAIN, plane=(1,))) for part in (stack, stack[:3]))
    np.testing.assert_array_equal(middle.mean, same.mean)
    stack[2] += 1
    assert not np.array_equal(drain(uncertainty_steps(stack, model, PLAIN, plane=(1,))).mean, middle.mean)


def test_progress_counts_all_poses_and_leaving_closes_the_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = []

    class Watched(TorchEngine):
        def close(self) -> None:
            closed.append(self)

    monkeypatch.setitem(ENGINES, "torch", Watched)
    tiles = DenoiseSettings(engine="torch", device="cpu", guard=False, tile=16)
    events = []
    uncertainty(IMAGE, [filter_model(BLUR)] * 2, tiles, progress=events.append)
    assert len(closed) == 2  # one for each model
    at = [event.fraction for event in events]
    assert at == sorted(at) and at[0] == 0 and at[-1] == 1
    assert events[-1].message.startswith("pose 16 of 16")
    steps = uncertainty_steps(IMAGE, filter_model(BLUR), tiles)
    next(steps)
    steps.close()
    assert len(closed) == 3


def test_what_cannot_be_run_is_refused() -> None:
    model = filter_model(IDENTITY)
    with pytest.raises(InputError, match="name at least one"):
        uncertainty(IMAGE, [], PLAIN)
    with pytest.raises(InputError, match=r"plane \(\) does not exist"):
        uncertainty(np.stack([IMAGE] * 2), model, PLAIN)
    with pytest.raises(InputError, match="whole stack"):
        uncertainty(IMAGE, Model.create("tomogan", {"depth": 3}), PLAIN)
    for wrong, words in ((np.stack([WAVES] * 2), "one plane"), (WAVES * np.nan, "finite"), (WAVES[:40], "larger part")):
        with pytest.raises(InputError, match=words):
            equivariance(wrong, model, PLAIN)
    with pytest.raises(InputError, match="flat"):
        equivariance(WAVES, filter_model([[0.0]]), PLAIN)


def test_identity_is_equivariant() -> None:
    found = equivariance(WAVES, filter_model(IDENTITY), PLAIN)
    assert found["tiling"] == 0
    assert found["rotation"] < 1e-6 and found["flip"] < 1e-6
    assert 0 < found["scale_up"] < 2e-3 and 0 < found["scale_down"] < 2e-3


def test_each_kind_of_failure_shows_where_it_belongs() -> None:
    right = equivariance(WAVES, filter_model(BLUR), PLAIN)
    seams = equivariance(WAVES, filter_model(BLUR, halo=0), PLAIN)
    assert right["tiling"] <= 1e-5 < 1e-3 < seams["tiling"]
    assert right["flip"] < 1e-6
    shift = equivariance(WAVES, filter_model(SHIFT), PLAIN)
    assert shift["tiling"] <= 1e-5
    assert min(shift["flip"], shift["rotation"]) > 0.03
    wide = np.full((9, 9), 1 / 81)  # as wide in px at every scale
    assert equivariance(WAVES, filter_model(wide), PLAIN)["scale_down"] > 2 * right["scale_down"]
