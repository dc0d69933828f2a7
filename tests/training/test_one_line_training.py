"""A network or a method that is added by one line of a registry is all that it takes, in Python and as a command."""

from __future__ import annotations

import pytest
import tifffile
import torch
from training_images import TINY, clean_images, with_noise

import napari_hush as hush
from napari_hush import cli
from napari_hush.errors import InputError
from napari_hush.networks import NETWORKS
from napari_hush.training.presets import PRESETS, Preset
from training_dummies import LINES, DummyNetwork, DummySettings

SMALL = {name: value for name, value in TINY.items() if name != "network_options"}
OPTIONS = [f"--{name.replace('_', '-')}={value}" for name, value in SMALL.items()]


@pytest.fixture
def network(monkeypatch):
    registry, entry = LINES["network"]
    monkeypatch.setitem(registry, "dummy", entry)


@pytest.fixture
def method(network, monkeypatch):
    registry, entry = LINES["method"]
    monkeypatch.setitem(registry, "dummy", entry)


@pytest.fixture
def noisy_file(tmp_path):
    tifffile.imwrite(tmp_path / "noisy.tif", with_noise(clean_images()))
    return str(tmp_path / "noisy.tif")


def test_without_the_line_both_are_refused():
    with pytest.raises(InputError, match=r"network must be one of cnn, .*, got 'dummy'"):
        hush.train_settings("supervised", {"network": "dummy"})
    with pytest.raises(InputError, match="unknown method 'dummy': expected supervised, "):
        hush.train_settings("dummy")


def test_a_network_is_trained_from_python(network, tmp_path):
    assert NETWORKS["dummy"] is DummyNetwork
    clean = clean_images()
    settings = SMALL | {"network": "dummy", "network_options": "gain = 0.9", "steps": 1, "learning_rate": 1e-9}
    model = hush.train("supervised", (with_noise(clean), clean), settings)
    assert model.architecture == "dummy"
    assert model.normalization.target == (-2.0, 2.0)  # what it wants
    assert model.card.training["settings"]["patch"] == 20  # the smallest that it takes
    weight = model.network.state_dict()["conv.weight"]
    assert torch.allclose(weight, 0.9 * identity_like(weight), atol=1e-6)  # its own initial weights
    model.save(tmp_path / "dummy.safetensors")
    again = hush.Model.load(tmp_path / "dummy.safetensors")
    assert hush.denoise(with_noise(clean)[0], again).shape == (48, 48)


def identity_like(weight):
    return torch.nn.init.dirac_(torch.empty_like(weight))


@pytest.mark.parametrize("name", ["tomogan", "cyclegan", "two-stage"])
def test_a_network_is_trained_by_every_kind_of_method(network, name):
    clean = clean_images()
    settings = SMALL | {"network": "dummy", "steps": 2, "patch": 24, "batch_size": 1}
    settings |= {"discriminator_width": 4} if name != "tomogan" else {}
    settings |= {"unpaired_steps": 1, "final_network": "dummy", "final_batch_size": 1} if name == "two-stage" else {}
    model = hush.train(name, (with_noise(clean), clean), settings)
    assert model.architecture == "dummy"
    assert model.card.training["steps"] == 2


def test_a_network_is_trained_from_the_command_line(network, noisy_file, tmp_path, capsys):
    out = tmp_path / "m.safetensors"
    assert cli.main(["train", "noise2void", noisy_file, "-o", str(out), *OPTIONS, "--network=dummy",
                     "--network-options="]) == 0, capsys.readouterr().err  # fmt: skip
    assert hush.Model.load(out).architecture == "dummy"
    with pytest.raises(SystemExit):
        cli.main(["train", "noise2void", "--help"])
    assert "dummy" in capsys.readouterr().out


def test_a_method_is_trained_from_python(method):
    events = []
    model = hush.train("dummy", with_noise(clean_images()), SMALL | {"pull": 2.0}, progress=events.append)
    assert model.card.training["method"] == "dummy"
    assert model.card.training["settings"]["pull"] == 2.0
    assert model.card.training["settings"]["patch"] == 24  # what the method and its network take: a multiple of 12
    assert events[0].losses["loss"] == pytest.approx(2 * events[0].losses["distance"])
    with pytest.raises(InputError, match="pull must be a number from 0 to 3, got 4"):
        hush.train("dummy", with_noise(clean_images()), {"pull": 4})
    with pytest.raises(InputError, match="dummy takes DummySettings"):
        hush.train("dummy", with_noise(clean_images()), hush.train_settings("supervised"))


def test_a_method_is_trained_from_the_command_line(method, noisy_file, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(PRESETS, "weak", Preset("dummy", DummySettings(pull=0.1, steps=3), "a weak dummy"))
    with pytest.raises(SystemExit):
        cli.main(["train", "--help"])
    assert "From noise." in capsys.readouterr().out
    with pytest.raises(SystemExit):
        cli.main(["train", "dummy", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert "--pull FLOAT" in text
    assert "weak" in text
    out = tmp_path / "m.safetensors"
    code = cli.main(["train", "dummy", noisy_file, "-o", str(out), *OPTIONS, "--preset=weak", "--steps=2"])
    assert code == 0, capsys.readouterr().err
    card = hush.Model.load(out).card
    assert (card.training["settings"]["pull"], card.training["steps"]) == (0.1, 2)
    assert "napari-hush train dummy" in out.with_suffix(".toml").read_text()


def test_the_data_that_a_method_needs_stand_at_its_line(method, tmp_path):
    (tmp_path / "set.toml").write_text("n = 3\nshape = [32, 32]\n")
    with pytest.raises(InputError, match="simulated images have clean ones: choose supervised, tomogan, cyclegan or"):
        hush.train("dummy", tmp_path / "set.toml", SMALL)
