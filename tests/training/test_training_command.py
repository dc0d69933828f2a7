"""``napari-hush train``: every setting an option, one-line errors, Ctrl-C that says how to go on."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import fields, replace

import pytest
import tifffile
from training_images import TINY, clean_images, with_noise

import napari_hush as hush
from napari_hush import cli
from napari_hush.errors import InputError
from napari_hush.training.methods.registry import METHODS
from napari_hush.training.presets import PRESETS
from napari_hush.training.settings_file import read_train_settings

OPTIONS = [f"--{name.replace('_', '-')}={value}" for name, value in TINY.items()]


@pytest.fixture
def images(tmp_path):
    clean = clean_images()
    tifffile.imwrite(tmp_path / "noisy.tif", with_noise(clean))
    tifffile.imwrite(tmp_path / "clean.tif", clean)
    return str(tmp_path / "noisy.tif"), str(tmp_path / "clean.tif")


def run(capsys, *arguments):
    code = cli.main(["train", *map(str, arguments)])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def complaint(err):
    lines = [line for line in err.splitlines() if line.startswith("napari-hush: error")]
    assert len(lines) == 1
    return lines[0]


def test_a_model_is_trained_from_two_files(images, tmp_path, capsys):
    out = tmp_path / "model.safetensors"
    code, text, _ = run(capsys, "supervised", *images, "-o", out, *OPTIONS)
    assert code == 0
    assert "on held-out images psnr" in text
    assert hush.Model.load(out).card.name == "model"
    assert read_train_settings("supervised", tmp_path / "model.toml").patch == 16
    again = tmp_path / "again.safetensors"
    code, *_ = run(capsys, "supervised", *images, "-o", again, "--settings", tmp_path / "model.toml")
    assert code == 0
    assert hush.Model.load(again).card.metrics == hush.Model.load(out).card.metrics | {
        "validation": hush.Model.load(again).card.metrics["validation"]
    }
    code, _, err = run(capsys, "supervised", *images, "-o", out, *OPTIONS)
    assert code == 2
    assert "go on with --resume" in complaint(err)
    code, *_ = run(capsys, "supervised", *images, "-o", out, *OPTIONS, "--steps=6", "--resume")
    assert code == 0
    assert hush.Model.load(out).card.training["steps"] == 6


def test_truth_noises_and_simulation(images, tmp_path, capsys):
    noisy, clean = images
    code, text, _ = run(capsys, "noise2void", noisy, "-o", tmp_path / "a.safetensors", "--truth", clean, *OPTIONS)
    assert code == 0
    assert "psnr" in text
    (tmp_path / "noise.toml").write_text('[[noises]]\nname = "poisson"\ndose = 20.0\n')
    code, _, err = run(
        capsys, "supervised", clean, "-o", tmp_path / "b.safetensors", "--noises", tmp_path / "noise.toml", *OPTIONS
    )
    assert code == 0, err
    (tmp_path / "set.toml").write_text("n = 3\nshape = [32, 32]\nlattice_share = 1.0\n")
    code, _, err = run(capsys, "supervised", tmp_path / "set.toml", "-o", tmp_path / "c.safetensors", *OPTIONS)
    assert code == 0, err


@pytest.fixture
def settings_of(images, tmp_path, capsys, monkeypatch):
    """Give the settings that a command line stands for."""

    def settings(method, *arguments):
        found = []

        def train(name, source, settings, **options):
            found.append(settings)
            raise InputError("enough")

        monkeypatch.setattr("napari_hush.training.fit.train", train)
        code, _, err = run(capsys, method, *images, "-o", tmp_path / "m.safetensors", *arguments)
        assert code == 2
        assert "enough" in complaint(err)
        return found[0]

    return settings


def test_what_is_given_counts_over_a_preset_also_where_it_is_a_default(settings_of):
    preset = PRESETS["autoencoder"].settings
    assert settings_of("supervised", "--preset=autoencoder") == preset
    given = settings_of("supervised", "--preset=autoencoder", "--epochs=0", "--steps=8", "--clip", "1.0")
    assert given == replace(preset, epochs=0, steps=8, clip=1.0)


def test_switches_count_over_a_preset(settings_of):
    preset = PRESETS["cyclegan"].settings
    given = settings_of("cyclegan", "--preset=cyclegan", "--one-sided", "--no-match-scale", "--noise-input")
    assert given == replace(preset, one_sided=True, noise_input=True)


def test_what_is_given_counts_over_a_file_also_where_it_is_a_default(settings_of, tmp_path):
    file = tmp_path / "my.toml"
    file.write_text('epochs = 7\nnetwork = "cnn"\npercentiles = [2, 98]\none_sided = false\nmatch_scale = false\n')
    written = settings_of("cyclegan", f"--settings={file}")
    assert (written.epochs, written.network, written.percentiles) == (7, "cnn", (2.0, 98.0))
    assert not written.one_sided
    given = settings_of(
        "cyclegan", "--settings", file, "--epochs=0", "--network=unet", "--percentiles", 0.1, 99.9, "--one-sided"
    )
    assert given == replace(written, epochs=0, network="unet", percentiles=(0.1, 99.9), one_sided=True)
    assert settings_of("cyclegan", "--settings", file, "--no-one-sided", "--no-noise-input") == replace(
        written, noise_input=False
    )


def test_preset_and_file_exclude_one_another(images, tmp_path, capsys):
    arguments = ["-o", tmp_path / "m.safetensors", "--preset=cnn", "--settings=a.toml"]
    code, _, err = run(capsys, "supervised", *images, *arguments)
    assert code == 2
    assert "not both" in complaint(err)


@pytest.mark.parametrize(("change", "words"), [
    (["--patch=4"], "patch must be"), (["--network-options=width 4"], "network_options must look like"),
    (["--preset=none"], "unknown preset 'none' of supervised: expected cnn, autoencoder"),
    (["--settings=none.toml"], "no such file"), (["--noises=none.toml"], "no such file"),
    (["--start=none"], "none"),
])  # fmt: skip
def test_errors_are_one_line(images, tmp_path, capsys, change, words):
    code, _, err = run(capsys, "supervised", *images, "-o", tmp_path / "m.safetensors", *OPTIONS, *change)
    assert code == 2
    assert words in complaint(err)
    assert not (tmp_path / "m.safetensors").exists()


def test_wrong_places_are_refused_before_anything_is_read(images, tmp_path, capsys):
    code, _, err = run(capsys, "supervised", *images, "-o", tmp_path / "none" / "m.safetensors")
    assert code == 2
    assert "does not exist" in complaint(err)
    code, _, err = run(capsys, "supervised", *images, "-o", tmp_path / "m.pt")
    assert code == 2
    assert "ends in .safetensors" in complaint(err)
    code, _, err = run(capsys, "supervised", *images, images[0], "-o", tmp_path / "m.safetensors")
    assert code == 2
    assert "one or two DATA" in complaint(err)


def test_bad_images_are_refused_when_asked(tmp_path, capsys):
    clean = clean_images()
    clean[2] = 1
    tifffile.imwrite(tmp_path / "noisy.tif", with_noise(clean_images()))
    tifffile.imwrite(tmp_path / "clean.tif", clean)
    arguments = [
        "supervised",
        tmp_path / "noisy.tif",
        tmp_path / "clean.tif",
        "-o",
        tmp_path / "m.safetensors",
        *OPTIONS,
    ]
    code, _, err = run(capsys, *arguments, "--on-bad=refuse")
    assert code == 2
    assert "1 of 6 images cannot be trained on" in complaint(err)
    code, _, err = run(capsys, *arguments)
    assert code == 0
    assert "left out 1 of 6 images" in err


def test_ctrl_c_says_how_to_go_on(images, tmp_path, capsys, monkeypatch):
    from napari_hush.training import fit

    steps = iter([False, False, True])
    monkeypatch.setattr(fit._Interrupt, "asked", lambda self: next(steps))
    out = tmp_path / "m.safetensors"
    code, _, err = run(capsys, "supervised", *images, "-o", out, *OPTIONS)
    assert code == 130
    assert f"{out.with_suffix('.ckpt')}: go on with --resume" in err
    assert out.with_suffix(".ckpt").exists()
    monkeypatch.undo()
    code, *_ = run(capsys, "supervised", *images, "-o", out, *OPTIONS, "--resume")
    assert code == 0


@pytest.mark.parametrize("method", METHODS)
def test_every_setting_is_an_option(method, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(["train", method, "--help"])
    assert not stop.value.code
    text = capsys.readouterr().out
    assert "Side of a training patch, px" in text
    for field in fields(METHODS[method].settings):
        assert f"--{field.name.replace('_', '-')}" in text


def test_help_imports_neither_torch_nor_numpy():
    code = """
import sys
from napari_hush.cli import main
try:
    main(["train", "cyclegan", "--help"])
except SystemExit:
    pass
assert not {"torch", "numpy", "h5py", "lightning_fabric"} & set(sys.modules), "imported"
"""
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)
