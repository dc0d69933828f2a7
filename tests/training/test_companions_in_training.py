"""Companions in a training: further channels of every kind of data, from the whole image around a patch."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import napari_hush as hush
from napari_hush.datasets.settings import SynthesisSettings
from napari_hush.inference.companions import LatticeCompanions
from napari_hush.normalize import NormalizationRule
from napari_hush.synthesis import Lattice, render_lattice
from napari_hush.synthesis.noise.pixels import Poisson
from napari_hush.training.data.open import open_data
from napari_hush.training.methods.supervised import Supervised
from napari_hush.training.settings import SupervisedSettings
from napari_hush.training.start import prepare

TINY = SupervisedSettings(
    patch=32, steps=2, batch_size=2, network="tomogan", companions="lattice", workers=0, validation_images=2, warmup=0,
    validate_every=2, augment="none",
)  # fmt: skip
RULE = NormalizationRule(method="percentile", low=1, high=99)


def lattices(count=3, side=96):
    clean = [render_lattice(Lattice(period=9 + 0.7 * k, angle=20.0 * k), (side, side), k).image for k in range(count)]
    noisy = [np.random.default_rng(k).poisson(20 * one) / 20 for k, one in enumerate(clean)]
    return np.stack(noisy).astype(np.float32), np.stack(clean)


def test_patches_of_pairs_have_the_companions_of_their_image():
    noisy, clean = lattices(1)
    settings = replace(TINY, validation_share=0.0, test_share=0.0)
    data = open_data((noisy, clean), "pairs", settings, RULE)
    patch = data.draw(0)
    assert patch.noisy.shape == (3, 32, 32)
    assert patch.clean.shape == (1, 32, 32)
    found = LatticeCompanions.measure(lambda y, x: noisy[0][y, x], noisy[0].shape)
    whole = RULE.fit(lambda: [noisy[0]]).apply(found.of(noisy[0]))
    places = np.lib.stride_tricks.sliding_window_view(whole[0], (32, 32))
    assert np.abs(places - patch.noisy[1]).max(axis=(2, 3)).min() < 1e-4


def test_clean_images_with_a_noise_have_noisy_companions():
    _, clean = lattices(1)
    settings = replace(TINY, validation_share=0.0, test_share=0.0)
    data = open_data((clean, Poisson(dose=20)), "pairs", settings, RULE)
    patch = data.draw(0)
    assert patch.noisy.shape == (3, 32, 32)
    errors = [float(np.std(one - patch.clean[0])) for one in patch.noisy]
    assert 0 < errors[1] < errors[0]


def test_repeats_and_simulated_fields_have_companions_too():
    noisy, _ = lattices(3)
    repeats = [np.stack([one, one + 0.01]) for one in noisy]
    assert open_data(repeats, "repeats", TINY, RULE).draw(1).noisy.shape == (3, 32, 32)
    simulated = open_data(SynthesisSettings(n=3, shape=(64, 64), period=(8, 12)), "pairs", TINY, RULE)
    assert simulated.draw(1).noisy.shape == (3, 32, 32)
    assert simulated.held_out("validation")[0].noisy.shape[0] == 3


def test_simulated_companions_are_turned_with_their_field():
    made = SynthesisSettings(n=1, test_share=0, shape=(96, 96), period=(10, 10), lattice_share=1, dent_share=0)
    data = open_data(made, "pairs", replace(TINY, augment="all", patch=96), RULE)
    for number in range(6):
        patch = data.draw(number)
        inner = (slice(12, -12),) * 2
        assert np.corrcoef(patch.noisy[2][inner].ravel(), patch.clean[0][inner].ravel())[0, 1] > 0.5


def test_colours_are_refused():
    noisy, clean = (np.stack([one] * 3, axis=-1) for one in lattices(2))
    with pytest.raises(hush.InputError, match="lattice companions go with grey images"):
        open_data((noisy, clean), "pairs", TINY, RULE, channel_axis=-1)
    with pytest.raises(hush.InputError, match="lattice companions go with grey images"):
        open_data(SynthesisSettings(kind="tissue", n=2, shape=(64, 64)), "pairs", TINY, RULE).draw(0)


def test_model_that_is_given_companions_begins_as_it_was(tmp_path):
    plain = hush.load_model("stem")
    initial, _, _ = prepare(Supervised, "pairs", replace(TINY, start="stem"), lattices())
    image = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(initial.network(image), plain.network(image[:, :1]))
    assert initial.channels == (1, 1)


def test_trained_model_wants_its_companions(tmp_path):
    model = hush.train("supervised", lattices(), TINY)
    assert model.companions == "lattice"
    assert model.in_channels == 3
    model.save(tmp_path / "mine.safetensors")
    noisy, _ = lattices(1)
    assert hush.denoise(noisy[0], tmp_path / "mine.safetensors").shape == noisy[0].shape
    with pytest.raises(hush.InputError, match="was trained with companions='lattice'"):
        hush.train("supervised", lattices(), replace(TINY, companions="none", start=str(tmp_path / "mine.safetensors")))


def test_stopped_training_with_companions_goes_on_bit_for_bit(tmp_path):
    settings = replace(TINY, steps=4)
    once = hush.train("supervised", lattices(), settings)

    class Enough(Exception):
        pass

    def stop(event):
        if event.step == 2:
            raise Enough

    with pytest.raises(Enough):
        hush.train("supervised", lattices(), settings, checkpoint=tmp_path / "c.ckpt", progress=stop)
    again = hush.train("supervised", lattices(), settings, checkpoint=tmp_path / "c.ckpt", resume=True)
    for one, other in zip(once.network.parameters(), again.network.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)
