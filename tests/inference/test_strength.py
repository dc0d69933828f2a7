"""The strength of a result: a share of what was taken away, the same in every way of running."""

from __future__ import annotations

import os
import shlex
from dataclasses import asdict, replace

import numpy as np
import pytest
import zarr

import napari_hush as hush
from napari_hush import cli
from napari_hush.card import ModelCard, Scale
from napari_hush.errors import InputError
from napari_hush.inference.denoise import denoise_steps
from napari_hush.inference.settings import DenoiseSettings
from napari_hush.inference.strength import blended
from napari_hush.io import read_image, write_image
from napari_hush.io.history import read_history
from napari_hush.model import Model
from napari_hush.progress import drain
from napari_hush.synthesis import Lattice, render_lattice
from napari_hush.synthesis.noise.registry import Poisson

SHARE = 0.3
PLAIN = {"engine": "torch", "device": "cpu"}
LATTICE = hush.sample("dented-lattice").noisy[:160, :128]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    import torch

    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("models") / "tiny.safetensors"
    Model.create("cnn", {"widths": (2,)}, card=ModelCard(name="tiny")).save(path)
    return path


def with_gap(image):
    image = image.astype(np.float32)
    image[20:30, 40:60], image[5, 5] = np.nan, np.inf
    return image


CASES = {
    "whole": (LATTICE, {"tile": False}),
    "tiles": (LATTICE, {"tile": 32}),
    "guard": (LATTICE, {"guard": True}),
    "no guard": (LATTICE, {"guard": False}),
    "integers": (np.random.default_rng(0).poisson(40, (96, 80)).astype(np.uint16), {}),
    "gaps": (with_gap(LATTICE), {}),
    "masked": (np.ma.MaskedArray(LATTICE, LATTICE > np.percentile(LATTICE, 99)), {}),
    "stack": (np.stack([LATTICE, LATTICE[::-1]]), {"frames": False}),
    "series": (hush.sample("stack").noisy[:4, :96, :96], {"frames": 3}),
    "dyes": (np.stack([LATTICE, 3 * LATTICE]), {"channel_axis": 0}),
    "dark": (LATTICE.max() - LATTICE, {"dark": True}),
}


@pytest.mark.parametrize("case", CASES)
def test_it_lies_between_the_noisy_and_the_denoised_image(tiny, case):
    image, options = CASES[case]
    full = hush.denoise(image, tiny, **PLAIN, **options)
    made = hush.denoise(image, tiny, **PLAIN, **options, strength=SHARE)
    assert made.dtype == full.dtype
    np.testing.assert_array_equal(np.ma.getdata(made), blended(np.ma.getdata(image), np.ma.getdata(full), SHARE))
    np.testing.assert_array_equal(np.ma.getmaskarray(made), np.ma.getmaskarray(full))
    inside = np.isfinite(np.ma.filled(full, np.nan))
    assert not np.array_equal(np.ma.getdata(made)[inside], np.ma.getdata(full)[inside])


def test_another_scale_of_the_lattice(tiny):
    clean = render_lattice(Lattice(period=8.0, angle=20, background=0.1), (200, 180), 0).image
    image = Poisson(dose=40)(clean, np.random.default_rng(0))
    model = replace(hush.load_model(tiny), scale=Scale(lowest=5, highest=40, period=12))
    options = {**PLAIN, "rescale": True, "guard": False}
    full = hush.denoise(image, model, **options)
    np.testing.assert_array_equal(hush.denoise(image, model, **options, strength=SHARE), blended(image, full, SHARE))


def test_a_pedestal_keeps_its_steps(tiny):
    image = 1e7 + LATTICE.astype(np.float64)
    with pytest.warns(UserWarning, match="float64"):
        full = hush.denoise(image, tiny, **PLAIN)
    with pytest.warns(UserWarning, match="float64"):
        made = hush.denoise(image, tiny, **PLAIN, strength=SHARE)
    assert made.dtype == np.float64
    np.testing.assert_allclose(made, blended(image, full, SHARE), rtol=0, atol=1e-5 * np.ptp(LATTICE))


