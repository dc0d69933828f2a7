"""Training methods: what each step does, term by term."""

from __future__ import annotations

import pickle
from dataclasses import fields, replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn
from training_images import TINY, TINY_OF, clean_images, data_for, with_noise

import napari_hush as hush
from napari_hush.errors import InputError, ModelFileError
from napari_hush.networks import NETWORKS
from napari_hush.networks.cnn import CNN
from napari_hush.networks.unet import UNet
from napari_hush.training.figures import of_validation
from napari_hush.training.methods import losses
from napari_hush.training.methods.cyclegan import CycleGAN, Pool
from napari_hush.training.methods.method import Batch, Method, learning_rate, plain
from napari_hush.training.methods.noise2void import hide
from napari_hush.training.methods.registry import METHODS
from napari_hush.training.methods.supervised import Supervised
from napari_hush.training.methods.tomogan import TomoGAN, feature_matching
from napari_hush.training.methods.vgg import VGGFeatures, load_vgg19
from napari_hush.training.presets import PRESETS
from napari_hush.training.run import TrainingRun
from napari_hush.training.settings_file import train_settings, train_settings_to_toml

pytestmark = pytest.mark.slow  # networks are trained


def run_of(method, **changes):
    settings = train_settings(method, TINY_OF[method] | changes)
    return TrainingRun(method, data_for(method), settings, None, None)


def batch_of(run, number=0):
    return run.batches.make(number)


def weights(network):
    return torch.cat([value.flatten() for value in plain(network).state_dict().values()]).clone()


@pytest.mark.parametrize("name", METHODS)
def test_every_method_can_be_loaded_and_says_what_it_does(name):
    entry = METHODS[name]
    assert issubclass(entry.load(), Method)
    assert entry.about
    assert entry.load().__doc__
    assert entry.settings.__doc__
    assert entry.settings is type(train_settings(name))


@pytest.mark.parametrize("method", METHODS)
def test_no_loss_has_the_name_of_a_metric(method):
    """They would be one curve, and one number of the record."""
    run = run_of(method)
    for number in range(3):
        assert not [name for name in run.method.step(batch_of(run, number), number) if of_validation(name)]


@pytest.mark.parametrize(("method", "loss", "steps"), [
    ("supervised", "loss", 30), ("tomogan", "pixel", 16), ("noise2noise", "loss", 60), ("noise2void", "loss", 60),
    ("cyclegan", "cycle", 30), ("two-stage", "pixel", 60),
])  # fmt: skip
def test_every_method_lowers_its_loss(method, loss, steps):
    changes = {
        "steps": steps,
        "learning_rate": 5e-3,
        "validate_every": steps,
        "batch_size": 4,
        "patch": 16,
        "warmup": 3,
    }
    if method in ("cyclegan", "two-stage"):
        changes |= {"patch": 24, "batch_size": 1}
    if method == "two-stage":
        changes |= {"unpaired_steps": 10, "final_learning_rate": 5e-3, "final_batch_size": 4, "batch_size": 1}
    found = []
    hush.train(method, data_for(method), TINY_OF[method] | changes, progress=lambda e: found.append(e.losses.get(loss)))
    found = [value for value in found if value is not None]
    assert np.mean(found[-8:]) < 0.9 * np.mean(found[:8])


def test_supervised_finds_the_answer_of_a_linear_problem():
    """One 1x1 convolution behind the identity: the least squares of clean = a noisy + b are known."""
    noisy = np.random.default_rng(0).normal(size=(4, 32, 32))
    data = (noisy.astype(np.float32), (0.7 * noisy + 0.1).astype(np.float32))
    settings = train_settings("supervised", TINY | {
        "loss": "mse", "lambda_gradient": 0.0, "lambda_spectrum": 0.0, "learning_rate": 0.05, "warmup": 0,
        "steps": 400, "schedule": "linear", "augment": "none", "validation_share": 0, "test_share": 0,
    })  # fmt: skip
    run = TrainingRun("supervised", data, settings, None, None)
    run.method = Supervised(settings, nn.Conv2d(1, 1, 1))
    run.method.setup(run.fabric)
    for number in range(400):
        run.method.step(batch_of(run, number), number)
    scales = [run.data.rule.fit(lambda image=image: [image]) for image in data[0]]
    convolution = plain(run.method.networks["denoiser"])
    assert convolution.weight.item() == pytest.approx(0.7, abs=0.02)
    offset = np.mean([(0.7 * one.offset + 0.1 - one.offset) / one.scale for one in scales])
    assert convolution.bias.item() == pytest.approx(offset, abs=0.03)


