"""What is said of an image is true of images whose truth is known."""

from __future__ import annotations

import json

import numpy as np
import pytest

from napari_hush import InputError, describe, sample
from napari_hush.fidelity.about.order import kind_of
from napari_hush.inference.measure import MeasuredLattice, fitting_model
from napari_hush.inference.planes import Planes
from napari_hush.io.image import make_image
from napari_hush.synthesis import Lattice, render_lattice

RNG = np.random.default_rng(3)
PLAIN = 200 + 10 * RNG.standard_normal((160, 192))


def crystal(kind, period, **more):
    clean = render_lattice(Lattice(kind=kind, period=period, **more), (256, 256), 0).image
    return np.random.default_rng(0).poisson(30 * clean + 5).astype(np.float32)


def line(about, name):
    return next(one.words for one in about.lines if one.name == name)


@pytest.mark.parametrize(("kind", "told"), [("square", "square"), ("hexagonal", "hexagonal")])
def test_a_lattice_has_its_kind_and_its_period_in_px_and_nm(kind, told):
    found = describe(crystal(kind, 13.0), pixel_size=0.02).lattice
    assert (found.kind, found.grains) == (told, 1)
    assert found.period == pytest.approx(13.0, abs=0.1) and found.period_nm == pytest.approx(0.26, abs=0.002)


def test_pixels_that_are_no_squares_are_measured_in_nm():
    found = describe(crystal("square", 13.0), pixel_size=(0.04, 0.02)).lattice
    assert found.kind == "rectangular"
    assert found.period_nm in (pytest.approx(0.26, abs=0.002), pytest.approx(0.52, abs=0.004))


def test_grains_are_counted():
    assert describe(crystal("hexagonal", 11.0, grain_angle=25.0)).lattice.grains == 2


@pytest.mark.parametrize(
    ("vectors", "kind"),
    [
        ([[0, 10], [10.2, 0]], "square"),
        ([[0, 10], [14, 0.3]], "rectangular"),
        ([[0, 10], [9.5, 3.1]], "rhombic"),
        ([[0, 10], [12, 4]], "oblique"),
        ([[0, 10], [8.66, -5]], "hexagonal"),
    ],
)
def test_what_two_translations_span(vectors, kind):
    assert kind_of(np.array(vectors, float)) == kind


@pytest.mark.parametrize("name", ["dented-lattice", "cells", "foam"])
def test_the_model_and_its_reason_are_those_of_auto(name):
    noisy = sample(name).noisy
    advice = describe(noisy).advice
    assert (advice.model, advice.because) == fitting_model(MeasuredLattice(Planes(noisy).lowered(each=True), [0]))


@pytest.mark.parametrize("counts", [3, 20, 150])
def test_counts_are_told_to_a_factor_of_two(counts):
    y = np.linspace(0.3, 1.7, 256)[:, None] * np.ones(256)
    found = describe(np.random.default_rng(1).poisson(counts * y)).noise[0]
    assert 0.5 * counts < found.counts < 2 * counts and found.sigma == pytest.approx(counts**0.5, rel=0.1)


def test_noise_that_is_not_of_counts_has_a_deviation_alone():
    found = describe(PLAIN).noise[0]
    assert found.counts is None and found.sigma == pytest.approx(10, rel=0.05)
    assert not found.row_share and not found.along_rows


@pytest.mark.parametrize("level", [5.0, 10.0])
def test_rows_on_levels_of_their_own_have_their_share(level):
    about = describe(PLAIN + level * RNG.standard_normal((160, 1)))
    assert about.noise[0].row_share == pytest.approx(level**2 / (level**2 + 100), abs=0.12)
    assert about.advice.training == "targets"


def test_a_lattice_along_the_rows_is_no_noise_of_rows():
    y = np.arange(256)[:, None]
    x = np.arange(256)
    clean = 200 + 20 * (np.cos(2 * np.pi * y / 12) + np.cos(2 * np.pi * x / 12))
    about = describe(clean + 0.5 * RNG.standard_normal((256, 256)))
    assert not about.noise[0].row_share and about.lattice.kind == "square"


