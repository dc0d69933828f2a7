"""One plane judged at a glance, in lengths where the pixel size is known; and what was given back, in words."""

from __future__ import annotations

import re

import numpy as np
import pytest

from napari_hush import sample
from napari_hush.fidelity.evaluate import judge
from napari_hush.fidelity.glance import given_back_words, glance

FIELD = sample("dented-lattice")
NOISY, CLEAN = (image[:96, :96] for image in (FIELD.noisy, FIELD.clean))
LOSSY = CLEAN.copy()
LOSSY[30:60, 30:60] = CLEAN.mean()


class Watched:
    """An array that knows how much of it was read."""

    def __init__(self, array):
        self.array, self.read = array, 0
        self.shape, self.dtype = array.shape, array.dtype

    def __getitem__(self, key):
        part = self.array[key]
        self.read += part.size
        return part


def test_it_is_the_verdict_of_judge():
    seen = glance(NOISY, CLEAN)
    assert (seen.status, seen.words) == ("pass", judge(NOISY, CLEAN).verdict)
    assert glance(NOISY, LOSSY).status == "fail"


def test_what_the_model_takes_for_granted_is_said_with_it():
    seen = glance(NOISY, CLEAN, assumes="assumes a regular crystal")
    assert seen.words.endswith(". The model assumes a regular crystal")


def test_the_middle_plane_or_the_one_that_is_named():
    noisy, denoised = np.stack([NOISY] * 3), np.stack([LOSSY, CLEAN, LOSSY])
    assert glance(noisy, denoised).status == "pass"
    assert glance(noisy, denoised).words.endswith(" (plane 1)")
    assert glance(noisy, denoised, plane=(2,)).status == "fail"


def test_of_large_planes_the_middle_alone_is_read():
    rng = np.random.default_rng(0)
    noisy, denoised = (
        Watched(a) for a in (rng.poisson(20.0, (700, 900)).astype(np.float32), np.full((700, 900), 20.0))
    )
    seen = glance(noisy, denoised)
    assert seen.words.endswith("(middle 512 x 512 px)")
    assert noisy.read == denoised.read == 512 * 512


def test_a_place_is_told_in_pixels_of_the_whole_image():
    rng = np.random.default_rng(0)
    truth = np.full((700, 900), 100.0)
    truth[400:404, 500:504] = 200.0  # of the middle it would be y 306, x 306
    seen = glance(rng.poisson(truth).astype(np.float32), np.full((700, 900), 100.0))
    place = re.search(r"missing at x (\d+), y (\d+)", seen.words)
    assert seen.status == "fail" and place is not None
    assert abs(int(place[1]) - 501.5) < 4 and abs(int(place[2]) - 401.5) < 4


@pytest.mark.parametrize(("pixel_size", "unit"), [(None, "px"), (0.05, "nm"), (250.0, "µm")])
def test_the_finest_detail_is_a_length_where_the_pixel_size_is_known(pixel_size, unit):
    resolution = judge(NOISY, CLEAN).resolution
    length = resolution * {"px": 1, "nm": pixel_size, "µm": (pixel_size or 0) / 1000}[unit]
    words = glance(NOISY, CLEAN, pixel_size=pixel_size).words
    assert f"the detail down to {length:.2g} {unit} is carried by the counts" in words


def test_what_was_given_back_in_words():
    assert given_back_words({"given_back": {"share": 0.004, "rms": 1.0}}) == "given back: 0.4 % of the pixels"
    assert given_back_words({"given_back": {"share": 0.0, "rms": 0.0}}) == "nothing had to be given back"
    words = given_back_words({"given_back": {"pixels": 40}, "shape": [100, 100]})
    assert words == "given back: about 0.4 % of the pixels"
    assert given_back_words({"given_back": "withheld: it is small"}).endswith(
        "its noise is not understood (it is small)"
    )
    assert given_back_words({"given_back": False}) == given_back_words({}) == ""
