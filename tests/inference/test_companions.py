"""Companions: means over a crystal's translations, alike in every tile, in the model file, in a training."""

import json
from dataclasses import replace

import numpy as np
import pytest
from safetensors import safe_open

import napari_hush as hush
from napari_hush.card import HEADER_KEY
from napari_hush.inference.companions import Crystal, LatticeCompanions, companions_of, measured_companions
from napari_hush.inference.denoise import denoise_steps, run_steps
from napari_hush.inference.settings import DenoiseSettings
from napari_hush.model import Model
from napari_hush.normalize import NormalizationRule
from napari_hush.synthesis import Lattice, render_lattice


def noisy_lattice(shape=(120, 136), seed=0, dose=30, **lattice):
    image = render_lattice(Lattice(**{"kind": "square", "period": 11.3, "angle": 12.0} | lattice), shape, seed).image
    return (np.random.default_rng(seed).poisson(dose * image) / dose).astype(np.float32)


def measured(image):
    return LatticeCompanions.measured_on(image)


def whole(shape, vectors):
    return LatticeCompanions(shape, (Crystal(np.array(vectors, float), (slice(0, shape[0]), slice(0, shape[1]))),))


def with_companions(**metadata):
    return Model.create("tomogan", {"in_channels": 3}, companions="lattice", **metadata)


def test_near_is_the_mean_of_the_eight_nearest_translations():
    image = np.random.default_rng(0).random((60, 70)).astype(np.float32)
    near, _ = whole(image.shape, [(7, 0), (0, 9)]).of(image)
    steps = [(7 * i, 9 * j) for i in (-1, 0, 1) for j in (-1, 0, 1) if (i, j) != (0, 0)]
    for y, x in ((30, 35), (20, 40)):
        assert near[y, x] == pytest.approx(np.mean([image[y + v, x + u] for v, u in steps]), abs=1e-6)


def test_far_leaves_the_image_out_and_looks_four_periods_away():
    image = np.zeros((101, 101), np.float32)
    image[50, 50] = 1
    _, far = whole(image.shape, [(10, 0), (0, 10)]).of(image)
    assert abs(far[50, 50]) < 1e-6
    assert far[50, 90] > 0.01  # four periods
    assert abs(far[50, 100]) < 1e-6  # five


def test_border_is_normalised_by_the_copies_that_are_there():
    clean = render_lattice(Lattice(period=12.0, displacement=0.0, background=0.2), (96, 96), 0).image
    found = measured(clean)
    for one in found.of(clean):
        assert np.abs(one - clean).max() < 0.12  # what sharing a translation between four pixels smears


def test_holes_are_nobodys_companions():
    image = noisy_lattice()
    hole = np.zeros(image.shape, bool)
    hole[40:80, 50:90] = True
    spoilt = np.where(hole, 50.0, image)
    found = measured(image)
    for one in found.of(spoilt, ~hole):
        assert np.abs(one[~hole]).max() < 3
    plain = found.of(image)
    far_off = np.zeros(image.shape, bool)
    far_off[:, 136 - 40 :] = True
    np.testing.assert_allclose(
        found.of(spoilt, ~hole)[0][far_off & ~hole][-50:], plain[0][far_off & ~hole][-50:], atol=1e-5
    )


def test_without_a_lattice_the_image_is_its_own_companion():
    image = np.random.default_rng(0).normal(size=(64, 64)).astype(np.float32)
    found = measured(image)
    assert found.crystals == ()
    np.testing.assert_allclose(found.of(image), np.stack([image, image]))


def test_every_grain_has_its_own_translations():
    image = noisy_lattice((256, 256), kind="hexagonal", period=11.0, grain_angle=25.0, dose=60)
    found = measured(image)
    assert len(found.crystals) == 2
    near, _ = found.of(image)
    for crystal in found.crystals:
        assert np.corrcoef(near[crystal.mask], image[crystal.mask])[0, 1] > 0.6


def test_large_planes_are_searched_in_windows_that_cover_them():
    image = noisy_lattice((80, 1700), period=12.0)
    found = measured(image)
    assert len(found.crystals) == 2
    assert [crystal.box[1] for crystal in found.crystals] == [slice(0, 850), slice(850, 1700)]
    part = found.read(lambda y, x: image[y, x], slice(10, 50), slice(800, 900))
    np.testing.assert_allclose(part, found.of(image)[:, 10:50, 800:900], atol=1e-5)


@pytest.mark.parametrize("turn", [False, True])
@pytest.mark.parametrize(("up", "over"), [(False, True), (True, False), (True, True)])
def test_turned_image_has_turned_companions(up, over, turn):
    image = noisy_lattice((256, 240), kind="hexagonal", grain_angle=25.0, dose=60)
    found = measured(image)

    def move(plane):
        plane = plane[:: -1 if up else 1, :: -1 if over else 1]
        return plane.T if turn else plane

    made = found.turned(up=up, over=over, turn=turn).of(np.ascontiguousarray(move(image)))
    np.testing.assert_allclose(made, [move(one) for one in found.of(image)], atol=1e-5)