def test_supervised_losses_are_weighted_sums():
    batch = Batch(torch.rand(2, 1, 16, 16), torch.rand(2, 1, 16, 16))
    settings = train_settings("supervised", {"lambda_gradient": 0.3, "lambda_spectrum": 0.7, "loss": "charbonnier"})
    method = Supervised(settings, nn.Identity())
    terms = method.losses(batch)
    difference = batch.noisy - batch.clean
    assert torch.isclose(terms["loss"], terms["pixel"] + 0.3 * terms["gradient"] + 0.7 * terms["spectrum"])
    assert torch.isclose(terms["pixel"], torch.sqrt(difference**2 + 1e-6).mean())
    by_hand = (difference.diff(dim=2).abs().mean() + difference.diff(dim=3).abs().mean()) / 2
    assert torch.isclose(terms["gradient"], by_hand)
    without = Supervised(replace(settings, lambda_gradient=0.0, lambda_spectrum=0.0), nn.Identity()).losses(batch)
    assert without.keys() == {"loss", "pixel"}


def test_rms_is_the_mean_of_the_roots_of_each_image():
    target = torch.zeros(2, 1, 8, 8)
    output = torch.stack([torch.full((1, 8, 8), 0.5), torch.full((1, 8, 8), 0.1)])
    assert torch.isclose(losses.rms(output, target), torch.tensor(0.3), atol=1e-5)
    exact = torch.zeros(1, 1, 8, 8, requires_grad=True)
    losses.rms(exact, target[:1]).backward()  # no error has a slope, too
    assert torch.equal(exact.grad, torch.zeros_like(exact))


