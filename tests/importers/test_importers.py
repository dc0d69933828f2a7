"""Loading models: by name, by content, and the published ones number for number."""

from __future__ import annotations

import hashlib
import io
import zipfile
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import pytest
import torch

from keras_files import cnn_layers, make_config, tomogan_layers, write_keras
from napari_hush.errors import InputError, ModelFileError
from napari_hush.importers import registry
from napari_hush.importers.registry import load_model
from napari_hush.model import Model
from napari_hush.networks.cnn import CNN
from napari_hush.networks.tomogan import TomoGAN

if TYPE_CHECKING:
    from pathlib import Path

GOLDENS = [
    ("TomoGAN", "nearest", "x255", 2e-3),
    ("TomoGAN", "nearest", "x1", 1e-4),
    ("TomoGAN", "bilinear_tf1", "x255_UPlegacy", 2e-3),
    ("TomoGAN-toy", "file", "x255", 2e-3),
    ("TomoGAN-toy", "file", "x1", 1e-4),
    ("dn-mdl-toy", "file", "x255", 2e-3),
    ("dn-mdl-toy", "file", "x1", 1e-5),
]


@pytest.fixture
def cnn_file(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    return write_keras(tmp_path / "cnn.h5", CNN(widths=(3, 4)))


def assert_same_weights(model: Model, network: torch.nn.Module) -> None:
    expected = network.state_dict()
    found = model.network.state_dict()
    assert list(found) == list(expected)
    assert all(torch.equal(found[name], expected[name]) for name in expected)


@pytest.mark.parametrize(("name", "upsampling", "case", "tolerance"), GOLDENS)
def test_published_model_computes_what_keras_does(
    data_dir: Path, name: str, upsampling: str, case: str, tolerance: float
) -> None:
    image = np.load(data_dir / "golden" / "in_A256_noisy.npy") * np.float32(case.split("_")[0][1:])
    expected = np.load(data_dir / "golden" / f"out_{name}_A256_{case}.npy")
    model = load_model(data_dir / "golden" / f"{name}.h5", upsampling=upsampling)
    found = model.network(torch.from_numpy(image)[None, None])[0, 0].numpy()
    assert np.abs(found - expected).max() <= tolerance


def test_every_layer_of_tomogan_computes_what_keras_does(data_dir: Path) -> None:
    model = load_model(data_dir / "golden" / "TomoGAN.h5", upsampling="nearest")
    image = np.load(data_dir / "golden" / "in_C48x32_noisy.npy") * np.float32(255)
    found: list[np.ndarray] = []
    for module in model.network.modules():
        if isinstance(module, torch.nn.Conv2d):
            module.register_forward_hook(lambda _module, _inputs, output: found.append(output[0].numpy()))
    model.network(torch.from_numpy(image)[None, None])
    with np.load(data_dir / "golden" / "acts_TomoGAN_C48x32_x255.npz") as activations:
        assert len(found) == 16
        for number, values in enumerate(found):
            expected = activations["conv2d" if number == 0 else f"conv2d_{number}"]  # (H, W, C), after ReLU
            rectified = values if number == 15 else np.maximum(values, 0)
            np.testing.assert_allclose(rectified.transpose(1, 2, 0), expected, rtol=1e-4, atol=1e-3)


def test_silent_file_warns_that_nearest_is_a_guess(data_dir: Path) -> None:
    with pytest.warns(UserWarning, match=r"does not store how it upsamples.*upsampling=\"bilinear_tf1\"") as caught:
        model = load_model(data_dir / "golden" / "TomoGAN.h5")
    assert caught[0].filename == __file__
    assert model.hyperparameters["upsampling"] == "nearest"


@pytest.mark.parametrize("depth", [1, 3])
def test_tomogan_weights_arrive_unchanged(tmp_path: Path, depth: int) -> None:
    network = TomoGAN(depth=depth)
    config = make_config(tomogan_layers(in_channels=depth, interpolation="bilinear"), "Model")
    model = load_model(write_keras(tmp_path / "deep.h5", network, config))
    assert_same_weights(model, network)
    assert model.architecture == "tomogan"
    assert model.hyperparameters == {"depth": depth, "upsampling": "bilinear"}
    assert (model.depth, model.in_channels) == (depth, depth)
    assert model.normalization.target == (0.0, 255.0)


@pytest.mark.parametrize("settings", [{"widths": (3, 4)}, {"widths": (5,), "kernel_size": 5, "in_channels": 2}])
def test_cnn_weights_arrive_unchanged(tmp_path: Path, settings: dict[str, Any]) -> None:
    network = CNN(**settings)
    path = write_keras(tmp_path / "plain.h5", network)
    before = path.read_bytes()
    model = load_model(str(path))
    assert_same_weights(model, network)
    assert path.read_bytes() == before
    assert model.normalization.target == (0.0, 1.0)
    assert (model.normalization.method, model.normalization.low, model.normalization.high) == ("match", 0.1, 99.9)
    assert model.card.name == "plain"
    assert hashlib.sha256(before).hexdigest() in model.card.source
    assert model.card.licence == "unknown"


def test_sequential_file_is_a_cnn(tmp_path: Path) -> None:
    network = CNN(widths=(3, 4))
    layers = [{"class_name": x["class_name"], "config": x["config"]} for x in cnn_layers(network)[1:]]
    layers[0]["config"]["batch_input_shape"] = [None, None, None, 1]
    config = {"class_name": "Sequential", "config": {"name": "sequential", "layers": layers}}
    assert_same_weights(load_model(write_keras(tmp_path / "sequential.h5", network, config)), network)


def test_bytes_and_half_precision_are_read(cnn_file: Path) -> None:
    with h5py.File(cnn_file, "r+") as file:
        file.attrs["model_config"] = np.bytes_(file.attrs["model_config"])
        group = file["model_weights/c0/c0"]
        values = group["bias:0"][()].astype(np.float16)
        del group["bias:0"]
        group.create_dataset("bias:0", data=values, chunks=(3,))
        file.create_group("optimizer_weights")["anything"] = np.zeros(3)
        file["model_weights"].create_group("top_level_model_weights")
    found = load_model(cnn_file).network.state_dict()["convs.0.bias"].numpy()
    np.testing.assert_array_equal(found, values.astype(np.float32))


def test_options_override_the_defaults(cnn_file: Path) -> None:
    model = load_model(cnn_file, value_range=(0, 4095), normalization="percentile")
    assert model.normalization.target == (0.0, 4095.0)
    assert model.normalization.method == "percentile"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"up": 1}, "keras importer takes upsampling, value_range, normalization; got up"),
        ({"upsampling": "cubic"}, "upsampling must be one of file, nearest, bilinear, bilinear_tf1, got 'cubic'"),
        ({"upsampling": "nearest"}, "a plain CNN does not upsample"),
        ({"normalization": "auto"}, "method must be one of"),
        ({"value_range": (1, 0)}, "increasing pair"),
        ({"value_range": 255}, "value_range=255"),
    ],
)
def test_wrong_option_says_what_is_accepted(cnn_file: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        load_model(cnn_file, **options)
    assert "\n" not in str(caught.value)


def test_model_is_returned_as_it_is() -> None:
    model = Model.create("cnn")
    assert load_model(model) is model
    with pytest.raises(InputError, match="takes no options; got upsampling"):
        load_model(model, upsampling="nearest")


def test_content_decides_not_the_extension(tmp_path: Path, cnn_file: Path) -> None:
    model = Model.create("cnn")
    model.save(tmp_path / "ours.safetensors")
    (tmp_path / "ours.safetensors").rename(tmp_path / "ours.h5")
    assert_same_weights(load_model(tmp_path / "ours.h5"), model.network)
    assert load_model(cnn_file.rename(tmp_path / "keras.safetensors")).architecture == "cnn"
    with pytest.raises(InputError, match="safetensors importer takes no options; got upsampling"):
        load_model(tmp_path / "ours.h5", upsampling="nearest")


def test_bundled_name_wins_and_unknown_one_lists_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    zoo, here = tmp_path / "zoo", tmp_path / "here"
    zoo.mkdir()
    here.mkdir()
    bundled = Model.create("cnn")
    bundled.save(zoo / "quiet.safetensors")
    monkeypatch.setattr(registry, "ZOO", zoo)
    monkeypatch.chdir(here)
    (here / "quiet").write_text("not a model")
    assert_same_weights(load_model("quiet"), bundled.network)
    with pytest.raises(ModelFileError, match="text that begins with 'not a model'"):
        load_model("./quiet")
    with pytest.raises(InputError, match=r"no bundled model 'loud'.*bundled: quiet; or give a path"):
        load_model("loud")
    with pytest.raises(ModelFileError, match="no such file"):
        load_model("folder/loud")
    with pytest.raises(InputError, match="got int"):
        load_model(3)  # type: ignore[arg-type]


def checkpoint(*, zipped: bool) -> bytes:
    buffer = io.BytesIO()
    torch.save({"weight": torch.zeros(3)}, buffer, _use_new_zipfile_serialization=zipped)
    return buffer.getvalue()


def archive() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("config.json", "{}")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(checkpoint(zipped=True), r"weights of another project \(such as weight\)", id="zip"),
        pytest.param(checkpoint(zipped=False), r"weights of another project \(such as weight\)", id="pickle"),
        pytest.param(archive(), r"zip archive of something else \(with 'config.json'\)", id="other zip"),
        pytest.param(b"", "empty", id="empty"),
        pytest.param(b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "git lfs pull", id="lfs"),
        pytest.param(b"<!DOCTYPE html>\n<html>", "text that begins with '<!DOCTYPE html>", id="web page"),
        pytest.param(b"a" + "é".encode() * 63, "text that begins", id="text cut inside a letter"),
        pytest.param(b"\x93NUMPY\x01\x00v\x00", "unknown contents that begin with", id="npy"),
        pytest.param(bytes(100), "unknown contents", id="zeros"),
        pytest.param(b"\x89HDF\r\n\x1a\n", "truncated or damaged HDF5", id="only the magic"),
        pytest.param(
            (100).to_bytes(8, "little") + b"{", "truncated or damaged model file", id="only a safetensors head"
        ),
    ],
)
def test_foreign_file_is_refused_in_one_line(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "model.pth"
    path.write_bytes(content)
    with pytest.raises(ModelFileError, match=message) as caught:
        load_model(path)
    assert "\n" not in str(caught.value)
    assert "weights_only" not in str(caught.value)


def test_missing_file_and_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="no such file"):
        load_model(tmp_path / "absent.h5")
    with pytest.raises(ModelFileError, match="is a folder"):
        load_model(tmp_path)