def test_what_stands_on_a_pedestal_keeps_its_digits():
    image = noisy_lattice().astype(np.float64)
    found = measured(image)
    np.testing.assert_allclose(found.of(image + 1e7) - 1e7, found.of(image), atol=1e-5)


def test_companions_of_a_plane_fill_its_holes():
    image = noisy_lattice()
    image[10:14, 10:14] = np.nan
    plane = lambda y, x: image[None, y, x]  # noqa: E731
    found = measured_companions(plane, image.shape, 0.5)
    read = companions_of(found, plane, 0.5, lambda y, x: np.isfinite(image[None, y, x]))
    made = read(slice(0, 40), slice(0, 40))
    assert made.shape == (2, 40, 40)
    assert np.isfinite(made).all()


@pytest.mark.parametrize("dtype", ["float32", "uint16", "float64"])
@pytest.mark.parametrize("grains", [0.0, 25.0])
def test_tiled_equals_whole(dtype, grains):
    image = noisy_lattice((208, 216), kind="hexagonal", grain_angle=grains, dose=60)
    image = (1000 * image).astype(dtype)
    if dtype != "uint16":
        image[60:90, 100:130] = np.nan
    model = with_companions()
    options = {"guard": False, "rescale": False, "precision": "float32", "device": "cpu"}
    once = hush.denoise(image, model, tile=False, **options)
    tiled = hush.denoise(image, model, tile=64, **options)
    np.testing.assert_allclose(tiled, once, rtol=0, atol=1e-5 * np.nanmax(np.abs(once)))


def test_tiled_equals_whole_at_another_scale():
    image = noisy_lattice((150, 170), period=8.3)
    model = with_companions(scale=hush.load_model("stem").scale)
    options = {"guard": True, "precision": "float32", "device": "cpu"}
    once = hush.denoise(image, model, tile=False, **options)
    tiled = hush.denoise(image, model, tile=64, **options)
    np.testing.assert_allclose(tiled, once, rtol=0, atol=2e-5 * np.abs(once).max())


def test_companions_change_the_result():
    image = noisy_lattice()
    model = with_companions()
    plain = replace(model, companions="none", network=Model.create("tomogan", {}).network, hyperparameters={})
    options = {"guard": False, "rescale": False, "precision": "float32"}
    with_them, without = hush.denoise(image, model, **options), hush.denoise(image, plain, **options)
    assert not np.allclose(with_them, without)


def test_region_is_the_same_as_in_the_whole():
    image = noisy_lattice((160, 180))
    model = with_companions()
    options = {"guard": False, "rescale": False, "precision": "float32", "device": "cpu"}
    whole_image = hush.denoise(image, model, **options)
    part = run_steps(denoise_steps(image, model, DenoiseSettings(**options), region=(30, 90, 100, 170)))
    scale = np.abs(whole_image).max()
    np.testing.assert_allclose(part.image, whole_image[30:90, 100:170], rtol=0, atol=1e-5 * scale)


def test_file_says_what_the_network_wants(tmp_path):
    model = with_companions(normalization=NormalizationRule(method="percentile"))
    model.save(tmp_path / "regular.safetensors")
    again = Model.load(tmp_path / "regular.safetensors")
    assert again.companions == "lattice"
    assert (again.in_channels, again.image_channels, again.out_channels) == (3, 1, 1)


def test_older_programs_read_models_without_companions(tmp_path):
    for name, model in (("plain", Model.create("tomogan")), ("regular", with_companions())):
        model.save(tmp_path / f"{name}.safetensors")
    headers = {}
    for name in ("plain", "regular"):
        with safe_open(tmp_path / f"{name}.safetensors", framework="numpy") as file:
            headers[name] = json.loads(file.metadata()[HEADER_KEY])
    assert headers["plain"]["version"] == 1
    assert "companions" not in headers["plain"]
    assert headers["regular"]["version"] == 2


def test_network_without_room_for_companions_is_refused():
    with pytest.raises(hush.InputError, match="takes 2 channels more than it gives"):
        Model.create("tomogan", {"in_channels": 2}, companions="lattice")


def test_colours_are_denoised_one_by_one():
    image = np.stack([noisy_lattice(seed=k) for k in range(3)], axis=-1)
    model = with_companions()
    out = hush.denoise(image, model, channel_axis=-1, guard=False, rescale=False, precision="float32", device="cpu")
    assert out.shape == image.shape
    assert np.isfinite(out).all()


def test_record_says_what_is_taken_for_granted():
    image = noisy_lattice((64, 64))
    options = DenoiseSettings(guard=False, rescale=False, precision="float32", device="cpu")
    done = run_steps(denoise_steps(image, with_companions(), options))
    assert "assumes a regular crystal" in done.provenance["assumes"]
    assert run_steps(denoise_steps(image, Model.create("tomogan"), options)).provenance["assumes"] is None