@pytest.mark.parametrize(("slowness", "told"), [(0.0, False), (0.7, True)])
def test_noise_that_neighbours_share_is_told(slowness, told):
    noise = RNG.standard_normal((200, 220))
    for column in range(1, 220):
        noise[:, column] += slowness * noise[:, column - 1]
    assert describe(100 + noise).noise[0].along_rows is told


def test_a_saturated_image_is_cut_off_above():
    found = describe(np.minimum(PLAIN, 205.0)).values[0]
    assert found.high_is_piled and not found.low_is_piled
    assert found.at_high == pytest.approx((PLAIN >= 205).mean()) and found.high == 205
    assert "cut off above 205" in found.ends_words


def test_zeros_may_be_cut_off_or_without_a_count():
    clipped = np.maximum(PLAIN - 200, 0)
    found = describe(clipped).values[0]
    assert found.low_is_piled and "are 0: cut off there, or without a count" in found.ends_words
    assert found.at_low == pytest.approx((clipped == 0).mean())
    shifted = describe(clipped + 16).values[0]
    assert "cut off below 16" in shifted.ends_words


def test_an_image_of_counts_is_not_cut_off():
    counted = describe(RNG.poisson(3, (200, 200)).astype(np.uint8)).values[0]
    assert not counted.low_is_piled and not counted.high_is_piled and "cut off" not in counted.ends_words


def test_holes_are_counted_and_no_values():
    image = PLAIN.copy()
    image[:16], image[20, 20] = np.nan, np.inf
    found = describe(image).values[0]
    assert found.holes == pytest.approx((16 * 192 + 1) / image.size) and found.high == PLAIN[16:].max()


@pytest.mark.parametrize(
    ("image", "because"),
    [
        (np.full((80, 80), 7, np.uint16), "all pixels have the same value"),
        (np.full((80, 80), np.nan, np.float32), "no pixel has a value"),
        (np.kron(np.arange(16).reshape(4, 4), np.ones((20, 20), int)), "it looks like labels"),
        (np.zeros((1, 1)), "all pixels have the same value"),
    ],
)
def test_where_there_is_nothing_to_denoise_no_model_is_named(image, because):
    about = describe(image)
    assert about.advice.model is None and about.advice.because.startswith(because)
    assert about.advice.training is None and about.lattice is None
    json.dumps(about.as_dict(), allow_nan=False)


def test_a_tiny_image_says_what_cannot_be_found():
    about = describe(RNG.normal(10, 1, (12, 9)))
    assert line(about, "noise").startswith("not found: the image is smaller than 48 px")
    assert about.advice.model == "general" and about.advice.training == "targets"


def test_a_bar_of_text_is_left_out():
    image = np.clip(PLAIN, 1, 250).astype(np.uint8)
    image[140:] = 0
    image[145:155, 20:90:3] = 255
    about = describe(image)
    assert about.bar == 20 and about.values[0].high < 255 and about.values[0].low > 0
    empty = image.copy()
    empty[140:] = 0  # a part without signal
    assert describe(empty).bar == 0


def test_a_period_that_the_model_was_not_trained_for_is_told():
    y, x = np.mgrid[:512, :512]
    clean = 200 + 60 * (np.cos(2 * np.pi * y / 80) + np.cos(2 * np.pi * x / 80))
    advice = describe(clean + 5 * RNG.standard_normal(clean.shape)).advice
    assert advice.model == "stem" and "trained for periods of" in advice.caution and advice.training == "targets"


def test_channels_are_told_apart_and_axes_come_from_the_file():
    data = np.stack([PLAIN, np.minimum(PLAIN, 205)]).astype(np.float32)
    about = describe(make_image(data, "CYX", {"Y": (0.5, "µm"), "X": (0.5, "µm")}, ""))
    assert (about.channels, about.axes, about.pixel_size) == (2, "CYX", (500.0, 500.0))
    assert "channel 1: cut off above 205" in line(about, "ends") and "500 nm" in line(about, "pixel size")


def test_no_image_is_refused():
    with pytest.raises(InputError, match="expected an image"):
        describe("image.tif")


def test_all_of_it_is_json():
    about = describe(sample("dented-lattice").noisy)
    again = json.loads(json.dumps(about.as_dict(), allow_nan=False))
    assert again["advice"]["model"] == "stem" and again["lattice"]["kind"] == about.lattice.kind