def test_a_network_with_statistics_of_the_whole_image(small_cyclegan):
    full = hush.denoise(LATTICE, small_cyclegan, **PLAIN, tile=64, guard=False)
    made = hush.denoise(LATTICE, small_cyclegan, **PLAIN, tile=64, guard=False, strength=SHARE)
    np.testing.assert_array_equal(made, blended(LATTICE, full, SHARE))


@pytest.fixture(scope="module")
def small_cyclegan():
    import torch

    torch.manual_seed(0)
    return Model.create("cyclegan_resnet", {"width": 4, "blocks": 1})


def test_a_region_has_the_pixels_of_the_whole(tiny):
    settings = DenoiseSettings(**PLAIN, strength=SHARE)
    whole = hush.denoise(LATTICE, tiny, **PLAIN, strength=SHARE)
    part = drain(denoise_steps(LATTICE, tiny, settings, region=(16, 80, 32, 96), plane=())).image
    np.testing.assert_array_equal(part, whole[16:80, 32:96])


def test_chunks_that_were_never_stored_stay_empty(tiny, tmp_path):
    array = zarr.create_array(tmp_path / "s.zarr", shape=(96, 96), chunks=(48, 48), dtype="float32", fill_value=7.0)
    array[:48, :48] = LATTICE[:48, :48]
    image = read_image(tmp_path / "s.zarr", fill_missing=True)
    made = hush.denoise(image.data, tiny, **PLAIN, strength=SHARE)
    assert (made[48:, 48:] == 7.0).all()


def test_what_was_given_back_is_weakened_too(tiny):
    done = [
        drain(denoise_steps(LATTICE, tiny, DenoiseSettings(**PLAIN, guard=True, strength=one))) for one in (1.0, SHARE)
    ]
    if done[0].given_back is None:
        pytest.fail("the guard gave nothing back: take another image")
    np.testing.assert_allclose(done[1].given_back, np.float32(SHARE) * done[0].given_back)


def test_one_costs_nothing_and_nothing_is_the_noisy_image(tiny):
    values = np.random.default_rng(0).random((3, 4), np.float32)
    assert blended(values + 1, values, 1.0) is values
    np.testing.assert_array_equal(hush.denoise(LATTICE, tiny, **PLAIN, strength=0), LATTICE)
    for wrong in (-0.1, 1.5, float("nan"), "half"):
        with pytest.raises(InputError, match="strength"):
            DenoiseSettings(strength=wrong)


def test_commands_say_it_and_repeat_it(tiny, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_image("scan.tif", LATTICE)
    words = ["denoise", "scan.tif", "--model", str(tiny), "--no-verdict", "--device", "cpu", "--engine", "torch"]
    assert cli.main([*words, "--strength", "0.3"]) == 0
    assert "strength 0.3" in capsys.readouterr().out
    expected = hush.denoise(LATTICE, tiny, **PLAIN, strength=SHARE)
    np.testing.assert_array_equal(read_image("scan_denoised.tif").data, expected)
    assert read_history("scan_denoised.tif")["settings"] == asdict(DenoiseSettings(**PLAIN, strength=SHARE))
    assert cli.main(["info", "scan_denoised.tif"]) == 0
    said = capsys.readouterr().out
    assert "0.3 of what was taken away" in said
    again = next(line.partition("again with")[2] for line in said.splitlines() if "again with" in line)
    assert cli.main([*shlex.split(again)[1:], *words[4:], "-o", "again.zarr"]) == 0
    np.testing.assert_array_equal(np.asarray(read_image("again.zarr").data), expected)


@pytest.mark.skipif(os.name == "nt", reason="needs fork")
def test_shards_do_it_too(tiny, tmp_path):
    write_image(tmp_path / "scan.zarr", LATTICE)
    words = ["denoise", str(tmp_path / "scan.zarr"), "-o", str(tmp_path / "out.zarr"), "--model", str(tiny)]
    words += ["--no-verdict", "--device", "cpu", "--engine", "torch", "--tile", "64", "--strength", "0.3"]
    for shard in ("1/2", "2/2"):
        assert cli.main([*words, "--shard", shard]) == 0
    expected = hush.denoise(LATTICE, tiny, **PLAIN, tile=64, strength=SHARE)
    np.testing.assert_array_equal(np.asarray(read_image(tmp_path / "out.zarr").data), expected)
