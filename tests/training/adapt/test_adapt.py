"""Adapting a model: what is learned, what is kept, and what is refused."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import ndimage

import napari_hush as hush
from napari_hush.card import ModelCard, Scale
from napari_hush.errors import InputError
from napari_hush.inference.loaded import LoadedModels
from napari_hush.inference.settings import DenoiseSettings
from napari_hush.model import Model
from napari_hush.progress import drain
from napari_hush.training.adapt import subjects
from napari_hush.training.adapt.adapt import adapt_steps
from napari_hush.training.adapt.fields import GAP, Lessons
from napari_hush.training.adapt.held import HeldOut
from napari_hush.training.adapt.settings import AdaptSettings
from napari_hush.training.adapt.subjects import Look

pytestmark = pytest.mark.slow  # networks are trained

QUICK = AdaptSettings(steps=4, checks=2, patch=32, batch_size=2, learning_rate=1e-2, device="cpu")
SIDE = 112


def clean_image(seed=0):
    image = ndimage.gaussian_filter(np.random.default_rng(seed).random((SIDE, SIDE)), 5, mode="wrap")
    return ((image - image.min()) / np.ptp(image)).astype(np.float32)


def noisy_image(seed=1, clean=None):
    clean = clean_image() if clean is None else clean
    return (clean + np.random.default_rng(seed).normal(0, 0.2, clean.shape)).astype(np.float32)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    card = ModelCard(name="tiny", limits=["tests"], licence="MIT")
    return Model.create("unet", {"width": 4, "levels": 2}, card=card)


def subject_of(image, model, **options):
    with LoadedModels(DenoiseSettings()) as loaded:
        steps = subjects.subject_steps("it", image, model, DenoiseSettings(), loaded, **{"repeats": None} | options)
        return drain(steps)


def test_poor_model_becomes_better_and_says_from_what(model):
    before = {name: value.clone() for name, value in model.network.state_dict().items()}
    done = hush.adapt(noisy_image(), model, replace(QUICK, steps=50), names=["scan.tif"])
    error = [np.mean((hush.denoise(noisy_image(), one) - clean_image()) ** 2) for one in (model, done.model)]
    assert done.kept and error[1] < 0.8 * error[0]
    assert done.model.card.name == "tiny-adapted" and done.model.card.licence == "MIT"
    assert "this sample and this instrument" in done.model.card.limits[0] and done.model.card.limits[1] == "tests"
    training = done.model.card.training
    assert training["start"] == "tiny" and training["images"] == ["scan.tif"] and training["steps"] == 50
    assert list(training["held_out"]) == ["drawn", "exchanged", "moved"]
    assert all(way["gain"] > way["error"] > 0 for way in training["held_out"].values())
    assert all(torch.equal(value, before[name]) for name, value in model.network.state_dict().items())


def test_model_that_is_not_clearly_better_is_not_kept(model):
    done = hush.adapt(noisy_image(), model, replace(QUICK, learning_rate=0.0))
    assert done.model is model and not done.kept
    assert "nothing was clearly better" in done.words


def test_model_that_the_evidence_is_against_is_not_kept(model, monkeypatch):
    looks = iter(["pass", *["warn"] * 10])

    def look_steps(self, model, settings):
        yield from ()
        return Look(next(looks), 0, "something is missing")

    monkeypatch.setattr(subjects.Subject, "look_steps", look_steps)
    done = hush.adapt(noisy_image(), model, replace(QUICK, steps=8))
    assert done.model is model and not done.kept
    assert "worse than before (warn: something is missing)" in done.words


@pytest.mark.parametrize(
    ("old", "new", "worse"),
    [("pass", "pass", False), ("pass", "warn", True), ("warn", "pass", False), ("fail", "warn", False),
     ("warn", "fail", True), ("pass", "open", True)],
)  # fmt: skip
def test_verdicts_have_an_order(old, new, worse):
    assert Look(new, 0, "").worse_than(Look(old, 0, "")) is worse


def test_more_failures_are_worse():
    assert Look("fail", 3, "").worse_than(Look("fail", 2, ""))


def test_frames_of_one_field_teach_one_another_whatever_their_noise(model):
    smooth = ndimage.gaussian_filter(np.random.default_rng(5).normal(0, 1, (3, SIDE, SIDE)), (0, 1, 1))
    frames = (clean_image() + smooth).astype(np.float32)  # a grain, which cannot be drawn anew
    denoiser = replace(model, network=_Smooth())
    done = hush.adapt(np.moveaxis(frames, 0, -1), denoiser, replace(QUICK, repeats=-1, learning_rate=0.0))
    assert done.record["learned_from"] == "repeats" and not done.kept


def test_frames_of_two_fields_are_refused(model):
    frames = np.stack([noisy_image(), noisy_image(clean=clean_image(7))])
    with pytest.raises(InputError, match="frames of one field, but frame 2"):
        subject_of(frames, replace(model, network=_Smooth()), repeats=0).fields(repeats=True)


@pytest.mark.parametrize(("shape", "axis"), [((SIDE, SIDE), 0), ((1, SIDE, SIDE), 0), ((2, SIDE, SIDE), 3)])
def test_repeats_need_a_stack(model, shape, axis):
    with pytest.raises(InputError, match="stack of two or more frames"):
        hush.adapt(np.zeros(shape, np.float32), model, replace(QUICK, repeats=axis))


def test_noise_that_cannot_be_drawn_anew_is_refused(model):
    grain = ndimage.gaussian_filter(np.random.default_rng(0).normal(0, 1, (SIDE, SIDE)), 1)
    with pytest.raises(InputError, match=r"scan\.tif: expected noise that can be drawn anew.*repeats=0"):
        hush.adapt((clean_image() + grain).astype(np.float32), model, QUICK, names=["scan.tif"])


def test_model_that_leaves_noise_in_is_not_asked_what_the_noise_is(model):
    untouched = subject_of(noisy_image(), model)  # an untrained network gives back what it was given
    field = untouched.fields(repeats=False)[0]
    assert field.noise.model.variance(np.array([0.5]))[0] == pytest.approx(0.04, rel=0.15)


def test_networks_that_patches_cannot_train_are_refused(model):
    torch.manual_seed(0)
    beside = Model.create("unet", {"width": 4, "levels": 2, "in_channels": 3}, companions="lattice")
    colours = Model.create("unet", {"width": 4, "levels": 2, "in_channels": 3, "out_channels": 3})
    normed = Model.create("cyclegan_resnet", {"width": 4, "blocks": 1})
    for one, words in ((beside, "companions"), (colours, "single grey"), (normed, "statistics of the whole image")):
        with pytest.raises(InputError, match=words):
            hush.adapt(noisy_image(), one, QUICK)


def test_patches_are_smaller_where_the_image_is(model):
    done = hush.adapt(noisy_image()[:, :72], model, replace(QUICK, patch=96))
    assert done.record["steps"] == QUICK.steps


def test_image_too_small_for_a_patch_is_refused(model):
    with pytest.raises(InputError, match="too few to train on"):
        hush.adapt(noisy_image()[:48], model, QUICK)


def test_leaving_the_loop_cancels(model):
    steps = adapt_steps(noisy_image(), model, QUICK)
    while not next(steps).losses:
        pass
    steps.close()
    assert not any(p.requires_grad for p in model.network.parameters())


def test_patches_follow_from_their_number_and_spare_what_is_held_out(model):
    subject = subject_of(noisy_image(), model)
    lessons = Lessons(subject.fields(repeats=False), QUICK, 32, scale=None, fingerprint="")
    one, again, other = (lessons.draw(number) for number in (5, 5, 6))
    assert np.array_equal(one.noisy, again.noisy) and not np.array_equal(one.noisy, other.noisy)
    assert one.noisy.shape == one.clean.shape == (1, 32, 32)
    first, bottom = lessons.held_rows(0)
    assert (first, bottom) == (SIDE - round(0.2 * SIDE), SIDE)
    assert lessons._areas[0][1] == first - GAP


def test_model_of_lattices_sees_them_at_its_own_scale(model):
    y, x = np.mgrid[:SIDE, :SIDE]
    image = noisy_image(clean=(1 + np.cos(y * 2 * np.pi / 10) * np.cos(x * 2 * np.pi / 10)).astype(np.float32))
    scaled = replace(model, scale=Scale(lowest=5, highest=50, period=20.0))
    subject = subject_of(image, scaled)
    field = subject.fields(repeats=False)[0]
    assert subject.plan.scaled.factor == pytest.approx(2, rel=0.05) or subject.plan.scaled.factor > 1.3
    assert field.region[1] == subject.plan.scaled.seen_shape[0]
    noisy, target = field.pair(np.random.default_rng(0), slice(0, 64), slice(0, 48))
    assert noisy.shape == target.shape == (1, 64, 48)
    assert np.std(target - noisy) > np.std(noisy - field.seen.values(slice(0, 64), slice(0, 48)))


def test_held_out_part_tells_the_better_network(model):
    subject = subject_of(noisy_image(), model)
    lessons = Lessons(subject.fields(repeats=False), QUICK, 32, scale=None, fingerprint="")
    held = HeldOut(lessons, 4, 8, torch.nn.Conv2d(1, 1, 1))
    same = HeldOut(lessons, 4, 8, _Smooth())
    assert held.compare(_Smooth()).clear
    assert same.compare(_Smooth()).least.gain == 0 and not same.compare(_Smooth()).clear


def test_held_out_part_is_not_fooled_by_noise_that_is_more_skewed_than_thought(model):
    noise = 0.1 * (np.random.default_rng(3).exponential(1, (SIDE, SIDE)) - 1)
    subject = subject_of((clean_image() + noise).astype(np.float32), replace(model, network=_Smooth()))
    field = subject.fields(repeats=False)[0]
    field = replace(field, noise=replace(field.noise, skewness=0.0))
    held = HeldOut(Lessons([field], QUICK, 32, scale=None, fingerprint=""), 4, 8, _Smooth())
    gains = held.compare(_Spiky())
    drawn, exchanged, moved = gains.each
    assert drawn.clear  # what was thought of the noise is wrong, and learned
    assert exchanged.gain < 0 and moved.gain < 0
    assert not gains.clear and gains.least.way != "drawn"


def test_held_out_part_is_not_fooled_by_noise_that_rows_share(model):
    white = np.random.default_rng(3).normal(0, 0.1, (SIDE + 2, SIDE))
    noise = white[1:-1] + 0.03 * (white[2:] + white[:-2])  # less than is told to be a grain
    subject = subject_of((clean_image() + noise).astype(np.float32), replace(model, network=_Smooth()))
    held = HeldOut(Lessons(subject.fields(repeats=False), QUICK, 32, scale=None, fingerprint=""), 4, 8, _Smooth())
    drawn, _, moved = held.compare(_Rows()).each
    assert drawn.clear and moved.gain < 0.4 * drawn.gain  # a little of the image comes back, too


class _Smooth(torch.nn.Module):
    """A mean over 9 x 9 px, which a model can hold in place of its network."""

    in_channels = out_channels = 1
    stride, halo, live_channels = 4, 8, 1

    def __init__(self):
        super().__init__()
        self.kernel = torch.nn.Parameter(torch.full((1, 1, 9, 9), 1 / 81))

    def forward(self, image):
        return torch.nn.functional.conv2d(torch.nn.functional.pad(image, (4,) * 4, mode="reflect"), self.kernel)


class _Spiky(_Smooth):
    """Puts on top of a mean what is large of the noise, whatever its sign: that predicts noise that is skewed."""

    def forward(self, image):
        smooth = super().forward(image)
        return smooth + 1.0 * ((image - smooth) ** 2 - ((image - smooth) ** 2).mean())


class _Rows(_Smooth):
    """Puts on top of a mean what the rows above and below have more."""

    def forward(self, image):
        rows = (torch.roll(image, 1, 2) + torch.roll(image, -1, 2)) / 2
        smooth = super().forward(image)
        return smooth + 0.04 * (rows - smooth)
