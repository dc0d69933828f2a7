"""Tests of tiles whose guards look farther than the network."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import torch

import napari_hush as hush
from napari_hush.errors import InputError
from napari_hush.inference.denoise import denoise_steps, run_steps
from napari_hush.inference.engines.torch_engine import TorchEngine
from napari_hush.inference.ledger import Restart
from napari_hush.inference.settings import DenoiseSettings
from napari_hush.inference.tiles import shared
from napari_hush.model import Model

pytestmark = pytest.mark.slow

CPU = {"device": "cpu", "engine": "torch", "guard": True}
NOISY = hush.sample("dented-lattice").noisy[:320, :384]


@pytest.fixture(autouse=True, params=[1, 2])
def threads(request, monkeypatch):
    """One computes all in turn; with two the network goes ahead of the guard."""
    monkeypatch.setattr("napari_hush.threads.thread_count", lambda: request.param)
    return request.param


class Counting(TorchEngine):
    """Counts the pixels that it is given, and in which threads; windows above a limit do not fit."""

    limit = 10**9

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.pixels, self.threads = [], set()

    def __call__(self, *inputs):
        if inputs[0].size > self.limit:
            raise MemoryError("simulated")
        self.pixels.append(inputs[0].size)
        self.threads.add(threading.get_ident())
        return super().__call__(*inputs)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    model = Model.create("cnn", {"widths": [4, 4]})
    for parameter in model.network.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return model


@pytest.fixture(scope="module")
def whole(model):
    return hush.denoise(NOISY, model, tile=False, **CPU)


def run(model, settings, engine=None, **options):
    events = []
    engine = engine or Counting(model.network)
    return run_steps(denoise_steps(NOISY, model, settings, engine=engine, **options), events.append), events, engine


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("kept", [shared.KEPT_BYTES, 1])
def test_tiles_equal_the_whole_image(model, whole, monkeypatch, kept, batch):
    monkeypatch.setattr(shared, "KEPT_BYTES", kept)
    done, events, _ = run(model, DenoiseSettings(tile=64, batch_size=batch, **CPU))
    assert np.abs(done.image - whole).max() <= 1e-5 * np.ptp(whole)
    steps = [event.step for event in events]
    assert steps == sorted(steps) and events[-1].step == events[-1].total


def test_each_pixel_goes_once_through_the_network(model):
    _, _, engine = run(model, DenoiseSettings(tile=64, batch_size=1, **CPU))
    assert len(engine.pixels) == 5 * 6  # as many as without a guard


def test_who_is_given_one_thread_takes_one(model, threads):
    _, _, engine = run(model, DenoiseSettings(tile=64, batch_size=1, **CPU))
    assert (threading.get_ident() in engine.threads) == (threads == 1) and len(engine.threads) == 1


def test_what_does_not_fit_is_halved_for_the_network_alone(model, whole):
    engine = Counting(model.network)
    engine.limit = 100**2
    done, events, _ = run(model, DenoiseSettings(tile=128, batch_size=2, **CPU), engine)
    assert done.provenance["tile"] == [64, 64] and max(engine.pixels) <= engine.limit
    assert np.abs(done.image - whole).max() <= 1e-5 * np.ptp(whole)
    assert events[-1].step == events[-1].total


def test_a_stopped_run_goes_on_with_the_same_bits(model, tmp_path):
    settings = DenoiseSettings(tile=128, batch_size=1, **CPU)
    path, source = tmp_path / "out.zarr", tmp_path / "in.npy"
    np.save(source, np.tile(hush.sample("dented-lattice").noisy[:120], (1, 2)))
    noisy = np.load(source, mmap_mode="r")

    def steps(target):
        restart = Restart(target, resume=True, keep=True)
        return denoise_steps(noisy, model, settings, out=target, restart=restart)

    straight = run_steps(steps(tmp_path / "straight.zarr")).image[:]

    def leave(_):
        if (tmp_path / ".out.zarr.part" / "ledger.jsonl").read_text().count('"pass"') == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_steps(steps(path), leave)
    events = []
    again = run_steps(steps(path), events.append).image[:]
    assert np.array_equal(again, straight)
    assert events[-1].step == events[-1].total


def test_a_region_has_the_pixels_of_the_whole(model, whole):
    done, _, engine = run(model, DenoiseSettings(**CPU), region=(100, 164, 40, 140))
    assert np.abs(done.image - whole[100:164, 40:140]).max() <= 1e-5 * np.ptp(whole)
    assert len(engine.pixels) == 1


def test_an_error_of_the_engine_ends_the_run(model):
    class Broken(TorchEngine):
        def __call__(self, *inputs):
            raise InputError("no such luck")

    with pytest.raises(InputError, match="no such luck"):
        run(model, DenoiseSettings(tile=64, **CPU), Broken(model.network))