def test_low_pass_keeps_what_is_smooth_and_removes_noise():
    assert torch.allclose(losses.low_pass(torch.full((1, 2, 40, 40), 3.0), 4), torch.tensor(3.0))
    noise = torch.randn(1, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    assert losses.low_pass(noise, 4).std() < 0.12


def test_log_spectrum_tells_white_from_streaky_noise_and_not_brightness():
    noise = torch.randn(1, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(losses.log_spectrum(noise), losses.log_spectrum(noise + 3), atol=1e-3)
    streaks = noise + noise.roll(1, -1)
    assert (losses.log_spectrum(streaks) - losses.log_spectrum(noise)).abs().mean() > 0.05


@pytest.mark.parametrize("row_mask", [0, 2])
@pytest.mark.parametrize("side", [8, 24])
def test_a_blind_pixel_sees_neither_itself_nor_its_row_neighbours(row_mask, side):
    settings = train_settings("noise2void", {"row_mask": row_mask, "blind_share": 0.05, "window": 7})
    for first in range(4):
        image = torch.rand(1, 1, side, side, requires_grad=True)
        hidden, blind = hide(Batch(image, None, first), settings)
        for _, _, y, x in blind.nonzero().tolist():
            reach = slice(max(x - row_mask, 0), x + row_mask + 1)
            (gradient,) = torch.autograd.grad(hidden[0, 0, y, reach].sum(), image, retain_graph=True)
            assert gradient[0, 0, y, reach].abs().sum() == 0  # what stands there comes from other rows
            assert gradient.abs().sum() == hidden[0, 0, y, reach].numel()


def test_the_own_value_of_a_blind_pixel_cannot_reach_its_output_in_place():
    """Changing what is hidden changes the input at most where it was drawn to, never at the pixel itself."""
    settings = train_settings("noise2void", {"blind_share": 0.02, "window": 5, "row_mask": 1})
    image = torch.rand(1, 1, 32, 32)
    hidden, blind = hide(Batch(image, None), settings)
    other = torch.where(blind, image + 100, image)
    again, _ = hide(Batch(other, None), settings)
    drawn_from_blind = (again != hidden)[blind]
    assert float(drawn_from_blind.float().mean()) < 0.2
    assert torch.equal(hidden[~blind][:5], again[~blind][:5])
    share = float(blind.float().mean())
    assert 0.005 < share < 0.05


def test_hidden_pixels_depend_on_the_patch_alone_not_on_its_batch():
    settings = train_settings("noise2void")
    images = torch.rand(4, 1, 16, 16)
    both = hide(Batch(images, None, 10), settings)
    second = hide(Batch(images[2:], None, 12), settings)
    assert torch.equal(both[0][2:], second[0])
    assert torch.equal(both[1][2:], second[1])
    assert not torch.equal(both[1][0], both[1][1])


@pytest.mark.parametrize("steps", [1, 3])
def test_tomogan_updates_the_discriminator_as_often_as_asked(steps, monkeypatch):
    run = run_of("tomogan", discriminator_steps=steps)
    seen = []
    update = run.method.update
    monkeypatch.setattr(run.method, "update", lambda name, *rest: (seen.append(name), update(name, *rest)))
    before = weights(run.method.networks["discriminator"])
    found = run.method.step(batch_of(run), 0)
    assert seen == ["discriminator"] * steps + ["denoiser"]
    assert not torch.equal(before, weights(run.method.networks["discriminator"]))
    s = run.settings
    total = s.lambda_pixel * found["pixel"] + s.lambda_adversarial * found["adversarial"]
    assert torch.isclose(found["loss"], total + s.lambda_perceptual * found["perceptual"])
    assert all(p.requires_grad for p in run.method.networks["discriminator"].parameters())


def test_the_generator_step_leaves_the_discriminator_alone(monkeypatch):
    run = run_of("tomogan", discriminator_steps=1)
    update, after = run.method.update, []

    def watched(name, *rest):
        update(name, *rest)
        after.append(weights(run.method.networks["discriminator"]))

    monkeypatch.setattr(run.method, "update", watched)
    run.method.step(batch_of(run), 0)
    assert torch.equal(after[0], after[1])


def test_feature_matching_is_nothing_for_equal_images():
    run = run_of("tomogan")
    image = batch_of(run).clean
    judge = plain(run.method.networks["discriminator"])
    assert feature_matching(judge, image, image) == 0
    assert feature_matching(judge, image, image + 1) > 0


@pytest.fixture(scope="module")
def vgg_file(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("vgg") / "vgg19.pth"
    state = {name: (value * 0.1).clone() for name, value in VGGFeatures().state_dict().items()}
    torch.save(state | {"classifier.0.weight": torch.zeros(3)}, path)
    return path


def test_vgg_weights_are_read_and_used(vgg_file):
    network = load_vgg19(vgg_file)
    assert len(network.features) == 37
    assert not any(p.requires_grad for p in network.parameters())
    run = run_of("tomogan", vgg=str(vgg_file), patch=32)
    found = run.method.step(batch_of(run), 0)
    assert found["perceptual"].requires_grad
    grey = torch.rand(1, 1, 32, 32)
    assert network(grey).shape == (1, 512, 1, 1)


class Harmful:
    def __reduce__(self):
        return print, ("this must not be run",)


def test_a_vgg_file_with_code_or_other_tensors_is_refused(tmp_path, capsys):
    path = tmp_path / "vgg.pth"
    torch.save({"features.0.weight": Harmful()}, path)
    with pytest.raises(ModelFileError, match="holds code"):
        load_vgg19(path)
    path.write_bytes(pickle.dumps(Harmful(), protocol=2))
    with pytest.raises(ModelFileError, match="holds code"):
        load_vgg19(path)
    assert "must not" not in capsys.readouterr().out
    torch.save({"features.0.weight": torch.zeros(1)}, path)
    with pytest.raises(ModelFileError, match="not those of VGG19"):
        load_vgg19(path)
    with pytest.raises(ModelFileError, match="no such file"):
        load_vgg19(tmp_path / "none.pth")


def test_the_pool_keeps_so_many_images_and_shows_half_of_them_again():
    pool, shown_again = Pool(5), 0
    for number in range(400):
        image = torch.full((1, 1, 2, 2), float(number))
        shown = pool.exchange(image, 0, number)
        assert len(pool.images) == min(number + 1, 5)
        if number >= 5:
            shown_again += int(shown[0, 0, 0, 0] != number)
            kept = float(number) in [float(one[0, 0, 0]) for one in pool.images]
            assert kept == (shown[0, 0, 0, 0] != number)  # the new one goes in for what is shown
    assert 0.4 < shown_again / 395 < 0.6


def test_the_pool_is_decided_by_the_step_and_may_be_empty():
    def shown(seed):
        pool = Pool(3)
        return [float(pool.exchange(torch.full((1, 1, 1, 1), float(k)), seed, k)) for k in range(40)]

    assert shown(1) == shown(1)
    assert shown(1) != shown(2)
    image = torch.rand(2, 1, 4, 4)
    assert torch.equal(Pool(0).exchange(image, 0, 0), image)


@pytest.mark.parametrize("one_sided", [True, False])
@pytest.mark.parametrize("remedies", [True, False])
def test_cyclegan_switches(one_sided, remedies):
    run = run_of(
        "cyclegan", one_sided=one_sided, spectrum_discriminator=remedies, noise_input=remedies,
        lambda_lowpass=5.0 * remedies, match_contrast=remedies, lowpass_sigma=2.0,
    )  # fmt: skip
    found = run.method.step(batch_of(run), 0)
    assert ("fool_spectrum" in found) == remedies
    assert ("low_pass" in found) == remedies
    assert ("judge_spectrum" in run.method.networks) == remedies
    assert plain(run.method.networks["noiser"]).in_channels == 1 + remedies
    s = run.settings
    total = sum(value for name, value in found.items() if name.startswith("fool")) + s.lambda_cycle * found["cycle"]
    total = total + s.lambda_cycle * s.lambda_identity * found["identity"]
    if remedies:
        total = total + s.lambda_lowpass * found["low_pass"]
    assert torch.isclose(found["loss"], total)


def test_a_one_sided_cycle_is_half_of_both():
    cycles = []
    for one_sided in (True, False):
        run = run_of("cyclegan", one_sided=one_sided)
        cycles.append(run.method.step(batch_of(run), 0)["cycle"])
    assert cycles[0] < cycles[1]


def test_white_noise_makes_different_noisy_images_of_one_clean_image():
    run = run_of("cyclegan")
    clean = batch_of(run).clean
    method = run.method
    assert isinstance(method, CycleGAN)
    images = [method.noised(clean, Batch(clean, None, k).generators(0)) for k in (1, 1, 2)]
    assert torch.equal(images[0], images[1])
    assert not torch.equal(images[0], images[2])


@pytest.mark.parametrize("network", ["unet", "cyclegan_resnet"])
def test_made_noise_averages_to_nothing(network, monkeypatch):
    options = "width = 4" if network == "unet" else "width = 4, blocks = 1"
    run = run_of("cyclegan", network=network, network_options=options)
    clean, method = batch_of(run).clean, run.method
    assert isinstance(method, CycleGAN)
    with torch.no_grad():  # as after a training: a new network makes none
        for weight in method.networks["noiser"].parameters():
            weight += 0.1 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(1))
    white = torch.randn((1, *clean.shape[2:]), generator=torch.Generator().manual_seed(0))
    made = []
    for sign in (1, -1):
        monkeypatch.setattr(torch, "randn", lambda *_, sign=sign, **__: sign * white)
        made.append(method.noised(clean, Batch(clean, None, 0).generators(0)).detach())
    assert (made[0] - clean).abs().max() > 1e-3
    assert torch.allclose((made[0] + made[1]) / 2, clean, atol=1e-6)


def test_a_patch_too_small_for_the_discriminators_is_refused():
    with pytest.raises(InputError, match="patches of 24 px"):
        run_of("cyclegan", patch=16)


def test_two_stages_follow_one_another():
    run = run_of("two-stage", unpaired_steps=2, steps=5, batch_size=1, final_batch_size=3)
    method = run.method
    sizes, firsts, moved = [], [], []
    for number in range(4):
        batch = batch_of(run, number)
        sizes.append(len(batch.noisy))
        firsts.append(batch.first)
        before = [weights(network) for network in (method.first.networks["noiser"], method.networks["denoiser"])]
        found = method.step(batch, number)
        after = [weights(network) for network in (method.first.networks["noiser"], method.networks["denoiser"])]
        moved.append(tuple(not torch.equal(a, b) for a, b in zip(before, after, strict=True)))
        assert ("pixel" in found) == (number >= 2)
    assert (sizes, firsts) == ([1, 1, 3, 3], [0, 1, 2, 5])
    assert moved == [(True, False), (True, False), (False, True), (False, True)]


def test_the_model_of_two_stages_comes_from_the_second_one():
    model = hush.train("two-stage", data_for("two-stage"), TINY_OF["two-stage"] | {"steps": 6, "validate_every": 1})
    assert model.card.training["weights_of_step"] == 6
    assert model.architecture == "unet"


@pytest.mark.parametrize("schedule", ["cosine", "linear", "constant"])
def test_learning_rates(schedule):
    settings = train_settings("supervised", {"schedule": schedule, "warmup": 10, "steps": 110, "learning_rate": 1.0})
    rates = [learning_rate(settings, number) for number in range(110)]
    assert rates[:3] == pytest.approx([0.1, 0.2, 0.3])
    assert rates[10] == pytest.approx(1.0)
    assert rates[59] == pytest.approx({"cosine": 0.52, "linear": 1.0, "constant": 1.0}[schedule], abs=0.02)
    assert rates[-1] == pytest.approx({"cosine": 0.01, "linear": 0.02, "constant": 1.0}[schedule], abs=0.01)
    assert all(a >= b for a, b in pairwise(rates[10:]))


@pytest.mark.parametrize("method", ["supervised", "noise2void", "noise2noise", "tomogan", "cyclegan"])
def test_training_goes_on_from_a_model_file(method, tmp_path):
    torch.manual_seed(3)
    start = hush.Model.create("unet", {"width": 4, "levels": 2}, card=hush.ModelCard(name="parent"))
    with torch.no_grad():
        for parameter in start.network.parameters():
            parameter.add_(0.01 * torch.randn_like(parameter))
    start.save(tmp_path / "start.safetensors")
    changes = {"start": str(tmp_path / "start.safetensors"), "steps": 1, "learning_rate": 1e-9, "warmup": 0}
    model = hush.train(method, data_for(method), TINY_OF[method] | changes)
    assert model.card.training["start"] == "parent"
    for old, new in zip(start.network.state_dict().values(), model.network.state_dict().values(), strict=True):
        assert torch.allclose(old, new, atol=1e-6)


def test_training_goes_on_from_a_bundled_model():
    model = hush.train("noise2void", data_for("noise2void"), TINY | {"start": "stem", "steps": 1, "batch_size": 1})
    assert model.architecture == hush.load_model("stem").architecture
    assert model.normalization == hush.load_model("stem").normalization


def test_a_model_with_other_channels_is_no_start(tmp_path):
    hush.Model.create("cnn", {"in_channels": 3, "out_channels": 3, "widths": [4]}).save(tmp_path / "rgb.safetensors")
    with pytest.raises(InputError, match="takes 3 channels"):
        hush.train("noise2void", with_noise(clean_images()), TINY | {"start": str(tmp_path / "rgb.safetensors")})


@pytest.mark.parametrize("name", PRESETS)
def test_presets_make_networks(name):
    preset = PRESETS[name]
    assert type(preset.settings) is METHODS[preset.method].settings
    with torch.device("meta"):
        assert NETWORKS[preset.settings.network](**preset.settings.options())
    text = train_settings_to_toml(preset.method, preset.settings)
    assert f'network = "{preset.settings.network}"' in text
    assert len([line for line in text.splitlines() if " = " in line]) == len(fields(preset.settings))


def test_settings_are_checked():
    for method, table, words in [
        ("supervised", {"patch": 4}, "patch must be"), ("supervised", {"ema": float("nan")}, "ema must be"),
        ("supervised", {"nothing": 1}, "unknown setting 'nothing'"), ("none", {}, "unknown method"),
        ("supervised", {"network_options": "width 4"}, "network_options must look like"),
        ("supervised", {"percentiles": (5, 1)}, "the lowest and the highest"),
        ("supervised", {"percentiles": (5, 5)}, "two rising numbers"),
        ("supervised", {"percentiles": (-1, 5)}, "from 0 to 100"), ("cyclegan", {"one_sided": 1}, "True or False"),
        ("two-stage", {"final_options": "width 4"}, "final_options must look like"),
        ("supervised", {"network": "none"}, "network must be one of cnn"),
        ("supervised", {"validation_share": 0.6, "test_share": 0.5}, "leave nothing"),
    ]:  # fmt: skip
        with pytest.raises(InputError, match=words):
            train_settings(method, table)
    with pytest.raises(InputError, match="do not fit the network unet"):
        hush.train("noise2void", with_noise(clean_images()), TINY | {"network_options": "depth = 4"})


def test_methods_use_networks_that_they_were_given():
    network = CNN(widths=[4])
    assert TomoGAN(train_settings("tomogan", {"patch": 16}), network).networks["denoiser"] is network
    assert UNet(width=4, levels=2).stride == 4
