"""``napari-hush adapt``: a model file out, and refusals in one line."""

import numpy as np
import pytest
import torch

from napari_hush import cli
from napari_hush.card import ModelCard
from napari_hush.io import write_image
from napari_hush.model import Model


@pytest.fixture
def desk(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    Model.create("unet", {"width": 4, "levels": 2}, card=ModelCard(name="tiny")).save("tiny.safetensors")
    y, x = np.mgrid[:96, :96]
    image = np.sin(y / 9) * np.sin(x / 7) + np.random.default_rng(0).normal(0, 0.3, (96, 96))
    write_image(tmp_path / "scan.tif", image.astype(np.float32))
    write_image(tmp_path / "colours.png", np.zeros((96, 96, 3), np.uint8))
    return tmp_path


@pytest.mark.slow
def test_model_file_is_written_and_tells_what_came_out(desk, capsys):
    words = "--steps 24 --checks 2 --patch 32 --batch-size 2 --learning-rate 1e-2 --device cpu".split()
    assert cli.main(["adapt", "tiny.safetensors", "scan.tif", "-o", "mine.safetensors", *words]) == 0
    card = Model.load("mine.safetensors").card
    assert card.name == "mine" and card.training["images"] == ["scan.tif"]
    assert "mine.safetensors: mine, adapted in 24 steps" in capsys.readouterr().out
    assert cli.main(["adapt", "tiny.safetensors", "scan.tif", "-o", "mine.safetensors", *words]) == 2
    assert "--overwrite" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("tiny.safetensors -o mine.safetensors", "no image"),
        ("tiny.safetensors scan.tif -o mine.h5", "ends in .safetensors"),
        ("tiny.safetensors scan.tif -o nowhere/mine.safetensors", "does not exist"),
        ("tiny.safetensors colours.png -o mine.safetensors", "has colours"),
        ("tiny.safetensors scan.tif -o mine.safetensors --minutes 0", "minutes must be a number from"),
    ],
)
def test_what_cannot_be_is_told_in_one_line(desk, capsys, words, message):
    assert cli.main(["adapt", *words.split()]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert not (desk / "mine.safetensors").exists()
