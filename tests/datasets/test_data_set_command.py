"""``napari-hush synthesize``: every option, the settings file, one-line errors with exit code 2."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import napari_hush as hush
from napari_hush import cli
from napari_hush.datasets.records import read_settings
from napari_hush.datasets.settings import SynthesisSettings
from napari_hush.io import write_image
from napari_hush.synthesis import Lattice, render_lattice

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Run = Callable[..., tuple[int, str, str]]

OPTIONS = ["--n", "3", "--shape", "32", "32", "--test-share", "0.4", "--seed", "5", "--magnification", "200"]


def contents(path: Path) -> dict[str, bytes]:
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return {str(file.relative_to(path)): file.read_bytes() for file in files}


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run ``napari-hush synthesize`` where crop.tif and noisy.tif are; gives (exit code, output, errors)."""
    monkeypatch.chdir(tmp_path)
    write_image("crop.tif", render_lattice(Lattice(kind="hexagonal", period=12.37, angle=11), (40, 40), 0).image)
    write_image("noisy.tif", hush.sample("dented-lattice").noisy[:128, :128])

    def command(*arguments: str) -> tuple[int, str, str]:
        code = cli.main(["synthesize", *arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return command


@pytest.mark.parametrize(
    ("out", "options"),
    [
        ("data", []),
        ("data", ["--layout", "unpaired", "--kind", "tissue"]),
        ("data.h5", ["--layout", "hdf5", "--kind", "foam"]),
        ("data", ["--crop", "crop.tif", "--dents", "noisy.tif", "--dark", "0", "--noise-like", "noisy.tif"]),
        ("data.h5", ["--kind", "published", *"--crop crop.tif --dents noisy.tif crop.tif --layout hdf5".split()]),
    ],
)
def test_the_settings_file_makes_the_same_again(run: Run, out: str, options: list[str], tmp_path: Path) -> None:
    first, second = tmp_path / "a" / out, tmp_path / "b" / out
    code, text, err = run(str(first), *OPTIONS, *options)
    assert code == 0, err
    (line,) = text.splitlines()
    assert line.startswith(f"{first}: ")
    assert "2 to train and 1 to test, seed 5" in line
    assert "synthesising" in err  # the bar
    note = first.with_suffix(".toml") if first.suffix else first / "settings.toml"
    assert run(str(second), "--settings", str(note))[0] == 0
    assert contents(first.parent) == contents(second.parent)
    assert run(str(first), "--settings", str(note), "--workers", "2")[0] == 0  # nothing is left to do
    assert contents(first.parent) == contents(second.parent)


def test_noise_like_an_image_is_in_the_settings_file(run: Run, tmp_path: Path) -> None:
    assert run("data", *OPTIONS, "--kind", "cells", "--noise-like", "noisy.tif")[0] == 0
    settings, materials = read_settings(tmp_path / "data" / "settings.toml")
    assert settings.noises == hush.synthesis.fit_noise(hush.sample("dented-lattice").noisy[:128, :128]).noise().noises
    assert not materials


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--n", "0"], "n must be a whole number"),
        (["--dose", "9", "2"], "lowest and the highest"),
        (["--layout", "hdf5"], "ends in .h5"),
        (["--crop", "no.tif"], "no.tif: no such file"),
        (["--crop", "nan.tif"], "nan.tif has values that are not finite"),
        (["--crop", "stack.tif"], "stack.tif: expected one plane"),
        (["--dents", "no.tif"], "no.tif: no such file"),
        (["--dents", "nan.tif"], "nan.tif has values that are not finite"),
        (["--noise-like", "flat.tif"], "flat.tif"),
        (["--kind", "cells", "--crop", "crop.tif"], "kind cells takes nothing from images"),
        (["--kind", "published", "--crop", "crop.tif"], "--crop and --dents"),
        (["--settings", "no.toml"], "no.toml: no such file, expected a settings file"),
        (["--settings", "bad.toml"], "bad.toml: n must be"),
        (["--settings", "good.toml", "--seed", "2"], "leave out the other options"),
        (["--settings", "good.toml", "--crop", "crop.tif"], "leave out the other options"),
        (["--settings", "good.toml", "--dark", "0"], "leave out the other options"),
        (["--dark", "0"], "--dark goes with --dents"),
    ],
)
def test_errors_are_one_line_and_exit_code_two(run: Run, options: list[str], words: str, tmp_path: Path) -> None:
    write_image("nan.tif", np.where(np.eye(40) > 0, np.nan, 1).astype(np.float32))
    write_image("stack.tif", np.zeros((3, 40, 40), np.float32))
    write_image("flat.tif", np.ones((96, 96), np.float32))
    (tmp_path / "good.toml").write_text("n = 1")
    (tmp_path / "bad.toml").write_text("n = -1")
    code, text, err = run("data", *options)
    assert (code, text) == (2, "")
    (line,) = err.replace("\r", "\n").strip().splitlines()
    assert words in line
    assert not (tmp_path / "data").exists()


def test_help_offers_all_but_the_noises_and_loads_no_numpy() -> None:
    code = (
        "import sys\nfrom napari_hush.cli import main\ntry:\n    main(['synthesize', '--help'])\nexcept SystemExit:\n"
        "    print('loaded:', {'numpy', 'torch', 'h5py', 'tifffile'} & sys.modules.keys())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "loaded: set()"
    offered = {word for word in done.stdout.split() if word.startswith("--")}
    names = {field.name for field in fields(SynthesisSettings)} - {"noises"}
    expected: set[Any] = {"settings", "crop", "dents", "dark", "noise-like", "help"} | names
    assert offered >= {f"--{name.replace('_', '-')}" for name in expected}
    assert "--noises" not in offered
