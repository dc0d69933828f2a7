"""What is told of an image before it is denoised: the model that fits, its dose, its rows; and what does not fit."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage
from skimage import data

import napari_hush as hush
from napari_hush.fidelity.glance import given_back_words
from napari_hush.importers.registry import load_model
from napari_hush.inference.denoise import denoise_steps, run_steps
from napari_hush.inference.measure import MeasuredLattice, fitting_model, wrong_model
from napari_hush.inference.planes import Planes
from napari_hush.inference.settings import DenoiseSettings
from napari_hush.inference.streaks import count_projections
from napari_hush.synthesis.noise.streaks import SparseAngles
from napari_hush.synthesis.pictures.leaves import dead_leaves
from napari_hush.synthesis.pictures.slices import foam

CELLS = hush.sample("cells").clean / hush.sample("cells").clean.mean()
LATTICE = hush.sample("dented-lattice")


def measured(image):
    return MeasuredLattice(Planes(image.astype(np.float32)), [0])


@pytest.mark.parametrize("angles", [12, 30, 61])
@pytest.mark.parametrize("counts", [0, 200])
def test_streaks_are_counted_and_take_the_model_of_slices(angles, counts):
    rng = np.random.default_rng(angles)
    made = SparseAngles(n_angles=angles, counts=counts)(foam((192, 192), rng=rng), rng)
    assert count_projections(made) == angles
    name, reason = fitting_model(measured(made))
    assert name == "tomo" and reason == f"no lattice was found but the streaks of {angles} projections"


def test_streaks_that_a_model_takes_away_do_not_come_back():
    rng = np.random.default_rng(0)
    made = SparseAngles(n_angles=30, counts=20_000)(foam((192, 192), rng=rng), rng).astype(np.float32)
    done = run_steps(denoise_steps(made, "tomo", DenoiseSettings(engine="torch")))
    alone = hush.denoise(made, "tomo", engine="torch", guard=False)
    np.testing.assert_array_equal(done.image, alone)
    words = "the streaks of 30 projections stand out of the noise, and are not of the sample"
    assert done.provenance["given_back"] == f"withheld: {words}"
    assert given_back_words(done.provenance) == f"nothing was given back: {words}"
    assert not np.array_equal(hush.denoise(made, "tomo", engine="torch", guard=True), alone)


def noisy(image, kind, rng):
    image = (image - image.min()) / np.ptp(image)
    if kind == "counts":
        return rng.poisson(20 * image).astype(float)
    if kind == "rows":
        return image + rng.normal(0, 0.05, (len(image), 1)) + rng.normal(0, 0.03, image.shape)
    if kind == "grain":
        return image + ndimage.gaussian_filter(rng.normal(0, 0.3, image.shape), 1)
    return image + rng.normal(0, 0.1, image.shape) if kind == "gauss" else image


@pytest.mark.parametrize("kind", ["none", "counts", "gauss", "rows", "grain"])
def test_nothing_else_has_streaks(kind):
    rng = np.random.default_rng(0)
    pictures = {name: getattr(data, name)() for name in ("camera", "coins", "brick", "text", "page", "checkerboard")}
    pictures |= {"cells": CELLS, "lattice": LATTICE.clean, "leaves": dead_leaves((256, 256), rng=rng)}
    pictures |= {"foam": foam((256, 256), rng=rng), "stars": rng.random((256, 256)) ** 200}
    for name, picture in pictures.items():
        assert count_projections(noisy(np.asarray(picture, float), kind, rng)) is None, name
    assert count_projections(np.zeros((128, 128))) is count_projections(np.eye(40)) is None


@pytest.mark.parametrize("dose", [2, 20, 200])
def test_the_dose_is_told_within_a_factor_of_two(dose):
    rng = np.random.default_rng(0)
    counted = rng.poisson(LATTICE.clean / LATTICE.clean.mean() * dose)
    for gain, offset in ((1, 0), (3, 100)):
        name, reason = fitting_model(measured(gain * counted + offset))
        assert name == "stem" and reason.startswith("a lattice of 12 px was found (about ")
        assert dose / 2 <= float(reason.partition("about ")[2].split()[0].replace(",", "")) <= 2 * dose


def test_noise_of_another_kind_has_no_dose_and_uneven_rows_are_told():
    rng = np.random.default_rng(0)
    plain = 10 * CELLS + rng.normal(0, 1, CELLS.shape)
    assert fitting_model(measured(plain)) == ("general", "no lattice was found")
    rows = plain + rng.normal(0, 1, (len(plain), 1))
    assert fitting_model(measured(rows)) == ("general", "no lattice was found (rows on levels of their own)")


def test_a_model_that_does_not_suit_the_image_is_told():
    lattice, cells = measured(LATTICE.noisy), measured(hush.sample("cells").noisy)
    stem, general = load_model("stem"), load_model("general")
    assert wrong_model(lattice, stem) == wrong_model(cells, general) == ""
    assert (
        wrong_model(lattice, general)
        == "a lattice of 12 px was found: 'stem' is the model for lattices, 'general' knows none"
    )
    assert "no lattice was found" in wrong_model(cells, stem) and "'general'" in wrong_model(cells, stem)
